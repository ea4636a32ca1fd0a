//! Whether the work was what it is called, and the same at every level.

use common::phase::Phase;
use common::workload::CacheMode;

use super::is_alike;
use crate::classify::limits::{CACHED_SHARE_MAX, OUTPUT_OFF_MAX, PROMPT_OFF_MAX};
use crate::classify::number::{number, percent};
use crate::classify::{Code, Verdict};
use crate::measure::Measured;
use crate::stats::{self, by_chance};

/// Whether answers were as long as was forced, and whether the level did the same work as the one
/// with the least load. Where lengths are the server's choice they differ by chance, too: there a
/// difference is worth knowing and strikes nothing.
pub(super) fn work(level: &Measured<'_>, levels: &[Measured<'_>]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let workload = &level.record.planned.workload;
    let Some((prompt, output)) = means(level) else { return verdicts };
    // Of lengths that are drawn every single answer is checked.
    let asked = workload.output_tokens.fixed().map(f64::from);
    if let Some(asked) = asked
        && workload.forced_length
        && is_off(output, asked, OUTPUT_OFF_MAX.value, 0.0)
    {
        let text = format!(
            "answers had {} tokens on average where {asked} were forced, more than {} off",
            number(output),
            percent(OUTPUT_OFF_MAX.value)
        );
        verdicts.push(Verdict::invalid(Code::WorkNotEqual, text));
    }
    let Some(first) = reference(level, levels) else { return verdicts };
    let Some((prompt_first, output_first)) = means(first) else { return verdicts };
    let of = super::load_words(first);
    let free = !workload.forced_length;
    let pairs = [
        ("output", output, output_first, OUTPUT_OFF_MAX.value, free, &workload.output_tokens),
        ("prompt", prompt, prompt_first, PROMPT_OFF_MAX.value, true, &workload.input_tokens),
    ];
    for (name, own, other, limit, compared, length) in pairs {
        let chance = by_chance(length, counted(level), counted(first));
        if compared && is_off(own, other, limit, chance) {
            let text = format!(
                "{} mean {name} tokens against {} at {of}, more than {} apart",
                number(own),
                number(other),
                percent(limit)
            );
            verdicts.push(Verdict::warn(Code::WorkNotEqual, text));
        }
    }
    verdicts
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

/// Mean prompt and completion tokens of the successes that were counted.
fn means(level: &Measured<'_>) -> Option<(f64, f64)> {
    let tally = level.tally();
    let mean = |tokens: u64| stats::ratio(tokens as f64, counted(level));
    Some((mean(tally.tokens.prompt)?, mean(tally.tokens.completion)?))
}

/// Successes whose tokens were counted.
fn counted(level: &Measured<'_>) -> f64 {
    let tally = level.tally();
    tally.measured.succeeded.saturating_sub(tally.tokens.without_usage) as f64
}

/// `chance` is what may be added to the limit.
fn is_off(value: f64, of: f64, limit: f64, chance: f64) -> bool {
    (value - of).abs() > limit * of + chance
}

/// Whether more prompt tokens came from a cache than prompts share. A server that reports
/// no cached tokens cannot be told from one that had none.
pub(super) fn cache(level: &Measured<'_>) -> Option<Verdict> {
    let workload = &level.record.planned.workload;
    let declared = workload.cached_share()?;
    let limit = declared + workload.cached_share_by_chance(counted(level)) + CACHED_SHARE_MAX.value;
    let tokens = &level.tally().tokens;
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
            format!("{share} of the prompt tokens came from a cache, more than {limit}, {why}");
        Verdict::warn(Code::CacheUndeclared, text)
    })
}
