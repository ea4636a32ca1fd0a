//! The report for a terminal: at most 100 columns, no colour.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use super::asked::manner;
use super::compared::{ablated_text, comparison_text};
use super::data;
use super::images::images_text;
use super::model::{Distribution, LevelReport, LevelState, Real, ReportModel, TokenSource};
use super::plain::{CLIP, plain, wrap};
use super::prompts::prompts_text;
use super::proof::proofs_text;
use super::repeats::Spread;
use super::saturation::{Capacity, Saturation};
use super::serving::serving_text;
use super::slices::slices_text;
use super::summary::timestamp;
use crate::campaign::Mode;
use crate::classify::{Headline, REPEATS_COV_MAX};
use crate::store::{CAMPAIGN_FILE, FILE, mode_word, tier_word};

pub(super) const WIDTH: usize = 100;

/// Things said by the target that are shown.
const DETAILS_SHOWN: usize = 12;

/// The fields of a request that force the length of its answer.
const FORCING: [&str; 2] = ["ignore_eos", "min_tokens"];

const FORCED_LENGTH: &str = "ignore_eos and min_tokens force the length of answers; for a server \
     that refuses them, --set workloads.NAME.forced_length=false (without a campaign file NAME is \
     default)";

/// Longest evidence that is shown: it is floodmark's own text, with names from outside in it.
pub(super) const EVIDENCE_CLIP: usize = 600;

/// Answers that the table tells enough of.
const QUIET: [&str; 2] = ["OK", "SCALING"];

/// Levels that are named where the same is to be known of several.
const NAMES_SHOWN: usize = 3;

/// Agents that are listed one by one.
const AGENTS_SHOWN: usize = 16;

/// The report of the run in the result directory `dir`.
pub fn text(model: &ReportModel, dir: &Path) -> String {
    let mut out = header(model);
    let comparison = model.ablation.as_ref().and_then(|ablated| ablated.comparison.as_ref());
    let sections = [
        table(model),
        slices_text(model),
        repeats(model),
        model.ablation.as_ref().map_or_else(String::new, ablated_text),
        images_text(model),
        failures(model),
        findings(model),
        headline(model),
        prompts_text(&model.levels),
        proofs_text(&model.client_proof),
        serving_text(&model.serving, !model.levels.is_empty()),
        comparison.map_or_else(String::new, comparison_text),
    ];
    for section in sections {
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
    let asked = manner(&header.campaign_toml);
    let target = format!("{target} {} ({streamed}{asked})", plain(&header.model, CLIP));
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
    out.push_str(&data::lines(model));
    if model.exit_code.is_none() {
        let begun = model.levels.len();
        let planned = header.levels_planned;
        let note = match model.saturation.goal {
            None if model.ablation.is_some() => {
                format!("unfinished: {begun} levels were begun, and more were to follow")
            }
            None => format!("unfinished: {begun} of {planned} levels were begun"),
            Some(_) => format!("unfinished: {begun} levels were begun, and a search was to follow"),
        };
        out.push_str(&wrap("note      ", &note, WIDTH));
    }
    let started: u64 = model.levels.iter().map(|level| level.requests.started).sum();
    if started > 0 && model.levels.iter().all(|level| level.requests.succeeded == 0) {
        let note = format!("no request succeeded, of {started}; what the target said is below");
        out.push_str(&wrap("note      ", &note, WIDTH));
    }
    for change in &model.target.changes {
        out.push_str(&wrap("note      ", &format!("the target: {}", plain(change, CLIP)), WIDTH));
    }
    for damage in &model.damage {
        out.push_str(&wrap("damaged   ", &plain(damage, CLIP), WIDTH));
    }
    out
}

/// The columns: width, and two lines of heading.
const COLUMNS: [(usize, &str, &str); 14] = [
    (10, "", "phase"),
    (6, "load", "asked"),
    (6, "in", "flight"),
    (5, "", "ok"),
    (4, "", "fail"),
    (5, "outp.", "tok/s"),
    (5, "total", "tok/s"),
    (6, "TTFT", "p50 ms"),
    (6, "TTFT", "p99 ms"),
    (5, "E2E", "p50 s"),
    (5, "E2E", "p99 s"),
    (5, "TPOT", "ms"),
    (9, "paper's", "status"),
    (10, "floodmark", "status"),
];

/// Columns at the end that are words.
const WORDS: usize = 2;

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
    out.push_str(&notes(model));
    out
}

