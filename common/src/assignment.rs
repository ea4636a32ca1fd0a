//! One agent's share of one level, and the arithmetic of splitting.

use std::time::Duration;

use crate::arrivals::Arrivals;
use crate::digest::{Digest, DigestWriter};
use crate::ids::{LevelId, RunId, UserId};
use crate::phase::Phase;
use crate::seed::Seed;
use crate::slo::Slo;
use crate::target::Target;
use crate::time::duration_ns;
use crate::workload::Workload;

/// What one agent is to do in one level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The run.
    pub run: RunId,
    /// The level.
    pub level: LevelId,
    /// Its phase.
    pub phase: Phase,
    /// The level's place within its phase, from 0; with `seed` it decides what requests contain.
    pub place: u32,
    /// The campaign's seed.
    pub seed: Seed,
    /// The users that are this agent's.
    pub share: Share,
    /// What the whole fleet is to do.
    pub load: Load,
    /// What a request must meet to be good.
    pub slo: Slo,
    /// What requests ask for.
    pub workload: Workload,
    /// The server under test; where `proof` is set, how the agent's own simulator is asked.
    pub target: Target,
    /// Set for a proof of the client: the agent loads a simulator of its own instead of the target.
    pub proof: Option<Pace>,
}

/// How the simulator of a proof answers, without jitter: what the agent must measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pace {
    /// From a request's arrival to its first token.
    pub ttft: Duration,
    /// From one token to the next.
    pub itl: Duration,
}

/// The load of a whole level, over the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Load {
    /// Closed loop: the users, each with one request in flight. Open loop: the most requests that
    /// may be in flight at once; an arrival beyond them waits, and its lateness is recorded.
    pub users: u32,
    /// When requests are intended.
    pub arrivals: Arrivals,
    /// When the level is over.
    pub end: End,
}

/// When a level is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// When this many requests have ended; the whole level is measured.
    Requests(u64),
    /// When the coordinator has measured a window.
    Window,
}

impl Load {
    /// A closed loop of users that all begin at once and make a number of requests.
    pub fn counted(users: u32, requests: u64) -> Self {
        let arrivals = Arrivals::Closed { ramp: Duration::ZERO };
        Self { users, arrivals, end: End::Requests(requests) }
    }

    /// The requests of the level; `None` if it ends otherwise.
    pub fn requests(self) -> Option<u64> {
        match self.end {
            End::Requests(requests) => Some(requests),
            End::Window => None,
        }
    }

    /// How many requests a user makes in closed loop: the requests are dealt out in turn, so user
    /// `u` makes `requests / users`, and one more if `u < requests % users`. `u64::MAX` if the
    /// level does not end by a count.
    ///
    /// It depends on nothing but the load and the user, so any split of the users over agents
    /// makes the same requests.
    pub fn quota(self, user: UserId) -> u64 {
        let users = u64::from(self.users).max(1);
        let user = u64::from(user.0);
        if user >= users {
            return 0;
        }
        match self.end {
            End::Requests(requests) => requests / users + u64::from(user < requests % users),
            End::Window => u64::MAX,
        }
    }

    /// The most requests that can ever be in flight: a user without a request is no load.
    pub fn in_flight_max(self) -> u64 {
        self.requests().unwrap_or(u64::MAX).min(self.users.into())
    }

    /// Full turns of the users, at least one: `requests / in_flight_max`, rounded up. `None` if
    /// the level does not end by a count.
    pub fn waves(self) -> Option<u64> {
        Some(self.requests()?.div_ceil(self.in_flight_max().max(1)).max(1))
    }

    /// The part of the users that the last turn keeps busy, 0 to 1; `None` if the level does not
    /// end by a count.
    pub fn last_wave_fill(self) -> Option<f64> {
        let (requests, users) = (self.requests()?, u64::from(self.users).max(1));
        let rest = requests % users;
        Some(if rest == 0 && requests > 0 { 1.0 } else { rest as f64 / users as f64 })
    }

    /// The share of agent number `index` of `agents`: users `index`, `index + agents`, … .
    /// The shares of all agents are disjoint and together hold every user.
    pub fn share(self, index: u32, agents: u32) -> Share {
        let agents = agents.max(1);
        let count = if index < self.users { (self.users - index - 1) / agents + 1 } else { 0 };
        Share { first: UserId(index), step: agents, count }
    }
}

