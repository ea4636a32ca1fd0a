//! Prompts as long as those of a trace, which share what those shared: a block of a prompt is a name
//! and passage, and two blocks of one number are the same.

use common::ids::UserId;
use common::phase::Phase;
use common::seed::{Generator, Seed};
use common::text::{PASSAGE, Rate};
use common::trace::{BLOCK_TOKENS, Replayed};

/// Letters of a name, and a space.
const NAME: usize = 17;

/// The prompt of a request: its blocks, and what they leave of its length, which is its own.
/// `own` is drawn for it.
pub(super) fn prompt(seed: Seed, own: &mut Generator, replayed: Replayed<'_>) -> Vec<u8> {
    let length = chars(replayed.input_tokens);
    let mut prompt = Vec::with_capacity(length);
    for block in replayed.blocks {
        if prompt.len() >= length {
            break;
        }
        let mut of_block = seed.request(Phase::Warmup, u32::MAX, UserId(u32::MAX - 3), *block);
        let name = name(&mut of_block);
        let end = (prompt.len() + chars(BLOCK_TOKENS)).min(length);
        fill(&mut prompt, &name, end);
    }
    if prompt.len() < length {
        fill(&mut prompt, &name(own), length);
    }
    prompt
}

/// Letters that tell texts apart.
fn name(generator: &mut Generator) -> [u8; NAME] {
    let mut name = [b' '; NAME];
    let mut bits = generator.next_u64();
    for letter in name.iter_mut().take(NAME - 1) {
        *letter = b'a' + (bits & 15) as u8;
        bits >>= 4;
    }
    name
}

fn chars(tokens: u32) -> usize {
    Rate::PAPER.chars(tokens)
}

/// A name and passage after it, up to `end`.
fn fill(prompt: &mut Vec<u8>, name: &[u8], end: usize) {
    prompt.extend(name.iter().copied().take(end - prompt.len()));
    while prompt.len() < end {
        let more = PASSAGE.as_bytes().iter().take(end - prompt.len());
        prompt.extend(more);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn made(input_tokens: u32, blocks: &[u64], own: u64) -> Vec<u8> {
        let replayed = Replayed { offset_us: 0, input_tokens, output_tokens: None, blocks };
        prompt(Seed(1), &mut Generator::new(own), replayed)
    }

    proptest! {
        /// As long as asked for, and alike exactly as far as the blocks are.
        #[test]
        fn prompts_share_the_blocks_that_they_have_in_common(
            tokens in 1u32..3000, other_tokens in 1u32..3000,
            blocks in prop::collection::vec(0u64..3, 0..5),
            others in prop::collection::vec(0u64..3, 0..5),
        ) {
            let (one, other) = (made(tokens, &blocks, 1), made(other_tokens, &others, 2));
            prop_assert_eq!((one.len(), other.len()), (chars(tokens), chars(other_tokens)));
            let alike = blocks.iter().zip(&others).take_while(|(a, b)| a == b).count();
            let same = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
            let most = one.len().min(other.len());
            let expected = (alike * chars(BLOCK_TOKENS)).min(most);
            prop_assert!(same >= expected);
            // A name ends what is shared, unless one of the two is over.
            prop_assert!(same < expected + NAME || expected == most || same == most);
        }
    }
}
