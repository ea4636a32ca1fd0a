//! The floodmark coordinator: parses campaigns, runs the phase state machine over a fleet of
//! agents, merges what they counted exactly, and judges it.

pub mod campaign;
pub mod cli;
pub mod fleet_spec;
pub mod plan;
pub mod record;
