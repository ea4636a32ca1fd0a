//! The one loop of a run: it feeds the machine and does what the machine asks.
//!
//! A turn is always the same: wait, take everything that is ready, the gravest first, sample the
//! clock once, store the inputs, feed them, carry out the commands. Snapshots go past the machine,
//! to the view and to the watch of a level's window, whose decisions are inputs like any other.
//! Renewals are answered at once, by this loop and by nothing else, so that a wedged loop lets the
//! agents' leases run out.

mod disk;
mod given;
mod hear;
mod job;
mod orders;
mod setup;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::digest::Digest;
use common::ids::{LevelId, Name};
use common::snapshot::Seal;
use common::time::Tick;
use proto::message::Order;
use tokio::sync::mpsc;

use self::disk::Disk;
use self::given::Window;
use self::job::{Job, JobDone};
use crate::clock::{Clock, wall_now};
use crate::exit::Exit;
use crate::fleet::{Fleet, Heard};
use crate::machine::{AgentIx, Command, Event, Machine};
use crate::plan::PlannedLevel;
use crate::record::{AgentRecord, Asked, LevelFate, RunEnd, RunOutcome};
use crate::store::{Store, StoreError, StoredInput};
use crate::ui::{Plain, View};
use crate::window::{Decision, Watch};

pub use self::setup::Setup;

/// Everything heard that one turn takes.
const BATCH_MAX: usize = 4096;
/// How often the view is shown, and the window judged, though nothing is heard.
const SHOW_EVERY: Duration = Duration::from_millis(250);
/// An instant of a window is ordered at least so long before it comes, and so many of the longest
/// round trips. It includes the time that the disk takes to store the decision.
const AHEAD_MIN: Duration = Duration::from_secs(1);
const AHEAD_ROUND_TRIPS: u32 = 5;

/// A run that is under way.
pub struct Driver<'a> {
    setup: &'a mut Setup,
    fleet: &'a mut Fleet,
    disk: Disk,
    ui: &'a mut Plain,
    clock: Clock,
    machine: Machine,
    view: View,
    inputs: u64,
    /// Digest of what each agent must have understood of the level being armed.
    expected: BTreeMap<AgentIx, (LevelId, Digest)>,
    /// Agents that have begun the current level and not sealed it.
    at_work: BTreeSet<AgentIx>,
    /// Agents that have acknowledged its start.
    acknowledged: BTreeSet<AgentIx>,
    /// When each agent fires, on its own clock.
    fired: BTreeMap<AgentIx, Tick>,
    /// What was ordered of its window.
    window: Window,
    /// Decides about its window.
    watch: Option<Watch>,
    /// What goes on beside the loop.
    job: Option<Job>,
    /// What was heard while something was stored.
    backlog: Vec<(AgentIx, Heard)>,
    /// How the run ended; it is stored once nothing goes on any more.
    end: Option<RunEnd>,
}

impl<'a> Driver<'a> {
    /// A run at its beginning.
    pub fn new(
        setup: &'a mut Setup,
        fleet: &'a mut Fleet,
        store: Store,
        ui: &'a mut Plain,
        clock: Clock,
    ) -> Self {
        let name = |record: &AgentRecord| format!("agent {} ({})", record.name, record.address);
        let names = fleet.records().iter().map(name).collect();
        let machine = Machine::new(setup.plan.clone(), names, setup.limits(), clock.now());
        let planned = u32::try_from(setup.plan.levels.len()).unwrap_or(u32::MAX);
        let view = View { planned, ..View::default() };
        Self {
            setup,
            fleet,
            disk: Disk::new(store),
            ui,
            clock,
            machine,
            view,
            inputs: 0,
            expected: BTreeMap::new(),
            at_work: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            fired: BTreeMap::new(),
            window: Window::default(),
            watch: None,
            job: None,
            backlog: Vec::new(),
            end: None,
        }
    }

