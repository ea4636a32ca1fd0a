//! The target is asked, with a few small requests, how many tokens prompts have.

use std::collections::BTreeMap;

use common::ids::{Name, UserId};
use common::phase::Phase;
use common::prompt::Prompts;
use common::seed::Seed;
use common::text::{CHARS_PER_TOKEN, PromptText, Rate, Words};
use common::workload::{CacheMode, SharedPrefix, Workload};
use proto::secrets::Secrets;

use super::rate::{self, Counted, Question};
use crate::campaign::{Campaign, Lengths};
use crate::target::usage::{NotCounted, prompt_tokens};

/// Prompts of one length that are asked about to know the rate, where they differ, and those of the
/// length that decides what comes beside it.
const SAMPLES: u64 = 2;
const SAMPLES_LAST: u64 = 4;
/// Characters that tell a prompt of the passage apart.
const NONCE_CHARS: f64 = 17.0;
/// Words by which the two prompts differ that show whether a tokenizer is the server's.
const WORDS_APART: u32 = 128;
/// Tokens by which so many words may differ from their number.
const WORDS_OFF_MAX: f64 = 2.0;

/// Asks the target about the workloads of a campaign whose lengths are to be measured. Gives what
/// their prompts are to be made of, and says of each what was found.
pub async fn measure(
    campaign: &Campaign,
    secrets: &Secrets,
    mut say: impl FnMut(&str),
) -> BTreeMap<Name, PromptText> {
    let mut texts = BTreeMap::new();
    let components = campaign.workloads().flat_map(Workload::components);
    let workloads: BTreeMap<&Name, &Workload> =
        components.map(|(workload, _)| (&workload.name, workload)).collect();
    for (name, workload) in workloads {
        match campaign.prompts.get(name).map(|plan| plan.lengths) {
            Some(Lengths::Measured) => {}
            Some(Lengths::Characters) | None => continue,
        }
        let asking = Asking { campaign, secrets, workload };
        let (text, found) = match &workload.text {
            PromptText::Words(words) => asking.words(words).await,
            PromptText::Characters | PromptText::Measured(_) => asking.passage().await,
        };
        say(&format!("workload {name}: {found}"));
        texts.extend(text.map(|text| (name.clone(), text)));
    }
    texts
}

struct Asking<'a> {
    campaign: &'a Campaign,
    secrets: &'a Secrets,
    workload: &'a Workload,
}

