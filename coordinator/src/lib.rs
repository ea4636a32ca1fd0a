//! The floodmark coordinator: parses campaigns, runs the phase state machine over a fleet of
//! agents, merges what they counted exactly, and judges it.
//!
//! | Module | What it does |
//! |---|---|
//! | [`cli`] | commands, arguments, exit codes |
//! | [`campaign`], [`plan`] | what to do: file and flags to levels |
//! | [`dataset`] | files of prompts and conversations, read and packed |
//! | [`presets`] | campaign files to begin with |
//! | [`secrets`] | what is for the target alone, read as a run begins |
//! | [`prompts`] | what prompts are made of, so that they are as long as asked for |
//! | [`launch`], [`target`] | a run from its first look at the fleet to its stored end |
//! | [`machine`] | the phase state machine, a pure value |
//! | [`window`] | when a level's window begins and ends, a pure value |
//! | [`driver`] | the one loop that feeds it |
//! | [`ceilings`] | whether a plan asks more of agents than their hosts can carry |
//! | [`fleet`] | agents: dialled, held, heard, their clocks |
//! | [`serving`], [`lint`] | what serves the model, as it is stated, and what is known to be wrong with that |
//! | [`store`], [`record`] | what is kept of a run |
//! | [`decide`] | what follows when a plan has no more levels |
//! | [`search`] | which load to run next, to find where a server saturates |
//! | [`merge`], `measure`, [`stats`], [`classify`] | totals, numbers, statistics, statuses |
//! | [`import`] | results that other programs measured |
//! | [`compare`] | two sets of runs, level by level |
//! | [`report`], [`ui`] | what people and programs read |
//! | [`pki`] | certificates |
//! | [`clock`] | the only place where clocks are read |

pub mod campaign;
mod causes;
pub mod ceilings;
pub mod classify;
pub mod cli;
pub mod clock;
pub mod compare;
pub mod dataset;
pub mod decide;
pub mod driver;
pub mod exit;
pub mod fleet;
pub mod import;
pub mod launch;
pub mod lint;
pub mod machine;
mod measure;
pub mod merge;
pub mod pki;
pub mod plan;
pub mod presets;
pub mod prompts;
pub mod record;
pub mod report;
pub mod search;
pub mod secrets;
pub mod serving;
pub mod stats;
pub mod store;
pub mod target;
pub mod ui;
pub mod window;

#[cfg(test)]
mod paper_cases;
#[cfg(test)]
mod testdata;
#[cfg(test)]
pub(crate) use paper_cases::paper_cases;

/// Version of floodmark.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
