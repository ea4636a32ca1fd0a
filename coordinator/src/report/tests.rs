mod coverage;
mod slices;

use std::path::Path;
use std::time::Duration;

use common::assignment::Pace;
use common::outcome::Failure;
use common::phase::Phase;
use common::slo::Slo;
use common::snapshot::LevelEnd;
use proptest::prelude::*;
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::campaign::{Mode, Tier};
use crate::record::{LevelFate, LevelRecord, RunOutcome, RunRecord};
use crate::store::Damage;
use crate::testdata::{Shape, Windowed, killed_run, level, run, seal_of};

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

/// A run in floodmark mode: a baseline, a rising load, one level whose generator was busy, and an
/// objective.
fn windowed_run() -> RunRecord {
    let slo = Slo { ttft: Some(Duration::from_millis(250)), ..Slo::default() };
    let usual = Windowed { slo, ..Windowed::USUAL };
    let slower = |factor: u64| Shape {
        ttft_us: usual.shape.ttft_us * factor,
        itl_us: usual.shape.itl_us * factor,
        ..usual.shape
    };
    let levels = [
        Windowed { phase: Phase::Baseline, users: 1, agents: 1, window_s: (3, 100), ..usual },
        Windowed { users: 10, ..usual },
        Windowed { users: 20, ..usual },
        Windowed { phase: Phase::Saturation, users: 20, ..usual },
        Windowed { phase: Phase::Saturation, users: 40, shape: slower(3), ..usual },
        Windowed { phase: Phase::Saturation, users: 80, shape: slower(7), ..usual },
    ];
    let mut record = run_of(levels.map(Windowed::level).to_vec());
    let seal = record.levels[2].shares[1].seal.as_mut().unwrap();
    seal.snapshot.vitals.busy_share = 0.25;
    record.header.mode = Mode::Floodmark;
    record.header.judging.slo = slo;
    record.header.judging.hardware.gpus = Some(8.0);
    record
}

#[test]
fn a_windowed_run_as_text() {
    insta::assert_snapshot!(shown(&windowed_run()));
}

#[test]
fn a_windowed_level_as_json() {
    let mut level = json(&windowed_run())["levels"][1].take();
    level.as_object_mut().unwrap().remove("per_agent");
    insta::assert_snapshot!(serde_json::to_string_pretty(&level).unwrap());
}

/// The same run with a proof before it that passed, and one after it that did not.
fn proven_run() -> RunRecord {
    let mut record = windowed_run();
    let proof = |when: &str, ttft_us: u64| {
        let mut level = Windowed { users: 40, ..Windowed::USUAL }.level();
        for share in &mut level.shares {
            let tally = &mut share.seal.as_mut().unwrap().snapshot.tally;
            let count = tally.latencies.ttft.count();
            tally.latencies.ttft = Default::default();
            (0..count).for_each(|_| tally.latencies.ttft.record_ns(ttft_us * 1000));
            (0..70u64).for_each(|second| tally.events(second * 1_000_000_000, 700));
        }
        let pace = Pace { ttft: Duration::from_millis(200), itl: Duration::from_millis(20) };
        level.planned.proof = Some(pace);
        level.planned.label = format!("client proof {when}");
        level
    };
    record.levels.insert(0, proof("before", 200_000));
    record.levels.push(proof("after", 206_000));
    record
}

#[test]
fn proofs_of_the_client_are_no_levels() {
    let (without, with) = (windowed_run(), proven_run());
    let plain = model(&without);
    let proven = model(&with);
    assert_eq!(plain.client_proof, []);
    let client_proof = proven.client_proof.clone();
    assert_eq!(ReportModel { client_proof: Vec::new(), ..proven.clone() }, plain);
    let passed: Vec<(&str, bool)> =
        client_proof.iter().map(|proof| (proof.when.as_str(), proof.passed())).collect();
    assert_eq!(passed, [("before", true), ("after", false)], "{client_proof:#?}");
    let shown = shown(&with);
    let section = &shown[shown.find("client proof").unwrap()..shown.find("files").unwrap()];
    insta::assert_snapshot!(section);
    let mut json = json(&with)["client_proof"][1].take();
    json["per_agent"].as_array_mut().unwrap().truncate(1);
    insta::assert_snapshot!(serde_json::to_string_pretty(&json).unwrap());
}

