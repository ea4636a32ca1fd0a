//! The timing of a simulated server as a value: requests arrive and leave, slots are granted first
//! come, first served, and every token gets its instant. It never waits and reads no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use common::seed::Generator;
use common::time::{Tick, duration_ns};

use super::profile::{Fault, Jitter, Profile};

/// A server's slots and the line before them.
#[derive(Debug)]
pub struct Model {
    profile: Profile,
    serving: BTreeSet<Sequence>,
    /// Who waits, with the tokens asked for. Sequence numbers rise, so the first is the oldest.
    waiting: BTreeMap<Sequence, u32>,
}

/// The number of a request in the order of arrival, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

/// What becomes of a request that arrives.
#[derive(Clone, Debug)]
pub enum Admission {
    /// It is turned away and holds nothing.
    Refused(Refusal),
    /// It has a slot.
    Granted(Plan),
    /// It waits for a slot.
    Waiting,
}

/// The ways to turn a request away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// With [`Fault::Error`].
    Error,
    /// With [`Fault::Busy`].
    Busy,
    /// With [`Fault::RateLimit`].
    RateLimit,
}

/// All that is decided about a request that has a slot.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The request.
    pub sequence: Sequence,
    /// When it got its slot.
    pub granted: Tick,
    /// Tokens that will be written.
    pub tokens: u32,
    /// What happens after the last of them.
    pub finish: Finish,
    /// Whether usage is stated where it was asked for.
    pub usage: bool,
    /// Whether the body goes out byte by byte.
    pub drip: bool,
    /// When the tokens are due.
    pub schedule: Schedule,
}

/// What happens after the last token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The reply ends as it should, with all tokens.
    Whole,
    /// The reply ends as if by itself, with fewer tokens than asked for.
    Early(Fault),
    /// Nothing, until the client leaves.
    Stall,
    /// The connection is closed.
    Truncate,
    /// The connection is reset.
    Reset,
    /// An error object.
    Error,
}

/// The instants at which one request's tokens are due.
#[derive(Clone, Debug)]
pub struct Schedule {
    generator: Generator,
    jitter: Jitter,
    slowdown: u32,
    itl_ns: u64,
    /// The delay of the first token, until it has been drawn.
    ttft_ns: Option<u64>,
    at: Tick,
}

impl Model {
    /// An idle server.
    pub fn new(profile: Profile) -> Self {
        Self { profile, serving: BTreeSet::new(), waiting: BTreeMap::new() }
    }

    /// A request for `tokens` tokens arrives. Unless it is refused, it must [`leave`](Self::leave).
    pub fn arrive(&mut self, sequence: Sequence, tokens: u32, now: Tick) -> Admission {
        let (fault, generator) = self.draw(sequence);
        if let Some(refusal) = fault.and_then(Refusal::of) {
            return Admission::Refused(refusal);
        }
        if self.has_room() {
            self.serving.insert(sequence);
            Admission::Granted(self.plan(sequence, tokens, fault, generator, now))
        } else {
            self.waiting.insert(sequence, tokens);
            Admission::Waiting
        }
    }

    /// A request ends, served or not. If that frees a slot, the oldest one that waits gets it.
    pub fn leave(&mut self, sequence: Sequence, now: Tick) -> Option<Plan> {
        self.waiting.remove(&sequence);
        if !self.serving.remove(&sequence) || !self.has_room() {
            return None;
        }
        let (next, tokens) = self.waiting.pop_first()?;
        self.serving.insert(next);
        let (fault, generator) = self.draw(next);
        Some(self.plan(next, tokens, fault, generator, now))
    }

    /// Requests that hold a slot.
    pub fn active(&self) -> u32 {
        u32::try_from(self.serving.len()).unwrap_or(u32::MAX)
    }

