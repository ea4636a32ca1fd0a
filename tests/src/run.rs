//! Runs inside the test's process: the whole path of `floodmark run` but for the command line.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use common::ids::{BootId, RunId};
use common::tally::Tally;
use coordinator::campaign::{self, Campaign as Resolved, Overlay, Source};
use coordinator::clock::{Clock, wall_now};
use coordinator::fleet::{Address, EmbeddedAgent};
use coordinator::launch::{Launch, LaunchError, launch};
use coordinator::record::{RunEnd, RunRecord};
use coordinator::store::Store;
use coordinator::ui::Plain;
use tempfile::TempDir;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::campaign::Campaign;

/// A run that has ended.
#[derive(Debug)]
pub struct Ran {
    /// How it ended.
    pub end: RunEnd,
    /// What its store holds.
    pub record: RunRecord,
    /// Its result directory.
    pub dir: TempDir,
}

impl Ran {
    /// Everything that was sealed, level by level and agent by agent.
    pub fn tallies(&self) -> impl Iterator<Item = &Tally> {
        let shares = self.record.levels.iter().flat_map(|level| &level.shares);
        shares.filter_map(|share| share.seal.as_ref()).map(|seal| &seal.snapshot.tally)
    }

    /// The sum of it.
    pub fn total(&self) -> Tally {
        let mut total = Tally::default();
        self.tallies().for_each(|tally| total.merge(tally));
        total
    }
}

/// A run that goes on, on a thread of its own.
pub struct Going {
    thread: std::thread::JoinHandle<Result<Ran, LaunchError>>,
    interrupts: mpsc::Sender<()>,
}

impl Going {
    /// Interrupts it as an operator would.
    pub fn interrupt(&self) {
        self.interrupts.try_send(()).expect("the run listens");
    }

    /// Waits for its end.
    pub fn end(self) -> Ran {
        self.thread.join().expect("no panic").expect("a stored end")
    }
}

/// Starts a run with embedded agents of one worker each.
pub fn start(campaign: &Campaign, agents: u32) -> Going {
    let (interrupts, mut inbox) = mpsc::channel(4);
    let text = campaign.text();
    let thread = std::thread::spawn(move || execute(&text, agents, 1, &mut inbox));
    Going { thread, interrupts }
}

/// Runs a campaign to its end with `agents` embedded agents of `workers` workers each.
pub fn to_end(campaign: &Campaign, agents: u32, workers: u32) -> Ran {
    let (_interrupts, mut inbox) = mpsc::channel(1);
    execute(&campaign.text(), agents, workers, &mut inbox).expect("a stored end")
}

/// Runs the campaign of a file to its end with `agents` embedded agents of one worker each.
pub fn text_to_end(text: &str, agents: u32) -> Ran {
    let (_interrupts, mut inbox) = mpsc::channel(1);
    execute(text, agents, 1, &mut inbox).expect("a stored end")
}

/// What a result directory holds.
pub fn load(dir: &Path) -> RunRecord {
    let loaded = Store::open(dir).expect("a store").load().expect("a readable store");
    assert_eq!(loaded.damage, []);
    loaded.record
}

fn execute(
    text: &str,
    agents: u32,
    workers: u32,
    interrupts: &mut mpsc::Receiver<()>,
) -> Result<Ran, LaunchError> {
    let campaign = resolve(text);
    let agents: Vec<EmbeddedAgent> = (1..=agents)
        .map(|number| EmbeddedAgent::start(number, workers, BootId(unique())).expect("an agent"))
        .collect();
    let addresses = agents.iter().map(EmbeddedAgent::address).collect();
    let dir = tempfile::tempdir().expect("a directory");
    drive(campaign, addresses, dir, interrupts)
}

/// Runs the campaign of a file to its end with these agents, keeping its result in `dir`.
///
/// # Errors
/// As [`LaunchError`] says.
pub fn with_agents(text: &str, agents: Vec<Address>, dir: TempDir) -> Result<Ran, LaunchError> {
    let (_interrupts, mut inbox) = mpsc::channel(1);
    drive(resolve(text), agents, dir, &mut inbox)
}

fn resolve(text: &str) -> Resolved {
    let source = Source { name: "e2e.toml", text };
    campaign::resolve(Some(source), &Overlay::default()).expect("a campaign")
}

fn drive(
    campaign: Resolved,
    agents: Vec<Address>,
    dir: TempDir,
    interrupts: &mut mpsc::Receiver<()>,
) -> Result<Ran, LaunchError> {
    let to_launch = Launch {
        run: RunId(unique()),
        campaign,
        agents,
        dir: dir.path().to_owned(),
        clock: Clock::start(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let end = runtime.block_on(launch(to_launch, &mut Plain::new(false), interrupts))?;
    // Sound agents let go at once; the coordinator's patience of 2 s is for others.
    let late_ms = wall_now().0.saturating_sub(end.finished_at.0);
    assert!(late_ms < 1500, "the run ended {late_ms} ms after its end was stored");
    let record = load(dir.path());
    Ok(Ran { end, record, dir })
}

/// Identities that differ within this process, which is all that they are compared in.
fn unique() -> Uuid {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Uuid::from_u128(NEXT.fetch_add(1, Ordering::Relaxed).into())
}
