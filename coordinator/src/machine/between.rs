//! What happens between levels: the pause, the decision what follows, and what is done to the
//! target before the next.

use std::time::Duration;

use common::ids::LevelId;
use common::time::Tick;

use super::state::State;
use super::{Command, Machine, PLAN_TIMEOUT};
use crate::exit::Exit;
use crate::plan::{PlannedLevel, Preparation};
use crate::record::RunOutcome;

impl Machine {
    /// Goes to the first level.
    pub(super) fn begin(&mut self, now: Tick) {
        if self.agents.is_empty() || self.plan.levels.is_empty() && !self.plan.open {
            return self.finish(RunOutcome::Completed, Exit::Done, "there was nothing to do");
        }
        if self.plan.levels.is_empty() { self.decide(now) } else { self.prepare(now) }
    }

    /// The level under the cursor is over and was completed.
    pub(super) fn level_done(&mut self, now: Tick) {
        let next = self.level.ordinal + 1;
        if self.planned_of(LevelId { ordinal: next, attempt: 0 }).is_some() {
            self.cool(now, now);
        } else if self.plan.open {
            self.decide(now);
        } else {
            self.finish(RunOutcome::Completed, Exit::Done, "every level was run");
        }
    }

    fn decide(&mut self, now: Tick) {
        self.state = State::Deciding { over: now, until: now + PLAN_TIMEOUT };
        self.commands.push_back(Command::Decide);
    }

    pub(super) fn decided(&mut self, now: Tick, levels: Vec<PlannedLevel>, because: &str) {
        let State::Deciding { over, .. } = self.state else {
            return;
        };
        if levels.is_empty() {
            return self.finish(RunOutcome::Completed, Exit::Done, because);
        }
        let first = self.plan.levels.is_empty();
        self.plan.levels.extend(levels);
        if first { self.prepare(now) } else { self.cool(over, now) }
    }

    pub(super) fn undecided(&mut self) {
        let because = format!("nothing decided what follows within {} s", PLAN_TIMEOUT.as_secs());
        self.finish(RunOutcome::Failed, Exit::Internal, &because);
    }

    /// Pauses after a level that was over at an instant, and goes to the next.
    fn cool(&mut self, over: Tick, now: Tick) {
        let pause = self.planned().map_or(Duration::ZERO, |level| level.cooldown);
        let until = over + pause;
        self.state = State::Cooling { until };
        if until <= now {
            self.next_level(now);
        }
    }

    pub(super) fn next_level(&mut self, now: Tick) {
        self.level = LevelId { ordinal: self.level.ordinal + 1, attempt: 0 };
        self.prepare(now);
    }

    /// Does what is to be done before the level under the cursor, and arms it.
    pub(super) fn prepare(&mut self, now: Tick) {
        let level = self.level;
        let planned = self.planned().map(|planned| planned.before).unwrap_or_default();
        // An attempt that came to nothing has filled caches; the server is as fresh as it was.
        let restart_server = planned.restart_server && level.attempt == 0;
        let what = Preparation { restart_server, ..planned };
        if what.is_nothing() {
            return self.arm(now);
        }
        self.state = State::Preparing { until: now + self.limits.preparation };
        self.commands.push_back(Command::Prepare { level, what });
    }

    pub(super) fn prepared(&mut self, now: Tick, level: LevelId) {
        if level == self.level && matches!(self.state, State::Preparing { .. }) {
            self.arm(now);
        }
    }

    pub(super) fn prepare_failed(&mut self, level: LevelId, why: &str) {
        if level == self.level && matches!(self.state, State::Preparing { .. }) {
            self.finish(RunOutcome::Failed, Exit::Target, why);
        }
    }

    pub(super) fn unprepared(&mut self) {
        let because = format!(
            "the target was not made ready for {} within {} s",
            self.planned().map_or_else(String::new, |p| format!("{} {}", p.phase, p.label)),
            self.limits.preparation.as_secs()
        );
        self.finish(RunOutcome::Failed, Exit::Target, &because);
    }
}
