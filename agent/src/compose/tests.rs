//! Requests as a server sees them.

use std::collections::{BTreeMap, BTreeSet};

use common::length::{Bounds, Length};
use common::target::{Connection, Endpoint, Http};
use common::text::{CHARS_PER_TOKEN, PromptText, Rate, Words};
use common::workload::{CacheMode, SharedPrefix};
use serde_json::json;

use super::*;
use crate::testing::assignment;

/// Letters that a cold prompt of the passage begins with.
const NONCE_LEN: usize = 16;

fn bytes(request: &Request<'_>) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); PARTS_MAX];
    let used = request.parts(&mut slices);
    slices[..used].iter().flat_map(|slice| slice.to_vec()).collect()
}

fn key() -> Secrets {
    Secrets { api_key: Some("sk-x".into()), ..Secrets::default() }
}

fn parse(bytes: &[u8]) -> (String, Value) {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {}", body.len())));
    (head.to_owned(), serde_json::from_str(body).unwrap())
}

#[test]
fn a_cold_prompt_is_its_own_and_has_the_length_asked_for() {
    let mut assignment = assignment("http://127.0.0.1:8000");
    assignment.workload.cache = CacheMode::Cold;
    assignment.workload.input_tokens = 100.into();
    let composer = Composer::new(&assignment, &Secrets::default());
    let mut seen = BTreeSet::new();
    for user in 0..10 {
        for number in 0..10 {
            let (_, body) = parse(&bytes(&composer.request(UserId(user), number)));
            let prompt = body["messages"][0]["content"].as_str().unwrap().to_owned();
            assert_eq!(prompt.chars().count(), 400);
            assert!(seen.insert(prompt[..NONCE_LEN].to_owned()));
        }
    }
}

#[test]
fn a_replayed_prompt_is_the_same_for_all() {
    let composer = Composer::new(&assignment("http://127.0.0.1:8000"), &Secrets::default());
    let one = bytes(&composer.request(UserId(0), 0));
    assert_eq!(one, bytes(&composer.request(UserId(7), 3)));
    let (head, body) = parse(&one);
    assert!(head.starts_with("POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:8000\r\n"));
    assert!(!head.contains("authorization"));
    assert_eq!(body["ignore_eos"], true);
    assert_eq!(body["stream_options"]["include_usage"], true);
    assert_eq!(body["max_tokens"], body["min_tokens"]);
}

#[test]
fn completions_carry_a_prompt_and_the_key_goes_into_the_head_only() {
    let mut assignment = assignment("https://example.com/proxy");
    assignment.target.endpoint = Endpoint::Completions;
    assignment.target.stream = false;
    assignment.workload.forced_length = false;
    let composer = Composer::new(&assignment, &key());
    let (head, body) = parse(&bytes(&composer.request(UserId(0), 0)));
    assert!(head.starts_with("POST /proxy/v1/completions HTTP/1.1\r\nhost: example.com\r\n"));
    assert!(head.contains("\r\nauthorization: Bearer sk-x"));
    assert!(body["prompt"].is_string() && body.get("messages").is_none());
    assert!(body.get("ignore_eos").is_none() && body.get("stream_options").is_none());
    assert!(!head.contains("x-api-key") && !head.contains("connection"));
    assignment.target.connection = Connection::PerRequest;
    let composer = Composer::new(&assignment, &key());
    let (head, body) = parse(&bytes(&composer.request(UserId(0), 0)));
    assert!(head.contains("\r\nconnection: close\r\nauthorization: Bearer sk-x"));
    assert!(!body.to_string().contains("sk-x"));
    assert_eq!(composer.without_secrets("no sk-x"), "no [API key]");
}

