//! The one loop of a run: it feeds the machine and does what the machine asks.
//!
//! A turn is always the same: wait, take everything that is ready, the gravest first, sample the
//! clock once, store the inputs, feed them, carry out the commands. Snapshots go past the machine
//! to the view; renewals are answered at once, by this loop and by nothing else, so that a wedged
//! loop lets the agents' leases run out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::arrivals::Arrivals;
use common::assignment::Assignment;
use common::digest::Digest;
use common::ids::{LevelId, RunId};
use common::seed::Seed;
use common::snapshot::{LevelEnd, Seal};
use common::target::Target;
use common::time::Tick;
use proto::message::{Order, Report};
use secrecy::SecretString;
use tokio::sync::mpsc;

use crate::clock::{Clock, wall_now};
use crate::exit::Exit;
use crate::fleet::{Fleet, Heard};
use crate::machine::{AgentIx, Command, Event, Machine};
use crate::plan::Plan;
use crate::record::{AgentRecord, LevelFate, LevelRecord, RunEnd, RunOutcome, ShareRecord};
use crate::store::{Store, StoreError, StoredInput};
use crate::ui::{LevelView, Plain, View};

/// Everything heard that one turn takes.
const BATCH_MAX: usize = 4096;
/// How often the view is shown.
const SHOW_EVERY: Duration = Duration::from_millis(250);

/// What a run is driven with.
pub struct Setup {
    /// The run.
    pub run: RunId,
    /// The campaign's seed.
    pub seed: Seed,
    /// The server under test.
    pub target: Target,
    /// The key for it.
    pub api_key: Option<SecretString>,
    /// The levels.
    pub plan: Plan,
}

/// A run that is under way.
pub struct Driver<'a> {
    setup: &'a Setup,
    fleet: &'a mut Fleet,
    store: &'a mut Store,
    ui: &'a mut Plain,
    clock: Clock,
    machine: Machine,
    view: View,
    inputs: u64,
    /// Digest of what each agent must have understood of the level being armed.
    expected: BTreeMap<AgentIx, (LevelId, Digest)>,
    /// Agents that have begun the current level and not sealed it.
    at_work: BTreeSet<AgentIx>,
    end: Option<RunEnd>,
}

