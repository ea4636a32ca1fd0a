//! The data sets that a run has supplied: each taken in piece by piece, checked once when it is
//! whole, and kept until the run lets go of the agent. It holds a bounded number of bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::digest::Digest;
use common::records::{DataSet, Records};
use common::trace::{Trace, is_trace};

/// Bytes of all data sets of a run, at most.
const HELD_MAX: u64 = 256 << 20;

/// Data sets of a run, at most; what is wrong with one is kept too.
const ITEMS_MAX: usize = 1024;

/// The data sets of a run.
#[derive(Default)]
pub(crate) struct Shelf {
    items: BTreeMap<Digest, Item>,
}

/// How far a data set has come.
enum Item {
    /// Pieces are missing.
    Coming {
        bytes: Vec<u8>,
        total: u64,
    },
    Whole(Supplied),
    /// It cannot be used, and why.
    Bad(String),
}

/// A data set that is ready for use.
#[derive(Clone)]
pub(crate) enum Supplied {
    /// Conversations.
    Records(Arc<Records>),
    /// A trace.
    Trace(Arc<Trace>),
}

impl Supplied {
    fn counts(&self) -> (u32, u32) {
        match self {
            Self::Records(records) => (records.conversations(), records.turns()),
            Self::Trace(trace) => (trace.count(), trace.count()),
        }
    }

    fn size(&self) -> u64 {
        let size = match self {
            Self::Records(records) => records.size(),
            Self::Trace(trace) => trace.size(),
        };
        size as u64
    }

    fn is_trace(&self) -> bool {
        match self {
            Self::Records(_) => false,
            Self::Trace(_) => true,
        }
    }
}

/// Bytes that are all there and not checked yet.
pub(crate) struct Unchecked {
    digest: Digest,
    bytes: Vec<u8>,
}

/// What a check gave.
pub(crate) struct Checked {
    digest: Digest,
    item: Item,
}

impl Unchecked {
    /// Checks and reads them, which takes longer than an order may.
    pub(crate) fn check(self) -> Checked {
        let Self { digest, bytes } = self;
        let read = if is_trace(&bytes) {
            Trace::unpack(&bytes, digest).map(|trace| Supplied::Trace(Arc::new(trace)))
        } else {
            Records::unpack(bytes, digest).map(|records| Supplied::Records(Arc::new(records)))
        };
        let item = match read {
            Ok(supplied) => Item::Whole(supplied),
            Err(error) => Item::Bad(error.to_string()),
        };
        Checked { digest, item }
    }
}

impl Shelf {
    /// Takes in a piece; gives the bytes if it was the last one. What is wrong with it is told to
    /// whoever wants to use it.
    pub(crate) fn take(
        &mut self,
        digest: Digest,
        total: u64,
        offset: u64,
        chunk: &[u8],
    ) -> Option<Unchecked> {
        let is_new = offset == 0 && !self.items.contains_key(&digest);
        if is_new && self.items.len() < ITEMS_MAX {
            let room = HELD_MAX.saturating_sub(self.held());
            let item = if total > room {
                Item::Bad(format!(
                    "of {total} bytes, which is more than the {room} that this agent has left of \
                     {HELD_MAX} for the data sets of a run; use smaller ones"
                ))
            } else {
                Item::Coming { bytes: Vec::new(), total }
            };
            self.items.insert(digest, item);
        }
        let item = self.items.get_mut(&digest)?;
        let Item::Coming { bytes, total: announced } = item else {
            return None;
        };
        if total != *announced || offset != bytes.len() as u64 {
            *item = Item::Bad("supplied with a gap".to_owned());
            return None;
        }
        bytes.extend_from_slice(chunk);
        if (bytes.len() as u64) < total {
            return None;
        }
        let bytes = std::mem::take(bytes);
        Some(Unchecked { digest, bytes })
    }

    /// Puts back what has been checked.
    pub(crate) fn put(&mut self, Checked { digest, item }: Checked) {
        self.items.insert(digest, item);
    }

    /// The records of a data set.
    ///
    /// # Errors
    /// Why there are none.
    pub(crate) fn find(&self, data: &DataSet) -> Result<Supplied, String> {
        let why = match self.items.get(&data.digest) {
            Some(Item::Whole(supplied)) => {
                let fits = supplied.counts() == (data.conversations, data.turns);
                if fits && supplied.is_trace() == data.format.is_trace() {
                    return Ok(supplied.clone());
                }
                "not of the size announced".to_owned()
            }
            Some(Item::Bad(why)) => why.clone(),
            Some(Item::Coming { bytes, total }) => {
                format!("supplied in part only: {} of {total} bytes", bytes.len())
            }
            None => "not supplied".to_owned(),
        };
        Err(format!("the data set {data} is {why}"))
    }

