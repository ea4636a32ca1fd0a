//! What a worker records of a level. Owned by the worker, touched by no other thread.

use common::assignment::End;
use common::outcome::Outcome;
use common::slice::InSlices;
use common::slo::Slo;
use common::tally::{Previous, Scope, Tally};
use common::time::Tick;

use crate::load::LevelPlan;
use crate::load::stamp::Receipt;

/// A worker's tally, and the bookkeeping behind its in-flight series.
pub(super) struct Recorder {
    tally: Tally,
    fire: Tick,
    slo: Slo,
    in_flight: u32,
    changed: Tick,
}

impl Recorder {
    /// An empty record of a level that fires at `fire`.
    pub(super) fn new(plan: &LevelPlan, fire: Tick) -> Self {
        let assignment = &plan.assignment;
        let tally = match assignment.load.end {
            End::Requests(_) => Tally::default(),
            End::Window => Tally::windowed(),
        };
        let tally = tally.sliced(plan.composer.slices());
        Self { tally, fire, slo: assignment.slo, in_flight: 0, changed: fire }
    }

    /// When the level fires.
    pub(super) fn fire(&self) -> Tick {
        self.fire
    }

    /// The window begins at `from`, which has not come yet.
    pub(super) fn measure(&mut self, from: Tick) {
        self.tally.measure(from.ns_since(self.fire));
    }

    /// The window ends before `at`, which has not come yet; `false` if there is no window.
    pub(super) fn release(&mut self, at: Tick) -> bool {
        self.tally.release(at.ns_since(self.fire));
        self.tally.scope.window().is_some()
    }

    /// When the window ends, if that has been ordered.
    pub(super) fn released(&self) -> Option<Tick> {
        let until_ns = self.tally.scope.window()?.until_ns?;
        Some(Tick(self.fire.0.saturating_add(until_ns)))
    }

    /// The window is over at `now`.
    pub(super) fn is_released(&self, now: Tick) -> bool {
        self.released().is_some_and(|at| now >= at)
    }

    /// The window is over at `now`, and every request that was intended before its end has ended.
    pub(super) fn has_followed(&self, now: Tick) -> bool {
        self.is_released(now)
            && self.tally.scope.window().is_some_and(|window| window.following == 0)
    }

    /// Whether an instant lies in the measured time.
    pub(super) fn measures(&self, now: Tick) -> bool {
        now >= self.fire
            && match &self.tally.scope {
                Scope::Whole => true,
                Scope::Pending => false,
                Scope::Window(window) => window.holds(now.ns_since(self.fire)),
            }
    }

    /// No request is open.
    pub(super) fn is_idle(&self) -> bool {
        self.tally.counts.open == 0
    }

    /// A user takes up a request, or an arrival comes.
    pub(super) fn start(&mut self, intended: Tick, slices: InSlices) {
        self.tally.start(intended.ns_since(self.fire), slices);
    }

    /// Its first byte is handed to the socket.
    pub(super) fn sent(&mut self, now: Tick) {
        self.advance(now);
        self.in_flight += 1;
    }

    /// Bytes came, and token-bearing events with them.
    pub(super) fn received(&mut self, receipt: Receipt, events: u64) {
        if events > 0 {
            self.tally.events(receipt.at.ns_since(self.fire), events);
        }
        if self.measures(receipt.read) {
            match receipt.lag_ns() {
                Some(lag_ns) => self.tally.latencies.receive_lag.record_ns(lag_ns),
                None => self.tally.unstamped += 1,
            }
        }
    }

    /// It ended. `previous` is what the end of the user's last request gave.
    pub(super) fn end(
        &mut self,
        outcome: &Outcome,
        previous: Option<Previous>,
    ) -> Option<Previous> {
        if outcome.marks.sent.is_some() {
            self.advance(outcome.marks.done);
            self.retract(outcome.marks.done);
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        self.tally.end(outcome, self.fire, self.slo, previous)
    }

    /// The event loop woke at `now` for a timer of `wake`.
    pub(super) fn woke(&mut self, wake: Tick, now: Tick) {
        if self.measures(wake) {
            self.tally.latencies.loop_lag.record_ns(now.ns_since(wake));
        }
    }

    /// The record so far, without the target's words and without slices: the seal has them.
    pub(super) fn snapshot(&mut self, now: Tick) -> Tally {
        self.advance(now);
        let details = std::mem::take(&mut self.tally.details);
        let slices = std::mem::take(&mut self.tally.slices);
        let snapshot = self.tally.clone();
        (self.tally.details, self.tally.slices) = (details, slices);
        snapshot
    }

    /// The record, complete.
    pub(super) fn into_tally(mut self, now: Tick) -> Tally {
        self.advance(now);
        self.tally
    }

    /// Takes back what was counted of a request after its end, which the kernel saw before this
    /// worker did.
    fn retract(&mut self, done: Tick) {
        let (from, to) = (done.ns_since(self.fire), self.changed.ns_since(self.fire));
        if to > from {
            self.tally.not_in_flight(from, to);
        }
    }

    fn advance(&mut self, now: Tick) {
        let (from, to) = (self.changed.ns_since(self.fire), now.ns_since(self.fire));
        if to > from {
            if self.in_flight > 0 {
                self.tally.in_flight(from, to, self.in_flight);
            }
            self.changed = now;
        }
    }
}
