//! What this host can carry: short levels against a simulator on the same host, larger and larger,
//! until the generator is late by the limits that a level of a run is judged by. It loads nothing
//! else, and its numbers are lower bounds: the simulator may have been the limit.

mod bench;
mod kept;
mod processors;
mod search;
mod simulator;

use std::io;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use common::ceiling::{Held, HostCeiling};
use rustix::process::{Resource, getrlimit};

use self::bench::{Bench, Kind};
pub use self::kept::{json, keep, kept};
use self::processors::Processors;
use self::search::Search;
use crate::clock::Clock;
use crate::preflight::FDS_RESERVED;

/// How long a search may take, and each of its levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// About half a minute for all that is searched for.
    Usual,
    /// About ten seconds, and coarser.
    Quick,
}

/// Streams that are asked for at most: what a simulator accepts.
const STREAMS_MAX: u64 = 60_000;

/// What is to be found, with what.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The agent's workers; of two of them one gives its processor to a simulator.
    pub workers: u32,
    /// The program that is started as a simulator; `None` for a thread in its place.
    pub simulator: Option<PathBuf>,
    /// How long it may take.
    pub effort: Effort,
}

/// Why nothing was found.
#[derive(Debug, thiserror::Error)]
pub enum CeilingError {
    /// The simulator cannot be started, or asked.
    #[error("the simulator that a ceiling is found against: {0}")]
    Simulator(#[source] io::Error),
    /// No worker can be started.
    #[error("a worker cannot be started: {0}")]
    Worker(#[source] io::Error),
    /// A level did not end as it should.
    #[error("a level of the search ended early: {0}")]
    Ended(String),
    /// Whoever asked does not want to know any more.
    #[error("nobody waits for the ceiling any more")]
    GivenUp,
}

impl Effort {
    fn budget(self) -> Duration {
        match self {
            Self::Usual => Duration::from_secs(30),
            Self::Quick => Duration::from_secs(10),
        }
    }

    fn level(self) -> Duration {
        match self {
            Self::Usual => Duration::from_millis(900),
            Self::Quick => Duration::from_millis(450),
        }
    }
}

/// Finds the ceiling on a thread of its own; `given_up` ends it between two levels.
///
/// # Errors
/// If the system gives no thread; those of the search come from the thread.
pub fn find(
    ask: Ask,
    clock: Clock,
    given_up: impl Fn() -> bool + Send + 'static,
) -> io::Result<JoinHandle<Result<HostCeiling, CeilingError>>> {
    let found = move || search_all(&ask, clock, &given_up);
    std::thread::Builder::new().name("ceiling".to_owned()).spawn(found)
}

fn search_all(
    ask: &Ask,
    clock: Clock,
    given_up: &impl Fn() -> bool,
) -> Result<HostCeiling, CeilingError> {
    let processors = Processors::deal();
    let workers = ask.workers.min(processors.workers_max()).max(1);
    let found = |kind| search(kind, ask, (&processors, workers), clock, given_up);
    Ok(HostCeiling {
        streams: found(Kind::Streams)?,
        requests_per_s: found(Kind::Requests)?,
        chunks_per_s: found(Kind::Chunks)?,
        found_at_ms: Clock::wall_ms(),
        version: crate::VERSION.to_owned(),
        workers,
        shared: processors.are_shared(),
    })
}

fn search(
    kind: Kind,
    ask: &Ask,
    (processors, workers): (&Processors, u32),
    clock: Clock,
    given_up: &impl Fn() -> bool,
) -> Result<Held, CeilingError> {
    let began = clock.now();
    let budget = kind.part_of(ask.effort.budget());
    let mut bench = Bench::start(kind, processors, ask.simulator.as_deref(), workers, clock)?;
    let streams = streams_max(ask.simulator.is_none());
    let mut search = Search::new(kind.least(), kind.first(), kind.most(streams));
    let (mut best, mut limit) = (Held::default(), String::new());
    while let Some(number) = search.next() {
        if given_up() {
            return Err(CeilingError::GivenUp);
        }
        // One that has found nothing yet may go on, for as long again.
        let over = if best.most > 0 { budget } else { budget * 2 };
        if clock.now().since(began) >= over {
            break;
        }
        let level = bench.level(number, streams, ask.effort.level())?;
        let missed = search.note(level.is_ok());
        match level {
            Ok(held) => best = held,
            Err(why) if missed => limit = format!("{number}: {why}"),
            Err(_) => {}
        }
    }
    if search.is_at_most() {
        limit = "the host allows no more connections to be tried".to_owned();
    } else if limit.is_empty() {
        limit = "the time was used up".to_owned();
    }
    Ok(Held { limit, ..best })
}

/// Streams that can be open at once; of a simulator in this process both ends are.
fn streams_max(both_ends: bool) -> u64 {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let ends = if both_ends { 2 } else { 1 };
    (files.saturating_sub(FDS_RESERVED) / ends).clamp(1, STREAMS_MAX)
}
