//! The dead-man switch: without proof that the coordinator lives, no request is started.
//!
//! The agent asks once a second; the deadline counts from the moment of the newest question that
//! was answered, so late, buffered or replayed answers cannot extend it, and neither can an answer
//! whose question was asked long ago. Time is `CLOCK_BOOTTIME`, which counts suspend.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::time::duration_ns;

/// How long an agent goes on after its last answered question.
pub const LEASE: Duration = Duration::from_secs(5);
/// How often it asks.
pub const RENEW_EVERY: Duration = Duration::from_secs(1);
/// After the deadline, how long requests in flight may still go on.
pub const CUT_AFTER: Duration = Duration::from_secs(1);
/// Questions remembered; more than fit into a lease.
const ASKED_MAX: usize = 16;

/// The deadline, readable by every user without a lock.
#[derive(Clone, Debug)]
pub struct Deadline(Arc<AtomicU64>);

impl Deadline {
    /// The lease holds at `boottime_ns`.
    pub fn holds_at(&self, boottime_ns: u64) -> bool {
        boottime_ns < self.0.load(Ordering::Relaxed)
    }

    /// Requests in flight must be cut at `boottime_ns`.
    pub fn cut_at(&self, boottime_ns: u64) -> bool {
        let deadline = self.0.load(Ordering::Relaxed);
        boottime_ns >= deadline.saturating_add(duration_ns(CUT_AFTER))
    }

    /// Runs out at `boottime_ns`.
    #[cfg(test)]
    pub(crate) fn expire(&self, boottime_ns: u64) {
        self.0.store(boottime_ns, Ordering::Relaxed);
    }

    /// What is left of the lease at `boottime_ns`.
    pub fn left_at(&self, boottime_ns: u64) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed).saturating_sub(boottime_ns))
    }
}

/// A lease: questions asked, and the deadline that their answers have earned.
#[derive(Debug)]
pub struct Lease {
    deadline: Deadline,
    next_nonce: u64,
    asked: Vec<(u64, u64)>,
}

impl Lease {
    /// A lease granted at `boottime_ns`.
    pub fn grant(boottime_ns: u64) -> Self {
        let deadline = boottime_ns.saturating_add(duration_ns(LEASE));
        let deadline = Deadline(Arc::new(AtomicU64::new(deadline)));
        Self { deadline, next_nonce: 1, asked: Vec::with_capacity(ASKED_MAX) }
    }

    /// The deadline.
    pub fn deadline(&self) -> &Deadline {
        &self.deadline
    }

    /// Asks at `boottime_ns`; gives the question's number.
    pub fn ask(&mut self, boottime_ns: u64) -> u64 {
        let nonce = self.next_nonce;
        self.next_nonce += 1;
        if self.asked.len() == ASKED_MAX {
            self.asked.remove(0);
        }
        self.asked.push((nonce, boottime_ns));
        nonce
    }

    /// The question `nonce` was answered. An unknown or outdated number changes nothing, and a
    /// lease that has run out at `boottime_ns` stays so.
    pub fn answered(&mut self, nonce: u64, boottime_ns: u64) {
        if !self.deadline.holds_at(boottime_ns) {
            return;
        }
        let Some(place) = self.asked.iter().position(|&(asked, _)| asked == nonce) else {
            return;
        };
        if let Some((_, asked_at)) = self.asked.drain(..=place).next_back() {
            let deadline = asked_at.saturating_add(duration_ns(LEASE));
            self.deadline.0.fetch_max(deadline, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: u64 = 1_000_000_000;

    proptest! {
        /// Whatever answers come, whenever they come: the deadline is never later than a lease
        /// after a question that was asked and answered, and never comes back once passed.
        #[test]
        fn only_answers_to_real_questions_count(
            steps in prop::collection::vec((0u64..3 * S, prop::option::of(0u64..40)), 1..80)
        ) {
            let mut lease = Lease::grant(0);
            let (mut now, mut asked, mut earned, mut dead) = (0, vec![], 0, false);
            for (wait, answer) in steps {
                now += wait;
                dead |= !lease.deadline().holds_at(now);
                match answer {
                    None => asked.push((lease.ask(now), now)),
                    Some(nonce) => {
                        if let Some(&(_, at)) = asked.iter().find(|(n, _)| *n == nonce) {
                            earned = earned.max(at);
                        }
                        lease.answered(nonce, now);
                    }
                }
                prop_assert!(!lease.deadline().holds_at(earned + duration_ns(LEASE)));
                if dead {
                    prop_assert!(!lease.deadline().holds_at(now));
                }
            }
        }
    }

    #[test]
    fn prompt_answers_keep_a_lease_for_ever_and_silence_ends_it() {
        let mut lease = Lease::grant(0);
        for second in 1..1000 {
            let nonce = lease.ask(second * S);
            lease.answered(nonce, second * S + S / 100);
            assert!(lease.deadline().holds_at(second * S + 4 * S));
        }
        let end = 999 * S + 5 * S;
        assert!(!lease.deadline().holds_at(end));
        assert!(!lease.deadline().cut_at(end) && lease.deadline().cut_at(end + S));
    }
}