/// What the table's columns mean in this run.
fn notes(model: &ReportModel) -> String {
    let mut out = String::new();
    let mut note = |holds: bool, text: &str| {
        if holds {
            out.push_str(&wrap("* ", text, WIDTH));
        }
    };
    let levels = &model.levels;
    let any = |test: &dyn Fn(&LevelReport) -> bool| levels.iter().any(test);
    note(
        any(&|level| level.axes.headline == Some(Headline::Invalid.name())),
        "INVALID is not a result for the load asked for, see below",
    );
    note(
        any(&|level| level.in_window),
        "rates are those of what arrived in a level's window; requests and latencies are those of \
         requests intended in it",
    );
    note(
        any(&|level| level.rate_asked_per_s.is_some()),
        "at a rate (/s) latencies run from the instant at which a request was planned",
    );
    let lacks_p99 = |latency: &Distribution| latency.p50.is_some() && latency.p99.is_none();
    note(
        any(&|level| lacks_p99(user_view(level).0) || lacks_p99(user_view(level).1)),
        "a p99 needs 662 independent samples and is left out (-) below; summary.json has the \
         quantiles that fewer give, and the paper's own",
    );
    out
}

/// One row; the first column and the words at the end are aligned left, the numbers right.
fn line(cells: [String; COLUMNS.len()]) -> String {
    let mut out = String::new();
    for (place, (cell, (width, _, _))) in cells.iter().zip(COLUMNS).enumerate() {
        let _written = match place {
            0 => write!(out, "{cell:<width$}"),
            place if place + WORDS >= COLUMNS.len() => write!(out, " {cell:<width$}"),
            _ => write!(out, " {cell:>width$}"),
        };
    }
    format!("{}\n", out.trim_end())
}

/// Times to the first and to the last token as a user sees them: of an open loop from the instant
/// at which the request was planned.
fn user_view(level: &LevelReport) -> (&Distribution, &Distribution) {
    let latencies = &level.latency_ms;
    match level.rate_asked_per_s {
        Some(_) => (&latencies.ttft_plan, &latencies.e2e_plan),
        None => (&latencies.ttft, &latencies.e2e),
    }
}

fn cells(level: &LevelReport) -> [String; COLUMNS.len()] {
    let (ttft, e2e) = user_view(level);
    let unfinished = match &level.state {
        LevelState::Complete => "-",
        LevelState::Stopped(_) => "stopped",
        LevelState::Unfinished => "unfinished",
        LevelState::Void => "void",
    };
    let ms = |value: Option<Real>| short(value.map(Real::value));
    let s = |value: Option<Real>| short(value.map(|ms| ms.value() / 1e3));
    [
        level.phase.name().into(),
        asked(level),
        ms(level.in_flight_mean),
        count(level.measured.succeeded, 5),
        count(level.measured.failed, 4),
        ms(level.rates.output_tok_s),
        ms(level.rates.total_tok_s),
        ms(ttft.p50),
        ms(ttft.p99),
        s(e2e.p50),
        s(e2e.p99),
        ms(level.latency_ms.tpot.p50),
        level.paper.status.unwrap_or("-").into(),
        level.axes.headline.unwrap_or(unfinished).into(),
    ]
}

