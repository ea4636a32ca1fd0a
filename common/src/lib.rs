//! The pure values of floodmark, shared by the agent and the coordinator.
//!
//! A type lives here only if it crosses the wire or the store, or if both sides must compute it
//! identically. Nothing in this crate reads a clock, a file, a socket, the environment or a random
//! source: time and seeds come in as arguments.
//!
//! | Module | What it holds |
//! |---|---|
//! | [`ids`] | names and numbers that identify runs, agents, levels, users |
//! | [`time`], [`duration`] | monotonic ticks, durations as people write them |
//! | [`seed`] | one seed per campaign, a generator per request |
//! | [`phase`] | the five phases |
//! | [`target`], [`trust`], [`extra`], [`workload`], [`images`] | what is loaded, whom it is trusted by, what is added to its requests, with what |
//! | [`text`], [`prompt`], [`body`] | what prompts are made of, prompts, the fields of requests |
//! | [`records`], [`trace`] | data sets that requests are made of |
//! | [`arrivals`], [`assignment`] | when requests are intended, and one agent's share of a level |
//! | [`mix`], [`choice`], [`slice`] | weighted workloads and models, which of them a request is, and results apart by it |
//! | [`slo`] | what a request must meet to be good |
//! | [`outcome`], [`detail`] | how one request ended, its instants, the target's words |
//! | [`hist`], [`series`], [`tally`] | what an agent accumulates; merging is exact |
//! | [`ceiling`] | what a host can carry, and how late a generator may be |
//! | [`snapshot`], [`health`], [`processors`] | cumulative states on their way to the coordinator, and what hosts tell of themselves |

pub mod arrivals;
pub mod assignment;
pub mod body;
pub mod ceiling;
pub mod choice;
pub mod detail;
pub mod digest;
pub mod duration;
pub mod extra;
pub mod health;
pub mod hist;
pub mod ids;
pub mod images;
pub mod length;
pub mod mix;
pub mod outcome;
pub mod phase;
pub mod processors;
pub mod prompt;
pub mod records;
pub mod seed;
pub mod series;
pub mod slice;
pub mod slo;
pub mod snapshot;
pub mod tally;
pub mod target;
pub mod text;
pub mod time;
pub mod trace;
pub mod trust;
pub mod workload;
