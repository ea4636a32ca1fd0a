//! Files of every format, good and bad, and what is packed of them.

use common::records::Records;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::campaign::Turns;

fn plan(output: Option<u32>) -> DataPlan {
    DataPlan {
        file: "f.jsonl".to_owned(),
        format: None,
        turns: Turns::All,
        shuffled: false,
        output_tokens: output.map(Length::Fixed),
    }
}

fn read_as(text: &str, plan: &DataPlan, endpoint: Endpoint) -> Result<(Parsed, Records), Fault> {
    let parsed = parse(text.as_bytes(), plan, endpoint)?;
    let records = Records::unpack(parsed.bytes.clone(), parsed.data.digest).unwrap();
    Ok((parsed, records))
}

/// The body that each turn makes, and the tokens it asks for.
fn bodies(text: &str, endpoint: Endpoint) -> Vec<(Value, Option<u32>)> {
    let (_, records) = read_as(text, &plan(None), endpoint).unwrap();
    (0..records.turns())
        .map(|turn| {
            let (conversation, within) = records.place(turn).unwrap();
            let carried = records.turn(conversation, within).unwrap();
            let members = std::str::from_utf8(carried.members).unwrap();
            let said = std::str::from_utf8(carried.text).unwrap();
            let body = match endpoint {
                Endpoint::Completions | Endpoint::Embeddings => said.to_owned(),
                Endpoint::Chat | Endpoint::Responses | Endpoint::Messages => {
                    format!("{{{members}\"said\":[{said}]}}")
                }
            };
            (serde_json::from_str(&body).unwrap(), carried.output_tokens)
        })
        .collect()
}

/// What is wrong, in the words that a user reads.
fn wrong(text: &str, endpoint: Endpoint) -> String {
    let fault = read_as(text, &plan(None), endpoint).map(|_| ()).unwrap_err();
    let (file, workload) = ("f.jsonl".to_owned(), "chat".parse().unwrap());
    DataErrors(vec![DataError { file, workload, fault }]).to_string()
}