impl<'a> Driver<'a> {
    /// A run at its beginning.
    pub fn new(
        setup: &'a Setup,
        fleet: &'a mut Fleet,
        store: &'a mut Store,
        ui: &'a mut Plain,
        clock: Clock,
    ) -> Self {
        let name = |record: &AgentRecord| format!("agent {} ({})", record.name, record.address);
        let names = fleet.records().iter().map(name).collect();
        let machine = Machine::new(setup.plan.clone(), names, clock.now());
        let planned = u32::try_from(setup.plan.levels.len()).unwrap_or(u32::MAX);
        let view = View { planned, ..View::default() };
        Self {
            setup,
            fleet,
            store,
            ui,
            clock,
            machine,
            view,
            inputs: 0,
            expected: BTreeMap::new(),
            at_work: BTreeSet::new(),
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
        self.carry_out(self.clock.now())?;
        let mut interrupted = false;
        loop {
            if let Some(end) = self.end.take() {
                return Ok((end, self.at_work.into_iter().collect()));
            }
            let wake = self.machine.deadline().unwrap_or(Tick(u64::MAX / 2));
            let wake = wake.min(self.clock.now() + SHOW_EVERY);
            let wait = wake.since(self.clock.now());
            let mut heard = Vec::new();
            let mut events = Vec::new();
            tokio::select! {
                biased;
                Some(()) = interrupts.recv() => {
                    if interrupted {
                        return self.end_at_once();
                    }
                    interrupted = true;
                    self.ui.say("stopping: waiting for the agents; interrupt again to leave at once");
                    events.push(Event::Interrupt);
                }
                Some(one) = self.fleet.next() => heard.push(one),
                () = tokio::time::sleep(wait) => {}
            }
            while heard.len() < BATCH_MAX {
                match self.fleet.try_next() {
                    Some(one) => heard.push(one),
                    None => break,
                }
            }
            let now = self.clock.now();
            for (agent, one) in heard {
                events.extend(self.understand(agent, one)?);
            }
            events.sort_by_key(gravity);
            self.take_in(now, events)?;
            self.ui.update(&mut self.view, now);
        }
    }

    fn end_at_once(self) -> Result<(RunEnd, Vec<AgentIx>), StoreError> {
        let because = "interrupted twice: left without waiting for the agents".to_owned();
        let end = RunEnd {
            outcome: RunOutcome::Stopped,
            exit_code: Exit::Interrupted.code(),
            because: because.clone(),
            finished_at: wall_now(),
        };
        self.store.set_fate(self.machine.level(), &LevelFate::Stopped(because))?;
        self.store.finish(&end)?;
        Ok((end, Vec::new()))
    }

    /// What something heard means to the machine, if anything.
    fn understand(&mut self, agent: AgentIx, heard: Heard) -> Result<Option<Event>, StoreError> {
        let report = match heard {
            Heard::Report(report) => *report,
            Heard::Probe(sample) => {
                self.fleet.note_probe(agent, sample);
                return Ok(None);
            }
            Heard::Lost(why) => {
                self.at_work.remove(&agent);
                return Ok(Some(Event::Lost { agent, why }));
            }
        };
        Ok(match report {
            Report::Renew { nonce, .. } => {
                self.fleet.order(agent, |epoch| Order::RenewEcho { epoch, nonce });
                None
            }
            Report::Snapshot(snapshot) => {
                if let Some(level) = &mut self.view.level
                    && snapshot.origin.level == self.machine.level()
                {
                    level.absorb(agent, &snapshot);
                }
                None
            }
            Report::Armed { level, digest } => Some(self.armed(agent, level, digest)),
            Report::NotArmed { level, reasons } => {
                Some(Event::NotArmed { agent, level, reason: reasons.join("; ") })
            }
            Report::Fired { level } => Some(Event::Fired { agent, level }),
            Report::TooLate { level } => {
                self.at_work.remove(&agent);
                Some(Event::TooLate { agent, level })
            }
            Report::Sealed(seal) => Some(self.sealed(agent, *seal)?),
            Report::Acquired { .. } => None,
        })
    }

    fn armed(&self, agent: AgentIx, level: LevelId, digest: Digest) -> Event {
        match self.expected.get(&agent) {
            Some((expected, ours)) if *expected == level && *ours != digest => {
                let reason = "it understood another assignment; run the same version of \
                              floodmark on both sides";
                Event::NotArmed { agent, level, reason: reason.to_owned() }
            }
            Some(_) | None => Event::Armed { agent, level },
        }
    }

    /// Checks a seal against what was ordered and stores it; only then does the machine hear of it.
    fn sealed(&mut self, agent: AgentIx, seal: Seal) -> Result<Event, StoreError> {
        let level = seal.snapshot.origin.level;
        if let Some(why) = self.contradiction(agent, &seal) {
            return Ok(Event::Lost { agent, why });
        }
        if let Some(view) = self.view.level.as_mut().filter(|_| level == self.machine.level()) {
            view.absorb(agent, &seal.snapshot);
        }
        if let Some(name) = self.fleet.records().get(agent.0 as usize).map(|r| r.name.clone()) {
            self.store.put_seal(level, &name, &seal)?;
        }
        self.at_work.remove(&agent);
        Ok(Event::Sealed { agent, level, end: seal.end })
    }

    fn contradiction(&self, agent: AgentIx, seal: &Seal) -> Option<String> {
        let planned = self.setup.plan.levels.get(seal.snapshot.origin.level.ordinal as usize)?;
        let share = planned.load.share(agent.0, self.fleet.len());
        let (ordered, started) = (share.requests(planned.load), seal.snapshot.tally.counts.started);
        match seal.end {
            LevelEnd::Completed if started != ordered => {
                Some(format!("it sealed {started} requests of {ordered} as complete"))
            }
            LevelEnd::Stopped | LevelEnd::LeaseExpired | LevelEnd::Faulted(_)
                if started > ordered =>
            {
                Some(format!("it sealed {started} requests, more than the {ordered} ordered"))
            }
            LevelEnd::Completed
            | LevelEnd::Stopped
            | LevelEnd::LeaseExpired
            | LevelEnd::Faulted(_) => None,
        }
    }

    fn take_in(&mut self, now: Tick, events: Vec<Event>) -> Result<(), StoreError> {
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
            self.store.append_inputs(&stored)?;
        }
        for event in events {
            self.machine.handle(now, event);
            self.carry_out(now)?;
        }
        self.machine.on_deadline(now);
        self.carry_out(now)
    }

