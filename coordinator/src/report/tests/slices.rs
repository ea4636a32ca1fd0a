//! Results of a level apart by what its requests share.

use common::mix::Weighted;
use common::outcome::Outcome;
use common::slice::{InSlices, Slice, SliceBy};
use common::workload::Workload;

use super::*;
use crate::testdata::seal_apart;

/// Every third request is of `long`, and every fourth names an adapter that the target does not
/// have.
fn apart(number: u64, outcome: Outcome) -> Outcome {
    let (workload, model) = (u8::from(number % 3 == 2), u8::from(number % 4 == 3));
    let slices = InSlices::NONE.and(SliceBy::Workload, workload).and(SliceBy::Model, 2 + model);
    let mut outcome = Outcome { slices, ..outcome };
    if model == 1 {
        outcome.ending = Failure::Http4xx.into();
        outcome.detail = Some("the model `lora-z` does not exist".to_owned());
    } else if workload == 1 {
        let usage = outcome.usage.as_mut().unwrap();
        usage.prompt *= 20;
    }
    outcome
}

/// A run of levels of such requests, of two agents.
fn mixed_run() -> RunRecord {
    let named = |by, name: &str| Slice { by, name: name.to_owned() };
    let slices = [
        named(SliceBy::Workload, "chat"),
        named(SliceBy::Workload, "long"),
        named(SliceBy::Model, "base"),
        named(SliceBy::Model, "lora-z"),
    ];
    let shape = Shape { fail_every: 0, ..Shape::QUICK };
    let of = |users: u32, requests: u64| {
        let mut record = level(Phase::Scaling, users, requests, 2, shape);
        let all = shape.outcomes(users, requests);
        let all: Vec<_> = (0..).zip(all).map(|(number, one)| apart(number, one)).collect();
        for (agent, share) in (0..).zip(&mut record.shares) {
            let own: Vec<_> = all.iter().filter(|o| o.user.0 % 2 == agent).cloned().collect();
            share.seal = Some(seal_apart(&own, &slices));
        }
        let part = |name: &str, input: u32, weight: u32| Weighted {
            item: Workload::new(name.parse().unwrap(), input.into(), 5.into()),
            weight,
        };
        let mix = vec![part("chat", 50, 2), part("long", 1000, 1)];
        record.planned.workload = Workload::mixed("both".parse().unwrap(), mix).unwrap();
        record
    };
    run_of(vec![of(10, 120), of(20, 4000)])
}

#[test]
fn what_requests_share_has_a_table_of_its_own() {
    let shown = shown(&mixed_run());
    let section = &shown[shown.find("apart by").unwrap()..shown.find("requests that").unwrap()];
    insta::assert_snapshot!(section, @"
    apart by                                         ok  fail  outp.   TTFT   TTFT    E2E    E2E
                                                               tok/s p50 ms p99 ms  p50 s  p99 s
      SCALING 10
      workload chat                                  60    20    873   18.6      -  0.027      -
      workload long                                  30    10    437   21.4      -  0.029      -
      model    base                                  90     0   1310   20.0      -  0.029      -
      model    lora-z                                 0    30      -      -      -      -      -
      SCALING 20
      workload chat                                2000   667   1775   18.6   20.0  0.027  0.029
      workload long                                1000   333    888   21.4   21.4  0.029  0.029
      model    base                                3000     0   2663   20.0   21.4  0.029  0.029
      model    lora-z                                 0  1000      -      -      -      -      -
    ");
}

#[test]
fn a_slice_has_what_a_level_has_of_its_own_requests_only() {
    let json = json(&mixed_run());
    let level = &json["levels"][1];
    let slices = level["slices"].as_array().unwrap();
    let names: Vec<_> = slices.iter().map(|s| (s["by"].as_str(), s["name"].as_str())).collect();
    let named = |by, name| (Some(by), Some(name));
    let models = [named("model", "base"), named("model", "lora-z")];
    assert_eq!(
        names,
        [&[named("workload", "chat"), named("workload", "long")], &models[..]].concat()
    );
    for pair in slices.chunks(2) {
        for key in ["started", "succeeded", "failed", "censored"] {
            let of = |value: &Value| value["requests"][key].as_u64().unwrap();
            let whole = level["measured"][key].as_u64().unwrap();
            assert_eq!(of(&pair[0]) + of(&pair[1]), whole, "{key}");
        }
        let rate = |value: &Value| value["rates"]["output_tok_s"].as_f64().unwrap_or(0.0);
        let whole = rate(level);
        assert!((rate(&pair[0]) + rate(&pair[1]) - whole).abs() < 1e-3 * whole);
    }
    let adapter = &slices[3];
    assert_eq!(adapter["requests"]["by_class"]["http_4xx"], 1000);
    assert_eq!(slices[2]["requests"]["failed"], 0);
    // What has no success has no rate of tokens, and no latency.
    assert_eq!(adapter["rates"]["output_tok_s"], Value::Null);
    assert_eq!(adapter["latency_ms"]["ttft"]["count"], 0);
    assert_eq!(
        slices[0]["tokens"]["prompt"],
        50 * slices[0]["requests"]["succeeded"].as_u64().unwrap()
    );
}

#[test]
fn a_mix_does_the_same_work_where_each_of_its_workloads_does() {
    let levels = |run: &RunRecord| {
        let codes = model(run).levels[1]
            .verdicts
            .iter()
            .map(|v| (v.code.name(), v.evidence.clone()))
            .collect::<Vec<_>>();
        codes.into_iter().filter(|(code, _)| *code == "WORK_NOT_EQUAL").collect::<Vec<_>>()
    };
    let mut run = mixed_run();
    assert_eq!(levels(&run), []);
    // One workload's prompts come to a tenth more than at the least load.
    for share in &mut run.levels[1].shares {
        let tally = &mut share.seal.as_mut().unwrap().snapshot.tally;
        let mut parts: Vec<_> = tally.slices.iter().cloned().collect();
        let more = parts[0].tokens.prompt / 10;
        parts[0].tokens.prompt += more;
        parts[2].tokens.prompt += more;
        tally.tokens.prompt += more;
        tally.slices = common::tally::Slices::from_parts(parts);
    }
    let found = levels(&run);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].1.starts_with("requests of chat: 55 mean prompt tokens against 50 "),
        "{found:?}"
    );
}
