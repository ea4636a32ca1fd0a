//! The phase state machine: a cursor over the plan's levels, and the life of the level under it.
//!
//! A value that is fed events. It reads no clock, waits for nothing, opens nothing and draws
//! nothing at random; the same events at the same ticks give the same commands, so what is stored
//! of a run are its inputs. After every [`Machine::handle`] or [`Machine::on_deadline`] all commands are to be
//! taken with [`Machine::next_command`] before the next event is fed.
//!
//! ```text
//! Preparing -> Arming -> Firing -> Counting                                   -> Cooling
//!                               -> Rising -> Measuring -> Draining -> Sealing -> Deciding -> Cooling
//! Cooling -> Preparing … Finished
//! ```
//!
//! A plan may be open: past its last level the machine asks what follows, and is over when nothing
//! does. A level is prepared only where its plan says so. From anywhere a level may be stopped. A level that ends by a count of requests is `Counting`; one
//! that is measured in a window goes the other way, as [`crate::window`] says.

mod between;
mod event;
mod state;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use common::ids::LevelId;
use common::snapshot::LevelEnd;
use common::time::Tick;

pub use event::{AgentIx, Command, Event};
use state::{Stage, State, Why};

use crate::exit::Exit;
use crate::plan::{Plan, PlannedLevel};
use crate::record::{LevelFate, RunOutcome};
use crate::window::{DRAIN_MAX, Longest, rise_max};

/// How long agents may take to arm.
pub const ARM_TIMEOUT: Duration = Duration::from_secs(15);
/// How long agents may take to acknowledge a fire order beyond the instant ordered.
pub const FIRE_ACK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an agent may take to seal after everything of its level has been cut.
pub const SEAL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long requests in flight may go on when an operator stops a run.
pub const STOP_GRACE: Duration = Duration::from_millis(1500);
/// How long a decision about a window may be overdue: agents far away are told of an instant long
/// before it.
pub const DECISION_TIMEOUT: Duration = Duration::from_secs(30);
/// How long it may take to say what follows the levels known so far.
pub const PLAN_TIMEOUT: Duration = Duration::from_secs(60);
/// Tries of one level.
pub const ATTEMPTS_MAX: u32 = 3;

/// The machine.
#[derive(Debug)]
pub struct Machine {
    plan: Plan,
    names: Vec<String>,
    limits: Limits,
    agents: BTreeSet<AgentIx>,
    level: LevelId,
    state: State,
    commands: VecDeque<Command>,
}

/// How long things can take that the machine waits for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// One request, by its timeouts.
    pub request: Duration,
    /// What is done before a level, by its timeouts and whoever minds them.
    pub preparation: Duration,
}

impl Machine {
    /// A machine at the beginning of a plan, for a fleet of agents with these names.
    pub fn new(plan: Plan, names: Vec<String>, limits: Limits, now: Tick) -> Self {
        let mut machine = Self {
            plan,
            agents: (0..).map(AgentIx).zip(&names).map(|(agent, _)| agent).collect(),
            names,
            limits,
            level: LevelId { ordinal: 0, attempt: 0 },
            state: State::Finished,
            commands: VecDeque::new(),
        };
        machine.begin(now);
        machine
    }

    /// The levels known so far.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What is planned of a level.
    pub fn planned_of(&self, level: LevelId) -> Option<&PlannedLevel> {
        self.plan.levels.get(level.ordinal as usize)
    }

    /// The level under the cursor.
    pub fn level(&self) -> LevelId {
        self.level
    }

