//! The simulator over real loopback sockets, with a client of a few lines.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use common::digest::Digest;
use serde_json::{Value, json};

use super::*;

const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const CHAT: &str = "/v1/chat/completions";
const TEXT: &str = "/v1/completions";

fn quick() -> Profile {
    Profile { ttft: Duration::from_millis(5), itl: Duration::from_millis(1), ..Profile::default() }
}

fn faulty(fault: Fault) -> SimThread {
    start(Profile { faults: Faults::always(fault), ..quick() })
}

fn start(profile: Profile) -> SimThread {
    spawn(ANYWHERE, profile).unwrap()
}

fn chat(tokens: u32) -> Value {
    json!({
        "model": "m",
        "messages": [{"role": "user", "content": "123456789"}],
        "max_tokens": tokens,
        "ignore_eos": true,
        "stream": true,
        "stream_options": {"include_usage": true},
    })
}

fn whole(tokens: u32) -> Value {
    json!({"messages": [{"role": "user", "content": "123456789"}], "max_tokens": tokens})
}

/// The ledger's only entry once the simulator has stopped.
fn only_entry(sim: SimThread) -> Entry {
    let ledger = sim.ledger();
    sim.stop();
    let mut entries = ledger.entries(0, 10);
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries.remove(0)
}

struct Client(BufReader<TcpStream>);

/// A reply's head.
struct Answer {
    status: u16,
    fields: BTreeMap<String, String>,
}

impl Client {
    fn connect(sim: &SimThread) -> Self {
        Self::to(sim.address())
    }

    fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        // Only a broken simulator lets it run out.
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(BufReader::new(stream))
    }

    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn post(&mut self, path: &str, body: &Value) {
        let body = body.to_string();
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nhost: sim\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ));
    }

    fn get(&mut self, path: &str) -> (u16, String) {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: sim\r\n\r\n"));
        let answer = self.head();
        let body = if answer.fields.contains_key("content-length") {
            self.body(&answer)
        } else {
            std::iter::from_fn(|| self.chunk()).collect()
        };
        (answer.status, body)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn head(&mut self) -> Answer {
        let first = self.line();
        let status = first.split(' ').nth(1).unwrap().parse().unwrap();
        let fields = std::iter::from_fn(|| {
            let line = self.line();
            let (name, value) = line.split_once(": ")?;
            Some((name.to_owned(), value.to_owned()))
        });
        Answer { status, fields: fields.collect() }
    }

    fn body(&mut self, answer: &Answer) -> String {
        let mut body = vec![0; answer.fields["content-length"].parse().unwrap()];
        self.0.read_exact(&mut body).unwrap();
        String::from_utf8(body).unwrap()
    }

    fn answer(&mut self) -> (u16, Value) {
        let answer = self.head();
        let body = self.body(&answer);
        (answer.status, serde_json::from_str(&body).unwrap())
    }

    /// The next chunk; `None` after the last.
    fn chunk(&mut self) -> Option<String> {
        let size = usize::from_str_radix(&self.line(), 16).unwrap();
        let mut chunk = vec![0; size + 2];
        self.0.read_exact(&mut chunk).unwrap();
        assert_eq!(chunk.split_off(size), b"\r\n");
        (size > 0).then(|| String::from_utf8(chunk).unwrap())
    }

    /// The data of the next event, which is a chunk of its own.
    fn event(&mut self) -> String {
        let chunk = self.chunk().expect("an event");
        let data = chunk.strip_prefix("data: ").unwrap();
        data.strip_suffix("\n\n").unwrap().to_owned()
    }

    fn json_event(&mut self) -> Value {
        serde_json::from_str(&self.event()).unwrap()
    }

    /// All events of a stream, each as a short word.
    fn stream(&mut self) -> Vec<String> {
        let answer = self.head();
        assert_eq!(answer.status, 200);
        assert!(answer.fields["content-type"].starts_with("text/event-stream"));
        std::iter::from_fn(|| self.chunk()).map(|c| word(&c)).collect()
    }

    /// What is left to read until the server closes.
    fn rest(mut self) -> std::io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).map(|_| rest)
    }
}

