//! What the rules make of the other APIs, each kind of event and of failure once.

use super::*;

const RESPONSES: Expect = Expect { endpoint: Endpoint::Responses, ..CHAT };
const MESSAGES: Expect = Expect { endpoint: Endpoint::Messages, ..CHAT };
const WHOLE_RESPONSE: Expect = Expect { stream: false, ..RESPONSES };
const WHOLE_MESSAGE: Expect = Expect { stream: false, ..MESSAGES };
const VECTOR: Expect =
    Expect { endpoint: Endpoint::Embeddings, stream: false, forced_tokens: Some(0) };

/// Each file, what was asked for, and what must be concluded.
pub(super) const REPLIES: [(&str, Expect, &str); 41] = [
    ("embeddings-base64.txt", VECTOR, "200 succeeded, 0 events, 5+0, paper, reusable"),
    ("embeddings-empty.txt", VECTOR, "200 empty_output, 0 events, 5+0, paper, reusable"),
    (
        "embeddings-error.txt",
        VECTOR,
        "200 error_in_stream, 0 events, paper, reusable: not an embedding model",
    ),
    (
        "embeddings-no-data.txt",
        VECTOR,
        "200 bad_event, 0 events, 5+0, paper, reusable: {\"object\": \"list\", \"model\": \"tiny\", \"usage\": {\"prompt_tokens\": 5, \"total_tokens\": 5}}",
    ),
    ("embeddings-no-usage.txt", VECTOR, "200 succeeded, 0 events, paper, reusable"),
    ("embeddings-no-vector.txt", VECTOR, "200 empty_output, 0 events, 5+0, paper, reusable"),
    (
        "embeddings-not-a-number.txt",
        VECTOR,
        "200 bad_event, 0 events, paper, reusable: {\"object\": \"list\", \"data\": [{\"object\": \"embedding\", \"index\": 0, \"embedding\": [NaN]}], \"model\": \"tiny\", \"usage\": {\"prompt_tokens\": 5, \"total_tokens\": 5}}",
    ),
    ("embeddings.txt", VECTOR, "200 succeeded, 0 events, 5+0, paper, reusable"),
    ("messages-empty.txt", MESSAGES, "200 empty_output, 0 events, 9+0, paper, reusable"),
    ("messages-error.txt", MESSAGES, "200 error_in_stream, 1 events, paper, reusable: Overloaded"),
    ("messages-late-prompt.txt", MESSAGES, "200 succeeded, 2 events, 9+2, paper, reusable"),
    ("messages-no-reason.txt", MESSAGES, "200 truncated, 1 events, paper, reusable"),
    ("messages-no-usage.txt", MESSAGES, "200 succeeded, 1 events, paper, reusable"),
    ("messages-not-json.txt", MESSAGES, "200 bad_event, 1 events, 9+1, paper, reusable: oops"),
    ("messages-odd-order.txt", MESSAGES, "200 succeeded, 2 events, 9+2, paper, reusable"),
    ("messages-prompt-in-parts.txt", MESSAGES, "200 succeeded, 3 events, 9+3 c4, paper, reusable"),
    ("messages-thinking.txt", MESSAGES, "200 succeeded, 4 events, 9+4, paper, reusable"),
    ("messages-tool-use.txt", MESSAGES, "200 succeeded, 3 events, 40+12, paper, reusable"),
    ("messages-truncated.txt", MESSAGES, "200 truncated, 1 events, paper, reusable"),
    (
        "messages-unnamed-error.txt",
        MESSAGES,
        "200 error_in_stream, 1 events, paper, reusable: out of memory",
    ),
    ("messages-whole-empty.txt", WHOLE_MESSAGE, "200 empty_output, 0 events, 7+0, paper, reusable"),
    (
        "messages-whole-error.txt",
        WHOLE_MESSAGE,
        "200 error_in_stream, 0 events, paper, reusable: no memory",
    ),
    ("messages-whole-without-usage.txt", WHOLE_MESSAGE, "200 succeeded, 0 events, paper, reusable"),
    ("messages-whole.txt", WHOLE_MESSAGE, "200 succeeded, 0 events, 7+3 c3, paper, reusable"),
    ("messages.txt", MESSAGES, "200 succeeded, 3 events, 9+3 c4, paper, reusable"),
    ("responses-empty.txt", RESPONSES, "200 empty_output, 0 events, 9+0, paper, reusable"),
    (
        "responses-error.txt",
        RESPONSES,
        "200 error_in_stream, 1 events, paper, reusable: worker died",
    ),
    (
        "responses-failed.txt",
        RESPONSES,
        "200 error_in_stream, 1 events, paper, reusable: out of memory",
    ),
    ("responses-no-usage.txt", RESPONSES, "200 succeeded, 1 events, paper, reusable"),
    ("responses-not-json.txt", RESPONSES, "200 bad_event, 1 events, 9+1, paper, reusable: oops"),
    ("responses-odd-order.txt", RESPONSES, "200 succeeded, 2 events, 9+2, paper, reusable"),
    ("responses-reasoning.txt", RESPONSES, "200 succeeded, 4 events, 11+4 r2, paper, reusable"),
    ("responses-refusal.txt", RESPONSES, "200 succeeded, 2 events, 9+2, paper, reusable"),
    ("responses-tool-call.txt", RESPONSES, "200 succeeded, 3 events, 40+12, paper, reusable"),
    ("responses-truncated.txt", RESPONSES, "200 truncated, 2 events, paper, reusable"),
    (
        "responses-whole-empty.txt",
        WHOLE_RESPONSE,
        "200 empty_output, 0 events, 7+0, paper, reusable",
    ),
    (
        "responses-whole-failed.txt",
        WHOLE_RESPONSE,
        "200 error_in_stream, 0 events, paper, reusable: no memory",
    ),
    ("responses-whole-queued.txt", WHOLE_RESPONSE, "200 truncated, 0 events, paper, reusable"),
    (
        "responses-whole-without-usage.txt",
        WHOLE_RESPONSE,
        "200 succeeded, 0 events, paper, reusable",
    ),
    ("responses-whole.txt", WHOLE_RESPONSE, "200 succeeded, 0 events, 7+3 r1, paper, reusable"),
    ("responses.txt", RESPONSES, "200 succeeded, 3 events, 9+3 c4, paper, reusable"),
];

