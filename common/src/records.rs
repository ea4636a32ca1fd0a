//! Data sets: what users bring for requests to carry, as agents are supplied with it.
//!
//! A data set is packed into one string of bytes that its SHA-256 names: conversations, each of one
//! turn or more, and each turn a prefix of its conversation's text. The text is JSON in the words of
//! the endpoint that it was packed for; nothing here looks into it.

use std::fmt;
use std::str::FromStr;

use crate::digest::{Digest, DigestWriter};

/// Bytes of a packed data set, at most.
pub const BYTES_MAX: usize = 256 << 20;

/// Conversations, and turns of all of them, at most.
pub const ENTRIES_MAX: u32 = 1_000_000;

/// What packed records begin with.
const MAGIC: &[u8] = b"floodmark records 1\n";

/// The data set of a workload, by what names it and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DataSet {
    /// The file, as the campaign names it.
    pub file: String,
    /// What it holds.
    pub format: Format,
    /// The digest of the packed records.
    pub digest: Digest,
    /// Their length.
    pub bytes: u64,
    /// How many conversations there are; at least 1.
    pub conversations: u32,
    /// How many turns they have together.
    pub turns: u32,
    /// Each level takes them in an order of its own, and not in that of the file.
    pub shuffled: bool,
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// JSONL with `messages`, as the chat API of OpenAI has them.
    OpenAi,
    /// JSONL with `prompt`.
    Prompts,
    /// JSON or JSONL with `conversations` of `from` and `value`.
    ShareGpt,
    /// JSONL with `timestamp`, `input_length`, `output_length` and `hash_ids`.
    Mooncake,
    /// A table with columns for an instant and two lengths.
    Csv,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::OpenAi, Self::Prompts, Self::ShareGpt, Self::Mooncake, Self::Csv];

    /// The name in campaign files and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Prompts => "prompts",
            Self::ShareGpt => "sharegpt",
            Self::Mooncake => "mooncake",
            Self::Csv => "csv",
        }
    }

    /// It says when requests came and how long they were, and not what they asked.
    pub fn is_trace(self) -> bool {
        match self {
            Self::Mooncake | Self::Csv => true,
            Self::OpenAi | Self::Prompts | Self::ShareGpt => false,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text is the name of no format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such format")]
pub struct FormatError;

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        Self::ALL.into_iter().find(|format| format.name() == text).ok_or(FormatError)
    }
}

impl DataSet {
    /// Whether the counts can be those of a data set.
    pub fn is_plausible(&self) -> bool {
        let Self { bytes, conversations, turns, .. } = self;
        let within = *bytes <= BYTES_MAX as u64 && *turns <= ENTRIES_MAX;
        within && *conversations >= 1 && conversations <= turns
    }

    pub(crate) fn feed(&self, digest: &mut DigestWriter) {
        // The name of the file changes nothing that is sent.
        let Self { file: _, format, digest: records, bytes, conversations, turns, shuffled } = self;
        digest
            .text("data set")
            .text(format.name())
            .text(&records.to_string())
            .number(*bytes)
            .number((*conversations).into())
            .number((*turns).into())
            .number((*shuffled).into());
    }
}

impl fmt::Display for DataSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = self.digest.to_string();
        let digest = digest.get(..12).unwrap_or_default();
        write!(f, "{} ({} turns, {digest})", self.file, self.turns)
    }
}

/// Packs conversations, one after the other.
#[derive(Default)]
pub struct Packer {
    conversations: Vec<(u32, u32)>,
    turns: Vec<(u32, u32)>,
    text: Vec<u8>,
}

/// One request of a conversation, as it is packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedTurn {
    /// What it adds to the text of the turns before it.
    pub added: String,
    /// The tokens that are asked for; `None`: as many as the workload says.
    pub output_tokens: Option<u32>,
}

impl Packer {
    /// Adds a conversation: members of a JSON object that all of its requests have, each with a
    /// comma after it, and its turns. `false` if it is one too many, or too long; nothing is added
    /// then.
    pub fn add(&mut self, members: &str, turns: &[PackedTurn]) -> bool {
        let entries = self.turns.len().saturating_add(turns.len());
        let added =
            turns.iter().map(|turn| turn.added.len() + 8).sum::<usize>() + members.len() + 8;
        let fits = entries <= ENTRIES_MAX as usize && self.len().saturating_add(added) <= BYTES_MAX;
        if !fits || turns.is_empty() {
            return false;
        }
        // Both are below the bounds above.
        self.conversations.push((members.len() as u32, turns.len() as u32));
        self.text.extend_from_slice(members.as_bytes());
        for turn in turns {
            self.turns.push((turn.added.len() as u32, turn.output_tokens.unwrap_or(0)));
            self.text.extend_from_slice(turn.added.as_bytes());
        }
        true
    }