/// `role`, `token`, `token:length`, `:stop`, `usage 3+2=5`, `error`, `done`.
fn word(chunk: &str) -> String {
    let data = chunk.strip_prefix("data: ").unwrap().trim_end();
    if data == "[DONE]" {
        return "done".to_owned();
    }
    let event: Value = serde_json::from_str(data).unwrap();
    if event.get("error").is_some() {
        return "error".to_owned();
    }
    if let Some(usage) = event.get("usage") {
        assert_eq!(event["choices"], json!([]));
        return format!(
            "usage {}+{}={}",
            usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]
        );
    }
    let choice = &event["choices"][0];
    if choice["delta"].get("role").is_some() {
        return "role".to_owned();
    }
    let text = choice["delta"].get("content").or(choice.get("text"));
    let token = if text.unwrap() == "" { "" } else { "token" };
    match choice["finish_reason"].as_str() {
        Some(reason) => format!("{token}:{reason}"),
        None => token.to_owned(),
    }
}

#[test]
fn a_chat_stream_has_role_tokens_usage_and_an_end() {
    let sim = start(quick());
    let mut client = Client::connect(&sim);
    client.post(CHAT, &chat(4));
    assert_eq!(
        client.stream(),
        ["role", "token", "token", "token", "token:length", "usage 3+4=7", "done"]
    );
    let entry = only_entry(sim);
    assert_eq!(entry.ending, Ending::Completed);
    assert_eq!((entry.tokens, entry.prompt_tokens), (4, 3));
    assert_eq!((entry.status, entry.stream), (Some(200), true));
    // Never before the instants of the profile: 5 ms, and 3 gaps of 1 ms.
    let (first, last) = (entry.first_token.unwrap(), entry.last_token.unwrap());
    assert!(first.ns_since(entry.arrival) >= 5_000_000);
    assert!(last.ns_since(entry.arrival) >= 8_000_000);
    assert!(entry.arrival < first && first < last && last <= entry.end);
    let body = chat(4).to_string();
    let digest = Digest::of(body.as_bytes()).to_string();
    assert_eq!(format!("{:016x}", entry.body_hash), digest[..16]);
}

#[test]
fn a_completions_stream_states_usage_only_when_asked() {
    let sim = start(quick());
    let mut client = Client::connect(&sim);
    client.post(TEXT, &json!({"prompt": "12345", "max_tokens": 2, "stream": true}));
    assert_eq!(client.stream(), ["token", "token:length", "done"]);
}

