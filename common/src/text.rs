//! What prompts are made of, and how long a piece of it is: characters of a passage, or words of
//! which each is known to be one token. Values only: who counted the tokens is another's matter.

use std::fmt;
use std::sync::Arc;

use crate::digest::DigestWriter;

/// What prompts are made of: four sentences, repeated to the length asked for. The paper's own
/// passage is unpublished; this one is ours, of the same kind.
pub const PASSAGE: &str = "A neural network learns by comparing what it predicted with what was \
    seen, and by moving each of its weights a little in the direction that would have made the \
    error smaller. Deep models stack many such layers, so that early layers find simple patterns \
    and later ones combine them into concepts. Attention lets every position of a sequence look \
    at every other one and decide how much each of them matters. At serving time the weights no \
    longer change, and the work is to move them through memory fast enough for everyone who \
    waits. ";

/// Characters of prompt per token asked for: the heuristic of the paper, section 5.1.
pub const CHARS_PER_TOKEN: u32 = 4;

/// What prompts are made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PromptText {
    /// The passage, at [`CHARS_PER_TOKEN`] characters a token.
    Characters,
    /// The passage, at what the server said that so many characters are.
    Measured(Rate),
    /// Words that are one token each.
    Words(Words),
}

/// How many characters a prompt of some tokens has: so many for each, less what stands for the
/// tokens that every prompt has beside its own text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    chars_per_million: u32,
    less_chars: i32,
}

impl Rate {
    /// [`CHARS_PER_TOKEN`] for each.
    pub const PAPER: Self = Self { chars_per_million: CHARS_PER_TOKEN * MILLION, less_chars: 0 };

    /// One character for each.
    pub const CHARACTER: Self = Self { chars_per_million: MILLION, less_chars: 0 };

    /// A rate; `None` unless it is from a quarter of a character to 16 characters for each token,
    /// less up to a million.
    pub fn new(chars_per_million: u32, less_chars: i32) -> Option<Self> {
        let sound = (MILLION / 4..=16 * MILLION).contains(&chars_per_million)
            && less_chars.unsigned_abs() <= MILLION;
        sound.then_some(Self { chars_per_million, less_chars })
    }

    /// Characters for a million tokens.
    pub fn chars_per_million(self) -> u32 {
        self.chars_per_million
    }

    /// Characters less, whatever the length.
    pub fn less_chars(self) -> i32 {
        self.less_chars
    }

    /// Characters for each token.
    pub fn chars_per_token(self) -> f64 {
        f64::from(self.chars_per_million) / f64::from(MILLION)
    }

    /// The characters of a prompt; at least one.
    pub fn chars(self, tokens: u32) -> usize {
        let million = u64::from(MILLION);
        let all = u64::from(tokens) * u64::from(self.chars_per_million);
        let all = (all + million / 2) / million;
        let less = all.saturating_add_signed(-i64::from(self.less_chars)).max(1);
        usize::try_from(less).unwrap_or(usize::MAX)
    }

    /// The tokens of a prompt of so many characters.
    pub fn tokens(self, chars: f64) -> f64 {
        (chars + f64::from(self.less_chars)) / self.chars_per_token()
    }
}

const MILLION: u32 = 1_000_000;

/// Words that are one token each, whatever stands before and after them.
///
/// Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Words(Arc<Inner>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Inner {
    opening: String,
    pool: Pieces,
    text: Pieces,
    overhead: u32,
    distinct: usize,
}

/// Why words are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// A word that no prompt can be made of.
    #[error("a word is not 1 to {} ASCII letters", Words::BYTES_MAX)]
    Word,
    /// Too few or too many, or one of them twice.
    #[error(
        "not {} to {} distinct words that tell prompts apart, and 1 to {} of text",
        Words::POOL_MIN,
        Words::POOL_MAX,
        Words::TEXT_MAX
    )]
    Count,
    /// Nothing has so many tokens beside its text.
    #[error("more than {} tokens beside the text of a prompt", Words::OVERHEAD_MAX)]
    Overhead,
}

impl Words {
    /// Fewest words that tell prompts apart: [`Words::DISTINCT_MAX`] of them are enough.
    pub const POOL_MIN: usize = 128;
    /// Most words that tell prompts apart.
    pub const POOL_MAX: usize = 1024;
    /// Most words of text.
    pub const TEXT_MAX: usize = 256;
    /// Most letters of a word.
    pub const BYTES_MAX: usize = 12;
    /// Bits by which a prompt differs from others, at least.
    pub const DISTINCT_BITS: u32 = 60;
    /// Most words that it takes for that.
    pub const DISTINCT_MAX: usize = 9;
    /// Most tokens beside the text of a prompt.
    pub const OVERHEAD_MAX: u32 = 100_000;

