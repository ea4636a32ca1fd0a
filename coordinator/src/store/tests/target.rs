//! What the target said it is, what is done to it before levels, and the levels that are decided
//! while a run goes on.

use std::sync::LazyLock;

use common::ids::LevelId;
use rusqlite::types::Value as Column;
use serde_json::Value;

use super::*;
use crate::plan::{PlannedLevel, Preparation};
use crate::record::{Asked, LevelRecord, RunRecord};
use crate::target::identity::{Identity, ServedModel};

fn model(id: &str, root: Option<&str>, max_model_len: Option<u64>) -> ServedModel {
    ServedModel { id: id.to_owned(), root: root.map(str::to_owned), max_model_len }
}

fn said(asked: Asked, at: u64, identity: Identity) -> IdentityRecord {
    IdentityRecord { asked, at: UnixMs(at), identity }
}

/// A run that asked its target four times, with preparations of all kinds, repeats, and three
/// levels that were appended by decisions: one of them in two attempts, and one not finished.
fn appended() -> RunRecord {
    let mut run = killed_run();
    run.levels.pop();
    let planned = run.levels.len();
    for (place, level) in run.levels.iter_mut().enumerate() {
        let (restart_server, reset_cache) = (place % 2 == 1, place % 4 >= 2);
        level.planned.before = Preparation { restart_server, reset_cache };
    }
    let mut more: Vec<LevelRecord> = run.levels[2..].to_vec();
    more.push(more[2].clone());
    for (level, (ordinal, attempt)) in more.iter_mut().zip([(5, 0), (6, 0), (6, 1), (7, 0)]) {
        level.id = LevelId { ordinal, attempt };
        level.planned.repeat = ordinal - 4;
        level.planned.label = format!("decided {ordinal}");
    }
    more[1].planned = more[2].planned.clone();
    more[1].fate = Some(LevelFate::Quarantined("agent gen-0 was late".to_owned()));
    more[3].fate = None;
    more[3].shares[0].seal = None;
    run.levels.extend(more);
    run.header.levels_planned = planned as u32;
    let full = Identity {
        models: Some(vec![model("a", None, Some(u64::MAX)), model("b", Some("/é \"b\""), None)]),
        version: Some("0.14.1".to_owned()),
        process_start_s: Some(1_770_000_000.123_456_7),
    };
    run.identities = vec![
        said(Asked::Began, 5, full.clone()),
        said(Asked::Restarted { ordinal: 3 }, 4, Identity::default()),
        said(Asked::Restarted { ordinal: 1 }, 4, Identity { models: Some(vec![]), ..full }),
        said(Asked::Ended, 9, Identity { version: Some(String::new()), ..Identity::default() }),
    ];
    run
}

/// The bytes of the store of that run.
fn appended_file() -> Vec<u8> {
    let dir = TempDir::new().unwrap();
    drop(stored(dir.path(), &appended()));
    raw(dir.path()).pragma_update(None, "journal_mode", "DELETE").unwrap();
    fs::read(dir.path().join(FILE)).unwrap()
}

/// What is read of these bytes, or what is said of them.
fn read(bytes: &[u8]) -> Result<Loaded, String> {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join(FILE), bytes).unwrap();
    let loaded = Store::open(dir.path()).and_then(|store| store.load());
    loaded.map_err(|error| told(dir.path(), &error))
}