    /// The run is over.
    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::Finished)
    }

    /// The next thing to do; to be called until it gives `None`.
    pub fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// When [`Machine::on_deadline`] wants to be called.
    pub fn deadline(&self) -> Option<Tick> {
        match &self.state {
            State::Deciding { until, .. }
            | State::Preparing { until }
            | State::Arming { until, .. }
            | State::Going { until, .. }
            | State::Stopping { until, .. }
            | State::Cooling { until } => Some(*until),
            State::Finished => None,
        }
    }

    /// Takes an event in. Events about another level than the current one are old and ignored.
    pub fn handle(&mut self, now: Tick, event: Event) {
        match event {
            Event::Armed { agent, level } => self.armed(now, agent, level),
            Event::NotArmed { agent, level, reason } => self.not_armed(now, agent, level, reason),
            Event::Fired { agent, level } => self.fired(now, agent, level),
            Event::TooLate { agent, level } => self.too_late(now, agent, level),
            Event::LoadUp { level, from } => self.load_up(level, from),
            Event::Enough { level, until } => self.enough(level, until),
            Event::Drained { level } => self.drained(now, level),
            Event::Sealed { agent, level, end } => self.sealed(now, agent, level, end),
            Event::Lost { agent, why } => self.lost(now, agent, why),
            Event::Prepared { level } => self.prepared(now, level),
            Event::PrepareFailed { level, why } => self.prepare_failed(level, &why),
            Event::Decided { levels, because } => self.decided(now, levels, &because),
            Event::Interrupt => self.interrupt(now),
        }
    }

    /// Time has passed.
    pub fn on_deadline(&mut self, now: Tick) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match &self.state {
            State::Deciding { .. } => self.undecided(),
            State::Preparing { .. } => self.unprepared(),
            State::Arming { waiting, .. } => {
                let what = "did not say that it is ready";
                let why = Why::NotArmed(self.silent(waiting, what, ARM_TIMEOUT));
                self.stop(now, why);
            }
            State::Going { stage, unsealed, .. } => match self.overdue(stage, unsealed) {
                Some(why) => self.stop(now, why),
                None => self.end_level(now),
            },
            State::Stopping { unsealed, why, .. } => {
                let (unsealed, why) = (unsealed.clone(), why.clone());
                self.level_stopped(now, &unsealed, why);
            }
            State::Cooling { .. } => self.next_level(now),
            State::Finished => {}
        }
    }

    /// Why a level is stopped that stays in a stage beyond its time; `None` if it only goes on.
    fn overdue(&self, stage: &Stage, unsealed: &BTreeSet<AgentIx>) -> Option<Why> {
        let names = self.names_of(unsealed);
        match stage {
            Stage::Firing { waiting, .. } => {
                let what = "did not acknowledge the start";
                Some(Why::Lost(self.silent(waiting, what, FIRE_ACK_TIMEOUT)))
            }
            Stage::Counting => Some(Why::Lost(format!(
                "{names} did not seal though every request must have timed out by now"
            ))),
            Stage::Rising { .. } => {
                Some(Why::Faulted("nothing decided when the window begins".to_owned()))
            }
            Stage::Measuring { .. } => {
                Some(Why::Faulted("nothing decided when the window ends".to_owned()))
            }
            Stage::Draining => None,
            Stage::Sealing => {
                Some(Why::Lost(format!("{names} did not seal a level that was ended")))
            }
        }
    }

    fn arm(&mut self, now: Tick) {
        self.state = State::Arming { waiting: self.agents.clone(), until: now + ARM_TIMEOUT };
        self.commands.push_back(Command::Arm { level: self.level });
    }

    fn armed(&mut self, now: Tick, agent: AgentIx, level: LevelId) {
        let State::Arming { waiting, .. } = &mut self.state else {
            return;
        };
        if level != self.level || !waiting.remove(&agent) || !waiting.is_empty() {
            return;
        }
        let ahead = ahead(self.planned().map_or(0, |planned| planned.load.users));
        let at = now + ahead;
        self.state = State::Going {
            stage: Stage::Firing { waiting: self.agents.clone(), at },
            unsealed: self.agents.clone(),
            until: at + FIRE_ACK_TIMEOUT,
        };
        self.commands.push_back(Command::Fire { level, ahead });
    }

    fn not_armed(&mut self, now: Tick, agent: AgentIx, level: LevelId, reason: String) {
        if level != self.level {
            return;
        }
        match &self.state {
            State::Arming { .. } => {
                let why = Why::NotArmed(format!("{}: {reason}", self.name(agent)));
                self.stop(now, why);
            }
            State::Deciding { .. }
            | State::Preparing { .. }
            | State::Going { .. }
            | State::Stopping { .. }
            | State::Cooling { .. }
            | State::Finished => {}
        }
    }

    fn fired(&mut self, now: Tick, agent: AgentIx, level: LevelId) {
        let (level_max, rise_max) = (self.level_max(), self.rise_max());
        let State::Going { stage, until, .. } = &mut self.state else {
            return;
        };
        let Stage::Firing { waiting, at } = stage else {
            return;
        };
        if level == self.level && waiting.remove(&agent) && waiting.is_empty() {
            let fire = (*at).max(now);
            (*stage, *until) = match rise_max {
                None => (Stage::Counting, fire + level_max + SEAL_TIMEOUT),
                Some(rise_max) => (Stage::Rising { fire }, fire + rise_max + DECISION_TIMEOUT),
            };
            // The seals of a very short level can come before the last acknowledgement.
            self.settle(now);
        }
    }

    fn too_late(&mut self, now: Tick, agent: AgentIx, level: LevelId) {
        if level != self.level {
            return;
        }
        let what = match &mut self.state {
            State::Going { stage, unsealed, .. } => match stage {
                Stage::Firing { waiting, .. } => {
                    // It has not begun, so it will not seal.
                    if waiting.contains(&agent) {
                        unsealed.remove(&agent);
                    }
                    "the start"
                }
                Stage::Counting => return,
                Stage::Rising { .. } => "the start",
                Stage::Measuring { .. } => "the beginning of the window",
                Stage::Draining | Stage::Sealing => "the end of the window",
            },
            State::Stopping { unsealed, unfired, .. } => {
                if unfired.contains(&agent) {
                    unsealed.remove(&agent);
                }
                return self.settle(now);
            }
            State::Deciding { .. }
            | State::Preparing { .. }
            | State::Arming { .. }
            | State::Cooling { .. }
            | State::Finished => return,
        };
        let text = format!("{} heard of {what} after its instant", self.name(agent));
        self.stop(now, Why::TooLate(text));
    }

    fn load_up(&mut self, level: LevelId, from: Duration) {
        let most = self.planned().and_then(|planned| planned.window).map(|window| window.most);
        if let State::Going { stage, until, .. } = &mut self.state
            && let Stage::Rising { fire } = *stage
            && level == self.level
        {
            *stage = Stage::Measuring { fire, from };
            *until = fire + from + most.unwrap_or_default() + DECISION_TIMEOUT;
            self.commands.push_back(Command::Measure { level, from });
        }
    }

    fn enough(&mut self, level: LevelId, at: Duration) {
        if let State::Going { stage, until, .. } = &mut self.state
            && let Stage::Measuring { fire, from } = *stage
            && level == self.level
            && at > from
        {
            *stage = Stage::Draining;
            *until = fire + at + DRAIN_MAX + DECISION_TIMEOUT;
            self.commands.push_back(Command::Release { level, until: at });
        }
    }

    fn drained(&mut self, now: Tick, level: LevelId) {
        if level == self.level && matches!(self.state, State::Going { stage: Stage::Draining, .. })
        {
            self.end_level(now);
        }
    }

    fn end_level(&mut self, now: Tick) {
        if let State::Going { stage, until, .. } = &mut self.state {
            *stage = Stage::Sealing;
            *until = now + SEAL_TIMEOUT;
            self.commands.push_back(Command::EndLevel { level: self.level });
            self.settle(now);
        }
    }

    fn sealed(&mut self, now: Tick, agent: AgentIx, level: LevelId, end: LevelEnd) {
        // The seal is stored by now, whatever the machine makes of it.
        self.commands.push_back(Command::AckSeal { agent, level });
        if level != self.level {
            return;
        }
        let name = self.name(agent);
        let gone_wrong = match end {
            LevelEnd::Completed if self.may_complete() => None,
            LevelEnd::Completed => {
                Some(Why::Lost(format!("{name} sealed a level that was not over")))
            }
            LevelEnd::Stopped => {
                Some(Why::Left { agent, text: format!("{name} stopped on its own") })
            }
            LevelEnd::LeaseExpired => Some(Why::Lost(format!("{name}: its lease ran out"))),
            LevelEnd::Faulted(why) => Some(Why::Faulted(format!("{name}: {why}"))),
        };
        match &mut self.state {
            State::Going { unsealed, .. } => {
                // Whoever left is waited for: the end of its session tells why.
                if !matches!(gone_wrong, Some(Why::Left { .. })) {
                    unsealed.remove(&agent);
                }
                if let Some(why) = gone_wrong {
                    self.stop(now, why);
                }
            }
            State::Stopping { unsealed, why, .. } => {
                unsealed.remove(&agent);
                if let Some(fault @ Why::Faulted(_)) = gone_wrong {
                    *why = fault;
                }
            }
            State::Deciding { .. }
            | State::Preparing { .. }
            | State::Arming { .. }
            | State::Cooling { .. }
            | State::Finished => {}
        }
        self.settle(now);
    }

    /// Whether the level can be over on an agent by now.
    fn may_complete(&self) -> bool {
        match &self.state {
            State::Going { stage, .. } => match stage {
                Stage::Firing { .. } => self.rise_max().is_none(),
                Stage::Counting | Stage::Sealing => true,
                Stage::Rising { .. } | Stage::Measuring { .. } | Stage::Draining => false,
            },
            State::Deciding { .. }
            | State::Preparing { .. }
            | State::Arming { .. }
            | State::Stopping { .. }
            | State::Cooling { .. }
            | State::Finished => true,
        }
    }

    /// Ends the level once nobody has to seal any more.
    fn settle(&mut self, now: Tick) {
        match &self.state {
            State::Going { stage: Stage::Counting | Stage::Sealing, unsealed, .. }
                if unsealed.is_empty() =>
            {
                let fate = LevelFate::Completed;
                self.commands.push_back(Command::LevelOver { level: self.level, fate });
                self.level_done(now);
            }
            State::Stopping { unsealed, why, .. } if unsealed.is_empty() => {
                let why = why.clone();
                self.level_stopped(now, &BTreeSet::new(), why);
            }
            State::Deciding { .. }
            | State::Preparing { .. }
            | State::Arming { .. }
            | State::Going { .. }
            | State::Stopping { .. }
            | State::Cooling { .. }
            | State::Finished => {}
        }
    }

    fn lost(&mut self, now: Tick, agent: AgentIx, why: String) {
        self.agents.remove(&agent);
        if let State::Stopping { why: Why::Left { agent: left, text }, .. } = &mut self.state
            && *left == agent
        {
            *text = format!("{text}: {why}");
        }
        let why = Why::Lost(format!("{} was lost: {why}", self.name(agent)));
        match &mut self.state {
            State::Arming { .. } => self.stop(now, why),
            State::Going { unsealed, .. } => {
                unsealed.remove(&agent);
                self.stop(now, why);
            }
            State::Stopping { unsealed, .. } => {
                unsealed.remove(&agent);
                self.settle(now);
            }
            State::Deciding { .. } | State::Preparing { .. } | State::Cooling { .. } => {
                self.finish(RunOutcome::Failed, Exit::Fleet, &why.text());
            }
            State::Finished => {}
        }
    }

    fn interrupt(&mut self, now: Tick) {
        match &mut self.state {
            State::Arming { .. } | State::Going { .. } => self.stop(now, Why::Interrupted),
            State::Deciding { .. } | State::Preparing { .. } | State::Cooling { .. } => {
                let because = Why::Interrupted.text();
                self.finish(RunOutcome::Stopped, Exit::Interrupted, &because);
            }
            State::Stopping { why, .. } => match why {
                // The level will not be tried again.
                Why::TooLate(_) => *why = Why::Interrupted,
                Why::Interrupted
                | Why::Lost(_)
                | Why::Left { .. }
                | Why::NotArmed(_)
                | Why::Faulted(_) => {}
            },
            State::Finished => {}
        }
    }

    /// Stops the level that is armed or going.
    fn stop(&mut self, now: Tick, why: Why) {
        let none = BTreeSet::new;
        let (unsealed, unfired) = match std::mem::replace(&mut self.state, State::Finished) {
            State::Arming { .. } => (none(), none()),
            State::Going { stage: Stage::Firing { waiting, .. }, unsealed, .. } => {
                (unsealed, waiting)
            }
            State::Going { unsealed, .. } => (unsealed, none()),
            other @ (State::Deciding { .. }
            | State::Preparing { .. }
            | State::Stopping { .. }
            | State::Cooling { .. }
            | State::Finished) => {
                self.state = other;
                return;
            }
        };
        let grace = why.grace();
        self.commands.push_back(Command::Stop { level: self.level, grace });
        let until = now + grace + SEAL_TIMEOUT;
        self.state = State::Stopping { unsealed, unfired, until, why };
        self.settle(now);
    }

    fn level_stopped(&mut self, now: Tick, unsealed: &BTreeSet<AgentIx>, why: Why) {
        let level = self.level;
        let mut because = why.text();
        let mut silent = unsealed.clone();
        if let Why::Left { agent, .. } = &why {
            silent.remove(agent);
        }
        if !silent.is_empty() {
            because = format!("{because}; {}", self.silent(&silent, "did not seal", SEAL_TIMEOUT));
        }
        let fate = match &why {
            Why::Interrupted => LevelFate::Stopped(because.clone()),
            Why::TooLate(_) | Why::Lost(_) | Why::Left { .. } => {
                LevelFate::Quarantined(because.clone())
            }
            Why::NotArmed(_) | Why::Faulted(_) => LevelFate::Failed(because.clone()),
        };
        self.commands.push_back(Command::LevelOver { level, fate });
        match why {
            Why::Interrupted => self.finish(RunOutcome::Stopped, Exit::Interrupted, &because),
            Why::TooLate(_) if level.attempt + 1 < ATTEMPTS_MAX && unsealed.is_empty() => {
                self.level.attempt += 1;
                self.prepare(now);
            }
            Why::TooLate(_) | Why::Lost(_) | Why::Left { .. } | Why::NotArmed(_) => {
                self.finish(RunOutcome::Failed, Exit::Fleet, &because);
            }
            Why::Faulted(_) => self.finish(RunOutcome::Failed, Exit::Internal, &because),
        }
    }

    fn name(&self, agent: AgentIx) -> &str {
        self.names.get(agent.0 as usize).map_or("an unknown agent", String::as_str)
    }

    fn names_of(&self, agents: &BTreeSet<AgentIx>) -> String {
        let names: Vec<&str> = agents.iter().map(|agent| self.name(*agent)).collect();
        names.join(", ")
    }

    fn silent(&self, agents: &BTreeSet<AgentIx>, what: &str, time: Duration) -> String {
        format!("{} {what} within {} s", self.names_of(agents), time.as_secs())
    }

    fn planned(&self) -> Option<&PlannedLevel> {
        self.planned_of(self.level)
    }

    /// The longest that the current level can take from its instant on if it ends by a count: its
    /// users connect, and every request of the busiest uses up its timeouts.
    fn level_max(&self) -> Duration {
        let waves = self.planned().and_then(|level| level.load.waves()).unwrap_or(1);
        self.longest()
            .turn()
            .saturating_mul(u32::try_from(waves.saturating_add(1)).unwrap_or(u32::MAX))
    }

    /// The longest that its load can rise if it is measured in a window.
    fn rise_max(&self) -> Option<Duration> {
        let planned = self.planned()?;
        planned.window.map(|_| rise_max(planned.load, self.longest()))
    }

    fn longest(&self) -> Longest {
        let pause = self.planned().and_then(|level| level.workload.think_most());
        Longest { request: self.limits.request, pause }
    }

    fn finish(&mut self, outcome: RunOutcome, exit: Exit, because: &str) {
        self.state = State::Finished;
        let (exit_code, because) = (exit.code(), because.to_owned());
        self.commands.push_back(Command::Finish { outcome, exit_code, because });
    }
}

/// How far ahead an instant must lie so that every agent can connect its users before it.
fn ahead(users: u32) -> Duration {
    Duration::from_millis(300) + Duration::from_micros(500) * users.min(10_000)
}

#[cfg(test)]
mod tests;