    /// Prompts begin with `opening`; words of `pool` tell them apart, those of `text` fill them, one
    /// after the other and again from the first. Words are separated by one space. Beside them a
    /// prompt has `overhead` tokens.
    ///
    /// # Errors
    /// If there are too few, too many or too long ones.
    pub fn new(opening: &str, pool: &str, text: &str, overhead: u32) -> Result<Self, WordsError> {
        let (pool, text) = (Pieces::new(pool)?, Pieces::new(text)?);
        if !is_word(opening) {
            return Err(WordsError::Word);
        }
        let (in_pool, in_text) = (pool.ends.len(), text.ends.len());
        let enough = (Self::POOL_MIN..=Self::POOL_MAX).contains(&in_pool);
        if !enough || !pool.are_distinct() || !(1..=Self::TEXT_MAX).contains(&in_text) {
            return Err(WordsError::Count);
        }
        if overhead > Self::OVERHEAD_MAX {
            return Err(WordsError::Overhead);
        }
        let bits = (in_pool as f64).log2();
        let distinct = (f64::from(Self::DISTINCT_BITS) / bits).ceil() as usize;
        let distinct = distinct.min(Self::DISTINCT_MAX);
        Ok(Self(Arc::new(Inner { opening: opening.to_owned(), pool, text, overhead, distinct })))
    }

    /// The same words, of prompts that have `overhead` tokens beside them, or as many as can be.
    #[must_use]
    pub fn with_overhead(&self, overhead: u32) -> Self {
        let overhead = overhead.min(Self::OVERHEAD_MAX);
        Self(Arc::new(Inner { overhead, ..Inner::clone(&self.0) }))
    }

    /// What every prompt begins with.
    pub fn opening(&self) -> &str {
        &self.0.opening
    }

    /// What tells prompts apart, separated by spaces.
    pub fn pool(&self) -> &str {
        self.0.pool.shown()
    }

    /// What fills them, separated by spaces.
    pub fn text(&self) -> &str {
        self.0.text.shown()
    }

    /// Tokens of a prompt beside its words.
    pub fn overhead(&self) -> u32 {
        self.0.overhead
    }

    /// How many words tell a prompt apart.
    pub fn distinct(&self) -> usize {
        self.0.distinct
    }

    /// How many words there are to tell prompts apart.
    pub fn pool_len(&self) -> usize {
        self.0.pool.ends.len()
    }

    /// A word of the pool with a space before it, by `bits` drawn at random.
    pub(crate) fn pick(&self, bits: u64) -> &[u8] {
        let place = (u128::from(bits) * self.pool_len() as u128) >> 64;
        self.0.pool.piece(place as usize)
    }

    /// The bytes of so many words of text, a space before each.
    pub(crate) fn text_bytes(&self, words: usize) -> usize {
        let Pieces { joined, ends } = &self.0.text;
        let (cycles, rest) = (words / ends.len().max(1), words % ends.len().max(1));
        let rest = rest.checked_sub(1).and_then(|last| ends.get(last)).copied().unwrap_or(0);
        cycles * joined.len() + rest
    }

    /// The text once, a space before each word.
    pub(crate) fn text_once(&self) -> &[u8] {
        self.0.text.joined.as_bytes()
    }
}

/// Words, each with a space before it, and where each ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pieces {
    joined: String,
    ends: Vec<usize>,
}

impl Pieces {
    fn new(words: &str) -> Result<Self, WordsError> {
        let (mut joined, mut ends) = (String::new(), Vec::new());
        for word in words.split(' ') {
            if !is_word(word) {
                return Err(WordsError::Word);
            }
            if ends.len() >= Words::POOL_MAX {
                return Err(WordsError::Count);
            }
            joined.extend([" ", word]);
            ends.push(joined.len());
        }
        Ok(Self { joined, ends })
    }

    fn shown(&self) -> &str {
        self.joined.trim_start()
    }

    fn are_distinct(&self) -> bool {
        let mut words: Vec<&str> = self.shown().split(' ').collect();
        words.sort_unstable();
        words.windows(2).all(|pair| pair.first() != pair.last())
    }

    fn piece(&self, place: usize) -> &[u8] {
        let from = place.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        let to = self.ends.get(place).copied().unwrap_or(0);
        self.joined.as_bytes().get(from.unwrap_or(0)..to).unwrap_or_default()
    }
}

fn is_word(word: &str) -> bool {
    (1..=Words::BYTES_MAX).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_alphabetic())
}

