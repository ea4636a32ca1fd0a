mod mixes;
mod target;

use std::error::Error as _;
use std::fs;

use std::time::Duration;

use common::arrivals::{Arrivals, Curve, Law, PerSecond, Rate, Schedule};
use common::assignment::{End, Load, Pace};
use common::length::{Bounds, Length};
use common::slo::Slo;
use common::workload::{CacheMode, SharedPrefix};
use proptest::prelude::*;
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::campaign::{Hardware, Judging, WindowPlan};
use crate::record::Asked;
use crate::serving::Serving;
use crate::target::facts::Told;
use crate::testdata::{killed_run, run, stored};

/// The tables as a store of schema 1 has them.
const SCHEMA_1: &str = include_str!("tests/schema_1.sql");

/// The error and its causes, with the directory's name taken out.
fn told(dir: &Path, error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text.replace(&dir.display().to_string(), "DIR")
}

fn raw(dir: &Path) -> Connection {
    Connection::open(dir.join(FILE)).unwrap()
}

#[test]
fn a_finished_and_a_killed_run_load_as_they_were_stored() {
    for run in [run(), killed_run()] {
        let dir = TempDir::new().unwrap();
        let dir = dir.path().join("results/not/there/yet");
        drop(stored(&dir, &run));
        let loaded = Store::open(&dir).unwrap().load().unwrap();
        assert_eq!(loaded.damage, []);
        assert_eq!(loaded.record, run);
        let campaign = fs::read_to_string(dir.join(CAMPAIGN_FILE)).unwrap();
        assert_eq!(campaign, run.header.campaign_toml);
    }
}

