//! One virtual user of a closed loop: it intends its next request when its last one has ended, or
//! when it has thought about the answer.

use std::rc::Rc;

use common::arrivals::Arrivals;
use common::ids::UserId;
use common::time::Tick;

use crate::load::caller::Caller;
use crate::load::request::Open;
use crate::load::shared::Shared;

/// One virtual user of a level.
pub(super) struct User {
    id: UserId,
    shared: Rc<Shared>,
    caller: Caller,
}

impl User {
    pub(super) fn new(id: UserId, shared: Rc<Shared>) -> Self {
        let caller = Caller::of_user(Rc::clone(&shared), id);
        Self { id, shared, caller }
    }

    /// Connects, waits for the instant of the first request, and makes this user's requests.
    pub(super) async fn run(mut self) {
        let quota = self.shared.plan.assignment.load.quota(self.id);
        if quota == 0 {
            return;
        }
        self.caller.prepare().await;
        let shared = Rc::clone(&self.shared);
        shared.wait(self.intended(None)).await;
        let mut free = None;
        for number in 0..quota {
            if !shared.may_start() {
                return;
            }
            let open = Open::start(&shared, self.id, number, self.intended(free));
            let ended = self.caller.request(open).await;
            let think = shared.plan.composer.think(self.id, number);
            free = Some(ended + think);
            // The last answer is not thought about: the level is over.
            if !think.is_zero() && number + 1 < quota {
                shared.wait(ended + think).await;
            }
        }
    }

    /// When the next request is intended, given when the last one ended.
    fn intended(&self, free: Option<Tick>) -> Tick {
        let load = self.shared.plan.assignment.load;
        let fire = self.shared.recorder.borrow().fire();
        Arrivals::intended(load.arrivals.ramp(), (self.id.0, load.users), fire, free)
    }
}