    fn len(&self) -> usize {
        MAGIC.len() + 8 + (self.conversations.len() + self.turns.len()) * 8 + self.text.len()
    }

    /// The packed records.
    pub fn pack(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len());
        bytes.extend_from_slice(MAGIC);
        let mut number = |number: u32| bytes.extend_from_slice(&number.to_le_bytes());
        number(self.conversations.len() as u32);
        number(self.turns.len() as u32);
        for (one, other) in self.conversations.into_iter().chain(self.turns) {
            number(one);
            number(other);
        }
        bytes.extend_from_slice(&self.text);
        bytes
    }
}

/// A data set that requests can be made of.
#[derive(Debug, PartialEq, Eq)]
pub struct Records {
    bytes: Vec<u8>,
    conversations: Vec<Conversation>,
    turns: Vec<Turn>,
}

/// Where a conversation lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Conversation {
    /// Where its members begin.
    members: u32,
    /// Where its text begins, right after them.
    text: u32,
    /// The first of its turns.
    first: u32,
    /// How many there are.
    turns: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turn {
    /// Where its text ends.
    end: u32,
    /// The tokens asked for; 0 where it states none.
    output_tokens: u32,
}

/// What one request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried<'a> {
    /// Members of its body, each with a comma after it.
    pub members: &'a [u8],
    /// The text of the conversation up to here.
    pub text: &'a [u8],
    /// The tokens that are asked for, if the data set says.
    pub output_tokens: Option<u32>,
    /// No turn of its conversation follows.
    pub is_last: bool,
}

/// Bytes are no packed records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordsError {
    /// They begin otherwise, or end too early or too late.
    #[error("not packed records of this version")]
    Damaged,
    /// They are not the bytes that the digest names.
    #[error("not the bytes that their digest names")]
    Other,
}

impl Records {
    /// The records in `bytes`, which `digest` names.
    ///
    /// # Errors
    /// As [`RecordsError`] says.
    pub fn unpack(bytes: Vec<u8>, digest: Digest) -> Result<Self, RecordsError> {
        if Digest::of(&bytes) != digest {
            return Err(RecordsError::Other);
        }
        Self::read(bytes).ok_or(RecordsError::Damaged)
    }

    fn read(bytes: Vec<u8>) -> Option<Self> {
        if bytes.len() > BYTES_MAX {
            return None;
        }
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let mut number = || {
            let (head, tail) = rest.split_first_chunk::<4>()?;
            rest = tail;
            Some(u32::from_le_bytes(*head))
        };
        let (conversations, turns) = (number()?, number()?);
        if conversations == 0 || conversations > turns || turns > ENTRIES_MAX {
            return None;
        }
        let mut pairs = |count: u32| {
            // Numbers that are not there end this before memory does.
            (0..count).map(|_| Some((number()?, number()?))).collect::<Option<Vec<_>>>()
        };
        let (shapes, lengths) = (pairs(conversations)?, pairs(turns)?);
        let mut at = u32::try_from(bytes.len() - rest.len()).ok()?;
        let mut lengths = lengths.into_iter();
        let mut records = Self { bytes: Vec::new(), conversations: Vec::new(), turns: Vec::new() };
        for (members_len, count) in shapes {
            let first = u32::try_from(records.turns.len()).ok()?;
            let members = at;
            let text = at.checked_add(members_len)?;
            at = text;
            for _ in 0..count {
                let (added, output_tokens) = lengths.next()?;
                at = at.checked_add(added)?;
                records.turns.push(Turn { end: at, output_tokens });
            }
            if count == 0 {
                return None;
            }
            records.conversations.push(Conversation { members, text, first, turns: count });
        }
        if lengths.next().is_some() || at as usize != bytes.len() {
            return None;
        }
        records.bytes = bytes;
        Some(records)
    }

    /// How many conversations there are; at least 1.
    pub fn conversations(&self) -> u32 {
        self.conversations.len() as u32
    }

    /// How many turns there are in all of them; at least as many.
    pub fn turns(&self) -> u32 {
        self.turns.len() as u32
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        let tables = self.conversations.len() * size_of::<Conversation>();
        self.bytes.len() + tables + self.turns.len() * size_of::<Turn>()
    }

