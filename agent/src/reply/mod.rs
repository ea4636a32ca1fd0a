//! The response to one request, read without a socket.
//!
//! A [`Reply`] is fed the bytes of one response, each read with the tick at which it returned, and
//! says at the end how the request ended and when what happened. It never reads a clock, waits or
//! touches a socket, and never trusts a byte: every buffer has a limit, and no input can make it
//! panic.
//!
//! | Module | What it knows |
//! |---|---|
//! | `head`, `body` | HTTP/1.1: status, framing, whether the connection lives on; what is left of that in HTTP/2 |
//! | `sse` | events of a stream |
//! | `decode`, `detail` | JSON of an event or an answer, a file for each API; words of an error |
//! | `timeline` | instants of tokens |
//! | `answer` | what is a success |
//!
//! There are two kinds of failure. One of content (a status other than 200, an error object, a bad
//! event) is noted, and the response is read to its end: the connection stays usable and the
//! paper's rule, which never looks at content, can be applied. One of transport (bad framing, a
//! cut, a limit) ends the reading.

mod answer;
mod body;
mod decode;
mod detail;
mod head;
mod sse;
#[cfg(test)]
mod tests;
mod timeline;

use common::outcome::{Ending, Failure, Usage};
use common::target::Endpoint;
use common::time::Tick;

use answer::Answer;
use body::{Framing, Piece};
use head::{Content, Head};
use sse::Splitter;

/// What is expected of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expect {
    /// The API that is called.
    pub endpoint: Endpoint,
    /// A stream of events was asked for, not one body.
    pub stream: bool,
    /// The exact number of completion tokens, where it was forced.
    pub forced_tokens: Option<u64>,
}

/// What a server may send. More is [`Failure::TooLarge`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in one line of a stream.
    pub line: usize,
    /// Bytes of data in one event.
    pub event: usize,
    /// Bytes of a whole response as they come off the wire, head and framing included.
    pub response: usize,
    /// Bytes in the heads of a response, interim ones included.
    pub head: usize,
    /// Events in one stream.
    pub events: u64,
}

impl Limits {
    /// 1 MiB a line, 4 MiB an event, 64 MiB a response, 64 KiB of heads, 1,048,576 events.
    pub const DEFAULT: Self =
        Self { line: 1 << 20, event: 4 << 20, response: 64 << 20, head: 64 << 10, events: 1 << 20 };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The reader of one response at a time. A user has one and uses it again for each request.
#[derive(Debug)]
pub struct Reply {
    expect: Expect,
    limits: Limits,
    stage: Stage,
    /// A head that is incomplete, or a body that is collected.
    carry: Vec<u8>,
    splitter: Splitter,
    answer: Answer,
    received: usize,
    head_bytes: usize,
    status: Option<u16>,
    head_at: Option<Tick>,
    done_at: Option<Tick>,
    has_body: bool,
}

/// What a read led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The response is not complete.
    More,
    /// The response is complete.
    Done {
        /// The connection may carry another request.
        reusable: bool,
    },
    /// The response is broken and the connection of no more use.
    Failed,
}

/// How a request ended and when what happened, as far as the response tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conclusion {
    /// Success or failure. Of a response that is not complete and not broken it says
    /// [`Failure::Truncated`]; whoever cut it knows better.
    pub ending: Ending,
    /// HTTP status, once known.
    pub status: Option<u16>,
    /// Status 200, and the response was transported to its end; the content is not looked at.
    pub paper_success: bool,
    /// When the head had been read.
    pub head: Option<Tick>,
    /// First token-bearing event of a stream. Where the server counted tokens and all text was
    /// empty, so that `events` is 0, the first event about the output.
    pub first_token: Option<Tick>,
    /// First token-bearing event that is not reasoning.
    pub first_answer: Option<Tick>,
    /// Last token-bearing event; inferred as `first_token` is.
    pub last_token: Option<Tick>,
    /// When the response was complete or found broken; `None` if it was cut from outside.
    pub done: Option<Tick>,
    /// Token counts as the server reported them last.
    pub usage: Option<Usage>,
    /// Token-bearing events of a stream.
    pub events: u64,
    /// Gaps between them in whole microseconds; 0 for events of one read.
    pub gaps_us: Vec<u32>,
    /// The server's own words about a failure, cut and escaped.
    pub detail: Option<String>,
}

