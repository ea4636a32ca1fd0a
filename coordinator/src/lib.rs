//! The floodmark coordinator: parses campaigns, runs the phase state machine over a fleet of
//! agents, merges what they counted exactly, and judges it.

pub mod campaign;
pub mod clock;
pub mod fleet;
pub mod machine;
pub mod plan;
pub mod record;

/// Version of floodmark.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
