//! The phase state machine: a cursor over the plan's levels, and the life of the level under it.
//!
//! A value that is fed events. It reads no clock, waits for nothing, opens nothing and draws
//! nothing at random; the same events at the same ticks give the same commands, so what is stored
//! of a run are its inputs. After every [`Machine::handle`] or [`Machine::on_deadline`] all commands are to be
//! taken with [`Machine::next_command`] before the next event is fed.
//!
//! ```text
//! Arming -> Firing -> Running -> (Stopping) -> Cooling -> Arming of the next level … Finished
//! ```

mod event;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use common::ids::LevelId;
use common::snapshot::LevelEnd;
use common::time::Tick;

pub use event::{AgentIx, Command, Event};

use crate::exit::Exit;
use crate::plan::Plan;
use crate::record::{LevelFate, RunOutcome};

/// How long agents may take to arm.
pub const ARM_TIMEOUT: Duration = Duration::from_secs(15);
/// How long agents may take to acknowledge a fire order beyond the instant ordered.
pub const FIRE_ACK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an agent may take to seal after everything of its level has been cut.
pub const SEAL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long requests in flight may go on when an operator stops a run.
pub const STOP_GRACE: Duration = Duration::from_millis(1500);
/// Tries of one level.
pub const ATTEMPTS_MAX: u32 = 3;

/// The machine.
#[derive(Debug)]
pub struct Machine {
    plan: Plan,
    names: Vec<String>,
    /// The longest that one request can take, by its timeouts.
    request_max: Duration,
    agents: BTreeSet<AgentIx>,
    level: LevelId,
    state: State,
    commands: VecDeque<Command>,
}

/// Where the run is.
#[derive(Debug)]
enum State {
    /// Waiting until every agent has prepared the level.
    Arming { waiting: BTreeSet<AgentIx>, until: Tick },
    /// Waiting until every agent has acknowledged the instant.
    Firing { waiting: BTreeSet<AgentIx>, unsealed: BTreeSet<AgentIx>, at: Tick, until: Tick },
    /// Waiting until every agent has sealed; at `until` the last request must have ended.
    Running { unsealed: BTreeSet<AgentIx>, until: Tick },
    /// Stopped; waiting for the seals of those that had begun.
    Stopping { unsealed: BTreeSet<AgentIx>, until: Tick, why: Why },
    /// The pause before the next level.
    Cooling { until: Tick },
    /// Over.
    Finished,
}

/// Why a level was stopped, and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Why {
    /// An operator wants the run to end.
    Interrupted,
    /// An agent came too late for the instant: try again.
    TooLate(String),
    /// An agent was lost or its lease ran out: the run ends.
    Lost(String),
    /// An agent stopped on its own: it says why as it leaves, and the run ends.
    Left { agent: AgentIx, text: String },
    /// An agent would not or could not prepare the level: the run ends.
    NotArmed(String),
    /// The generator failed: the run ends.
    Faulted(String),
}

