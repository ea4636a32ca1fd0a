//! How many characters of the passage are a token for a server, from what it counted of a few
//! prompts: tokens = beside + characters / rate. A pure value.
//!
//! The passage repeats, and its words are not all as long: between two prompts that differ by whole
//! repetitions the rate is exact, and within one repetition a prompt may be a few tokens off what the
//! rate says. So prompts are asked about at lengths that differ by whole repetitions, and a length
//! that is one number is asked about a last time where its prompts end.

use common::length::Length;
use common::text::{PASSAGE, Rate};
use common::workload::{CacheMode, SharedPrefix, Workload};

/// No prompt is asked about that is longer than this, in tokens at four characters.
pub(super) const TOKENS_MAX: u32 = 2_000;
/// Characters of the shortest prompt that is asked about, beside what it shares.
const CHARS_MIN: usize = 64;

/// What is asked about prompts of a workload.
pub(super) struct Question<'a> {
    workload: &'a Workload,
}

/// What a server counted of a prompt: its characters and its tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    pub(super) chars: usize,
    /// The mean, where prompts of one length differ.
    pub(super) tokens: f64,
}

impl<'a> Question<'a> {
    pub(super) fn new(workload: &'a Workload) -> Self {
        Self { workload }
    }

    /// Characters of the first two prompts, the shorter one first.
    pub(super) fn first(&self) -> [usize; 2] {
        let Workload { input_tokens, cache, .. } = self.workload;
        let least = CHARS_MIN
            + match cache {
                CacheMode::SharedPrefix(SharedPrefix { tokens, .. }) => Rate::PAPER.chars(*tokens),
                CacheMode::Cold | CacheMode::Replay => 0,
            };
        let longest = reduced(Rate::PAPER.chars(input_tokens.most()), least);
        let shortest = match input_tokens.fixed() {
            Some(_) => least,
            None => least.max(Rate::PAPER.chars(input_tokens.least())),
        };
        match longest.saturating_sub(shortest) / PASSAGE.len() {
            // Where nothing fits between them the longer one is longer than any prompt.
            0 => {
                let short = longest.max(least);
                [short, short + PASSAGE.len()]
            }
            repetitions => [longest - repetitions * PASSAGE.len(), longest],
        }
    }

    /// The rate by the first two; `None` if what the server counted is no count of them.
    pub(super) fn rate(&self, [short, long]: [Counted; 2]) -> Option<Rate> {
        let chars = long.chars.checked_sub(short.chars)? as f64;
        let tokens = long.tokens - short.tokens;
        if tokens <= 0.0 {
            return None;
        }
        let per_token = chars / tokens;
        // The same place in a repetition: the shorter one stands for both.
        rate_of(per_token, less(per_token, short))
    }

    /// Characters of the last prompt.
    pub(super) fn last(&self, rate: Rate) -> usize {
        let least = self.first().first().copied().unwrap_or(CHARS_MIN);
        reduced(rate.chars(self.middle()), least).max(1)
    }

    /// The rate when the last one is counted, too.
    pub(super) fn settled(&self, rate: Rate, first: [Counted; 2], last: Counted) -> Rate {
        let per_token = rate.chars_per_token();
        let [short, long] = first.map(|counted| less(per_token, counted));
        let last = less(per_token, last);
        let less = match self.workload.input_tokens.fixed() {
            Some(_) => last,
            // Lengths that are drawn end anywhere.
            None => (short + long + 2.0 * last) / 4.0,
        };
        rate_of(per_token, less).unwrap_or(rate)
    }

    /// The length, or the mean of those that are drawn.
    pub(super) fn middle(&self) -> u32 {
        middle(&self.workload.input_tokens)
    }
}

/// A length, or the mean of those that are drawn.
pub(super) fn middle(length: &Length) -> u32 {
    length.fixed().unwrap_or_else(|| length.mean().round() as u32)
}

/// Characters less than what a rate says of the tokens that were counted.
fn less(per_token: f64, Counted { chars, tokens }: Counted) -> f64 {
    tokens * per_token - chars as f64
}

fn rate_of(per_token: f64, less: f64) -> Option<Rate> {
    // Casts of floats saturate, and what is beyond sense is refused.
    Rate::new((per_token * 1e6).round() as u32, less.round() as i32)
}

