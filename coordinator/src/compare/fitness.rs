//! What stands in the way of a comparison, and what a reader must know of it.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Display;

use common::length::Length;
use common::records::DataSet;
use common::workload::Workload;

use super::group::{Group, LevelKey, Repeat, title};
use super::side::{Delivered, Facts, Manner, Observed, Side};
use super::{Obstacle, Sides, Which};
use crate::classify::{Code, OUTPUT_OFF_MAX, PROMPT_OFF_MAX};
use crate::stats::{self, by_chance};

/// Different values of one fact that are listed.
const VALUES_SHOWN: usize = 3;

/// What stands in the way of all levels, and a note for every fact that is not the same.
pub(super) fn of_sides(sides: &Sides<Side>) -> (Option<Obstacle>, Vec<String>) {
    let mut notes: Vec<String> = [
        difference(sides, "target", |facts| facts.target.clone()),
        difference(sides, "model", |facts| facts.model.clone()),
        difference(sides, "served model", |facts| told(facts.served.as_ref())),
        difference(sides, "version of the server", |facts| told(facts.server_version.as_ref())),
        difference(sides, "endpoint", |facts| {
            facts.endpoint.map_or("not stated", |endpoint| endpoint.name()).to_owned()
        }),
        difference(sides, "connection", |facts| manner(facts, |manner| manner.connection.name())),
        difference(sides, "HTTP", |facts| manner(facts, |manner| manner.http.name())),
        difference(sides, "extra body", |facts| manner(facts, |manner| &manner.extra_body)),
        difference(sides, "headers", |facts| manner(facts, |manner| manner.headers.join(", "))),
        difference(sides, "stream", |facts| if facts.stream { "on" } else { "off" }.to_owned()),
        difference(sides, "mode", |facts| facts.mode.name().to_owned()),
        difference(sides, "tier", |facts| facts.tier.name().to_owned()),
        seeds(sides),
        difference(sides, "agents", |facts| facts.agents.to_string()),
        difference(sides, "version of floodmark", |facts| facts.version.clone()),
    ]
    .into_iter()
    .flatten()
    .chain(servings(sides))
    .collect();
    let runs = sides.map(|side| {
        side.runs.iter().map(|run| (run.facts.run, run.facts.arm)).collect::<BTreeSet<_>>()
    });
    if runs.base.intersection(&runs.new).next().is_some() {
        notes.push("both sides hold the same run: it is compared with itself".to_owned());
    }
    (server_changed(sides).or_else(|| modes(sides)), notes)
}

/// What stands in the way of the metrics that only streams have.
pub(super) fn streams(sides: &Sides<Side>) -> Option<Obstacle> {
    let text = difference(sides, "stream", |facts| if facts.stream { "on" } else { "off" }.into())?;
    Some(Obstacle {
        code: None,
        evidence: format!("{text}: it is another quantity without a stream"),
    })
}

/// What is stated of the servers of both sides, and told of them, where it is not the same.
fn servings(sides: &Sides<Side>) -> Vec<String> {
    let all = sides.each().into_iter().flat_map(|(_, side)| &side.runs);
    let keys: BTreeSet<&String> = all.flat_map(|run| run.facts.serving.keys()).collect();
    let note = |key: &String| {
        let absent = if is_stated(key) { "not stated" } else { "not told" };
        difference(sides, key, |facts| {
            facts.serving.get(key).map_or_else(|| absent.to_owned(), Clone::clone)
        })
    };
    keys.into_iter().filter_map(note).collect()
}

/// An operator stated it; a command told the rest.
fn is_stated(key: &str) -> bool {
    key.starts_with("serving.")
}

/// One thing of how a target was asked; a text of any length is cut.
fn manner<'a, T: Into<Cow<'a, str>>>(facts: &'a Facts, of: impl Fn(&'a Manner) -> T) -> String {
    const CHARS_MAX: usize = 200;
    let text =
        facts.manner.as_ref().map_or(Cow::Borrowed("not stated"), |manner| of(manner).into());
    match &*text {
        "" | "{}" => "none".to_owned(),
        text => text.chars().take(CHARS_MAX).collect(),
    }
}