    fn carry_out(&mut self, now: Tick) -> Result<(), StoreError> {
        while let Some(command) = self.machine.next_command() {
            match command {
                Command::Arm { level } => self.arm(level)?,
                Command::Fire { level, ahead } => self.fire(now, level, ahead)?,
                Command::Stop { level, grace } => {
                    for agent in self.agents() {
                        self.fleet.order(agent, |epoch| Order::Stop { epoch, level, grace });
                    }
                }
                Command::AckSeal { agent, level } => {
                    self.fleet.order(agent, |epoch| Order::SealStored { epoch, level });
                }
                Command::LevelOver { level, fate } => self.level_over(now, level, &fate)?,
                Command::Finish { outcome, exit_code, because } => {
                    let end = RunEnd { outcome, exit_code, because, finished_at: wall_now() };
                    self.store.finish(&end)?;
                    self.end = Some(end);
                }
            }
        }
        Ok(())
    }

    fn agents(&self) -> impl Iterator<Item = AgentIx> + use<> {
        (0..self.fleet.len()).map(AgentIx)
    }

    fn arm(&mut self, level: LevelId) -> Result<(), StoreError> {
        let Some(planned) = self.setup.plan.levels.get(level.ordinal as usize) else {
            return Ok(());
        };
        let names = self.fleet.records();
        let shares = self.agents().map(|agent| planned.load.share(agent.0, self.fleet.len()));
        let shares: Vec<_> = shares.collect();
        self.store.begin_level(&LevelRecord {
            id: level,
            planned: planned.clone(),
            shares: names
                .iter()
                .zip(&shares)
                .map(|(record, share)| ShareRecord {
                    agent: record.name.clone(),
                    users: share.count,
                    seal: None,
                })
                .collect(),
            fired_at: None,
            fate: None,
        })?;
        self.expected.clear();
        self.view.place = level.ordinal + 1;
        self.view.level = None;
        for (agent, share) in self.agents().zip(shares) {
            let assignment = Assignment {
                run: self.setup.run,
                level,
                phase: planned.phase,
                place: planned.place,
                seed: self.setup.seed,
                share,
                load: planned.load,
                arrivals: Arrivals::Closed,
                workload: planned.workload.clone(),
                target: self.setup.target.clone(),
            };
            self.expected.insert(agent, (level, assignment.digest()));
            let api_key = self.setup.api_key.clone();
            // An agent that takes no order is silent, and the machine's deadline finds it out.
            self.fleet.order(agent, |epoch| Order::Arm {
                epoch,
                assignment: Box::new(assignment),
                api_key,
            });
        }
        Ok(())
    }

    fn fire(&mut self, now: Tick, level: LevelId, ahead: Duration) -> Result<(), StoreError> {
        let ahead = ahead.max(self.fleet.round_trip_max() * 5);
        let at = now + ahead;
        self.store.set_fired(level, wall_now())?;
        for agent in self.agents() {
            let theirs = self.fleet.instant_on(agent, at);
            self.at_work.insert(agent);
            self.fleet.order(agent, |epoch| Order::Fire { epoch, level, at: theirs });
        }
        if let Some(planned) = self.setup.plan.levels.get(level.ordinal as usize) {
            self.view.level = Some(LevelView::new(planned, at));
        }
        Ok(())
    }

    fn level_over(
        &mut self,
        now: Tick,
        level: LevelId,
        fate: &LevelFate,
    ) -> Result<(), StoreError> {
        self.store.set_fate(level, fate)?;
        let title = self.setup.plan.levels.get(level.ordinal as usize).map_or_else(
            || level.to_string(),
            |planned| format!("{} {}", planned.phase, planned.label),
        );
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

/// Order in which the events of one turn are fed: what ends a run comes first, but a seal that
/// has been stored still counts if its agent was lost right after.
fn gravity(event: &Event) -> u8 {
    match event {
        Event::Interrupt => 0,
        Event::Sealed { .. } => 1,
        Event::Lost { .. } => 2,
        Event::NotArmed { .. } | Event::TooLate { .. } => 3,
        Event::Armed { .. } | Event::Fired { .. } => 4,
    }
}
