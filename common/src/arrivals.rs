//! When requests are intended: closed loop, or open loop at a rate.
//!
//! An open loop is one sequence of arrivals for the whole fleet. Every agent walks all of it and
//! keeps the arrivals that it owns, so the shares of any split sum to the same sequence: a constant
//! rate stays constant and a Poisson process stays one.

use std::time::Duration;

use crate::digest::DigestWriter;
use crate::phase::Phase;
use crate::seed::{Generator, Seed};
use crate::time::{Tick, duration_ns};

/// The law by which a level's requests are intended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arrivals {
    /// Closed loop: a user intends its next request at the instant its last one ended.
    Closed {
        /// The users' first requests are spread evenly over this time; zero: all at once.
        ramp: Duration,
    },
    /// Open loop: requests are intended at a rate, whatever becomes of them.
    Open(Schedule),
}

/// The arrivals of an open loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Schedule {
    /// How the gaps between arrivals are distributed.
    pub law: Law,
    /// How many arrive.
    pub rate: Rate,
}

/// The distribution of the gaps between arrivals, of mean 1 over the rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Law {
    /// All the same.
    Constant,
    /// Exponential: a Poisson process.
    Poisson,
    /// Gamma; a shape below 1 makes bursts, above 1 evens out. vLLM calls the shape *burstiness*.
    Gamma {
        /// The shape in thousandths; at least 1.
        shape_milli: u32,
    },
}

/// A rate in millionths of a request per second; at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PerSecond(pub u64);

/// The rate of arrivals over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rate {
    /// The same throughout.
    Flat(PerSecond),
    /// From one rate to another, at which it stays.
    Ramp {
        /// The rate when the level fires.
        from: PerSecond,
        /// The rate from `over` on.
        to: PerSecond,
        /// How long the change takes; more than zero.
        over: Duration,
        /// How it changes.
        curve: Curve,
    },
}

/// How a rate changes over a ramp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Curve {
    /// By the same amount each second.
    Linear,
    /// By the same factor each second.
    Exponential,
    /// In this many equally long steps, the first at the first rate and the last at the last; at
    /// least 2.
    Steps(u32),
}

