//! Mixes of workloads and adapters: what is sent, and what is told apart, by the simulator's ledger.

use std::collections::BTreeMap;

use common::outcome::Failure;
use common::slice::SliceBy;
use common::tally::{SliceTally, Tally};
use harness::campaign::Campaign;
use harness::simulator::{self, Entry};
use harness::{binaries, process, run};

const REQUESTS: u64 = 400;

/// A campaign of one level of a mix: three quarters short, of the model and an adapter by three to
/// one, and one quarter long.
fn mixed(target: std::net::SocketAddr, adapters: &str) -> String {
    let text = Campaign::new(target, 16, REQUESTS).text();
    let workloads = format!(
        "models = {adapters}\n\n[workloads.long]\ninput_tokens = 90\noutput_tokens = 9\n\
         cache = \"cold\"\nlengths = \"characters\"\n\n[workloads.both]\nmix = {{ short = 3, long = 1 }}\n\n[phases]"
    );
    text.replace("[phases]", &workloads).replace("workload = \"short\"", "workload = \"both\"")
}

/// What the server got, by workload (told by the length of the prompt) and adapter.
fn served(entries: &[Entry]) -> BTreeMap<(u64, Option<u16>), u64> {
    let mut served = BTreeMap::new();
    for entry in entries {
        *served.entry((entry.prompt_tokens, entry.adapter)).or_insert(0) += 1;
    }
    served
}

fn slice<'t>(tally: &'t Tally, by: SliceBy, name: &str) -> &'t SliceTally {
    let mut slices = tally.slices.iter();
    slices.find(|slice| slice.slice.by == by && slice.slice.name == name).unwrap()
}

/// Whether a count is what a share of `of` draws gives, within five standard deviations.
fn is_share(count: u64, of: u64, share: f64) -> bool {
    let (n, expected) = (of as f64, of as f64 * share);
    (count as f64 - expected).abs() <= 5.0 * (n * share * (1.0 - share)).sqrt()
}

#[test]
fn each_workload_and_adapter_has_its_share_and_results_of_its_own_whoever_sends() {
    let run = |agents: u32| {
        let profile =
            simulator::Profile { adapters: vec!["lora-a".to_owned()], ..simulator::quick() };
        let simulator = simulator::start(profile);
        let text = mixed(simulator.address(), "{ \"sim\" = 3, \"lora-a\" = 1 }");
        let tally = run::text_to_end(&text, agents).total();
        let (_, entries) = simulator::truth(simulator);
        let mut bodies: Vec<u64> = entries.iter().map(|entry| entry.body_hash).collect();
        bodies.sort_unstable();
        (tally, served(&entries), bodies)
    };
    let (tally, served, bodies) = run(1);
    assert_eq!(tally.check_sealed(), Ok(()));
    assert_eq!((tally.counts.succeeded, bodies.len() as u64), (REQUESTS, REQUESTS));
    let got = |tokens, adapter| served.get(&(tokens, adapter)).copied().unwrap_or(0);
    let (short, long) = (got(12, None) + got(12, Some(0)), got(90, None));
    assert_eq!(short + long, REQUESTS, "{served:?}");
    assert!(is_share(long, REQUESTS, 0.25), "{served:?}");
    assert!(is_share(got(12, Some(0)), short, 0.25), "{served:?}");
    for (by, name, count) in [
        (SliceBy::Workload, "short", short),
        (SliceBy::Workload, "long", long),
        (SliceBy::Model, "sim", got(12, None) + long),
        (SliceBy::Model, "lora-a", got(12, Some(0))),
    ] {
        let slice = slice(&tally, by, name);
        assert_eq!(slice.measured.succeeded, count, "{by} {name}");
        assert_eq!(slice.e2e.count(), count, "{by} {name}");
    }
    let tokens = slice(&tally, SliceBy::Workload, "long").tokens;
    assert_eq!((tokens.prompt, tokens.completion), (90 * long, 9 * long));
    // The same requests, and the same in every slice, from any number of agents.
    let (split, _, others) = run(4);
    assert_eq!(others, bodies);
    let counts = |tally: &Tally| -> Vec<_> {
        tally.slices.iter().map(|s| (s.slice.clone(), s.measured.clone(), s.tokens)).collect()
    };
    assert_eq!(counts(&split), counts(&tally));
}

#[test]
fn an_adapter_that_the_server_does_not_know_fails_in_its_own_slice_only() {
    let profile = simulator::Profile { adapters: vec!["lora-a".to_owned()], ..simulator::quick() };
    let simulator = simulator::start(profile);
    let dir = tempfile::tempdir().unwrap();
    let adapters = "{ \"sim\" = 2, \"lora-a\" = 1, \"lora-z\" = 1 }";
    let file = dir.path().join("c.toml");
    std::fs::write(&file, mixed(simulator.address(), adapters)).unwrap();
    let (file, results) = (file.display().to_string(), dir.path().join("out"));
    let results = results.display().to_string();
    let args = ["run", &file, "--result-dir", &results, "--ui", "plain"];
    let ended = process::floodmark(&binaries::root(), &args);
    let told = &ended.stderr;
    assert!(told.contains("does not list lora-z; it lists lora-a, sim"), "{told}");
    assert!(ended.stdout.contains("model    lora-z"), "{}", ended.stdout);
    assert!(ended.stdout.contains("The model `lora-z` does not exist."), "{}", ended.stdout);
    let summary = std::fs::read_to_string(dir.path().join("out/summary.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    let slices = summary["levels"][0]["slices"].as_array().unwrap();
    let (_, entries) = simulator::truth(simulator);
    let refused = entries.iter().filter(|entry| entry.status == Some(404)).count() as u64;
    assert!(is_share(refused, REQUESTS, 0.75 * 0.25), "{refused}");
    let models = slices.iter().filter(|slice| slice["by"] == "model");
    for slice in models {
        let expected = if slice["name"] == "lora-z" { refused } else { 0 };
        assert_eq!(slice["requests"]["failed"], expected, "{slice}");
        assert_eq!(
            slice["requests"]["by_class"][Failure::Http4xx.name()].as_u64().unwrap_or(0),
            expected
        );
    }
}
