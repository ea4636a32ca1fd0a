//! What an agent accumulates over a level. Every number is an integer and merging is addition, so
//! any split of the same outcomes over workers and agents, merged in any order, gives the same.

mod counts;
mod images;
mod serial;
mod slices;
mod window;

use crate::detail::Details;
use crate::digest::Digest;
use crate::hist::LatencyHist;
use crate::outcome::{Ending, Outcome};
use crate::series::{Flow, InFlight};
use crate::slice::{InSlices, Slice};
use crate::slo::{Served, Slo};
use crate::time::Tick;

use slices::{Success, Whole};

pub use counts::{ConservationError, Counts};
pub use images::{Fetches, ImageTally};
pub use serial::Serial;
pub use slices::{SliceTally, Slices};
pub use window::{Arrived, Scope, WindowTally};

/// Cumulative state of a level on one worker, one agent or the whole fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Which requests are measured.
    pub scope: Scope,
    /// Every request, by how it ended.
    pub counts: Counts,
    /// The measured requests, by how they ended.
    pub measured: Counts,
    /// Measured successes that meet every objective.
    pub good: u64,
    /// Tokens of the measured requests.
    pub tokens: Tokens,
    /// Latencies of measured successes, and the generator's own lags in the same time.
    pub latencies: Latencies,
    /// How far a user's successive latencies depend on each other, among measured successes.
    pub serial: SerialPair,
    /// Every request as the paper's client would have counted it.
    pub paper: PaperTally,
    /// Requests in flight over time.
    pub in_flight: InFlight,
    /// What came from the target over time.
    pub flow: Flow,
    /// First send and last end, both in nanoseconds since the level fired.
    pub span: Option<Span>,
    /// What the target said about its failures.
    pub details: Details,
    /// The measured requests apart by what they share.
    pub slices: Slices,
    /// Images, where requests have any.
    pub images: Option<Box<ImageTally>>,
    /// Reads in the measured time that the kernel did not stamp, or whose stamp could not be
    /// believed: latencies are counted to the read then. Those it stamped are counted by
    /// [`Latencies::receive_lag`].
    pub unstamped: u64,
}

/// [`Serial`] of two latencies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SerialPair {
    /// Send to first token.
    pub ttft: Serial,
    /// Send to last token.
    pub e2e: Serial,
}

/// A user's last measured success, for [`SerialPair`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Previous {
    ttft_us: Option<u64>,
    e2e_us: u64,
}

impl SerialPair {
    fn add(&mut self, first: Previous, second: Previous) {
        self.e2e.add(first.e2e_us, second.e2e_us);
        if let (Some(first), Some(second)) = (first.ttft_us, second.ttft_us) {
            self.ttft.add(first, second);
        }
    }
}

/// Tokens of the measured requests, by the server's own `usage`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Prompt tokens of successful requests.
    pub prompt: u64,
    /// Completion tokens of successful requests, reasoning included.
    pub completion: u64,
    /// Completion tokens of successful requests that were reasoning.
    pub reasoning: u64,
    /// Prompt tokens of successful requests that came from a cache.
    pub cached_prompt: u64,
    /// Completion tokens that servers reported for requests that failed or were cut.
    pub wasted: u64,
    /// Token-bearing events of successful requests: a check on the counts, never added to them.
    pub events: u64,
    /// Successful requests for which the server gave no counts.
    pub without_usage: u64,
}

impl Tokens {
    fn of_success(outcome: &Outcome) -> Self {
        let usage = outcome.usage.unwrap_or_default();
        Self {
            prompt: usage.prompt,
            completion: usage.completion,
            reasoning: usage.reasoning,
            cached_prompt: usage.cached_prompt,
            wasted: 0,
            events: outcome.events,
            without_usage: u64::from(outcome.usage.is_none()),
        }
    }

    fn merge(&mut self, other: &Self) {
        self.prompt += other.prompt;
        self.completion += other.completion;
        self.reasoning += other.reasoning;
        self.cached_prompt += other.cached_prompt;
        self.wasted += other.wasted;
        self.events += other.events;
        self.without_usage += other.without_usage;
    }
}

