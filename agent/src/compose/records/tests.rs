//! Bodies that carry records, as a server sees them.

use std::collections::BTreeSet;
use std::io::IoSlice;

use common::arrivals::{Law, PerSecond, Rate, Schedule};
use common::assignment::{End, Load, Share};
use common::digest::Digest;
use common::length::Length;
use common::records::{DataSet, Format, PackedTurn, Packer};
use common::workload::Workload;
use proptest::prelude::*;
use proto::secrets::Secrets;
use serde_json::{Value, json};

use super::*;
use crate::compose::{Composer, PARTS_MAX, Request};
use crate::testing::assignment;

/// Conversations of so many turns each, in the words of the chat API; the middle one has tools.
fn packed(turns: &[u32]) -> Vec<u8> {
    let mut packer = Packer::default();
    for (conversation, turns) in turns.iter().enumerate() {
        let turns: Vec<PackedTurn> = (0..*turns)
            .map(|turn| {
                let asked = format!(r#"{{"role":"user","content":"{conversation}.{turn}"}}"#);
                let answered = r#",{"role":"assistant","content":"yes"},"#;
                let before = if turn == 0 { "" } else { answered };
                PackedTurn { added: format!("{before}{asked}"), output_tokens: Some(7 + turn) }
            })
            .collect();
        let members = if conversation == 1 { r#""tools":[{"type":"function"}],"# } else { "" };
        assert!(packer.add(members, &turns));
    }
    packer.pack()
}

fn records(bytes: Vec<u8>) -> Arc<Records> {
    let digest = Digest::of(&bytes);
    Arc::new(Records::unpack(bytes, digest).unwrap())
}

fn given(load: Load, shuffled: bool) -> Assignment {
    let mut assignment = assignment("http://127.0.0.1:8000");
    let data = DataSet {
        file: "f.jsonl".to_owned(),
        format: Format::OpenAi,
        digest: Digest::of(b""),
        bytes: 1,
        conversations: 1,
        turns: 1,
        shuffled,
    };
    let output_tokens = Length::Values(vec![3, 9]);
    assignment.workload = Workload { output_tokens, data: Some(data), ..assignment.workload };
    assignment.load = load;
    assignment
}

fn body(request: &Request<'_>) -> Value {
    let mut slices = [IoSlice::new(&[]); PARTS_MAX];
    let used = request.parts(&mut slices);
    let bytes: Vec<u8> = slices[..used].iter().flat_map(|slice| slice.to_vec()).collect();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.ends_with(&format!("content-length: {}", body.len())), "{head}\n{body}");
    serde_json::from_str(body).unwrap()
}

/// The last messages of what users ask, who have all of their requests answered but every `fails`th.
fn asked(turns: &[u32], users: u32, requests: u64, shuffled: bool, fails: u64) -> Vec<String> {
    let load = Load::counted(users, requests);
    let composer =
        Composer::of_records(&given(load, shuffled), &Secrets::default(), records(packed(turns)));
    let mut all = Vec::new();
    for user in (0..users).map(UserId) {
        let mut course = composer.course(user, users).unwrap();
        for number in 0..load.quota(user) {
            let request = composer.turn(user, number, &course);
            let body = body(&request);
            let last = body["messages"].as_array().unwrap().last().unwrap()["content"].clone();
            all.push(format!("{user} {}", last.as_str().unwrap()));
            course.step(request.goes_on() && (number + 1) % fails != 0);
        }
    }
    all
}

#[test]
fn a_turn_is_sent_with_its_history_its_tools_and_the_answer_it_asks_for() {
    let load = Load::counted(1, 9);
    let composer =
        Composer::of_records(&given(load, false), &Secrets::default(), records(packed(&[1, 2, 1])));
    let mut course = Course::new(UserId(0), 1);
    course.step(false);
    course.step(true);
    let request = composer.turn(UserId(0), 2, &course);
    let user = |text: &str| json!({ "role": "user", "content": text });
    assert_eq!(
        body(&request),
        json!({
            "tools": [{ "type": "function" }], "model": "mock",
            "messages": [user("1.0"), { "role": "assistant", "content": "yes" }, user("1.1")],
            "max_tokens": 8, "min_tokens": 8, "ignore_eos": true, "temperature": 0,
            "stream": true, "stream_options": { "include_usage": true },
        })
    );
    assert_eq!(request.output_tokens(), 8);
}

#[test]
fn a_user_stays_with_a_conversation_until_it_ends_or_fails() {
    assert_eq!(
        asked(&[2, 1, 3, 1], 2, 9, false, u64::MAX),
        ["0 0.0", "0 0.1", "0 2.0", "0 2.1", "0 2.2", "1 1.0", "1 3.0", "1 1.0", "1 3.0"]
    );
    // A turn without an answer ends it.
    assert_eq!(
        asked(&[3, 3, 3, 3], 2, 8, false, 2),
        ["0 0.0", "0 0.1", "0 2.0", "0 2.1", "1 1.0", "1 1.1", "1 3.0", "1 3.1"]
    );
}

#[test]
fn a_shuffled_order_holds_every_conversation_once() {
    let turns = [1; 40];
    let all = asked(&turns, 4, 40, true, u64::MAX);
    let plain = asked(&turns, 4, 40, false, u64::MAX);
    assert_ne!(all, plain);
    let of = |all: &[String]| -> BTreeSet<String> {
        all.iter().map(|text| text.split_once(' ').unwrap().1.to_owned()).collect()
    };
    assert_eq!(of(&all), of(&plain));
    assert_eq!(of(&all).len(), 40);
}

#[test]
fn arrivals_of_an_open_loop_take_one_turn_after_the_other() {
    let schedule = Schedule { law: Law::Constant, rate: Rate::Flat(PerSecond(1_000_000)) };
    let load = Load { users: 4, arrivals: Arrivals::Open(schedule), end: End::Window };
    let said = |shuffled: bool| -> Vec<String> {
        let assignment = given(load, shuffled);
        let composer =
            Composer::of_records(&assignment, &Secrets::default(), records(packed(&[2, 1, 3])));
        let arrivals = 0..8;
        let last = |number| {
            let body = body(&composer.request(UserId(0), number));
            let messages = body["messages"].as_array().unwrap();
            messages.last().unwrap()["content"].as_str().unwrap().to_owned()
        };
        arrivals.map(last).collect()
    };
    assert_eq!(said(false), ["0.0", "0.1", "1.0", "2.0", "2.1", "2.2", "0.0", "0.1"]);
    let shuffled = said(true);
    assert_eq!(BTreeSet::from_iter(&shuffled[..6]).len(), 6);
    assert!(shuffled.windows(3).any(|turns| turns == ["2.0", "2.1", "2.2"]));
}

#[test]
fn every_endpoint_has_a_place_for_records() {
    for (endpoint, text, field) in [
        (Endpoint::Chat, r#"{"role":"user","content":"a"}"#, "messages"),
        (Endpoint::Messages, r#"{"role":"user","content":"a"}"#, "messages"),
        (Endpoint::Responses, r#"{"role":"user","content":"a"}"#, "input"),
        (Endpoint::Completions, r#""a""#, "prompt"),
        (Endpoint::Embeddings, r#""a""#, "input"),
    ] {
        let mut packer = Packer::default();
        let turn = PackedTurn { added: text.to_owned(), output_tokens: None };
        assert!(packer.add("", &[turn]));
        let mut assignment = given(Load::counted(1, 1), false);
        assignment.target.endpoint = endpoint;
        assignment.target.stream = endpoint.generates();
        let composer =
            Composer::of_records(&assignment, &Secrets::default(), records(packer.pack()));
        let request = composer.request(UserId(0), 0);
        let body = body(&request);
        let value: Value = serde_json::from_str(text).unwrap();
        let single = &body[field];
        assert_eq!(single.get(0).unwrap_or(single), &value, "{endpoint:?}");
        assert!([3, 9].contains(&request.output_tokens()), "drawn where no record says");
    }
}

proptest! {
    /// However users are spread over agents, what each asks is its own alone.
    #[test]
    fn any_split_sends_the_same_bodies(
        turns in prop::collection::vec(1u32..4, 1..6), users in 1u32..9, agents in 1u32..5,
        shuffled: bool
    ) {
        let load = Load::counted(users, u64::from(users) * 3);
        let bytes = packed(&turns);
        let sent = |share: Share| {
            let assignment = Assignment { share, ..given(load, shuffled) };
            let composer = Composer::of_records(&assignment, &Secrets::default(), records(bytes.clone()));
            let mut all = Vec::new();
            for user in share.users() {
                let mut course = composer.course(user, users).unwrap();
                for number in 0..load.quota(user) {
                    let request = composer.turn(user, number, &course);
                    all.push(body(&request).to_string());
                    course.step(request.goes_on());
                }
            }
            all
        };
        let mut one = sent(load.share(0, 1));
        let mut split: Vec<_> =
            (0..agents).flat_map(|agent| sent(load.share(agent, agents))).collect();
        one.sort_unstable();
        split.sort_unstable();
        prop_assert_eq!(one, split);
    }
}
