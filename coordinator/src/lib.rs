//! The floodmark coordinator: parses campaigns, runs the phase state machine over a fleet of
//! agents, merges what they counted exactly, and judges it.

pub mod campaign;
pub mod classify;
pub mod clock;
pub mod driver;
pub mod exit;
pub mod fleet;
pub mod launch;
pub mod machine;
pub mod merge;
pub mod plan;
pub mod ready;
pub mod record;
pub mod report;
pub mod stats;
pub mod store;
pub mod ui;

#[cfg(test)]
mod paper_cases;
#[cfg(test)]
mod testdata;
#[cfg(test)]
pub(crate) use paper_cases::paper_cases;

/// Version of floodmark.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
