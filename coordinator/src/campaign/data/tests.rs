//! Workloads with data sets, and users who think: what is read, refused and written.

use super::super::{Overlay, Problems, Source, resolve};
use super::*;

fn read(endpoint: &str, workload: &str) -> Result<Campaign, Problems> {
    let text = format!(
        "[target]\nbase_urls = [\"http://h:1\"]\nmodel = \"m\"\nendpoint = \"{endpoint}\"\n\
         [workloads.w]\n{workload}\n[phases]\nscaling = {{ users = 3, workload = \"w\" }}\n"
    );
    resolve(Some(Source { name: "c.toml", text: &text }), &Overlay::default())
}

fn plan(endpoint: &str, workload: &str) -> DataPlan {
    let campaign = read(endpoint, workload).unwrap();
    let again = campaign.to_toml();
    let source = Source { name: "again.toml", text: &again };
    let again = resolve(Some(source), &Overlay::default()).unwrap();
    assert_eq!(campaign, again);
    campaign.data.into_values().next().unwrap()
}

#[test]
fn a_file_is_named_in_three_ways() {
    let plain = DataPlan {
        file: "f \"1\".jsonl".to_owned(),
        format: None,
        turns: Turns::All,
        shuffled: false,
        output_tokens: None,
    };
    assert_eq!(plan("chat", "dataset = 'f \"1\".jsonl'"), plain);
    assert_eq!(plan("chat", "input_tokens = { dataset = 'f \"1\".jsonl' }"), plain);
    assert_eq!(plan("embeddings", "dataset = { file = 'f \"1\".jsonl' }"), plain);
    let long = "dataset = { file = \"x\", format = \"sharegpt\", turns = \"first\", \
                order = \"shuffled\" }\noutput_tokens = { uniform = [5, 9] }\n\
                forced_length = false";
    let stated = DataPlan {
        file: "x".to_owned(),
        format: Some(Format::ShareGpt),
        turns: Turns::First,
        shuffled: true,
        output_tokens: Some(Length::Uniform { least: 5, most: 9 }),
    };
    assert_eq!(plan("chat", long), stated);
}