    /// Requests that wait for one.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn has_room(&self) -> bool {
        self.profile.slots == 0 || self.active() < self.profile.slots
    }

    /// A request's fault and the generator of its delays: functions of the seed and the sequence
    /// number alone, so it does not matter when they are drawn.
    fn draw(&self, sequence: Sequence) -> (Option<Fault>, Generator) {
        let seed = Generator::new(self.profile.seed).next_u64();
        let own = Generator::new(sequence.0).next_u64();
        let mut generator = Generator::new(seed ^ own);
        let fault = self.profile.faults.pick(generator.unit());
        (fault, generator)
    }

    fn plan(
        &self,
        sequence: Sequence,
        asked: u32,
        fault: Option<Fault>,
        generator: Generator,
        now: Tick,
    ) -> Plan {
        let half = asked / 2;
        let (tokens, finish) = match fault {
            Some(Fault::Stall) => (half, Finish::Stall),
            Some(Fault::Truncate) => (half, Finish::Truncate),
            Some(Fault::Reset) => (half, Finish::Reset),
            Some(Fault::ErrorInStream) => (half, Finish::Error),
            Some(Fault::Empty) => (0, Finish::Early(Fault::Empty)),
            Some(Fault::Short) => (half.max(1), Finish::Early(Fault::Short)),
            Some(Fault::Error | Fault::Busy | Fault::RateLimit | Fault::Drip | Fault::NoUsage)
            | None => (asked, Finish::Whole),
        };
        Plan {
            sequence,
            granted: now,
            tokens,
            finish,
            usage: fault != Some(Fault::NoUsage),
            drip: fault == Some(Fault::Drip),
            schedule: Schedule {
                generator,
                jitter: self.profile.jitter,
                slowdown: self.profile.slowdown,
                itl_ns: duration_ns(self.profile.itl),
                ttft_ns: Some(duration_ns(self.profile.ttft)),
                at: now,
            },
        }
    }
}

impl Refusal {
    fn of(fault: Fault) -> Option<Self> {
        match fault {
            Fault::Error => Some(Self::Error),
            Fault::Busy => Some(Self::Busy),
            Fault::RateLimit => Some(Self::RateLimit),
            Fault::Stall
            | Fault::Truncate
            | Fault::ErrorInStream
            | Fault::Empty
            | Fault::Drip
            | Fault::Reset
            | Fault::NoUsage
            | Fault::Short => None,
        }
    }

    /// The fault that it is.
    pub fn fault(self) -> Fault {
        match self {
            Self::Error => Fault::Error,
            Self::Busy => Fault::Busy,
            Self::RateLimit => Fault::RateLimit,
        }
    }
}

impl Schedule {
    /// The instant of the next token, when `active` requests hold a slot.
    ///
    /// It follows from the instant before, not from when that token was really written, so a late
    /// write delays no later one. Instants rise strictly.
    pub fn next(&mut self, active: u32) -> Tick {
        let (median_ns, at_least) = match self.ttft_ns.take() {
            Some(ttft_ns) => (ttft_ns as f64, 0),
            None => (self.itl_ns as f64 * self.stretch(active), 1),
        };
        let delay_ns = (median_ns * self.factor()).round() as u64;
        self.at = self.at + Duration::from_nanos(delay_ns.max(at_least));
        self.at
    }

    fn stretch(&self, active: u32) -> f64 {
        if self.slowdown == 0 { 1.0 } else { 1.0 + f64::from(active) / f64::from(self.slowdown) }
    }

