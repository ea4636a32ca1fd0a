//! The harness of the end-to-end tests: simulators, campaigns, runs inside the test's process, and
//! real processes on loopback that end with the value that holds them.
//!
//! A test that cannot set its scene panics. Nothing here sleeps to wait for something to have
//! happened: it polls a condition, up to a bound.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests panic, and say why"
)]

pub mod binaries;
pub mod campaign;
pub mod capture;
pub mod hollow;
pub mod path;
pub mod poll;
pub mod process;
pub mod run;
pub mod simulator;
pub mod slow;
pub mod tls;