/// Whole repetitions less, so that a prompt is not longer than what is asked about, and ends in the
/// same place of the passage; not below `least`.
fn reduced(chars: usize, least: usize) -> usize {
    let most = Rate::PAPER.chars(TOKENS_MAX);
    let over = chars.saturating_sub(most).div_ceil(PASSAGE.len());
    let can = chars.saturating_sub(least) / PASSAGE.len();
    chars - over.min(can) * PASSAGE.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is settled on with a server that counts so.
    fn measure(workload: &Workload, tokens: impl Fn(usize) -> f64) -> Rate {
        let question = Question::new(workload);
        let count = |chars| Counted { chars, tokens: tokens(chars) };
        let first = question.first().map(count);
        let rate = question.rate(first).unwrap();
        question.settled(rate, first, count(question.last(rate)))
    }

    fn workload(input: Length) -> Workload {
        let cache = CacheMode::Replay;
        Workload { cache, ..Workload::new("w".parse().unwrap(), input, 5.into()) }
    }

    /// Tokens of a beginning of the passage, if each word is as many as its length says.
    fn of_words(chars: usize, letters: usize) -> f64 {
        let text: String = PASSAGE.chars().cycle().take(chars).collect();
        text.split_whitespace().map(|word| word.len().div_ceil(letters) as f64).sum()
    }

    proptest! {
        #[test]
        fn a_server_that_counts_characters_delivers_what_is_asked_for(
            tokens in 40u32..100_000,
            per_token in 1.5f64..9.0,
            beside in 0u32..30,
        ) {
            let count = |chars: usize| (chars as f64 / per_token).ceil() + f64::from(beside);
            let rate = measure(&workload(tokens.into()), count);
            let delivered = count(rate.chars(tokens));
            // Counts are rounded: by up to two tokens between the prompts that are asked about.
            let [short, long] = Question::new(&workload(tokens.into())).first();
            let apart = (long - short) as f64 / per_token;
            let beyond = rate.chars(tokens).saturating_sub(long) as f64 / per_token;
            let far = 1.5 + beyond * 2.0 / apart;
            prop_assert!((delivered - f64::from(tokens)).abs() <= far, "{delivered} {tokens}");
        }

        #[test]
        fn a_server_that_counts_words_delivers_what_is_asked_for(
            tokens in 40u32..100_000,
            letters in 3usize..20,
            beside in 0u32..30,
        ) {
            let count = |chars: usize| of_words(chars, letters) + f64::from(beside);
            let rate = measure(&workload(tokens.into()), count);
            let delivered = count(rate.chars(tokens));
            let longest_word = 11f64.max(letters as f64) / letters as f64;
            let close = 1.0 + longest_word;
            prop_assert!((delivered - f64::from(tokens)).abs() <= close, "{delivered} {tokens}");
        }

        #[test]
        fn nothing_longer_is_asked_about_than_prompts_are(
            least in 1u32..50_000,
            more in 0u32..50_000,
        ) {
            let workload = workload(Length::Uniform { least, most: least + more });
            let question = Question::new(&workload);
            let [short, long] = question.first();
            prop_assert!(short < long && (long - short) % PASSAGE.len() == 0);
            prop_assert!(short >= CHARS_MIN);
            let most = (4 * (least + more) as usize).max(CHARS_MIN) + PASSAGE.len();
            let cap = (4 * least as usize).max(8_000) + PASSAGE.len();
            prop_assert!(long <= most.min(cap), "{short} {long}");
        }
    }

    #[test]
    fn lengths_that_are_drawn_are_right_on_average() {
        let length = Length::Uniform { least: 100, most: 900 };
        let count = |chars: usize| of_words(chars, 4) + 12.0;
        let rate = measure(&workload(length), count);
        let delivered: f64 =
            (100..=900).map(|tokens| count(rate.chars(tokens))).sum::<f64>() / 801.0;
        assert!((delivered - 500.0).abs() < 3.0, "{delivered}");
    }

    #[test]
    fn what_is_no_count_gives_no_rate() {
        let workload = workload(500.into());
        let question = Question::new(&workload);
        let rate = |short, long| {
            let counted = |chars, tokens| Counted { chars, tokens };
            question.rate([counted(100, short), counted(1000, long)])
        };
        assert!(rate(25.0, 250.0).is_some());
        for (short, long) in [(25.0, 25.0), (250.0, 25.0), (0.0, 1.0), (0.0, 1e9)] {
            assert_eq!(rate(short, long), None, "{short} {long}");
        }
    }
}