#[test]
fn what_was_said_done_and_decided_loads_as_it_was_stored_and_in_its_order() {
    let run = appended();
    let dir = TempDir::new().unwrap();
    let store = stored(dir.path(), &run);
    // While the run goes on, which is when a decision is made, and afterwards.
    assert_eq!(Store::open(dir.path()).unwrap().load().unwrap().record, run);
    drop(store);
    let loaded = Store::open(dir.path()).unwrap().load().unwrap();
    assert_eq!(loaded.damage, []);
    assert_eq!(loaded.record, run);
    let db = raw(dir.path());
    let all = |sql: &str| -> Vec<String> {
        let mut query = db.prepare(sql).unwrap();
        query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    // As the documentation shows them.
    let sql = "SELECT concat_ws(' ', position, asked, ordinal) FROM target_identities";
    assert_eq!(all(sql), ["1 began", "2 restarted 3", "3 restarted 1", "4 ended"]);
    let sql = "SELECT identity FROM target_identities WHERE position = 2";
    insta::assert_snapshot!(all(sql)[0], @r#"{"models":null,"version":null,"process_start_s":null}"#);
    let sql = "SELECT coalesce(before, 'null') FROM levels WHERE begun <= 4 ORDER BY begun";
    assert_eq!(all(sql), ["null", "restart_server", "reset_cache", "restart_server reset_cache"]);
}

#[test]
fn what_is_damaged_there_is_an_error_with_its_table_and_what_to_do() {
    let cases = [
        ("target_identities", "asked", "asked = 'lunch'"),
        ("target_identities", "asked", "ordinal = NULL WHERE asked = 'restarted'"),
        ("target_identities", "asked", "ordinal = 1 WHERE asked = 'ended'"),
        ("target_identities", "out of range", "ordinal = -1 WHERE asked = 'restarted'"),
        ("target_identities", "out of range", "at_ms = -1"),
        ("target_identities", "identity", "identity = ''"),
        ("target_identities", "identity", "identity = substr(identity, 1, 30)"),
        ("target_identities", "identity", "identity = replace(identity, 'models', 'm\u{1b}dels')"),
        ("target_identities", "identity", "identity = json_set(identity, '$.models', 7)"),
        ("target_identities", "identity", "identity = json_remove(identity, '$.models[0].id')"),
        ("target_identities", "identity", "identity = json_set(identity, '$.more', 1)"),
        ("target_identities", "identity", "identity = replace(hex(zeroblob(50000)), '00', '[')"),
        ("levels", "before", "before = ''"),
        ("levels", "before", "before = 'restart_serv'"),
        ("levels", "before", "before = 'reset_cache restart_server'"),
        ("levels", "before", "before = 'restart_server\u{1b}[2J'"),
        ("levels", "out of range", "repeat = -1"),
        ("levels", "out of range", "repeat = 1 << 40"),
        ("levels", "out of range", "ordinal = 1 << 32 WHERE begun = 1"),
        ("levels", "utf-8", "label = CAST(x'ff00' AS TEXT)"),
    ];
    let whole = appended_file();
    let dir = TempDir::new().unwrap();
    for (table, cause, change) in cases {
        fs::write(dir.path().join(FILE), &whole).unwrap();
        let db = raw(dir.path());
        db.pragma_update(None, "synchronous", false).unwrap();
        db.pragma_update(None, "foreign_keys", false).unwrap();
        let changed = db.execute(&format!("UPDATE {table} SET {change}"), []).unwrap();
        assert!(changed > 0, "{change}");
        let error = Store::open(dir.path()).unwrap().load().unwrap_err();
        let told = told(dir.path(), &error);
        let begins = format!("cannot read {table} from DIR/run.sqlite; the file is damaged: use ");
        assert!(told.starts_with(&begins) && told.contains(cause), "{change}: {told}");
        assert!(!told.contains('\u{1b}'), "{told:?}");
    }
    fs::write(dir.path().join(FILE), &whole).unwrap();
    raw(dir.path()).execute_batch("DROP TABLE target_identities").unwrap();
    let error = Store::open(dir.path()).unwrap().load().unwrap_err();
    let told = told(dir.path(), &error);
    assert!(told.starts_with("cannot read target_identities from"), "{told}");
}

/// The columns of a level that are planned, by name.
fn columns(dir: &Path, ordinal: u32) -> Vec<(String, Value)> {
    let db = raw(dir);
    let sql = "SELECT * FROM levels WHERE ordinal = ?1";
    let mut query = db.prepare(sql).unwrap();
    let names: Vec<String> = query.column_names().map(str::to_owned).collect();
    let row: Vec<Column> = query
        .query_row([ordinal], |row| (0..names.len()).map(|place| row.get(place)).collect())
        .unwrap();
    let of_a_run = ["begun", "ordinal", "attempt", "fired_at_ms", "fate", "fate_because"];
    let planned = names.into_iter().zip(row);
    let planned = planned.filter(|(name, _)| !of_a_run.contains(&name.as_str()));
    let value = |name: &str, column: Column| match column {
        Column::Null => Value::Null,
        Column::Integer(flag) if ["allow_capped", "forced_length"].contains(&name) => {
            Value::from(flag == 1)
        }
        Column::Integer(number) => Value::from(number),
        Column::Text(text) => serde_json::from_str(&text).unwrap_or(Value::from(text)),
        other @ (Column::Real(_) | Column::Blob(_)) => panic!("{name}: {other:?}"),
    };
    let mut planned: Vec<_> =
        planned.map(|(name, column)| (name.clone(), value(&name, column))).collect();
    planned.sort_by(|a, b| a.0.cmp(&b.0));
    planned
}

#[test]
fn a_decided_level_is_the_same_in_the_inputs_and_in_the_levels() {
    let mut levels: Vec<PlannedLevel> = Vec::new();
    for (place, record) in appended().levels.into_iter().take(4).enumerate() {
        let mut planned = record.planned;
        // A label that reads like a number would be taken for one here.
        planned.label = format!("{} users", planned.label);
        planned.repeat = place as u32;
        levels.push(planned);
    }
    let ms = Duration::from_millis;
    let law = Law::Gamma { shape_milli: 250 };
    let schedule = Schedule { law, rate: Rate::Flat(PerSecond(12_500_000)) };
    levels[1].load = Load { users: 40, arrivals: Arrivals::Open(schedule), end: End::Window };
    levels[1].window =
        Some(WindowPlan { least: ms(1), most: ms(2), turns: 5, requests: 662, precise: true });
    levels[2].proof = Some(Pace { ttft: ms(200), itl: ms(20) });
    let dir = TempDir::new().unwrap();
    let run = run();
    let mut store = Store::create(dir.path(), &run.header).unwrap();
    for (ordinal, planned) in (0..).zip(&levels) {
        let id = LevelId { ordinal, attempt: 0 };
        let record = LevelRecord { id, planned: planned.clone(), ..run.levels[0].clone() };
        store.begin_level(&record).unwrap();
    }
    drop(store);
    for (ordinal, planned) in (0..).zip(&levels) {
        let Value::Object(input) = planned_json(planned) else { panic!("{planned:?}") };
        let mut input: Vec<(String, Value)> = input.into_iter().collect();
        input.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(input, columns(dir.path(), ordinal));
    }
}

#[test]
fn a_store_cut_anywhere_says_so() {
    let whole = appended_file();
    for length in (0..whole.len()).step_by(whole.len() / 60) {
        match read(&whole[..length]) {
            Err(told) => assert!(told.contains("DIR/run.sqlite"), "{length}: {told}"),
            // A seal at the very end of the file has a digest of its own.
            Ok(loaded) => assert_ne!(loaded.damage, [], "{length} of {}", whole.len()),
        }
    }
}

fn identity() -> impl Strategy<Value = Identity> {
    let text = || "\\PC{0,20}";
    let model = (text(), prop::option::of(text()), any::<Option<u64>>())
        .prop_map(|(id, root, max_model_len)| ServedModel { id, root, max_model_len });
    let models = prop::option::of(prop::collection::vec(model, 0..4));
    // As servers print them: to the millisecond.
    let start = prop::option::of((0u64..1 << 42).prop_map(|ms| ms as f64 / 1e3));
    (models, prop::option::of(text()), start).prop_map(|(models, version, process_start_s)| {
        Identity { models, version, process_start_s }
    })
}

fn asked() -> impl Strategy<Value = Asked> {
    prop_oneof![
        Just(Asked::Began),
        any::<u32>().prop_map(|ordinal| Asked::Restarted { ordinal }),
        Just(Asked::Ended),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whatever is said, and when: it is stored exactly and in order.
    #[test]
    fn any_identities_are_stored_exactly(
        said in prop::collection::vec((asked(), 0u64..1 << 62, identity()), 0..6)
    ) {
        let record = |(asked, at, identity)| self::said(asked, at, identity);
        let run = RunRecord { identities: said.into_iter().map(record).collect(), ..run() };
        let dir = TempDir::new().unwrap();
        let mut store = Store::create(dir.path(), &run.header).unwrap();
        for identity in &run.identities {
            store.put_identity(identity).unwrap();
        }
        prop_assert_eq!(store.load().unwrap().record.identities, run.identities);
    }

    /// Bytes of a store that are no longer those that were written: something else, or an error,
    /// and never a panic.
    #[test]
    fn damaged_bytes_are_borne(
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)
    ) {
        static WHOLE: LazyLock<Vec<u8>> = LazyLock::new(appended_file);
        let mut bytes = WHOLE.clone();
        for (place, byte) in places {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Err(told) = read(&bytes) {
            prop_assert!(told.contains("DIR/run.sqlite"), "{}", told);
        }
    }
}
