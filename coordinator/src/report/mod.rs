//! Reports: what a run's record says, computed once and shown in several ways.
//!
//! A report only reads a [`RunRecord`](crate::record::RunRecord); the same record gives the same
//! report on every host. Whatever came from outside (an agent's words, a model's name) is escaped
//! and clipped before it reaches a terminal.

mod asked;
mod build;
mod client;
mod compared;
mod data;
mod images;
mod imported;
mod latencies;
mod level;
mod model;
mod paper;
mod plain;
mod prompts;
mod proof;
mod repeats;
mod saturation;
mod searched;
mod server_history;
mod serving;
mod slices;
mod summary;
mod text;

use std::path::Path;

use crate::store::{StoreError, write_whole};

pub use client::{
    Client, HostReport, Hosts, NicReport, RttReport, TcpReport, UsedReport, WorkerReport,
};
pub use compared::{ablation_json, ablation_text, comparison_json, comparison_text, trust};
pub use data::{DataUsed, Think};
pub use images::{AskedImages, Fetched, ImagesReport};
pub use imported::{imported_json, imported_text};
pub use model::{
    AgentLine, Axes, AxesEvidence, Distribution, Ends, Facts, LatencyMs, LevelReport, LevelState,
    MaybeInfinite, MeasuredRequests, Paper, Peak, PerAgent, RateInterval, Rates, Real, ReportModel,
    Requests, Sketch, TokenSource, TokenSums, Window, WithFailures,
};
pub use paper::{
    Cell, Column, Figure, LeftOut as PaperLeftOut, Own, PaperReport, PaperRun, PaperTable, Value,
    figures, paper_csv, paper_markdown, paper_text,
};
pub(crate) use plain::wrap;
pub use proof::{AgentProof, ClientProof, ProofCheck, Proven};
pub use repeats::{LeftOut, RepeatedLevel, Spread, repeats};
pub use saturation::{Capacity, RateMax, Saturation, Usl};
pub(crate) use searched::{Next, Searched};
pub use server_history::TargetIdentity;
pub use serving::{AfterRestart, Fact, Memory, ServingReport};
pub use slices::{SliceLatencies, SliceRatesReport, SliceReport, SliceRequests};
pub use summary::summary_json;
pub use text::text;

/// The summary's file in a result directory.
pub const SUMMARY_FILE: &str = "summary.json";

/// Writes the files of a report into a result directory.
pub fn write_files(dir: &Path, model: &ReportModel) -> Result<(), StoreError> {
    write_whole(&dir.join(SUMMARY_FILE), summary_json(model).as_bytes())
}

#[cfg(test)]
mod tests;