#[test]
fn every_endpoint_is_asked_in_its_own_words() {
    let asked = |endpoint: Endpoint, stream: bool, forced_length: bool| {
        let mut assignment = assignment("http://127.0.0.1:8000");
        assignment.target = Target { endpoint, stream, ..assignment.target };
        assignment.workload.forced_length = forced_length;
        assignment.workload.cache = CacheMode::Cold;
        assignment.workload.input_tokens = 30.into();
        let composer = Composer::new(&assignment, &key());
        let (head, mut body) = parse(&bytes(&composer.request(UserId(0), 0)));
        let text = match endpoint {
            Endpoint::Chat | Endpoint::Messages => &mut body["messages"][0]["content"],
            Endpoint::Completions => &mut body["prompt"],
            Endpoint::Responses | Endpoint::Embeddings => &mut body["input"],
        };
        assert_eq!(text.take().as_str().unwrap().chars().count(), 120, "{endpoint:?}");
        let place = format!("POST {} HTTP/1.1\r\n", endpoint.path());
        assert!(head.starts_with(&place), "{head}");
        assert_eq!(head.matches("\r\nauthorization: Bearer sk-x").count(), 1);
        let messages = endpoint == Endpoint::Messages;
        assert_eq!(head.contains("\r\nx-api-key: sk-x"), messages);
        assert_eq!(head.contains("\r\nanthropic-version: 2023-06-01\r\n"), messages);
        body
    };
    assert_eq!(
        asked(Endpoint::Responses, true, true),
        json!({
            "model": "mock", "input": null, "store": false, "max_output_tokens": 4,
            "temperature": 0, "stream": true, "ignore_eos": true,
        })
    );
    let body = asked(Endpoint::Responses, false, false);
    assert_eq!((&body["stream"], body.get("ignore_eos")), (&json!(false), None));
    assert_eq!(
        asked(Endpoint::Messages, true, false),
        json!({
            "model": "mock", "messages": [{ "role": "user", "content": null }],
            "max_tokens": 4, "temperature": 0, "stream": true,
        })
    );
    assert_eq!(
        asked(Endpoint::Embeddings, false, true),
        json!({ "model": "mock", "input": null, "encoding_format": "float" })
    );
    assert_eq!(asked(Endpoint::Chat, true, true)["min_tokens"], 4);
    assert_eq!(asked(Endpoint::Completions, true, true)["min_tokens"], 4);
}

/// The prompt of a chat request, and the answer asked for.
fn asked(composer: &Composer, user: u32, number: u64) -> (String, u64) {
    let request = composer.request(UserId(user), number);
    let (_, body) = parse(&bytes(&request));
    assert_eq!(body["max_tokens"], body["min_tokens"]);
    assert_eq!(body["max_tokens"], request.output_tokens());
    let prompt = body["messages"][0]["content"].as_str().unwrap().to_owned();
    (prompt, body["max_tokens"].as_u64().unwrap())
}

fn composer(workload: Workload) -> Composer {
    let assignment = Assignment { workload, ..assignment("http://127.0.0.1:8000") };
    Composer::new(&assignment, &Secrets::default())
}

#[test]
fn lengths_that_are_drawn_are_those_of_the_request_alone() {
    let base = assignment("http://127.0.0.1:8000").workload;
    let bounds = Bounds { least: 5, most: 900 };
    let lengths = [
        Length::Fixed(77),
        Length::Uniform { least: 5, most: 900 },
        Length::Normal { mean: 400, sd: 300, bounds },
        Length::Lognormal { median: 99, sigma_milli: 900, bounds },
        Length::Values(vec![5, 99, 100, 101, 900]),
    ];
    for input_tokens in &lengths {
        for output_tokens in &lengths {
            for cache in [CacheMode::Cold, CacheMode::Replay] {
                let (input_tokens, output_tokens) = (input_tokens.clone(), output_tokens.clone());
                let workload = Workload { input_tokens, output_tokens, cache, ..base.clone() };
                let (one, other) = (composer(workload.clone()), composer(workload.clone()));
                let mut seen = BTreeSet::new();
                for user in 0..40 {
                    let (prompt, output) = asked(&one, user, 3);
                    assert_eq!((prompt.clone(), output), asked(&other, user, 3));
                    let tokens = u32::try_from(prompt.len()).unwrap() / CHARS_PER_TOKEN;
                    let Workload { input_tokens: input, output_tokens: out, .. } = &workload;
                    assert!((input.least()..=input.most()).contains(&tokens), "{prompt}");
                    assert_eq!(prompt.len() % 4, 0);
                    let output = u32::try_from(output).unwrap();
                    assert!((out.least()..=out.most()).contains(&output));
                    seen.insert((tokens, output));
                }
                let fixed = workload.input_tokens.fixed().is_some()
                    && workload.output_tokens.fixed().is_some();
                assert_eq!(seen.len() == 1, fixed, "{workload:?}");
            }
        }
    }
}

