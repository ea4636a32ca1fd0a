//! Prompts as slices of text that is made once: what differs from request to request is a nonce,
//! and how much of a text that all share follows it. Nothing is copied, formatted or searched when
//! a prompt is drawn.

use crate::ids::UserId;
use crate::phase::Phase;
use crate::seed::{Generator, Seed};
use crate::text::{PASSAGE, PromptText, Rate, Words};
use crate::workload::{CacheMode, SharedPrefix, Workload};

/// The prompts of a level.
#[derive(Clone, Debug)]
pub struct Prompts {
    workload: Workload,
    seed: Seed,
    /// As much of the text as the longest prompt takes.
    text: Vec<u8>,
}

/// What is drawn for one request.
#[derive(Clone, Copy, Debug)]
pub struct Drawn {
    /// The nonces, one after the other; of a prompt with a shared prefix the first names its group.
    nonces: [Nonce; 2],
    /// Bytes of text after the first nonce, before the second.
    prefix: usize,
    /// Bytes of text after the nonces.
    text: usize,
    /// The prompt's length that is asked for.
    pub input_tokens: u32,
    /// The answer's length that is asked for.
    pub output_tokens: u32,
}

/// Slices that a prompt is put together from.
pub const SLICES: usize = 5;

/// Letters of a nonce that stands before characters of the passage.
const LETTERS: usize = 16;
/// A space and a word for each that tells a prompt apart.
const NONCE_BYTES_MAX: usize = Words::DISTINCT_MAX * (1 + Words::BYTES_MAX);

/// What tells a prompt apart from others.
#[derive(Clone, Copy, Debug)]
struct Nonce {
    bytes: [u8; NONCE_BYTES_MAX],
    len: usize,
}

impl Prompts {
    /// The prompts of a workload in a campaign with this seed.
    pub fn new(workload: &Workload, seed: Seed) -> Self {
        let longest = workload.input_tokens.most();
        let text = match &workload.text {
            PromptText::Characters => fill(PASSAGE.as_bytes(), Rate::PAPER.chars(longest)),
            PromptText::Measured(rate) => fill(PASSAGE.as_bytes(), rate.chars(longest)),
            PromptText::Words(words) => fill(words.text_once(), words.text_bytes(longest as usize)),
        };
        Self { workload: workload.clone(), seed, text }
    }

    /// What a request asks for, by a generator of its own.
    pub fn draw(&self, generator: &mut Generator) -> Drawn {
        match &self.workload.text {
            PromptText::Characters => self.of_characters(Rate::PAPER, generator),
            PromptText::Measured(rate) => self.of_characters(*rate, generator),
            PromptText::Words(words) => self.of_words(words, generator),
        }
    }

    fn of_characters(&self, rate: Rate, generator: &mut Generator) -> Drawn {
        let own = Nonce::letters(generator);
        let Workload { input_tokens, output_tokens, .. } = &self.workload;
        let input_tokens = input_tokens.draw(generator);
        let input = rate.chars(input_tokens);
        let output_tokens = output_tokens.draw(generator);
        let rest = |taken: usize| input.saturating_sub(taken).max(1);
        match self.begins(generator) {
            Beginning::Own => {
                let nonces = [own, Nonce::NONE];
                Drawn { nonces, prefix: 0, text: rest(own.len), input_tokens, output_tokens }
            }
            Beginning::Nothing => Drawn {
                nonces: [Nonce::NONE; 2],
                prefix: 0,
                text: rest(0),
                input_tokens,
                output_tokens,
            },
            Beginning::Shared { tokens, mut group } => {
                let (prefix, group) = (rate.chars(tokens), Nonce::letters(&mut group));
                let text = rest(prefix.max(group.len) + own.len);
                let prefix = prefix.saturating_sub(group.len);
                Drawn { nonces: [group, own], prefix, text, input_tokens, output_tokens }
            }
        }
    }