/// A conversation with a tool in it.
const TOOLS: &str = r#"{"messages": [{"role":"system","content":"Be brief."},
  {"role":"user","content":"Weather in Rome?"},
  {"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function",
    "function":{"name":"weather","arguments":"{\"city\":\"Rome\"}"}}]},
  {"role":"tool","tool_call_id":"c1","content":"sunny"},
  {"role":"assistant","content":"It is sunny in Rome."}],
 "tools":[{"type":"function","function":{"name":"weather","description":"Tells it.",
    "parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}]}"#;

fn tools() -> String {
    TOOLS.replace('\n', " ")
}

#[test]
fn a_conversation_with_tools_is_said_in_the_words_of_each_endpoint() {
    let raw: Value = serde_json::from_str(TOOLS).unwrap();
    let messages = raw["messages"].as_array().unwrap();
    let said = bodies(&tools(), Endpoint::Chat);
    let chat = |count: usize| json!({ "tools": raw["tools"], "said": messages[..count] });
    assert_eq!(said, [(chat(2), Some(6)), (chat(4), Some(5))]);

    let schema = &raw["tools"][0]["function"]["parameters"];
    let said = bodies(&tools(), Endpoint::Responses);
    let asked = [
        json!({ "role": "system", "content": "Be brief." }),
        json!({ "role": "user", "content": "Weather in Rome?" }),
    ];
    let called = [
        json!({ "type": "function_call", "call_id": "c1", "name": "weather",
                "arguments": "{\"city\":\"Rome\"}" }),
        json!({ "type": "function_call_output", "call_id": "c1", "output": "sunny" }),
    ];
    assert_eq!(said[0].0["said"], json!(asked));
    assert_eq!(said[1].0["said"], json!([&asked[..], &called[..]].concat()));
    let tool = json!({ "type": "function", "name": "weather", "description": "Tells it.",
                       "parameters": schema });
    assert_eq!(said[1].0["tools"], json!([tool]));

    let said = bodies(&tools(), Endpoint::Messages);
    let system = json!([{ "type": "text", "text": "Be brief." }]);
    let tool = json!([{ "name": "weather", "description": "Tells it.", "input_schema": schema }]);
    let asked = json!({ "role": "user", "content": "Weather in Rome?" });
    assert_eq!(said[0].0, json!({ "system": system, "tools": tool, "said": [asked] }));
    let call = json!({ "type": "tool_use", "id": "c1", "name": "weather",
                       "input": { "city": "Rome" } });
    let result = json!({ "type": "tool_result", "tool_use_id": "c1", "content": "sunny" });
    assert_eq!(
        said[1].0["said"],
        json!([asked, { "role": "assistant", "content": [call] },
               { "role": "user", "content": [result] }])
    );
}

#[test]
fn prompts_are_prompts_or_one_message_of_the_user() {
    let text = "{\"prompt\": \"one \\u00e4\", \"output_tokens\": 7}\n\n{\"prompt\":\"two\",\"max_tokens\":9}\r\n";
    for endpoint in [Endpoint::Completions, Endpoint::Embeddings] {
        let tokens = |n| endpoint.generates().then_some(n);
        let all = bodies(text, endpoint);
        assert_eq!(all, [(json!("one ä"), tokens(7)), (json!("two"), tokens(9))]);
    }
    for endpoint in [Endpoint::Chat, Endpoint::Responses, Endpoint::Messages] {
        let (body, tokens) = bodies(text, endpoint).remove(0);
        assert_eq!(body, json!({ "said": [{ "role": "user", "content": "one ä" }] }));
        assert_eq!(tokens, Some(7));
    }
}

#[test]
fn sharegpt_is_read_as_a_list_and_as_lines() {
    let items = [
        r#"{"id":"a","conversations":[{"from":"gpt","value":"left over"},{"from":"human","value":"hi"},
            {"from":"gpt","value":"eight ch"},{"from":"user","value":"more"},{"from":"bard","value":"x"}]}"#,
        r#"{"id":"b","conversations":[]}"#,
        r#"{"id":"c","conversations":[{"from":"human","value":"q"},{"from":"assistant","value":"a"}]}"#,
    ]
    .map(|item| item.replace('\n', " "));
    let list = format!("\n[{}]", items.join(",\n"));
    let all = bodies(&list, Endpoint::Chat);
    let user = |text: &str| json!({ "role": "user", "content": text });
    let answer = json!({ "role": "assistant", "content": "eight ch" });
    assert_eq!(all[0], (json!({ "said": [user("hi")] }), Some(2)));
    assert_eq!(all[1], (json!({ "said": [user("hi"), answer, user("more")] }), Some(1)));
    assert_eq!(all[2], (json!({ "said": [user("q")] }), Some(1)));
    assert_eq!(bodies(&items.join("\n"), Endpoint::Chat), all);

    let first = DataPlan { turns: Turns::First, ..plan(None) };
    let (parsed, records) = read_as(&list, &first, Endpoint::Chat).unwrap();
    assert_eq!((records.conversations(), records.turns()), (2, 2));
    assert_eq!(parsed.data.format, Format::ShareGpt);
    assert_eq!((parsed.data.conversations, parsed.data.turns), (2, 2));
}

#[test]
fn what_the_workload_says_of_answers_wins_over_the_file() {
    let text = "{\"prompt\":\"12345\",\"output_tokens\":7}\n{\"prompt\":\"1\"}";
    let (parsed, records) = read_as(text, &plan(Some(3)), Endpoint::Completions).unwrap();
    assert_eq!(records.turn(0, 0).unwrap().output_tokens, None);
    assert_eq!(parsed.output, None);
    assert_eq!(parsed.input, Length::Values(vec![1, 2]));
}

#[test]
fn lengths_of_many_entries_keep_their_spread() {
    let values = law((1..=50_000).collect()).unwrap();
    assert_eq!((values.least(), values.most()), (1, 50_000));
    assert!((values.mean() - 25_000.5).abs() < 50.0, "{}", values.mean());
    assert!(values.is_within(50_000));
    assert_eq!(law(vec![4, 4]), Some(Length::Fixed(4)));
    assert_eq!(law(Vec::new()), None);
}

#[test]
fn every_bad_entry_is_named_by_its_line_and_reason() {
    let text = [
        r#"{"messages":[{"role":"user","content":"fine"}],"max_tokens":3}"#,
        r#"{"messages":[{"role":"user","content":"x"}]}"#,
        r#"{"messages":[{"role":"user","content":"x"}]"#,
        r#"{"messages":[{"role":"critic","content":"x"}],"max_tokens":3}"#,
        r#"{"messages":[{"role":"user"}],"max_tokens":3}"#,
        r#"{"messages":[{"role":"user","content":7}],"max_tokens":3}"#,
        r#"{"messages":[{"role":"system","content":"x"}],"max_tokens":3}"#,
        r#"{"messages":[],"max_tokens":3}"#,
        r#"{"messages":[{"role":"tool","content":"x"}],"max_tokens":3}"#,
        r#"{"messages":[{"role":"user","content":"x"}],"max_tokens":0}"#,
        r#"{"messages":[{"role":"user","content":"x"}],"max_tokens":"many"}"#,
        r#"{"prompt":"another format"}"#,
        r#"[1, 2]"#,
        "\u{1b}[2J",
    ];
    insta::assert_snapshot!(wrong(&text.join("\n"), Endpoint::Chat), @r#"
    f.jsonl:2: message 1: nothing says how long the answer may be: add output_tokens here, or to the workload
    f.jsonl:3: not JSON: EOF while parsing an object, at column 43
    f.jsonl:4: message 1: role "critic" is none of system, developer, user, assistant, tool
    f.jsonl:5: message 1: has no content
    f.jsonl:6: message 1: content is neither a text nor a list of parts
    f.jsonl:7: no message of a user or a tool that could be answered
    f.jsonl:8: no message of a user or a tool that could be answered
    f.jsonl:9: message 1: has no tool_call_id
    f.jsonl:10: message 1: 0 output tokens: not 1 to 10000000
    f.jsonl:11: invalid type: string "many", expected u64, at column 63
    f.jsonl:12: missing field `messages`, at column 27
    f.jsonl:13: no JSON object
    f.jsonl:14: no JSON object
    f.jsonl: 13 bad entries; nothing was sent
    "#);
}

#[test]
fn a_file_that_cannot_be_used_at_all_says_what_to_do() {
    let conversation = r#"{"messages":[{"role":"user","content":"x"}],"max_tokens":3}"#;
    let many = "{\"prompt\":1}\n".repeat(25);
    let texts = [
        (conversation, Endpoint::Completions),
        ("", Endpoint::Chat),
        ("\n \n", Endpoint::Chat),
        ("{\"text\":\"x\"}", Endpoint::Chat),
        ("once upon a time", Endpoint::Chat),
        ("[{\"conversations\":\n[}]", Endpoint::Chat),
        ("[]", Endpoint::Chat),
        (&many, Endpoint::Completions),
    ];
    let all: Vec<String> = texts.iter().map(|(text, endpoint)| wrong(text, *endpoint)).collect();
    insta::assert_snapshot!(all.join("\n--\n"), @r#"
    f.jsonl: holds conversations (openai), and completions takes prompts; set target.endpoint = "chat", or use a file with prompts
    --
    f.jsonl: holds nothing to send
    --
    f.jsonl: holds nothing to send
    --
    f.jsonl: its format cannot be told: the first entry has neither messages nor prompt nor conversations, and is not of a trace; say which it is with workloads.chat.dataset.format, one of openai, prompts, sharegpt, mooncake, csv
    --
    f.jsonl:1: not JSON: expected value, at column 1
    f.jsonl: 1 bad entry; nothing was sent
    --
    f.jsonl:2: not JSON: expected value, at column 2
    f.jsonl: 1 bad entry; nothing was sent
    --
    f.jsonl: holds nothing to send
    --
    f.jsonl:1: prompt is no text
    f.jsonl:2: prompt is no text
    f.jsonl:3: prompt is no text
    f.jsonl:4: prompt is no text
    f.jsonl:5: prompt is no text
    f.jsonl:6: prompt is no text
    f.jsonl:7: prompt is no text
    f.jsonl:8: prompt is no text
    f.jsonl:9: prompt is no text
    f.jsonl:10: prompt is no text
    f.jsonl:11: prompt is no text
    f.jsonl:12: prompt is no text
    f.jsonl:13: prompt is no text
    f.jsonl:14: prompt is no text
    f.jsonl:15: prompt is no text
    f.jsonl:16: prompt is no text
    f.jsonl:17: prompt is no text
    f.jsonl:18: prompt is no text
    f.jsonl:19: prompt is no text
    f.jsonl:20: prompt is no text
    f.jsonl: 25 bad entries, 5 of them not shown
    "#);
    let fault = parse(b"{\"prompt\":\"a\"}\n\xff", &plan(None), Endpoint::Chat).unwrap_err();
    assert_eq!(fault, Fault::Lines { lines: vec![(2, "not UTF-8".to_owned())], all: 1 });
}

#[test]
fn only_the_chat_api_takes_parts_that_are_no_text() {
    let text = r#"{"messages":[{"role":"user","content":[{"type":"text","text":"see"},
        {"type":"image_url","image_url":{"url":"data:,"}}]}],"max_tokens":3}"#;
    let text = text.replace('\n', " ");
    assert_eq!(bodies(&text, Endpoint::Chat).len(), 1);
    for endpoint in [Endpoint::Responses, Endpoint::Messages] {
        let why = wrong(&text, endpoint);
        assert!(why.starts_with("f.jsonl:1: message 1: a part of type \"image_url\""), "{why}");
    }
}

