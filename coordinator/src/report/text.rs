//! The report for a terminal: at most 100 columns, no colour.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use super::model::{LatencyMs, LevelReport, LevelState, Real, ReportModel, TokenSource};
use super::plain::{CLIP, plain, wrap};
use super::summary::timestamp;
use crate::classify::Verdict;
use crate::store::{CAMPAIGN_FILE, FILE, mode_word, tier_word};

const WIDTH: usize = 100;

/// Things said by the target that are shown.
const DETAILS_SHOWN: usize = 12;

/// The fields of a request that force the length of its answer.
const FORCING: [&str; 2] = ["ignore_eos", "min_tokens"];

const FORCED_LENGTH: &str = "ignore_eos and min_tokens force the length of answers; for a server \
     that refuses them, --set workloads.NAME.forced_length=false (without a campaign file NAME is \
     default)";

/// Agents that are listed one by one.
const AGENTS_SHOWN: usize = 16;

/// The report of the run in the result directory `dir`.
pub fn text(model: &ReportModel, dir: &Path) -> String {
    let mut out = header(model);
    for section in [table(model), failures(model), findings(model), headline(model)] {
        if !section.is_empty() {
            out.push('\n');
            out.push_str(&section);
        }
    }
    out.push('\n');
    out.push_str(&files(dir));
    out
}

fn header(model: &ReportModel) -> String {
    let header = &model.header;
    let agents: Vec<String> = model
        .agents
        .iter()
        .take(AGENTS_SHOWN)
        .map(|agent| {
            let address = plain(&agent.address, 60);
            let workers = if agent.workers == 1 { "worker" } else { "workers" };
            format!("{} ({address}, {} {workers})", agent.name, agent.workers)
        })
        .collect();
    let mut fleet = match model.agents.len() {
        0 => "none".to_owned(),
        number => format!("{number}: {}", agents.join(", ")),
    };
    if model.agents.len() > AGENTS_SHOWN {
        let _written = write!(fleet, " and {} more", model.agents.len() - AGENTS_SHOWN);
    }
    let streamed = if header.stream { "streamed" } else { "not streamed" };
    let run = format!(
        "{} {} ({} mode, tier {}, seed {})",
        header.name,
        header.run,
        mode_word(header.mode),
        tier_word(header.tier),
        header.seed
    );
    let target = plain(&header.target, CLIP);
    let target = format!("{target} {} ({streamed})", plain(&header.model, CLIP));
    let instant = |at| timestamp(at).unwrap_or_else(|| "-".into());
    let times = format!(
        "{} to {}",
        instant(header.started_at),
        model.finished_at.map_or_else(|| "-".into(), instant)
    );
    let mut out = String::new();
    for (name, value) in [
        ("run       ", run),
        ("target    ", target),
        ("agents    ", fleet),
        ("time      ", times),
        ("outcome   ", format!("{}: {}", model.outcome, plain(&model.ended_because, CLIP))),
    ] {
        out.push_str(&wrap(name, &value, WIDTH));
    }
    if model.exit_code.is_none() {
        let begun = model.levels.len();
        let planned = header.levels_planned;
        let note = format!("unfinished: {begun} of {planned} levels were begun");
        out.push_str(&wrap("note      ", &note, WIDTH));
    }
    let started: u64 = model.levels.iter().map(|level| level.requests.started).sum();
    if started > 0 && model.levels.iter().all(|level| level.requests.succeeded == 0) {
        let note = format!("no request succeeded, of {started}; what the target said is below");
        out.push_str(&wrap("note      ", &note, WIDTH));
    }
    for damage in &model.damage {
        out.push_str(&wrap("damaged   ", &plain(damage, CLIP), WIDTH));
    }
    out
}

/// The columns: width, and two lines of heading.
const COLUMNS: [(usize, &str, &str); 14] = [
    (10, "", "phase"),
    (5, "users", "asked"),
    (6, "in", "flight"),
    (6, "", "ok"),
    (5, "", "fail"),
    (4, "", "cut"),
    (6, "output", "tok/s"),
    (6, "total", "tok/s"),
    (6, "TTFT", "p50 ms"),
    (6, "TTFT", "p99 ms"),
    (6, "E2E", "p50 s"),
    (6, "E2E", "p99 s"),
    (5, "TPOT", "ms"),
    (10, "paper's", "status"),
];