#[test]
fn windows_rates_and_what_levels_are_judged_by_load_as_they_were_stored() {
    let mut run = run();
    let ms = Duration::from_millis;
    run.header.judging = Judging {
        slo: Slo { ttft: Some(ms(2000)), tpot: Some(Duration::from_nanos(1)), e2e: None },
        quantile: 0.999,
        hardware: Hardware { gpus: Some(8.0), active_params_b: Some(37.5), watts: None },
    };
    let rate = Rate::Ramp {
        from: PerSecond(1),
        to: PerSecond(12_500_000),
        over: ms(30_000),
        curve: Curve::Steps(5),
    };
    let law = Law::Gamma { shape_milli: 250 };
    let window = WindowPlan { least: ms(1), most: ms(2), turns: 5, requests: 662, precise: true };
    run.levels[2].planned.load =
        Load { users: 4000, arrivals: Arrivals::Open(Schedule { law, rate }), end: End::Window };
    run.levels[2].planned.window = Some(window);
    run.levels[4].planned.proof = Some(Pace { ttft: ms(200), itl: Duration::from_nanos(1) });
    run.levels[3].planned.load.arrivals = Arrivals::Closed { ramp: ms(2500) };
    let bounds = Bounds { least: 50, most: 900 };
    let drawn = &mut run.levels[1].planned.workload;
    drawn.input_tokens = Length::Lognormal { median: 200, sigma_milli: 600, bounds };
    drawn.output_tokens = Length::Values(vec![1, 1, 5]);
    drawn.cache =
        CacheMode::SharedPrefix(SharedPrefix { tokens: 40, groups: 3, share_permille: 500 });
    let dir = TempDir::new().unwrap();
    drop(stored(dir.path(), &run));
    assert_eq!(Store::open(dir.path()).unwrap().load().unwrap().record, run);
    let db = raw(dir.path());
    let shown = |sql: &str| db.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    insta::assert_snapshot!(shown("SELECT judging FROM run"), @r#"{"ttft_ns":2000000000,"tpot_ns":1,"e2e_ns":null,"quantile":0.999,"gpus":8.0,"active_params_b":37.5,"watts":null}"#);
    insta::assert_snapshot!(shown("SELECT arrivals FROM levels WHERE ordinal = 2"), @r#"{"loop":"open","law":"gamma","shape_milli":250,"rate_micro":12500000,"ramp":{"from_micro":1,"over_ns":30000000000,"curve":"step","steps":5}}"#);
    insta::assert_snapshot!(shown("SELECT arrivals FROM levels WHERE ordinal = 3"), @r#"{"loop":"closed","ramp_ns":2500000000}"#);
    insta::assert_snapshot!(shown("SELECT window FROM levels WHERE ordinal = 2"), @r#"{"least_ns":1000000,"most_ns":2000000,"turns":5,"requests":662,"precise":true}"#);
    insta::assert_snapshot!(shown("SELECT lengths FROM levels WHERE ordinal = 1"), @r#"{"input":{"law":"lognormal","median":200,"sigma_milli":600,"least":50,"most":900},"output":{"law":"values","values":[1,1,5]}}"#);
    insta::assert_snapshot!(shown("SELECT shared_prefix FROM levels WHERE ordinal = 1"), @r#"{"tokens":40,"groups":3,"share_permille":500}"#);
    insta::assert_snapshot!(shown("SELECT proof FROM levels WHERE ordinal = 4"), @r#"{"ttft_ns":200000000,"itl_ns":1}"#);
}

#[test]
fn a_store_of_the_second_schema_is_read_with_what_was_true_then() {
    for run in [run(), killed_run()] {
        let dir = TempDir::new().unwrap();
        drop(stored(dir.path(), &run));
        let db = raw(dir.path());
        for column in ["arm", "lengths", "shared_prefix", "more"] {
            db.execute(&format!("ALTER TABLE levels DROP COLUMN {column}"), []).unwrap();
        }
        db.pragma_update(None, "user_version", 2).unwrap();
        drop(db);
        assert_eq!(Store::open(dir.path()).unwrap().load().unwrap().record, run);
    }
}

#[test]
fn a_store_of_the_first_schema_is_read_with_what_was_true_then() {
    for run in [run(), killed_run()] {
        let (new, old) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        drop(stored(new.path(), &run));
        let db = raw(old.path());
        db.execute_batch(SCHEMA_1).unwrap();
        let attach = "ATTACH ?1 AS new";
        db.execute(attach, [new.path().join(FILE).to_str().unwrap()]).unwrap();
        for table in ["run", "run_end", "agents", "inputs", "levels", "shares", "seals"] {
            let sql = format!("SELECT group_concat(name) FROM pragma_table_info('{table}')");
            let columns: String = db.query_row(&sql, [], |row| row.get(0)).unwrap();
            let copy = format!("INSERT INTO {table} SELECT {columns} FROM new.{table}");
            db.execute(&copy, []).unwrap();
        }
        db.pragma_update(None, "application_id", schema::APPLICATION).unwrap();
        db.pragma_update(None, "user_version", 1).unwrap();
        drop(db);
        let loaded = Store::open(old.path()).unwrap().load().unwrap();
        assert_eq!(loaded.damage, []);
        assert_eq!(loaded.record, run);
    }
}

#[test]
fn what_serves_the_model_is_stored_and_a_store_without_it_is_read() {
    let mut run = run();
    run.header.serving = Serving {
        engine: Some("vLLM".to_owned()),
        bytes_per_param: Some(1.02),
        flags: Some(vec!["--block-size 1".to_owned()]),
        ..Serving::default()
    };
    let fact = |asked, told| FactRecord {
        name: "weight_memory_gib".parse().unwrap(),
        asked,
        at: UnixMs(7),
        told,
    };
    run.facts = vec![
        fact(Asked::Began, Told::Value("83.1".to_owned())),
        fact(Asked::Restarted { ordinal: 2 }, Told::Value("83.4".to_owned())),
        fact(Asked::Ended, Told::NotKnown("no such host".to_owned())),
    ];
    let dir = TempDir::new().unwrap();
    drop(stored(dir.path(), &run));
    assert_eq!(Store::open(dir.path()).unwrap().load().unwrap().record, run);
    let db = raw(dir.path());
    let sql = "SELECT group_concat(key || ' ' || value, '; ') FROM serving_stated";
    let shown: String = db.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(shown, r#"bytes_per_param 1.02; engine "vLLM"; flags ["--block-size 1"]"#);
    // As version 3 left it.
    db.execute_batch("DROP TABLE serving_stated; DROP TABLE serving_facts").unwrap();
    db.execute("ALTER TABLE levels DROP COLUMN more", []).unwrap();
    db.pragma_update(None, "user_version", 3).unwrap();
    drop(db);
    run.header.serving = Serving::default();
    run.facts = Vec::new();
    assert_eq!(Store::open(dir.path()).unwrap().load().unwrap().record, run);
}

#[test]
fn a_run_is_readable_while_it_is_written_and_from_a_copy_of_its_files() {
    let run = killed_run();
    let dir = TempDir::new().unwrap();
    let writer = stored(dir.path(), &run);
    let loaded = Store::open(dir.path()).unwrap().load().unwrap();
    assert_eq!(loaded.record, run);
    // The copy is what a killed process leaves: the writer has closed nothing.
    let copy = TempDir::new().unwrap();
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    let loaded = Store::open(copy.path()).unwrap().load().unwrap();
    assert_eq!(loaded.record, run);
    drop(writer);
}

#[test]
fn a_finished_run_is_one_file() {
    let dir = TempDir::new().unwrap();
    let _writer = stored(dir.path(), &run());
    let mut names: Vec<String> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, [CAMPAIGN_FILE, FILE]);
}

#[test]
fn a_log_torn_anywhere_near_its_end_leaves_a_readable_run() {
    let run = killed_run();
    let dir = TempDir::new().unwrap();
    let writer = stored(dir.path(), &run);
    let log = dir.path().join("run.sqlite-wal");
    let whole = fs::read(&log).unwrap();
    for cut in (0..9000).step_by(450).filter(|cut| *cut < whole.len()) {
        let copy = TempDir::new().unwrap();
        fs::copy(dir.path().join(FILE), copy.path().join(FILE)).unwrap();
        fs::write(copy.path().join("run.sqlite-wal"), &whole[..whole.len() - cut]).unwrap();
        let loaded = Store::open(copy.path()).unwrap().load().unwrap();
        assert_eq!(loaded.damage, []);
        assert_eq!(loaded.record.header, run.header);
        for (torn, level) in loaded.record.levels.iter().zip(&run.levels) {
            assert_eq!(torn.planned, level.planned);
        }
    }
    drop(writer);
}

#[test]
fn a_seal_is_stored_once_and_stays() {
    let run = run();
    let dir = TempDir::new().unwrap();
    let mut store = Store::create(dir.path(), &run.header).unwrap();
    let level = &run.levels[0];
    store.begin_level(level).unwrap();
    let share = &level.shares[0];
    let first = share.seal.as_ref().unwrap();
    let mut second = first.clone();
    second.snapshot.sequence += 1;
    store.put_seals([(level.id, &share.agent, first)]).unwrap();
    store.put_seals([(level.id, &share.agent, &second)]).unwrap();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.record.levels[0].shares[0].seal.as_ref(), Some(first));
}

#[test]
fn inputs_come_back_in_order() {
    let dir = TempDir::new().unwrap();
    let mut store = Store::create(dir.path(), &run().header).unwrap();
    let input = |seq: u64| StoredInput {
        seq,
        tick: Tick(seq * 1000),
        kind: "agent_armed".into(),
        body: format!("{{\"seq\":{seq}}}"),
    };
    let inputs: Vec<StoredInput> = (0..20).map(input).collect();
    store.append_inputs(&inputs[..7]).unwrap();
    store.append_inputs(&inputs[7..]).unwrap();
    assert_eq!(store.inputs().unwrap(), inputs);
    // All or none: the second of these is already there.
    let refused = store.append_inputs(&[input(20), input(3)]);
    assert!(matches!(refused, Err(StoreError::Write { .. })));
    assert_eq!(store.inputs().unwrap(), inputs);
}

#[test]
fn a_directory_that_holds_a_run_is_refused() {
    let dir = TempDir::new().unwrap();
    drop(stored(dir.path(), &run()));
    let error = Store::create(dir.path(), &run().header).unwrap_err();
    insta::assert_snapshot!(
        told(dir.path(), &error),
        @"DIR/run.sqlite already holds a run; choose another result directory"
    );
}

#[test]
fn what_is_not_a_run_is_refused() {
    let dir = TempDir::new().unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    insta::assert_snapshot!(told(dir.path(), &error));
    raw(dir.path()).execute_batch("CREATE TABLE run (x)").unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    insta::assert_snapshot!(told(dir.path(), &error));
    fs::write(dir.path().join(FILE), "no database at all, but long enough to be looked at")
        .unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    insta::assert_snapshot!(told(dir.path(), &error));
}

#[test]
fn a_store_of_another_version_is_refused_by_number() {
    let dir = TempDir::new().unwrap();
    drop(stored(dir.path(), &run()));
    raw(dir.path()).pragma_update(None, "user_version", 7).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    insta::assert_snapshot!(told(dir.path(), &error));
}

#[test]
fn a_damaged_seal_is_named_and_the_rest_loads() {
    let dir = TempDir::new().unwrap();
    let whole = run();
    drop(stored(dir.path(), &whole));
    let change = "UPDATE seals SET body = CAST(substr(body, 1, 40) || x'ff' || substr(body, 42) AS BLOB) \
                  WHERE ordinal = 3 AND agent = 'gen-1'";
    assert_eq!(raw(dir.path()).execute(change, []).unwrap(), 1);
    let bytes = b"no seal".to_vec();
    let digest = Digest::of(&bytes).to_string();
    let change = "UPDATE seals SET body = ?1, sha256 = ?2 WHERE ordinal = 4 AND agent = 'gen-0'";
    assert_eq!(raw(dir.path()).execute(change, params![bytes, digest]).unwrap(), 1);
    let loaded = Store::open(dir.path()).unwrap().load().unwrap();
    let damage: Vec<String> = loaded.damage.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(damage.join("\n"));
    let mut expected = whole;
    expected.levels[3].shares[1].seal = None;
    expected.levels[4].shares[0].seal = None;
    assert_eq!(loaded.record, expected);
}

#[test]
fn a_foreign_word_is_an_error_with_its_column() {
    for (change, column) in [
        ("UPDATE levels SET phase = 'LUNCH'", "phase"),
        ("UPDATE levels SET fate = 'eaten'", "fate"),
        ("UPDATE levels SET arrivals = '{\"loop\":\"closed\",\"ramp_ns\":-1}'", "arrivals"),
        ("UPDATE levels SET arrivals = json_set(arrivals, '$.more', 1)", "arrivals"),
        ("UPDATE levels SET window = '{}'", "window"),
        ("UPDATE run SET judging = json_set(judging, '$.quantile', 1)", "judging"),
        ("UPDATE run SET campaign_toml = 'x'", "campaign_sha256"),
        ("UPDATE agents SET name = char(27) || '[2J' || position", "name"),
        ("UPDATE shares SET agent = '../' || position", "agent"),
        ("DELETE FROM run", "no rows"),
    ] {
        let dir = TempDir::new().unwrap();
        drop(stored(dir.path(), &run()));
        let db = raw(dir.path());
        db.pragma_update(None, "foreign_keys", false).unwrap();
        db.execute_batch(change).unwrap();
        let error = Store::open(dir.path()).unwrap().load().unwrap_err();
        let told = told(dir.path(), &error);
        assert!(told.contains(column), "{told}");
        assert!(!told.contains('\u{1b}'), "{told:?}");
    }
}

#[test]
fn the_first_failed_write_ends_the_use() {
    let dir = TempDir::new().unwrap();
    let run = run();
    let mut store = Store::create(dir.path(), &run.header).unwrap();
    store.put_agents(&run.agents).unwrap();
    // A disk that is full, as SQLite sees it.
    let pages: i64 = store.db.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    let limit = format!("PRAGMA max_page_count = {pages}");
    store.db.query_row(&limit, [], |_| Ok(())).unwrap();
    let input =
        StoredInput { seq: 0, tick: Tick::ZERO, kind: "begin".into(), body: "x".repeat(100_000) };
    let error = store.append_inputs(&[input]).unwrap_err();
    insta::assert_snapshot!(told(dir.path(), &error));
    // This would fit.
    let error = store.begin_level(&run.levels[0]).unwrap_err();
    insta::assert_snapshot!(told(dir.path(), &error));
    let loaded = Store::open(dir.path()).unwrap().load().unwrap();
    assert_eq!(loaded.record.agents, run.agents);
    assert_eq!(loaded.record.levels, []);
    assert_eq!(store.inputs().unwrap(), []);
}

#[test]
fn a_level_that_was_never_begun_has_no_fate() {
    let dir = TempDir::new().unwrap();
    let run = run();
    let mut store = Store::create(dir.path(), &run.header).unwrap();
    let refused = store.set_fate(run.levels[0].id, &LevelFate::Completed);
    assert!(matches!(refused, Err(StoreError::Write { .. })));
}

fn arrivals() -> impl Strategy<Value = Arrivals> {
    let law = prop_oneof![
        Just(Law::Constant),
        Just(Law::Poisson),
        (1u32..).prop_map(|shape_milli| Law::Gamma { shape_milli }),
    ];
    let curve =
        prop_oneof![Just(Curve::Linear), Just(Curve::Exponential), (2u32..).prop_map(Curve::Steps)];
    let rate = || (1u64..).prop_map(PerSecond);
    let ramp = (rate(), rate(), 1u64.., curve).prop_map(|(from, to, ns, curve)| Rate::Ramp {
        from,
        to,
        over: Duration::from_nanos(ns),
        curve,
    });
    prop_oneof![
        any::<u64>().prop_map(|ns| Arrivals::Closed { ramp: Duration::from_nanos(ns) }),
        (law, prop_oneof![rate().prop_map(Rate::Flat), ramp])
            .prop_map(|(law, rate)| Arrivals::Open(Schedule { law, rate })),
    ]
}

proptest! {
    #[test]
    fn any_arrivals_are_stored_exactly(arrivals in arrivals()) {
        let text = states::arrivals_text(arrivals);
        prop_assert_eq!(states::arrivals_of(&text), Some(arrivals), "{}", text);
    }

    #[test]
    fn any_stored_text_is_answered(text in "[{}\\[\\]\":,a-z_0-9]{0,40}") {
        prop_assert_eq!(states::arrivals_of(&text), None);
        prop_assert_eq!(states::window_of(&text), None);
        prop_assert_eq!(states::proof_of(&text), None);
        prop_assert_eq!(states::before_of(&text), None);
        prop_assert_eq!(states::judging_of(&text), None);
    }
}