    /// Drives the run to its end. Interrupts come in on a channel; the second one ends at once.
    /// Gives how the run ended, and the agents that may still be at work.
    ///
    /// # Errors
    /// The store failed: nothing more is known to be kept.
    pub async fn run(
        mut self,
        interrupts: &mut mpsc::Receiver<()>,
    ) -> Result<(RunEnd, Vec<AgentIx>), StoreError> {
        self.carry_out(self.clock.now()).await?;
        let mut interrupted = false;
        loop {
            if let Some(end) = self.end.take_if(|_| interrupted || self.job.is_none()) {
                let end = self.stored(|store| store.finish(&end).map(|()| end)).await?;
                return Ok((end, self.at_work.into_iter().collect()));
            }
            let wake = self.machine.deadline().unwrap_or(Tick(u64::MAX / 2));
            let wake = wake.min(self.clock.now() + SHOW_EVERY);
            let mut heard = std::mem::take(&mut self.backlog);
            let wait = match heard.is_empty() {
                true => wake.since(self.clock.now()),
                false => Duration::ZERO,
            };
            let (mut events, mut finished) = (Vec::new(), None);
            tokio::select! {
                biased;
                Some(()) = interrupts.recv() => {
                    if interrupted {
                        return self.end_at_once().await;
                    }
                    interrupted = true;
                    self.job = None;
                    self.ui.say("stopping: waiting for the agents; interrupt again to leave at once");
                    events.push(Event::Interrupt);
                }
                Some(one) = self.fleet.next() => heard.push(one),
                done = job::next(&mut self.job) => finished = Some(done),
                () = tokio::time::sleep(wait) => {}
            }
            while heard.len() < BATCH_MAX {
                match self.fleet.try_next() {
                    Some(one) => heard.push(one),
                    None => break,
                }
            }
            let now = self.clock.now();
            // Before anything that waits for the disk: a fleet that seals all at once must not
            // starve its own leases.
            self.answer_renewals(&heard);
            let mut seals = Vec::new();
            for (agent, one) in heard {
                events.extend(self.understand(agent, one, &mut seals));
            }
            if let Some(done) = finished {
                events.extend(self.job_done(done).await?);
            }
            events.extend(self.keep(seals).await?);
            events.extend(self.judge(now));
            events.sort_by_key(Event::gravity);
            self.take_in(now, events).await?;
            self.ui.update(&mut self.view, now);
        }
    }

    async fn end_at_once(mut self) -> Result<(RunEnd, Vec<AgentIx>), StoreError> {
        let because = "interrupted twice: left without waiting for the agents".to_owned();
        let end = RunEnd {
            outcome: RunOutcome::Stopped,
            exit_code: Exit::Interrupted.code(),
            because: because.clone(),
            finished_at: wall_now(),
        };
        let level = self.machine.level();
        let end = self.stored(move |store| {
            store.set_fate(level, &LevelFate::Stopped(because))?;
            store.finish(&end).map(|()| end)
        });
        Ok((end.await?, Vec::new()))
    }

    /// What the end of a job means to the machine, if anything.
    async fn job_done(&mut self, done: JobDone) -> Result<Option<Event>, StoreError> {
        Ok(match done {
            JobDone::Prepared { level, restarted } => {
                if let Some(said) = restarted {
                    self.setup.identity = said.identity.clone();
                    let asked = Asked::Restarted { ordinal: level.ordinal };
                    self.stored(move |store| said.put(asked, store)).await?;
                }
                Some(Event::Prepared { level })
            }
            JobDone::NotPrepared { level, why } => Some(Event::PrepareFailed { level, why }),
            JobDone::Measured(model) => {
                let Setup { decider, proof_after, .. } = &mut *self.setup;
                let (levels, because) = proof_after.follow(decider, &*model?);
                self.view.planned += u32::try_from(levels.len()).unwrap_or(0);
                Some(Event::Decided { levels, because })
            }
            JobDone::Left(said) => {
                self.stored(move |store| said.put(Asked::Ended, store)).await?;
                None
            }
        })
    }

    /// What is to be done about the window of the current level, if anything.
    fn judge(&mut self, now: Tick) -> Option<Event> {
        let level = self.machine.level();
        let ahead = AHEAD_MIN.max(self.fleet.round_trip_max() * AHEAD_ROUND_TRIPS);
        let watch = self.watch.as_mut()?;
        let decision = watch.decide(now, ahead);
        if let Some(view) = &mut self.view.level {
            view.progress = Some(watch.progress(now));
        }
        Some(match decision? {
            Decision::Measure { from } => Event::LoadUp { level, from },
            Decision::Release { until } => Event::Enough { level, until },
            Decision::Drained => Event::Drained { level },
        })
    }