    /// A turn of a conversation, both from 0.
    pub fn turn(&self, conversation: u32, turn: u32) -> Option<Carried<'_>> {
        let of = self.conversations.get(conversation as usize)?;
        if turn >= of.turns {
            return None;
        }
        let Turn { end, output_tokens } = *self.turns.get((of.first + turn) as usize)?;
        Some(Carried {
            members: self.bytes.get(of.members as usize..of.text as usize)?,
            text: self.bytes.get(of.text as usize..end as usize)?,
            output_tokens: (output_tokens > 0).then_some(output_tokens),
            is_last: turn + 1 == of.turns,
        })
    }

    /// The conversation that has a turn, counted over all conversations, and which of its turns
    /// that is.
    pub fn place(&self, turn: u32) -> Option<(u32, u32)> {
        let after = self.conversations.partition_point(|of| of.first <= turn);
        let conversation = after.checked_sub(1)?;
        let of = self.conversations.get(conversation)?;
        let within = turn - of.first;
        (within < of.turns).then_some((conversation as u32, within))
    }

    /// The turns of a conversation, counted over all conversations.
    pub fn turns_of(&self, conversation: u32) -> std::ops::Range<u32> {
        let of = self.conversations.get(conversation as usize);
        of.map_or(0..0, |of| of.first..of.first + of.turns)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn turn(added: &str, output_tokens: Option<u32>) -> PackedTurn {
        PackedTurn { added: added.to_owned(), output_tokens }
    }

    fn arb_turns() -> impl Strategy<Value = Vec<PackedTurn>> {
        let turn = ("[a-zäß,]{0,12}", prop::option::of(1u32..9))
            .prop_map(|(added, output_tokens)| PackedTurn { added, output_tokens });
        prop::collection::vec(turn, 1..5)
    }

    fn packed(all: &[(String, Vec<PackedTurn>)]) -> Vec<u8> {
        let mut packer = Packer::default();
        for (members, turns) in all {
            assert!(packer.add(members, turns));
        }
        packer.pack()
    }

    proptest! {
        #[test]
        fn every_turn_is_a_prefix_of_the_next_and_comes_back_as_it_was(
            all in prop::collection::vec(("[a-z:,]{0,9}", arb_turns()), 1..9)
        ) {
            let bytes = packed(&all);
            let digest = Digest::of(&bytes);
            let records = Records::unpack(bytes, digest).unwrap();
            let mut count = 0;
            for (at, (members, turns)) in (0..).zip(&all) {
                let mut text = String::new();
                for (within, turn) in (0..).zip(turns) {
                    text.push_str(&turn.added);
                    let carried = records.turn(at, within).unwrap();
                    prop_assert_eq!(carried.members, members.as_bytes());
                    prop_assert_eq!(carried.text, text.as_bytes());
                    prop_assert_eq!(carried.output_tokens, turn.output_tokens);
                    prop_assert_eq!(carried.is_last, within as usize + 1 == turns.len());
                    prop_assert_eq!(records.place(count), Some((at, within)));
                    prop_assert!(records.turns_of(at).contains(&count));
                    count += 1;
                }
                prop_assert_eq!(records.turn(at, turns.len() as u32), None);
            }
            prop_assert_eq!((records.turns(), records.place(count)), (count, None));
            prop_assert_eq!(records.conversations() as usize, all.len());
        }

        /// Whoever sends it can name any bytes by their digest.
        #[test]
        fn damage_is_refused_and_never_panics(
            at in 0usize..90, byte: u8, cut in 0usize..90
        ) {
            let all = [("\"a\":1,".to_owned(), vec![turn("x", Some(3)), turn(",y", None)])];
            let whole = packed(&all);
            let mut bytes = whole.clone();
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            bytes.truncate(whole.len().saturating_sub(cut % 5));
            let digest = Digest::of(&whole);
            if bytes != whole {
                prop_assert_eq!(Records::unpack(bytes.clone(), digest), Err(RecordsError::Other));
            }
            if let Ok(records) = Records::unpack(bytes.clone(), Digest::of(&bytes)) {
                for turn in 0..records.turns() {
                    let (conversation, within) = records.place(turn).unwrap();
                    prop_assert!(records.turn(conversation, within).is_some());
                }
            }
        }
    }

    #[test]
    fn counts_without_their_numbers_take_no_memory() {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&ENTRIES_MAX.to_le_bytes());
        bytes.extend_from_slice(&ENTRIES_MAX.to_le_bytes());
        let digest = Digest::of(&bytes);
        assert_eq!(Records::unpack(bytes, digest), Err(RecordsError::Damaged));
    }

    #[test]
    fn a_conversation_too_many_is_not_added() {
        let mut packer = Packer::default();
        assert!(!packer.add("", &[]));
        let turns = vec![turn("", None); ENTRIES_MAX as usize];
        assert!(packer.add("", &turns));
        assert!(!packer.add("", &turns[..1]));
    }
}
