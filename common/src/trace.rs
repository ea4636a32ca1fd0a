//! A trace of requests: when each came, how long it was, and what its prompt shared with others; as
//! agents are supplied with it.
//!
//! A prompt is made of blocks of [`BLOCK_TOKENS`] tokens, each named by a number: where two prompts
//! have the same number, they have the same block.

use crate::digest::Digest;
use crate::records::{BYTES_MAX, ENTRIES_MAX, RecordsError};
use crate::workload::TOKENS_MAX;

/// Tokens of a block.
pub const BLOCK_TOKENS: u32 = 512;

/// What a packed trace begins with.
const MAGIC: &[u8] = b"floodmark trace 1\n";

/// One request of a trace, as it is packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// When it came, in microseconds since the first one.
    pub offset_us: u64,
    /// Tokens of its prompt; from 1 to [`TOKENS_MAX`].
    pub input_tokens: u32,
    /// Tokens of its answer; `None`: as many as the workload says.
    pub output_tokens: Option<u32>,
    /// What its prompt begins with.
    pub blocks: Vec<u64>,
}

/// A trace that can be replayed.
#[derive(Debug, PartialEq, Eq)]
pub struct Trace {
    entries: Vec<Entry>,
    blocks: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    offset_us: u64,
    input_tokens: u32,
    /// 0 where the trace says nothing.
    output_tokens: u32,
    /// Where its blocks end; they begin where those before it do.
    blocks_end: u32,
}

/// One request of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed<'a> {
    /// When it came, in microseconds since the first one.
    pub offset_us: u64,
    /// Tokens of its prompt.
    pub input_tokens: u32,
    /// Tokens of its answer, if the trace says.
    pub output_tokens: Option<u32>,
    /// What its prompt begins with.
    pub blocks: &'a [u64],
}

/// Packs a trace, whose requests are in the order in which they came; `None` if it is too long.
pub fn pack(all: &[Traced]) -> Option<Vec<u8>> {
    let blocks: usize = all.iter().map(|one| one.blocks.len()).sum();
    let size = MAGIC.len() + 8 + all.len() * 20 + blocks * 8;
    if all.len() > ENTRIES_MAX as usize || size > BYTES_MAX {
        return None;
    }
    let mut bytes = Vec::with_capacity(size);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&(all.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&(blocks as u32).to_le_bytes());
    for Traced { offset_us, input_tokens, output_tokens, blocks } in all {
        bytes.extend_from_slice(&offset_us.to_le_bytes());
        for number in [*input_tokens, output_tokens.unwrap_or(0), blocks.len() as u32] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
    }
    let blocks = all.iter().flat_map(|one| &one.blocks);
    blocks.for_each(|block| bytes.extend_from_slice(&block.to_le_bytes()));
    Some(bytes)
}

/// Whether bytes say that they are a trace.
pub fn is_trace(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

impl Trace {
    /// The trace in `bytes`, which `digest` names.
    ///
    /// # Errors
    /// As [`RecordsError`] says.
    pub fn unpack(bytes: &[u8], digest: Digest) -> Result<Self, RecordsError> {
        if Digest::of(bytes) != digest {
            return Err(RecordsError::Other);
        }
        Self::read(bytes).ok_or(RecordsError::Damaged)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > BYTES_MAX {
            return None;
        }
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let (count, all_blocks) = (number(&mut rest)?, number(&mut rest)?);
        if count == 0 || count > ENTRIES_MAX {
            return None;
        }
        let (mut entries, mut blocks_end, mut last_us) = (Vec::new(), 0u32, 0);
        for _ in 0..count {
            let offset_us = long(&mut rest)?;
            let (input_tokens, output_tokens) = (number(&mut rest)?, number(&mut rest)?);
            blocks_end = blocks_end.checked_add(number(&mut rest)?)?;
            if offset_us < last_us || !(1..=TOKENS_MAX).contains(&input_tokens) {
                return None;
            }
            last_us = offset_us;
            entries.push(Entry { offset_us, input_tokens, output_tokens, blocks_end });
        }
        if blocks_end != all_blocks || rest.len() != all_blocks as usize * 8 {
            return None;
        }
        let blocks = (0..all_blocks).map(|_| long(&mut rest)).collect::<Option<_>>()?;
        Some(Self { entries, blocks })
    }

    /// How many requests there are; at least 1.
    pub fn count(&self) -> u32 {
        self.entries.len() as u32
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        self.entries.len() * size_of::<Entry>() + self.blocks.len() * 8
    }

    /// The request with this number, from 0.
    pub fn get(&self, number: u64) -> Option<Replayed<'_>> {
        let place = usize::try_from(number).ok()?;
        let Entry { offset_us, input_tokens, output_tokens, blocks_end } =
            *self.entries.get(place)?;
        let before = place.checked_sub(1).and_then(|before| self.entries.get(before));
        let begin = before.map_or(0, |before| before.blocks_end as usize);
        let blocks = self.blocks.get(begin..blocks_end as usize)?;
        let output_tokens = (output_tokens > 0).then_some(output_tokens);
        Some(Replayed { offset_us, input_tokens, output_tokens, blocks })
    }
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(u32::from_le_bytes(*head))
}

fn long(rest: &mut &[u8]) -> Option<u64> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(u64::from_le_bytes(*head))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn arb_trace() -> impl Strategy<Value = Vec<Traced>> {
        let one = (
            0u64..9_000,
            1u32..99,
            prop::option::of(1u32..99),
            prop::collection::vec(0u64..5, 0..4),
        );
        prop::collection::vec(one, 1..9).prop_map(|all| {
            let mut offset_us = 0;
            let traced = all.into_iter().map(|(gap, input_tokens, output_tokens, blocks)| {
                offset_us += gap;
                Traced { offset_us, input_tokens, output_tokens, blocks }
            });
            traced.collect()
        })
    }

    proptest! {
        #[test]
        fn a_trace_comes_back_as_it_was(all in arb_trace()) {
            let bytes = pack(&all).unwrap();
            prop_assert!(is_trace(&bytes));
            let trace = Trace::unpack(&bytes, Digest::of(&bytes)).unwrap();
            prop_assert_eq!(trace.count() as usize, all.len());
            for (number, one) in (0..).zip(&all) {
                let Traced { offset_us, input_tokens, output_tokens, blocks } = one;
                let replayed = trace.get(number).unwrap();
                prop_assert_eq!(replayed, Replayed {
                    offset_us: *offset_us, input_tokens: *input_tokens,
                    output_tokens: *output_tokens, blocks,
                });
            }
            prop_assert_eq!(trace.get(all.len() as u64), None);
        }

        #[test]
        fn damage_is_refused_and_never_panics(
            all in arb_trace(), at in 0usize..300, byte: u8, cut in 0usize..9
        ) {
            let mut bytes = pack(&all).unwrap();
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            bytes.truncate(bytes.len() - cut);
            if let Ok(trace) = Trace::unpack(&bytes, Digest::of(&bytes)) {
                prop_assert!((0..trace.count()).all(|n| trace.get(n.into()).is_some()));
            }
            prop_assert_eq!(Trace::unpack(&bytes, Digest::of(b"x")), Err(RecordsError::Other));
        }
    }
}
