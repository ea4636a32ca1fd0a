//! What an agent accumulates over a level. Every number is an integer and merging is addition, so
//! any split of the same outcomes over workers and agents, merged in any order, gives the same.

use crate::detail::Details;
use crate::digest::Digest;
use crate::hist::LatencyHist;
use crate::outcome::{Censor, Ending, Failure, Outcome};
use crate::series::InFlight;
use crate::time::Tick;

/// Cumulative state of a level on one worker, one agent or the whole fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests by how they ended.
    pub counts: Counts,
    /// Tokens.
    pub tokens: Tokens,
    /// Latencies of successful requests, and the generator's own lags.
    pub latencies: Latencies,
    /// The same requests as the paper's client would have counted them.
    pub paper: PaperTally,
    /// Requests in flight over time.
    pub in_flight: InFlight,
    /// First send and last end, both in nanoseconds since the level fired.
    pub span: Option<Span>,
    /// What the target said about its failures.
    pub details: Details,
}

/// Requests by how they ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Requests begun: a user took them up.
    pub started: u64,
    /// Ended well.
    pub succeeded: u64,
    /// Failed, by class, in the order of [`Failure::ALL`].
    pub failed: [u64; Failure::ALL.len()],
    /// Cut by floodmark, by reason, in the order of [`Censor::ALL`].
    pub censored: [u64; Censor::ALL.len()],
    /// Begun and not ended.
    pub open: u64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            started: 0,
            succeeded: 0,
            failed: [0; Failure::ALL.len()],
            censored: [0; Censor::ALL.len()],
            open: 0,
        }
    }
}

impl Counts {
    /// All failures.
    pub fn failed_total(&self) -> u64 {
        self.failed.iter().sum()
    }

    /// All requests cut by floodmark.
    pub fn censored_total(&self) -> u64 {
        self.censored.iter().sum()
    }

    /// Failures of one class.
    pub fn failed_by(&self, failure: Failure) -> u64 {
        self.failed.get(failure.index()).copied().unwrap_or(0)
    }

    /// The classes that occurred, failures and censored requests, with their counts.
    pub fn by_class(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let failed = Failure::ALL.iter().map(|f| f.name()).zip(self.failed);
        let censored = Censor::ALL.iter().map(|c| c.name()).zip(self.censored);
        failed.chain(censored).filter(|(_, count)| *count > 0)
    }

    fn end(&mut self, ending: Ending) {
        self.open = self.open.saturating_sub(1);
        let counter = match ending {
            Ending::Succeeded => Some(&mut self.succeeded),
            Ending::Failed(failure) => self.failed.get_mut(failure.index()),
            Ending::Censored(censor) => self.censored.get_mut(censor.index()),
        };
        if let Some(counter) = counter {
            *counter += 1;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.started += other.started;
        self.succeeded += other.succeeded;
        self.open += other.open;
        add_each(&mut self.failed, &other.failed);
        add_each(&mut self.censored, &other.censored);
    }
}

fn add_each(into: &mut [u64], from: &[u64]) {
    for (into, from) in into.iter_mut().zip(from) {
        *into += from;
    }
}

/// Tokens, by the server's own `usage`.
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

/// A tally that contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConservationError {
    /// The endings do not sum to the requests begun.
    #[error(
        "started {started} is not succeeded {succeeded} + failed {failed} + censored {censored} + \
         open {open}"
    )]
    Endings {
        /// Requests begun.
        started: u64,
        /// Ended well.
        succeeded: u64,
        /// Failed.
        failed: u64,
        /// Cut.
        censored: u64,
        /// Not ended.
        open: u64,
    },
    /// A sealed level still has requests open.
    #[error("{0} requests are open in a sealed level")]
    Open(u64),
    /// A histogram does not hold as many samples as requests were counted.
    #[error("{name} holds {samples} samples for {requests} requests")]
    Samples {
        /// Which histogram.
        name: &'static str,
        /// Its samples.
        samples: u64,
        /// Requests that give one sample each.
        requests: u64,
    },
    /// A sum does not fit 64 bits.
    #[error("the counts overflow")]
    Overflow,
}

impl Tally {
    /// A request was taken up by a user.
    pub fn start(&mut self) {
        self.counts.started += 1;
        self.counts.open += 1;
    }