proptest! {
    /// Any damage is told by its line, or changes what is sent; it never panics.
    #[test]
    fn any_damage_is_told_or_understood(
        at in 0usize..900, byte: u8, cut in 0usize..900, form in 0usize..4
    ) {
        let good = tools();
        let line = [
            good.as_str(),
            r#"{"prompt":"some text","output_tokens":5}"#,
            r#"{"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}]}"#,
            r#"{"timestamp":5,"input_length":9,"output_length":3,"hash_ids":[1]}"#,
        ][form];
        let mut bytes = format!("{line}\n{line}\n{line}\n").into_bytes();
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        bytes.truncate(bytes.len() - cut.min(bytes.len()));
        for endpoint in Endpoint::ALL {
            match parse(&bytes, &plan(None), endpoint) {
                Ok(Parsed { bytes, data, .. }) if data.format.is_trace() => {
                    let trace = common::trace::Trace::unpack(&bytes, data.digest).unwrap();
                    prop_assert_eq!(trace.count(), data.turns);
                }
                Ok(Parsed { bytes, data, .. }) => {
                    let records = Records::unpack(bytes, data.digest).unwrap();
                    let counts = (records.conversations(), records.turns());
                    prop_assert_eq!(counts, (data.conversations, data.turns));
                }
                Err(Fault::Lines { lines, all }) => {
                    prop_assert!(all > 0 && lines.iter().all(|(line, _)| (1..=4).contains(line)));
                }
                Err(Fault::Empty | Fault::Unknown | Fault::Endpoint { .. } | Fault::Long) => {}
                Err(other) => prop_assert!(false, "{other:?}"),
            }
        }
    }

    /// Each turn's text is the next one's beginning, so agents can send slices of one string.
    #[test]
    fn turns_are_prefixes_of_each_other(
        says in prop::collection::vec(("[a-zé\"\\\\]{0,9}", prop::bool::ANY), 1..9)
    ) {
        let said: Vec<Value> = says
            .iter()
            .map(|(text, user)| json!({ "from": if *user { "human" } else { "gpt" }, "value": text }))
            .collect();
        let text = json!({ "conversations": said }).to_string();
        let read = read_as(&text, &plan(Some(1)), Endpoint::Chat);
        prop_assume!(read.is_ok());
        let (_, records) = read.unwrap();
        let texts: Vec<Vec<u8>> = (0..records.turns())
            .map(|turn| records.turn(0, turn).unwrap().text.to_vec())
            .collect();
        for pair in texts.windows(2) {
            prop_assert!(pair[1].starts_with(&pair[0]) && pair[1].len() > pair[0].len());
        }
        for text in texts {
            let all: Vec<Value> =
                serde_json::from_slice(&[b"[", &text[..], b"]"].concat()).unwrap();
            prop_assert_eq!(&all.last().unwrap()["role"], "user");
        }
    }
}