impl Reply {
    /// A reader that is ready for the first response.
    pub fn new(expect: Expect, limits: Limits) -> Self {
        Self {
            expect,
            limits,
            stage: Stage::Head,
            carry: Vec::new(),
            splitter: Splitter::default(),
            answer: Answer::default(),
            received: 0,
            head_bytes: 0,
            status: None,
            head_at: None,
            done_at: None,
            has_body: false,
        }
    }

    /// Forgets the previous response, and expects this of the next one.
    pub fn begin(&mut self, expect: Expect) {
        self.expect = expect;
        self.stage = Stage::Head;
        self.carry.clear();
        self.carry.shrink_to(KEEP);
        self.splitter.reset(KEEP);
        self.answer.reset(KEEP_GAPS);
        self.received = 0;
        self.head_bytes = 0;
        self.status = None;
        self.head_at = None;
        self.done_at = None;
        self.has_body = false;
    }

    /// Takes the bytes of one read, which returned at `now`.
    ///
    /// Bytes after the end of the response make the connection not reusable: nobody asked for them.
    pub fn push(&mut self, now: Tick, bytes: &[u8]) -> Progress {
        let room = self.limits.response.saturating_sub(self.received);
        let (bytes, beyond) = bytes.split_at(room.min(bytes.len()));
        self.received += bytes.len();
        let mut rest = bytes;
        let read = self.read(now, &mut rest);
        let surplus = !rest.is_empty() || !beyond.is_empty();
        match (read, &mut self.stage) {
            (Err(failure), _) => self.break_off(now, failure),
            (Ok(()), Stage::Complete { reusable }) => *reusable &= !surplus,
            (Ok(()), Stage::Head | Stage::Body { .. }) if surplus => {
                self.break_off(now, Failure::TooLarge);
            }
            (Ok(()), Stage::Head | Stage::Body { .. } | Stage::Broken) => {}
        }
        self.progress()
    }

    /// Takes the head of a response that comes in frames (HTTP/2), interim ones excepted, which
    /// nobody is shown. The body is pushed, frame by frame, and then said to have [`ended`].
    ///
    /// [`ended`]: Self::ended
    pub fn head(&mut self, now: Tick, status: u16, fields: &http::HeaderMap) -> Progress {
        match self.begin_body(now, &Head::of_frames(status, fields)) {
            Ok(()) => {}
            Err(failure) => self.break_off(now, failure),
        }
        self.progress()
    }

    /// The frames of a response have come to their end.
    pub fn ended(&mut self, now: Tick) -> Progress {
        match self.stage {
            Stage::Body { framing: Framing::Framed, handling, keep_alive } => {
                self.complete(now, handling, keep_alive);
            }
            Stage::Head | Stage::Body { .. } => self.break_off(now, Failure::HttpMalformed),
            Stage::Complete { .. } | Stage::Broken => {}
        }
        self.progress()
    }

    /// The peer closed its side. Before the first byte of a response this is [`Failure::Reset`];
    /// the caller may know it to be a stale connection.
    pub fn closed(&mut self, now: Tick) -> Progress {
        match self.stage {
            Stage::Body { framing: Framing::UntilClose, handling, .. } => {
                self.complete(now, handling, false);
            }
            Stage::Head if self.received == 0 => self.break_off(now, Failure::Reset),
            Stage::Head | Stage::Body { .. } => self.break_off(now, Failure::Truncated),
            Stage::Complete { .. } => self.stage = Stage::Complete { reusable: false },
            Stage::Broken => {}
        }
        self.progress()
    }

    /// A failure seen outside: a time-out, a reset. It counts unless an earlier one is known or
    /// the response is complete.
    pub fn fail(&mut self, failure: Failure) {
        match self.stage {
            Stage::Head | Stage::Body { .. } => self.stop(failure),
            Stage::Complete { .. } | Stage::Broken => {}
        }
    }

