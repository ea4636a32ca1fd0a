//! Facts of the server that commands tell: asked before the first level and after the last, and
//! never the end of a run.

use std::path::Path;
use std::time::Duration;

use coordinator::record::{Asked, RunOutcome};
use coordinator::report::ReportModel;
use coordinator::target::facts::Told;
use harness::campaign::Campaign;
use harness::process::{Ended, Process, Signal};
use harness::{poll, run, simulator};

/// A fact `times` that counts how often it was asked in `dir`, and is slow from the `slow`-th time.
fn counted(dir: &Path, slow: u32) -> String {
    let marks = dir.join("marks").display().to_string();
    let script = format!(
        "echo x >> {marks}; n=$(wc -l < {marks}); [ $n -lt {slow} ] || sleep 120; echo asked $n times"
    );
    format!(
        "{{ name = \"times\", command = [\"sh\", \"-c\", '{script}'], pattern = 'asked ([0-9]+)' }}"
    )
}

#[test]
fn facts_are_asked_before_the_first_level_and_after_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let simulator = simulator::start(simulator::quick());
    let ran = run::text_to_end(
        &format!(
            "{}[server]\nfacts = [{}, {{ name = \"absent\", command = [\"false\"], \
             pattern = '(x)' }}]\n[serving]\nengine = \"sim\"\n",
            Campaign::new(simulator.address(), 3, 9).text(),
            counted(dir.path(), 99)
        ),
        2,
    );
    assert_eq!((ran.end.outcome, ran.end.exit_code), (RunOutcome::Completed, 0), "{:?}", ran.end);
    let facts = &ran.record.facts;
    let asked: Vec<Asked> = facts.iter().map(|fact| fact.asked).collect();
    assert_eq!(asked, [Asked::Began, Asked::Began, Asked::Ended, Asked::Ended]);
    let fired = ran.record.levels[0].fired_at.unwrap();
    assert!(facts[..2].iter().all(|fact| fact.at <= fired));
    assert!(facts[2..].iter().all(|fact| fact.at >= fired));
    assert_eq!(facts[0].told, Told::Value("1".to_owned()));
    assert_eq!(facts[2].told, Told::Value("2".to_owned()));
    let serving = ReportModel::new(&ran.record, &[]).serving;
    assert_eq!(serving.stated.engine.as_deref(), Some("sim"));
    let [changed, absent] = serving.warnings.as_slice() else { panic!("{:?}", serving.warnings) };
    assert!(changed.starts_with("times was 1 when"), "{changed}");
    assert!(absent.starts_with("absent is not known: false: exit status: 1"), "{absent}");
}

#[test]
fn facts_are_asked_after_every_restart() {
    let dir = tempfile::tempdir().unwrap();
    let simulator = simulator::start(simulator::quick());
    let ran = run::text_to_end(
        &format!(
            "{}[server]\nrestart = [\"true\"]\nfacts = [{}]\n[repeats]\ncount = 2\n\
             restart_server = true\n",
            Campaign::new(simulator.address(), 3, 9).text(),
            counted(dir.path(), 99)
        ),
        2,
    );
    assert_eq!((ran.end.outcome, ran.end.exit_code), (RunOutcome::Completed, 0), "{:?}", ran.end);
    let restarted = |ordinal| Asked::Restarted { ordinal };
    let asked: Vec<Asked> = ran.record.facts.iter().map(|fact| fact.asked).collect();
    let first = ran.record.measured().map(|level| level.id.ordinal).collect::<Vec<_>>();
    assert_eq!(asked, [Asked::Began, restarted(first[0]), restarted(first[1]), Asked::Ended]);
    let serving = ReportModel::new(&ran.record, &[]).serving;
    let told: Vec<_> = serving.facts[0].after_restarts.iter().map(|t| t.value.clone()).collect();
    assert_eq!(told, [Some("2".to_owned()), Some("3".to_owned())]);
    let [changed] = serving.warnings.as_slice() else { panic!("{:?}", serving.warnings) };
    assert!(changed.starts_with("times was 3 when the server was restarted last"), "{changed}");
}

/// A run whose fact is slow from the `slow`-th time on, interrupted once `said` is.
fn interrupted(dir: &Path, slow: u32, said: &str) -> Ended {
    let simulator = simulator::start(simulator::quick());
    let text = format!(
        "{}[server]\nfacts = [{}]\n[serving]\nmax_num_seqs = 2\n",
        Campaign::new(simulator.address(), 3, 9).text(),
        counted(dir, slow)
    );
    std::fs::write(dir.join("campaign.toml"), text).unwrap();
    let run = Process::floodmark(dir, &["run", "campaign.toml", "--result-dir", "result"]);
    poll::holds(said, Duration::from_secs(30), || run.stderr().contains(said));
    run.signal(Signal::INT);
    run.end(Duration::from_secs(10))
}

#[test]
fn an_interrupt_waits_for_no_fact() {
    let dir = tempfile::tempdir().unwrap();
    let before = interrupted(dir.path(), 1, "asking for facts of the server");
    assert_eq!(before.code, Some(130), "{}", before.stderr);
    assert!(!dir.path().join("result").exists());
    // Whatever is wrong with the server is told first.
    assert!(before.stderr.starts_with("warning: max-num-seqs: up to 3 users"), "{}", before.stderr);
    let dir = tempfile::tempdir().unwrap();
    let after = interrupted(dir.path(), 2, "asking for facts of the server once more");
    assert_eq!(after.code, Some(0), "{}", after.stderr);
    assert!(after.stdout.contains("fact        times: 1"), "{}", after.stdout);
    assert!(after.stdout.contains("WARN        max-num-seqs"), "{}", after.stdout);
}