#[test]
fn what_does_not_go_with_a_data_set_is_refused() {
    let problems = |endpoint, workload| read(endpoint, workload).unwrap_err().to_string();
    let both = "dataset = \"x\"\ninput_tokens = 5\ncache = \"cold\"\n\
                images = { width = 64, height = 64 }";
    insta::assert_snapshot!(problems("chat", both), @r#"
    c.toml:7:16: workloads.w.input_tokens = 5: prompts come from the data set and are sent as they are recorded; leave this out, or leave the data set out
    c.toml:8:9: workloads.w.cache = "cold": prompts come from the data set and are sent as they are recorded; leave this out, or leave the data set out
    c.toml:9:10: workloads.w.images: prompts come from the data set and are sent as they are recorded; leave this out, or leave the data set out
    3 problems
    "#);
    let wrong = "dataset = { format = \"csvv\", turns = 3, order = \"random\", seed = 1 }";
    insta::assert_snapshot!(problems("chat", wrong), @r#"
    c.toml:6:11: workloads.w.dataset.file: missing; name the file: { file = "conversations.jsonl" }
    c.toml:6:22: workloads.w.dataset.format = "csvv": must be one of auto, openai, prompts, sharegpt, mooncake, csv; did you mean csv?
    c.toml:6:38: workloads.w.dataset.turns = 3: must be a string, not an integer
    c.toml:6:49: workloads.w.dataset.order = "random": must be one of file, shuffled
    c.toml:6:59: workloads.w.dataset.seed: unknown key; valid keys: file, format, turns, order
    5 problems
    "#);
    insta::assert_snapshot!(problems("embeddings", "dataset = 'x'\noutput_tokens = 3"), @r#"
    c.toml:7:17: workloads.w.output_tokens = 3: an embedding has no output tokens; leave this out
    "#);
}

#[test]
fn flags_alone_can_name_a_file() {
    let mut overlay = Overlay::default();
    for set in [
        "target.base_urls=[\"http://h:1\"]",
        "target.model=m",
        "workloads.default.dataset=f.jsonl",
        "phases.scaling.users=3",
        "phases.scaling.workload=default",
    ] {
        overlay.set(set.to_owned());
    }
    let campaign = resolve(None, &overlay).unwrap();
    assert_eq!(campaign.data.into_values().next().unwrap().file, "f.jsonl");
}

#[test]
fn users_think_for_a_duration_or_by_a_law() {
    let think = |key: &str| {
        let campaign = read("chat", &format!("dataset = \"x\"\nthink_time = {key}")).unwrap();
        let again = campaign.to_toml();
        let source = Source { name: "again.toml", text: &again };
        assert_eq!(resolve(Some(source), &Overlay::default()).unwrap(), campaign, "{again}");
        campaign.phases[0].levels[0].workload.think_ms.clone().unwrap()
    };
    assert_eq!(think("\"1.5s\""), Length::Fixed(1500));
    assert_eq!(
        think("{ uniform = [\"1s\", \"5s\"] }"),
        Length::Uniform { least: 1000, most: 5000 }
    );
    assert_eq!(think("{ values = [\"1s\", \"40ms\"] }"), Length::Values(vec![1000, 40]));
    let bounds = common::length::Bounds { least: 1, most: 3_600_000 };
    assert_eq!(
        think("{ lognormal = { median = \"2s\", sigma = 3.5 } }"),
        Length::Lognormal { median: 2000, sigma_milli: 3500, bounds }
    );
    let bounds = common::length::Bounds { least: 500, most: 7000 };
    assert_eq!(
        think("{ normal = { mean = \"3s\", sd = \"1s\", min = \"500ms\" } }"),
        Length::Normal { mean: 3000, sd: 1000, bounds }
    );
    let passage = "input_tokens = 5\noutput_tokens = 2\nthink_time = \"2s\"";
    let campaign = read("chat", passage).unwrap();
    assert_eq!(campaign.phases[0].levels[0].workload.think_ms, Some(Length::Fixed(2000)));
}

#[test]
fn thinking_is_for_users_and_for_an_hour_at_most() {
    let wrong = |load: &str, think: &str| {
        let text = format!(
            "[target]\nbase_urls = [\"http://h:1\"]\nmodel = \"m\"\n[workloads.w]\n\
             input_tokens = 5\noutput_tokens = 2\nthink_time = {think}\n[phases]\n\
             saturation = {{ {load}, workload = \"w\" }}\n[slo]\nttft = \"2s\"\n"
        );
        let source = Source { name: "c.toml", text: &text };
        resolve(Some(source), &Overlay::default()).unwrap_err().to_string()
    };
    let rate = "requests at a rate have no users, and those of workload w think";
    let why = wrong("rate = 5", "\"1s\"");
    assert!(why.contains("phases.saturation.rate") && why.contains(rate), "{why}");
    let why = wrong("search = { max_rate = 5, budget = \"1h\" }", "\"1s\"");
    assert!(why.contains("phases.saturation.search") && why.contains(rate), "{why}");
    for think in ["\"0s\"", "\"61m\"", "\"1us\"", "3", "{ uniform = [\"5s\", \"1s\"] }", "{}"] {
        let why = wrong("users = 5", think);
        assert!(why.contains("workloads.w.think_time"), "{think}: {why}");
    }
}

fn replay(phase: &str, requests: &str) -> Result<Campaign, Problems> {
    let text = format!(
        "[target]\nbase_urls = [\"http://h:1\"]\nmodel = \"m\"\n[workloads.w]\n\
         dataset = \"trace.jsonl\"\n[workloads.plain]\ninput_tokens = 5\noutput_tokens = 5\n\
         [phases]\nscaling = {{ replay = {phase}, workload = \"w\"{requests} }}\n"
    );
    resolve(Some(Source { name: "c.toml", text: &text }), &Overlay::default())
}

#[test]
fn a_trace_is_replayed_at_several_speeds_and_has_the_rate_of_its_file() {
    let mut campaign = replay("{ speed = [0.5, 1, 2.25] }", "").unwrap();
    let again = campaign.to_toml();
    let source = Source { name: "again.toml", text: &again };
    assert_eq!(resolve(Some(source), &Overlay::default()).unwrap(), campaign, "{again}");
    let data = DataSet {
        file: "trace.jsonl".to_owned(),
        format: Format::Mooncake,
        digest: common::digest::Digest::of(b""),
        bytes: 9,
        conversations: 21,
        turns: 21,
        shuffled: false,
    };
    let name = "w".parse().unwrap();
    assert!(campaign.replays_all(&name, true) && !campaign.replays_all(&name, false));
    // 20 gaps in 10 s.
    let pace = Some(TracePace::of(21, 10_000_000));
    campaign.carry(&name, &data, (&Length::Fixed(5), None), pace);
    let plan = crate::plan::Plan::of(&campaign);
    let levels: Vec<_> = plan.measured().map(|l| (l.label.as_str(), l.load.requests())).collect();
    let all = Some(21);
    assert_eq!(levels, [("replay x0.5", all), ("replay x1", all), ("replay x2.25", all)]);
    let rates = plan.measured().map(|level| match level.load.arrivals {
        Arrivals::Open(schedule) => schedule.rate.settled().value(),
        Arrivals::Closed { .. } => panic!("a trace has no users"),
    });
    assert_eq!(rates.collect::<Vec<_>>(), [1.0, 2.0, 4.5]);

    let mut cut = replay("{}", ", requests = 8").unwrap();
    cut.carry(&name, &data, (&Length::Fixed(5), None), pace);
    let plan = crate::plan::Plan::of(&cut);
    let levels: Vec<_> = plan.measured().map(|l| (l.label.as_str(), l.load.requests())).collect();
    assert_eq!(levels, [("replay x1", Some(8))]);
}

#[test]
fn what_a_trace_says_by_itself_is_refused_beside_it() {
    let problems = |phase: &str, more: &str| replay(phase, more).unwrap_err().to_string();
    insta::assert_snapshot!(problems("{ speed = [1, 0, 1] }", ""), @r#"
    c.toml:10:36: phases.scaling.replay.speed.1 = 0: must be a number from 0.001 to 1000
    c.toml:10:39: phases.scaling.replay.speed.2 = 1: the phase has a level of replay x1 with workload w already
    2 problems
    "#);
    insta::assert_snapshot!(problems("{}", ", arrivals = \"poisson\", duration = \"9s\""), @r#"
    c.toml:10:53: phases.scaling.arrivals = "poisson": requests come when those of the trace came, until it ends; leave this out (requests = N ends it sooner)
    c.toml:10:75: phases.scaling.duration = "9s": requests come when those of the trace came, until it ends; leave this out (requests = N ends it sooner)
    2 problems
    "#);
    insta::assert_snapshot!(problems("{}", ", users = 5"), @r#"
    c.toml:10:50: phases.scaling.users = 5: cannot be combined with replay, whose requests come when those of the trace came; leave one of the two out
    "#);
    let text = "[target]\nbase_urls = [\"http://h:1\"]\nmodel = \"m\"\n[workloads.w]\n\
                input_tokens = 5\noutput_tokens = 5\n[phases]\n\
                scaling = { replay = {}, workload = \"w\" }\n";
    let source = Source { name: "c.toml", text };
    let why = resolve(Some(source), &Overlay::default()).unwrap_err().to_string();
    insta::assert_snapshot!(why, @r#"
    c.toml:8:22: phases.scaling.replay: workload w has no trace to replay; give it one: dataset = "FILE"
    "#);
}
