//! `floodmark compare`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, ValueEnum};
use common::ids::RunId;

use super::{Done, Failure};
use crate::campaign::{self, Overlay, Place, Problem, Problems, Source};
use crate::causes::with_causes;
use crate::compare::{self, Ablated, Answer, Comparison, Metric, Options, Run, Side, Sides};
use crate::exit::Exit;
use crate::report::{self, ReportModel};
use crate::store::{CAMPAIGN_FILE, FILE, Store};

/// The most runs of a side.
const RUNS_MAX: usize = 1_000;

/// What the exit codes of this command say.
const EXIT_HELP: &str = "Exit codes:
  0    NEW is not shown to be worse
  2    a directory holds no run or cannot be read, nothing can be compared, or A/A differs
  99   NEW is worse in a metric that decides";

#[derive(Args)]
#[command(after_help = EXIT_HELP)]
pub(super) struct CompareArgs {
    /// Result directory of a run, or a directory of them, each a repeat (one for each start of the
    /// server)
    base: PathBuf,
    /// The same of what is judged; exit code 99 if it is worse. Without it BASE is a run that is an
    /// ablation, whose two configurations are compared
    new: Option<PathBuf>,
    /// How the comparison is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Differences within ± this are of no interest
    #[arg(long, value_name = "PERCENT", default_value = "2%", value_parser = margin)]
    margin: f64,
    /// The metrics that decide whether NEW is worse [default: total_tok_s, ttft_p99_ms, e2e_p99_ms,
    /// success]
    #[arg(long = "metric", value_name = "NAME", value_delimiter = ',', value_parser = metrics())]
    metrics: Vec<Metric>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// For people: the answer, tables, notes
    Text,
    /// For programs: every metric, docs/compare.md lists the keys
    Json,
}

impl CompareArgs {
    fn options(&self) -> Options {
        let mut deciding: Vec<Metric> = Vec::new();
        for metric in &self.metrics {
            if !deciding.contains(metric) {
                deciding.push(*metric);
            }
        }
        let default = Options::default();
        let deciding = if deciding.is_empty() { default.deciding } else { deciding };
        Options { margin: self.margin, deciding }
    }
}

/// A percentage above 0 and up to 50, as a share.
fn margin(text: &str) -> Result<f64, String> {
    let number = text.trim().strip_suffix('%').map(str::trim_end);
    let value: Option<f64> = number.and_then(|number| number.parse().ok());
    match value {
        Some(percent) if percent > 0.0 && percent <= 50.0 => Ok(percent / 100.0),
        Some(_) | None => Err("give a percentage above 0 and up to 50, such as 2%".to_owned()),
    }
}

fn metrics() -> impl clap::builder::TypedValueParser<Value = Metric> {
    PossibleValuesParser::new(Metric::ALL.map(Metric::name)).try_map(|name| {
        Metric::ALL.into_iter().find(|metric| metric.name() == name).ok_or("no such metric")
    })
}

pub(super) fn run(args: &CompareArgs) -> Result<Done, Failure> {
    let Some(new) = &args.new else {
        return ablation(args);
    };
    let base = side("BASE", &args.base);
    let new = side("NEW", new);
    let (base, new) = Problems::both(base, new).map_err(Failure::usage)?;
    let comparison = compare::compare(&Sides { base, new }, &args.options());
    let text = match args.format {
        Format::Text => report::comparison_text(&comparison),
        Format::Json => report::comparison_json(&comparison),
    };
    Ok(Done { text, code: exit(&comparison).code() })
}

fn exit(comparison: &Comparison) -> Exit {
    match comparison.answer {
        Answer::Worse => Exit::Gate,
        // A gate must not pass because nothing was looked at.
        Answer::NothingComparable => Exit::Usage,
        Answer::Better | Answer::Equivalent | Answer::NoDifferenceShown | Answer::NotTested => {
            Exit::Done
        }
    }
}

