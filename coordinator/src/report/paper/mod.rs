//! The tables of the report that floodmark grew out of (arXiv 2603.10031, tables 12 to 28) and its
//! figures, filled from runs: each value as that report computes it, and by floodmark's own method
//! beside it where that gives another, with the reason.
//!
//! Pure: reports of runs come in, tables and figures go out. Nothing is filled from what the paper
//! printed, and nothing is made up: what a result directory does not state is printed as such.
//!
//! | Module | What it does |
//! |---|---|
//! | `study`, `stated` | sorts runs by model, phase and work |
//! | `cell`, `table` | what a table holds |
//! | `level` | the cells of one level, by both methods |
//! | `peaks` | tables 12, 13, 18 to 21, 25 |
//! | `levels` | tables 14 to 17, 22, 23 |
//! | `restarts` | table 24 |
//! | `ablation` | table 26 |
//! | `memory` | tables 27, 28 |
//! | `figures`, `chart` | figures 1 to 4 |
//! | `text`, `markdown`, `csv` | tables as people and programs read them |

mod ablation;
mod cell;
mod chart;
mod csv;
mod figures;
mod level;
mod levels;
mod markdown;
mod memory;
mod peaks;
mod restarts;
mod stated;
mod study;
mod table;
mod text;

#[cfg(test)]
mod tests;

use super::model::{Real, ReportModel};
use super::plain::{CLIP, plain};
use study::{Kind, Study};

pub use cell::{Cell, Own, Value};
pub use csv::paper_csv;
pub use figures::{Figure, figures};
pub use markdown::paper_markdown;
pub use study::PaperRun;
pub use table::{Column, PaperTable};
pub use text::paper_text;

/// The tables that runs fill.
#[derive(Clone, Debug, PartialEq)]
pub struct PaperReport {
    /// A line about each run.
    pub runs: Vec<String>,
    /// The tables, by number.
    pub tables: Vec<PaperTable>,
    /// Those that no run fills.
    pub left_out: Vec<LeftOut>,
    /// What a reader must know of all of them.
    pub notes: Vec<String>,
}

/// What could not be filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The tables or figures, by number.
    pub numbers: Vec<&'static str>,
    /// What would fill them.
    pub needs: String,
}

impl PaperReport {
    /// The report of these runs. Those of one model and workload are restarts of one server.
    pub fn of(runs: &[PaperRun]) -> Self {
        let study = Study::of(runs);
        let mut tables = Vec::new();
        let mut left_out = Vec::new();
        let mut add = |numbers: &[&'static str], found: Result<Vec<PaperTable>, String>| match found
        {
            Ok(found) => tables.extend(found),
            Err(needs) => LeftOut::add(&mut left_out, numbers, needs),
        };
        let one = |table: Result<PaperTable, String>| table.map(|table| vec![table]);
        for (kind, [summary, architectures, normalised, saturation]) in
            Kind::BOTH.into_iter().zip([["12", "18", "20", "22"], ["13", "19", "21", "23"]])
        {
            add(&[summary], one(peaks::summary(&study, kind)));
            add(&[architectures], one(peaks::architectures(&study, kind)));
            add(&[normalised], one(peaks::normalised(&study, kind)));
            add(&[saturation], levels::saturation(&study, kind));
        }
        add(&["14", "15", "16", "17"], levels::scaling(&study));
        add(&["24"], one(restarts::table(&study)));
        add(&["25"], one(peaks::acceleration(&study)));
        add(&["26"], ablation::tables(runs));
        add(&["27"], one(memory::measured(&study)));
        add(&["28"], one(memory::expected(&study)));
        tables.sort_by_key(|table| table.number);
        Self { runs: runs.iter().map(line).collect(), tables, left_out, notes: notes(runs, &study) }
    }
}

impl LeftOut {
    /// Adds what could not be filled; what needs the same stands together.
    fn add(all: &mut Vec<Self>, numbers: &[&'static str], needs: String) {
        match all.iter_mut().find(|other| other.needs == needs) {
            Some(other) => other.numbers.extend(numbers),
            None => all.push(Self { numbers: numbers.to_vec(), needs }),
        }
    }

    /// In a sentence, of tables or figures.
    pub(super) fn sentence(&self, what: &str) -> String {
        let plural = if self.numbers.len() == 1 { "" } else { "s" };
        format!("{what}{plural} {}: needs {}", self.numbers.join(", "), self.needs)
    }
}

/// What was run, as far as the numbers depend on it.
fn line(run: &PaperRun) -> String {
    let ReportModel { header, outcome, target, agents, .. } = &run.model;
    let hardware = header.judging.hardware;
    let stated = |value: Option<f64>, unit: &str| match value {
        Some(value) => format!("{} {unit}", Value::Number(value).shown()),
        None => format!("{unit} not stated"),
    };
    let version = target.version.as_deref().unwrap_or("version not stated");
    let stream = if header.stream { "streamed" } else { "not streamed" };
    format!(
        "{}: {}, server {}, {} mode, tier {}, {stream}, {} {}, {}, {}; {outcome}",
        plain(&run.name, CLIP),
        plain(&header.model, CLIP),
        plain(version, CLIP),
        header.mode.name(),
        header.tier.name(),
        agents.len(),
        if agents.len() == 1 { "agent" } else { "agents" },
        stated(hardware.gpus, "GPUs"),
        stated(hardware.active_params_b, "billion active parameters"),
    )
}

fn notes(runs: &[PaperRun], study: &Study<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    match study.open_loops {
        0 => {}
        1 => notes.push("1 level of an open loop has no users and is in no table".to_owned()),
        more => {
            notes.push(format!("{more} levels of open loops have no users and are in no table"))
        }
    }
    for run in runs {
        let name = plain(&run.name, CLIP);
        if run.model.levels.iter().any(|level| level.arm.is_some()) {
            notes.push(format!(
                "{name}: an ablation; its levels are those of two servers, and in table 26 only"
            ));
        }
        if run.model.exit_code.is_none() {
            notes.push(format!("{name}: {}", plain(&run.model.ended_because, CLIP)));
        }
        for damage in &run.model.damage {
            notes.push(format!("{name}: damaged: {}", plain(damage, CLIP)));
        }
    }
    notes
}

/// A number, as figures need it.
fn value(real: Option<Real>) -> Option<f64> {
    real.map(Real::value)
}
