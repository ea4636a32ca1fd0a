//! The report of an imported table for a terminal: at most 100 columns, no colour.

use super::{Row, best_standing, has, in_flight, is_struck, lacks_users, peak};
use crate::classify::imported::{Judgement, Latency, Level, LoadStatus, Stated, Work};
use crate::classify::{Code, LIMITS_VERSION, Reliability, Verdict};
use crate::import::Imported;
use crate::report::plain::{CLIP, plain, wrap};
use crate::report::text::{grouped, short};

const WIDTH: usize = 100;

/// Levels whose implied numbers in flight are this close offered one load. It shapes a sentence and
/// judges nothing.
const SAME_LOAD: f64 = 0.05;

/// Kinds of requests that are described.
const WORKS_SHOWN: usize = 3;

/// The report for people.
pub fn imported_text(imported: &Imported, judgements: &[Judgement]) -> String {
    let rows: Vec<Row<'_>> = imported.levels.iter().zip(judgements).collect();
    let mut out = header(imported);
    for section in [table(&rows), findings(&rows), headline(&rows)] {
        if !section.is_empty() {
            out.push('\n');
            out.push_str(&section);
        }
    }
    out
}

fn header(imported: &Imported) -> String {
    let model = imported.model.as_deref().unwrap_or("model not stated");
    let mut works: Vec<String> = Vec::new();
    for level in &imported.levels {
        let text = work_text(level.work);
        if !works.contains(&text) {
            works.push(text);
        }
    }
    if let Some(more) = works.len().checked_sub(WORKS_SHOWN).filter(|more| *more > 0) {
        works.truncate(WORKS_SHOWN);
        works.push(format!("and {more} more"));
    }
    let imported_name = format!("{}, {}", plain(&imported.name, CLIP), plain(model, CLIP));
    let source = imported.source.as_deref().unwrap_or("not stated");
    let limits = format!(
        "single values without intervals; limits version {LIMITS_VERSION}, listed in docs/limits.md"
    );
    let mut out = String::new();
    for (name, value) in [
        ("imported  ", imported_name),
        ("source    ", plain(source, CLIP)),
        ("requests  ", works.join("; ")),
        ("judged    ", limits),
    ] {
        out.push_str(&wrap(name, &value, WIDTH));
    }
    for note in &imported.notes {
        out.push_str(&wrap("note      ", &plain(note, CLIP), WIDTH));
    }
    out
}

fn work_text(work: Work) -> String {
    match work {
        Work::Stated(Stated { input_tokens, output_tokens, images }) => {
            let images = match images {
                0 => String::new(),
                1 => ", 1 image".to_owned(),
                many => format!(", {many} images"),
            };
            format!("{input_tokens} input and {output_tokens} output tokens{images}, as stated")
        }
        Work::Delivered { prompt, completion } => {
            format!("{prompt:.1} prompt and {completion:.1} output tokens on average, as delivered")
        }
    }
}

/// The columns: width, and two lines of heading.
const COLUMNS: [(usize, &str, &str); 11] = [
    (10, "", "phase"),
    (7, "users", "asked"),
    (7, "in", "flight"),
    (6, "total", "tok/s"),
    (6, "E2E", "p99 s"),
    (7, "elas-", "ticity"),
    (7, "flight", "index"),
    (9, "paper's", "status"),
    (11, "floodmark's", "status"),
    (8, "", "latency"),
    (10, "", "load"),
];

