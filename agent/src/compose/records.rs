//! Requests that carry what users brought: a turn of a conversation of a data set, as it was
//! recorded. The bytes of a request are slices of the data set; nothing is copied.

use std::sync::Arc;

use common::arrivals::Arrivals;
use common::assignment::Assignment;
use common::ids::UserId;
use common::records::{Carried, Records};
use common::seed::Generator;
use common::target::Endpoint;

/// A data set, and the order in which a level takes it.
pub(super) struct Source {
    records: Arc<Records>,
    /// The conversations of a closed loop, and the turns of an open one, if not as they are
    /// recorded.
    order: Option<Vec<u32>>,
}

/// Which turn of which conversation a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    /// The place of the conversation in the sequence that all users of the level share.
    pub(crate) conversation: u64,
    /// The turn, from 0.
    pub(crate) turn: u32,
}

/// Where one user of a closed loop is. Conversations are dealt out in turn, as requests are, so
/// which one follows depends on the user and on how many it has had, and not on the agent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    user: UserId,
    users: u32,
    had: u64,
    turn: u32,
}

impl Course {
    /// Of a user of so many that has not begun.
    pub(crate) fn new(user: UserId, users: u32) -> Self {
        Self { user, users, had: 0, turn: 0 }
    }

    /// What the next request is.
    pub(crate) fn at(&self) -> At {
        let before = self.had.saturating_mul(self.users.into());
        At { conversation: before.saturating_add(self.user.0.into()), turn: self.turn }
    }

    /// Goes on in the conversation, or to the next one: without an answer, the rest of a
    /// conversation has no history.
    pub(crate) fn step(&mut self, goes_on: bool) {
        if goes_on {
            self.turn += 1;
        } else {
            self.had += 1;
            self.turn = 0;
        }
    }
}

impl Source {
    /// The records as the level of `assignment` takes them.
    pub(super) fn new(records: Arc<Records>, assignment: &Assignment) -> Self {
        let shuffled = assignment.workload.data.as_ref().is_some_and(|data| data.shuffled);
        let order = shuffled.then(|| {
            let Assignment { seed, phase, place, .. } = *assignment;
            let mut generator = seed.request(phase, place, UserId(u32::MAX - 2), u64::MAX);
            let conversations = shuffle(records.conversations(), &mut generator);
            match assignment.load.arrivals {
                Arrivals::Closed { .. } => conversations,
                Arrivals::Open(_) => {
                    conversations.into_iter().flat_map(|of| records.turns_of(of)).collect()
                }
            }
        });
        Self { records, order }
    }

    /// What a request of a closed loop carries.
    pub(super) fn at(&self, at: At) -> Option<Carried<'_>> {
        let place = remainder(at.conversation, self.records.conversations())?;
        self.records.turn(self.ordered(place)?, at.turn)
    }

    /// What an arrival of an open loop carries: the turns of all conversations follow each other.
    pub(super) fn arrival(&self, number: u64) -> Option<Carried<'_>> {
        let place = remainder(number, self.records.turns())?;
        let (conversation, turn) = self.records.place(self.ordered(place)?)?;
        self.records.turn(conversation, turn)
    }

    fn ordered(&self, place: u32) -> Option<u32> {
        match &self.order {
            None => Some(place),
            Some(order) => order.get(place as usize).copied(),
        }
    }
}

/// `number` modulo `count`; `None` of nothing.
fn remainder(number: u64, count: u32) -> Option<u32> {
    number.checked_rem(count.into()).and_then(|place| u32::try_from(place).ok())
}

/// The numbers below `count` in random order (Fisher and Yates).
fn shuffle(count: u32, generator: &mut Generator) -> Vec<u32> {
    let mut order: Vec<u32> = (0..count).collect();
    for last in (1..order.len()).rev() {
        let other = (generator.unit() * (last + 1) as f64) as usize;
        order.swap(last, other.min(last));
    }
    order
}

/// The field that a turn stands in, and what stands around it there.
pub(super) fn field(endpoint: Endpoint) -> (&'static str, &'static str, &'static str) {
    match endpoint {
        Endpoint::Chat | Endpoint::Messages => ("messages", "[", "]"),
        Endpoint::Responses => ("input", "[", "]"),
        Endpoint::Completions => ("prompt", "", ""),
        Endpoint::Embeddings => ("input", "", ""),
    }
}

#[cfg(test)]
mod tests;