#[test]
fn a_thorough_run_says_saturated_of_a_proven_client_only() {
    let loads = |record: &RunRecord| {
        let levels = model(record).levels;
        levels.iter().map(|level| level.axes.load).collect::<Vec<_>>()
    };
    let mut record = proven_run();
    // Twice the users at hardly more than half the pace.
    let shape = Shape { ttft_us: 390_000, itl_us: 39_000, ..Windowed::USUAL.shape };
    record.levels[5] =
        Windowed { phase: Phase::Saturation, users: 40, shape, ..Windowed::USUAL }.level();
    assert!(loads(&record).contains(&Some("SATURATED")), "{:?}", loads(&record));
    record.header.tier = Tier::Thorough;
    assert!(!loads(&record).contains(&Some("SATURATED")), "{:?}", loads(&record));
    assert!(shown(&record).contains("UNPROVEN (WARN): the client is proven for 40 in flight"));
    record.levels.retain(|level| level.planned.proof.is_none());
    assert!(shown(&record).contains("UNPROVEN (WARN): the run has no client proof"));
}

#[test]
fn an_open_loop_as_text() {
    let open = Windowed { rate: Some(20), users: 100, ..Windowed::USUAL };
    let levels = [
        Windowed { rate: Some(10), ..open },
        open,
        Windowed { rate: Some(40), users: 20, ..open },
        Windowed { rate: Some(30), users: 1000, slowdown: 1.0, ..open },
    ];
    let mut record = run_of(levels.map(Windowed::level).to_vec());
    record.header.mode = Mode::Floodmark;
    insta::assert_snapshot!(shown(&record));
}

#[test]
fn the_status_is_that_of_the_runs_mode() {
    let mut record = windowed_run();
    let statuses = |record: &RunRecord| {
        let levels = model(record).levels;
        levels.iter().map(|level| (level.status, level.axes.headline)).collect::<Vec<_>>()
    };
    let own = statuses(&record);
    assert_eq!(own[2], (Some("INVALID"), Some("INVALID")));
    assert!(own.iter().all(|(status, headline)| status == headline));
    record.header.mode = Mode::Paper;
    let paper = statuses(&record);
    assert_eq!(paper[2], (Some("OK"), Some("INVALID")));
    assert_eq!(json(&record)["saturation"]["method"], "paper");
}

#[test]
fn a_peak_is_a_level_that_stands() {
    let mut record = windowed_run();
    let peak = |record: &RunRecord| json(record)["peak"].take();
    let first = peak(&record);
    assert_eq!(first["valid"], true);
    let best = |level: &&mut LevelRecord| level.planned.load.users == first["users"];
    for level in record.levels.iter_mut().filter(best) {
        level.shares[0].seal.as_mut().unwrap().snapshot.vitals.busy_share = 0.5;
    }
    assert_ne!(peak(&record)["users"], first["users"]);
}

#[test]
fn failures_are_infinite_in_the_quantiles_that_count_them() {
    let shape = Shape { fail_every: 50, ..Shape::QUICK };
    let latency = &json(&run_of(vec![level(Phase::Scaling, 10, 1000, 1, shape)]))["levels"][0]["latency_ms"]
        ["e2e"];
    assert!(latency["p99"].is_number());
    assert_eq!(latency["with_failures"]["p99"], "infinite");
    assert_eq!(latency["with_failures"]["p95"], latency["p95"]);
    assert_eq!(latency["p999"], Value::Null);
    assert_eq!(latency["with_failures"]["p999"], Value::Null);
}