fn table(model: &ReportModel) -> String {
    if model.levels.is_empty() {
        return String::new();
    }
    let mut out = line(COLUMNS.map(|(_, first, _)| first.to_owned()));
    out.push_str(&line(COLUMNS.map(|(_, _, second)| second.to_owned())));
    for level in &model.levels {
        out.push_str(&line(cells(level)));
        if let Some(note) = name_beyond_users(level) {
            out.push_str(&wrap("             ", &note, WIDTH));
        }
    }
    if model.levels.iter().any(is_struck) {
        out.push_str("* not a result for the users asked, see below\n");
    }
    out
}

/// One row; the first and the last column are aligned left, the numbers right.
fn line(cells: [String; COLUMNS.len()]) -> String {
    let mut out = String::new();
    for (place, (cell, (width, _, _))) in cells.iter().zip(COLUMNS).enumerate() {
        let _written = match place {
            0 => write!(out, "{cell:<width$}"),
            place if place + 1 == COLUMNS.len() => write!(out, " {cell:<width$}"),
            _ => write!(out, " {cell:>width$}"),
        };
    }
    format!("{}\n", out.trim_end())
}

fn cells(level: &LevelReport) -> [String; COLUMNS.len()] {
    let LatencyMs { ttft, e2e, tpot, .. } = &level.latency_ms;
    let status = match (&level.state, level.status) {
        (_, Some(status)) => status,
        (LevelState::Complete, None) => "-",
        (LevelState::Stopped(_), None) => "stopped",
        (LevelState::Unfinished, None) => "unfinished",
        (LevelState::Void, None) => "void",
    };
    let struck = if is_struck(level) { "*" } else { "" };
    let ms = |value: Option<Real>| short(value.map(Real::value));
    let s = |value: Option<Real>| short(value.map(|ms| ms.value() / 1e3));
    let requests = &level.requests;
    [
        level.phase.name().into(),
        count(level.users_asked.into(), 5),
        ms(level.in_flight_mean),
        count(requests.succeeded, 6),
        count(requests.failed, 5),
        count(requests.censored, 4),
        ms(level.rates.output_tok_s),
        ms(level.rates.total_tok_s),
        ms(ttft.p50),
        ms(ttft.p99),
        s(e2e.p50),
        s(e2e.p99),
        ms(tpot.p50),
        format!("{status}{struck}"),
    ]
}

/// Three digits or so, in at most six characters; `-` for what is undefined.
pub(super) fn short(value: Option<f64>) -> String {
    let Some(value) = value else {
        return "-".into();
    };
    match value {
        v if v < 0.9995 => format!("{v:.3}"),
        v if v < 9.995 => format!("{v:.2}"),
        v if v < 99.95 => format!("{v:.1}"),
        v if v < 99_999.5 => format!("{v:.0}"),
        v if v < 9_999_500.0 => format!("{:.0}k", v / 1e3),
        v => format!("{:.0}M", v / 1e6),
    }
}

/// A count in at most `width` characters, exact if it fits.
fn count(value: u64, width: usize) -> String {
    let exact = value.to_string();
    if exact.len() <= width {
        exact
    } else {
        let units = [(1_000, "k"), (1_000_000, "M"), (1_000_000_000, "G")];
        let mut shown = units.map(|(unit, name)| format!("{}{name}", value / unit)).into_iter();
        shown.find(|text| text.len() <= width).unwrap_or_else(|| "many".into())
    }
}

