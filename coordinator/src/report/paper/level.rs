//! The cells of one level, by both methods.

use super::cell::{Cell, Value, short};
use super::study::Seen;
use crate::classify::Headline;
use crate::report::model::{LevelState, Real};

const IN_FLIGHT: &str = "mean in flight; the users asked for were not in flight";
const WINDOW: &str = "what arrived in the window; the paper's rate is that of the whole wall clock, \
                      with ramp and drain";
const SUCCESSES: &str = "of the answers that floodmark counts as successes; the paper counts every \
                         status 200";
const CERTIFIED: &str = "certified: with 99 % confidence the true p99 is not above it";
const TOO_FEW: &str = "a p99 takes 662 independent samples; the paper takes it of any number";
pub(super) const SUCCESS: &str = "of measured requests, by floodmark's endings";

/// Users asked for, and how many were in flight if that is not as many.
pub(super) fn users(seen: &Seen<'_>) -> Cell {
    let asked = Value::Count(seen.level.users_asked.into());
    match seen.not_reached() {
        Some(mean) => Cell::both(asked, Value::Count(mean.max(0.0).round() as u64), IN_FLIGHT),
        None => Cell::plain(asked),
    }
}

pub(super) fn total(seen: &Seen<'_>) -> Cell {
    rate(seen, seen.level.paper.total_tok_s, seen.level.rates.total_tok_s)
}

pub(super) fn output(seen: &Seen<'_>) -> Cell {
    rate(seen, seen.level.paper.output_tok_s, seen.level.rates.output_tok_s)
}

fn rate(seen: &Seen<'_>, paper: Option<Real>, own: Option<Real>) -> Cell {
    if !seen.is_complete() {
        return Cell::plain(Value::Missing);
    }
    let value = |rate: Option<Real>| Value::of(rate.map(Real::value), Value::Rate);
    Cell::both(value(paper), value(own), rate_reason(seen))
}

/// Why floodmark's rate of a level is not the paper's.
pub(super) fn rate_reason(seen: &Seen<'_>) -> &'static str {
    if seen.level.in_window { WINDOW } else { SUCCESSES }
}

pub(super) fn p99(seen: &Seen<'_>) -> Cell {
    if !seen.is_complete() {
        return Cell::plain(Value::Missing);
    }
    let paper = Value::of(seen.level.paper.p99_s.map(Real::value), Value::Seconds);
    match seen.level.latency_ms.e2e.p99_certified {
        Some(ms) => Cell::both(paper, Value::Seconds(ms.value() / 1e3), CERTIFIED),
        None => Cell::both(paper, Value::Missing, TOO_FEW),
    }
}

pub(super) fn success(seen: &Seen<'_>) -> Cell {
    if !seen.is_complete() {
        return Cell::plain(Value::Missing);
    }
    let paper = Value::of(seen.level.paper.success.map(Real::value), Value::Success);
    Cell::both(paper, own_success(seen), SUCCESS)
}

pub(super) fn own_success(seen: &Seen<'_>) -> Value {
    let ended = seen.level.measured.succeeded + seen.level.measured.failed;
    let share = crate::stats::ratio(seen.level.measured.succeeded as f64, ended as f64);
    Value::of(share, Value::Success)
}

/// The paper's status, and floodmark's headline.
pub(super) fn status(seen: &Seen<'_>) -> Cell {
    let level = seen.level;
    let word = |text: &str| Value::Word(text.to_owned());
    match &level.state {
        LevelState::Complete => {}
        LevelState::Stopped(_) => return Cell::word("stopped"),
        LevelState::Unfinished => return Cell::word("unfinished"),
        LevelState::Void => {
            let reason = struck_reason(seen);
            return Cell::both(Value::Missing, word("void"), reason);
        }
    }
    let paper = level.paper.status.map_or(Value::Missing, word);
    let Some(headline) = level.axes.headline else {
        return Cell::plain(paper);
    };
    let reason = if headline == Headline::Invalid.name() {
        struck_reason(seen)
    } else {
        let axes = &level.axes;
        let axis = |name: &str, answer: Option<&str>| Some(format!("{name} {}", answer?));
        let answers = [
            axis("reliability", axes.reliability),
            axis("latency", axes.latency),
            axis("load", axes.load),
        ];
        let answers: Vec<String> = answers.into_iter().flatten().collect();
        format!("by floodmark's axes: {}", answers.join(", "))
    };
    Cell::both(paper, word(headline), reason)
}

/// What strikes a level, in words.
pub(super) fn struck_reason(seen: &Seen<'_>) -> String {
    let codes = seen.struck_by();
    if codes.is_empty() {
        return "no result".to_owned();
    }
    let in_flight = seen.not_reached().map_or_else(String::new, |mean| {
        format!(": {} of {} users were in flight", short(mean), seen.level.users_asked)
    });
    format!("struck by {}{in_flight}", codes.join(", "))
}