impl PerSecond {
    /// The rate in requests per second.
    pub fn value(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl Rate {
    /// The rate at the end.
    pub fn settled(self) -> PerSecond {
        match self {
            Self::Flat(rate) | Self::Ramp { to: rate, .. } => rate,
        }
    }

    /// How long it changes.
    pub fn ramp(self) -> Duration {
        match self {
            Self::Flat(_) => Duration::ZERO,
            Self::Ramp { over, .. } => over,
        }
    }

    /// The instant, in seconds since the level fired, by which `arrivals` are expected.
    fn seconds_until(self, arrivals: f64) -> f64 {
        let Self::Ramp { from, to, over, curve } = self else {
            return arrivals / self.settled().value();
        };
        let (from, to, over) = (from.value(), to.value(), over.as_secs_f64());
        let after = |ramped: f64| over + (arrivals - ramped) / to;
        match curve {
            Curve::Linear => {
                let ramped = (from + to) / 2.0 * over;
                if arrivals >= ramped {
                    return after(ramped);
                }
                // from t + (to - from) t^2 / (2 over) = arrivals, in the form that stays exact
                // when the two rates are close.
                let slope = (to - from) / over;
                2.0 * arrivals / (from + (from * from + 2.0 * slope * arrivals).max(0.0).sqrt())
            }
            Curve::Exponential => {
                let growth = (to / from).ln() / over;
                if growth == 0.0 {
                    return arrivals / to;
                }
                let ramped = (to - from) / growth;
                if arrivals >= ramped {
                    return after(ramped);
                }
                (arrivals * growth / from).ln_1p() / growth
            }
            Curve::Steps(steps) => {
                let length = over / f64::from(steps.max(1));
                let mut ramped = 0.0;
                for step in 0..steps {
                    let part = f64::from(step) / f64::from(steps.saturating_sub(1).max(1));
                    let rate = from + (to - from) * part;
                    if arrivals < ramped + rate * length {
                        return f64::from(step) * length + (arrivals - ramped) / rate;
                    }
                    ramped += rate * length;
                }
                after(ramped)
            }
        }
    }
}

impl Arrivals {
    /// The intended instant of the next request of user `user` of `users` in a closed loop.
    ///
    /// `fire` is the instant at which the level begins, `free` the one at which the user's previous
    /// request ended (`None` before its first).
    pub fn intended(
        ramp: Duration,
        (user, users): (u32, u32),
        fire: Tick,
        free: Option<Tick>,
    ) -> Tick {
        match free {
            Some(free) => free.max(fire),
            None => {
                let ns = u128::from(duration_ns(ramp)) * u128::from(user);
                Tick(fire.0.saturating_add((ns / u128::from(users.max(1))) as u64))
            }
        }
    }

    /// How long the load rises by itself.
    pub fn ramp(self) -> Duration {
        match self {
            Self::Closed { ramp } => ramp,
            Self::Open(schedule) => schedule.rate.ramp(),
        }
    }

    pub(crate) fn feed(&self, digest: &mut DigestWriter) {
        match self {
            Self::Closed { ramp } => digest.text("closed").number(duration_ns(*ramp)),
            Self::Open(Schedule { law, rate }) => {
                match law {
                    Law::Constant => digest.text("constant"),
                    Law::Poisson => digest.text("poisson"),
                    Law::Gamma { shape_milli } => {
                        digest.text("gamma").number((*shape_milli).into())
                    }
                };
                match rate {
                    Rate::Flat(rate) => digest.text("flat").number(rate.0),
                    Rate::Ramp { from, to, over, curve } => {
                        digest.text("ramp").number(from.0).number(to.0).number(duration_ns(*over));
                        match curve {
                            Curve::Linear => digest.text("linear"),
                            Curve::Exponential => digest.text("exponential"),
                            Curve::Steps(steps) => digest.text("steps").number((*steps).into()),
                        }
                    }
                }
            }
        };
    }
}

impl Schedule {
    /// All arrivals of a level, from the first.
    pub fn walk(self, seed: Seed, phase: Phase, place: u32) -> Walk {
        let generator = seed.arrivals(phase, place);
        let seen = match self.law {
            Law::Constant => Some(0.0),
            Law::Poisson | Law::Gamma { .. } => None,
        };
        Walk { schedule: self, generator, seen }
    }
}

/// The arrivals of a level in order, without end: nanoseconds since the level fired.
#[derive(Clone, Debug)]
pub struct Walk {
    schedule: Schedule,
    generator: Generator,
    /// Place of the next arrival on a line where one is expected per unit; `None` while its gap has
    /// not been drawn.
    seen: Option<f64>,
}

impl Iterator for Walk {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let first = match self.seen {
            Some(seen) => seen,
            None => self.gap(),
        };
        let next = first + self.gap();
        self.seen = Some(next);
        Some((self.schedule.rate.seconds_until(first) * 1e9) as u64)
    }
}

impl Walk {
    fn gap(&mut self) -> f64 {
        match self.schedule.law {
            Law::Constant => 1.0,
            Law::Poisson => self.generator.exponential(),
            Law::Gamma { shape_milli } => {
                let shape = f64::from(shape_milli.max(1)) / 1000.0;
                self.generator.gamma(shape) / shape
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn schedule() -> impl Strategy<Value = Schedule> {
        let law = prop_oneof![
            Just(Law::Constant),
            Just(Law::Poisson),
            (100u32..5000).prop_map(|shape_milli| Law::Gamma { shape_milli }),
        ];
        let per_second = || (100_000u64..500_000_000).prop_map(PerSecond);
        let curve = prop_oneof![
            Just(Curve::Linear),
            Just(Curve::Exponential),
            (2u32..20).prop_map(Curve::Steps)
        ];
        let ramp =
            (per_second(), per_second(), 1u64..60, curve).prop_map(|(from, to, s, curve)| {
                Rate::Ramp { from, to, over: Duration::from_secs(s), curve }
            });
        let rate = prop_oneof![per_second().prop_map(Rate::Flat), ramp];
        (law, rate).prop_map(|(law, rate)| Schedule { law, rate })
    }

    fn walk(schedule: Schedule, seed: u64) -> Walk {
        schedule.walk(Seed(seed), Phase::Scaling, 1)
    }

    proptest! {
        #[test]
        fn arrivals_never_go_back_and_are_the_same_for_everyone(
            schedule in schedule(), seed in 0u64..1000
        ) {
            let all: Vec<u64> = walk(schedule, seed).take(300).collect();
            prop_assert!(all.windows(2).all(|pair| pair[0] <= pair[1]), "{all:?}");
            prop_assert_eq!(all, walk(schedule, seed).take(300).collect::<Vec<_>>());
        }

        #[test]
        fn a_rate_is_the_inverse_of_what_it_sums_to(schedule in schedule(), part in 0.0..3.0f64) {
            // The expected arrivals up to an instant, by small steps over the rate itself.
            let rate = schedule.rate;
            let until = (rate.ramp().as_secs_f64() * part).clamp(0.05, 60.0);
            let at = |t: f64| match rate {
                Rate::Flat(rate) => rate.value(),
                Rate::Ramp { to, over, .. } if t >= over.as_secs_f64() => to.value(),
                Rate::Ramp { from, to, over, curve } => {
                    let (a, b, u) = (from.value(), to.value(), t / over.as_secs_f64());
                    match curve {
                        Curve::Linear => a + (b - a) * u,
                        Curve::Exponential => a * (b / a).powf(u),
                        Curve::Steps(n) => {
                            a + (b - a) * (u * f64::from(n)).floor() / f64::from(n - 1)
                        }
                    }
                }
            };
            let n = 20_000;
            let width = until / f64::from(n);
            let sum: f64 = (0..n).map(|i| at((f64::from(i) + 0.5) * width) * width).sum();
            let got = rate.seconds_until(sum);
            // A step of the sum that lies across a step of the rate is off by up to so many arrivals.
            let off = width * at(0.0).max(at(until)) / at(until);
            prop_assert!((got - until).abs() < 2e-3 * until + off, "{got} for {until}");
        }
    }

    #[test]
    fn a_constant_rate_is_even_from_the_first_on() {
        let schedule = Schedule { law: Law::Constant, rate: Rate::Flat(PerSecond(4_000_000)) };
        let all: Vec<u64> = walk(schedule, 1).take(4).collect();
        assert_eq!(all, [0, 250_000_000, 500_000_000, 750_000_000]);
    }

    #[test]
    fn gaps_have_the_mean_and_the_spread_of_their_law() {
        for (law, cov) in [
            (Law::Poisson, 1.0),
            (Law::Gamma { shape_milli: 250 }, 2.0),
            (Law::Gamma { shape_milli: 4000 }, 0.5),
            (Law::Gamma { shape_milli: 1000 }, 1.0),
        ] {
            let schedule = Schedule { law, rate: Rate::Flat(PerSecond(10_000_000)) };
            let all: Vec<u64> = walk(schedule, 3).take(40_001).collect();
            let gaps: Vec<f64> = all.windows(2).map(|w| (w[1] - w[0]) as f64 / 1e8).collect();
            let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
            let var = gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
            assert!((mean - 1.0).abs() < 0.03, "{law:?}: mean {mean}");
            assert!((var.sqrt() / mean / cov - 1.0).abs() < 0.05, "{law:?}: {}", var.sqrt() / mean);
        }
    }

    #[test]
    fn a_closed_loop_sends_when_its_user_is_free_and_spreads_its_beginning() {
        let intended =
            |user, free| Arrivals::intended(Duration::from_nanos(100), (user, 4), Tick(10), free);
        assert_eq!(intended(0, None), Tick(10));
        assert_eq!(intended(3, None), Tick(85));
        assert_eq!(intended(3, Some(Tick(4))), Tick(10));
        assert_eq!(intended(3, Some(Tick(14))), Tick(14));
    }
}