    fn factor(&mut self) -> f64 {
        let sigma = self.jitter.sigma();
        if sigma == 0.0 { 1.0 } else { (sigma * self.generator.normal()).exp() }
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;
    use crate::sim::profile::Faults;

    fn instants(schedule: &mut Schedule, count: usize, active: u32) -> Vec<Tick> {
        (0..count).map(|_| schedule.next(active)).collect()
    }

    fn granted(profile: Profile, sequence: u64) -> Plan {
        let admission = Model::new(profile).arrive(Sequence(sequence), 10, Tick(5));
        let Admission::Granted(plan) = admission else { panic!("{admission:?}") };
        plan
    }

    proptest! {
        /// Against a list of who is served and a list of who waits.
        #[test]
        fn slots_are_never_exceeded_and_go_to_the_oldest(
            slots in 0u32..5, steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..200)
        ) {
            let mut model = Model::new(Profile { slots, ..Profile::default() });
            let (mut serving, mut waiting) = (Vec::new(), VecDeque::new());
            for (turn, (arrives, who)) in steps.into_iter().enumerate() {
                let now = Tick(turn as u64);
                if arrives {
                    let sequence = Sequence(turn as u64);
                    let room = slots == 0 || serving.len() < slots as usize;
                    match model.arrive(sequence, 3, now) {
                        Admission::Granted(plan) => {
                            prop_assert!(room);
                            prop_assert_eq!(plan.sequence, sequence);
                            serving.push(sequence);
                        }
                        Admission::Waiting => {
                            prop_assert!(!room);
                            waiting.push_back(sequence);
                        }
                        Admission::Refused(refusal) => prop_assert!(false, "{:?}", refusal),
                    }
                } else if !serving.is_empty() || !waiting.is_empty() {
                    let place = who.index(serving.len() + waiting.len());
                    let (sequence, frees) = if place < serving.len() {
                        (serving.swap_remove(place), true)
                    } else {
                        (waiting.remove(place - serving.len()).unwrap(), false)
                    };
                    let next = model.leave(sequence, now).map(|plan| plan.sequence);
                    let expected = if frees { waiting.pop_front() } else { None };
                    prop_assert_eq!(next, expected);
                    serving.extend(next);
                }
                prop_assert_eq!(model.active() as usize, serving.len());
                prop_assert_eq!(model.waiting(), waiting.len());
                prop_assert!(slots == 0 || model.active() <= slots);
            }
        }

        #[test]
        fn schedules_rise_strictly_and_repeat(
            seed: u64, sequence: u64, ttft_ms in 0u64..2000, itl_ms in 0u64..200,
            sigma in 0u8..=30, slowdown in 0u32..100, active in 1u32..2000
        ) {
            let profile = Profile {
                seed,
                ttft: Duration::from_millis(ttft_ms),
                itl: Duration::from_millis(itl_ms),
                jitter: format!("{}", f64::from(sigma) / 10.0).parse().unwrap(),
                slowdown,
                ..Profile::default()
            };
            let first = instants(&mut granted(profile.clone(), sequence).schedule, 50, active);
            let again = instants(&mut granted(profile, sequence).schedule, 50, active);
            prop_assert!(first.is_sorted_by(|a, b| a < b));
            prop_assert!(first[0] >= Tick(5));
            prop_assert_eq!(first, again);
        }

        #[test]
        fn waiting_changes_the_start_and_nothing_else(seed: u64, wait_ms in 0u64..10_000) {
            let profile = Profile {
                seed,
                slots: 1,
                jitter: "0.5".parse().unwrap(),
                ..Profile::default()
            };
            let mut at_once = granted(profile.clone(), 1).schedule;
            let mut model = Model::new(profile);
            model.arrive(Sequence(0), 1, Tick(5));
            prop_assert!(matches!(model.arrive(Sequence(1), 10, Tick(5)), Admission::Waiting));
            let wait = Duration::from_millis(wait_ms);
            let mut later = model.leave(Sequence(0), Tick(5) + wait).unwrap().schedule;
            for _ in 0..20 {
                prop_assert_eq!(later.next(1), at_once.next(1) + wait);
            }
        }
    }

    #[test]
    fn without_jitter_every_delay_is_its_median_times_the_load() {
        let profile = Profile {
            ttft: Duration::from_millis(100),
            itl: Duration::from_millis(10),
            slowdown: 50,
            ..Profile::default()
        };
        let mut schedule = granted(profile, 0).schedule;
        let ms = |ms: u64| Tick(5) + Duration::from_millis(ms);
        assert_eq!(schedule.next(100), ms(100));
        assert_eq!(schedule.next(50), ms(120));
        assert_eq!(schedule.next(100), ms(150));
    }

    #[test]
    fn jitter_keeps_the_median() {
        let profile = Profile { jitter: "0.4".parse().unwrap(), ..Profile::default() };
        let mut schedule = granted(profile, 3).schedule;
        let mut at = schedule.next(1);
        let below = (0..2000)
            .filter(|_| {
                let next = schedule.next(1);
                let gap = next.ns_since(at);
                at = next;
                gap < 20_000_000
            })
            .count();
        assert!((900..1100).contains(&below), "{below}");
    }

    #[test]
    fn faults_come_at_their_rates_and_refusals_take_no_slot() {
        let rates = ["error=0.25", "short=0.25"].map(|text| text.parse().unwrap());
        let mut model = Model::new(Profile {
            faults: Faults::new(rates.to_vec()).unwrap(),
            ..Profile::default()
        });
        let (mut refused, mut short) = (0, 0);
        for sequence in 0..2000 {
            match model.arrive(Sequence(sequence), 9, Tick(0)) {
                Admission::Refused(Refusal::Error) => refused += 1,
                Admission::Granted(plan) if plan.finish == Finish::Early(Fault::Short) => {
                    assert_eq!(plan.tokens, 4);
                    short += 1;
                }
                Admission::Granted(plan) => assert_eq!(plan.tokens, 9),
                admission @ (Admission::Refused(_) | Admission::Waiting) => {
                    panic!("{admission:?}")
                }
            }
        }
        assert!((430..570).contains(&refused), "{refused}");
        assert!((430..570).contains(&short), "{short}");
        assert_eq!(model.active(), 2000 - refused);
    }
}
