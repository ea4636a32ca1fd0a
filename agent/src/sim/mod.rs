//! A mock LLM server with the APIs of OpenAI and Anthropic: known timing, faults on demand, and a ledger of what it
//! truly did, against which a client's figures can be checked.
//!
//! The timing is a value ([`model`]) that draws every instant from a seed; the sockets around it
//! only keep to those instants and write down when they did. It generates no text worth reading,
//! and it never adjusts the ledger to what was planned.
//!
//! | Module | What it holds |
//! |---|---|
//! | [`profile`], [`count`] | pace, capacity and faults; what prompts are counted as |
//! | [`model`] | slots, the line before them, the instants of tokens |
//! | [`ledger`] | the truth about every request, and totals |
//! | [`server`], [`thread`] | the listener, in a runtime or on a thread of its own |
//! | [`args`] | the command `floodmark-agent sim` |
//!
//! HTTP/1.1 and HTTP/2 by prior knowledge are told apart by a connection's first bytes. `POST` to any
//! endpoint that floodmark loads and `GET /v1/models` are the APIs;
//! `GET /health`, `/metrics` (the names of vLLM), `/counts` (totals) and `/truth` (the ledger) show
//! what is going on. `prompt_tokens` is the number of characters in all texts of a prompt divided
//! by 4, or by what `--chars-per-token` says, rounded up, and a token for every 28 by 28 pixels of its
//! images, which it takes in base64 or fetches, and refuses if they are broken. A reply has exactly as many tokens as were asked for, one in each event; that to
//! a request for an embedding has none, comes after the time of a first token, and is one vector.

mod api;
pub mod args;
pub mod count;
mod desk;
mod frames;
mod http;
mod images;
pub mod ledger;
pub mod model;
mod names;
mod pages;
pub mod profile;
mod reply;
pub mod server;
pub mod thread;
mod wire;

pub use args::SimArgs;
pub use count::{CharsPerToken, Counting};
pub use ledger::{Ending, Entry, LedgerHandle, Totals};
pub use profile::{Fault, FaultRate, Faults, Jitter, Profile};
pub use server::{Sim, SimError};
pub use thread::{SimThread, spawn};

/// What a simulated server sees of a request's images, for the tests of those who send them.
#[cfg(test)]
pub(crate) struct Images {
    pub(crate) hashes: Vec<u64>,
    pub(crate) tokens: u64,
    pub(crate) bytes: u64,
}

#[cfg(test)]
impl Images {
    pub(crate) async fn of_request(
        endpoint: common::target::Endpoint,
        body: &[u8],
    ) -> Result<Self, String> {
        let (_, images) = api::Ask::parse(endpoint, body, Counting::default())?;
        let images = images::look(&images, 5).await?;
        Ok(Self {
            hashes: images.iter().map(|image| image.hash).collect(),
            tokens: images.iter().map(|image| image.tokens()).sum(),
            bytes: images.iter().map(|image| image.bytes).sum(),
        })
    }
}

#[cfg(test)]
mod tests;
