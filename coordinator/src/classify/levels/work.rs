//! Whether the work was what it is called, and the same at every level.

use common::phase::Phase;
use common::slice::SliceBy;
use common::tally::{Counts, SliceTally, Tokens};
use common::text::PromptText;
use common::workload::{CacheMode, Workload};

use super::is_alike;
use crate::campaign::Mode;
use crate::classify::limits::{CACHED_SHARE_MAX, OUTPUT_OFF_MAX, PROMPT_OFF_MAX};
use crate::classify::number::{number, percent};
use crate::classify::{Code, Verdict};
use crate::measure::Measured;
use crate::stats::{self, by_chance};

/// A part of a level whose requests are all of one workload: the whole level, or what was drawn of
/// one of a mix.
struct Part<'l> {
    /// Said before what is wrong with it; nothing for a whole level.
    of: String,
    workload: &'l Workload,
    tokens: &'l Tokens,
    /// Successes whose tokens were counted.
    counted: f64,
}

impl<'l> Part<'l> {
    /// The parts of a level, in the order of its workloads.
    fn all(level: &'l Measured<'_>) -> Vec<Self> {
        let workload = &level.record.planned.workload;
        let tally = level.tally();
        let of_mix = |(component, _): (&'l Workload, f64)| {
            let is_own = |slice: &&SliceTally| {
                slice.slice.by == SliceBy::Workload && slice.slice.name == component.name.as_str()
            };
            let slice = tally.slices.iter().find(is_own)?;
            let of = format!("requests of {}: ", component.name);
            Some(Self::new(of, component, &slice.tokens, &slice.measured))
        };
        if workload.mix.is_empty() {
            return vec![Self::new(String::new(), workload, &tally.tokens, &tally.measured)];
        }
        workload.components().into_iter().filter_map(of_mix).collect()
    }

    fn new(of: String, workload: &'l Workload, tokens: &'l Tokens, measured: &Counts) -> Self {
        let counted = measured.succeeded.saturating_sub(tokens.without_usage) as f64;
        Self { of, workload, tokens, counted }
    }

    /// Mean prompt and completion tokens of the successes that were counted.
    fn means(&self) -> Option<(f64, f64)> {
        let mean = |tokens: u64| stats::ratio(tokens as f64, self.counted);
        Some((mean(self.tokens.prompt)?, mean(self.tokens.completion)?))
    }
}

/// Whether answers were as long as was forced, and whether the level did the same work as the one
/// with the least load. Where lengths are the server's choice they differ by chance, too: there a
/// difference is worth knowing and strikes nothing. A mix is checked workload by workload: how often
/// each was drawn is chance.
pub(super) fn work(level: &Measured<'_>, levels: &[Measured<'_>]) -> Vec<Verdict> {
    let parts = Part::all(level);
    let mut verdicts: Vec<Verdict> = parts.iter().filter_map(forced).collect();
    let Some(first) = reference(level, levels) else { return verdicts };
    let at = super::load_words(first);
    for (part, other) in parts.iter().zip(&Part::all(first)) {
        verdicts.extend(compared(part, other, &at));
    }
    verdicts
}

/// Whether answers were as long as was forced. Of lengths that are drawn every single answer is
/// checked.
fn forced(part: &Part<'_>) -> Option<Verdict> {
    let (_, output) = part.means()?;
    let asked = part.workload.output_tokens.fixed().map(f64::from)?;
    let is_forced = part.workload.forced_length;
    (is_forced && is_off(output, asked, OUTPUT_OFF_MAX.value, 0.0)).then(|| {
        let text = format!(
            "{}answers had {} tokens on average where {asked} were forced, more than {} off",
            part.of,
            number(output),
            percent(OUTPUT_OFF_MAX.value)
        );
        Verdict::invalid(Code::WorkNotEqual, text)
    })
}

/// Whether a part of a level did the same work as that of another, which is named.
fn compared(part: &Part<'_>, first: &Part<'_>, at: &str) -> Vec<Verdict> {
    let (Some((prompt, output)), Some((prompt_first, output_first))) =
        (part.means(), first.means())
    else {
        return Vec::new();
    };
    let Workload { input_tokens, output_tokens, forced_length, .. } = part.workload;
    let free = !forced_length;
    // How many tokens an image is, and how many images a prompt has, is not the text's to say.
    let is_text = part.workload.images.is_none();
    let pairs = [
        ("output", output, output_first, OUTPUT_OFF_MAX.value, free, output_tokens),
        ("prompt", prompt, prompt_first, PROMPT_OFF_MAX.value, is_text, input_tokens),
    ];
    let off = pairs.into_iter().filter(|&(_, own, other, limit, is_compared, length)| {
        let chance = by_chance(length, part.counted, first.counted);
        is_compared && is_off(own, other, limit, chance)
    });
    let verdict = |(name, own, other, limit, _, _): (_, _, _, _, _, _)| {
        let text = format!(
            "{}{} mean {name} tokens against {} at {at}, more than {} apart",
            part.of,
            number(own),
            number(other),
            percent(limit)
        );
        Verdict::warn(Code::WorkNotEqual, text)
    };
    off.map(verdict).collect()
}