    /// Every word is a token, the opening is one, and the server adds some.
    fn of_words(&self, words: &Words, generator: &mut Generator) -> Drawn {
        let bits = [(); Words::DISTINCT_MAX].map(|()| generator.next_u64());
        let Workload { input_tokens, output_tokens, .. } = &self.workload;
        let beside = |tokens: u32| tokens.saturating_sub(words.overhead()).max(1) as usize - 1;
        let input_tokens = input_tokens.draw(generator);
        let input = beside(input_tokens);
        let output_tokens = output_tokens.draw(generator);
        let bytes = |count: usize| words.text_bytes(count);
        match self.begins(generator) {
            Beginning::Own => {
                let (own, taken) = Nonce::words(words, bits, input);
                let nonces = [own, Nonce::NONE];
                Drawn { nonces, prefix: 0, text: bytes(input - taken), input_tokens, output_tokens }
            }
            Beginning::Nothing => Drawn {
                nonces: [Nonce::NONE; 2],
                prefix: 0,
                text: bytes(input),
                input_tokens,
                output_tokens,
            },
            Beginning::Shared { tokens, mut group } => {
                let bits_of_group = [(); Words::DISTINCT_MAX].map(|()| group.next_u64());
                let prefix = beside(tokens).min(input);
                let (group, of_group) = Nonce::words(words, bits_of_group, prefix);
                let (own, of_own) = Nonce::words(words, bits, input - prefix);
                Drawn {
                    nonces: [group, own],
                    prefix: bytes(prefix - of_group),
                    text: bytes(input - prefix - of_own),
                    input_tokens,
                    output_tokens,
                }
            }
        }
    }

    fn begins(&self, generator: &mut Generator) -> Beginning {
        match self.workload.cache {
            CacheMode::Cold => Beginning::Own,
            CacheMode::Replay => Beginning::Nothing,
            CacheMode::SharedPrefix(SharedPrefix { tokens, groups, share_permille }) => {
                let shares = generator.unit() * 1e3 < f64::from(share_permille);
                let group = (generator.unit() * f64::from(groups)) as u64;
                if shares {
                    Beginning::Shared { tokens, group: prefix_generator(self.seed, group) }
                } else {
                    Beginning::Own
                }
            }
        }
    }

    /// A prompt, slice by slice; some are empty.
    pub fn slices<'a>(&'a self, drawn: &'a Drawn) -> [&'a [u8]; SLICES] {
        let text = |bytes: usize| self.text.get(..bytes).unwrap_or_default();
        let opening = match &self.workload.text {
            PromptText::Characters | PromptText::Measured(_) => "",
            PromptText::Words(words) => words.opening(),
        };
        let [first, second] = &drawn.nonces;
        [opening.as_bytes(), first.get(), text(drawn.prefix), second.get(), text(drawn.text)]
    }

    /// Bytes of text that prompts are slices of.
    pub fn size(&self) -> usize {
        self.text.len()
    }
}

/// What a prompt begins with.
enum Beginning {
    /// What is its own.
    Own,
    /// What it shares with those of its group.
    Shared { tokens: u32, group: Generator },
    /// What all share.
    Nothing,
}

impl Nonce {
    const NONE: Self = Self { bytes: [b' '; NONCE_BYTES_MAX], len: 0 };

    /// Sixteen letters and a space.
    fn letters(generator: &mut Generator) -> Self {
        let mut nonce = Self { len: LETTERS + 1, ..Self::NONE };
        let mut bits = generator.next_u64();
        for letter in nonce.bytes.iter_mut().take(LETTERS) {
            *letter = b'a' + (bits & 15) as u8;
            bits >>= 4;
        }
        nonce
    }

    /// As many words as tell a prompt apart, and no more than `most`; how many those are.
    fn words(words: &Words, bits: [u64; Words::DISTINCT_MAX], most: usize) -> (Self, usize) {
        let count = words.distinct().min(most);
        let mut nonce = Self::NONE;
        for word in bits.into_iter().take(count).map(|bits| words.pick(bits)) {
            let place = nonce.bytes.iter_mut().skip(nonce.len);
            place.zip(word).for_each(|(place, byte)| *place = *byte);
            nonce.len += word.len();
        }
        (nonce, count)
    }

    fn get(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

fn fill(once: &[u8], bytes: usize) -> Vec<u8> {
    once.iter().copied().cycle().take(bytes).collect()
}

/// What names a group of prompts: the same at every level of a repeat, as a system prompt is.
fn prefix_generator(seed: Seed, group: u64) -> Generator {
    seed.request(Phase::Warmup, u32::MAX, UserId(u32::MAX - 1), group)
}
