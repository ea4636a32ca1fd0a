//! The floodmark coordinator: parses campaigns, runs the phase state machine over a fleet of
//! agents, merges what they counted exactly, and judges it.

pub mod campaign;
pub mod classify;
pub mod merge;
pub mod plan;
pub mod record;
pub mod report;
pub mod stats;
pub mod store;

#[cfg(test)]
mod paper_cases;
#[cfg(test)]
mod testdata;
#[cfg(test)]
pub(crate) use paper_cases::paper_cases;
