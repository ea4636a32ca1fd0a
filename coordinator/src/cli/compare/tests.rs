use clap::Parser;
use common::phase::Phase;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::record::{LevelFate, RunRecord};
use crate::testdata::{self, Shape, stored};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: CompareArgs,
}

fn line(words: &[&str]) -> Result<CompareArgs, clap::Error> {
    Line::try_parse_from(["compare"].iter().chain(words)).map(|line| line.args)
}

/// A run of two SCALING levels; the time to the first token makes all the difference.
fn record(number: u64, ttft_us: u64) -> RunRecord {
    let shape = Shape { ttft_us, fail_every: 0, ..Shape::QUICK };
    let mut run = testdata::run();
    run.header.run = RunId(Uuid::from_u128(number.into()));
    run.levels = [10, 20]
        .into_iter()
        .zip(0..)
        .map(|(users, place)| {
            let mut level = testdata::level(Phase::Scaling, users, 1400, 2, shape);
            level.id.ordinal = place;
            level.planned.place = place;
            level
        })
        .collect();
    run
}

/// Result directories `NAME/0`, `NAME/1`, … of runs that scatter around this time to first token.
fn side(root: &TempDir, name: &str, ttft_us: u64) -> String {
    let dir = root.path().join(name);
    for (place, scatter) in [0, 150, 300, 450].into_iter().enumerate() {
        let number = ttft_us * 10 + place as u64;
        stored(&dir.join(place.to_string()), &record(number, ttft_us + scatter));
    }
    dir.to_string_lossy().into_owned()
}

fn compared(words: &[&str]) -> (String, u8) {
    match run(&line(words).unwrap()) {
        Ok(Done { text, code }) => (text, code),
        Err(Failure { exit, text }) => panic!("{exit:?}: {text}"),
    }
}

fn refused(words: &[&str]) -> String {
    let Err(Failure { exit, text }) = run(&line(words).unwrap()) else {
        panic!("{words:?} is comparable")
    };
    assert_eq!(exit, Exit::Usage);
    text
}

#[test]
fn a_slower_server_fails_the_gate_and_a_faster_one_passes() {
    let root = TempDir::new().unwrap();
    let (old, slow) = (side(&root, "old", 20_000), side(&root, "slow", 26_000));
    let same = side(&root, "same", 20_050);
    let (text, code) = compared(&[&old, &slow]);
    assert_eq!(code, 99, "{text}");
    let sections: Vec<&str> = text.split("\n\n").collect();
    let header: String = sections[1].split_whitespace().collect();
    assert!(header.contains("old(4runs:0,1,2,3)NEW"), "{header}");
    insta::assert_snapshot!([&sections[..1], &sections[2..]].concat().join("\n\n"));
    let (text, code) = compared(&[&slow, &old]);
    assert!(text.starts_with("NEW is better: total tok/s at SCALING "), "{text}");
    assert_eq!(code, 0);
    let (text, code) = compared(&[&old, &same]);
    assert!(text.starts_with("NEW is equivalent"), "{text}");
    assert_eq!(code, 0);
    // A tolerance so wide that nothing is worse, and a metric that does not see it.
    for flags in [["--margin", "50%"], ["--metric", "success"]] {
        let (text, code) = compared(&[&[&*old, &*slow], &flags[..]].concat());
        assert_eq!(code, 0, "{text}");
    }
    let (text, code) = compared(&[&old, &slow, "--format", "json", "--metric", "ttft_p50_ms"]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &json["answer"]), (99, &"worse".into()));
    assert_eq!(json["levels"][1]["metrics"]["ttft_p50_ms"]["conclusion"], "worse");
    assert_eq!(json["base"]["runs"].as_array().unwrap().len(), 4);
}

#[test]
fn a_directory_of_one_run_is_a_side() {
    let root = TempDir::new().unwrap();
    let old = side(&root, "old", 20_000);
    let (text, code) = compared(&[&format!("{old}/0"), &format!("{old}/1")]);
    assert!(text.starts_with("no test is possible"), "{text}");
    assert_eq!(code, 0);
}

#[test]
fn a_gate_does_not_pass_where_nothing_can_be_compared() {
    let root = TempDir::new().unwrap();
    let old = side(&root, "old", 20_000);
    let mut other = record(9, 20_000);
    for level in &mut other.levels {
        level.fate = Some(LevelFate::Stopped("interrupted".into()));
    }
    let dir = root.path().join("stopped");
    stored(&dir, &other);
    let (text, code) = compared(&[&old, dir.to_str().unwrap()]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("NEW has no valid repeat of it"), "{text}");
    assert!(text.contains("stopped early: interrupted"), "{text}");
}

#[test]
fn everything_wrong_with_both_directories_is_told_at_once() {
    let root = TempDir::new().unwrap();
    let old = root.path().join("old");
    let name = |name: &str| old.join(name);
    stored(&name("a"), &record(1, 20_000));
    stored(&name("b"), &record(1, 20_000));
    fs::create_dir_all(name("c")).unwrap();
    fs::write(name("c").join(FILE), "no database").unwrap();
    let empty = root.path().join("empty");
    fs::create_dir_all(&empty).unwrap();
    let text = refused(&[old.to_str().unwrap(), empty.to_str().unwrap()]);
    let text = text.replace(root.path().to_str().unwrap(), "RESULTS");
    assert!(text.contains("BASE: RESULTS/old/a and RESULTS/old/b hold the same run"), "{text}");
    assert!(text.contains("RESULTS/old/c/run.sqlite"), "{text}");
    assert!(text.contains("NEW: RESULTS/empty holds no run: no run.sqlite in it"), "{text}");
    assert!(text.ends_with("3 problems"), "{text}");
    let absent = root.path().join("absent");
    let text = refused(&[absent.to_str().unwrap(), absent.to_str().unwrap()]);
    assert_eq!(text.matches("absent cannot be read").count(), 2, "{text}");
}

#[test]
fn a_run_alone_is_compared_only_if_it_is_an_ablation() {
    let root = TempDir::new().unwrap();
    let old = side(&root, "old", 20_000);
    let text = refused(&[&format!("{old}/0")]);
    assert!(text.contains("is not an ablation") && text.contains("give NEW as well"), "{text}");
    let text = refused(&[&format!("{old}/none")]);
    assert!(text.contains("none"), "{text}");
}

#[test]
fn margins_are_percentages_and_metrics_have_names() {
    for (text, share) in [("2%", 0.02), ("0.5 %", 0.005), ("50%", 0.5)] {
        assert_eq!(margin(text), Ok(share), "{text}");
    }
    for text in ["2", "0%", "-1%", "51%", "NaN%", "inf%", "%", ""] {
        assert!(margin(text).is_err(), "{text}");
    }
    let options = |words: &[&str]| line(&[&["a", "b"], words].concat()).map(|args| args.options());
    assert_eq!(options(&[]).unwrap().deciding, Metric::DECIDING);
    let two = options(&["--metric", "success,e2e_p50_ms", "--metric", "success"]).unwrap();
    assert_eq!(two.deciding, [Metric::Success, Metric::E2eP50]);
    assert!(options(&["--metric", "speed"]).is_err());
    assert!(line(&[]).is_err());
}