#[test]
fn prompts_of_a_group_share_its_prefix_and_nothing_more() {
    let prefix = SharedPrefix { tokens: 40, groups: 3, share_permille: 750 };
    let base = assignment("http://127.0.0.1:8000").workload;
    let cache = CacheMode::SharedPrefix(prefix);
    let composer = composer(Workload { input_tokens: 100.into(), cache, ..base });
    let prompts: Vec<String> = (0..4_000).map(|user| asked(&composer, user, 0).0).collect();
    assert!(prompts.iter().all(|prompt| prompt.len() == 400));
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for prompt in &prompts {
        groups.entry(&prompt[..160]).or_default().push(&prompt[160..]);
    }
    let mut sizes: Vec<usize> = groups.values().map(Vec::len).collect();
    sizes.sort_unstable();
    let (alone, shared) = sizes.split_at(sizes.len() - 3);
    assert!(alone.iter().all(|size| *size == 1) && (900..1100).contains(&alone.len()));
    assert!(shared.iter().all(|size| (880..1120).contains(size)), "{shared:?}");
    for rests in groups.values() {
        let starts: BTreeSet<&str> = rests.iter().map(|rest| &rest[..NONCE_LEN]).collect();
        assert_eq!(starts.len(), rests.len(), "what follows the prefix is each one's own");
    }
}

/// Words of three letters; none of the text is among them.
fn words(pool: usize, overhead: u32) -> Words {
    let letter = |at: usize| char::from(b'a' + (at % 26) as u8);
    let word = |at: usize| [letter(at / 676), letter(at / 26), letter(at)].iter().collect();
    let pool: Vec<String> = (0..pool).map(word).collect();
    Words::new("Go", &pool.join(" "), "network learns Attention", overhead).unwrap()
}

#[test]
fn a_prompt_of_words_has_as_many_as_asked_for_whatever_the_cache_mode() {
    let base = assignment("http://127.0.0.1:8000").workload;
    let prefix = SharedPrefix { tokens: 30, groups: 3, share_permille: 500 };
    let input_tokens = Length::Uniform { least: 40, most: 300 };
    for (pool, overhead) in [(128, 0), (1024, 0), (300, 7), (128, 25), (128, 29)] {
        for cache in [CacheMode::Cold, CacheMode::Replay, CacheMode::SharedPrefix(prefix)] {
            let text = PromptText::Words(words(pool, overhead));
            let input_tokens = input_tokens.clone();
            let composer =
                composer(Workload { input_tokens, cache, text: text.clone(), ..base.clone() });
            let mut starts = BTreeSet::new();
            for user in 0..300 {
                let (prompt, _) = asked(&composer, user, 0);
                let count = prompt.split(' ').count() as u32 + overhead;
                assert!((40..=300).contains(&count), "{count}");
                assert!(prompt.starts_with("Go") && !prompt.contains("  "), "{prompt}");
                assert_eq!(prompt, prompt.trim());
                starts.insert(prompt.split(' ').take(10).collect::<Vec<_>>().join(" "));
            }
            let expected = match cache {
                CacheMode::Cold => 300,
                CacheMode::Replay => 1,
                // Half of them are cold; of those that share, the first words are the group's.
                CacheMode::SharedPrefix(_) => 100,
            };
            let shared = cache != CacheMode::SharedPrefix(prefix);
            assert!(starts.len() >= expected || overhead > 20, "{cache} {}", starts.len());
            assert!(!shared || overhead > 20 || starts.len() == expected);
        }
    }
}

