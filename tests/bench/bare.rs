//! The bare reader: the least that a client in Rust can do and still see every token. Each user is
//! a task with a connection; it finds the events of an answer, parses the JSON of each, and keeps
//! the times. It knows no errors, no limits and no other server: whatever it did not expect is a
//! panic.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use agent::clock::Clock;
use common::time::Tick;
use hdrhistogram::Histogram;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

/// What it is to do.
#[derive(Debug, clap::Args)]
pub(crate) struct Order {
    server: SocketAddr,
    users: u32,
    requests: u64,
    body: String,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    delta: Option<Text<'a>>,
    #[serde(borrow)]
    message: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Text<'a> {
    #[serde(borrow)]
    content: Option<std::borrow::Cow<'a, str>>,
}

/// Latencies in nanoseconds, four digits of them.
struct Times {
    ttft: Histogram<u64>,
    itl: Histogram<u64>,
    e2e: Histogram<u64>,
}

/// Loads a server, and prints what it saw as one line of JSON.
pub(crate) fn run(order: &Order) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let hour = || Histogram::new_with_bounds(1, 3_600_000_000_000, 4).expect("bounds");
    let times = Rc::new(RefCell::new(Times { ttft: hour(), itl: hour(), e2e: hour() }));
    let request: Rc<[u8]> = request(order).into();
    let clock = Clock::start();
    let users = LocalSet::new();
    for user in 0..u64::from(order.users) {
        let quota = (order.requests + u64::from(order.users) - 1 - user) / u64::from(order.users);
        let (request, times) = (Rc::clone(&request), Rc::clone(&times));
        users.spawn_local(load(order.server, quota, request, clock, times));
    }
    runtime.block_on(users);
    let times = times.borrow();
    let seen = json!({
        "requests": times.e2e.len(),
        "ttft_ms": quantiles(&times.ttft),
        "itl_ms": quantiles(&times.itl),
        "e2e_ms": quantiles(&times.e2e),
    });
    println!("{seen}");
}

fn request(order: &Order) -> Vec<u8> {
    let Order { server, body, .. } = order;
    let length = body.len();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {server}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn quantiles(histogram: &Histogram<u64>) -> Value {
    let ms = |q: f64| histogram.value_at_quantile(q) as f64 / 1e6;
    json!({ "p50": ms(0.5), "p99": ms(0.99), "mean": histogram.mean() / 1e6 })
}

async fn load(
    server: SocketAddr,
    quota: u64,
    request: Rc<[u8]>,
    clock: Clock,
    times: Rc<RefCell<Times>>,
) {
    if quota == 0 {
        return;
    }
    let mut stream = TcpStream::connect(server).await.expect("a connection");
    stream.set_nodelay(true).expect("a socket");
    let mut read = vec![0; 16 << 10];
    let mut answer = Answer::default();
    for _ in 0..quota {
        answer.begin(clock.now());
        stream.write_all(&request).await.expect("a request is sent");
        loop {
            let count = stream.read(&mut read).await.expect("an answer");
            assert!(count > 0, "the server has closed the connection");
            if answer.push(clock.now(), &read[..count], &mut times.borrow_mut()) {
                break;
            }
        }
    }
}

/// One answer as it comes.
#[derive(Default)]
struct Answer {
    sent: Tick,
    newest: Option<Tick>,
    /// What has come and is not yet understood.
    rest: Vec<u8>,
    body: Body,
}

#[derive(Default)]
enum Body {
    /// The head is not complete.
    #[default]
    Unknown,
    /// So many bytes are missing.
    Whole(usize),
    /// Events come; `last` once they are over.
    Events { last: bool },
}

impl Answer {
    fn begin(&mut self, now: Tick) {
        *self = Self { sent: now, rest: std::mem::take(&mut self.rest), ..Self::default() };
        self.rest.clear();
    }

    /// Takes one read; `true` once the answer is complete.
    fn push(&mut self, now: Tick, bytes: &[u8], times: &mut Times) -> bool {
        // Most reads end with an event, and then nothing is copied.
        let mut carried = std::mem::take(&mut self.rest);
        let mut at = bytes;
        if !carried.is_empty() {
            carried.extend_from_slice(bytes);
            at = &carried;
        }
        let done = self.advance(now, &mut at, times);
        if at.is_empty() || done {
            carried.clear();
            self.rest = carried;
        } else {
            self.rest = at.to_vec();
        }
        done
    }

    fn advance(&mut self, now: Tick, at: &mut &[u8], times: &mut Times) -> bool {
        if let Body::Unknown = self.body {
            let Some(end) = memchr::memmem::find(at, b"\r\n\r\n") else { return false };
            self.body = Body::of(&at[..end]);
            *at = &at[end + 4..];
        }
        match &mut self.body {
            Body::Unknown => false,
            Body::Whole(length) => {
                if at.len() < *length {
                    return false;
                }
                let answer: Chunk<'_> = serde_json::from_slice(&at[..*length]).expect("an answer");
                assert!(answer.choices.iter().any(|choice| choice.message.is_some()));
                self.end(now, times)
            }
            Body::Events { last } => {
                while let Some(start) = memchr::memmem::find(at, b"data: ") {
                    let event = &at[start + 6..];
                    let Some(end) = memchr::memmem::find(event, b"\n\n") else { break };
                    *at = &event[end + 2..];
                    if &event[..end] == b"[DONE]" {
                        *last = true;
                        continue;
                    }
                    let chunk: Chunk<'_> = serde_json::from_slice(&event[..end]).expect("a chunk");
                    let said = |choice: &Choice<'_>| {
                        let text = choice.delta.as_ref().and_then(|delta| delta.content.as_ref());
                        text.is_some_and(|text| !text.is_empty())
                    };
                    if chunk.choices.iter().any(said) {
                        let (latency, since) = match self.newest {
                            None => (&mut times.ttft, self.sent),
                            Some(newest) => (&mut times.itl, newest),
                        };
                        latency.saturating_record(now.ns_since(since));
                        self.newest = Some(now);
                    }
                }
                // What follows the last event is the end of the last chunk, and an empty one.
                if *last && at.ends_with(b"0\r\n\r\n") { self.end(now, times) } else { false }
            }
        }
    }

    fn end(&self, now: Tick, times: &mut Times) -> bool {
        times.e2e.saturating_record(self.newest.unwrap_or(now).ns_since(self.sent));
        true
    }
}

impl Body {
    fn of(head: &[u8]) -> Self {
        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        let mut fields = head.lines().filter_map(|line| line.split_once(':'));
        match fields.find(|(name, _)| *name == "content-length") {
            Some((_, length)) => Self::Whole(length.trim().parse().expect("a length")),
            None => Self::Events { last: false },
        }
    }
}
