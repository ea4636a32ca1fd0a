//! floodmark's own table format: what a person would type from a printed table. Strict: an unknown
//! key is a mistake. `docs/import.md` describes it.

use std::ops::RangeInclusive;

use common::phase::{Phase, UnknownPhase};

use super::json::Node;
use super::read::{Object, Sink};
use super::{Format, Imported, ROWS_MAX};
use crate::classify::imported::{Baseline, Level, Stated, Work};

const SCHEMA_VERSION: u64 = 1;
const KEYS: [&str; 10] = [
    "schema_version",
    "name",
    "model",
    "source",
    "phase",
    "workload",
    "success",
    "requests",
    "baseline_p99_s",
    "rows",
];
const ROW_KEYS: [&str; 10] = [
    "users",
    "phase",
    "workload",
    "requests",
    "total_tok_s",
    "output_tok_s",
    "p99_s",
    "mean_s",
    "requests_per_s",
    "success",
];
const WORKLOAD_KEYS: [&str; 3] = ["input_tokens", "output_tokens", "images"];

const USERS: RangeInclusive<u32> = 1..=1_000_000;
const TOKENS: RangeInclusive<u32> = 1..=10_000_000;
const REQUESTS: RangeInclusive<u64> = 1..=1_000_000_000_000;
const RATE: RangeInclusive<f64> = 0.0..=1e12;
/// A microsecond to eleven days.
const SECONDS: RangeInclusive<f64> = 1e-6..=1e6;
const SHARE: RangeInclusive<f64> = 0.0..=1.0;

/// What the table says for all rows that do not say otherwise.
struct Defaults {
    phase: Option<Phase>,
    work: Option<Work>,
    success: Option<f64>,
    requests: Option<u64>,
}

/// The table; problems go to `sink`.
pub(super) fn read(node: &Node, sink: &mut Sink<'_>) -> Option<Imported> {
    let table = Object::strict(node, String::new(), &KEYS, sink)?;
    let version = table.need("schema_version", "write 1", sink, |table, key, sink| {
        table.count(key, 0..=u64::from(u32::MAX), sink)
    });
    if version.is_some_and(|version| version != SCHEMA_VERSION) {
        let what = format!("this version of floodmark reads tables of version {SCHEMA_VERSION}");
        table.refuse::<()>("schema_version", what, sink);
    }
    let name = table.need("name", "say which table it is", sink, Object::text);
    let model = table.text("model", sink);
    let source = table.text("source", sink);
    let defaults = Defaults {
        phase: phase(&table, sink),
        work: work(&table, sink),
        success: share(&table, "success", sink),
        requests: table.count("requests", REQUESTS, sink),
    };
    let baseline_s = table.number("baseline_p99_s", SECONDS, sink);
    let baseline = match (baseline_s, defaults.work) {
        (Some(p99_s), Some(work)) => Some(Baseline { p99_s, work }),
        (Some(_), None) if table.get("workload").is_none() => {
            let what = "needs the table's workload: say what its requests were";
            table.refuse("baseline_p99_s", what, sink)
        }
        (Some(_), None) | (None, _) => None,
    };
    let levels = rows(&table, &defaults, sink);
    if baseline.is_some() && levels.iter().any(|level| level.phase == Phase::Baseline) {
        let what = "give this or a row of phase BASELINE, not both";
        table.refuse::<()>("baseline_p99_s", what, sink);
    }
    Some(Imported {
        format: Format::Table,
        name: name?.to_owned(),
        model: model.map(str::to_owned),
        source: source.map(str::to_owned),
        baseline,
        levels,
        notes: Vec::new(),
    })
}