    /// Stores seals, all in one go; only then does the machine hear of them.
    async fn keep(&mut self, seals: Vec<(AgentIx, Seal)>) -> Result<Vec<Event>, StoreError> {
        if seals.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<Name> = self.fleet.records().into_iter().map(|record| record.name).collect();
        let seals = self.stored(move |store| {
            let named = seals.iter().filter_map(|(agent, seal)| {
                let name = names.get(agent.0 as usize)?;
                Some((seal.snapshot.origin.level, name, seal))
            });
            store.put_seals(named)?;
            Ok(seals)
        });
        let seals = seals.await?;
        let events = seals.into_iter().map(|(agent, seal)| {
            let level = seal.snapshot.origin.level;
            if let Some(view) = &mut self.view.level {
                view.absorb(agent, &seal.snapshot);
            }
            Event::Sealed { agent, level, end: seal.end }
        });
        Ok(events.collect())
    }

    async fn take_in(&mut self, now: Tick, events: Vec<Event>) -> Result<(), StoreError> {
        let first = self.inputs;
        let stored: Vec<StoredInput> = (first..)
            .zip(&events)
            .map(|(seq, event)| {
                let (kind, body) = event.to_stored();
                StoredInput { seq, tick: now, kind: kind.to_owned(), body }
            })
            .collect();
        if !stored.is_empty() {
            self.inputs += stored.len() as u64;
            self.stored(move |store| store.append_inputs(&stored)).await?;
        }
        for event in events {
            self.machine.handle(now, event);
            self.carry_out(now).await?;
        }
        self.machine.on_deadline(now);
        self.carry_out(now).await
    }

    async fn carry_out(&mut self, now: Tick) -> Result<(), StoreError> {
        while let Some(command) = self.machine.next_command() {
            match command {
                Command::Decide => self.job = Some(Job::measured(self.disk.dir())),
                Command::Prepare { level, what } => self.prepare(level, what),
                Command::Arm { level } => self.arm(level).await?,
                Command::Fire { level, ahead } => self.fire(level, ahead).await?,
                Command::Measure { level, from } => {
                    self.window.from = Some(from);
                    self.order_at(from, |epoch, from| Order::Measure { epoch, level, from });
                }
                Command::Release { level, until } => {
                    self.window.until = Some(until);
                    self.order_at(until, |epoch, at| Order::Release { epoch, level, at });
                }
                Command::EndLevel { level } => {
                    for agent in self.agents() {
                        self.fleet.order(agent, |epoch| Order::EndLevel { epoch, level });
                    }
                }
                Command::Stop { level, grace } => {
                    self.watch = None;
                    for agent in self.agents() {
                        self.fleet.order(agent, |epoch| Order::Stop { epoch, level, grace });
                    }
                }
                Command::AckSeal { agent, level } => {
                    self.fleet.order(agent, |epoch| Order::SealStored { epoch, level });
                }
                Command::LevelOver { level, fate } => self.level_over(now, level, fate).await?,
                Command::Finish { outcome, exit_code, because } => {
                    let end = RunEnd { outcome, exit_code, because, finished_at: wall_now() };
                    self.end = Some(end);
                    // A calibration has no target to ask.
                    if self.machine.plan().measured().next().is_some() {
                        if !self.setup.server.facts.is_empty() {
                            self.ui.say("asking for facts of the server once more");
                        }
                        self.job = Some(Job::left(self.setup));
                    }
                }
            }
        }
        Ok(())
    }

    async fn level_over(
        &mut self,
        now: Tick,
        level: LevelId,
        fate: LevelFate,
    ) -> Result<(), StoreError> {
        self.watch = None;
        let fate = self.stored(move |store| store.set_fate(level, &fate).map(|()| fate)).await?;
        let title =
            self.machine.planned_of(level).map_or_else(|| level.to_string(), PlannedLevel::title);
        let View { place, planned, .. } = self.view;
        let how = match (fate, self.view.level.take()) {
            (LevelFate::Completed, Some(view)) => format!(
                "{} requests in {:.1} s, {} failed",
                view.ended(),
                view.elapsed(now).as_secs_f64(),
                view.failed()
            ),
            (LevelFate::Completed, None) => "done".to_owned(),
            (LevelFate::Stopped(why), _) => format!("stopped: {why}"),
            (LevelFate::Quarantined(why), _) => format!("quarantined: {why}"),
            (LevelFate::Failed(why), _) => format!("failed: {why}"),
        };
        self.ui.say(&format!("[{place}/{planned}] {title}: {how}"));
        Ok(())
    }
}
