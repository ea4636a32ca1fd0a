//! Searches in campaign files: what is read, what is refused, and what is written back.

use std::time::Duration;

use common::arrivals::{Arrivals, Law};
use proptest::prelude::*;

use super::*;
use crate::campaign::{Campaign, Overlay, Problems, Source, resolve};

const HEAD: &str = "\
[target]
base_urls = [\"http://h:1\"]
model = \"m\"
[workloads.chat]
input_tokens = 5
output_tokens = 2
";

const SLO: &str = "[slo]\nttft = \"2s\"\n";

fn read(text: &str) -> Result<Campaign, Problems> {
    resolve(Some(Source { name: "c.toml", text }), &Overlay::default())
}

fn saturation(more: &str, entry: &str) -> String {
    format!("{HEAD}{more}[phases]\nsaturation = {{ workload = \"chat\", {entry} }}\n")
}

fn search(more: &str, entry: &str) -> SearchPlan {
    let text = saturation(more, entry);
    read(&text).unwrap_or_else(|problems| panic!("{text}\n{problems}")).search.unwrap()
}

#[test]
fn a_search_for_saturation_begins_with_one_user_and_waits_for_no_quantile() {
    let found = search("", "search = { max_users = 4000, budget = \"2h\" }");
    let spec = SearchSpec {
        goal: Goal::Saturation,
        start: 1,
        max_load: 4000,
        budget: Duration::from_secs(7200),
        repeats: 3,
        seed: Seed(42),
    };
    assert_eq!(found.spec, spec);
    let level = |load| {
        let level = found.at(load);
        let window = level.window.unwrap();
        let bounds = (window.least.as_secs(), window.most.as_secs());
        (level.load.users, level.load.arrivals.ramp().as_secs(), bounds, window.requests)
    };
    assert_eq!(level(1), (1, 2, (60, 1200), 3));
    assert_eq!(level(700), (700, 2, (60, 1200), 2100));
    // Objectives of a campaign do not make it wait either: throughput is what is looked for.
    let judged = search(SLO, "search = { max_users = 4000, budget = \"2h\" }");
    assert_eq!(judged.at(1).window.unwrap().requests, 3);
}

#[test]
fn a_search_for_objectives_waits_until_they_are_certified() {
    let entry = "search = { max_users = 300, budget = \"90m\", goal = \"slo\", start = 4, \
                 repeats = 6 }, ramp = \"7s\", cooldown = \"1s\"";
    let found = search(SLO, entry);
    assert_eq!((found.spec.goal, found.spec.start, found.spec.repeats), (Goal::Objective, 4, 6));
    assert_eq!(found.at(4).window.unwrap().requests, 662);
    assert_eq!(found.at(300).window.unwrap().requests, 900);
    assert_eq!(found.level.load.arrivals.ramp(), Duration::from_secs(7));
    assert_eq!(found.level.cooldown, Duration::from_secs(1));
    let fixed = search(SLO, "search = { max_users = 3, budget = \"9m\" }, duration = \"90s\"");
    let window = fixed.at(3).window.unwrap();
    assert!(window.is_fixed() && window.most == Duration::from_secs(90));
}

#[test]
fn a_search_for_a_rate_begins_where_a_window_can_certify() {
    let entry = "search = { max_rate = 50.0, budget = \"2h\" }, burstiness = 0.5";
    let found = search(SLO, entry);
    // 662 requests and four deviations of them in the 20 minutes that a window has at most.
    assert_eq!((found.spec.goal, found.spec.start), (Goal::Objective, 638));
    assert_eq!(found.spec.repeats, 5);
    assert_eq!(found.spec.max_load, 50_000);
    let level = found.at(12_345);
    // Room for all that can be open at the highest rate, whatever the rate.
    assert_eq!(level.load.users, 10_000);
    let Arrivals::Open(schedule) = level.load.arrivals else { panic!("{level:?}") };
    assert_eq!(schedule.law, Law::Gamma { shape_milli: 500 });
    assert_eq!(schedule.rate, Rate::Flat(PerSecond(12_345_000)));
    let few =
        search(SLO, "search = { max_rate = 5, start = 2.5, budget = \"2h\" }, max_in_flight = 9");
    assert_eq!((few.spec.start, few.level.load.users), (2500, 9));
}

#[test]
fn set_reaches_a_search() {
    let mut overlay = Overlay::default();
    for set in [
        "phases.saturation.search.max_users=64",
        "phases.saturation.search.budget=3m",
        "phases.saturation.workload=chat",
    ] {
        overlay.set(set.to_owned());
    }
    let source = Source { name: "c.toml", text: HEAD };
    let campaign = resolve(Some(source), &overlay).unwrap();
    assert!(campaign.phases.is_empty());
    assert_eq!(campaign.search.unwrap().spec.max_load, 64);
}

/// The entry of SATURATION after `more`, and the message.
const REFUSALS: &[(&str, &str, &str)] = &[
    (
        "",
        "search = {}",
        "c.toml:8:44: phases.saturation.search.budget: missing; say how long all its levels \
         together may take: budget = \"2h\"\n\
         c.toml:8:44: phases.saturation.search.max_users: missing; say how far the search may go: \
         max_users = 1000, or max_rate = 50.0\n\
         2 problems",
    ),
    (
        SLO,
        "search = { max_users = 5, max_rate = 2, budget = \"2h\" }",
        "c.toml:10:72: phases.saturation.search.max_rate = 2: cannot be combined with max_users: a \
         search is for a number of users or for a rate; leave one of the two out",
    ),
    (
        "",
        "users = 5, rate = 2, requests = 9, allow_capped = true, rate_ramp = { from = 1 }, search \
         = { max_users = 5, budget = \"2h\" }",
        "c.toml:8:43: phases.saturation.users = 5: cannot be combined with search, which finds the \
         number itself; leave it out, or put it into an entry before that of the search\n\
         c.toml:8:53: phases.saturation.rate = 2: cannot be combined with search, which finds the \
         rate itself; leave it out, or put it into an entry before that of the search\n\
         c.toml:8:67: phases.saturation.requests = 9: cannot be combined with search: a level that \
         looks for a rate is measured in a window; leave it out, or say its length: duration = \
         \"60s\"\n\
         c.toml:8:85: phases.saturation.allow_capped = true: belongs to users who make a number of \
         requests; leave it out\n\
         c.toml:8:103: phases.saturation.rate_ramp: cannot be combined with search, which raises the \
         rate itself; leave it out\n\
         5 problems",
    ),
    (
        "",
        "search = { max_users = 0, budget = \"0s\", goal = \"peak\", repeats = 2, steps = 3 }",
        "c.toml:8:58: phases.saturation.search.max_users = 0: must be an integer from 1 to 1000000\n\
         c.toml:8:70: phases.saturation.search.budget = \"0s\": must be longer than 0s\n\
         c.toml:8:83: phases.saturation.search.goal = \"peak\": must be one of saturation, slo\n\
         c.toml:8:101: phases.saturation.search.repeats = 2: must be an integer from 3 to 100\n\
         c.toml:8:104: phases.saturation.search.steps: unknown key; valid keys: max_users, max_rate, \
         budget, goal, start, repeats\n\
         5 problems",
    ),
    (
        "",
        "search = { max_users = 9, start = 10, budget = \"2h\" }",
        "c.toml:8:69: phases.saturation.search.start = 10: must not be above max_users",
    ),
    (
        "",
        "search = { max_users = 9, budget = \"2h\", goal = \"slo\" }",
        "c.toml:8:83: phases.saturation.search.goal = \"slo\": looks for the largest load that meets \
         the objectives, and there are none; add [slo] with ttft, tpot or e2e",
    ),
    (
        "",
        "search = { max_rate = 9, budget = \"2h\" }",
        "c.toml:8:57: phases.saturation.search.max_rate = 9: looks for the largest load that meets \
         the objectives, and there are none; add [slo] with ttft, tpot or e2e",
    ),
    (
        SLO,
        "search = { max_rate = 9, budget = \"2h\", goal = \"saturation\" }, ramp = \"1s\"",
        "c.toml:10:82: phases.saturation.search.goal = \"saturation\": needs users: what a rate asks \
         for beyond the server's best piles up and is not answered faster; say max_users instead \
         of max_rate, or goal = \"slo\"",
    ),
    (
        SLO,
        "search = { max_rate = 9, budget = \"2h\" }, ramp = \"1s\"",
        "c.toml:10:84: phases.saturation.ramp = \"1s\": spreads the beginnings of users; leave it \
         out, or say max_users",
    ),
    (
        SLO,
        "search = { max_rate = 1.0005, budget = \"2h\" }",
        "c.toml:10:57: phases.saturation.search.max_rate = 1.0005: must have at most 3 decimals",
    ),
    (
        SLO,
        "search = { max_rate = 9, start = 0.5, budget = \"2h\" }",
        "c.toml:10:68: phases.saturation.search.start = 0.5: too few requests arrive at this rate, \
         in the longest window that there may be, to tell whether the objectives are met at \
         slo.quantile = 0.99: that takes 662; state a longer duration (beside search) or a lower \
         slo.quantile",
    ),
    (
        SLO,
        "search = { max_rate = 9, budget = \"2h\" }, duration = \"1m\"",
        "c.toml:10:57: phases.saturation.search.max_rate = 9: too few requests arrive at this rate, \
         in the longest window that there may be, to tell whether the objectives are met at \
         slo.quantile = 0.99: that takes 662; state a longer duration (beside search) or a lower \
         slo.quantile",
    ),
    (
        "",
        "search = { max_users = 9, budget = \"2h\" }, arrivals = \"poisson\"",
        "c.toml:8:89: phases.saturation.arrivals = \"poisson\": belongs to an open loop: say max_rate \
         instead of max_users, or leave it out",
    ),
    (
        "",
        "search = 4000",
        "c.toml:8:44: phases.saturation.search = 4000: must be a table, not an integer",
    ),
];

#[test]
fn what_no_search_can_do_is_refused_with_what_would_be_right() {
    let mut differ = Vec::new();
    for (more, entry, message) in REFUSALS {
        let text = saturation(more, entry);
        let refusal = read(&text).unwrap_err().to_string();
        if refusal != *message {
            differ.push(format!("{text}says:\n{refusal}\nnot:\n{message}"));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n\n"));
}

#[test]
fn a_search_is_the_last_thing_that_a_run_does() {
    let search = "search = { max_users = 9, budget = \"2h\" }, workload = \"chat\"";
    let refusal = |phases: &str| read(&format!("{HEAD}{phases}")).unwrap_err().to_string();
    let elsewhere = refusal(&format!("[phases]\nscaling = {{ {search} }}"));
    assert_eq!(
        elsewhere,
        "c.toml:8:22: phases.scaling.search: belongs to phases.saturation: a search ends with the \
         server overloaded, which would spoil the phases after it; move it there"
    );
    let twice = refusal(&format!("[phases]\nsaturation = [{{ {search} }}, {{ {search} }}]"));
    assert_eq!(
        twice,
        "c.toml:8:26: phases.saturation.0.search: must be the last entry of the phase, and the only \
         search: it ends with the server overloaded, which would spoil what comes after it"
    );
    let paper = read(&format!("mode = \"paper\"\n{HEAD}[phases]\nsaturation = {{ {search} }}"));
    assert_eq!(
        paper.unwrap_err().to_string(),
        "c.toml:9:25: phases.saturation.search: belongs to mode floodmark: in paper mode users begin \
         at once and make a number of requests; leave it out or set mode = \"floodmark\""
    );
    let after = format!(
        "{HEAD}[phases]\nsaturation = [{{ users = 4, workload = \"chat\" }}, {{ {search} }}]"
    );
    let campaign = read(&after).unwrap();
    assert_eq!((campaign.phases[0].levels.len(), campaign.search.is_some()), (1, true));
}

#[test]
fn objectives_without_a_stream_are_refused_once() {
    let text = format!(
        "[slo]\nttft = \"2s\"\n{}",
        saturation("", "search = { max_users = 9, budget = \"2h\", goal = \"slo\" }")
            .replace("model = \"m\"\n", "model = \"m\"\nstream = false\n")
    );
    assert_eq!(
        read(&text).unwrap_err().to_string(),
        "c.toml:2:8: slo.ttft = \"2s\": needs a stream: without one no first token is seen; set \
         target.stream = true, or give e2e instead"
    );
}

fn arb_entry() -> impl Strategy<Value = String> {
    let users =
        (1_u32..1_000_000, 0_u32..1_000_000, any::<bool>()).prop_map(|(start, more, slo)| {
            let most = start.saturating_add(more).min(1_000_000);
            let goal = if slo { "slo" } else { "saturation" };
            format!("max_users = {most}, start = {start}, goal = \"{goal}\"")
        });
    let rate = (639_u64..1_000_000_000, any::<bool>()).prop_map(|(milli, stated)| {
        let start = if stated { ", start = 0.639" } else { "" };
        format!("max_rate = {}{start}", milli as f64 / 1e3)
    });
    let length = proptest::option::of(1_300_000_u64..9_000_000);
    let spec = (prop_oneof![users, rate], 1_u64..1_000_000, 5_u32..=100);
    (spec, length, proptest::option::of(1_u32..100_000)).prop_map(
        |((most, budget, repeats), length, room)| {
            let length = length.map_or(String::new(), |ms| format!(", duration = \"{ms}ms\""));
            let room = room.filter(|_| most.starts_with("max_rate"));
            let room = room.map_or(String::new(), |room| format!(", max_in_flight = {room}"));
            format!(
                "search = {{ {most}, budget = \"{budget}s\", repeats = {repeats} }}{length}{room}"
            )
        },
    )
}

proptest! {
    #[test]
    fn a_search_survives_being_written(entry in arb_entry(), seed in any::<u64>(), fixed in any::<bool>()) {
        let before = if fixed { "scaling = { workload = \"chat\", users = 7 }\n" } else { "" };
        let text = format!("seed = {seed}\n{}{before}", saturation(SLO, &entry));
        let campaign = read(&text).map_err(|p| TestCaseError::fail(format!("{p}\n{text}")))?;
        let written = campaign.to_toml();
        let again = read(&written);
        prop_assert_eq!(again.as_ref(), Ok(&campaign), "{}", written);
        prop_assert_eq!(again.map(|c| c.to_toml()), Ok(written));
    }
}

#[test]
fn a_search_and_repeats_of_everything_exclude_each_other() {
    let entry = "search = { max_users = 40, budget = \"1h\" }";
    let refused = read(&saturation("[repeats]\ncount = 3\n", entry)).unwrap_err().to_string();
    assert!(refused.contains("leave repeats.count out"), "{refused}");
    assert!(read(&saturation("[repeats]\ncount = 1\n", entry)).is_ok());
}