impl Machine {
    /// A machine at the beginning of a plan, for a fleet of agents with these names, and requests
    /// that take no longer than `request_max`.
    pub fn new(plan: Plan, names: Vec<String>, request_max: Duration, now: Tick) -> Self {
        let mut machine = Self {
            plan,
            agents: (0..).map(AgentIx).zip(&names).map(|(agent, _)| agent).collect(),
            names,
            request_max,
            level: LevelId { ordinal: 0, attempt: 0 },
            state: State::Finished,
            commands: VecDeque::new(),
        };
        machine.arm(machine.level, now);
        machine
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
            State::Arming { until, .. }
            | State::Firing { until, .. }
            | State::Stopping { until, .. }
            | State::Running { until, .. }
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
            Event::Sealed { agent, level, end } => self.sealed(now, agent, level, end),
            Event::Lost { agent, why } => self.lost(now, agent, why),
            Event::Interrupt => self.interrupt(now),
        }
    }

    /// Time has passed.
    pub fn on_deadline(&mut self, now: Tick) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match std::mem::replace(&mut self.state, State::Finished) {
            State::Arming { waiting, .. } => {
                let why = Why::NotArmed(self.silent(
                    &waiting,
                    "did not say that it is ready",
                    ARM_TIMEOUT,
                ));
                self.stop(now, BTreeSet::new(), why);
            }
            State::Firing { waiting, unsealed, .. } => {
                let why = Why::Lost(self.silent(
                    &waiting,
                    "did not acknowledge the start",
                    FIRE_ACK_TIMEOUT,
                ));
                self.stop(now, unsealed, why);
            }
            State::Stopping { unsealed, why, .. } => self.level_stopped(now, &unsealed, why),
            State::Cooling { .. } => self.next_level(now),
            State::Running { unsealed, .. } => {
                let names = self.names_of(&unsealed);
                let why = Why::Lost(format!(
                    "{names} did not seal though every request must have timed out by now"
                ));
                self.stop(now, unsealed, why);
            }
            State::Finished => {}
        }
    }

    fn arm(&mut self, level: LevelId, now: Tick) {
        self.level = level;
        if self.plan.levels.is_empty() || self.agents.is_empty() {
            return self.finish(RunOutcome::Completed, Exit::Done, "there was nothing to do");
        }
        self.state = State::Arming { waiting: self.agents.clone(), until: now + ARM_TIMEOUT };
        self.commands.push_back(Command::Arm { level });
    }

    fn armed(&mut self, now: Tick, agent: AgentIx, level: LevelId) {
        let State::Arming { waiting, .. } = &mut self.state else {
            return;
        };
        if level != self.level || !waiting.remove(&agent) || !waiting.is_empty() {
            return;
        }
        let users = self.plan.levels.get(level.ordinal as usize).map_or(0, |l| l.load.users);
        let ahead = ahead(users);
        self.state = State::Firing {
            waiting: self.agents.clone(),
            unsealed: self.agents.clone(),
            at: now + ahead,
            until: now + ahead + FIRE_ACK_TIMEOUT,
        };
        self.commands.push_back(Command::Fire { level, ahead });
    }

    fn not_armed(&mut self, now: Tick, agent: AgentIx, level: LevelId, reason: String) {
        if level != self.level {
            return;
        }
        match &self.state {
            State::Arming { .. } => {
                self.stop(
                    now,
                    BTreeSet::new(),
                    Why::NotArmed(format!("{}: {reason}", self.name(agent))),
                );
            }
            State::Firing { .. }
            | State::Running { .. }
            | State::Stopping { .. }
            | State::Cooling { .. }
            | State::Finished => {}
        }
    }

    fn fired(&mut self, now: Tick, agent: AgentIx, level: LevelId) {
        let State::Firing { waiting, unsealed, at, .. } = &mut self.state else {
            return;
        };
        if level == self.level && waiting.remove(&agent) && waiting.is_empty() {
            let (unsealed, fire) = (std::mem::take(unsealed), *at);
            let until = fire.max(now) + self.level_max() + SEAL_TIMEOUT;
            self.state = State::Running { unsealed, until };
            // The seals of a very short level can come before the last acknowledgement.
            self.settle(now);
        }
    }

    fn too_late(&mut self, now: Tick, agent: AgentIx, level: LevelId) {
        if level != self.level {
            return;
        }
        match &mut self.state {
            State::Firing { unsealed, .. } => {
                let mut unsealed = std::mem::take(unsealed);
                unsealed.remove(&agent);
                let why = Why::TooLate(self.name(agent).to_owned());
                self.stop(now, unsealed, why);
            }
            State::Stopping { unsealed, .. } => {
                unsealed.remove(&agent);
                self.settle(now);
            }
            State::Arming { .. }
            | State::Running { .. }
            | State::Cooling { .. }
            | State::Finished => {}
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
            LevelEnd::Completed => None,
            LevelEnd::Stopped => {
                Some(Why::Left { agent, text: format!("{name} stopped on its own") })
            }
            LevelEnd::LeaseExpired => Some(Why::Lost(format!("{name}: its lease ran out"))),
            LevelEnd::Faulted(why) => Some(Why::Faulted(format!("{name}: {why}"))),
        };
        match &mut self.state {
            State::Firing { unsealed, .. } | State::Running { unsealed, .. } => {
                // Whoever left is waited for: the end of its session tells why.
                if !matches!(gone_wrong, Some(Why::Left { .. })) {
                    unsealed.remove(&agent);
                }
                if let Some(why) = gone_wrong {
                    let unsealed = std::mem::take(unsealed);
                    self.stop(now, unsealed, why);
                }
            }
            State::Stopping { unsealed, why, .. } => {
                unsealed.remove(&agent);
                if let Some(fault @ Why::Faulted(_)) = gone_wrong {
                    *why = fault;
                }
            }
            State::Arming { .. } | State::Cooling { .. } | State::Finished => {}
        }
        self.settle(now);
    }

    /// Ends the level once nobody has to seal any more.
    fn settle(&mut self, now: Tick) {
        match &self.state {
            State::Running { unsealed, .. } if unsealed.is_empty() => {
                self.commands.push_back(Command::LevelOver {
                    level: self.level,
                    fate: LevelFate::Completed,
                });
                self.cool(now);
            }
            State::Stopping { unsealed, why, .. } if unsealed.is_empty() => {
                let why = why.clone();
                self.level_stopped(now, &BTreeSet::new(), why);
            }
            State::Arming { .. }
            | State::Firing { .. }
            | State::Running { .. }
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
            State::Arming { .. } => self.stop(now, BTreeSet::new(), why),
            State::Firing { unsealed, .. } | State::Running { unsealed, .. } => {
                let mut unsealed = std::mem::take(unsealed);
                unsealed.remove(&agent);
                self.stop(now, unsealed, why);
            }
            State::Stopping { unsealed, .. } => {
                unsealed.remove(&agent);
                self.settle(now);
            }
            State::Cooling { .. } => {
                self.finish(RunOutcome::Failed, Exit::Fleet, &text(&why));
            }
            State::Finished => {}
        }
    }

    fn interrupt(&mut self, now: Tick) {
        match &mut self.state {
            State::Arming { .. } => self.stop(now, BTreeSet::new(), Why::Interrupted),
            State::Firing { unsealed, .. } | State::Running { unsealed, .. } => {
                let unsealed = std::mem::take(unsealed);
                self.stop(now, unsealed, Why::Interrupted);
            }
            State::Cooling { .. } => {
                let because = text(&Why::Interrupted);
                self.finish(RunOutcome::Stopped, Exit::Interrupted, &because);
            }
            State::Stopping { .. } | State::Finished => {}
        }
    }

    fn stop(&mut self, now: Tick, unsealed: BTreeSet<AgentIx>, why: Why) {
        let grace = match &why {
            Why::Interrupted => STOP_GRACE,
            Why::TooLate(_)
            | Why::Lost(_)
            | Why::Left { .. }
            | Why::NotArmed(_)
            | Why::Faulted(_) => Duration::ZERO,
        };
        self.commands.push_back(Command::Stop { level: self.level, grace });
        self.state = State::Stopping { unsealed, until: now + grace + SEAL_TIMEOUT, why };
        self.settle(now);
    }

    fn level_stopped(&mut self, now: Tick, unsealed: &BTreeSet<AgentIx>, why: Why) {
        let level = self.level;
        let mut because = text(&why);
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
                self.arm(LevelId { attempt: level.attempt + 1, ..level }, now);
            }
            Why::TooLate(_) | Why::Lost(_) | Why::Left { .. } | Why::NotArmed(_) => {
                self.finish(RunOutcome::Failed, Exit::Fleet, &because);
            }
            Why::Faulted(_) => self.finish(RunOutcome::Failed, Exit::Internal, &because),
        }
    }

    fn cool(&mut self, now: Tick) {
        let place = self.level.ordinal as usize;
        if place + 1 >= self.plan.levels.len() {
            return self.finish(RunOutcome::Completed, Exit::Done, "every level was run");
        }
        let pause = self.plan.levels.get(place).map_or(Duration::ZERO, |level| level.cooldown);
        self.state = State::Cooling { until: now + pause };
        if pause.is_zero() {
            self.next_level(now);
        }
    }

    fn next_level(&mut self, now: Tick) {
        self.arm(LevelId { ordinal: self.level.ordinal + 1, attempt: 0 }, now);
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

    /// The longest that the current level can take from its instant on: its users connect, and
    /// every request of the busiest uses up its timeouts.
    fn level_max(&self) -> Duration {
        let level = self.plan.levels.get(self.level.ordinal as usize);
        let waves = level.and_then(|level| level.load.waves()).unwrap_or(1).saturating_add(1);
        self.request_max.saturating_mul(u32::try_from(waves).unwrap_or(u32::MAX))
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

fn text(why: &Why) -> String {
    match why {
        Why::Interrupted => "interrupted by the operator".to_owned(),
        Why::TooLate(agent) => format!("{agent} heard of the start after its instant"),
        Why::Lost(text) | Why::Left { text, .. } | Why::Faulted(text) => text.clone(),
        Why::NotArmed(text) => format!("not ready: {text}"),
    }
}

#[cfg(test)]
mod tests;
