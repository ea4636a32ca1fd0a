use std::path::Path;

use common::outcome::Failure;
use common::phase::Phase;
use common::snapshot::LevelEnd;
use proptest::prelude::*;
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::record::{LevelFate, LevelRecord, RunOutcome, RunRecord};
use crate::store::Damage;
use crate::testdata::{Shape, killed_run, level, run, seal_of};

fn model(record: &RunRecord) -> ReportModel {
    ReportModel::new(record, &[])
}

fn shown(record: &RunRecord) -> String {
    text(&model(record), Path::new("results/nightly"))
}

fn json(record: &RunRecord) -> Value {
    serde_json::from_str(&summary_json(&model(record))).unwrap()
}

/// A run of these levels only.
fn run_of(levels: Vec<LevelRecord>) -> RunRecord {
    RunRecord { levels, ..run() }
}

#[test]
fn a_finished_run_as_text() {
    insta::assert_snapshot!(shown(&run()));
}

#[test]
fn a_finished_run_as_json() {
    insta::assert_snapshot!(summary_json(&model(&run())));
}

#[test]
fn a_killed_run_with_a_damaged_seal_as_text() {
    let record = killed_run();
    let damage = Damage {
        level: record.levels[5].id,
        agent: "gen-1".parse().unwrap(),
        reason: "its bytes are not those that were stored".into(),
    };
    let model = ReportModel::new(&record, &[damage]);
    insta::assert_snapshot!(text(&model, Path::new("results/nightly")));
}

#[test]
fn a_killed_run_says_what_it_does_not_know() {
    let json = json(&killed_run());
    assert_eq!(json["outcome"], "stopped");
    assert_eq!(json["exit_code"], Value::Null);
    assert_eq!(json["finished_at"], Value::Null);
    let level = &json["levels"][5];
    for key in ["status", "in_flight_mean", "in_flight_peak", "wall_s"] {
        assert_eq!(level[key], Value::Null, "{key}");
    }
    assert_eq!(level["rates"]["total_tok_s"], Value::Null);
    assert_eq!(level["paper"]["status"], Value::Null);
    assert_eq!(level["requests"]["unknown"], 225);
    assert_eq!(level["per_agent"][0]["requests"]["started"], 225);
    assert_eq!(level["per_agent"][1]["requests"], Value::Null);
    assert_eq!(level["verdicts"][0]["code"], "RECORD_LOSS");
    // The levels before it are whole.
    assert_eq!(json["levels"][4]["status"], "FAILING");
}

#[test]
fn a_run_that_was_stopped_at_once_has_a_report() {
    let mut record = run_of(vec![]);
    record.agents.clear();
    record.end.as_mut().unwrap().outcome = RunOutcome::Failed;
    record.end.as_mut().unwrap().exit_code = 3;
    record.end.as_mut().unwrap().because = "the target is not ready".into();
    insta::assert_snapshot!(shown(&record));
    let json = json(&record);
    assert_eq!(json["peak"], Value::Null);
    assert_eq!(json["saturation"]["users"], Value::Null);
    assert_eq!(json["baseline"]["p99_ms"], Value::Null);
}

#[test]
fn every_way_to_lose_a_level_is_told() {
    let quiet = Shape { fail_every: 0, ..Shape::QUICK };
    let make = || level(Phase::Scaling, 4, 400, 2, quiet);
    let mut levels = vec![make(), make(), make(), make(), make(), make()];
    levels[0].shares[1].seal = None;
    levels[1].shares[1].seal.as_mut().unwrap().end = LevelEnd::LeaseExpired;
    levels[2].shares[1].seal.as_mut().unwrap().snapshot.tally.counts.started += 1;
    levels[3].fate = Some(LevelFate::Quarantined("agent gen-1 was lost".into()));
    levels[4].fate = Some(LevelFate::Failed("out of\u{1b}[31m file descriptors".into()));
    levels[5].fate = Some(LevelFate::Stopped("interrupted".into()));
    levels[1].planned.repeat = 1;
    levels[2].id.attempt = 1;
    insta::assert_snapshot!(shown(&run_of(levels)));
}

#[test]
fn answers_without_token_counts_have_no_token_rates() {
    for (without, source) in [(1, "mixed"), (2, "none")] {
        let quiet = Shape { fail_every: 0, ..Shape::QUICK };
        let mut outcomes = quiet.outcomes(1, 2);
        outcomes.iter_mut().take(without).for_each(|o| o.usage = None);
        let mut one = level(Phase::Scaling, 1, 2, 1, quiet);
        one.shares[0].seal = Some(seal_of(&outcomes));
        let level = &json(&run_of(vec![one]))["levels"][0];
        assert_eq!(level["tokens"]["source"], source);
        let unknown = source == "none";
        assert_eq!(level["tokens"]["prompt"].is_null(), unknown);
        assert_eq!(level["rates"]["output_tok_s"].is_null(), unknown);
        assert_eq!(level["paper"]["total_tok_s"].is_null(), unknown);
        assert!(!level["rates"]["requests_per_s"].is_null());
    }
}

