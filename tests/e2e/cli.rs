//! The command line as users and scripts know it.

use harness::campaign::Campaign;
use harness::process::{Process, floodmark};
use harness::{binaries, simulator};
use std::time::Duration;

#[test]
fn every_command_explains_itself() {
    let root = binaries::root();
    let help = floodmark(&root, &["--help"]);
    assert_eq!(help.code, Some(0));
    for command in ["demo", "run", "plan", "report", "compare", "agents", "pki"] {
        assert!(help.stdout.contains(&format!("\n  {command} ")), "{}", help.stdout);
        let own = floodmark(&root, &[command, "--help"]);
        assert_eq!(own.code, Some(0), "{command}");
        assert!(own.stdout.contains(&format!("Usage: floodmark {command}")), "{}", own.stdout);
    }
    for exit in coordinator::exit::Exit::ALL {
        assert!(help.stdout.contains(&format!("\n  {:<4} {}", exit.code(), exit.meaning())));
    }
    for command in ["serve", "sim"] {
        let args = [command, "--help"];
        let process = Process::start(&binaries::floodmark_agent(), &root, &args);
        assert_eq!(process.end(Duration::from_secs(10)).code, Some(0), "{command}");
    }
}

#[test]
fn an_unknown_flag_or_command_is_bad_usage() {
    let root = binaries::root();
    for args in [&["run", "--userz", "1"][..], &["flood"], &[], &["report"]] {
        let ended = floodmark(&root, args);
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{args:?}");
    }
}

#[test]
fn the_sample_campaigns_have_plans() {
    let root = binaries::root();
    for (file, levels) in [
        ("paper-text.toml", 18),
        ("quick.toml", 4),
        ("windows.toml", 12),
        ("rates.toml", 9),
        ("ablation.toml", 70),
    ] {
        let path = format!("deploy/campaigns/{file}");
        let text = floodmark(&root, &["plan", &path]);
        assert_eq!(text.code, Some(0), "{}", text.stderr);
        assert!(text.stdout.contains("SCALING"), "{}", text.stdout);
        let json = floodmark(&root, &["plan", &path, "--format", "json"]);
        let plan: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
        assert_eq!(plan["levels"].as_array().unwrap().len(), levels, "{file}");
    }
}

#[test]
fn a_report_is_the_summary_and_damage_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let simulator = simulator::start(simulator::quick());
    let text = Campaign::new(simulator.address(), 2, 4).text();
    std::fs::write(dir.path().join("campaign.toml"), text).unwrap();
    let args = ["run", "campaign.toml", "--embedded", "2", "--result-dir", "result"];
    let ended = floodmark(dir.path(), &args);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let json = floodmark(dir.path(), &["report", "result", "--format", "json"]);
    let summary = std::fs::read_to_string(dir.path().join("result/summary.json")).unwrap();
    assert_eq!((json.code, json.stdout), (Some(0), summary));

    // So short a level may not have held its users; whatever is said, nothing is worse.
    let compared = floodmark(dir.path(), &["compare", "result", "result"]);
    assert_ne!(compared.code, Some(99), "{}", compared.stdout);
    assert!(compared.stdout.contains("compared with itself"), "{}", compared.stdout);

    // One agent's seal is changed; the other's numbers stay readable.
    let store = dir.path().join("result/run.sqlite");
    let db = rusqlite::Connection::open(&store).unwrap();
    let sql = "UPDATE seals SET body = x'00' WHERE agent = 'embedded-2'";
    assert_eq!(db.execute(sql, []).unwrap(), 1);
    drop(db);
    let damaged = floodmark(dir.path(), &["report", "result"]);
    assert_eq!(damaged.code, Some(0), "{}", damaged.stderr);
    assert!(damaged.stdout.contains("seal of agent embedded-2"), "{}", damaged.stdout);

    std::fs::write(&store, "this is no database").unwrap();
    let broken = floodmark(dir.path(), &["report", "result"]);
    assert_eq!((broken.code, &*broken.stdout), (Some(2), ""), "{}", broken.stderr);
    assert!(broken.stderr.contains("run.sqlite"), "{}", broken.stderr);
    let absent = floodmark(dir.path(), &["report", "nowhere"]);
    assert_eq!(absent.code, Some(2));
    assert!(absent.stderr.contains("nowhere"), "{}", absent.stderr);
    let neither = floodmark(dir.path(), &["compare", "result", "nowhere"]);
    assert_eq!((neither.code, &*neither.stdout), (Some(2), ""), "{}", neither.stderr);
    assert!(neither.stderr.contains("2 problems"), "{}", neither.stderr);
}