#[test]
fn replies_in_one_piece_have_all_tokens() {
    let sim = start(quick());
    let mut client = Client::connect(&sim);
    client.post(CHAT, &whole(3));
    let (status, reply) = client.answer();
    assert_eq!(status, 200);
    assert_eq!(reply["object"], "chat.completion");
    assert_eq!(reply["choices"][0]["finish_reason"], "length");
    assert_ne!(reply["choices"][0]["message"]["content"], "");
    assert_eq!(
        reply["usage"],
        json!({"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6})
    );
    client.post(TEXT, &json!({"prompt": "1", "max_tokens": 2}));
    let (status, reply) = client.answer();
    assert_eq!(status, 200);
    assert_ne!(reply["choices"][0]["text"], "");
    assert_eq!(reply["usage"]["total_tokens"], 3);
    let ledger = sim.ledger();
    sim.stop();
    assert_eq!(ledger.totals().completed, 2);
    assert_eq!(ledger.totals().connections, 1);
    let entry = &ledger.entries(0, 1)[0];
    assert_eq!((entry.tokens, entry.stream), (3, false));
    assert_eq!(entry.first_token, entry.last_token);
}

/// The names of a stream's events.
fn names(client: &mut Client) -> Vec<String> {
    assert_eq!(client.head().status, 200);
    let name = |chunk: String| {
        let first = chunk.lines().next().unwrap();
        first.strip_prefix("event: ").unwrap_or(first).to_owned()
    };
    std::iter::from_fn(|| client.chunk()).map(name).collect()
}

#[test]
fn responses_and_messages_are_streams_of_named_events() {
    let sim = start(quick());
    let mut client = Client::connect(&sim);
    let ask = json!({"input": "123456789", "max_output_tokens": 2, "stream": true});
    client.post("/v1/responses", &ask);
    assert_eq!(
        names(&mut client),
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.incomplete"
        ]
    );
    let user = json!([{"role": "user", "content": "123456789"}]);
    client.post("/v1/messages", &json!({"messages": user, "max_tokens": 2, "stream": true}));
    assert_eq!(
        names(&mut client),
        [
            "message_start",
            "content_block_start",
            "ping",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
    let ledger = sim.ledger();
    sim.stop();
    let totals = ledger.totals();
    assert_eq!((totals.completed, totals.prompt_tokens, totals.completion_tokens), (2, 6, 4));
}

#[test]
fn an_embedding_has_a_prompt_and_no_tokens() {
    let sim = start(quick());
    let mut client = Client::connect(&sim);
    client.post("/v1/embeddings", &json!({"input": "123456789"}));
    let (status, reply) = client.answer();
    assert_eq!((status, &reply["usage"]["prompt_tokens"]), (200, &json!(3)));
    assert_eq!(reply["data"][0]["embedding"].as_array().map(Vec::len), Some(16));
    assert_eq!(client.get("/v1/embeddings").0, 405);
    let (_, metrics) = client.get("/metrics");
    assert!(metrics.contains("generation_tokens_total{engine=\"0\",model_name=\"sim\"} 0\n"));
    let entry = only_entry(sim);
    assert_eq!((entry.ending, entry.prompt_tokens, entry.tokens), (Ending::Completed, 3, 0));
    assert!(entry.last_token.unwrap().ns_since(entry.arrival) >= 5_000_000);
}

#[test]
fn requests_may_come_ahead_of_their_turn_and_in_chunks() {
    let sim = start(quick());
    let mut client = Client::connect(&sim);
    client.post(CHAT, &chat(2));
    client.post(CHAT, &whole(1));
    let body = whole(1).to_string();
    let (one, two) = body.split_at(7);
    client.send(&format!(
        "POST {CHAT} HTTP/1.1\r\nTransfer-Encoding: chunked\r\nconnection: close\r\n\r\n\
         7\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n",
        two.len()
    ));
    assert_eq!(client.stream().len(), 5);
    assert_eq!(client.answer().0, 200);
    let last = client.head();
    assert_eq!(last.fields["connection"], "close");
    client.body(&last);
    assert_eq!(client.rest().unwrap(), b"");
    assert_eq!(sim.ledger().totals().connections, 1);
}

#[test]
fn a_client_that_asks_may_send_its_body() {
    let sim = start(quick());
    let mut client = Client::connect(&sim);
    let body = whole(1).to_string();
    client.send(&format!(
        "POST {CHAT} HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        body.len()
    ));
    assert_eq!(client.head().status, 100);
    client.send(&body);
    assert_eq!(client.answer().0, 200);
}

#[test]
fn one_slot_serves_one_after_the_other_and_a_leaver_frees_it() {
    let sim = start(Profile { slots: 1, ..quick() });
    let mut first = Client::connect(&sim);
    first.post(CHAT, &chat(1_000_000));
    assert_eq!(first.head().status, 200);
    assert_eq!(word(&first.chunk().unwrap()), "role");
    let mut second = Client::connect(&sim);
    second.post(CHAT, &chat(2));
    // The head comes although there is no slot yet.
    assert_eq!(second.head().status, 200);
    let (_, metrics) = Client::connect(&sim).get("/metrics");
    assert!(
        metrics.contains("vllm:num_requests_running{engine=\"0\",model_name=\"sim\"} 1\n"),
        "{metrics}"
    );
    assert!(metrics.contains("vllm:num_requests_waiting{engine=\"0\",model_name=\"sim\"} 1\n"));
    drop(first);
    assert_eq!(word(&second.chunk().unwrap()), "role");
    assert_eq!(second.json_event()["object"], "chat.completion.chunk");
    let ledger = sim.ledger();
    let left = &ledger.entries(0, 1)[0];
    assert_eq!(left.ending, Ending::ClientLeft);
    assert_eq!(left.queue_wait_ns, 0);
    assert!(left.end > left.arrival);
    while second.chunk().is_some() {}
    sim.stop();
    let served = &ledger.entries(1, 1)[0];
    assert_eq!((served.ending, served.tokens), (Ending::Completed, 2));
    assert!(served.queue_wait_ns > 0);
    assert!(served.arrival.0 + served.queue_wait_ns <= served.first_token.unwrap().0);
    assert_eq!(ledger.totals().in_flight_peak, 2);
}

#[test]
fn refusals_are_answered_at_once_and_keep_the_connection() {
    for (fault, status) in [(Fault::Error, 500), (Fault::Busy, 503), (Fault::RateLimit, 429)] {
        let sim = faulty(fault);
        let mut client = Client::connect(&sim);
        client.post(CHAT, &chat(3));
        let (got, body) = client.answer();
        assert_eq!(got, status);
        assert_eq!(body["error"]["code"], status);
        assert_eq!(client.get("/health").0, 200);
        let entry = only_entry(sim);
        assert_eq!(entry.ending, Ending::Injected(fault));
        assert_eq!((entry.status, entry.tokens), (Some(status), 0));
    }
}

#[test]
fn replies_with_another_shape_end_as_they_should() {
    for (fault, events, tokens) in [
        (Fault::Empty, &["role", ":stop", "usage 3+0=3", "done"][..], 0),
        (Fault::NoUsage, &["role", "token", "token", "token", "token:length", "done"], 4),
        (Fault::Short, &["role", "token", "token:stop", "usage 3+2=5", "done"], 2),
        (Fault::ErrorInStream, &["role", "token", "token", "error", "done"], 2),
    ] {
        let sim = faulty(fault);
        let mut client = Client::connect(&sim);
        client.post(CHAT, &chat(4));
        assert_eq!(client.stream(), events);
        assert_eq!(client.get("/health").0, 200, "the connection is kept");
        let entry = only_entry(sim);
        assert_eq!(entry.ending, Ending::Injected(fault));
        assert_eq!(entry.tokens, tokens, "{fault}");
    }
}

#[test]
fn the_same_faults_in_one_piece() {
    for (fault, check) in [
        (Fault::Empty, "/usage/completion_tokens=0"),
        (Fault::NoUsage, "/choices/0/finish_reason=\"length\""),
        (Fault::Short, "/usage/completion_tokens=2"),
        (Fault::ErrorInStream, "/error/code=500"),
    ] {
        let sim = faulty(fault);
        let mut client = Client::connect(&sim);
        client.post(CHAT, &whole(4));
        let (status, reply) = client.answer();
        let (pointer, value) = check.split_once('=').unwrap();
        assert_eq!(status, 200);
        assert_eq!(reply.pointer(pointer).unwrap().to_string(), value);
        assert_eq!(reply.get("usage").is_some(), matches!(fault, Fault::Empty | Fault::Short));
        assert_eq!(only_entry(sim).ending, Ending::Injected(fault));
    }
}

#[test]
fn broken_off_replies_end_half_way() {
    for body in [chat(4), whole(4)] {
        for (fault, resets) in [(Fault::Truncate, false), (Fault::Reset, true)] {
            let sim = faulty(fault);
            let mut client = Client::connect(&sim);
            client.post(CHAT, &body);
            match client.rest() {
                Ok(bytes) => {
                    assert!(!resets);
                    assert!(bytes.starts_with(b"HTTP/1.1 200") && !bytes.ends_with(b"0\r\n\r\n"));
                }
                Err(error) => assert!(resets && error.kind() == ErrorKind::ConnectionReset),
            }
            let streams = body["stream"] == true;
            let entry = only_entry(sim);
            assert_eq!(entry.ending, Ending::Injected(fault));
            assert_eq!(entry.tokens, if streams { 2 } else { 0 });
        }
    }
}

#[test]
fn a_stall_is_silent_and_holds_its_slot_until_the_client_leaves() {
    let sim = start(Profile { slots: 1, faults: Faults::always(Fault::Stall), ..quick() });
    let mut client = Client::connect(&sim);
    client.post(CHAT, &chat(4));
    assert_eq!(client.head().status, 200);
    for expected in ["role", "token", "token"] {
        assert_eq!(word(&client.chunk().unwrap()), expected);
    }
    let mut next = Client::connect(&sim);
    next.post(CHAT, &chat(4));
    assert_eq!(next.head().status, 200);
    let mut watcher = Client::connect(&sim);
    let (_, counts) = watcher.get("/counts");
    let counts: Value = serde_json::from_str(&counts).unwrap();
    assert_eq!(counts["in_flight"], 2);
    let (_, metrics) = watcher.get("/metrics");
    assert!(metrics.contains("vllm:num_requests_waiting{engine=\"0\",model_name=\"sim\"} 1\n"));
    drop(client);
    // The slot is free again.
    assert_eq!(word(&next.chunk().unwrap()), "role");
    let entry = &sim.ledger().entries(0, 1)[0];
    assert_eq!(entry.ending, Ending::Injected(Fault::Stall));
    assert_eq!(entry.tokens, 2);
}

#[test]
fn a_drip_comes_byte_by_byte() {
    let sim = faulty(Fault::Drip);
    let mut client = Client::connect(&sim);
    client.post(CHAT, &chat(4));
    assert_eq!(client.head().status, 200);
    let mut byte = [0; 64];
    for _ in 0..2 {
        assert_eq!(client.0.read(&mut byte).unwrap(), 1);
    }
    assert_eq!(only_entry(sim).ending, Ending::Injected(Fault::Drip));
}

#[test]
fn what_cannot_be_answered_is_said_so() {
    let sim = start(quick());
    let mut client = Client::connect(&sim);
    client.post(CHAT, &json!({"messages": 7}));
    let (status, body) = client.answer();
    assert_eq!(status, 400);
    assert_eq!(body["error"]["type"], "invalid_request_error");
    assert_eq!(client.get("/nothing").0, 404);
    assert_eq!(client.get(CHAT).0, 405);
    let (status, models) = client.get("/v1/models");
    assert_eq!(status, 200);
    assert!(models.contains(r#""id":"sim""#));
    client.send("hello\r\n\r\n");
    assert_eq!(client.head().status, 400);
    let entry = only_entry(sim);
    assert_eq!((entry.ending, entry.status), (Ending::BadRequest, Some(400)));
}

#[test]
fn more_than_the_context_is_refused_in_words() {
    let sim = start(Profile { context: 10, ..quick() });
    let mut client = Client::connect(&sim);
    let ask = |tokens: u32| json!({"messages": [{"content": "1234 678 "}], "max_tokens": tokens});
    client.post(CHAT, &ask(7));
    assert_eq!(client.answer().0, 200);
    client.post(CHAT, &ask(8));
    let (status, body) = client.answer();
    let words = "this model's context is 10 tokens, and 11 were asked for: 3 in the prompt and 8 \
                 in the answer";
    assert_eq!((status, &body["error"]["message"]), (400, &json!(words)));
}

#[test]
fn stopping_cuts_what_is_in_progress() {
    let sim = start(quick());
    let mut client = Client::connect(&sim);
    client.post(CHAT, &chat(1_000_000));
    assert_eq!(client.head().status, 200);
    assert_eq!(word(&client.chunk().unwrap()), "role");
    assert_eq!(only_entry(sim).ending, Ending::Stopped);
}

#[tokio::test]
async fn it_serves_as_a_task_until_it_is_told_to_stop() {
    let sim = Sim::bind(ANYWHERE, quick()).await.unwrap();
    let (address, ledger) = (sim.address(), sim.ledger());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(sim.serve(async { drop(stopped.await) }));
    let reply = tokio::task::spawn_blocking(move || {
        let mut client = Client::to(address);
        client.post(CHAT, &whole(1));
        client.answer().0
    });
    assert_eq!(reply.await.unwrap(), 200);
    stop.send(()).unwrap();
    serving.await.unwrap();
    assert_eq!(ledger.totals().completed, 1);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn an_address_in_use_is_named() {
    let sim = start(quick());
    let error = spawn(sim.address(), quick()).unwrap_err();
    assert!(error.to_string().contains(&sim.address().to_string()));
}

#[test]
fn the_ledger_adds_up_to_what_was_sent() {
    const USERS: u32 = 16;
    const EACH: u32 = 12;
    let sim = start(Profile {
        slots: 4,
        slowdown: 4,
        jitter: "0.3".parse().unwrap(),
        ttft: Duration::from_millis(1),
        faults: Faults::new(vec!["error=0.2".parse().unwrap(), "short=0.2".parse().unwrap()])
            .unwrap(),
        ..quick()
    });
    let sent: Vec<(String, bool)> = std::thread::scope(|scope| {
        let users: Vec<_> = (0..USERS)
            .map(|user| {
                let sim = &sim;
                scope.spawn(move || {
                    let mut client = Client::connect(sim);
                    let mut sent = Vec::new();
                    for request in 0..EACH {
                        let mut body = chat(3);
                        body["user"] = json!(format!("{user}-{request}"));
                        client.post(CHAT, &body);
                        let answer = client.head();
                        match answer.status {
                            200 => while client.chunk().is_some() {},
                            _ => drop(client.body(&answer)),
                        }
                        sent.push((body.to_string(), answer.status == 200));
                    }
                    sent
                })
            })
            .collect();
        users.into_iter().flat_map(|user| user.join().unwrap()).collect()
    });
    let (_, truth) = Client::connect(&sim).get("/truth");
    let truth: Value = serde_json::from_str(&truth).unwrap();
    let ledger = sim.ledger();
    sim.stop();
    let (totals, entries) = (ledger.totals(), ledger.entries(0, usize::MAX));
    assert_eq!(truth["requests"].as_array().unwrap().len(), entries.len());

    let all = u64::from(USERS * EACH);
    assert_eq!((totals.received, totals.entries), (all, all));
    assert_eq!((totals.in_flight, totals.connections), (0, u64::from(USERS) + 1));
    assert!(totals.in_flight_peak <= u64::from(USERS));
    let by_ending = |ending| totals.by_ending.get(&ending).copied().unwrap_or_default();
    let whole = by_ending(Ending::Completed);
    let short = by_ending(Ending::Injected(Fault::Short));
    let error = by_ending(Ending::Injected(Fault::Error));
    let served = sent.iter().filter(|(_, served)| *served).count() as u64;
    assert_eq!(whole.requests + short.requests, served);
    assert_eq!(error.requests, all - served);
    assert!(short.requests > 0 && error.requests > 0);
    assert_eq!(totals.completed, whole.requests);
    assert_eq!(whole.completion_tokens, 3 * whole.requests);
    assert_eq!(short.completion_tokens, short.requests);
    assert_eq!(totals.completion_tokens, entries.iter().map(|e| u64::from(e.tokens)).sum::<u64>());
    assert_eq!(totals.prompt_tokens, 3 * all);
    assert_eq!(
        totals.in_flight_integral_ns,
        entries.iter().map(|e| e.end.ns_since(e.arrival)).sum::<u64>()
    );

    let mut hashes: Vec<String> = entries.iter().map(|e| format!("{:016x}", e.body_hash)).collect();
    let mut expected: Vec<String> = sent
        .iter()
        .map(|(body, _)| Digest::of(body.as_bytes()).to_string()[..16].to_owned())
        .collect();
    hashes.sort();
    expected.sort();
    assert_eq!(hashes, expected);
}