#[test]
fn a_quantile_below_its_floor_is_not_given() {
    let quiet = Shape { fail_every: 0, ..Shape::QUICK };
    for (requests, given) in [(63, 0), (64, 1), (130, 2), (661, 2), (662, 3), (6636, 4)] {
        let record = run_of(vec![level(Phase::Scaling, 1, requests, 1, quiet)]);
        let level = &json(&record)["levels"][0];
        for latency in [&level["latency_ms"]["e2e"], &level["per_agent"][0]["latency_ms"]["e2e"]] {
            let held = ["p90", "p95", "p99", "p999"].map(|key| !latency[key].is_null());
            assert_eq!(held, [1, 2, 3, 4].map(|place| place <= given), "{requests}");
            assert!(!latency["p50"].is_null());
        }
        assert!(!level["paper"]["p99_s"].is_null(), "the paper gives it from any sample");
    }
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
    levels.6.rate_asked_per_s levels.6.in_flight_min levels.6.measured.intended
    levels.6.measured.started levels.6.measured.succeeded levels.6.measured.failed
    levels.6.measured.censored levels.6.measured.by_class levels.6.n_eff
    levels.6.wall_s levels.6.window.start_s levels.6.window.end_s levels.6.window.steady
    levels.6.rates.requests_per_s levels.6.rates.output_tok_s levels.6.rates.prompt_tok_s
    levels.6.rates.total_tok_s levels.6.rates.goodput_per_s
    levels.6.rates.output_tok_s_ci95 levels.6.rates.uncached_prompt_tok_s
    levels.6.rates.wasted_tok_s levels.6.rates.goodput_share levels.6.rates.output_tok_s_per_gpu
    levels.6.rates.total_tok_s_per_gpu levels.6.rates.total_tok_s_per_active_b
    levels.6.rates.total_tok_s_per_watt
    levels.6.latency_ms.ttft levels.6.latency_ms.ttft_plan levels.6.latency_ms.e2e
    levels.6.latency_ms.e2e_plan levels.6.latency_ms.tpot levels.6.latency_ms.icl
    levels.6.latency_ms.send_lag levels.6.latency_ms.receive_lag
    levels.6.latency_ms.ttft.count levels.6.latency_ms.ttft.mean levels.6.latency_ms.ttft.min
    levels.6.latency_ms.ttft.max levels.6.latency_ms.ttft.p50 levels.6.latency_ms.ttft.p90
    levels.6.latency_ms.ttft.p95 levels.6.latency_ms.ttft.p99 levels.6.latency_ms.ttft.p999
    levels.6.latency_ms.ttft.p99_certified levels.6.latency_ms.ttft.n_eff
    levels.6.latency_ms.ttft.p50_ci95 levels.6.latency_ms.ttft.p90_ci95
    levels.6.latency_ms.ttft.p95_ci95 levels.6.latency_ms.ttft.p99_ci95
    levels.6.latency_ms.ttft.p999_ci95 levels.6.latency_ms.ttft.p90_certified
    levels.6.latency_ms.ttft.p95_certified levels.6.latency_ms.ttft.p999_certified
    levels.6.latency_ms.ttft.with_failures.p50 levels.6.latency_ms.ttft.with_failures.p90
    levels.6.latency_ms.ttft.with_failures.p95 levels.6.latency_ms.ttft.with_failures.p99
    levels.6.latency_ms.ttft.with_failures.p999 levels.6.latency_ms.ntpot.count
    levels.6.paper.total_tok_s levels.6.paper.output_tok_s levels.6.paper.p50_s
    levels.6.paper.p95_s levels.6.paper.p99_s levels.6.paper.success levels.6.paper.status
    levels.6.status levels.6.axes.reliability levels.6.axes.latency levels.6.axes.load
    levels.6.axes.headline levels.6.axes.slo levels.6.axes.elasticity
    levels.6.axes.elasticity_ci95 levels.6.axes.provisional levels.6.axes.signs
    levels.6.axes.evidence.reliability levels.6.axes.evidence.latency levels.6.axes.evidence.slo
    levels.6.axes.evidence.load
    levels.6.verdicts.0.code levels.6.verdicts.0.effect levels.6.verdicts.0.evidence
    levels.6.client.worker_cpu_max levels.6.client.loop_lag_p99_ms
    levels.6.client.receive_lag_p99_ms levels.6.client.send_lag_p99_ms
    levels.6.per_agent.0.agent levels.6.per_agent.0.users levels.6.per_agent.0.requests.started
    levels.6.per_agent.0.tokens.prompt levels.6.per_agent.0.in_flight_mean
    levels.6.per_agent.0.latency_ms.ttft levels.6.histogram_sha256
    peak.phase peak.label peak.users peak.total_tok_s peak.output_tok_s
    saturation.users saturation.method saturation.ci saturation.because limits_version
    serving.stated.engine serving.not_stated.0 serving.facts serving.weight_memory serving.lint
    serving.warnings";

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
            fields["axes"].as_object_mut().unwrap().remove("headline");
            let about_agents = ["START_SKEW", "AGENT_OUTLIER"];
            let verdicts = fields["verdicts"].as_array_mut().unwrap();
            verdicts.retain(|v| !about_agents.contains(&v["code"].as_str().unwrap()));
            level
        };
        prop_assert_eq!(level(many), level(one));
    }
}
