//! `floodmark report --paper`: reads the result directories, and writes the figures.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::ids::RunId;

use super::{Done, Failure, Format, ReportArgs};
use crate::campaign::{Place, Problem, Problems};
use crate::causes::with_causes;
use crate::exit::Exit;
use crate::report::{self, PaperLeftOut, PaperReport, PaperRun, ReportModel};
use crate::store::{Store, write_whole};

/// The most directories of one report.
const RUNS_MAX: usize = 1_000;

pub(super) fn run(args: &ReportArgs) -> Result<Done, Failure> {
    let (runs, form) =
        Problems::both(load(&args.dirs), form(args.format)).map_err(Failure::usage)?;
    let tables = PaperReport::of(&runs);
    let (files, none) = match &args.figures {
        Some(dir) => draw(&runs, dir)?,
        None => (Vec::new(), Vec::new()),
    };
    Ok(Done::text(match form {
        Form::Text => report::paper_text(&tables, &files, &none),
        Form::Markdown => report::paper_markdown(&tables, &files, &none),
        Form::Csv => report::paper_csv(&tables),
    }))
}

/// How tables are printed.
enum Form {
    Text,
    Markdown,
    Csv,
}

fn form(format: Format) -> Result<Form, Problems> {
    match format {
        Format::Text => Ok(Form::Text),
        Format::Markdown => Ok(Form::Markdown),
        Format::Csv => Ok(Form::Csv),
        Format::Json => {
            let what = "with --paper it is text, markdown or csv".to_owned();
            let mut problems = Problems::default();
            problems.add(problem("--format", Some("json".to_owned()), what));
            Err(problems)
        }
    }
}

/// The runs in these directories, or everything that is wrong with them.
fn load(dirs: &[PathBuf]) -> Result<Vec<PaperRun>, Problems> {
    let mut problems = Problems::default();
    if dirs.len() > RUNS_MAX {
        let what = format!("are more than {RUNS_MAX} directories");
        problems.add(problem("DIR", None, what));
        return Err(problems);
    }
    let mut runs = Vec::new();
    let mut seen: BTreeMap<RunId, &Path> = BTreeMap::new();
    for dir in dirs {
        match Store::open(dir).and_then(|store| store.load()) {
            Ok(loaded) => match seen.insert(loaded.record.header.run, dir) {
                None => runs.push(PaperRun {
                    name: dir.to_string_lossy().into_owned(),
                    model: ReportModel::new(&loaded.record, &loaded.damage),
                }),
                Some(first) => {
                    let (first, again) = (first.display(), dir.display());
                    let what = format!(
                        "{first} and {again} hold the same run; a copy is no restart, leave one out"
                    );
                    problems.add(problem("DIR", None, what));
                }
            },
            Err(error) => problems.add(problem("DIR", None, with_causes(&error))),
        }
    }
    if problems.is_empty() { Ok(runs) } else { Err(problems) }
}

/// Draws the figures into a directory: their files, and what could not be drawn.
fn draw(runs: &[PaperRun], dir: &Path) -> Result<(Vec<String>, Vec<PaperLeftOut>), Failure> {
    let (figures, none) = report::figures(runs);
    if let Err(error) = fs::create_dir_all(dir) {
        let text = format!("--figures {}: cannot be made: {error}", dir.display());
        return Err(Failure { exit: Exit::Store, text });
    }
    let mut files = Vec::new();
    for figure in &figures {
        let path = dir.join(figure.file_name());
        write_whole(&path, figure.svg.as_bytes())
            .map_err(|error| Failure::new(Exit::Store, &error))?;
        files.push(path.display().to_string());
    }
    Ok((files, none))
}

fn problem(flag: &str, value: Option<String>, what: String) -> Problem {
    Problem { place: Place::Flag(flag.to_owned()), key: String::new(), value, what }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use uuid::Uuid;

    use super::*;
    use crate::testdata;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ReportArgs,
    }

    fn report(words: &[&str]) -> Result<Done, Failure> {
        let words = ["report", "--paper"].iter().chain(words);
        run(&Line::try_parse_from(words).unwrap().args)
    }

    /// A result directory of a run with this number.
    fn stored(dir: &Path, number: u128) -> String {
        let mut record = testdata::run();
        record.header.run = RunId(Uuid::from_u128(number));
        testdata::stored(dir, &record);
        dir.to_str().unwrap().to_owned()
    }

    #[test]
    fn tables_and_figures_of_several_directories() {
        let home = tempfile::tempdir().unwrap();
        let dirs = [1, 2].map(|number| stored(&home.path().join(number.to_string()), number));
        let out = home.path().join("deep/figures");
        let out = out.to_str().unwrap();
        let text = report(&[&dirs[0], &dirs[1], "--figures", out]).ok().unwrap().text;
        for part in [
            "Table 12 ",
            "Table 15 ",
            "Table 22 ",
            "Table 24 ",
            "figures   ",
            "table 27: needs the facts",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let mut files: Vec<String> = fs::read_dir(out)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        assert_eq!(files, ["figure-2.svg", "figure-3.svg", "figure-4.svg"]);
        assert!(text.contains("figure 1: needs hardware.active_params_b"), "{text}");
        let csv = report(&[&dirs[0], "--format", "csv"]).ok().unwrap().text;
        assert!(csv.starts_with("table,title,row,"), "{csv}");
        let markdown = report(&[&dirs[0], "--format", "markdown"]).ok().unwrap().text;
        assert!(markdown.contains("## Table 12: "), "{markdown}");
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let home = tempfile::tempdir().unwrap();
        let good = stored(&home.path().join("good"), 1);
        let copy = stored(&home.path().join("copy"), 1);
        let none = home.path().join("none");
        let words = [&*good, &*copy, none.to_str().unwrap(), "--format", "json"];
        let Err(Failure { exit, text }) = report(&words) else { panic!("nothing is right") };
        assert_eq!(exit, Exit::Usage);
        for part in ["hold the same run", "/none", "--format: json: ", "3 problems"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn figures_that_cannot_be_written_fail_as_a_store_does() {
        let home = tempfile::tempdir().unwrap();
        let good = stored(&home.path().join("good"), 1);
        let file = home.path().join("file");
        fs::write(&file, "").unwrap();
        let Err(Failure { exit, text }) = report(&[&good, "--figures", file.to_str().unwrap()])
        else {
            panic!("a file is no directory")
        };
        assert_eq!(exit, Exit::Store);
        assert!(text.contains("/file: cannot be made"), "{text}");
    }
}