fn table(rows: &[Row<'_>]) -> String {
    let mut out = line(COLUMNS.map(|(_, first, _)| first.to_owned()));
    out.push_str(&line(COLUMNS.map(|(_, _, second)| second.to_owned())));
    for row in rows {
        out.push_str(&line(cells(row)));
    }
    if rows.iter().any(|row| in_flight(row).is_some()) {
        let how = "rate times mean latency where both are given, else tok/s x p99, scaled from the \
                   lowest level that a row is compared with, which is taken to have held its users";
        out.push_str(&wrap("in flight: ", how, WIDTH));
    }
    if rows.iter().any(is_struck) {
        out.push_str("* not a result for the users asked, or not comparable, see below\n");
    }
    out
}

/// One row; texts are aligned left, numbers right.
fn line(cells: [String; COLUMNS.len()]) -> String {
    const NUMBERS: std::ops::RangeInclusive<usize> = 1..=6;
    let mut out = String::new();
    for (place, (cell, (width, _, _))) in cells.iter().zip(COLUMNS).enumerate() {
        if place > 0 {
            out.push(' ');
        }
        let cell = if NUMBERS.contains(&place) {
            format!("{cell:>width$}")
        } else {
            format!("{cell:<width$}")
        };
        out.push_str(&cell);
    }
    format!("{}\n", out.trim_end())
}

fn cells(row: &Row<'_>) -> [String; COLUMNS.len()] {
    let (level, judgement) = row;
    let struck = if is_struck(row) { "*" } else { "" };
    [
        level.phase.name().to_owned(),
        level.users.to_string(),
        fixed(in_flight(row), 1, 7),
        short(level.total_tok_s),
        fixed(level.p99_s, 2, 6),
        fixed(judgement.elasticity, 3, 7),
        fixed(judgement.inflight_index, 1, 7),
        judgement.paper.status.name().to_owned(),
        format!("{}{struck}", judgement.headline.name()),
        judgement.latency.status.name().to_owned(),
        judgement.load.status.name().to_owned(),
    ]
}

/// A number with so many digits after the point, or fewer where it would not fit its column.
fn fixed(value: Option<f64>, digits: usize, width: usize) -> String {
    let Some(value) = value else {
        return "-".to_owned();
    };
    let exact = format!("{value:.digits$}");
    if exact.len() <= width { exact } else { format!("{value:.0e}") }
}

fn name(level: &Level) -> String {
    format!("{} {}", level.phase, level.users)
}

/// What a reader must know: what was in flight first, then verdicts, then row by row.
fn findings(rows: &[Row<'_>]) -> String {
    let mut out = String::new();
    let mut tell = |text: &str| out.push_str(&wrap("- ", text, WIDTH));
    for sentence in loads(rows) {
        tell(&sentence);
    }
    for (names, verdict) in verdicts(rows) {
        tell(&format!("{names}: {}: {}", verdict.code.name(), verdict.evidence));
    }
    for (level, judgement) in rows {
        let name = name(level);
        match judgement.reliability.status {
            Reliability::Failing => tell(&format!("{name}: {}", judgement.reliability.evidence)),
            Reliability::Ok => {}
        }
        match judgement.load.status {
            LoadStatus::Saturated | LoadStatus::Overloaded => {
                tell(&format!("{name}: {}", judgement.load.evidence));
            }
            LoadStatus::Scaling | LoadStatus::Unknown | LoadStatus::NotJudged => {}
        }
        match judgement.latency.status {
            Latency::Degraded => tell(&format!("{name}: {}", judgement.latency.evidence)),
            Latency::Ok | Latency::Unknown | Latency::NotJudged => {}
        }
        if let Some(other) = judgement.paper.first_level_alternative
            && other != judgement.paper.status
        {
            tell(&format!(
                "{name}: compared with the last SCALING level it is {} by the paper's rule; the \
                 paper does not say what its first SATURATION level is compared with",
                other.name()
            ));
        }
    }
    let with_caveat = rows.iter().filter_map(|row| Some((row, row.1.caveat.as_ref()?)));
    if let Some(((level, _), caveat)) = with_caveat.clone().next() {
        let others = match with_caveat.count() - 1 {
            0 => String::new(),
            others => format!("; likewise at {others} more"),
        };
        tell(&format!("{}: {caveat}{others}", name(level)));
    }
    let unknown = |row: &&Row<'_>| row.1.latency.status == Latency::Unknown;
    if let Some((_, judgement)) = rows.iter().find(unknown) {
        let all = rows.iter().filter(unknown).count() == rows.len();
        let which = if all { "at all" } else { "where it says UNKNOWN" };
        tell(&format!("latency is not judged {which}: {}", judgement.latency.evidence));
    }
    out
}

/// Each verdict once, with the names of the levels that it is about.
fn verdicts<'a>(rows: &[Row<'a>]) -> Vec<(String, &'a Verdict)> {
    let mut told: Vec<(String, &Level, &Verdict)> = Vec::new();
    for (level, judgement) in rows {
        for verdict in &judgement.verdicts {
            let same =
                told.iter_mut().find(|(_, other, v)| other.phase == level.phase && *v == verdict);
            match same {
                Some((names, _, _)) => names.push_str(&format!(", {}", level.users)),
                None => told.push((name(level), level, verdict)),
            }
        }
    }
    told.into_iter().map(|(names, _, verdict)| (names, verdict)).collect()
}