/// Compares the two configurations of a run that is an ablation.
fn ablation(args: &CompareArgs) -> Result<Done, Failure> {
    let refuse = |text: String| {
        let mut problems = Problems::default();
        problems.add(problem("BASE", text));
        Failure::usage(problems)
    };
    let dir = &args.base;
    let loaded = Store::open(dir).and_then(|store| store.load());
    let loaded = loaded.map_err(|error| refuse(with_causes(&error)))?;
    let source = Source { name: CAMPAIGN_FILE, text: &loaded.record.header.campaign_toml };
    let campaign = campaign::resolve(Some(source), &Overlay::default()).ok();
    let Some(plan) = campaign.and_then(|campaign| campaign.ablation) else {
        let text = format!(
            "{} is not an ablation: its campaign states no two configurations; give NEW as well",
            dir.display()
        );
        return Err(refuse(text));
    };
    let levels = ReportModel::new(&loaded.record, &loaded.damage).levels;
    let ablated = Ablated::with(&loaded.record, &levels, &plan, &args.options());
    let text = match args.format {
        Format::Text => report::ablation_text(&ablated),
        Format::Json => report::ablation_json(&ablated),
    };
    let exit = match (report::trust(&ablated), &ablated.comparison) {
        (Ok(()), Some(comparison)) => exit(comparison),
        (Err(_), _) | (Ok(()), None) => Exit::Usage,
    };
    Ok(Done { text, code: exit.code() })
}

/// The runs in a directory, or everything that is wrong with it.
fn side(argument: &str, dir: &Path) -> Result<Side, Problems> {
    let mut problems = Problems::default();
    let mut runs: Vec<Run> = Vec::new();
    let mut seen: BTreeMap<RunId, PathBuf> = BTreeMap::new();
    match run_dirs(argument, dir) {
        Ok(dirs) => {
            for path in dirs {
                match load(&path) {
                    Ok(run) => match seen.insert(run.facts.run, path.clone()) {
                        None => runs.push(run),
                        Some(first) => problems.add(problem(
                            argument,
                            format!(
                                "{} and {} hold the same run; a copy is no repeat, remove one",
                                first.display(),
                                path.display()
                            ),
                        )),
                    },
                    Err(text) => problems.add(problem(argument, text)),
                }
            }
        }
        Err(found) => problems.add(found),
    }
    if problems.is_empty() {
        Ok(Side { name: dir.to_string_lossy().into_owned(), runs })
    } else {
        Err(problems)
    }
}

/// The directory itself if it holds a run, else those in it that do, by name.
fn run_dirs(argument: &str, dir: &Path) -> Result<Vec<PathBuf>, Problem> {
    if dir.join(FILE).exists() {
        return Ok(vec![dir.to_owned()]);
    }
    let shown = dir.display();
    let entries = fs::read_dir(dir)
        .map_err(|error| problem(argument, format!("{shown} cannot be read: {error}")))?;
    let mut dirs = Vec::new();
    for entry in entries {
        let entry =
            entry.map_err(|error| problem(argument, format!("{shown} cannot be read: {error}")))?;
        if entry.path().join(FILE).exists() {
            dirs.push(entry.path());
        }
        if dirs.len() > RUNS_MAX {
            return Err(problem(argument, format!("{shown} holds more than {RUNS_MAX} runs")));
        }
    }
    dirs.sort();
    if dirs.is_empty() {
        return Err(problem(
            argument,
            format!("{shown} holds no run: no {FILE} in it or in a directory in it"),
        ));
    }
    Ok(dirs)
}

fn load(dir: &Path) -> Result<Run, String> {
    let loaded = Store::open(dir).and_then(|store| store.load());
    let loaded = loaded.map_err(|error| with_causes(&error))?;
    if loaded.record.levels.iter().any(|level| level.planned.arm.is_some()) {
        let shown = dir.display();
        return Err(format!(
            "{shown} is an ablation, whose levels are those of two servers; compare it alone: \
             floodmark compare {shown}"
        ));
    }
    let name = dir.file_name().unwrap_or(dir.as_os_str());
    Ok(Run::of(name.to_string_lossy().into_owned(), &loaded))
}

fn problem(argument: &str, what: String) -> Problem {
    Problem { place: Place::Flag(argument.to_owned()), key: String::new(), value: None, what }
}

#[cfg(test)]
mod tests;