macro_rules! latencies {
    ($($(#[$doc:meta])* $field:ident),+ $(,)?) => {
        /// Histograms of one level.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Latencies { $($(#[$doc])* pub $field: LatencyHist),+ }

        impl Latencies {
            /// The names, in a fixed order.
            pub const NAMES: [&'static str; [$(stringify!($field)),+].len()] =
                [$(stringify!($field)),+];

            /// The histograms with their names, in the order of [`Self::NAMES`].
            pub fn each(&self) -> [(&'static str, &LatencyHist); Self::NAMES.len()] {
                [$((stringify!($field), &self.$field)),+]
            }

            /// The histogram with this name.
            pub fn get_mut(&mut self, name: &str) -> Option<&mut LatencyHist> {
                match name {
                    $(stringify!($field) => Some(&mut self.$field),)+
                    _ => None,
                }
            }

            fn merge(&mut self, other: &Self) {
                $(self.$field.merge(&other.$field);)+
            }
        }
    };
}

latencies! {
    /// Send to first token-bearing event.
    ttft,
    /// Intended instant to first token-bearing event.
    ttft_plan,
    /// Send to last token-bearing event; of a response that is one body, to its end.
    e2e,
    /// Intended instant to the same end.
    e2e_plan,
    /// (Last token − first token) / (completion tokens − 1), from two tokens on.
    tpot,
    /// Send to last token over the completion tokens: the latency of an answer per its length.
    ntpot,
    /// Gaps between token-bearing events, all requests pooled.
    icl,
    /// Intended instant to send, every request that was sent.
    send_lag,
    /// Kernel's receipt to the agent's read, where the kernel says.
    receive_lag,
    /// How late the worker's event loop woke for a timer.
    loop_lag,
}

/// What the paper's client would have counted: success is status 200 without an exception, the
/// latency runs from the send to the end of the response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PaperTally {
    /// Requests that count as successes.
    pub succeeded: u64,
    /// Their prompt tokens.
    pub prompt: u64,
    /// Their completion tokens.
    pub completion: u64,
    /// Their latencies.
    pub latency: LatencyHist,
}

impl PaperTally {
    fn merge(&mut self, other: &Self) {
        self.succeeded += other.succeeded;
        self.prompt += other.prompt;
        self.completion += other.completion;
        self.latency.merge(&other.latency);
    }
}

/// First send and last end, in nanoseconds since the level fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first request byte sent.
    pub first_sent_ns: u64,
    /// The last end of a request.
    pub last_done_ns: u64,
}

impl Tally {
    /// An empty tally of a level that is measured in a window.
    pub fn windowed() -> Self {
        Self { scope: Scope::Pending, ..Self::default() }
    }

    /// The same, with results apart by these slices.
    pub fn sliced(self, slices: &[Slice]) -> Self {
        Self { slices: Slices::new(slices), ..self }
    }

    /// The window begins at this instant, which has not come yet, in nanoseconds since the level
    /// fired. A level has one window.
    pub fn measure(&mut self, from_ns: u64) {
        if self.scope == Scope::Pending {
            let following = self.counts.open;
            self.scope =
                Scope::Window(WindowTally { from_ns, following, ..WindowTally::default() });
        }
    }

    /// The window ends before this instant, which has not come yet.
    pub fn release(&mut self, until_ns: u64) {
        if let Some(window) = self.scope.window_mut() {
            window.until_ns.get_or_insert(until_ns.max(window.from_ns));
        }
    }

    /// A request of these slices, intended at this instant, in nanoseconds since the level fired, was
    /// taken up.
    pub fn start(&mut self, intended_ns: u64, slices: InSlices) {
        self.counts.start();
        if self.scope.measures(intended_ns) {
            self.measured.start();
            self.slices.start(slices);
        }
        if let Some(window) = self.scope.window_mut()
            && window.is_before_end(intended_ns)
        {
            window.following += 1;
        }
    }

    /// `level` requests were in flight from one instant to another, both since the level fired.
    /// Intervals come in order and do not overlap.
    pub fn in_flight(&mut self, from_ns: u64, to_ns: u64, level: u32) {
        self.in_flight.add(from_ns, to_ns, level);
        if let Some(window) = self.scope.window_mut() {
            window.in_flight_ns += window.overlap(from_ns, to_ns) * u64::from(level);
        }
    }

    /// One of the requests that were counted as in flight from one instant to another was not.
    pub fn not_in_flight(&mut self, from_ns: u64, to_ns: u64) {
        self.in_flight.take(from_ns, to_ns);
        if let Some(window) = self.scope.window_mut() {
            let overlap = window.overlap(from_ns, to_ns);
            window.in_flight_ns = window.in_flight_ns.saturating_sub(overlap);
        }
    }

    /// Token-bearing events came, this many nanoseconds after the level fired.
    pub fn events(&mut self, at_ns: u64, events: u64) {
        self.flow.add(at_ns, |slot| slot.events += events);
    }

    /// A request ended. `fire` is the instant at which the level began, `previous` what the user's
    /// last request gave; gives the same for its next one.
    pub fn end(
        &mut self,
        outcome: &Outcome,
        fire: Tick,
        slo: Slo,
        previous: Option<Previous>,
    ) -> Option<Previous> {
        let marks = &outcome.marks;
        let intended_ns = marks.intended.ns_since(fire);
        let measured = self.scope.measures(intended_ns);
        self.counts.end(outcome.ending);
        if measured {
            self.measured.end(outcome.ending);
            self.slices.end(outcome.slices, outcome.ending);
        }
        if let Some(sent) = marks.sent {
            let (sent_ns, done_ns) = (sent.ns_since(fire), marks.done.ns_since(fire));
            if measured {
                self.latencies.send_lag.record_ns(sent.ns_since(marks.intended));
            }
            self.widen_span(Span { first_sent_ns: sent_ns, last_done_ns: done_ns });
            if let Some(window) = self.scope.window_mut() {
                window.overlap_ns += window.overlap(sent_ns, done_ns);
            }
        }
        if let Some(window) = self.scope.window_mut()
            && window.is_before_end(intended_ns)
        {
            window.following = window.following.saturating_sub(1);
        }
        self.add_paper(outcome);
        if let (Ending::Failed(failure), Some(words)) = (outcome.ending, &outcome.detail) {
            self.details.note(failure, words);
        }
        match outcome.ending {
            Ending::Succeeded => {
                self.add_arrivals(outcome, fire);
                measured.then(|| self.add_success(outcome, slo, previous))
            }
            Ending::Failed(_) | Ending::Censored(_) => {
                let wasted = outcome.usage.unwrap_or_default().completion;
                if measured {
                    self.tokens.wasted += wasted;
                    self.slices.waste(outcome.slices, wasted);
                }
                if let Some(window) = self.scope.window_mut()
                    && window.holds(marks.done.ns_since(fire))
                {
                    let arrived = Arrived { wasted, ..Arrived::default() };
                    window.arrived.add(arrived);
                    self.slices.arrive(outcome.slices, arrived);
                }
                None
            }
        }
    }

    fn add_paper(&mut self, outcome: &Outcome) {
        let usage = outcome.usage.unwrap_or_default();
        if outcome.paper_success
            && let Some(sent) = outcome.marks.sent
        {
            self.paper.succeeded += 1;
            self.paper.prompt += usage.prompt;
            self.paper.completion += usage.completion;
            self.paper.latency.record_ns(outcome.marks.done.ns_since(sent));
        }
    }

    /// Credits a success's tokens to the instants at which they came: its prompt at the first
    /// token, its completion spread evenly over its events. An answer that is one body came at its
    /// end.
    fn add_arrivals(&mut self, outcome: &Outcome, fire: Tick) {
        let marks = &outcome.marks;
        let usage = outcome.usage.unwrap_or_default();
        let done_ns = marks.done.ns_since(fire);
        let first_ns = marks.first_token.map_or(done_ns, |first| first.ns_since(fire));
        let ttft_ns = marks.first_token.zip(marks.sent).map(|(first, sent)| first.ns_since(sent));
        let holds = |scope: &Scope, ns| scope.window().is_some_and(|window| window.holds(ns));
        let mut arrived = Arrived::default();
        if holds(&self.scope, done_ns) {
            arrived.requests = 1;
        }
        if holds(&self.scope, first_ns) {
            arrived.prompt = usage.prompt;
            arrived.cached_prompt = usage.cached_prompt;
        }
        self.flow.add(done_ns, |slot| slot.succeeded += 1);
        self.flow.add(first_ns, |slot| {
            slot.prompt += usage.prompt;
            if let Some(ttft_ns) = ttft_ns {
                slot.first += 1;
                slot.ttft_us += ttft_ns / 1000;
            }
        });
        let events = outcome.gaps_us.len() as u64 + 1;
        let (each, spare) = (usage.completion / events, usage.completion % events);
        let (mut at_ns, mut saved) = (first_ns, 0);
        for &gap_us in std::iter::once(&0).chain(&outcome.gaps_us) {
            at_ns = at_ns.saturating_add(u64::from(gap_us) * 1000);
            let mut tokens = each;
            saved += spare;
            if saved >= events {
                saved -= events;
                tokens += 1;
            }
            if holds(&self.scope, at_ns) {
                arrived.output += tokens;
            }
            self.flow.add(at_ns, |slot| slot.output += tokens);
        }
        if let Some(window) = self.scope.window_mut() {
            window.arrived.add(arrived);
            self.slices.arrive(outcome.slices, arrived);
        }
    }

    fn add_success(&mut self, outcome: &Outcome, slo: Slo, previous: Option<Previous>) -> Previous {
        let marks = &outcome.marks;
        let delivered = Tokens::of_success(outcome);
        self.tokens.merge(&delivered);
        if let Some(sent) = &outcome.images {
            self.images.get_or_insert_default().add(sent, outcome.usage);
        }
        let latencies = &mut self.latencies;
        let end = marks.last_token.unwrap_or(marks.done);
        let sent = marks.sent.unwrap_or(marks.intended);
        let tokens = outcome.usage.map_or(0, |usage| usage.completion);
        let e2e_ns = end.ns_since(sent);
        let mut served = Served { e2e_ns: end.ns_since(marks.intended), ..Served::default() };
        let mut ttft_ns = None;
        latencies.e2e.record_ns(e2e_ns);
        latencies.e2e_plan.record_ns(served.e2e_ns);
        if tokens >= 1 {
            latencies.ntpot.record_ns(e2e_ns / tokens);
        }
        if let (Some(first), Some(last)) = (marks.first_token, marks.last_token) {
            latencies.ttft.record_ns(first.ns_since(sent));
            latencies.ttft_plan.record_ns(first.ns_since(marks.intended));
            ttft_ns = Some(first.ns_since(sent));
            served.ttft_ns = Some(first.ns_since(marks.intended));
            if tokens >= 2 && last > first {
                let tpot_ns = last.ns_since(first) / (tokens - 1);
                latencies.tpot.record_ns(tpot_ns);
                served.tpot_ns = Some(tpot_ns);
            }
        }
        for &gap in &outcome.gaps_us {
            latencies.icl.record_us(gap.into());
        }
        let good = slo.is_met(served);
        self.good += u64::from(good);
        let tpot_ns = served.tpot_ns;
        let success = Success { tokens: delivered, good, e2e_ns, ttft_ns, tpot_ns };
        self.slices.succeed(outcome.slices, success);
        let this = Previous { ttft_us: ttft_ns.map(|ns| ns / 1000), e2e_us: e2e_ns / 1000 };
        if let Some(previous) = previous {
            self.serial.add(previous, this);
        }
        this
    }

    fn widen_span(&mut self, other: Span) {
        self.span = Some(match self.span {
            None => other,
            Some(mine) => Span {
                first_sent_ns: mine.first_sent_ns.min(other.first_sent_ns),
                last_done_ns: mine.last_done_ns.max(other.last_done_ns),
            },
        });
    }

    /// Adds everything that `other` holds.
    pub fn merge(&mut self, other: &Self) {
        self.scope.merge(&other.scope);
        self.counts.merge(&other.counts);
        self.measured.merge(&other.measured);
        self.good += other.good;
        self.tokens.merge(&other.tokens);
        self.latencies.merge(&other.latencies);
        self.serial.ttft.merge(&other.serial.ttft);
        self.serial.e2e.merge(&other.serial.e2e);
        self.paper.merge(&other.paper);
        self.in_flight.merge(&other.in_flight);
        self.flow.merge(&other.flow);
        self.details.merge(&other.details);
        self.slices.merge(&other.slices);
        self.unstamped = self.unstamped.saturating_add(other.unstamped);
        if let Some(images) = &other.images {
            self.images.get_or_insert_default().merge(images);
        }
        if let Some(span) = other.span {
            self.widen_span(span);
        }
    }

    /// Checks that nothing was lost or counted twice:
    /// started = succeeded + failed + censored + open, of all requests and of the measured ones,
    /// one latency per success, and every measured request in one slice of each kind.
    ///
    /// # Errors
    /// As [`ConservationError`] says.
    pub fn check(&self) -> Result<(), ConservationError> {
        self.counts.check()?;
        self.measured.check()?;
        let measured_fit = match self.scope {
            Scope::Whole => self.measured == self.counts,
            Scope::Pending => self.measured == Counts::default(),
            Scope::Window(_) => self.measured.is_part_of(&self.counts),
        };
        if !measured_fit || self.good > self.measured.succeeded {
            return Err(ConservationError::Measured);
        }
        let succeeded = self.measured.succeeded;
        for (name, hist, requests) in [
            ("e2e", &self.latencies.e2e, succeeded),
            ("e2e_plan", &self.latencies.e2e_plan, succeeded),
            ("paper latency", &self.paper.latency, self.paper.succeeded),
        ] {
            if hist.count() != requests {
                return Err(ConservationError::Samples { name, samples: hist.count(), requests });
            }
        }
        self.slices.check(&Whole {
            measured: &self.measured,
            good: self.good,
            tokens: &self.tokens,
            arrived: self.scope.window().map(|window| window.arrived).unwrap_or_default(),
        })?;
        match &self.images {
            Some(images) if images.upload.count() > succeeded => {
                let (name, samples) = ("upload", images.upload.count());
                Err(ConservationError::Samples { name, samples, requests: succeeded })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// [`Tally::check`], and no request is open.
    pub fn check_sealed(&self) -> Result<(), ConservationError> {
        self.check()?;
        if self.counts.open > 0 { Err(ConservationError::Open(self.counts.open)) } else { Ok(()) }
    }

    /// The canonical bytes of all histograms, in the order of [`Latencies::NAMES`], the paper's
    /// last, and then those of images where there are any: equal tallies give equal bytes.
    pub fn histogram_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, hist) in self.latencies.each() {
            bytes.extend_from_slice(name.as_bytes());
            hist.to_sparse().write_canonical(&mut bytes);
        }
        bytes.extend_from_slice(b"paper");
        self.paper.latency.to_sparse().write_canonical(&mut bytes);
        for (name, hist) in self.images.iter().flat_map(|images| images.each()) {
            bytes.extend_from_slice(name.as_bytes());
            hist.to_sparse().write_canonical(&mut bytes);
        }
        bytes
    }

    /// SHA-256 of [`Tally::histogram_bytes`].
    pub fn histogram_digest(&self) -> Digest {
        Digest::of(&self.histogram_bytes())
    }
}

#[cfg(test)]
mod tests;