impl PromptText {
    /// What makes a prompt as long as asked for, in words.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Characters => "characters",
            Self::Measured(_) => "measured",
            Self::Words(_) => "tokenizer",
        }
    }

    /// Nothing is added for what was the only kind once, so that older agents understand the same.
    pub(crate) fn feed(&self, digest: &mut DigestWriter) {
        match self {
            Self::Characters => {}
            Self::Measured(Rate { chars_per_million, less_chars }) => {
                digest.text("measured").number((*chars_per_million).into());
                digest.number(i64::from(*less_chars).cast_unsigned());
            }
            Self::Words(words) => {
                digest.text("words").text(words.opening()).text(words.pool()).text(words.text());
                digest.number(words.overhead().into());
            }
        }
    }
}

impl fmt::Display for PromptText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Characters => write!(f, "{CHARS_PER_TOKEN} characters each"),
            Self::Measured(rate) => {
                write!(f, "{:.2} characters each, as measured", rate.chars_per_token())
            }
            Self::Words(words) => {
                let (pool, overhead) = (words.pool_len(), words.overhead());
                write!(f, "words of one token each, {pool} to tell prompts apart")?;
                if overhead > 0 {
                    write!(f, ", less {overhead} that every prompt has beside its own")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `count` words of letters.
    fn pool(count: usize) -> String {
        let letter = |at: usize| char::from(b'a' + (at % 26) as u8);
        let word = |at: usize| [letter(at / 676), letter(at / 26), letter(at)].iter().collect();
        (0..count).map(word).collect::<Vec<String>>().join(" ")
    }

    #[test]
    fn a_rate_gives_characters_and_they_give_tokens_again() {
        assert_eq!(Rate::PAPER.chars(500), 2000);
        let rate = Rate::new(4_610_000, 60).unwrap();
        assert_eq!(rate.chars(500), 2245);
        assert!((rate.tokens(2245.0) - 500.0).abs() < 0.2);
        assert_eq!((rate.chars(0), rate.chars(1), rate.chars(13)), (1, 1, 1));
        let wide = Rate::new(16_000_000, -1_000_000).unwrap();
        assert_eq!(wide.chars(10_000_000), 161_000_000);
        for (chars, less) in [(0, 0), (200_000, 0), (16_000_001, 0), (4_000_000, -1_000_001)] {
            assert_eq!(Rate::new(chars, less), None);
        }
    }

    #[test]
    fn words_tell_prompts_apart_by_sixty_bits() {
        for (count, distinct) in [(128, 9), (256, 8), (512, 7), (1000, 7), (1024, 6)] {
            let words = Words::new("A", &pool(count), "b cd", 3).unwrap();
            assert_eq!(words.distinct(), distinct, "{count}");
            let bits = (count as f64).log2() * distinct as f64;
            assert!(bits >= f64::from(Words::DISTINCT_BITS), "{count}: {bits}");
        }
    }

    #[test]
    fn every_word_is_picked_and_text_goes_round() {
        let words = Words::new("A", &pool(200), "b cd efg", 0).unwrap();
        let step = u64::MAX / 1999;
        let picked: std::collections::BTreeSet<&[u8]> =
            (0..2000).map(|at: u64| words.pick(at * step)).collect();
        assert_eq!(picked.len(), 200);
        assert!(picked.contains(&b" aaa"[..]));
        let bytes: Vec<usize> = (0..8).map(|count| words.text_bytes(count)).collect();
        assert_eq!(bytes, [0, 2, 5, 9, 11, 14, 18, 20]);
    }

    #[test]
    fn what_is_no_word_is_refused() {
        let new = |opening: &str, pool: &str, text: &str, overhead| {
            Words::new(opening, pool, text, overhead).map(|words| words.pool_len())
        };
        assert_eq!(new("A", &pool(128), "a", 0), Ok(128));
        assert_eq!(new("A", &pool(127), "a", 0), Err(WordsError::Count));
        assert_eq!(new("A", &pool(1025), "a", 0), Err(WordsError::Count));
        assert_eq!(new("A", &format!("{} aaa", pool(128)), "a", 0), Err(WordsError::Count));
        assert_eq!(new("A", &pool(128), &pool(257), 0), Err(WordsError::Count));
        assert_eq!(new("A", &pool(128), "a", 100_001), Err(WordsError::Overhead));
        for bad in ["", "a b", "a\n", "é", "\"", "abcdefghijklm"] {
            assert_eq!(new(bad, &pool(128), "a", 0), Err(WordsError::Word), "{bad:?}");
        }
        for bad in ["", "a  b", " a", "a ", "é", "a\\"] {
            assert_eq!(new("A", &pool(128), bad, 0), Err(WordsError::Word), "{bad:?}");
        }
    }
}