/// The load asked for in at most six characters: users, or requests per second.
fn asked(level: &LevelReport) -> String {
    match level.rate_asked_per_s.map(Real::value) {
        None => count(level.users_asked.into(), 6),
        Some(rate) if rate < 99.95 && rate.fract() != 0.0 => format!("{rate:.1}/s"),
        Some(rate) if rate < 9_999.5 => format!("{rate:.0}/s"),
        Some(rate) => format!("{:.0}k/s", rate / 1e3),
    }
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
pub(super) fn count(value: u64, width: usize) -> String {
    let exact = value.to_string();
    if exact.len() <= width {
        exact
    } else {
        let units = [(1_000, "k"), (1_000_000, "M"), (1_000_000_000, "G")];
        let mut shown = units.map(|(unit, name)| format!("{}{name}", value / unit)).into_iter();
        shown.find(|text| text.len() <= width).unwrap_or_else(|| "many".into())
    }
}

/// Digits with a comma between thousands.
pub(super) fn grouped(digits: &str) -> String {
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// What names a level beyond its phase and users.
fn name_beyond_users(level: &LevelReport) -> Option<String> {
    let mut parts = Vec::new();
    let users = level.users_asked.to_string();
    if ![users, asked(level)].contains(&level.planned_label) {
        parts.push(plain(&level.planned_label, CLIP));
    }
    match level.arm {
        Some(arm) => parts.push(format!("{}, start {}", arm.title(), level.repeat + 1)),
        None if level.repeat > 0 => parts.push(format!("repeat {}", level.repeat + 1)),
        None => {}
    }
    parts.extend(level.purpose.map(|purpose| format!("search: {purpose}")));
    if level.attempt > 0 {
        parts.push(format!("attempt {}", level.attempt + 1));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

pub(super) fn name(level: &LevelReport) -> String {
    let mut name = format!("{} {}", level.phase, plain(&level.planned_label, CLIP));
    match level.arm {
        Some(arm) => {
            let _written = write!(name, " ({}, start {})", arm.title(), level.repeat + 1);
        }
        None if level.repeat > 0 => {
            let _written = write!(name, " repeat {}", level.repeat + 1);
        }
        None => {}
    }
    if level.attempt > 0 {
        let _written = write!(name, " attempt {}", level.attempt + 1);
    }
    name
}

/// Measured requests that failed or were cut, by class, and each thing that the target said once.
fn failures(model: &ReportModel) -> String {
    let mut out = String::new();
    for level in &model.levels {
        for (class, count) in &level.measured.by_class {
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

/// Levels over their repeats: what another run may be expected to give.
fn repeats(model: &ReportModel) -> String {
    // The tables of an ablation tell its repeats apart.
    if model.repeats.is_empty() || model.ablation.is_some() {
        return String::new();
    }
    let mut out = String::from(
        "repeats                   n  total tok/s   95 % of mean    CoV      min      max\n",
    );
    for level in &model.repeats {
        let name = format!("{} {}", level.phase, plain(&level.label, 24));
        let percent = |part: Option<Real>| match part {
            Some(part) => format!("{:.2} %", part.value() * 100.0),
            None => "-".to_owned(),
        };
        let spread = level.total_tok_s.as_ref();
        let value = |of: fn(&Spread) -> Real| short(spread.map(|spread| of(spread).value()));
        let half = spread.and_then(|spread| {
            let half = spread.ci95_half_width?.value() / spread.mean.value();
            Some(format!("+- {:.2} %", half * 100.0))
        });
        let _written = writeln!(
            out,
            "{name:<24} {:>2} {:>12} {:>14} {:>6} {:>8} {:>8}",
            level.n,
            value(|spread| spread.mean),
            half.unwrap_or_else(|| "-".to_owned()),
            percent(spread.and_then(|spread| spread.cov)),
            value(|spread| spread.min),
            value(|spread| spread.max),
        );
        for gone in &level.left_out {
            let text = format!("repeat {}: {}", gone.repeat + 1, gone.because);
            out.push_str(&wrap("  left out ", &plain(&text, EVIDENCE_CLIP), WIDTH));
        }
        let cov = spread.and_then(|spread| spread.cov).map_or(0.0, Real::value);
        if cov > REPEATS_COV_MAX.value {
            let text = format!("{name}: CoV above 5 %: 10 restarts are called for");
            out.push_str(&wrap("  * ", &text, WIDTH));
        }
    }
    out
}

/// What a reader must know about single levels. What is the same of several is said once.
fn findings(model: &ReportModel) -> String {
    let mut told: Vec<(String, Vec<String>)> = Vec::new();
    let mut tell = |level: &LevelReport, what: &str| {
        match told.iter_mut().find(|(text, _)| text == what) {
            Some((_, levels)) => levels.push(name(level)),
            None => told.push((what.to_owned(), vec![name(level)])),
        };
    };
    for level in &model.levels {
        for verdict in &level.verdicts {
            let evidence = plain(&verdict.evidence, EVIDENCE_CLIP);
            let (code, effect) = (verdict.code.name(), verdict.effect.name());
            tell(level, &format!("{code} ({effect}): {evidence}"));
        }
        for (answer, evidence) in answers(level) {
            tell(level, &format!("{answer}: {}", plain(evidence, EVIDENCE_CLIP)));
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
    let line = |(text, levels): (String, Vec<String>)| {
        let shown: Vec<&str> = levels.iter().take(NAMES_SHOWN).map(String::as_str).collect();
        let more = match levels.len() - shown.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        wrap("- ", &format!("{}{more}: {text}", shown.join(", ")), WIDTH)
    };
    told.into_iter().map(line).collect()
}

/// The answers of the axes that a reader must know: what is as it should be is in the table.
fn answers(level: &LevelReport) -> impl Iterator<Item = (String, &str)> {
    let axes = &level.axes;
    let evidence = &axes.evidence;
    [
        ("", axes.reliability, &evidence.reliability),
        ("", axes.latency.filter(|answer| *answer != "UNDECIDED"), &evidence.latency),
        ("SLO ", axes.slo, &evidence.slo),
        ("load ", axes.load, &evidence.load),
    ]
    .into_iter()
    .filter_map(|(prefix, answer, evidence)| {
        let answer = answer.filter(|answer| !QUIET.contains(answer))?;
        Some((format!("{prefix}{answer}"), evidence.as_deref()?))
    })
}

fn headline(model: &ReportModel) -> String {
    let mut out = String::new();
    if let Some(peak) = &model.peak {
        let rate = |value: Option<Real>| short(value.map(Real::value));
        let label = plain(&peak.label, CLIP);
        let (total, output) = (rate(peak.total_tok_s), rate(peak.output_tok_s));
        let text = format!("{} {label}: {total} tok/s in all, {output} output tok/s", peak.phase);
        out.push_str(&wrap("peak              ", &text, WIDTH));
    }
    let because = plain(&model.saturation.because, EVIDENCE_CLIP);
    if let Some(goal) = model.saturation.goal {
        let title = if goal == "slo" { "largest load      " } else { "saturation point  " };
        out.push_str(&wrap(title, &because, WIDTH));
        out.push_str(&beside(&model.saturation));
        return out;
    }
    let text = match (model.saturation.users, model.header.mode) {
        (Some(users), Mode::Paper) => {
            let valid = model.peak.as_ref().is_some_and(|peak| peak.valid);
            let caveat =
                if valid { "" } else { "; that level is INVALID, so this says nothing about them" };
            format!("{users} users, {because}{caveat}")
        }
        (Some(users), Mode::Floodmark) => format!("{users} users: {because}"),
        (None, Mode::Floodmark) if !model.levels.is_empty() => format!("not found: {because}"),
        (None, Mode::Paper | Mode::Floodmark) => return out,
    };
    out.push_str(&wrap("saturation point  ", &text, WIDTH));
    out
}

/// What a search for saturation has found besides.
fn beside(saturation: &Saturation) -> String {
    let mut out = String::new();
    if saturation.goal == Some("slo") {
        return out;
    }
    if let Some(Capacity { users: Some(users), missed, .. }) = saturation.capacity {
        let mut text = format!("met for certain up to {users} users");
        if let Some(missed) = missed {
            let _written = write!(text, ", not at {}", missed.value());
        }
        out.push_str(&wrap("objectives        ", &text, WIDTH));
    }
    let mut fits = Vec::new();
    fits.extend(saturation.n_power.map(|users| format!("highest power at {users} users")));
    fits.extend(saturation.usl.map(|law| match law.peak_users {
        Some(peak) => format!("the scalability law peaks at {:.0} users", peak.value()),
        None => "the scalability law has no peak near what was measured".to_owned(),
    }));
    if !fits.is_empty() {
        out.push_str(&wrap("curve             ", &fits.join("; "), WIDTH));
    }
    out
}

fn files(dir: &Path) -> String {
    let dir = plain(&dir.display().to_string(), CLIP);
    let names = format!("{FILE}, {}, {CAMPAIGN_FILE}", super::SUMMARY_FILE);
    wrap("files     ", &format!("{dir}: {names}"), WIDTH)
}
