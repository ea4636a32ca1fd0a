//! The path of a request without a socket, as a worker goes it: composed, its answer read, its
//! outcome recorded. For what counts the work that this is.

use std::io::IoSlice;

use agent::compose::{Composers, PARTS_MAX};
use agent::reply::{Conclusion, Expect, Limits, Progress, Reply};
use common::assignment::{Assignment, Load};
use common::ids::{LevelId, RunId, UserId};
use common::outcome::{Marks, Outcome};
use common::phase::Phase;
use common::seed::Seed;
use common::slo::Slo;
use common::tally::{Previous, Tally};
use common::target::Target;
use common::time::Tick;
use common::workload::{CacheMode, Workload};
use proto::secrets::Secrets;
use uuid::Uuid;

/// Nanoseconds from one read to the next.
const STEP_NS: u64 = 20_000;

/// One user's path.
pub struct Path {
    composers: Composers,
    reply: Reply,
    tally: Tally,
    expect: Expect,
    previous: Option<Previous>,
    number: u64,
}

impl Path {
    /// A path whose answers are streams or whole.
    pub fn new(stream: bool) -> Self {
        let expect = Expect { endpoint: ENDPOINT, stream, forced_tokens: None };
        Self {
            composers: Composers::new(&assignment(stream), &Secrets::default()),
            reply: Reply::new(expect, Limits::DEFAULT),
            tally: Tally::default(),
            expect,
            previous: None,
            number: 0,
        }
    }

    /// Composes the next request; gives its bytes.
    pub fn compose(&mut self) -> usize {
        let user = UserId(7);
        let choice = self.composers.choose(user, self.number);
        let request = self.composers.request(choice, user, self.number);
        self.number += 1;
        let mut slices = [IoSlice::new(&[]); PARTS_MAX];
        let used = request.parts(&mut slices);
        slices.iter().take(used).map(|slice| slice.len()).sum()
    }

    /// Reads an answer; panics if it is not complete at its end.
    pub fn read(&mut self, answer: &[Vec<u8>]) -> Conclusion {
        self.reply.begin(self.expect);
        let mut progress = Progress::More;
        for (bytes, place) in answer.iter().zip(1..) {
            let seen = self.reply.events();
            let now = Tick(place * STEP_NS);
            progress = self.reply.push(now, bytes);
            self.tally.events(now.0, self.reply.events() - seen);
        }
        assert_eq!(progress, Progress::Done { reusable: true });
        self.reply.conclude()
    }

    /// Forgets what became of it.
    pub fn discard(&mut self, conclusion: Conclusion) {
        self.reply.recycle(conclusion.gaps_us);
    }

    /// Records what became of it.
    pub fn record(&mut self, conclusion: Conclusion) {
        let user = UserId(7);
        let slices = self.composers.choose(user, self.number).slices;
        self.tally.start(0, slices);
        let outcome = Outcome {
            user,
            request: self.number,
            slices,
            ending: conclusion.ending,
            status: conclusion.status,
            paper_success: conclusion.paper_success,
            marks: Marks {
                intended: Tick(0),
                sent: Some(Tick(STEP_NS / 2)),
                head: conclusion.head,
                first_token: conclusion.first_token,
                first_answer: conclusion.first_answer,
                last_token: conclusion.last_token,
                done: conclusion.done.expect("a complete answer"),
            },
            usage: conclusion.usage,
            events: conclusion.events,
            gaps_us: conclusion.gaps_us,
            detail: conclusion.detail,
            images: None,
        };
        self.tally.in_flight(STEP_NS / 2, outcome.marks.done.0, 1);
        self.previous = self.tally.end(&outcome, Tick(0), Slo::default(), self.previous);
        self.reply.recycle(outcome.gaps_us);
    }

    /// The whole way.
    pub fn go(&mut self, answer: &[Vec<u8>]) {
        assert!(self.compose() > 0);
        let conclusion = self.read(answer);
        self.record(conclusion);
    }

    /// What was recorded.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }
}

const ENDPOINT: common::target::Endpoint = common::target::Endpoint::Chat;

fn assignment(stream: bool) -> Assignment {
    let load = Load::counted(1000, 1_000_000);
    let url = "http://127.0.0.1:8000".parse().expect("a URL");
    Assignment {
        run: RunId(Uuid::from_u128(1)),
        level: LevelId { ordinal: 0, attempt: 0 },
        phase: Phase::Scaling,
        place: 0,
        seed: Seed(1),
        share: load.share(0, 1),
        load,
        slo: Slo::default(),
        workload: Workload {
            forced_length: true,
            cache: CacheMode::Cold,
            ..Workload::new("short".parse().expect("a name"), 500.into(), 100.into())
        },
        target: Target { stream, ..Target::new(url, "sim".to_owned()) },
        proof: None,
    }
}

/// A stream of so many tokens as its reads: the head, then an event each, as engines write them.
pub fn stream(tokens: u64) -> Vec<Vec<u8>> {
    let chunk = |event: String| {
        let event = format!("data: {event}\n\n");
        format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()
    };
    let event = |choices: String, usage: &str| {
        format!(
            r#"{{"id":"chatcmpl-0123456789abcdef","object":"chat.completion.chunk","created":1795485894,"model":"sim","choices":[{choices}]{usage}}}"#
        )
    };
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                transfer-encoding: chunked\r\n\r\n";
    let mut reads = vec![head.as_bytes().to_vec()];
    for token in 1..=tokens {
        let finish = if token == tokens { "\"length\"" } else { "null" };
        let choice = format!(
            r#"{{"index":0,"delta":{{"content":" token"}},"logprobs":null,"finish_reason":{finish}}}"#
        );
        reads.push(chunk(event(choice, "")));
    }
    let total = 500 + tokens;
    let usage = format!(
        r#","usage":{{"prompt_tokens":500,"completion_tokens":{tokens},"total_tokens":{total}}}"#
    );
    reads.push(chunk(event(String::new(), &usage)));
    reads.push(chunk("[DONE]".to_owned()));
    reads.push(b"0\r\n\r\n".to_vec());
    reads
}

/// An answer of one token that comes whole, in one read.
pub fn whole() -> Vec<Vec<u8>> {
    let body = r#"{"id":"chatcmpl-0123456789abcdef","object":"chat.completion","created":1795485894,"model":"sim","choices":[{"index":0,"message":{"role":"assistant","content":" token"},"logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":500,"completion_tokens":1,"total_tokens":501}}"#;
    let length = body.len();
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}");
    vec![format!("{head}\r\n\r\n{body}").into_bytes()]
}
