//! `floodmark report`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::{Done, Failure};
use crate::exit::Exit;
use crate::report::{self, ReportModel};
use crate::store::Store;

#[derive(Args)]
pub(super) struct ReportArgs {
    /// Result directory of a run, finished or not
    dir: PathBuf,
    /// How the report is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs: the content of summary.json
    Json,
}

pub(super) fn run(args: &ReportArgs) -> Result<Done, Failure> {
    let model = load(&args.dir)?;
    Ok(Done::text(match args.format {
        Format::Text => report::text(&model, &args.dir),
        Format::Json => report::summary_json(&model),
    }))
}

/// The report of a result directory.
pub(super) fn load(dir: &Path) -> Result<ReportModel, Failure> {
    let store = Store::open(dir).map_err(|error| Failure::new(Exit::Usage, &error))?;
    let loaded = store.load().map_err(|error| Failure::new(Exit::Store, &error))?;
    Ok(ReportModel::new(&loaded.record, &loaded.damage))
}
