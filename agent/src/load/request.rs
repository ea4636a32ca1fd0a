//! The record of one request: whatever becomes of it, it ends once.

use common::choice::Choice;
use common::ids::UserId;
use common::outcome::{Ending, Failure, ImagesSent, Marks, Outcome};
use common::tally::Previous;
use common::time::Tick;

use crate::load::shared::Shared;
use crate::reply::Conclusion;

/// A request that has begun and must end: dropped without an end it was cut, or its user panicked.
pub(super) struct Open<'a> {
    pub(super) shared: &'a Shared,
    pub(super) user: UserId,
    pub(super) number: u64,
    /// What it is, before it is composed.
    pub(super) choice: Choice,
    intended: Tick,
    sent: Option<Tick>,
    images: Option<ImagesSent>,
    ended: bool,
}

impl<'a> Open<'a> {
    pub(super) fn start(shared: &'a Shared, user: UserId, number: u64, intended: Tick) -> Self {
        let open = Self::resume(shared, user, number, intended);
        shared.recorder.borrow_mut().start(intended, open.choice.slices);
        open
    }

    /// A request that has been counted as begun.
    pub(super) fn resume(shared: &'a Shared, user: UserId, number: u64, intended: Tick) -> Self {
        let choice = shared.plan.composer.choose(user, number);
        Self { shared, user, number, choice, intended, sent: None, images: None, ended: false }
    }

    /// The first byte is about to be handed to the socket.
    pub(super) fn sent(&mut self) -> Tick {
        let now = self.shared.clock.now();
        self.shared.recorder.borrow_mut().sent(now);
        self.sent = Some(now);
        now
    }

    /// The last byte was handed to the socket. Only of requests with images that takes a time
    /// worth knowing.
    pub(super) fn written(&mut self, images: Option<ImagesSent>) {
        self.images = images.map(|images| {
            let now = self.shared.clock.now();
            ImagesSent { upload_ns: self.sent.map(|sent| now.ns_since(sent)), ..images }
        });
    }

    pub(super) fn fail(mut self, failure: Failure) -> Tick {
        let now = self.shared.clock.now();
        let outcome = self.cut(failure.into(), now);
        self.record(&outcome, now, None);
        now
    }

    /// It ends as it would if its user were cut now.
    pub(super) fn abandon(self) -> Tick {
        self.shared.clock.now()
    }

    /// Records the end, which was seen when a read returned at `read`; gives its instant, and for the
    /// next request the vector of gaps and what this one was.
    pub(super) fn end(
        mut self,
        conclusion: Conclusion,
        read: Tick,
        previous: Option<Previous>,
    ) -> (Tick, Vec<u32>, Option<Previous>) {
        let done = conclusion.done.unwrap_or_else(|| self.shared.clock.now());
        let outcome = Outcome {
            user: self.user,
            request: self.number,
            slices: self.choice.slices,
            ending: conclusion.ending,
            status: conclusion.status,
            paper_success: conclusion.paper_success,
            marks: Marks {
                intended: self.intended,
                sent: self.sent,
                head: conclusion.head,
                first_token: conclusion.first_token,
                first_answer: conclusion.first_answer,
                last_token: conclusion.last_token,
                done,
            },
            usage: conclusion.usage,
            events: conclusion.events,
            gaps_us: conclusion.gaps_us,
            detail: conclusion
                .detail
                .map(|words| self.shared.plan.composer.without_secrets(&words)),
            images: self.images,
        };
        let next = self.record(&outcome, read, previous);
        (done, outcome.gaps_us, next)
    }

    fn record(
        &mut self,
        outcome: &Outcome,
        now: Tick,
        previous: Option<Previous>,
    ) -> Option<Previous> {
        let mut recorder = self.shared.recorder.borrow_mut();
        let next = recorder.end(outcome, previous);
        if recorder.has_followed(now) {
            self.shared.followed.notify_one();
        }
        self.ended = true;
        next
    }

    fn cut(&self, ending: Ending, now: Tick) -> Outcome {
        Outcome {
            user: self.user,
            request: self.number,
            slices: self.choice.slices,
            ending,
            status: None,
            paper_success: false,
            marks: Marks {
                intended: self.intended,
                sent: self.sent,
                done: now,
                ..Marks::default()
            },
            usage: None,
            events: 0,
            gaps_us: Vec::new(),
            detail: None,
            images: None,
        }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let ending = if std::thread::panicking() {
            Failure::ClientPanic.into()
        } else {
            Ending::Censored(self.shared.cut_as.get())
        };
        let now = self.shared.clock.now();
        let outcome = self.cut(ending, now);
        self.record(&outcome, now, None);
    }
}