#[test]
fn instants_are_those_of_tokens() {
    for (expect, file, want) in [
        (
            RESPONSES,
            "responses.txt",
            "head 10 first 60 answer 60 last 90 done 130 gaps [10000, 20000]",
        ),
        (
            RESPONSES,
            "responses-reasoning.txt",
            "head 10 first 40 answer 80 last 90 done 120 gaps [10000, 30000, 10000]",
        ),
        (
            RESPONSES,
            "responses-tool-call.txt",
            "head 10 first 30 answer 30 last 50 done 80 gaps [10000, 10000]",
        ),
        (RESPONSES, "responses-empty.txt", "head 10 first - answer - last - done 40 gaps []"),
        (
            RESPONSES,
            "responses-odd-order.txt",
            "head 10 first 30 answer 30 last 80 done 120 gaps [50000]",
        ),
        (
            MESSAGES,
            "messages.txt",
            "head 10 first 50 answer 50 last 80 done 120 gaps [10000, 20000]",
        ),
        (
            MESSAGES,
            "messages-thinking.txt",
            "head 10 first 40 answer 90 last 100 done 140 gaps [10000, 40000, 10000]",
        ),
        (
            MESSAGES,
            "messages-tool-use.txt",
            "head 10 first 30 answer 30 last 60 done 100 gaps [20000, 10000]",
        ),
        (
            MESSAGES,
            "messages-odd-order.txt",
            "head 10 first 30 answer 30 last 60 done 110 gaps [30000]",
        ),
    ] {
        assert_eq!(paced(expect, file), want, "{file}");
    }
}

#[test]
fn a_whole_answer_is_no_stream_and_belongs_to_its_api() {
    let ends = |expect, file| {
        let wire = pieces("replies", file).concat();
        ending(expect, Limits::DEFAULT, &wire)
    };
    assert_eq!(ends(RESPONSES, "responses-whole.txt"), "bad_event");
    assert_eq!(ends(MESSAGES, "messages-whole.txt"), "bad_event");
    for file in ["responses-whole.txt", "messages-whole.txt", "embeddings.txt", "whole.txt"] {
        let whole = [WHOLE, WHOLE_RESPONSE, WHOLE_MESSAGE, VECTOR];
        let right = whole.iter().filter(|expect| ends(**expect, file) == "succeeded").count();
        assert_eq!(right, 1, "{file}");
    }
}

#[test]
fn a_forced_length_is_checked_by_the_counts_of_each_api() {
    for (expect, file, tokens) in [
        (RESPONSES, "responses.txt", 3),
        (WHOLE_RESPONSE, "responses-whole.txt", 3),
        (MESSAGES, "messages.txt", 3),
    ] {
        let wire = pieces("replies", file).concat();
        for (forced, want) in [(tokens, "succeeded"), (tokens + 1, "wrong_length")] {
            let expect = Expect { forced_tokens: Some(forced), ..expect };
            assert_eq!(ending(expect, Limits::DEFAULT, &wire), want, "{file}");
        }
    }
}
