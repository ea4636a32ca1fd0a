//! Prompts as long as asked for, by what the target says of them.

use agent::sim::{Counting, Fault, Faults, Profile};
use common::text::PromptText;
use coordinator::classify::Code;
use coordinator::record::RunOutcome;
use coordinator::report::{ReportModel, summary_json};
use harness::campaign::Campaign;
use harness::run::{self, Ran};
use harness::simulator;

/// A server that counts a prompt otherwise than the paper.
fn counting(rate: &str, overhead: u32) -> Profile {
    let counting = Counting { rate: rate.parse().unwrap(), overhead };
    Profile { counting, ..simulator::quick() }
}

/// Two users, so that no level is the baseline of the other; `keys` of the workload.
fn measured(profile: Profile, change: impl FnOnce(Campaign) -> Campaign, keys: &str) -> Ran {
    let simulator = simulator::start(profile);
    let campaign = Campaign::new(simulator.address(), 4, 40);
    let campaign = change(Campaign { input_tokens: 300, lengths: "measured", ..campaign });
    let text = campaign.text().replace("input_tokens  = 300", keys);
    let ran = run::text_to_end(&text, 2);
    assert_eq!((ran.end.outcome, ran.end.exit_code), (RunOutcome::Completed, 0), "{:?}", ran.end);
    ran
}

/// Mean prompt tokens of a request as the server counted them.
fn delivered(ran: &Ran) -> f64 {
    let total = ran.total();
    total.tokens.prompt as f64 / total.measured.succeeded as f64
}

fn codes(ran: &Ran) -> Vec<Code> {
    let levels = ReportModel::new(&ran.record, &[]).levels;
    levels.iter().flat_map(|level| level.verdicts.iter().map(|verdict| verdict.code)).collect()
}

#[test]
fn a_server_delivers_what_is_asked_for_whatever_it_takes_for_a_token() {
    for (rate, overhead) in [("4.61", 17), ("3.2", 0), ("4", 0)] {
        for endpoint in ["chat", "completions", "responses", "messages", "embeddings"] {
            for cache in ["cold", "replay"] {
                let stream = endpoint != "embeddings";
                let forced_length = endpoint != "messages";
                let change = |base| Campaign { endpoint, stream, forced_length, cache, ..base };
                let ran = measured(counting(rate, overhead), change, "input_tokens = 300");
                let tokens = delivered(&ran);
                assert!((tokens - 300.0).abs() <= 1.0, "{rate} {endpoint} {cache}: {tokens}");
                assert!(!codes(&ran).contains(&Code::WorkNotEqual), "{rate} {endpoint} {cache}");
            }
        }
    }
}

#[test]
fn lengths_that_are_drawn_are_delivered_on_average_and_what_was_found_is_kept() {
    let keys = "input_tokens = { uniform = [100, 600] }";
    let ran = measured(counting("4.61", 17), |base| base, keys);
    let workload = &ran.record.levels[0].planned.workload;
    let PromptText::Measured(rate) = &workload.text else { panic!("{workload:?}") };
    assert!((rate.chars_per_token() - 4.61).abs() < 0.02, "{rate:?}");
    assert!((rate.tokens(0.0) - 17.0).abs() < 2.0, "{rate:?}");
    assert!(!codes(&ran).contains(&Code::WorkNotEqual));
    let summary = summary_json(&ReportModel::new(&ran.record, &[]));
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    let prompts = &summary["levels"][0]["prompts"][0];
    assert_eq!(
        (&prompts["lengths"], &prompts["tokens_asked"]),
        (&"measured".into(), &350.0.into())
    );
}

#[test]
fn a_target_that_does_not_tell_is_loaded_as_before() {
    for fault in [Fault::NoUsage, Fault::Busy] {
        let simulator = simulator::start(simulator::faulty(Faults::always(fault)));
        let base = Campaign::new(simulator.address(), 2, 4);
        let ran = run::to_end(&Campaign { lengths: "measured", ..base }, 1, 1);
        assert_eq!(ran.end.outcome, RunOutcome::Completed, "{:?}", ran.end);
        let workload = &ran.record.levels[0].planned.workload;
        assert_eq!(workload.text, PromptText::Characters, "{fault}");
        let (totals, _) = simulator::truth(simulator);
        assert_eq!(totals.received, 4 + 1, "one question, and the level");
    }
}

#[test]
fn four_characters_that_are_no_token_are_told() {
    let change = |base| Campaign { lengths: "characters", ..base };
    let ran = measured(counting("4.61", 0), change, "input_tokens = 300");
    assert!((delivered(&ran) - 261.0).abs() <= 1.0);
    assert!(codes(&ran).contains(&Code::WorkNotEqual));
    let levels = ReportModel::new(&ran.record, &[]).levels;
    let verdicts = levels[0].verdicts.iter().filter(|verdict| verdict.code == Code::WorkNotEqual);
    let evidence: Vec<&str> = verdicts.map(|verdict| verdict.evidence.as_str()).collect();
    assert!(evidence[0].starts_with("prompts had 261 tokens on average where 300 were asked for"));
}