fn rows(table: &Object<'_>, defaults: &Defaults, sink: &mut Sink<'_>) -> Vec<Level> {
    let rows = match table.get("rows") {
        Some(Node::List(rows)) if (1..=ROWS_MAX).contains(&rows.len()) => rows.as_slice(),
        Some(Node::List(rows)) => {
            let what = format!("has {} rows; must have 1 to {ROWS_MAX}", rows.len());
            table.refuse::<()>("rows", what, sink);
            &[]
        }
        Some(_) | None => {
            table.refuse::<()>("rows", "must be a list of rows", sink);
            &[]
        }
    };
    let mut levels = Vec::with_capacity(rows.len());
    for (place, node) in rows.iter().enumerate() {
        let at = format!("row {}: ", place + 1);
        let row = Object::strict(node, at, &ROW_KEYS, sink);
        levels.extend(row.and_then(|row| level(&row, defaults, sink)));
    }
    levels
}

fn level(row: &Object<'_>, defaults: &Defaults, sink: &mut Sink<'_>) -> Option<Level> {
    let hint = "say how many users were asked for";
    let users = row.need("users", hint, sink, |row, key, sink| row.small(key, USERS, sink));
    let own_phase = phase(row, sink);
    let own_work = work(row, sink);
    let own_success = share(row, "success", sink);
    let requests = row.count("requests", REQUESTS, sink).or(defaults.requests);
    let total_tok_s = row.number("total_tok_s", RATE, sink);
    let output_tok_s = row.number("output_tok_s", RATE, sink);
    let p99_s = row.number("p99_s", SECONDS, sink);
    let mean_s = row.number("mean_s", SECONDS, sink);
    let requests_per_s = row.number("requests_per_s", RATE, sink);
    if let (Some(total), Some(output)) = (total_tok_s, output_tok_s)
        && output > total
    {
        let what = format!("is more than total_tok_s = {total}, which includes it");
        row.refuse::<()>("output_tok_s", what, sink);
    }
    let phase = own_phase.or(defaults.phase);
    let work = own_work.or(defaults.work);
    let success = own_success.or(defaults.success);
    for (key, missing, hint) in [
        ("phase", phase.is_none(), UnknownPhase.to_string()),
        ("workload", work.is_none(), "say input_tokens and output_tokens".to_owned()),
        ("success", success.is_none(), "the share of requests that succeeded, 0 to 1".to_owned()),
    ] {
        if missing && row.get(key).is_none() {
            let what = format!("missing here and in the table; {hint}");
            row.refuse::<()>(key, what, sink);
        }
    }
    Some(Level {
        phase: phase?,
        users: users?,
        work: work?,
        requests,
        total_tok_s,
        output_tok_s,
        p99_s,
        mean_s,
        requests_per_s,
        success: success?,
    })
}

fn phase(object: &Object<'_>, sink: &mut Sink<'_>) -> Option<Phase> {
    match object.text("phase", sink)?.parse() {
        Ok(phase) => Some(phase),
        Err(UnknownPhase) => object.refuse("phase", UnknownPhase.to_string(), sink),
    }
}

fn work(object: &Object<'_>, sink: &mut Sink<'_>) -> Option<Work> {
    let node = object.get("workload")?;
    let workload = Object::strict(node, object.under("workload"), &WORKLOAD_KEYS, sink)?;
    let tokens =
        |object: &Object<'_>, key: &str, sink: &mut Sink<'_>| object.small(key, TOKENS, sink);
    let hint = "say how many tokens were asked for";
    let input_tokens = workload.need("input_tokens", hint, sink, tokens);
    let output_tokens = workload.need("output_tokens", hint, sink, tokens);
    let images = match workload.get("images") {
        Some(_) => workload.small("images", 0..=10_000, sink),
        None => Some(0),
    };
    Some(Work::Stated(Stated {
        input_tokens: input_tokens?,
        output_tokens: output_tokens?,
        images: images?,
    }))
}

fn share(object: &Object<'_>, key: &str, sink: &mut Sink<'_>) -> Option<f64> {
    match object.get(key) {
        Some(Node::Number(percent)) if *percent > 1.0 && *percent <= 100.0 => {
            let what = format!("must be a share from 0 to 1: {} for {percent} %", percent / 100.0);
            object.refuse(key, what, sink)
        }
        Some(_) | None => object.number(key, SHARE, sink),
    }
}
