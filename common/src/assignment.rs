//! One agent's share of one level, and the arithmetic of splitting.

use crate::arrivals::Arrivals;
use crate::digest::{Digest, DigestWriter};
use crate::ids::{LevelId, RunId, UserId};
use crate::phase::Phase;
use crate::seed::Seed;
use crate::target::Target;
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
    /// When users intend their requests.
    pub arrivals: Arrivals,
    /// What requests ask for.
    pub workload: Workload,
    /// The server under test.
    pub target: Target,
}

/// The load of a whole level that ends by a count of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Load {
    /// Users in flight asked for, over the fleet.
    pub users: u32,
    /// Requests, over the fleet.
    pub requests: u64,
}

impl Load {
    /// How many requests a user makes: the requests are dealt out in turn, so user `u` makes
    /// `requests / users`, and one more if `u < requests % users`.
    ///
    /// It depends on nothing but the load and the user, so any split of the users over agents
    /// makes the same requests.
    pub fn quota(self, user: UserId) -> u64 {
        let users = u64::from(self.users).max(1);
        let user = u64::from(user.0);
        if user >= users {
            return 0;
        }
        self.requests / users + u64::from(user < self.requests % users)
    }

    /// The most requests that can ever be in flight: a user without a request is no load.
    pub fn in_flight_max(self) -> u64 {
        self.requests.min(self.users.into())
    }

    /// Full turns of the users, at least one: `requests / in_flight_max`, rounded up.
    pub fn waves(self) -> u64 {
        self.requests.div_ceil(self.in_flight_max().max(1)).max(1)
    }

    /// The part of the users that the last turn keeps busy, 0 to 1.
    pub fn last_wave_fill(self) -> f64 {
        let users = u64::from(self.users).max(1);
        let rest = self.requests % users;
        if rest == 0 && self.requests > 0 { 1.0 } else { rest as f64 / users as f64 }
    }

    /// The share of agent number `index` of `agents`: users `index`, `index + agents`, … .
    /// The shares of all agents are disjoint and together hold every user.
    pub fn share(self, index: u32, agents: u32) -> Share {
        let agents = agents.max(1);
        let count = if index < self.users { (self.users - index - 1) / agents + 1 } else { 0 };
        Share { first: UserId(index), step: agents, count }
    }
}

/// A set of users: `first`, `first + step`, …, `count` of them.
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

    /// The requests that these users make under `load`.
    pub fn requests(self, load: Load) -> u64 {
        self.users().map(|user| load.quota(user)).sum()
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
            .number(self.load.users.into())
            .number(self.load.requests);
        match self.arrivals {
            Arrivals::Closed => digest.text("closed"),
        };
        self.workload.feed(&mut digest);
        self.target.feed(&mut digest);
        digest.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_split_deals_out_every_user_and_every_request_once(
            users in 1u32..3000, requests in 0u64..20_000, agents in 1u32..40
        ) {
            let load = Load { users, requests };
            let shares: Vec<Share> = (0..agents).map(|i| load.share(i, agents)).collect();
            let mut seen = BTreeSet::new();
            for share in &shares {
                for user in share.users() {
                    prop_assert!(seen.insert(user));
                }
            }
            prop_assert_eq!(seen.len() as u32, users);
            prop_assert_eq!(seen.last().map(|u| u.0), Some(users - 1));
            prop_assert_eq!(shares.iter().map(|s| s.requests(load)).sum::<u64>(), requests);
            let counts = shares.iter().map(|s| s.count);
            prop_assert!(counts.clone().max().unwrap() - counts.min().unwrap() <= 1);
        }
    }
}
