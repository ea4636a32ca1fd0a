//! `floodmark report`.

mod paper;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::{Done, Failure};
use crate::campaign::{Place, Problem, Problems};
use crate::classify::imported;
use crate::exit::Exit;
use crate::import::{self, Imported, Source};
use crate::report::{self, ReportModel};
use crate::store::Store;

#[derive(Args)]
pub(super) struct ReportArgs {
    /// Result directory of a run, finished or not; several only with --paper
    #[arg(
        value_name = "DIR",
        required_unless_present = "import",
        conflicts_with = "import",
        num_args = 1..
    )]
    dirs: Vec<PathBuf>,
    /// Print tables 12 to 28 of the report that floodmark grew out of (arXiv 2603.10031), by its
    /// rules, with floodmark's own values where they differ. Give a directory for each model;
    /// several of one model and workload are restarts of its server
    #[arg(long, conflicts_with = "import")]
    paper: bool,
    /// With --paper: also draw figures 1 to 4 as figure-1.svg to figure-4.svg in this directory,
    /// which is made if need be
    #[arg(long, value_name = "OUTDIR", requires = "paper")]
    figures: Option<PathBuf>,
    /// Judge a table that was measured elsewhere: one in floodmark's table format, or results of
    /// vLLM's bench serve, one for each level
    #[arg(long, value_name = "FILE", num_args = 1..)]
    import: Vec<PathBuf>,
    /// How the report is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs: the content of summary.json, or the judged table; not with --paper
    Json,
    /// With --paper: tables as Markdown
    Markdown,
    /// With --paper: one line for each cell
    Csv,
}

pub(super) fn run(args: &ReportArgs) -> Result<Done, Failure> {
    if args.paper {
        return paper::run(args);
    }
    let whole = match args.format {
        Format::Text => Whole::Text,
        Format::Json => Whole::Json,
        Format::Markdown | Format::Csv => {
            return Err(Failure::usage("--format markdown and csv are for --paper"));
        }
    };
    match args.dirs.as_slice() {
        [] => import(&args.import, whole),
        [dir] => {
            let model = load(dir)?;
            Ok(Done::text(match whole {
                Whole::Text => report::text(&model, dir),
                Whole::Json => report::summary_json(&model),
            }))
        }
        [_, _, ..] => Err(Failure::usage(
            "several result directories make one report with --paper only; floodmark compare \
             compares them",
        )),
    }
}

/// How a whole report is printed.
#[derive(Clone, Copy)]
enum Whole {
    Text,
    Json,
}

fn import(files: &[PathBuf], format: Whole) -> Result<Done, Failure> {
    let table = read_table(files).map_err(Failure::usage)?;
    let judgements = imported::judge(&table.levels, table.baseline);
    Ok(Done::text(match format {
        Whole::Text => report::imported_text(&table, &judgements),
        Whole::Json => report::imported_json(&table, &judgements),
    }))
}

/// The table in these files, or everything that is wrong with all of them.
fn read_table(files: &[PathBuf]) -> Result<Imported, Problems> {
    let mut problems = Problems::default();
    let mut sources = Vec::new();
    for path in files {
        let name = path.to_string_lossy().into_owned();
        match read_file(path) {
            Ok(text) => sources.push(Source { name, text }),
            Err(error) => problems.add(Problem {
                place: Place::File { name, at: None },
                key: String::new(),
                value: None,
                what: format!("cannot be read: {error}"),
            }),
        }
    }
    if problems.is_empty() {
        import::read(&sources)
    } else if sources.is_empty() {
        Err(problems)
    } else {
        Problems::both(import::read(&sources), Err::<(), _>(problems)).map(|(table, ())| table)
    }
}

/// The text of a file, and not much more of it than a table may have.
fn read_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let most = Source::BYTES_MAX as u64 + 1;
    File::open(path)?.take(most).read_to_string(&mut text)?;
    Ok(text)
}

/// The report of a result directory.
pub(super) fn load(dir: &Path) -> Result<ReportModel, Failure> {
    let store = Store::open(dir).map_err(|error| Failure::new(Exit::Usage, &error))?;
    let loaded = store.load().map_err(|error| Failure::new(Exit::Store, &error))?;
    Ok(ReportModel::new(&loaded.record, &loaded.damage))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::exit::Exit;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ReportArgs,
    }

    fn line(words: &[&str]) -> Result<Line, clap::Error> {
        Line::try_parse_from(["report"].iter().chain(words))
    }

    fn sample(name: &str) -> String {
        format!("{}/../deploy/imports/{name}.json", env!("CARGO_MANIFEST_DIR"))
    }

    #[test]
    fn the_papers_thousand_users_as_text() {
        let done = run(&line(&["--import", &sample("paper-t23-kimi")]).unwrap().args);
        let Ok(Done { text, code }) = done else { panic!("a sample is readable") };
        assert_eq!(code, Exit::Done.code());
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_directory_or_files_and_not_both() {
        assert!(line(&[]).is_err());
        assert!(line(&["--import"]).is_err());
        assert!(line(&["results", "--import", "a.json"]).is_err());
        assert!(line(&["results"]).is_ok());
        assert!(line(&["results", "--figures", "out"]).is_err());
        assert!(line(&["--import", "a.json", "--paper"]).is_err());
        for words in
            [&["one", "two"][..], &["one", "--format", "csv"], &["one", "--format", "markdown"]]
        {
            let Err(failure) = run(&line(words).unwrap().args) else { panic!("{words:?}") };
            assert!(failure.exit == Exit::Usage && failure.text.contains("--paper"), "{words:?}");
        }
        let files = line(&["--format", "json", "--import", "a.json", "b.json"]).unwrap().args;
        assert_eq!(files.import.len(), 2);
    }

    #[test]
    fn bad_tables_end_with_the_usage_code_and_every_problem() {
        let absent = sample("no-such-table");
        let manifest = format!("{}/Cargo.toml", env!("CARGO_MANIFEST_DIR"));
        let Err(Failure { exit, text }) =
            run(&line(&["--import", &absent, &manifest]).unwrap().args)
        else {
            panic!("neither is a table")
        };
        assert_eq!(exit, Exit::Usage);
        assert!(text.contains("no-such-table.json: cannot be read"), "{text}");
        assert!(text.contains("Cargo.toml:1:2: is not JSON"), "{text}");
    }
}