const MOONCAKE: &str = r#"{"timestamp": 2000, "input_length": 1100, "output_length": 7, "hash_ids": [4, 9, 11]}
{"timestamp": 500.5, "input_length": 30, "output_length": 9, "hash_ids": [4]}
{"timestamp": 3500, "input_length": 5, "output_length": 1}"#;

#[test]
fn a_trace_is_read_in_the_order_of_its_instants() {
    let read = |text: &str, plan: &DataPlan| {
        let parsed = parse(text.as_bytes(), plan, Endpoint::Chat).unwrap();
        let trace = common::trace::Trace::unpack(&parsed.bytes, parsed.data.digest).unwrap();
        (parsed, trace)
    };
    let (parsed, trace) = read(MOONCAKE, &plan(None));
    assert_eq!((parsed.data.format, parsed.data.turns), (Format::Mooncake, 3));
    let all: Vec<_> = (0..3).map(|number| trace.get(number).unwrap()).collect();
    assert_eq!([0, 1_499_500, 2_999_500], [0, 1, 2].map(|n: usize| all[n].offset_us));
    assert_eq!([30, 1100, 5], [0, 1, 2].map(|n: usize| all[n].input_tokens));
    assert_eq!((all[1].output_tokens, all[1].blocks), (Some(7), &[4, 9, 11][..]));
    assert_eq!(parsed.pace, Some(TracePace::of(3, 2_999_500)));
    // What the workload says of answers wins.
    let (_, trace) = read(MOONCAKE, &plan(Some(3)));
    assert_eq!(trace.get(0).unwrap().output_tokens, None);

    let azure = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n\
                 2023-11-16 18:15:50.9951690,396,109\n";
    let (parsed, trace) = read(azure, &plan(None));
    assert_eq!((parsed.data.format, trace.count()), (Format::Csv, 2));
    let second = trace.get(1).unwrap();
    assert_eq!((second.offset_us, second.input_tokens), (4_314_579, 396));
    let burst = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\r\n\
                 5,ChatGPT,472,18,490,Conversation log\r\n45,ChatGPT,9,0,9,API log\r\n\
                 118,GPT-4,1087,230,1317,Conversation log\r\n";
    let (_, trace) = read(burst, &plan(None));
    assert_eq!(trace.count(), 2, "a request without an answer is left out");
    assert_eq!(trace.get(1).unwrap().offset_us, 113_000_000);
}