    /// Whether the first byte of the body has come.
    pub fn has_body(&self) -> bool {
        self.has_body
    }

    /// Token-bearing events of the current stream so far.
    pub fn events(&self) -> u64 {
        self.answer.timeline.events()
    }

    /// What became of the request. Call it once, then [`Self::begin`].
    pub fn conclude(&mut self) -> Conclusion {
        let complete = matches!(self.stage, Stage::Complete { .. });
        let ending = match self.answer.failure() {
            Some(failure) => failure.into(),
            None if complete => self.answer.ending(&self.expect),
            None => Failure::Truncated.into(),
        };
        let usage = self.answer.usage();
        let marks = self.answer.timeline.marks(usage.is_some_and(|usage| usage.completion > 0));
        Conclusion {
            ending,
            status: self.status,
            paper_success: complete && self.status == Some(200),
            head: self.head_at,
            first_token: marks.first_token,
            first_answer: marks.first_answer,
            last_token: marks.last_token,
            done: self.done_at,
            usage,
            events: self.answer.timeline.events(),
            gaps_us: self.answer.timeline.take_gaps(),
            detail: self.answer.take_detail(),
        }
    }

    /// Takes back the buffer of a [`Conclusion`], to use its room again.
    pub fn recycle(&mut self, gaps_us: Vec<u32>) {
        self.answer.timeline.recycle(gaps_us);
    }

    fn progress(&self) -> Progress {
        match self.stage {
            Stage::Head | Stage::Body { .. } => Progress::More,
            Stage::Complete { reusable } => Progress::Done { reusable },
            Stage::Broken => Progress::Failed,
        }
    }

    fn read(&mut self, now: Tick, rest: &mut &[u8]) -> Result<(), Failure> {
        while let Stage::Head = self.stage {
            let Some(head) = self.read_head(rest)? else {
                return Ok(());
            };
            self.begin_body(now, &head)?;
        }
        self.read_body(now, rest)
    }

    /// Takes one head off the front of `rest`, with what was carried of it.
    fn read_head(&mut self, rest: &mut &[u8]) -> Result<Option<Head>, Failure> {
        let carried = self.carry.len();
        if carried > 0 {
            self.carry.extend_from_slice(rest);
        }
        let block = if carried > 0 { self.carry.as_slice() } else { *rest };
        if !head::plausible(block) {
            return Err(Failure::HttpMalformed);
        }
        let end = head::end(block, carried);
        if self.head_bytes + end.unwrap_or(block.len()) > self.limits.head {
            return Err(Failure::TooLarge);
        }
        let Some(end) = end else {
            if carried == 0 {
                self.carry.extend_from_slice(rest);
            }
            *rest = &[];
            return Ok(None);
        };
        let head = Head::parse(block.get(..end).unwrap_or_default())?;
        self.head_bytes += end;
        self.carry.clear();
        *rest = rest.get(end - carried..).unwrap_or_default();
        Ok(Some(head))
    }

    /// Decides what the body is for. Interim responses are passed over.
    fn begin_body(&mut self, now: Tick, head: &Head) -> Result<(), Failure> {
        // 101 is no interim response: what follows it is another protocol.
        if (100..=199).contains(&head.status) && head.status != 101 {
            return Ok(());
        }
        self.status = Some(head.status);
        self.head_at = Some(now);
        let handling = match refusal(head.status) {
            Some(failure) if head.status < 200 => return Err(failure),
            Some(failure) => {
                self.answer.fail(failure, &[]);
                if head.encoded { Handling::Skip } else { Handling::Refusal }
            }
            None if head.encoded => return Err(Failure::HttpMalformed),
            None if self.expect.stream => match head.content {
                Content::EventStream => Handling::Events { declared: true },
                Content::Other => Handling::Events { declared: false },
                Content::Json => Handling::Object,
            },
            None => Handling::Object,
        };
        self.stage = Stage::Body { framing: head.framing, handling, keep_alive: head.keep_alive };
        Ok(())
    }