fn told(what: Option<&String>) -> String {
    what.map_or_else(|| "not told".to_owned(), Clone::clone)
}

/// A comparison is between two servers: within a side there may be one only. A server that does not
/// say what it is proves nothing.
fn server_changed(sides: &Sides<Side>) -> Option<Obstacle> {
    let changed = |(which, side): (Which, &Side)| {
        let different = |what: &str, of: &dyn Fn(&Facts) -> Option<String>| {
            let found: BTreeSet<String> =
                side.runs.iter().filter_map(|run| of(&run.facts)).collect();
            (found.len() > 1)
                .then(|| format!("the runs of {} {what}: {}", which.name(), list(&found)))
        };
        different("asked for different models", &|facts| Some(facts.model.clone()))
            .or_else(|| different("were served different models", &|facts| facts.served.clone()))
            .or_else(|| {
                different("met different versions of the server", &|facts| {
                    facts.server_version.clone()
                })
            })
            .or_else(|| {
                let stated = side.runs.iter().flat_map(|run| run.facts.serving.keys());
                let stated: BTreeSet<&String> = stated.filter(|key| is_stated(key)).collect();
                stated.into_iter().find_map(|key| {
                    different(&format!("state different {key}"), &|facts| {
                        facts.serving.get(key).cloned()
                    })
                })
            })
    };
    let evidence = sides.each().into_iter().find_map(changed)?;
    Some(Obstacle { code: Some(Code::ServerChanged), evidence })
}

fn modes(sides: &Sides<Side>) -> Option<Obstacle> {
    let evidence = difference(sides, "mode", |facts| facts.mode.name().to_owned())?;
    Some(Obstacle { code: None, evidence: format!("{evidence}: levels are not measured alike") })
}

fn values(side: &Side, of: impl Fn(&Facts) -> String) -> BTreeSet<String> {
    side.runs.iter().map(|run| of(&run.facts)).collect()
}

/// The runs of a side may each have their own seed, if the other side has the same ones.
fn seeds(sides: &Sides<Side>) -> Option<String> {
    let found = sides.map(|side| values(side, |facts| facts.seed.to_string()));
    let text = difference(sides, "seed", |facts| facts.seed.to_string());
    text.filter(|_| found.base != found.new)
}

/// In words, where not all runs of both sides have the same.
fn difference(sides: &Sides<Side>, name: &str, of: impl Fn(&Facts) -> String) -> Option<String> {
    let found = sides.map(|side| values(side, &of));
    let all: BTreeSet<&String> = found.base.union(&found.new).collect();
    (all.len() > 1)
        .then(|| format!("{name}: {} in BASE, {} in NEW", list(&found.base), list(&found.new)))
}

fn list<T: Display>(values: &BTreeSet<T>) -> String {
    let shown: Vec<String> = values.iter().take(VALUES_SHOWN).map(T::to_string).collect();
    let text = shown.join(", ");
    match values.len().checked_sub(VALUES_SHOWN) {
        None | Some(0) => text,
        Some(more) => format!("{text} and {more} more"),
    }
}

/// What stands in the way of one level.
pub(super) fn of_level(group: &Group<'_>) -> Option<Obstacle> {
    let plain = |evidence: String| Some(Obstacle { code: None, evidence });
    for (which, seen) in group.seen.each() {
        if seen.is_empty() {
            return plain(format!("{} does not have it", which.name()));
        }
    }
    for (which, repeats) in group.repeats.each() {
        if repeats.is_empty() {
            return plain(format!("{} has no valid repeat of it", which.name()));
        }
    }
    if let Some(evidence) = group.keys.iter().find_map(|key| work_defined(group, key)) {
        return plain(evidence);
    }
    let work = group.seen.base.first().or(group.seen.new.first()).map(|level| &level.work);
    work.and_then(|work| work_delivered(&group.repeats, work))
        .map(|evidence| Obstacle { code: Some(Code::WorkNotEqual), evidence })
}

