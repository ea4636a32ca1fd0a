//! Requests that carry what users bring, from the file to the server's ledger.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use agent::sim::Profile;
use common::outcome::Failure;
use coordinator::classify::Code;
use coordinator::report::ReportModel;
use harness::campaign::Campaign;
use harness::{process, run, simulator};

/// Conversations of one to three turns, in the format of ShareGPT.
fn conversations(count: usize) -> String {
    let said = |who: &str, text: String| format!(r#"{{"from":"{who}","value":"{text}"}}"#);
    let one = |number: usize| {
        let turns = (0..number % 3 + 1).flat_map(|turn| {
            let asked = said("human", format!("question {number}.{turn} {}", "x".repeat(number)));
            [asked, said("gpt", "y".repeat(8 + 4 * turn))]
        });
        let turns: Vec<String> = turns.collect();
        format!(r#"{{"id":"{number}","conversations":[{}]}}"#, turns.join(","))
    };
    let all: Vec<String> = (0..count).map(one).collect();
    format!("[{}]", all.join(",\n"))
}

/// A campaign whose workload takes its prompts from `file`.
pub(super) fn campaign(
    target: SocketAddr,
    users: u32,
    requests: u64,
    file: &Path,
    more: &str,
) -> String {
    let text = Campaign::new(target, users, requests).text();
    let begin = text.find("input_tokens").unwrap();
    let end = text.find("[phases]").unwrap();
    let file = file.display();
    format!("{}dataset = {{ file = \"{file}\"{more} }}\n\n{}", &text[..begin], &text[end..])
}

#[test]
fn one_agent_and_four_send_the_same_turns_of_the_same_conversations() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("talk.json");
    std::fs::write(&file, conversations(20)).unwrap();
    let (users, requests) = (7, 61);
    let sent = |agents: u32, more: &str| {
        let simulator = simulator::start(simulator::quick());
        let text = campaign(simulator.address(), users, requests, &file, more);
        let ran = run::text_to_end(&text, agents);
        let total = ran.total();
        // Every answer is held to the length of the one that was recorded.
        assert_eq!((total.counts.started, total.counts.succeeded), (requests, requests));
        let data = ran.record.levels[0].planned.workload.data.clone().unwrap();
        assert_eq!((data.conversations, data.turns), (20, 39));
        let (_, entries) = simulator::truth(simulator);
        let mut hashes = BTreeMap::new();
        entries.iter().for_each(|entry| *hashes.entry(entry.body_hash).or_insert(0u32) += 1);
        hashes
    };
    let one = sent(1, "");
    assert_eq!(one, sent(4, ""));
    // Users have conversations of their own: nearly all turns come before one comes again.
    assert!((30..=39).contains(&one.len()), "{}", one.len());
    let shuffled = sent(1, ", order = \"shuffled\"");
    assert_eq!(shuffled, sent(4, ", order = \"shuffled\""));
    assert_ne!(one, shuffled);
}

#[test]
fn a_bad_line_is_refused_by_its_place_before_anything_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let good = r#"{"prompt":"fine","output_tokens":3}"#;
    std::fs::write(dir.path().join("p.jsonl"), format!("{good}\n{good}\n{{\"prompt\":1}}\n"))
        .unwrap();
    let simulator = simulator::start(simulator::quick());
    let text = campaign(simulator.address(), 2, 4, Path::new("p.jsonl"), "");
    std::fs::write(dir.path().join("campaign.toml"), text).unwrap();
    for command in ["run", "plan"] {
        let ended = process::floodmark(dir.path(), &[command, "campaign.toml"]);
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{}", ended.stderr);
        assert!(ended.stderr.contains("p.jsonl:3: prompt is no text"), "{}", ended.stderr);
    }
    assert_eq!(simulator::truth(simulator).0.received, 0);
}