    fn held(&self) -> u64 {
        let size = |item: &Item| match item {
            Item::Coming { total, .. } => *total,
            Item::Whole(supplied) => supplied.size(),
            Item::Bad(_) => 0,
        };
        self.items.values().map(size).sum()
    }
}

#[cfg(test)]
mod tests {
    use common::records::{Format, PackedTurn, Packer};

    use super::*;

    fn packed(text: &str) -> Vec<u8> {
        let mut packer = Packer::default();
        let turn = PackedTurn { added: text.to_owned(), output_tokens: None };
        assert!(packer.add("", &[turn]));
        packer.pack()
    }

    fn named(bytes: &[u8]) -> DataSet {
        DataSet {
            file: "f.jsonl".to_owned(),
            format: Format::Prompts,
            digest: Digest::of(bytes),
            bytes: bytes.len() as u64,
            conversations: 1,
            turns: 1,
            shuffled: false,
        }
    }

    fn why_not(shelf: &Shelf, data: &DataSet) -> String {
        shelf.find(data).map(drop).unwrap_err()
    }

    fn supply(shelf: &mut Shelf, digest: Digest, bytes: &[u8], piece: usize) {
        let mut offset = 0;
        for chunk in bytes.chunks(piece) {
            if let Some(whole) = shelf.take(digest, bytes.len() as u64, offset, chunk) {
                shelf.put(whole.check());
            }
            offset += chunk.len() as u64;
        }
    }

    #[test]
    fn pieces_of_any_size_make_the_whole_and_once_is_enough() {
        let bytes = packed("\"some text\"");
        let data = named(&bytes);
        for piece in [1, 7, 1000] {
            let mut shelf = Shelf::default();
            supply(&mut shelf, data.digest, &bytes, piece);
            supply(&mut shelf, data.digest, &bytes, piece);
            let Ok(Supplied::Records(records)) = shelf.find(&data) else {
                panic!("no records");
            };
            assert_eq!(records.turn(0, 0).unwrap().text, b"\"some text\"");
        }
    }

    #[test]
    fn what_is_missing_or_damaged_is_said_when_it_is_needed() {
        let bytes = packed("x");
        let data = named(&bytes);
        let why = |supplied: &dyn Fn(&mut Shelf)| {
            let mut shelf = Shelf::default();
            supplied(&mut shelf);
            let why = why_not(&shelf, &data);
            why.split_once(") is ").unwrap().1.to_owned()
        };
        assert_eq!(why(&|_| {}), "not supplied");
        let total = bytes.len() as u64;
        let first = |shelf: &mut Shelf| drop(shelf.take(data.digest, total, 0, &bytes[..9]));
        assert!(why(&first).starts_with("supplied in part only: 9 of"));
        let gap = |shelf: &mut Shelf| {
            first(shelf);
            assert!(shelf.take(data.digest, total, 10, &bytes[10..]).is_none());
        };
        assert_eq!(why(&gap), "supplied with a gap");
        let other = |shelf: &mut Shelf| supply(shelf, data.digest, &packed("y"), 50);
        assert_eq!(why(&other), "not the bytes that their digest names");
        let large = |shelf: &mut Shelf| drop(shelf.take(data.digest, HELD_MAX + 1, 0, b"x"));
        assert!(why(&large).contains("more than the 268435456 that this agent has left"));
        let mut shelf = Shelf::default();
        supply(&mut shelf, data.digest, &bytes, 9);
        let counted = DataSet { turns: 2, ..data };
        assert!(why_not(&shelf, &counted).ends_with("is not of the size announced"));
    }

    #[test]
    fn all_of_them_together_have_a_bound() {
        let mut shelf = Shelf::default();
        assert!(shelf.take(Digest::of(b"1"), HELD_MAX - 5, 0, b"x").is_none());
        let bytes = packed("x");
        let data = named(&bytes);
        supply(&mut shelf, data.digest, &bytes, 9);
        assert!(why_not(&shelf, &data).contains("more than the 5 that this agent has left"));
        for number in 0..2 * ITEMS_MAX {
            let _bad = shelf.take(Digest::of(&number.to_le_bytes()), u64::MAX, 0, b"x");
        }
        assert_eq!(shelf.items.len(), ITEMS_MAX);
    }
}