    /// A request ended. `fire` is the instant at which the level began.
    pub fn end(&mut self, outcome: &Outcome, fire: Tick) {
        self.counts.end(outcome.ending);
        let marks = &outcome.marks;
        if let Some(sent) = marks.sent {
            self.latencies.send_lag.record_ns(sent.ns_since(marks.intended));
            let sent_ns = sent.ns_since(fire);
            let done_ns = marks.done.ns_since(fire);
            self.widen_span(Span { first_sent_ns: sent_ns, last_done_ns: done_ns });
        }
        let usage = outcome.usage.unwrap_or_default();
        if outcome.paper_success
            && let Some(sent) = marks.sent
        {
            self.paper.succeeded += 1;
            self.paper.prompt += usage.prompt;
            self.paper.completion += usage.completion;
            self.paper.latency.record_ns(marks.done.ns_since(sent));
        }
        if let (Ending::Failed(failure), Some(words)) = (outcome.ending, &outcome.detail) {
            self.details.note(failure, words);
        }
        match outcome.ending {
            Ending::Succeeded => self.add_success(outcome),
            Ending::Failed(_) | Ending::Censored(_) => self.tokens.wasted += usage.completion,
        }
    }

    fn add_success(&mut self, outcome: &Outcome) {
        let marks = &outcome.marks;
        match outcome.usage {
            Some(usage) => {
                self.tokens.prompt += usage.prompt;
                self.tokens.completion += usage.completion;
                self.tokens.reasoning += usage.reasoning;
                self.tokens.cached_prompt += usage.cached_prompt;
            }
            None => self.tokens.without_usage += 1,
        }
        self.tokens.events += outcome.events;
        let latencies = &mut self.latencies;
        let end = marks.last_token.unwrap_or(marks.done);
        let sent = marks.sent.unwrap_or(marks.intended);
        latencies.e2e.record_ns(end.ns_since(sent));
        latencies.e2e_plan.record_ns(end.ns_since(marks.intended));
        if let (Some(first), Some(last)) = (marks.first_token, marks.last_token) {
            latencies.ttft.record_ns(first.ns_since(sent));
            latencies.ttft_plan.record_ns(first.ns_since(marks.intended));
            let tokens = outcome.usage.map_or(0, |usage| usage.completion);
            if tokens >= 2 && last > first {
                latencies.tpot.record_ns(last.ns_since(first) / (tokens - 1));
            }
        }
        for &gap in &outcome.gaps_us {
            latencies.icl.record_us(gap.into());
        }
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
        self.counts.merge(&other.counts);
        self.tokens.merge(&other.tokens);
        self.latencies.merge(&other.latencies);
        self.paper.merge(&other.paper);
        self.in_flight.merge(&other.in_flight);
        self.details.merge(&other.details);
        if let Some(span) = other.span {
            self.widen_span(span);
        }
    }

    /// Checks that nothing was lost or counted twice:
    /// started = succeeded + failed + censored + open, and one latency per success.
    pub fn check(&self) -> Result<(), ConservationError> {
        let counts = &self.counts;
        let sum = |all: &[u64]| all.iter().try_fold(0u64, |sum, &n| sum.checked_add(n));
        let failed = sum(&counts.failed).ok_or(ConservationError::Overflow)?;
        let censored = sum(&counts.censored).ok_or(ConservationError::Overflow)?;
        let ended = sum(&[counts.succeeded, failed, censored, counts.open])
            .ok_or(ConservationError::Overflow)?;
        if ended != counts.started {
            return Err(ConservationError::Endings {
                started: counts.started,
                succeeded: counts.succeeded,
                failed,
                censored,
                open: counts.open,
            });
        }
        for (name, hist, requests) in [
            ("e2e", &self.latencies.e2e, counts.succeeded),
            ("e2e_plan", &self.latencies.e2e_plan, counts.succeeded),
            ("paper latency", &self.paper.latency, self.paper.succeeded),
        ] {
            if hist.count() != requests {
                return Err(ConservationError::Samples { name, samples: hist.count(), requests });
            }
        }
        Ok(())
    }

    /// [`Tally::check`], and no request is open.
    pub fn check_sealed(&self) -> Result<(), ConservationError> {
        self.check()?;
        if self.counts.open > 0 { Err(ConservationError::Open(self.counts.open)) } else { Ok(()) }
    }

    /// The canonical bytes of all histograms, in the order of [`Latencies::NAMES`], the paper's
    /// last: equal tallies give equal bytes.
    pub fn histogram_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, hist) in self.latencies.each() {
            bytes.extend_from_slice(name.as_bytes());
            hist.to_sparse().write_canonical(&mut bytes);
        }
        bytes.extend_from_slice(b"paper");
        self.paper.latency.to_sparse().write_canonical(&mut bytes);
        bytes
    }

    /// SHA-256 of [`Tally::histogram_bytes`].
    pub fn histogram_digest(&self) -> Digest {
        Digest::of(&self.histogram_bytes())
    }
}

#[cfg(test)]
mod tests;
