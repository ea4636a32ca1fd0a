//! `floodmark init`: a commented campaign file to begin with.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Done, Failure};
use crate::campaign::nearest;
use crate::exit::Exit;
use crate::presets::Preset;
use crate::store::write_whole;

/// The file that is written where none is named.
const FILE: &str = "campaign.toml";

#[derive(Args)]
pub(super) struct InitArgs {
    /// Which question to ask; --list shows all
    #[arg(long, value_name = "NAME", default_value = Preset::DEFAULT)]
    preset: String,
    /// List the presets, and write nothing
    #[arg(long, conflicts_with_all = ["preset", "output", "force"])]
    list: bool,
    /// File to write; - for standard output
    #[arg(short, long, value_name = "FILE", default_value = FILE)]
    output: PathBuf,
    /// Write over a file that exists
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &InitArgs) -> Result<Done, Failure> {
    let presets = Preset::all();
    if args.list {
        return Ok(Done::text(list(&presets)));
    }
    let wanted = args.preset.as_str();
    let Some(preset) = presets.iter().find(|preset| preset.name == wanted) else {
        let near = nearest(wanted, presets.iter().map(|preset| preset.name.as_str()));
        let near = near.map(|near| format!(" did you mean {near}?")).unwrap_or_default();
        let text = format!("there is no preset {wanted:?};{near} --list shows all");
        return Err(Failure::usage(text));
    };
    if args.output == Path::new("-") {
        return Ok(Done::text(preset.text(FILE)));
    }
    let shown = args.output.display().to_string();
    // The name stands in a comment of the file.
    let name = if shown.chars().any(char::is_control) { FILE } else { shown.as_str() };
    write(&args.output, &preset.text(name), args.force)?;
    Ok(Done::text(format!(
        "{shown}: {}\nNext: floodmark plan {shown} --target http://HOST:PORT --model NAME\n",
        preset.about()
    )))
}

/// A line for each preset.
fn list(presets: &[Preset]) -> String {
    let width = presets.iter().map(|preset| preset.name.len()).max().unwrap_or(0);
    let line = |preset: &Preset| format!("{:<width$}  {}\n", preset.name, preset.about());
    presets.iter().map(line).collect()
}

fn write(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    if force {
        return write_whole(path, text.as_bytes())
            .map_err(|error| Failure::new(Exit::Usage, &error));
    }
    create(path, text).map_err(|error| {
        let path = path.display();
        Failure::usage(if error.kind() == ErrorKind::AlreadyExists {
            format!("{path} exists and stays as it is; --force writes over it")
        } else {
            format!("cannot write {path}: {error}")
        })
    })
}

/// Writes a file that must not be there yet.
fn create(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::campaign::{Overlay, Source, resolve};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: InitArgs,
    }

    fn init(words: &[&str]) -> Result<Done, Failure> {
        run(&Line::try_parse_from(["init"].iter().chain(words)).unwrap().args)
    }

    fn refused(words: &[&str]) -> String {
        match init(words) {
            Err(Failure { exit: Exit::Usage, text }) => text,
            Err(Failure { exit, text }) => panic!("{exit:?} {text}"),
            Ok(Done { text, .. }) => panic!("{text}"),
        }
    }

    fn done(words: &[&str]) -> String {
        init(words).map(|done| done.text).unwrap_or_else(|failure| panic!("{}", failure.text))
    }

    #[test]
    fn a_file_is_written_that_can_be_run_and_is_never_written_over_unasked() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("my.toml");
        let file = path.to_str().unwrap();
        let told = done(&["--preset", "paper-stress-llama", "-o", file]);
        assert!(told.contains(&format!("floodmark plan {file} --target")), "{told}");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(&format!("floodmark plan {file} --target")));
        let campaign = resolve(Some(Source { name: file, text: &text }), &Overlay::default());
        assert_eq!(campaign.unwrap().name.as_str(), "paper-stress-llama");
        let told = refused(&["--preset", "start", "-o", file]);
        assert_eq!(told, format!("{file} exists and stays as it is; --force writes over it"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        done(&["--preset", "start", "-o", file, "--force"]);
        assert_ne!(std::fs::read_to_string(&path).unwrap(), text);
        let nowhere = dir.path().join("no/such/folder.toml");
        assert!(refused(&["-o", nowhere.to_str().unwrap()]).contains("cannot write"));
    }

    #[test]
    fn presets_are_listed_by_name_and_a_name_that_is_none_is_told_its_nearest() {
        let list = done(&["--list"]);
        assert_eq!(list.lines().count(), Preset::all().len());
        assert!(list.lines().all(|line| line.chars().count() <= 125), "{list}");
        assert!(list.starts_with("start "), "{list}");
        let told = refused(&["--preset", "paper-stres-llama"]);
        let near = "did you mean paper-stress-llama? --list shows all";
        assert_eq!(told, format!("there is no preset \"paper-stres-llama\"; {near}"));
        assert!(Line::try_parse_from(["init", "--list", "--force"]).is_err());
        assert!(done(&["-o", "-"]).starts_with("# A first look"));
    }
}
