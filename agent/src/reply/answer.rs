//! What the content of one response amounts to, and whether it is a success.
//!
//! Knows nothing of HTTP. The first cause of a failure is the one that counts; reading goes on
//! after it, so that the connection stays usable and late token counts are still seen.

use common::outcome::{Ending, Failure, Usage};
use common::target::Endpoint;
use common::time::Tick;

use super::Expect;
use super::decode::{Counts, Delta, Finish, decode};
use super::detail::explain;
use super::sse::Event;
use super::timeline::Timeline;

/// The content of one response so far.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) timeline: Timeline,
    counts: Counts,
    finish: Option<Finish>,
    /// `data: [DONE]`, or another event after which nothing counts, came.
    terminated: bool,
    /// Some event or message bore a token, or a vector.
    spoke: bool,
    fault: Option<Fault>,
}

/// Why the response failed.
#[derive(Debug)]
struct Fault {
    failure: Failure,
    detail: Option<String>,
}

impl Answer {
    /// Forgets everything, keeping room for at most `keep` gaps.
    pub(super) fn reset(&mut self, keep: usize) {
        let mut timeline = std::mem::take(&mut self.timeline);
        timeline.reset(keep);
        *self = Self { timeline, ..Self::default() };
    }

    /// Notes a failure, with the bytes in which the server explains it, unless one is known.
    pub(super) fn fail(&mut self, failure: Failure, words: &[u8]) {
        if self.fault.is_none() {
            self.fault = Some(Fault { failure, detail: explain(words) });
        }
    }

    /// Adds the server's words about a failure that is known without any.
    pub(super) fn elaborate(&mut self, words: &[u8]) {
        if let Some(Fault { detail: detail @ None, .. }) = &mut self.fault {
            *detail = explain(words);
        }
    }

    /// Takes one event of a stream.
    pub(super) fn event(&mut self, now: Tick, endpoint: Endpoint, event: Event<'_>) {
        let data = event.data.trim_ascii();
        // An event without data is some server's way to keep the connection alive.
        if self.terminated || data.is_empty() {
            return;
        }
        if event.error {
            self.fail(Failure::ErrorInStream, data);
        } else if data == b"[DONE]" {
            self.terminated = true;
        } else {
            match decode(endpoint, data) {
                Ok(delta) => self.delta(now, &delta, data),
                Err(_) => self.fail(Failure::BadEvent, data),
            }
        }
    }

    fn delta(&mut self, now: Tick, delta: &Delta<'_>, data: &[u8]) {
        self.absorb(delta, data);
        if delta.output {
            self.timeline.output(now);
        }
        if delta.bears_token() {
            self.timeline.token(now, delta.content || delta.tool_call || delta.refusal);
        }
    }

    /// Takes the body of a response that is one JSON object.
    pub(super) fn object(&mut self, expect: &Expect, body: &[u8]) {
        match decode(expect.endpoint, body) {
            Ok(delta) => {
                self.absorb(&delta, body);
                // A whole answer where a stream was asked for has no instants to measure.
                if expect.stream || !delta.output {
                    self.fail(Failure::BadEvent, body);
                }
            }
            Err(_) => self.fail(Failure::BadEvent, body),
        }
    }

    fn absorb(&mut self, delta: &Delta<'_>, data: &[u8]) {
        if let Some(error) = delta.error {
            self.fail(Failure::ErrorInStream, error.as_bytes());
        }
        self.counts = self.counts.then(delta.counts);
        self.terminated |= delta.last;
        if let Some(finish) = delta.finish {
            self.finish = Some(finish);
            match finish {
                Finish::Regular => {}
                Finish::GivenUp => self.fail(Failure::ErrorInStream, data),
            }
        }
        self.spoke |= delta.bears_token();
    }

    /// Token counts as the server has stated them, once it has said how many it generated.
    pub(super) fn usage(&self) -> Option<Usage> {
        self.counts.usage()
    }

    /// How the request ended, given that the response was transported to its end.
    pub(super) fn ending(&self, expect: &Expect) -> Ending {
        if let Some(fault) = &self.fault {
            return fault.failure.into();
        }
        // A declared end without tokens is an empty answer; no declared end is a cut one.
        if self.finish.is_none() && !self.terminated {
            return Failure::Truncated.into();
        }
        let spoke = match self.usage() {
            Some(usage) if expect.endpoint.generates() => usage.completion > 0,
            Some(_) | None => self.spoke,
        };
        if !spoke {
            return Failure::EmptyOutput.into();
        }
        if self.finish.is_none() {
            return Failure::Truncated.into();
        }
        match (expect.forced_tokens, self.usage()) {
            (Some(forced), Some(usage)) if usage.completion != forced => {
                Failure::WrongLength.into()
            }
            (Some(_) | None, _) => Ending::Succeeded,
        }
    }

    /// The first cause of failure, if there is one.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.fault.as_ref().map(|fault| fault.failure)
    }

    /// The server's words about it.
    pub(super) fn take_detail(&mut self) -> Option<String> {
        self.fault.as_mut().and_then(|fault| fault.detail.take())
    }
}