#[test]
fn a_context_beyond_the_servers_is_counted_and_told_once_in_its_own_words() {
    let dir = tempfile::tempdir().unwrap();
    let line =
        |words: usize| format!("{{\"prompt\":\"{}\",\"output_tokens\":4}}", "word ".repeat(words));
    let lines = [line(10), line(400), line(12), line(500)].join("\n");
    std::fs::write(dir.path().join("p.jsonl"), lines).unwrap();
    let profile = Profile { context: 100, ..simulator::quick() };
    let simulator = simulator::start(profile);
    let text = campaign(simulator.address(), 4, 8, Path::new("p.jsonl"), "");
    std::fs::write(dir.path().join("campaign.toml"), text).unwrap();
    let ended = process::floodmark(dir.path(), &["run", "campaign.toml", "--result-dir", "result"]);
    let told = ended.stdout.matches("this model's context is 100 tokens").count();
    assert_eq!(told, 1, "{}\n{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("data      short: p.jsonl (prompts), 4 conversations"));
    let record = run::load(&dir.path().join("result"));
    let seals = record.levels.iter().flat_map(|level| &level.shares);
    let mut all = common::tally::Tally::default();
    seals.filter_map(|share| share.seal.as_ref()).for_each(|s| all.merge(&s.snapshot.tally));
    assert_eq!((all.counts.succeeded, all.counts.failed_by(Failure::Http4xx)), (4, 4));
    let summary = std::fs::read_to_string(dir.path().join("result/summary.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    let data = &summary["levels"][0]["dataset"];
    assert_eq!((&data["file"], &data["turns"]), (&"p.jsonl".into(), &4.into()));
}

#[test]
fn a_plan_tells_what_a_file_holds() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("talk.json"), conversations(20)).unwrap();
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let text = campaign(nowhere, 2, 4, Path::new("talk.json"), "");
    std::fs::write(dir.path().join("campaign.toml"), text).unwrap();
    let ended = process::floodmark(dir.path(), &["plan", "campaign.toml"]);
    let data: Vec<&str> = ended
        .stdout
        .lines()
        .skip_while(|line| !line.starts_with("data "))
        .take_while(|line| !line.is_empty())
        .collect();
    assert_eq!(data[0], "data      short: talk.json (sharegpt)");
    assert!(data[1].starts_with("          20 conversations, 39 turns, sha256 "), "{data:?}");
    assert!(data[2].starts_with("          tokens in: mean "), "{data:?}");
    assert_eq!(data[3], "          tokens out: mean 3, p50 2, p90 4, most 4");
}

#[test]
fn users_who_think_are_people_and_no_requests_in_flight() {
    let simulator = simulator::start(simulator::quick());
    let campaign = Campaign { window: Some("3s"), ..Campaign::new(simulator.address(), 6, 1) };
    let think = "cache = \"cold\"\nthink_time = { uniform = [\"50ms\", \"150ms\"] }";
    let text = campaign.text().replace("cache         = \"cold\"", think);
    let ran = run::text_to_end(&text, 2);
    let model = ReportModel::new(&ran.record, &[]);
    let level = &model.levels[0];
    // About 15 ms of work in 115 ms.
    let mean = level.in_flight_mean.unwrap().value();
    assert!((0.4..2.0).contains(&mean), "{mean}");
    let struck = level.verdicts.iter().any(|v| v.code == Code::ConcurrencyNotReached);
    assert!(!struck, "{:?}", level.verdicts);
    let shown = coordinator::report::text(&model, ran.dir.path());
    assert!(shown.contains("users think for 0.05 to 0.15 s after each answer"), "{shown}");
}

/// A campaign that replays `file` at these speeds.
fn replaying(target: SocketAddr, file: &Path, speeds: &str) -> String {
    let text = campaign(target, 1, 1, file, "");
    let begin = text.find("scaling = ").unwrap();
    let phase = format!(
        "scaling = {{ replay = {{ speed = {speeds} }}, workload = \"short\", cooldown = \"0s\" }}\n"
    );
    format!("mode = \"floodmark\"\n{}{phase}", &text[..begin])
}

#[test]
fn a_trace_comes_at_its_instants_whoever_sends_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("trace.jsonl");
    // 40 requests in 1.6 s, in pairs of one prompt's beginning.
    let lines: Vec<String> = (0u64..40)
        .map(|n| {
            let (at, block) = (n * n, n / 2);
            let ids = format!("[1, {block}]");
            format!(
                r#"{{"timestamp":{at},"input_length":{},"output_length":4,"hash_ids":{ids}}}"#,
                700 + n
            )
        })
        .collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let sent = |agents: u32, speed: u64| {
        let simulator = simulator::start(simulator::quick());
        let text = replaying(simulator.address(), &file, &format!("[{speed}]"));
        let ran = run::text_to_end(&text, agents);
        let counts = ran.total().counts;
        assert_eq!((counts.started, counts.succeeded), (40, 40));
        let planned = &ran.record.levels[0].planned;
        assert_eq!(planned.label, format!("replay x{speed}"));
        let model = ReportModel::new(&ran.record, &[]);
        let verdicts = &model.levels[0].verdicts;
        // All were made; how late a busy host makes them is another matter.
        assert!(!verdicts.iter().any(|v| v.evidence.contains("were made")), "{verdicts:?}");
        let (_, mut entries) = simulator::truth(simulator);
        entries.sort_by_key(|entry| entry.arrival);
        let first = entries[0].arrival.0;
        let off = |(n, entry): (u64, &simulator::Entry)| {
            (entry.arrival.0 - first).abs_diff(n * n * 1_000_000 / speed)
        };
        let mut off: Vec<u64> = (0u64..).zip(&entries).map(off).collect();
        off.sort_unstable();
        assert!(off[20] < 30_000_000 && off[39] < 400_000_000, "ns off at x{speed}: {off:?}");
        let mut tokens: Vec<u64> = entries.iter().map(|entry| entry.prompt_tokens).collect();
        tokens.sort_unstable();
        assert_eq!(tokens, (700..740).collect::<Vec<u64>>());
        let mut hashes: Vec<u64> = entries.iter().map(|entry| entry.body_hash).collect();
        hashes.sort_unstable();
        hashes
    };
    let one = sent(1, 1);
    assert_eq!(one, sent(4, 1));
    assert_eq!(one.len(), sent(2, 4).len());
}
