//! The one loop of a run: it feeds the machine and does what the machine asks.
//!
//! A turn is always the same: wait, take everything that is ready, the gravest first, sample the
//! clock once, store the inputs, feed them, carry out the commands. Snapshots go past the machine,
//! to the view and to the watch of a level's window, whose decisions are inputs like any other.
//! Renewals are answered at once, by this loop and by nothing else, so that a wedged loop lets the
//! agents' leases run out.

mod given;
mod job;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::assignment::Assignment;
use common::digest::Digest;
use common::ids::{Epoch, LevelId, RunId};
use common::seed::Seed;
use common::slo::Slo;
use common::snapshot::{Seal, Snapshot};
use common::target::Target;
use common::time::Tick;
use proto::message::{Order, Report};
use proto::secrets::Secrets;
use tokio::sync::mpsc;

use self::given::{Examined, Given, Window, Work};
use self::job::{Job, JobDone};
use crate::campaign::ServerPlan;
use crate::clock::{Clock, wall_now};
use crate::decide::{Decider, ProofAfter};
use crate::exit::Exit;
use crate::fleet::{Fleet, Heard};
use crate::machine::{AgentIx, Command, Event, Limits, Machine};
use crate::plan::{self, Plan, PlannedLevel, Preparation};
use crate::record::{
    AgentRecord, Asked, FactRecord, LevelFate, LevelRecord, RunEnd, RunOutcome, ShareRecord,
};
use crate::store::{Store, StoreError, StoredInput};
use crate::target::identity::Identity;
use crate::target::prepare::Server;
use crate::ui::{LevelView, Plain, View};
use crate::window::{Decision, Longest, Watch};

/// Everything heard that one turn takes.
const BATCH_MAX: usize = 4096;
/// How often the view is shown, and the window judged, though nothing is heard.
const SHOW_EVERY: Duration = Duration::from_millis(250);
/// An instant of a window is ordered at least so long before it comes, and so many of the longest
/// round trips. It includes the time that the disk takes to store the decision.
const AHEAD_MIN: Duration = Duration::from_secs(1);
const AHEAD_ROUND_TRIPS: u32 = 5;

/// What a run is driven with.
pub struct Setup {
    /// The run.
    pub run: RunId,
    /// The campaign's seed.
    pub seed: Seed,
    /// The server under test.
    pub target: Target,
    /// The key for it.
    pub secrets: Secrets,
    /// What may be done to the server.
    pub server: ServerPlan,
    /// What the server said it is when the run began.
    pub identity: Identity,
    /// What commands told of it then.
    pub facts: Vec<FactRecord>,
    /// What a request must meet to be good.
    pub slo: Slo,
    /// The levels known from the start.
    pub plan: Plan,
    /// Decides what follows them if the plan is open.
    pub decider: Decider,
    /// The proof of the client after the last of them.
    pub proof_after: ProofAfter,
}

impl Setup {
    /// The longest that one request can take, by its timeouts.
    fn request_max(&self) -> Duration {
        let timeouts = &self.target.timeouts;
        timeouts.connect.saturating_add(timeouts.total)
    }

    fn limits(&self) -> Limits {
        Limits { request: self.request_max(), preparation: self.server.longest() }
    }
}

/// A run that is under way.
pub struct Driver<'a> {
    setup: &'a mut Setup,
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
    /// How the run ended; it is stored once nothing goes on any more.
    end: Option<RunEnd>,
}