#[test]
fn a_level_is_labelled_with_what_was_in_flight() {
    let json = json(&run());
    let levels = json["levels"].as_array().unwrap();
    let last = levels.last().unwrap();
    assert_eq!(last["users_asked"], 1000);
    let mean = last["in_flight_mean"].as_f64().unwrap();
    assert!((300.0..=450.0).contains(&mean), "{mean}");
    assert_eq!(last["label"], format!("1000 ({mean:.0} in flight)"));
    assert_eq!(last["verdicts"][0]["code"], "CONCURRENCY_NOT_REACHED");
    assert_eq!(last["verdicts"][0]["effect"], "INVALID");
    assert_eq!(levels[1]["label"], "1");
}

#[test]
fn repeats_are_compared_with_their_own_kind() {
    let quiet = Shape { fail_every: 0, ..Shape::QUICK };
    let make = |users: u32, repeat: u32| {
        let mut level = level(Phase::Saturation, users, u64::from(users) * 10, 1, quiet);
        level.planned.repeat = repeat;
        level
    };
    let record = run_of(vec![make(10, 0), make(10, 1), make(20, 0), make(20, 1)]);
    for level in model(&record).levels {
        assert_eq!(level.status, Some("OK"));
    }
}

#[test]
fn the_reading_that_the_paper_leaves_open_is_told_where_it_matters() {
    let quiet = Shape { fail_every: 0, ..Shape::QUICK };
    let record = run_of(vec![
        level(Phase::Scaling, 50, 500, 1, quiet),
        level(Phase::Saturation, 10, 100, 1, quiet),
    ]);
    let paper = &json(&record)["levels"][1]["paper"];
    assert_eq!(paper["status"], "OK");
    assert_eq!(paper["first_level_alternative"], "SATURATED");
    let text = shown(&record);
    assert!(text.contains("compared with the last SCALING level it is SATURATED"), "{text}");
}

/// Every key that programs rely on: the contract of `summary.json`, schema version 1.
const KEYS: &str = "
    schema_version tool.name tool.version run_id name mode tier seed campaign_sha256 started_at
    finished_at outcome exit_code ended_because baseline.p99_ms
    agents.0.name agents.0.agent_id agents.0.address agents.0.version agents.0.workers
    agents.0.clock_offset_us agents.0.clock_error_us
    levels.6.phase levels.6.label levels.6.repeat levels.6.attempt levels.6.workload
    levels.6.users_asked levels.6.in_flight_mean levels.6.in_flight_peak
    levels.6.in_flight_below_95pct_share
    levels.6.requests.started levels.6.requests.succeeded levels.6.requests.failed
    levels.6.requests.censored levels.6.requests.by_class levels.6.requests.first_detail
    levels.6.tokens.prompt levels.6.tokens.completion levels.6.tokens.reasoning
    levels.6.tokens.cached_prompt levels.6.tokens.source
    levels.6.wall_s levels.6.window.start_s levels.6.window.end_s levels.6.window.steady
    levels.6.rates.requests_per_s levels.6.rates.output_tok_s levels.6.rates.prompt_tok_s
    levels.6.rates.total_tok_s levels.6.rates.goodput_per_s
    levels.6.latency_ms.ttft levels.6.latency_ms.ttft_plan levels.6.latency_ms.e2e
    levels.6.latency_ms.e2e_plan levels.6.latency_ms.tpot levels.6.latency_ms.icl
    levels.6.latency_ms.send_lag levels.6.latency_ms.receive_lag
    levels.6.latency_ms.ttft.count levels.6.latency_ms.ttft.mean levels.6.latency_ms.ttft.min
    levels.6.latency_ms.ttft.max levels.6.latency_ms.ttft.p50 levels.6.latency_ms.ttft.p90
    levels.6.latency_ms.ttft.p95 levels.6.latency_ms.ttft.p99 levels.6.latency_ms.ttft.p999
    levels.6.latency_ms.ttft.p99_certified
    levels.6.paper.total_tok_s levels.6.paper.output_tok_s levels.6.paper.p50_s
    levels.6.paper.p95_s levels.6.paper.p99_s levels.6.paper.success levels.6.paper.status
    levels.6.status levels.6.axes.reliability levels.6.axes.latency levels.6.axes.load
    levels.6.verdicts.0.code levels.6.verdicts.0.effect levels.6.verdicts.0.evidence
    levels.6.client.worker_cpu_max levels.6.client.loop_lag_p99_ms
    levels.6.client.receive_lag_p99_ms levels.6.client.send_lag_p99_ms
    levels.6.per_agent.0.agent levels.6.per_agent.0.users levels.6.per_agent.0.requests.started
    levels.6.per_agent.0.tokens.prompt levels.6.per_agent.0.in_flight_mean
    levels.6.per_agent.0.latency_ms.ttft levels.6.histogram_sha256
    peak.phase peak.label peak.users peak.total_tok_s peak.output_tok_s
    saturation.users saturation.method saturation.ci";