#[test]
fn bad_lines_of_a_trace_are_named() {
    let mooncake = "{\"timestamp\":1,\"input_length\":3,\"output_length\":2}\n\
                    {\"timestamp\":\"x\",\"input_length\":3,\"output_length\":2}\n\
                    {\"timestamp\":1,\"input_length\":0,\"output_length\":2}\n\
                    {\"timestamp\":1,\"output_length\":2}\nx";
    let csv = "TIMESTAMP,ContextTokens,GeneratedTokens\n1,2,3\nyesterday,2,3\n1,two,3\n1\n";
    let all = [wrong(mooncake, Endpoint::Chat), wrong(csv, Endpoint::Chat)];
    insta::assert_snapshot!(all.join("\n--\n"), @r#"
    f.jsonl:2: invalid type: string "x", expected a JSON number, at column 16
    f.jsonl:3: input_length is 0, not 1 to 10000000
    f.jsonl:4: missing field `input_length`, at column 33
    f.jsonl:5: no JSON object
    f.jsonl: 4 bad entries; nothing was sent
    --
    f.jsonl:3: timestamp is neither seconds nor a date and a time: "yesterday"
    f.jsonl:4: input is no number: "two"
    f.jsonl:5: has no input
    f.jsonl: 3 bad entries; nothing was sent
    "#);
}