/// Where the same label does not ask for the same, in words.
fn work_defined(group: &Group<'_>, key: &LevelKey) -> Option<String> {
    let differs = |name: &str, of: &dyn Fn(&Observed) -> String| {
        let found = group.seen.map(|seen| {
            seen.iter()
                .filter(|level| level.key == *key)
                .map(|level| of(level))
                .collect::<BTreeSet<_>>()
        });
        let all: BTreeSet<&String> = found.base.union(&found.new).collect();
        (all.len() > 1)
            .then(|| format!("{name}: {} in BASE, {} in NEW", list(&found.base), list(&found.new)))
    };
    differs("users", &|level| level.users.to_string())
        .or_else(|| differs("dataset", &|level| data_words(&level.work)))
        .or_else(|| differs("input_tokens", &|level| level.work.input_tokens.to_string()))
        .or_else(|| differs("output_tokens", &|level| level.work.output_tokens.to_string()))
        .or_else(|| differs("forced_length", &|level| level.work.forced_length.to_string()))
        .or_else(|| differs("cache", &|level| level.work.cache_words()))
        .or_else(|| differs("models", &|level| level.work.models_words("the target's")))
        .or_else(|| differs("images", &|level| images_text(&level.work)))
        .or_else(|| {
            let text = differs("requests", &|level| requests_text(level.requests))?;
            Some(format!("{text}: ramp and drain weigh differently in rates over the whole level"))
        })
}

/// The content of a data set, whatever its file is called.
fn data_words(work: &Workload) -> String {
    match &work.data {
        None => "none".to_owned(),
        Some(DataSet { digest, turns, shuffled, .. }) => {
            let order = if *shuffled { ", shuffled" } else { "" };
            format!("{turns} turns{order} (sha256 {digest})")
        }
    }
}

fn images_text(work: &Workload) -> String {
    let images: Vec<String> = work.illustrated().map(|(_, images)| images.to_string()).collect();
    if images.is_empty() { "none".to_owned() } else { images.join("; ") }
}

fn requests_text(requests: Option<u64>) -> String {
    requests.map_or_else(|| "measured in a window".to_owned(), |requests| requests.to_string())
}

/// Where the two sides did not do the same, in words.
fn work_delivered(repeats: &Sides<Vec<Repeat>>, work: &Workload) -> Option<String> {
    let base = delivered(&repeats.base)?;
    let new = delivered(&repeats.new)?;
    let off = |name: &str, of: fn(&Delivered) -> u64, limit: f64, length: &Length| {
        let mean = |side: &Delivered| stats::ratio(of(side) as f64, side.requests as f64);
        let (a, b) = (mean(&base)?, mean(&new)?);
        let chance = by_chance(length, base.requests as f64, new.requests as f64);
        ((a - b).abs() > limit * a.min(b) + chance).then(|| {
            let percent = limit * 100.0;
            format!("{a:.1} mean {name} tokens in BASE, {b:.1} in NEW, more than {percent} % apart")
        })
    };
    let prompt = || off("prompt", |side| side.prompt, PROMPT_OFF_MAX.value, &work.input_tokens);
    off("output", |side| side.completion, OUTPUT_OFF_MAX.value, &work.output_tokens)
        // Of images the number may be drawn, and their tokens are not the text's to say.
        .or_else(|| work.illustrated().next().is_none().then(prompt).flatten())
}

/// Of all repeats together; `None` if one of them is not counted.
fn delivered(repeats: &[Repeat]) -> Option<Delivered> {
    repeats.iter().map(|repeat| repeat.delivered).reduce(|a, b| Some(a?.and(b?))).flatten()
}

/// Where it cannot be checked that both sides did the same work.
pub(super) fn unknown_work(group: &Group<'_>) -> Option<String> {
    let some = group.repeats.each().into_iter().all(|(_, repeats)| !repeats.is_empty());
    let known = group.repeats.each().into_iter().all(|(_, repeats)| delivered(repeats).is_some());
    (some && !known).then(|| {
        format!(
            "{}: without token counts of all answers nobody knows if the work was equal",
            title(&group.keys)
        )
    })
}