#[test]
fn no_key_of_the_summary_is_missing() {
    let json = json(&run());
    for path in KEYS.split_whitespace() {
        let pointer = format!("/{}", path.replace('.', "/"));
        assert!(json.pointer(&pointer).is_some(), "{path}");
    }
}

#[test]
fn the_report_fits_a_terminal_whatever_the_names() {
    let mut record = run();
    record.header.model = "m".repeat(5000);
    record.header.target = "http://\u{1b}]0;x\u{7}".into();
    record.agents[0].address = "a b\n".repeat(100);
    record.levels[2].planned.label = "long ".repeat(90);
    record.levels[3].planned.load.users = 4_000_000;
    let text = shown(&record);
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{line}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
}

#[test]
fn what_a_target_said_is_told_once_and_made_plain() {
    let mut record = run();
    for (number, level) in record.levels.iter_mut().enumerate() {
        for share in &mut level.shares {
            let details = &mut share.seal.as_mut().unwrap().snapshot.tally.details;
            details.note(Failure::Http4xx, "Unexpected fields\u{202e} in the request");
            details.note(Failure::Http5xx, &format!("request {number:02} ran out of memory"));
        }
    }
    assert!(!shown(&record).contains("forced_length"));
    let seal = record.levels[0].shares[0].seal.as_mut().unwrap();
    seal.snapshot.tally.details.note(Failure::BadEvent, "Unexpected {'ignore_eos'}");
    let text = shown(&record);
    assert!(text.contains("workloads.NAME.forced_length=false"), "{text}");
    let said = "  http_4xx: server said: Unexpected fields\\u{202e} in the request\n";
    assert_eq!(text.matches(said).count(), 1, "{text}");
    assert!(text.contains("http_5xx: server said: request 06 ran out of memory"), "{text}");
    let level = &json(&record)["levels"][3]["requests"]["first_detail"];
    assert_eq!(level["http_503"], "the engine is busy");
    assert_eq!(level["http_5xx"], "request 03 ran out of memory");
}

#[test]
fn a_run_without_a_token_has_no_peak() {
    let record =
        run_of(vec![level(Phase::Scaling, 1, 20, 1, Shape { fail_every: 1, ..Shape::QUICK })]);
    assert_eq!(json(&record)["peak"], Value::Null);
    assert!(!shown(&record).contains("peak"));
}

#[test]
fn the_summary_file_is_replaced_whole() {
    let dir = TempDir::new().unwrap();
    let model = model(&run());
    write_files(dir.path(), &model).unwrap();
    write_files(dir.path(), &model).unwrap();
    let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(names.len(), 1);
    let text = std::fs::read_to_string(dir.path().join(SUMMARY_FILE)).unwrap();
    assert_eq!(text, summary_json(&model));
    let gone = dir.path().join("gone");
    assert!(write_files(&gone, &model).unwrap_err().to_string().contains("gone"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn no_split_over_agents_changes_the_report(
        requests in 1u64..200, users in 1u32..20, places in prop::collection::vec(0usize..7, 1..40)
    ) {
        let one = level(Phase::Scaling, users, requests, 1, Shape::QUICK);
        let mut many = level(Phase::Scaling, users, requests, 7, Shape::QUICK);
        let mut split = vec![Vec::new(); 7];
        let outcomes = Shape::QUICK.outcomes(users, requests);
        for (outcome, place) in outcomes.iter().zip(places.iter().cycle()) {
            split[*place].push(outcome.clone());
        }
        for (share, outcomes) in many.shares.iter_mut().zip(&split) {
            share.seal = Some(seal_of(outcomes));
        }
        let level = |record: LevelRecord| {
            let mut level = json(&run_of(vec![record]))["levels"][0].take();
            let fields = level.as_object_mut().unwrap();
            // What is about the agents; the peak is an upper bound that grows with their number.
            fields.remove("per_agent");
            fields.remove("in_flight_peak");
            level
        };
        prop_assert_eq!(level(many), level(one));
    }
}
