//! What a worker records of a level. Owned by the worker, touched by no other thread.

use common::outcome::Outcome;
use common::slo::Slo;
use common::tally::Tally;
use common::time::Tick;

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
    pub(super) fn new(fire: Tick, slo: Slo) -> Self {
        Self { tally: Tally::default(), fire, slo, in_flight: 0, changed: fire }
    }

    /// When the level fires.
    pub(super) fn fire(&self) -> Tick {
        self.fire
    }

    /// A user takes up a request.
    pub(super) fn start(&mut self, intended: Tick) {
        self.tally.start(intended.ns_since(self.fire));
    }

    /// Its first byte is handed to the socket.
    pub(super) fn sent(&mut self, now: Tick) {
        self.advance(now);
        self.in_flight += 1;
    }

    /// It ended.
    pub(super) fn end(&mut self, outcome: &Outcome) {
        if outcome.marks.sent.is_some() {
            self.advance(outcome.marks.done);
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        self.tally.end(outcome, self.fire, self.slo, None);
    }

    /// The event loop woke this much too late for a timer.
    pub(super) fn loop_lag(&mut self, lag_ns: u64) {
        self.tally.latencies.loop_lag.record_ns(lag_ns);
    }

    /// The record so far, the target's words left out: the seal has them.
    pub(super) fn snapshot(&self) -> Tally {
        Tally { details: Default::default(), ..self.tally.clone() }
    }

    /// The record, complete.
    pub(super) fn into_tally(mut self, now: Tick) -> Tally {
        self.advance(now);
        self.tally
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
