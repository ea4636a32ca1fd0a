//! What a workload has beside lengths and a cache mode comes back as it was.

use common::length::Length;
use common::mix::Weighted;
use common::workload::{CacheMode, SharedPrefix, Workload};

use super::*;

fn models(names: &[(&str, u32)]) -> Vec<Weighted<String>> {
    names.iter().map(|&(name, weight)| Weighted { item: name.to_owned(), weight }).collect()
}

/// A short one with an adapter, and a long one whose prefix is longer than the short one's prompts.
fn mixed() -> Workload {
    let short = Workload {
        models: models(&[("base", 3), ("lora \"a\"", 1)]),
        ..Workload::new("short".parse().unwrap(), 20.into(), 7.into())
    };
    let prefix = SharedPrefix { tokens: 500, groups: 2, share_permille: 900 };
    let long = Workload {
        forced_length: true,
        cache: CacheMode::SharedPrefix(prefix),
        ..Workload::new(
            "long".parse().unwrap(),
            Length::Uniform { least: 1000, most: 3000 },
            40.into(),
        )
    };
    let mix = [(long, 1), (short, 99)].map(|(item, weight)| Weighted { item, weight }).into();
    Workload::mixed("both".parse().unwrap(), mix).unwrap()
}

#[test]
fn models_and_mixes_come_back() {
    let mut run = run();
    run.levels[1].planned.workload = mixed();
    run.levels[2].planned.workload.models = models(&[("lora-a", 2), ("lora-b", 5)]);
    let dir = TempDir::new().unwrap();
    drop(stored(dir.path(), &run));
    assert_eq!(Store::open(dir.path()).unwrap().load().unwrap().record, run);
    let db = raw(dir.path());
    let more = |ordinal: u32| {
        let sql = "SELECT more FROM levels WHERE ordinal = ?1";
        db.query_row(sql, [ordinal], |row| row.get::<_, Option<String>>(0)).unwrap()
    };
    assert_eq!(more(0), None);
    assert_eq!(
        more(2).unwrap(),
        r#"{"models":[{"name":"lora-a","weight":2},{"name":"lora-b","weight":5}]}"#
    );
}

#[test]
fn what_makes_no_sense_is_no_workload() {
    for more in [
        r#"{"models":[{"name":"a","weight":0}]}"#,
        r#"{"models":[{"name":"a","weight":1},{"name":"a","weight":1}]}"#,
        r#"{"mix":[]}x"#,
        r#"{"mood":1}"#,
        r#"{"mix":[{"name":"a","weight":1,"input":{"law":"fixed","tokens":1},
            "output":{"law":"fixed","tokens":1},"forced_length":true,"cache":"cold"}]}"#,
    ] {
        let dir = TempDir::new().unwrap();
        drop(stored(dir.path(), &run()));
        let sql = "UPDATE levels SET more = ?1 WHERE ordinal = 1";
        raw(dir.path()).execute(sql, [more]).unwrap();
        assert!(Store::open(dir.path()).unwrap().load().is_err(), "{more}");
    }
}