/// What names a level beyond its phase and users.
fn name_beyond_users(level: &LevelReport) -> Option<String> {
    let mut parts = Vec::new();
    if level.planned_label != level.users_asked.to_string() {
        parts.push(plain(&level.planned_label, CLIP));
    }
    if level.repeat > 0 {
        parts.push(format!("repeat {}", level.repeat + 1));
    }
    if level.attempt > 0 {
        parts.push(format!("attempt {}", level.attempt + 1));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn name(level: &LevelReport) -> String {
    let mut name = format!("{} {}", level.phase, plain(&level.planned_label, CLIP));
    if level.repeat > 0 {
        let _written = write!(name, " repeat {}", level.repeat + 1);
    }
    if level.attempt > 0 {
        let _written = write!(name, " attempt {}", level.attempt + 1);
    }
    name
}

fn is_struck(level: &LevelReport) -> bool {
    level.verdicts.iter().any(Verdict::strikes)
}

/// Failed and censored requests by class, and each thing that the target said about them once.
fn failures(model: &ReportModel) -> String {
    let mut out = String::new();
    for level in &model.levels {
        for (class, count) in &level.requests.by_class {
            let _written = writeln!(out, "  {count:>8} {class:<20} {}", name(level));
        }
    }
    let details = model.levels.iter().flat_map(|level| &level.requests.first_detail);
    let said: BTreeSet<(&str, &str)> = details.map(|(class, words)| (*class, &**words)).collect();
    for (class, words) in said.iter().take(DETAILS_SHOWN) {
        out.push_str(&wrap(&format!("  {class}: server said: "), &plain(words, CLIP), WIDTH));
    }
    if said.iter().any(|(_, words)| FORCING.iter().any(|field| words.contains(field))) {
        out.push_str(&wrap("  hint: ", FORCED_LENGTH, WIDTH));
    }
    if said.len() > DETAILS_SHOWN {
        let more = said.len() - DETAILS_SHOWN;
        let _written = writeln!(out, "  and {more} more, see {}", super::SUMMARY_FILE);
    }
    if !out.is_empty() {
        out.insert_str(0, "requests that did not succeed\n");
    }
    out
}

/// What a reader must know about single levels.
fn findings(model: &ReportModel) -> String {
    let mut out = String::new();
    let mut tell = |level: &LevelReport, what: &str| {
        let text = format!("{}: {what}", name(level));
        out.push_str(&wrap("- ", &text, WIDTH));
    };
    for level in &model.levels {
        for verdict in &level.verdicts {
            let evidence = plain(&verdict.evidence, CLIP);
            let users = level.users_asked;
            tell(level, &format!("{evidence}: not a result for {users} users"));
        }
        if level.requests.unknown > 0 {
            let unknown = level.requests.unknown;
            tell(level, &format!("how {unknown} planned requests ended is unknown"));
        }
        match &level.state {
            LevelState::Stopped(because) => {
                tell(level, &format!("stopped early: {}", plain(because, CLIP)));
            }
            LevelState::Complete | LevelState::Unfinished | LevelState::Void => {}
        }
        match level.tokens.source {
            Some(TokenSource::None) => {
                tell(level, "the server gave no token counts: token rates are unknown");
            }
            Some(TokenSource::Mixed) => {
                tell(level, "some answers came without token counts: token rates are lower bounds");
            }
            Some(TokenSource::Usage) | None => {}
        }
        if let Some(other) = level.paper.first_level_alternative
            && level.paper.status != Some(other)
        {
            tell(
                level,
                &format!(
                    "compared with the last SCALING level it is {other}; the paper does not say \
                     what its first SATURATION level is compared with"
                ),
            );
        }
    }
    out
}

fn headline(model: &ReportModel) -> String {
    let Some(peak) = &model.peak else {
        return String::new();
    };
    let rate = |value: Option<Real>| short(value.map(Real::value));
    let mut out = wrap(
        "peak              ",
        &format!(
            "{} {}: {} tok/s in all, {} output tok/s",
            peak.phase,
            plain(&peak.label, CLIP),
            rate(peak.total_tok_s),
            rate(peak.output_tok_s)
        ),
        WIDTH,
    );
    if let Some(users) = model.saturation.users {
        let caveat = if peak.valid {
            ""
        } else {
            "; that level never held its users in flight, so this says nothing about them"
        };
        let text = format!("{users} users, as the paper has it: the users of the peak{caveat}");
        out.push_str(&wrap("saturation point  ", &text, WIDTH));
    }
    out
}

fn files(dir: &Path) -> String {
    let dir = plain(&dir.display().to_string(), CLIP);
    let names = format!("{FILE}, {}, {CAMPAIGN_FILE}", super::SUMMARY_FILE);
    wrap("files     ", &format!("{dir}: {names}"), WIDTH)
}