/// A set of users: `first`, `first + step`, …, `count` of them. In open loop also the arrivals
/// `first`, `first + step`, …, without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Share {
    /// The lowest user.
    pub first: UserId,
    /// Distance between neighbours; at least 1.
    pub step: u32,
    /// How many users.
    pub count: u32,
}

impl Share {
    /// The users, in rising order. Numbers beyond `u32` are left out.
    pub fn users(self) -> impl Iterator<Item = UserId> {
        (0..self.count).filter_map(move |k| {
            k.checked_mul(self.step).and_then(|d| self.first.0.checked_add(d)).map(UserId)
        })
    }

    /// The requests that are made here under `load`; `None` if the level does not end by a count.
    pub fn requests(self, load: Load) -> Option<u64> {
        let requests = load.requests()?;
        Some(match load.arrivals {
            Arrivals::Closed { .. } => self.users().map(|user| load.quota(user)).sum(),
            Arrivals::Open(_) if self.count == 0 => 0,
            Arrivals::Open(_) => {
                requests.saturating_sub(self.first.0.into()).div_ceil(u64::from(self.step.max(1)))
            }
        })
    }

    /// Whether an arrival of an open loop is made here.
    pub fn owns(self, arrival: u64) -> bool {
        let first = u64::from(self.first.0);
        arrival >= first && (arrival - first).is_multiple_of(u64::from(self.step.max(1)))
    }
}

impl Assignment {
    /// A digest of every field. Coordinator and agent compute it alone; they must agree before a
    /// level fires.
    pub fn digest(&self) -> Digest {
        let mut digest = DigestWriter::default();
        digest
            .text("floodmark assignment 1")
            .text(&self.run.to_string())
            .number(self.level.ordinal.into())
            .number(self.level.attempt.into())
            .text(self.phase.name())
            .number(self.place.into())
            .number(self.seed.0)
            .number(self.share.first.0.into())
            .number(self.share.step.into())
            .number(self.share.count.into())
            .number(self.load.users.into());
        match self.load.end {
            End::Requests(requests) => digest.text("requests").number(requests),
            End::Window => digest.text("window"),
        };
        self.load.arrivals.feed(&mut digest);
        self.slo.feed(&mut digest);
        self.workload.feed(&mut digest);
        self.target.feed(&mut digest);
        match self.proof {
            None => digest.text("target"),
            Some(Pace { ttft, itl }) => {
                digest.text("proof").number(duration_ns(ttft)).number(duration_ns(itl))
            }
        };
        digest.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::arrivals::{Law, PerSecond, Rate, Schedule};

    proptest! {
        #[test]
        fn any_split_deals_out_every_user_and_every_request_once(
            users in 1u32..3000, requests in 0u64..20_000, agents in 1u32..40
        ) {
            let load = Load::counted(users, requests);
            let shares: Vec<Share> = (0..agents).map(|i| load.share(i, agents)).collect();
            let mut seen = BTreeSet::new();
            for share in &shares {
                for user in share.users() {
                    prop_assert!(seen.insert(user));
                }
            }
            prop_assert_eq!(seen.len() as u32, users);
            prop_assert_eq!(seen.last().map(|u| u.0), Some(users - 1));
            prop_assert_eq!(shares.iter().map(|s| s.requests(load).unwrap()).sum::<u64>(), requests);
            let counts = shares.iter().map(|s| s.count);
            prop_assert!(counts.clone().max().unwrap() - counts.min().unwrap() <= 1);
        }
    }

    proptest! {
        #[test]
        fn any_split_deals_out_every_arrival_once(
            requests in 0u64..5000, agents in 1u32..20, spare in 0u32..50
        ) {
            let schedule = Schedule { law: Law::Poisson, rate: Rate::Flat(PerSecond(1)) };
            let load = Load {
                users: agents + spare,
                arrivals: Arrivals::Open(schedule),
                end: End::Requests(requests),
            };
            let shares: Vec<Share> = (0..agents).map(|i| load.share(i, agents)).collect();
            let mut owned = vec![0u64; shares.len()];
            for arrival in 0..requests {
                let owners: Vec<usize> =
                    (0..shares.len()).filter(|&i| shares[i].owns(arrival)).collect();
                prop_assert_eq!(owners.len(), 1);
                owned[owners[0]] += 1;
            }
            for (share, owned) in shares.iter().zip(owned) {
                prop_assert_eq!(share.requests(load), Some(owned));
            }
        }
    }
}