    fn read_body(&mut self, now: Tick, rest: &mut &[u8]) -> Result<(), Failure> {
        loop {
            let Stage::Body { framing, handling, keep_alive } = &mut self.stage else {
                return Ok(());
            };
            match framing.next(rest).map_err(|Malformed| Failure::HttpMalformed)? {
                Piece::Starved => return Ok(()),
                Piece::End => {
                    let (handling, keep_alive) = (*handling, *keep_alive);
                    self.complete(now, handling, keep_alive);
                }
                Piece::Payload(bytes) => {
                    self.has_body = true;
                    match *handling {
                        Handling::Events { .. } => {
                            let (answer, endpoint) = (&mut self.answer, self.expect.endpoint);
                            self.splitter
                                .feed(bytes, &self.limits, |e| answer.event(now, endpoint, e))
                                .map_err(|TooLarge| Failure::TooLarge)?;
                        }
                        // The usual whole answer comes in one read and need not be collected.
                        Handling::Object if framing.is_exhausted() && self.carry.is_empty() => {
                            self.answer.object(&self.expect, bytes);
                            *handling = Handling::Skip;
                        }
                        Handling::Object => self.carry.extend_from_slice(bytes),
                        Handling::Refusal => {
                            let room = REFUSAL_MAX.saturating_sub(self.carry.len());
                            self.carry.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
                        }
                        Handling::Skip => {}
                    }
                }
            }
        }
    }

    fn complete(&mut self, now: Tick, handling: Handling, reusable: bool) {
        match handling {
            Handling::Events { declared: false } if !self.splitter.any() => {
                self.answer.fail(Failure::BadEvent, &[]);
            }
            Handling::Object => self.answer.object(&self.expect, &self.carry),
            Handling::Refusal => self.answer.elaborate(&self.carry),
            Handling::Events { .. } | Handling::Skip => {}
        }
        self.stage = Stage::Complete { reusable };
        self.done_at = Some(now);
    }

    fn break_off(&mut self, now: Tick, failure: Failure) {
        self.stop(failure);
        self.done_at = Some(now);
    }

    fn stop(&mut self, failure: Failure) {
        if let Stage::Body { handling: Handling::Refusal, .. } = self.stage {
            self.answer.elaborate(&self.carry);
        }
        self.answer.fail(failure, &[]);
        self.stage = Stage::Broken;
    }
}

/// Bytes that a buffer keeps from one response to the next.
const KEEP: usize = 64 << 10;

/// Gaps that are kept room for from one response to the next.
const KEEP_GAPS: usize = KEEP / size_of::<u32>();

/// Bytes of an error's body that are kept for its message; the rest is read and dropped.
const REFUSAL_MAX: usize = 16 << 10;

/// How far the response has been read.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Head,
    Body {
        framing: Framing,
        handling: Handling,
        keep_alive: bool,
    },
    /// Transported to its end.
    Complete {
        reusable: bool,
    },
    /// No more of it is read.
    Broken,
}

/// What is done with a body.
#[derive(Clone, Copy, Debug)]
enum Handling {
    /// Split into events.
    Events {
        /// It says that it is an event stream.
        declared: bool,
    },
    /// Collected and read as one JSON object.
    Object,
    /// Collected, up to a size, for the words of a failure.
    Refusal,
    /// Dropped.
    Skip,
}

/// The failure that a final status is by itself; `None` for 200. Another status of success is not
/// what the API promises.
fn refusal(status: u16) -> Option<Failure> {
    match status {
        200 => None,
        201..=299 => Some(Failure::BadEvent),
        100..=199 | 300..=399 => Some(Failure::Http3xx),
        429 => Some(Failure::Http429),
        400..=499 => Some(Failure::Http4xx),
        503 => Some(Failure::Http503),
        500.. => Some(Failure::Http5xx),
        0..=99 => Some(Failure::HttpMalformed),
    }
}

/// The framing of a body is not HTTP/1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Malformed;

/// A line, an event or their number is over its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TooLarge;