/// Whether prompts had the tokens that were asked for. What a tokenizer promises is held to it; what
/// was measured or estimated is told. Of the paper four characters are a token by definition.
pub(super) fn asked(level: &Measured<'_>, mode: Mode) -> Vec<Verdict> {
    match mode {
        Mode::Paper => Vec::new(),
        Mode::Floodmark => Part::all(level).iter().filter_map(delivered).collect(),
    }
}

fn delivered(part: &Part<'_>) -> Option<Verdict> {
    // What an image is in tokens nobody asked for.
    if part.workload.images.is_some() {
        return None;
    }
    let (delivered, _) = part.means()?;
    let Part { of, workload, counted, .. } = part;
    // What a data set holds is sent as it is, whatever it takes, and a trace is only so exact.
    if workload.data.is_some() {
        return None;
    }
    let asked = workload.input_tokens.mean();
    // Of lengths that are drawn the mean is one of a sample.
    let chance = by_chance(&workload.input_tokens, *counted, f64::INFINITY);
    // A prompt may end in the middle of a token.
    if (delivered - asked).abs() <= (PROMPT_OFF_MAX.value * asked).max(1.0) + chance {
        return None;
    }
    let text = format!(
        "{of}prompts had {} tokens on average where {} were asked for, more than {} off: ",
        number(delivered),
        number(asked),
        percent(PROMPT_OFF_MAX.value)
    );
    let verdict = |effect: fn(Code, String) -> Verdict, why: &str| {
        Some(effect(Code::WorkNotEqual, text + why))
    };
    match &workload.text {
        PromptText::Characters => {
            let why = "four characters are not a token here; state lengths = \"measured\" or a \
                       tokenizer";
            verdict(Verdict::warn, why)
        }
        PromptText::Measured(_) => {
            let why = "the target counts otherwise than when it was asked, or so short a prompt \
                       cannot be made";
            verdict(Verdict::warn, why)
        }
        PromptText::Words(_) => {
            let why = "the tokenizer of the workload does not match the target's";
            verdict(Verdict::invalid, why)
        }
    }
}

/// The level with the least load and the same work, if it is another one. A warm-up is no measure.
fn reference<'l, 'a>(level: &Measured<'a>, levels: &'l [Measured<'a>]) -> Option<&'l Measured<'a>> {
    let counts = |other: &Measured<'_>| {
        other.record.planned.phase != Phase::Warmup && super::is_complete(other)
    };
    let alike = levels.iter().filter(|other| counts(other) && is_alike(level, other));
    let alike = alike.filter(|other| other.schedule().is_some() == level.schedule().is_some());
    let first = alike.min_by(|a, b| a.load_value().total_cmp(&b.load_value()))?;
    (counts(level) && !std::ptr::eq(first.record, level.record)).then_some(first)
}

/// `chance` is what may be added to the limit.
fn is_off(value: f64, of: f64, limit: f64, chance: f64) -> bool {
    (value - of).abs() > limit * of + chance
}

/// Whether more prompt tokens came from a cache than prompts share. A server that reports
/// no cached tokens cannot be told from one that had none.
pub(super) fn cache(level: &Measured<'_>) -> Vec<Verdict> {
    Part::all(level).iter().filter_map(cached).collect()
}

fn cached(part: &Part<'_>) -> Option<Verdict> {
    let Part { of, workload, tokens, counted } = part;
    let declared = workload.cached_share()?;
    let limit = declared + workload.cached_share_by_chance(*counted) + CACHED_SHARE_MAX.value;
    let share = super::share(tokens.cached_prompt, tokens.prompt)?;
    (share > limit).then(|| {
        let why = match workload.cache {
            CacheMode::Cold => "and every prompt was new".to_owned(),
            CacheMode::SharedPrefix(_) | CacheMode::Replay => {
                format!("and prompts share {}", percent(declared))
            }
        };
        let (share, limit) = (percent(share), percent(limit));
        let text =
            format!("{of}{share} of the prompt tokens came from a cache, more than {limit}, {why}");
        Verdict::warn(Code::CacheUndeclared, text)
    })
}
