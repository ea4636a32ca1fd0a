//! floodmark from end to end: whole runs against the simulator, whose ledger is the truth, and real
//! processes that are interrupted, killed and misused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests panic, and say why"
)]

mod ablation;
mod capacity;
mod cli;
mod data;
mod demo;
mod disk;
mod ends;
mod facts;
mod health;
mod images;
mod lease;
mod lost;
mod proof;
mod refusals;
mod repeats;
mod slices;
mod split;
mod stop;
mod supply;
mod text;
mod tidy;
mod tls;
mod truth;
mod window;