#[test]
fn short_prompts_of_words_have_their_length_too() {
    let base = assignment("http://127.0.0.1:8000").workload;
    for tokens in 1..30u32 {
        let (cache, text) = (CacheMode::Cold, PromptText::Words(words(128, 0)));
        let input_tokens = tokens.into();
        let composer = composer(Workload { input_tokens, cache, text, ..base.clone() });
        let (prompt, _) = asked(&composer, 3, 4);
        assert_eq!(prompt.split(' ').count() as u32, tokens, "{prompt}");
    }
}

#[test]
fn a_measured_rate_makes_the_passage_longer_or_shorter() {
    let base = assignment("http://127.0.0.1:8000").workload;
    let rate = Rate::new(4_610_000, 60).unwrap();
    for cache in [CacheMode::Cold, CacheMode::Replay] {
        let (input_tokens, text) = (500.into(), PromptText::Measured(rate));
        let composer = composer(Workload { input_tokens, cache, text, ..base.clone() });
        assert_eq!(asked(&composer, 0, 0).0.len(), rate.chars(500));
    }
}

#[test]
fn numbers_are_written_as_they_are() {
    for number in [0, 7, 10, 4_294_967_295, 9_999_999_999] {
        assert_eq!(Digits::of(number).bytes(), number.to_string().as_bytes());
    }
}

#[test]
fn no_name_of_a_model_is_taken_for_a_mark() {
    for model in ["\u{fdd0}", "\\u0001", "\"\\u0001\"", "\"\\u0002\"", "x\\", "\u{fdd1}\""] {
        let mut assignment = assignment("http://127.0.0.1:8000");
        assignment.target.model = model.to_owned();
        assignment.workload.cache = CacheMode::Cold;
        assignment.workload.output_tokens = Length::Uniform { least: 1, most: 99 };
        let composer = Composer::new(&assignment, &Secrets::default());
        assert!(
            composer.parts.len() + common::prompt::SLICES - 1 <= PARTS_MAX,
            "{:?}",
            composer.parts
        );
        let (_, body) = parse(&bytes(&composer.request(UserId(0), 0)));
        assert_eq!(body["model"], model);
        assert_eq!(body["messages"][0]["content"].as_str().unwrap().len(), 40);
        assert!((1..=99).contains(&body["max_tokens"].as_u64().unwrap()));
    }
}

#[test]
fn a_campaigns_own_fields_come_last_and_only_where_nothing_else_decides() {
    let mut assignment = assignment("http://127.0.0.1:8000");
    let extra = r#"{"temperature": 0.7, "chat_template_kwargs": {"enable_thinking": false}}"#;
    assignment.target.extra_body = extra.parse().unwrap();
    let (_, body) = parse(&bytes(&Composer::new(&assignment, &key()).request(UserId(0), 0)));
    assert_eq!(body["temperature"], 0.7);
    assert_eq!(body["chat_template_kwargs"]["enable_thinking"], false);
    assert_eq!(body["max_tokens"], 4);
}

#[test]
fn requests_take_turns_over_base_urls_and_say_the_same_to_each() {
    let mut assignment = assignment("http://a:1");
    assignment.target.more_base_urls = vec!["http://b:2/x".parse().unwrap()];
    assignment.workload.cache = CacheMode::Cold;
    let lines = Composer::new(&assignment, &key());
    assignment.target.http = Http::V2;
    let frames = Composer::new(&assignment, &key());
    for (user, number) in [(0, 0), (0, 1), (1, 0), (1, 1), (7, 4)] {
        let second = (u64::from(user) + number) % 2 == 1;
        let request = lines.request(UserId(user), number);
        assert!(request.url() == usize::from(second) && request.frames().is_none());
        let (head, body) = parse(&bytes(&request));
        assert_eq!(head.contains("\r\nhost: b:2\r\n"), second, "{head}");
        assert_eq!(head.starts_with("POST /x/v1/chat/completions "), second, "{head}");
        let (fields, content) = frames.request(UserId(user), number).frames().unwrap();
        assert_eq!(fields.uri().authority().unwrap(), if second { "b:2" } else { "a:1" });
        assert_eq!(fields.headers()["content-length"], content.len().to_string());
        assert_eq!(serde_json::from_slice::<Value>(&content).unwrap(), body);
    }
}