impl Asking<'_> {
    async fn passage(&self) -> (Option<PromptText>, String) {
        match self.rate().await {
            Ok(Some(rate)) => (Some(PromptText::Measured(rate)), corrected(self.workload, rate)),
            Ok(None) => {
                let why = "what it counts does not grow with the text";
                (None, format!("{}: {why}", uncorrected()))
            }
            Err(why) => (None, format!("{}: {why}", uncorrected())),
        }
    }

    async fn rate(&self) -> Result<Option<Rate>, NotCounted> {
        let question = Question::new(self.workload);
        let [short, long] = question.first();
        let first = [self.of_chars(short, SAMPLES).await?, self.of_chars(long, SAMPLES).await?];
        let Some(rate) = question.rate(first) else { return Ok(None) };
        let last = self.of_chars(question.last(rate), SAMPLES_LAST).await?;
        Ok(Some(question.settled(rate, first, last)))
    }

    /// Asks about prompts of so many characters of the passage.
    async fn of_chars(&self, chars: usize, samples: u64) -> Result<Counted, NotCounted> {
        let cache = match self.workload.cache {
            CacheMode::SharedPrefix(prefix) => {
                let tokens = u32::try_from(Rate::PAPER.chars(prefix.tokens)).unwrap_or(u32::MAX);
                CacheMode::SharedPrefix(SharedPrefix { tokens, ..prefix })
            }
            CacheMode::Cold | CacheMode::Replay => self.workload.cache,
        };
        let text = PromptText::Measured(Rate::CHARACTER);
        let tokens = u32::try_from(chars).unwrap_or(u32::MAX);
        let input_tokens = tokens.into();
        let workload = Workload { input_tokens, cache, text, ..self.workload.clone() };
        let tokens = self.count(workload, samples);
        Ok(Counted { chars, tokens: tokens.await? })
    }

    async fn words(&self, words: &Words) -> (Option<PromptText>, String) {
        let least = u32::try_from(Words::DISTINCT_MAX).unwrap_or(u32::MAX) + 1;
        let most = self.workload.input_tokens.most().min(rate::TOKENS_MAX);
        let long = most.max(least + WORDS_APART);
        let short = long - WORDS_APART;
        let counted =
            async { Ok((self.of_words(words, short).await?, self.of_words(words, long).await?)) };
        let (short_tokens, long_tokens) = match counted.await {
            Ok(counted) => counted,
            Err(why) => {
                let why: NotCounted = why;
                return (None, format!("what the target adds to a prompt is not known: {why}"));
            }
        };
        let apart = long_tokens - short_tokens;
        if (apart - f64::from(WORDS_APART)).abs() > WORDS_OFF_MAX {
            let found = format!(
                "the tokenizer does not match the target: it counts {apart} tokens of {WORDS_APART} \
                 words that are one token each; state the file of the tokenizer that it serves with, \
                 or leave tokenizer out"
            );
            return (None, found);
        }
        let beside = (long_tokens - f64::from(long) + short_tokens - f64::from(short)) / 2.0;
        // A cast of a float saturates.
        let words = words.with_overhead(beside.round() as u32);
        let found = match words.overhead() {
            0 => "the target adds no token to a prompt; nothing to correct".to_owned(),
            tokens => {
                format!("the target adds {tokens} tokens to a prompt, which are taken off its text")
            }
        };
        (Some(PromptText::Words(words)), found)
    }

    /// Asks about prompts of so many words.
    async fn of_words(&self, words: &Words, count: u32) -> Result<f64, NotCounted> {
        // How prompts begin changes nothing of how many words they have.
        let (cache, text) = (CacheMode::Cold, PromptText::Words(words.with_overhead(0)));
        let input_tokens = count.into();
        self.count(Workload { input_tokens, cache, text, ..self.workload.clone() }, 1).await
    }

    /// The mean of the tokens of some prompts, none of which is one of a level's.
    async fn count(&self, workload: Workload, samples: u64) -> Result<f64, NotCounted> {
        let Campaign { seed, target, .. } = self.campaign;
        let prompts = Prompts::new(&workload, *seed);
        let samples = match workload.cache {
            CacheMode::Cold | CacheMode::SharedPrefix(_) => samples,
            CacheMode::Replay => 1,
        };
        let mut sum = 0;
        for sample in 0..samples {
            let prompt = prompt(&prompts, *seed, sample);
            sum += prompt_tokens(target, self.secrets, &workload, prompt).await?;
        }
        Ok(sum as f64 / samples as f64)
    }
}

/// A prompt that no level has: of a place that is none's. Those of one number begin alike, whatever
/// their lengths, so that how they begin makes no difference of lengths.
fn prompt(prompts: &Prompts, seed: Seed, sample: u64) -> String {
    let place = u32::MAX - 1;
    let mut generator = seed.request(Phase::Warmup, place, UserId(0), sample);
    let drawn = prompts.draw(&mut generator);
    let bytes = prompts.slices(&drawn).concat();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn uncorrected() -> String {
    format!(
        "the target does not say how many tokens a prompt has, so {CHARS_PER_TOKEN} characters stay \
         one token"
    )
}

/// What was corrected, in words.
fn corrected(workload: &Workload, rate: Rate) -> String {
    let asked = rate::middle(&workload.input_tokens);
    let mean = if workload.input_tokens.fixed().is_some() { "" } else { " on average" };
    let delivered = rate.tokens(Rate::PAPER.chars(asked) as f64);
    let mut text = format!(
        "asked for {asked} tokens{mean}: {delivered:.0} delivered at {CHARS_PER_TOKEN} characters \
         each; "
    );
    let least = match workload.cache {
        CacheMode::Cold => NONCE_CHARS + 1.0,
        CacheMode::SharedPrefix(_) | CacheMode::Replay => 1.0,
    };
    let shortest = rate.tokens(least);
    let beside = f64::from(rate.less_chars()) / rate.chars_per_token();
    if shortest > f64::from(asked) + 0.5 {
        text += &format!("the shortest prompt has {shortest:.0}");
    } else if (delivered - f64::from(asked)).abs() < 0.5 {
        text += "nothing to correct";
    } else {
        text += &format!("corrected to {:.2}", rate.chars_per_token());
        if beside >= 1.0 {
            text += &format!(", {beside:.0} tokens less for what comes beside the text");
        }
    }
    text
}