/// One sentence for each load that was offered under labels it never reached.
fn loads(rows: &[Row<'_>]) -> Vec<String> {
    let mut groups: Vec<(f64, Vec<Row<'_>>)> = Vec::new();
    for row in rows.iter().filter(|row| lacks_users(row)) {
        let Some(in_flight) = in_flight(row) else { continue };
        match groups.last_mut() {
            Some((first, group))
                if (in_flight - *first).abs() <= SAME_LOAD * *first
                    && group.iter().all(|other| other.0.phase == row.0.phase) =>
            {
                group.push(*row);
            }
            Some(_) | None => groups.push((in_flight, vec![*row])),
        }
    }
    groups.iter().map(|(_, group)| load_sentence(group)).collect()
}

fn load_sentence(group: &[Row<'_>]) -> String {
    let users: Vec<String> =
        group.iter().map(|(level, _)| grouped(&level.users.to_string())).collect();
    let in_flight: Vec<f64> = group.iter().filter_map(in_flight).map(f64::round).collect();
    let least = in_flight.iter().copied().fold(f64::INFINITY, f64::min);
    let most = in_flight.iter().copied().fold(0.0, f64::max);
    let about =
        if least < most { format!("{least:.0} to {most:.0}") } else { format!("{most:.0}") };
    let (last, before) = users.split_last().map_or(("", [].as_slice()), |(l, b)| (l.as_str(), b));
    let mut sentence = if before.is_empty() {
        format!("at {last} users about {about} requests were in flight")
    } else {
        format!(
            "at {} and {last} users about {about} requests were in flight: these levels are one \
             load under {} labels",
            before.join(", "),
            group.len()
        )
    };
    let is_rough = |row: &Row<'_>| row.1.in_flight_mean.is_none() && has(row, Code::WorkNotEqual);
    if group.iter().any(is_rough) {
        sentence.push_str(" (a rough number, since levels did not do the same work)");
    }
    sentence
}

fn headline(rows: &[Row<'_>]) -> String {
    let mut out = String::new();
    let say = |row: &Row<'_>| {
        let output = match row.0.output_tok_s {
            Some(rate) => format!(", {} output tok/s", short(Some(rate))),
            None => String::new(),
        };
        format!("{}: {} tok/s in all{output}", name(row.0), short(row.0.total_tok_s))
    };
    if let Some(row) = peak(rows) {
        let caveat = if is_struck(row) {
            "; that row is struck, so it says nothing about its users"
        } else {
            ""
        };
        out.push_str(&wrap("peak        ", &format!("{}{caveat}", say(row)), WIDTH));
    }
    if let Some(row) = best_standing(rows) {
        out.push_str(&wrap("best valid  ", &say(row), WIDTH));
    } else {
        out.push_str("best valid  none: every row is struck\n");
    }
    out
}
