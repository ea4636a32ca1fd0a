//! Every preset is a campaign that runs: each one scaled down, against the simulator. A window takes
//! ten seconds to begin, however short it is, so those that have windows run when they are asked for,
//! but for a few that stand for them (with all of them it takes some minutes):
//!
//! ```text
//! cargo test --release -p floodmark-tests --test figures -- --ignored --nocapture presets
//! ```

use std::sync::Mutex;
use std::time::Duration;

use agent::sim::Profile;
use coordinator::presets::Preset;
use coordinator::record::RunOutcome;
use coordinator::report::ReportModel;
use harness::{run, simulator};
use toml::{Table, Value};

/// Runs at a time: they wait more than they work, and leases starve where too many work at once.
const AT_A_TIME: usize = 3;

/// One of a list of levels, one of a search, and those that are counts of requests.
const SAMPLE: [&str; 4] = ["start", "saturation-llama", "inferencex", "vllm-bench"];

fn is_quick(preset: &Preset) -> bool {
    preset.name.starts_with("paper-") || SAMPLE.contains(&&*preset.name)
}

#[test]
#[cfg_attr(debug_assertions, ignore = "needs a release build; .ci/run runs it")]
fn presets_of_every_kind_run() {
    run_all(is_quick, 25);
}

#[test]
#[ignore = "takes minutes"]
fn all_other_presets_run() {
    run_all(|preset| !is_quick(preset), 20);
}

/// Runs those that are `wanted`, at least so many.
fn run_all(wanted: impl Fn(&Preset) -> bool, least: usize) {
    let mut presets: Vec<Preset> = Preset::all().into_iter().filter(wanted).collect();
    assert!(presets.len() >= least, "{}", presets.len());
    // Taken from the end: the slow ones first.
    presets.sort_by_key(|preset| !preset.name.starts_with("paper-"));
    let left = Mutex::new(presets);
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let Some(preset) = left.lock().expect("no run panicked").pop() else { return };
                    ran(&preset);
                }
            });
        }
    });
}

fn ran(preset: &Preset) {
    let name = &preset.name;
    let (ttft, itl) = (Duration::from_millis(5), Duration::from_millis(1));
    let simulator = simulator::start(Profile { ttft, itl, slots: 8, ..simulator::quick() });
    let text = scaled(&preset.text("file"), &format!("http://{}", simulator.address()));
    let ran = run::text_to_end(&text, 2);
    simulator::truth(simulator);
    assert_eq!(ran.end.outcome, RunOutcome::Completed, "{name}: {:?}", ran.end);
    let model = ReportModel::new(&ran.record, &[]);
    let took_ms = ran.end.finished_at.0.saturating_sub(ran.record.header.started_at.0);
    println!("{name}: {} levels, {took_ms} ms", model.levels.len());
    assert!(model.levels.len() >= 2, "{name}");
    for level in &model.levels {
        let requests = &level.requests;
        assert!(requests.succeeded > 0 && requests.failed == 0, "{name} {}", level.planned_label);
    }
}

/// The same campaign with a hundredth of the users, short prompts and answers, and short windows.
fn scaled(text: &str, target: &str) -> String {
    let mut campaign: Table = text.parse().expect("a preset is TOML");
    let set = |table: &mut Value, key: &str, value: Value| {
        table.as_table_mut().expect("a table").insert(key.to_owned(), value);
    };
    set(&mut campaign["target"], "base_urls", vec![target.to_owned()].into());
    campaign.insert("tier".to_owned(), "default".into());
    let off = [("before", Value::from(false)), ("after", false.into())];
    let off = off.map(|(key, value)| (key.to_owned(), value));
    campaign.insert("client_proof".to_owned(), Value::Table(Table::from_iter(off)));
    if let Some(slo) = campaign.get_mut("slo").filter(|slo| slo.get("quantile").is_some()) {
        set(slo, "quantile", 0.9.into());
    }
    if let Some(server) = campaign.get_mut("server") {
        if server.get("restart").is_some() {
            set(server, "restart", vec!["true".to_owned()].into());
        }
        for key in ["facts", "reset_cache"] {
            server.as_table_mut().expect("a table").remove(key);
        }
    }
    if let Some(ablation) = campaign.get_mut("ablation") {
        for arm in ["base", "new"] {
            set(&mut ablation[arm], "restart", vec!["true".to_owned(), arm.to_owned()].into());
        }
        set(ablation, "restarts", 3.into());
        // Another start is another round of windows, and A/A has a test of its own.
        set(ablation, "aa_restarts", 0.into());
    }
    if let Some(repeats) = campaign.get_mut("repeats") {
        set(repeats, "count", 2.into());
        repeats.as_table_mut().expect("a table").remove("until");
    }
    for (_, workload) in campaign["workloads"].as_table_mut().expect("workloads").iter_mut() {
        set(workload, "input_tokens", 20.into());
        set(workload, "output_tokens", 5.into());
        if let Some(images) = workload.get_mut("images") {
            set(images, "width", 64.into());
            set(images, "height", 64.into());
        }
    }
    let paper = campaign.get("mode").and_then(Value::as_str) == Some("paper");
    for (name, phase) in campaign["phases"].as_table_mut().expect("phases").iter_mut() {
        let counted = paper || name == "warmup";
        if let Some(entries) = phase.as_array_mut() {
            entries.iter_mut().for_each(|entry| shorten(entry, counted));
        } else {
            shorten(phase, counted);
        }
    }
    campaign.to_string()
}

/// A level is a count of requests, or one short window.
fn shorten(entry: &mut Value, counted: bool) {
    let entry = entry.as_table_mut().expect("a table");
    entry.insert("cooldown".to_owned(), "0s".into());
    if let Some(search) = entry.get_mut("search").and_then(Value::as_table_mut) {
        for (key, value) in [("max_users", Value::from(8)), ("max_rate", 100.into())] {
            if search.contains_key(key) {
                search.insert(key.to_owned(), value);
            }
        }
        search.insert("budget".to_owned(), "20s".into());
        entry.insert("duration".to_owned(), "1s".into());
        return;
    }
    if let Some(rate) = entry.get_mut("rate") {
        *rate = 40.into();
    }
    let counted = counted || entry.contains_key("requests");
    if let Some(users) = entry.get_mut("users") {
        let of = |users: &Value| users.as_integer().map_or(1, |users| (users / 100).max(1));
        let all =
            users.as_array().map_or_else(|| vec![of(users)], |all| all.iter().map(of).collect());
        let (first, last) = (all[0], all[all.len() - 1]);
        *users = if first == last || !counted { last.into() } else { vec![first, last].into() };
    }
    if counted {
        entry.insert("requests".to_owned(), 12.into());
    } else {
        entry.insert("duration".to_owned(), "1s".into());
    }
}