impl<'a> Driver<'a> {
    /// A run at its beginning.
    pub fn new(
        setup: &'a mut Setup,
        fleet: &'a mut Fleet,
        store: &'a mut Store,
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
            store,
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
            if let Some(end) = self.end.take_if(|_| interrupted || self.job.is_none()) {
                self.store.finish(&end)?;
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
                    self.job = None;
                    self.ui.say("stopping: waiting for the agents; interrupt again to leave at once");
                    events.push(Event::Interrupt);
                }
                Some(one) = self.fleet.next() => heard.push(one),
                done = job::next(&mut self.job) => events.extend(self.job_done(done)?),
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
            events.extend(self.keep(seals)?);
            events.extend(self.judge(now));
            events.sort_by_key(Event::gravity);
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

    fn answer_renewals(&self, heard: &[(AgentIx, Heard)]) {
        for (agent, one) in heard {
            if let Heard::Report(report) = one
                && let Report::Renew { nonce, .. } = **report
            {
                self.fleet.order(*agent, |epoch| Order::RenewEcho { epoch, nonce });
            }
        }
    }

    /// What something heard means to the machine, if anything. Seals that are to be stored first
    /// are put aside.
    fn understand(
        &mut self,
        agent: AgentIx,
        heard: Heard,
        seals: &mut Vec<(AgentIx, Seal)>,
    ) -> Option<Event> {
        let report = match heard {
            Heard::Report(report) => *report,
            Heard::Probe(sample) => {
                self.fleet.note_probe(agent, sample);
                return None;
            }
            Heard::Lost(why) => {
                self.at_work.remove(&agent);
                return Some(Event::Lost { agent, why });
            }
        };
        match report {
            // Answered already.
            Report::Renew { .. } | Report::Acquired { .. } => None,
            Report::Snapshot(snapshot) => {
                self.show(agent, *snapshot);
                None
            }
            Report::Armed { level, digest } => Some(self.armed(agent, level, digest)),
            Report::NotArmed { level, reasons } => {
                Some(Event::NotArmed { agent, level, reason: reasons.join("; ") })
            }
            Report::Fired { level } => {
                if level == self.machine.level() {
                    self.acknowledged.insert(agent);
                }
                Some(Event::Fired { agent, level })
            }
            Report::TooLate { level } => {
                // Too late for its start it has not begun; too late for its window it goes on.
                if level == self.machine.level() && !self.acknowledged.contains(&agent) {
                    self.at_work.remove(&agent);
                }
                Some(Event::TooLate { agent, level })
            }
            Report::Sealed(seal) => match self.examine(agent, &seal) {
                Examined::New => {
                    self.at_work.remove(&agent);
                    seals.push((agent, *seal));
                    None
                }
                Examined::Known => {
                    let level = seal.snapshot.origin.level;
                    self.fleet.order(agent, |epoch| Order::SealStored { epoch, level });
                    None
                }
                Examined::Wrong(why) => Some(Event::Lost { agent, why }),
            },
        }
    }

    /// What the end of a job means to the machine, if anything.
    fn job_done(&mut self, done: JobDone) -> Result<Option<Event>, StoreError> {
        Ok(match done {
            JobDone::Prepared { level, restarted } => {
                if let Some(said) = restarted {
                    self.setup.identity = said.identity.clone();
                    said.put(Asked::Restarted { ordinal: level.ordinal }, self.store)?;
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
                said.put(Asked::Ended, self.store)?;
                None
            }
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

    /// Takes a snapshot past the machine.
    fn show(&mut self, agent: AgentIx, snapshot: Snapshot) {
        let origin = snapshot.origin;
        if origin.level != self.machine.level() || !self.fleet.is_of(agent, origin) {
            return;
        }
        if let Some(level) = &mut self.view.level {
            level.absorb(agent, &snapshot);
        }
        if let Some(watch) = &mut self.watch {
            watch.absorb(agent, snapshot);
        }
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

    fn examine(&self, agent: AgentIx, seal: &Seal) -> Examined {
        let level = self.machine.level();
        let planned = self.machine.planned_of(level);
        let share = planned.and_then(|planned| {
            planned.load.share(agent.0, self.fleet.len()).requests(planned.load)
        });
        let ordered = share.map_or(Work::Window(self.window), Work::Requests);
        let given = Given {
            own: self.fleet.is_of(agent, seal.snapshot.origin),
            level,
            at_work: self.at_work.contains(&agent),
            ordered,
        };
        given.examine(seal)
    }

    /// Stores seals, all in one go; only then does the machine hear of them.
    fn keep(&mut self, seals: Vec<(AgentIx, Seal)>) -> Result<Vec<Event>, StoreError> {
        if seals.is_empty() {
            return Ok(Vec::new());
        }
        let names = self.fleet.records();
        let named = seals.iter().filter_map(|(agent, seal)| {
            let name = &names.get(agent.0 as usize)?.name;
            Some((seal.snapshot.origin.level, name, seal))
        });
        self.store.put_seals(named)?;
        let events = seals.into_iter().map(|(agent, seal)| {
            let level = seal.snapshot.origin.level;
            if let Some(view) = &mut self.view.level {
                view.absorb(agent, &seal.snapshot);
            }
            Event::Sealed { agent, level, end: seal.end }
        });
        Ok(events.collect())
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
                Command::Decide => self.job = Some(Job::measured(self.store.dir())),
                Command::Prepare { level, what } => self.prepare(level, what),
                Command::Arm { level } => self.arm(level)?,
                Command::Fire { level, ahead } => self.fire(level, ahead)?,
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
                Command::LevelOver { level, fate } => self.level_over(now, level, &fate)?,
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

    /// Orders something of every agent at the same time since it fired.
    fn order_at(&self, offset: Duration, order: impl Fn(Epoch, Tick) -> Order) {
        for (agent, fired) in &self.fired {
            self.fleet.order(*agent, |epoch| order(epoch, *fired + offset));
        }
    }

    fn agents(&self) -> impl Iterator<Item = AgentIx> + use<> {
        (0..self.fleet.len()).map(AgentIx)
    }

    fn prepare(&mut self, level: LevelId, what: Preparation) {
        let Setup { target, secrets, server, identity, .. } = &*self.setup;
        let arm = self.machine.planned_of(level).and_then(|planned| planned.arm);
        if what.restart_server {
            let arm = arm.map_or_else(String::new, |arm| format!(" for {}", arm.title()));
            self.ui.say(&format!("restarting the server{arm}"));
        }
        let server =
            Server { target: target.clone(), secrets: secrets.clone(), plan: server.clone() };
        self.job = Some(Job::prepare(level, what, arm, server, identity.clone(), self.clock));
    }

    fn arm(&mut self, level: LevelId) -> Result<(), StoreError> {
        let Some(planned) = self.machine.planned_of(level).cloned() else {
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
        self.acknowledged.clear();
        self.fired.clear();
        self.window = Window::default();
        self.view.place = level.ordinal + 1;
        self.view.level = None;
        for (agent, share) in self.agents().zip(shares) {
            let (target, slo, secrets) = match planned.proof {
                None => {
                    let secrets = self.setup.secrets.clone();
                    (self.setup.target.clone(), self.setup.slo, secrets)
                }
                Some(_) => (plan::proof::target(), Slo::default(), Secrets::default()),
            };
            let assignment = Assignment {
                run: self.setup.run,
                level,
                phase: planned.phase,
                place: planned.place,
                seed: self.setup.seed.of_repeat(planned.repeat),
                share,
                load: planned.load,
                slo,
                workload: planned.workload.clone(),
                target,
                proof: planned.proof,
            };
            self.expected.insert(agent, (level, assignment.digest()));
            // An agent that takes no order is silent, and the machine's deadline finds it out.
            self.fleet.order(agent, |epoch| Order::Arm {
                epoch,
                assignment: Box::new(assignment),
                secrets,
            });
        }
        Ok(())
    }

    fn fire(&mut self, level: LevelId, ahead: Duration) -> Result<(), StoreError> {
        let ahead = ahead.max(self.fleet.round_trip_max() * 5);
        self.store.set_fired(level, wall_now())?;
        // A slow disk must not eat the time that the orders need.
        let at = self.clock.now() + ahead;
        for agent in self.agents() {
            let theirs = self.fleet.instant_on(agent, at);
            self.at_work.insert(agent);
            self.fired.insert(agent, theirs);
            self.fleet.order(agent, |epoch| Order::Fire { epoch, level, at: theirs });
        }
        if let Some(planned) = self.machine.planned_of(level) {
            self.view.level = Some(LevelView::new(planned, at));
            let load = planned.load;
            let has_part = |agent: AgentIx| load.share(agent.0, self.fleet.len()).count > 0;
            let mut fired = self.fired.clone();
            fired.retain(|agent, _| has_part(*agent));
            let longest = Longest::of(self.setup.request_max(), &planned.workload);
            self.watch = planned.window.map(|window| Watch::new(load, window, longest, at, fired));
        }
        Ok(())
    }

    fn level_over(
        &mut self,
        now: Tick,
        level: LevelId,
        fate: &LevelFate,
    ) -> Result<(), StoreError> {
        self.watch = None;
        self.store.set_fate(level, fate)?;
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
