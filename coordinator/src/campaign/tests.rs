//! Campaign files and overlays: what is read, what is refused, and in which words.

use std::time::Duration;

use common::arrivals::{Arrivals, Curve, Law, PerSecond, Rate, Schedule};
use common::assignment::End;
use common::length::Length;
use common::target::{Endpoint, Timeouts};
use common::workload::CacheMode;
use proptest::prelude::*;

use super::*;

const HEAD: &str = r#"
[target]
base_urls = ["http://h:1"]
model = "m"
[workloads.chat]
input_tokens = 5
output_tokens = 2
"#;

fn read(text: &str) -> Result<Campaign, Problems> {
    read_with(text, &Overlay::default())
}

fn read_with(text: &str, overlay: &Overlay) -> Result<Campaign, Problems> {
    let source = Source { name: "c.toml", text };
    resolve(Some(source), overlay)
}

/// Users and requests of every level.
fn levels(campaign: &Campaign) -> Vec<(Phase, u32, u64)> {
    let of = |phase: &PhasePlan| {
        let of_level =
            |level: &LevelPlan| (phase.phase, level.load.users, level.load.requests().unwrap());
        phase.levels.iter().map(of_level).collect::<Vec<_>>()
    };
    campaign.phases.iter().flat_map(of).collect()
}

#[test]
fn defaults_of_paper_mode_are_those_of_the_paper() {
    let text = format!(
        "mode = \"paper\"\n{HEAD}[phases]\nsaturation = {{ users = 20, workload = \"chat\" }}\n\
         warmup = {{ workload = \"chat\" }}\nbaseline = {{ workload = \"chat\" }}"
    );
    let campaign = read(&text).unwrap();
    assert_eq!(campaign.name.as_str(), "default");
    assert_eq!((campaign.mode, campaign.tier), (Mode::Paper, Tier::Default));
    assert_eq!(campaign.seed, Seed(42));
    assert_eq!(campaign.target.endpoint, Endpoint::Chat);
    assert!(campaign.target.stream);
    assert_eq!(campaign.target.timeouts, Timeouts::DEFAULT);
    assert_eq!(campaign.api_key, None);
    assert_eq!(campaign.ready_timeout, Duration::from_secs(60));
    assert_eq!(
        levels(&campaign),
        [(Phase::Warmup, 1, 1), (Phase::Baseline, 1, 10), (Phase::Saturation, 20, 200)]
    );
    let cooldowns = campaign.phases.iter().map(|p| p.levels[0].cooldown.as_secs());
    assert_eq!(cooldowns.collect::<Vec<_>>(), [0, 5, 5]);
    let workload = &campaign.phases[0].levels[0].workload;
    assert!(workload.forced_length && workload.cache == CacheMode::Replay);
}

/// Every level: what is offered, and what ends it.
fn shown(campaign: &Campaign) -> Vec<String> {
    let levels = campaign.phases.iter().flat_map(|phase| {
        let load = |level: &LevelPlan| {
            let users = level.load.users;
            let arrivals = match level.load.arrivals {
                Arrivals::Closed { ramp } => format!("{users} users over {ramp:?}"),
                Arrivals::Open(Schedule { law, rate }) => {
                    format!("{} by {}, at most {users}", rate_text(rate.settled()), law_word(law))
                }
            };
            let end = match (level.load.end, level.window) {
                (End::Requests(requests), None) => format!("{requests} requests"),
                (End::Window, Some(w)) => format!(
                    "{:?} to {:?}, {} turns, {} requests{}",
                    w.least,
                    w.most,
                    w.turns,
                    w.requests,
                    if w.precise { ", precise" } else { "" }
                ),
                other => panic!("{other:?}"),
            };
            format!("{} {arrivals}: {end}", phases::key(phase.phase))
        };
        phase.levels.iter().map(load)
    });
    levels.collect()
}

#[test]
fn what_ends_a_level_is_a_count_where_one_is_stated_and_else_a_window() {
    let text = |head: &str| {
        format!(
            "{head}{HEAD}[phases]\nwarmup = {{ workload = \"chat\" }}\n\
             baseline = {{ workload = \"chat\" }}\n\
             scaling = {{ users = [1, 300], workload = \"chat\" }}\n\
             stress = {{ users = 7, workload = \"chat\", requests = 70 }}\n\
             saturation = {{ rate = [0.5, 12], workload = \"chat\" }}"
        )
    };
    let of = |head: &str| shown(&read(&text(head)).unwrap()).join("\n");
    insta::assert_snapshot!(of(""), @r"
    warmup 1 users over 0ns: 10s to 300s, 2 turns, 2 requests
    baseline 1 users over 0ns: 60s to 1200s, 5 turns, 130 requests
    scaling 1 users over 0ns: 60s to 1200s, 5 turns, 662 requests
    scaling 300 users over 2s: 60s to 1200s, 5 turns, 1500 requests
    stress 7 users over 0ns: 70 requests
    saturation 0.5 by poisson, at most 1000: 60s to 1200s, 5 turns, 662 requests
    saturation 12 by poisson, at most 3600: 60s to 1200s, 5 turns, 662 requests
    ");
    insta::assert_snapshot!(of("tier = \"quick\"\n"), @r"
    warmup 1 users over 0ns: 10s to 300s, 2 turns, 2 requests
    baseline 1 users over 0ns: 60s to 600s, 3 turns, 130 requests
    scaling 1 users over 0ns: 60s to 600s, 3 turns, 662 requests
    scaling 300 users over 2s: 60s to 600s, 3 turns, 900 requests
    stress 7 users over 0ns: 35 requests
    saturation 0.5 by poisson, at most 1000: 60s to 600s, 3 turns, 662 requests
    saturation 12 by poisson, at most 3600: 60s to 600s, 3 turns, 662 requests
    ");
    let bounds = "tier = \"thorough\"\nslo = { ttft = \"1s\", quantile = 0.999 }\n\
                  window = { most = \"5h\", least = \"2m\" }\n";
    let without_rates = text(bounds).replace("requests = 70", "duration = \"90s\"");
    let campaign = read(&without_rates.replace("[0.5, 12]", "12")).unwrap();
    insta::assert_snapshot!(shown(&campaign).join("\n"), @r"
    warmup 1 users over 0ns: 10s to 300s, 2 turns, 2 requests
    baseline 1 users over 0ns: 120s to 18000s, 10 turns, 130 requests
    scaling 1 users over 0ns: 120s to 18000s, 10 turns, 6636 requests, precise
    scaling 300 users over 2s: 120s to 18000s, 10 turns, 6636 requests, precise
    stress 7 users over 2s: 90s to 90s, 0 turns, 0 requests
    saturation 12 by poisson, at most 3600: 120s to 18000s, 10 turns, 6636 requests, precise
    ");
    let paper = text("mode = \"paper\"\n");
    let paper = paper.split("saturation").next().unwrap();
    insta::assert_snapshot!(shown(&read(paper).unwrap()).join("\n"), @r"
    warmup 1 users over 0ns: 1 requests
    baseline 1 users over 0ns: 10 requests
    scaling 1 users over 0ns: 10 requests
    scaling 300 users over 0ns: 3000 requests
    stress 7 users over 0ns: 70 requests
    ");
}

#[test]
fn one_stated_bound_of_windows_moves_the_other_out_of_its_way() {
    let bounds = |line: &str| {
        let text =
            format!("{HEAD}[window]\n{line}\n[phases]\nbaseline = {{ workload = \"chat\" }}");
        let window = read(&text).unwrap().phases[0].levels[0].window.unwrap();
        (window.least.as_secs(), window.most.as_secs())
    };
    assert_eq!(bounds(""), (60, 1200));
    assert_eq!(bounds("most = \"20s\""), (20, 20));
    assert_eq!(bounds("least = \"1h\""), (3600, 3600));
    assert_eq!(bounds("least = \"5s\"\nmost = \"7s\""), (5, 7));
}

#[test]
fn an_open_loop_is_stated_by_its_rate() {
    let arrivals = |keys: &str| {
        let text = format!("{HEAD}[phases]\nscaling = {{ rate = 2.5, workload = \"chat\"{keys} }}");
        let load = read(&text).unwrap().phases[0].levels[0].load;
        let Arrivals::Open(schedule) = load.arrivals else { panic!("{load:?}") };
        (schedule, load.users)
    };
    let flat = Rate::Flat(PerSecond(2_500_000));
    let schedule = |law| Schedule { law, rate: flat };
    // Enough for every request that can be open: 2.5/s for 300 s are 750.
    assert_eq!(arrivals(""), (schedule(Law::Poisson), 1000));
    assert_eq!(arrivals(", max_in_flight = 7").1, 7);
    let constant = arrivals(", arrivals = \"constant\"").0;
    assert_eq!(constant, schedule(Law::Constant));
    for keys in [", burstiness = 1", ", arrivals = \"gamma\", burstiness = 1.0"] {
        assert_eq!(arrivals(keys).0, schedule(Law::Poisson), "{keys}");
    }
    assert_eq!(arrivals(", burstiness = 0.25").0, schedule(Law::Gamma { shape_milli: 250 }));
    let ramp = |keys: &str| arrivals(&format!(", rate_ramp = {{ from = 100{keys} }}"));
    let (from, to) = (PerSecond(100_000_000), PerSecond(2_500_000));
    let expected = |over, curve| Rate::Ramp { from, to, over: Duration::from_secs(over), curve };
    // The room is for the highest rate.
    assert_eq!(ramp("").1, 10_000);
    assert_eq!(ramp("").0.rate, expected(30, Curve::Linear));
    let step = ramp(", over = \"2s\", curve = \"step\"").0;
    assert_eq!(step.rate, expected(2, Curve::Steps(5)));
    let steps = ramp(", curve = \"step\", steps = 2").0;
    assert_eq!(steps.rate, expected(30, Curve::Steps(2)));
}

#[test]
fn objectives_and_hardware_are_what_levels_are_judged_by() {
    let text = format!(
        "{HEAD}[slo]\nttft = \"2s\"\ne2e = \"15s\"\nquantile = 0.95\n\
         [hardware]\ngpus = 8\nwatts = 5600.5\n[phases]\nbaseline = {{ workload = \"chat\" }}"
    );
    let slo =
        Slo { ttft: Some(Duration::from_secs(2)), tpot: None, e2e: Some(Duration::from_secs(15)) };
    let hardware = Hardware { gpus: Some(8.0), active_params_b: None, watts: Some(5600.5) };
    assert_eq!(read(&text).unwrap().judging, Judging { slo, quantile: 0.95, hardware });
    let plain = format!("{HEAD}[phases]\nbaseline = {{ workload = \"chat\" }}");
    assert_eq!(read(&plain).unwrap().judging, Judging::default());
}

#[test]
fn a_tier_multiplies_everything_but_the_warmup() {
    let text = |tier: &str| {
        format!(
            "tier = \"{tier}\"\n{HEAD}[phases]\n\
             warmup = {{ workload = \"chat\", requests = 3 }}\n\
             scaling = {{ users = [1, 2], workload = \"chat\", requests = [1, 5] }}"
        )
    };
    let counts = |tier: &str| {
        let campaign = read(&text(tier)).unwrap();
        let counts: Vec<u64> = levels(&campaign).iter().map(|level| level.2).collect();
        counts
    };
    assert_eq!(counts("quick"), [3, 1, 3]);
    assert_eq!(counts("default"), [3, 1, 5]);
    assert_eq!(counts("thorough"), [3, 3, 15]);
}

#[test]
fn a_phase_may_be_a_list_of_tables() {
    let text = format!(
        "{HEAD}[workloads.long]\ninput_tokens = 9\noutput_tokens = 9\n\
         [[phases.stress]]\nusers = 25\nworkload = \"long\"\n\
         [[phases.stress]]\nusers = [25, 50]\nworkload = \"chat\"\ncooldown = \"1s\""
    );
    let campaign = read(&text).unwrap();
    let stress = &campaign.phases[0];
    let shown: Vec<_> = stress
        .levels
        .iter()
        .map(|l| (l.load.users, l.workload.name.as_str(), l.cooldown.as_secs()))
        .collect();
    assert_eq!(shown, [(25, "long", 5), (25, "chat", 1), (50, "chat", 1)]);
}

/// Lines in place of `HEAD` or after it, and the message.
const REFUSALS: &[(&str, &str)] = &[
    // HEAD has 6 lines; what follows it starts in line 7.
    (
        "{HEAD}",
        "c.toml: phases: missing; add [phases] with at least one of warmup, baseline, scaling, stress, saturation",
    ),
    (
        "{HEAD}[phases]",
        "c.toml:7:1: phases: has no phase; add at least one of warmup, baseline, scaling, stress, saturation",
    ),
    (
        "nmae = \"x\"\n{HEAD}{LEVEL}",
        "c.toml:1:1: nmae: unknown key; did you mean name? valid keys: name, mode, tier, seed, target, workloads, window, client_proof, phases, slo, hardware, server, serving, repeats, ablation",
    ),
    (
        "[gate]\nttft = \"2s\"\n{HEAD}{LEVEL}",
        "c.toml:1:2: gate: unknown key; valid keys: name, mode, tier, seed, target, workloads, window, client_proof, phases, slo, hardware, server, serving, repeats, ablation",
    ),
    (
        "\"a\\u001bb\" = 1\n{HEAD}{LEVEL}",
        "c.toml:1:1: \"a\\u{1b}b\": unknown key; valid keys: name, mode, tier, seed, target, workloads, window, client_proof, phases, slo, hardware, server, serving, repeats, ablation",
    ),
    (
        "name = \"a b\"\n{HEAD}{LEVEL}",
        "c.toml:1:8: name = \"a b\": a name has 1 to 64 characters of A-Z a-z 0-9 . _ - and starts with a letter or a digit",
    ),
    (
        "mode = \"papper\"\n{HEAD}{LEVEL}",
        "c.toml:1:8: mode = \"papper\": must be one of paper, floodmark; did you mean paper?",
    ),
    (
        "tier = \"throough\"\n{HEAD}{LEVEL}",
        "c.toml:1:8: tier = \"throough\": must be one of quick, default, thorough; did you mean thorough?",
    ),
    (
        "seed = -1\n{HEAD}{LEVEL}",
        "c.toml:1:8: seed = -1: must be an integer from 0 to 18446744073709551615",
    ),
    (
        "seed = \"42\"\n{HEAD}{LEVEL}",
        "c.toml:1:8: seed = \"42\": must be an integer from 0 to 18446744073709551615, not a string",
    ),
    ("target = 5\n{WORKLOAD}{LEVEL}", "c.toml:1:10: target = 5: must be a table, not an integer"),
    (
        "[target]\nmodel = \"m\"\n{WORKLOAD}{LEVEL}",
        "c.toml:1:1: target.base_urls: missing; say which server to load: base_urls = [\"http://HOST:PORT\"], or --target URL",
    ),
    (
        "[target]\nmodel = \"m\"\nbase_urls = [\"http://a\", \"http://A:80/v1/\"]\n{WORKLOAD}{LEVEL}",
        "c.toml:3:26: target.base_urls.1 = \"http://A:80/v1/\": is there already: name each server once",
    ),
    (
        "[target]\nmodel = \"m\"\nbase_urls = []\n{WORKLOAD}{LEVEL}",
        "c.toml:3:13: target.base_urls: has 0 URLs; give 1 to 64",
    ),
    (
        "[target]\nmodel = \"\"\nbase_urls = [\"127.0.0.1:8000\"]\n{WORKLOAD}{LEVEL}",
        "c.toml:2:9: target.model = \"\": must have 1 to 512 bytes and no control character\n\
         c.toml:3:14: target.base_urls.0 = \"127.0.0.1:8000\": a base URL starts with http:// or https://\n\
         2 problems",
    ),
    (
        "[target]\nmodel = \"m\"\nbase_urls = [\"http://me:secret@h\"]\n{WORKLOAD}{LEVEL}",
        "c.toml:3:14: target.base_urls.0: user information in a URL is refused; give the key with api_key",
    ),
    (
        "{HEAD}cache = \"warm\"\nforced_length = \"yes\"\n{LEVEL}",
        "c.toml:7:9: workloads.chat.cache = \"warm\": must be one of cold, replay, shared-prefix\n\
         c.toml:8:17: workloads.chat.forced_length = \"yes\": must be true or false, not a string\n\
         2 problems",
    ),
    (
        "{HEAD}pictures = { count = 1 }\n{LEVEL}",
        "c.toml:7:1: workloads.chat.pictures: unknown key; valid keys: input_tokens, output_tokens, forced_length, cache, models, mix, tokenizer, lengths, dataset, think_time, images",
    ),
    (
        "[target]\nmodel = \"m\"\nbase_urls = [\"http://h\"]\nendpoint = \"response\"\nready_timeout = 60\ntimeouts = { total = \"5\", idle = \"0s\", tls = \"1s\" }\n{WORKLOAD}{LEVEL}",
        "c.toml:4:12: target.endpoint = \"response\": must be one of chat, completions, responses, messages, embeddings; did you mean responses?\n\
         c.toml:5:17: target.ready_timeout = 60: must be a duration in quotes, such as \"5s\", not an integer\n\
         c.toml:6:22: target.timeouts.total = \"5\": \"5\" has no unit; write 5s for seconds or 5ms for milliseconds\n\
         c.toml:6:34: target.timeouts.idle = \"0s\": must be longer than 0s\n\
         c.toml:6:40: target.timeouts.tls: unknown key; valid keys: connect, first_byte, idle, total\n\
         5 problems",
    ),
    (
        "{HEAD}[workloads.other]\ninput_tokens = {}\n{LEVEL}",
        "c.toml:7:1: workloads.other.output_tokens: missing; say how many tokens, 1 to 10000000\n\
         c.toml:8:16: workloads.other.input_tokens: must be a number, or one law: { uniform = [100, 900] }, { normal = { mean = 500, sd = 100 } }, { lognormal = { median = 400, sigma = 0.6 } } or { values = [100, 500, 2000] }\n\
         2 problems",
    ),
    (
        "{HEAD}[workloads.\"a b\"]\ninput_tokens = 0\noutput_tokens = 1.5\n{LEVEL}",
        "c.toml:7:12: workloads.\"a b\": a name has 1 to 64 characters of A-Z a-z 0-9 . _ - and starts with a letter or a digit\n\
         c.toml:8:16: workloads.\"a b\".input_tokens = 0: must be an integer from 1 to 10000000\n\
         c.toml:9:17: workloads.\"a b\".output_tokens = 1.5: must be an integer from 1 to 10000000, not a float\n\
         3 problems",
    ),
    (
        "{HEAD}[phases]\nscaling = { users = [10, 0, \"x\", 10], workload = \"chat\" }",
        "c.toml:8:26: phases.scaling.users.1 = 0: must be an integer from 1 to 1000000\n\
         c.toml:8:29: phases.scaling.users.2 = \"x\": must be an integer from 1 to 1000000, not a string\n\
         c.toml:8:34: phases.scaling.users.3 = 10: the phase has a level of 10 users with workload chat already\n\
         3 problems",
    ),
    (
        "{HEAD}[phases]\nscaling = { workload = \"chta\", warmup = 1 }\nstress = []\nsaturation = { users = [], workload = \"chat\" }\nwarm_up = {}",
        "c.toml:8:11: phases.scaling.users: missing; say how many users each level has: users = [1, 10, 100], or how many requests arrive per second: rate = [0.5, 2]\n\
         c.toml:8:24: phases.scaling.workload = \"chta\": no such workload; did you mean chat? workloads: chat\n\
         c.toml:8:32: phases.scaling.warmup: unknown key; valid keys: users, rate, replay, search, workload, requests, duration, cooldown, allow_capped, ramp, arrivals, burstiness, rate_ramp, max_in_flight\n\
         c.toml:9:10: phases.stress: a phase without levels; add one or leave the phase out\n\
         c.toml:10:24: phases.saturation.users: a phase without levels; name a number of users\n\
         c.toml:11:1: phases.warm_up: unknown key; did you mean warmup? valid keys: warmup, baseline, scaling, stress, saturation\n\
         6 problems",
    ),
    (
        "{HEAD}[phases]\nscaling = { users = [1, 2], workload = \"chat\", requests = [10, 20, 30] }",
        "c.toml:8:59: phases.scaling.requests: has 3 numbers for 2 levels; give one for each level, or a single number for all",
    ),
    (
        "{HEAD}[phases]\nsaturation = { users = 1000, workload = \"chat\", requests = 450 }",
        "c.toml:8:60: phases.saturation.requests = 450: 450 requests cannot hold 1000 users in flight: at most 450 can ever be; ask for at least 1000 requests or set allow_capped = true",
    ),
    (
        "tier = \"quick\"\n{HEAD}[phases]\nsaturation = { users = 150, workload = \"chat\", requests = 150 }",
        "c.toml:9:59: phases.saturation.requests = 150: tier quick makes 75 of 150 requests; 75 requests cannot hold 150 users in flight: at most 75 can ever be; ask for at least 299 requests or set allow_capped = true",
    ),
    (
        "{HEAD}[phases]\nscaling = { users = [0, 3], workload = \"none\", requests = [1, 2] }\nwarmup = { users = 2, requests = 1, cooldown = 5, workload = \"chat\" }",
        "c.toml:8:22: phases.scaling.users.0 = 0: must be an integer from 1 to 1000000\n\
         c.toml:8:40: phases.scaling.workload = \"none\": no such workload; workloads: chat\n\
         c.toml:8:63: phases.scaling.requests.1 = 2: 2 requests cannot hold 3 users in flight: at most 2 can ever be; ask for at least 3 requests or set allow_capped = true\n\
         c.toml:9:34: phases.warmup.requests = 1: 1 requests cannot hold 2 users in flight: at most 1 can ever be; ask for at least 2 requests or set allow_capped = true\n\
         c.toml:9:48: phases.warmup.cooldown = 5: must be a duration in quotes, such as \"5s\", not an integer\n\
         5 problems",
    ),
    (
        "{HEAD}[phases]\nbaseline = { workload = \"chat\", requests = 1000000001, cooldown = \"5d\", allow_capped = 1 }",
        "c.toml:8:44: phases.baseline.requests = 1000000001: must be an integer from 1 to 1000000000\n\
         c.toml:8:67: phases.baseline.cooldown = \"5d\": \"5d\" has the unit \"d\"; use ms, s, m or h\n\
         c.toml:8:88: phases.baseline.allow_capped = 1: must be true or false, not an integer\n\
         3 problems",
    ),
    (
        "mode = \"paper\"\n{HEAD}[window]\nleast = \"1m\"\n[phases]\nscaling = { rate = 2, workload = \"chat\", burstiness = 2 }\nstress = { users = 2, duration = \"5s\", ramp = \"1s\", workload = \"chat\" }",
        "c.toml:11:20: phases.scaling.rate = 2: belongs to mode floodmark: in paper mode users begin at once and make a number of requests; leave it out or set mode = \"floodmark\"\n\
         c.toml:11:55: phases.scaling.burstiness = 2: belongs to mode floodmark: in paper mode users begin at once and make a number of requests; leave it out or set mode = \"floodmark\"\n\
         c.toml:12:34: phases.stress.duration = \"5s\": belongs to mode floodmark: in paper mode users begin at once and make a number of requests; leave it out or set mode = \"floodmark\"\n\
         c.toml:12:47: phases.stress.ramp = \"1s\": belongs to mode floodmark: in paper mode users begin at once and make a number of requests; leave it out or set mode = \"floodmark\"\n\
         4 problems",
    ),
    (
        "{HEAD}[phases]\nscaling = { rate = 2, users = 3, workload = \"chat\" }\nstress = { users = 2, duration = \"5s\", requests = 9, workload = \"chat\" }\nsaturation = { users = 2, arrivals = \"poisson\", burstiness = 2, rate_ramp = {}, max_in_flight = 1, duration = \"0.5s\", allow_capped = true, workload = \"chat\" }",
        "c.toml:8:20: phases.scaling.rate = 2: cannot be combined with users: users wait for their answers, a rate does not; leave one of the two out (a rate's requests in flight are bounded by max_in_flight, or --max-in-flight)\n\
         c.toml:9:34: phases.stress.duration = \"5s\": cannot be combined with requests: a level ends by a count or by a time; leave one of the two out\n\
         c.toml:10:38: phases.saturation.arrivals = \"poisson\": belongs to an open loop: say rate instead of users, or leave it out\n\
         c.toml:10:62: phases.saturation.burstiness = 2: belongs to an open loop: say rate instead of users, or leave it out\n\
         c.toml:10:77: phases.saturation.rate_ramp: belongs to an open loop: say rate instead of users, or leave it out\n\
         c.toml:10:97: phases.saturation.max_in_flight = 1: belongs to an open loop: say rate instead of users, or leave it out\n\
         c.toml:10:111: phases.saturation.duration = \"0.5s\": must be at least 1s: agents report once a second\n\
         c.toml:10:134: phases.saturation.allow_capped = true: belongs to users who make a number of requests; leave it out\n\
         8 problems",
    ),
    (
        "{HEAD}[phases]\nwarmup = { rate = inf, workload = \"chat\" }\nbaseline = { rate = 0, workload = \"chat\" }\nscaling = { rate = [0.1234567, 2.5, 2.50, \"x\"], workload = \"chat\" }\nstress = { rate = 1, ramp = \"1s\", max_in_flight = 0, allow_capped = false, workload = \"chat\" }\nsaturation = { rate = [], workload = \"chat\" }",
        "c.toml:8:19: phases.warmup.rate = inf: is no rate: requests that are sent as soon as there is room are a closed loop; leave the rate out and say how many users there are\n\
         c.toml:9:21: phases.baseline.rate = 0: must be a number from 0.000001 to 1000000\n\
         c.toml:10:21: phases.scaling.rate.0 = 0.1234567: must have at most 6 decimals\n\
         c.toml:10:37: phases.scaling.rate.2 = 2.50: the phase has a level of 2.5/s with workload chat already\n\
         c.toml:10:43: phases.scaling.rate.3 = \"x\": must be a number from 0.000001 to 1000000, not a string\n\
         c.toml:11:29: phases.stress.ramp = \"1s\": spreads the beginnings of users; a rate rises by rate_ramp = { from = 1 }\n\
         c.toml:11:51: phases.stress.max_in_flight = 0: must be an integer from 1 to 1000000\n\
         c.toml:11:69: phases.stress.allow_capped = false: belongs to users who make a number of requests; leave it out\n\
         c.toml:12:23: phases.saturation.rate: a phase without levels; name a rate\n\
         9 problems",
    ),
    (
        "{HEAD}[phases]\nwarmup = { rate = 1, workload = \"chat\", arrivals = \"gamma\" }\nbaseline = { rate = 1, workload = \"chat\", arrivals = \"constant\", burstiness = 1.0 }\nscaling = { rate = 1, workload = \"chat\", arrivals = \"poisson\", burstiness = 0.5 }\nstress = { rate = 1, workload = \"chat\", arrivals = \"pareto\", burstiness = 0.00001 }\nsaturation = { rate = 1, workload = \"chat\", rate_ramp = { over = \"0s\", curve = \"linear\", steps = 3 } }",
        "c.toml:8:52: phases.warmup.arrivals = \"gamma\": needs a shape: add burstiness, below 1.0 for bursts, above for evenness\n\
         c.toml:9:79: phases.baseline.burstiness = 1.0: constant arrivals have none; leave it out or write arrivals = \"gamma\"\n\
         c.toml:10:77: phases.scaling.burstiness = 0.5: poisson arrivals have burstiness 1.0; leave arrivals out or write gamma\n\
         c.toml:11:52: phases.stress.arrivals = \"pareto\": must be one of constant, poisson, gamma\n\
         c.toml:11:75: phases.stress.burstiness = 0.00001: must be a number from 0.001 to 1000\n\
         c.toml:12:57: phases.saturation.rate_ramp.from: missing; say at which rate it begins: from = 1.0\n\
         c.toml:12:66: phases.saturation.rate_ramp.over = \"0s\": must be longer than 0s\n\
         c.toml:12:98: phases.saturation.rate_ramp.steps = 3: belongs to curve = \"step\"\n\
         8 problems",
    ),
    (
        "{HEAD}[phases]\nscaling = { rate = 1, workload = \"chat\", rate_ramp = { from = 1e9, curve = \"step\", steps = 1, to = 2 } }\nstress = { rate = 1, workload = \"chat\", requests = [1, 2] }\nsaturation = { rate = 1, workload = \"chat\", rate_ramp = 2 }",
        "c.toml:8:63: phases.scaling.rate_ramp.from = 1e9: must be a number from 0.000001 to 1000000\n\
         c.toml:8:92: phases.scaling.rate_ramp.steps = 1: must be an integer from 2 to 1000\n\
         c.toml:8:95: phases.scaling.rate_ramp.to: unknown key; valid keys: from, over, curve, steps\n\
         c.toml:9:52: phases.stress.requests: has 2 numbers for 1 levels; give one for each level, or a single number for all\n\
         c.toml:10:57: phases.saturation.rate_ramp = 2: must be a table, not an integer\n\
         5 problems",
    ),
    (
        "{HEAD}[window]\nleast = \"2m\"\nmost = \"1m\"\nturns = 3\n{LEVEL}",
        "c.toml:8:9: window.least = \"2m\": must not be longer than most\n\
         c.toml:10:1: window.turns: unknown key; valid keys: least, most\n\
         2 problems",
    ),
    (
        "{HEAD}[window]\nleast = \"2m\"\n[phases]\nbaseline = { workload = \"chat\", requests = 10 }\nstress = { users = 2, duration = \"5s\", workload = \"chat\" }",
        "c.toml:7:1: window: no level of the campaign has a window that this could bound: those of mode floodmark have one, the warm-up aside, if they state neither requests nor duration",
    ),
    (
        "{HEAD}[slo]\nquantile = 0.99\n[hardware]\ngpus = 0\nwatts = \"5kW\"\ntdp = 3\n{LEVEL}",
        "c.toml:8:12: slo.quantile = 0.99: of which objective? add ttft, tpot or e2e\n\
         c.toml:10:8: hardware.gpus = 0: must be a number from 0.000001 to 1000000000\n\
         c.toml:11:9: hardware.watts = \"5kW\": must be a number from 0.000001 to 1000000000, not a string\n\
         c.toml:12:1: hardware.tdp: unknown key; valid keys: gpus, active_params_b, watts\n\
         4 problems",
    ),
    (
        "[slo]\nttft = \"0s\"\nquantile = 99\n[target]\nmodel = \"m\"\nstream = false\nbase_urls = [\"http://h\"]\n{WORKLOAD}{LEVEL}",
        "c.toml:2:8: slo.ttft = \"0s\": needs a stream: without one no first token is seen; set target.stream = true, or give e2e instead\n\
         c.toml:3:12: slo.quantile = 99: must be a number from 0.5 to 0.9999\n\
         2 problems",
    ),
    (
        "[slo]\nttft = \"1s\"\ntpot = \"1s\"\ne2e = \"1s\"\n[target]\nmodel = \"m\"\nstream = false\nbase_urls = [\"http://h\"]\n{WORKLOAD}{LEVEL}",
        "c.toml:2:8: slo.ttft = \"1s\": needs a stream: without one no first token is seen; set target.stream = true, or give e2e instead\n\
         c.toml:3:8: slo.tpot = \"1s\": needs a stream: without one no first token is seen; set target.stream = true, or give e2e instead\n\
         2 problems",
    ),
    (
        "tier = \"quick\"\n{HEAD}[slo]\ne2e = \"1s\"\nquantile = 0.999\n[phases]\nbaseline = { workload = \"chat\", requests = 1 }\nscaling = { users = [10, 20], requests = [20000, 13270], workload = \"chat\" }\nstress = { rate = [3, 15], duration = \"10m\", workload = \"chat\" }\nsaturation = { rate = [10, 100], workload = \"chat\" }",
        "c.toml:13:50: phases.scaling.requests.1 = 13270: 6635 requests cannot tell whether the objectives are met at slo.quantile = 0.999: that takes 6636; ask for at least 13271 requests, leave slo.quantile out, or lower it\n\
         c.toml:14:39: phases.stress.duration = \"10m\": too few requests arrive to tell whether the objectives are met at slo.quantile = 0.999: that takes 6636; ask for duration = \"2321s\" or more, leave slo.quantile out, or lower it\n\
         c.toml:15:24: phases.saturation.rate.0 = 10: too few requests arrive to tell whether the objectives are met at slo.quantile = 0.999: that takes 6636; ask for duration = \"697s\" or more, leave slo.quantile out, or lower it\n\
         3 problems",
    ),
    (
        "name = \"é\" \"x\"\n",
        "c.toml:1:12: not TOML: unexpected key or value, expected newline, `#`",
    ),
    (
        "{HEAD}[workloads.w]\ninput_tokens = { uniform = [9, 5] }\noutput_tokens = { normal = { mean = 5 } }\ncache = \"shared-prefix\"\n[workloads.x]\ninput_tokens = { uniform = [1, 2], values = [3] }\noutput_tokens = { lognormal = { median = 5, sigma = 0.0005 } }\n[workloads.y]\ninput_tokens = { normal = { mean = 5, sd = 1, min = 20 } }\noutput_tokens = { values = [] }\n[workloads.z]\ninput_tokens = { uniform = [50, 90] }\noutput_tokens = 1\ncache = { shared_prefix = 41, share = \"0%\" }\n{LEVEL}",
        "c.toml:8:28: workloads.w.input_tokens.uniform: must have the smallest length first\n\
         c.toml:9:28: workloads.w.output_tokens.normal.sd: missing; say how far lengths lie from the mean: sd = 100\n\
         c.toml:10:9: workloads.w.cache = \"shared-prefix\": say how long it is: { shared_prefix = 400, groups = 4, share = \"100%\" }\n\
         c.toml:12:16: workloads.x.input_tokens: must be a number, or one law: { uniform = [100, 900] }, { normal = { mean = 500, sd = 100 } }, { lognormal = { median = 400, sigma = 0.6 } } or { values = [100, 500, 2000] }\n\
         c.toml:13:53: workloads.x.output_tokens.lognormal.sigma = 0.0005: must have at most 3 decimals\n\
         c.toml:15:53: workloads.y.input_tokens.normal.min = 20: the smallest length, 20, is above the largest, 9\n\
         c.toml:16:28: workloads.y.output_tokens.values: must have 1 to 10000 lengths\n\
         c.toml:20:27: workloads.z.cache.shared_prefix = 41: the shortest prompt has 50 tokens, and 10 of each are its own; share at most 40, or make every prompt 51 tokens or longer\n\
         c.toml:20:39: workloads.z.cache.share = \"0%\": must be a percentage from 0.1 to 100 in quotes, such as \"75%\"\n\
         9 problems",
    ),
    (
        "{HEAD}[server]\nrestart = \"systemctl restart vllm\"\nreset_cache = { url = \"reset\" }\nready = { url = \"http://h/health\" }\n{LEVEL}",
        "c.toml:8:11: server.restart = \"systemctl restart vllm\": must be a list of a program and its arguments, such as [\"systemctl\", \"restart\", \"vllm\"]; it is started without a shell\n\
         c.toml:9:23: server.reset_cache.url = \"reset\": must be a path on the target, such as \"/health\"\n\
         c.toml:10:17: server.ready.url = \"http://h/health\": must be a path on the target, such as \"/health\"\n\
         3 problems",
    ),
    (
        "{HEAD}[repeats]\ncount = 1\nrestart_server = true\nreset_cache = \"level\"\norder = \"mirrored\"\nuntil = { half_width = 2, least = 5 }\n{LEVEL}",
        "c.toml:9:18: repeats.restart_server = true: needs server.restart, the command that restarts the server, such as restart = [\"ssh\", \"gpu1\", \"systemctl\", \"restart\", \"vllm\"]\n\
         c.toml:10:15: repeats.reset_cache = \"level\": needs server.reset_cache, a command or a page that is posted to, such as reset_cache = { url = \"/reset_prefix_cache\" }\n\
         c.toml:11:9: repeats.order = \"mirrored\": every second repeat is mirrored, and there is one; set repeats.count = 2 or more, or leave the order out\n\
         c.toml:12:24: repeats.until.half_width = 2: must be a string, not an integer\n\
         c.toml:12:35: repeats.until.least = 5: at least 5 repeats are made before the interval is looked at, and there are 1; set repeats.count = 5 or more\n\
         5 problems",
    ),
    (
        "{HEAD}[server]\nrestart = []\n[repeats]\ncount = 4\nuntil = { half_width = \"2%\", least = 5 }\n{LEVEL}",
        "c.toml:8:11: server.restart: must begin with a program\n\
         c.toml:11:38: repeats.until.least = 5: at least 5 repeats are made before the interval is looked at, and there are 4; set repeats.count = 5 or more\n\
         2 problems",
    ),
    (
        "{HEAD}[server]\nrestart = [\"r\"]\n[repeats]\ncount = 3\n[ablation]\nbase = { name = \"a\", restart = [\"a\"] }\nnew = { name = \"b c\" }\nrestarts = 2\naa_restarts = 51\n{LEVEL}",
        "c.toml:11:1: ablation: each configuration has a command of its own; leave server.restart out\n\
         c.toml:11:1: ablation: every start of the server is a repeat, and ablation.restarts says how many there are; of repeats only order and reset_cache remain\n\
         c.toml:13:7: ablation.new.restart: missing; give the command that starts the server so\n\
         c.toml:13:16: ablation.new.name = \"b c\": a name has 1 to 64 characters of A-Z a-z 0-9 . _ - and starts with a letter or a digit\n\
         c.toml:14:12: ablation.restarts = 2: must be an integer from 3 to 50\n\
         c.toml:15:15: ablation.aa_restarts = 51: must be an integer from 3 to 50\n\
         6 problems",
    ),
    (
        "{HEAD}[ablation]\nbase = { name = \"a\", restart = [\"a\"] }\nnew = { name = \"a\", restart = [\"b\"] }\n[phases]\nwarmup = { workload = \"chat\" }\n",
        "c.toml:7:1: ablation: a warm-up is compared with nothing; add a level to another phase\n\
         c.toml:7:1: ablation: both configurations are named a; name them apart\n\
         2 problems",
    ),
    (
        "{HEAD}[ablation]\nbase = { name = \"a\", restart = [\"r\"] }\nnew = { name = \"b\", restart = [\"r\"] }\n[phases]\nsaturation = { search = { max_users = 50, budget = \"1h\" }, workload = \"chat\" }\n",
        "c.toml:7:1: ablation: a search finds other levels on each configuration; state the levels\n\
         c.toml:7:1: ablation: both configurations are started by the same command, so they are one; aa_restarts compares a configuration with itself\n\
         2 problems",
    ),
    (
        "{}\n{}\n{}\n{}\n",
        "c.toml:1:1: not TOML: invalid key-value pair, expected key\n\
         c.toml:2:1: not TOML: invalid key-value pair, expected key\n\
         c.toml:3:1: not TOML: invalid key-value pair, expected key\n\
         3 problems",
    ),
    (
        "name = \"a\"\nname = \"b\"\n[target",
        "c.toml:2:1: not TOML: duplicate key\n\
         c.toml:3:8: not TOML: unclosed table, expected `]`\n\
         2 problems",
    ),
];

#[test]
fn every_problem_is_reported_with_its_place_and_what_would_be_right() {
    let mut differ = Vec::new();
    for (text, message) in REFUSALS {
        let text = text
            .replace("{HEAD}", HEAD.trim_start_matches('\n'))
            .replace("{WORKLOAD}", "[workloads.chat]\ninput_tokens = 5\noutput_tokens = 2\n")
            .replace("{LEVEL}", "[phases]\nbaseline = { workload = \"chat\" }\n");
        let refusal = read(&text).unwrap_err().to_string();
        if refusal != *message {
            differ.push(format!("{text}\nsays:\n{refusal}\nnot:\n{message}"));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n\n"));
}

#[test]
fn a_key_is_never_repeated() {
    const CANARY: &str = "sk-canary-5417";
    let level = "[phases]\nbaseline = { workload = \"chat\" }\n";
    let head = HEAD.trim_start_matches('\n');
    let target = "[target]\nmodel = \"m\"\nbase_urls = [\"http://h\"]\n";
    let chat = "[workloads.chat]\ninput_tokens = 5\noutput_tokens = 2\n";
    for key in [
        format!("api_key = \"{CANARY}\""),
        format!("api_key = [\"{CANARY}\"]"),
        format!("api_key = {{ key = \"{CANARY}\" }}"),
        format!("api_key = {{ env = \"{CANARY}\" }}"),
        format!("api_key = {{ env = [\"{CANARY}\"] }}"),
        format!("api_key = {{ file = \"{CANARY}\\n\" }}"),
        format!("api_key = {{ env = \"{CANARY}\", file = \"{CANARY}\" }}"),
        format!("apikey = \"{CANARY}\""),
        format!("api_key = \"{CANARY}"),
        format!("api_key = {CANARY}"),
        format!("api_key = \"{CANARY}\"\napi_key = \"{CANARY}\""),
    ] {
        let refusal = read(&format!("{target}{key}\n{chat}{level}")).unwrap_err();
        assert!(!format!("{refusal}{refusal:?}").contains("canary"), "{refusal}");
    }
    for url in
        [format!("http://me:{CANARY}@h"), format!("http://{CANARY}@h:x"), format!("me:{CANARY}@h")]
    {
        let mut overlay = Overlay::default();
        overlay.flag("--target", &["target", "base_urls"], FlagValue::OneOf(url));
        let refusal = read_with(&format!("{head}{level}"), &overlay).unwrap_err();
        assert!(!format!("{refusal}{refusal:?}").contains("canary"), "{refusal}");
    }
    for set in [
        format!("target.api_key={CANARY}"),
        format!("target.api_key.env={CANARY}"),
        format!("target.apikey={CANARY}"),
        format!("target.api_key:{CANARY}"),
        format!("target.api_key: {CANARY}=="),
        format!("target={{api_key=\"{CANARY}\"}}"),
    ] {
        let mut overlay = Overlay::default();
        overlay.set(set);
        let refusal = read_with(&format!("{head}{level}"), &overlay).unwrap_err();
        assert!(!format!("{refusal}{refusal:?}").contains("canary"), "{refusal}");
    }
}

#[test]
fn a_key_is_named_by_reference() {
    let text = |key: &str| {
        let head = HEAD.replace("[workloads", &format!("{key}\n[workloads"));
        format!("{head}[phases]\nbaseline = {{ workload = \"chat\" }}")
    };
    let mut overlay = Overlay::default();
    overlay.default_key("OPENAI_API_KEY");
    let env = |name: &str| Some(KeyRef::Env(name.to_owned()));
    let key = |line: &str| read_with(&text(line), &overlay).unwrap().api_key;
    assert_eq!(key(""), env("OPENAI_API_KEY"));
    assert_eq!(key("api_key = { env = \"MINE\" }"), env("MINE"));
    assert_eq!(key("api_key = { file = \"/run/key\" }"), Some(KeyRef::File("/run/key".into())));
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let text =
        format!("name = \"file\"\nseed = 1\n{HEAD}[phases]\nbaseline = {{ workload = \"chat\" }}");
    let mut overlay = Overlay::default();
    let url = |text: &str| FlagValue::OneOf(text.to_owned());
    let base_urls = ["target", "base_urls"];
    let target = |overlay: &Overlay| {
        let campaign = read_with(&text, overlay).unwrap();
        (campaign.target.base_url.to_string(), campaign.seed.0)
    };
    assert_eq!(target(&overlay), ("http://h:1".to_owned(), 1));
    overlay.environment("FLOODMARK_TARGET", &base_urls, url("http://env"));
    assert_eq!(target(&overlay), ("http://env".to_owned(), 1));
    overlay.flag("--target", &base_urls, url("http://flag"));
    overlay.flag("--seed", &["seed"], FlagValue::Numbers("7".to_owned()));
    assert_eq!(target(&overlay), ("http://flag".to_owned(), 7));
    overlay.set("seed=8".to_owned());
    overlay.set("target.base_urls.0=http://set".to_owned());
    assert_eq!(target(&overlay), ("http://set".to_owned(), 8));
}

#[test]
fn set_reaches_every_key() {
    let text = format!(
        "{HEAD}[workloads.\"a.b\"]\ninput_tokens = 1\noutput_tokens = 1\n\
         [[phases.stress]]\nusers = 3\nworkload = \"a.b\""
    );
    let mut overlay = Overlay::default();
    for set in [
        "name=42",
        "mode=paper",
        "tier=thorough",
        "target.timeouts.total=2m",
        "target.api_key={ env = \"K\" }",
        "target.stream=false",
        "workloads.\"a.b\".input_tokens=1_000",
        "phases.stress.0.users=[4, 5]",
        "phases.stress.1={ users = 6, workload = \"chat\" }",
        "phases.stress.1.cooldown=0s",
        "phases.scaling.users=9",
        "phases.scaling.workload=chat",
    ] {
        overlay.set(set.to_owned());
    }
    let campaign = read_with(&text, &overlay).unwrap();
    assert_eq!(campaign.name.as_str(), "42");
    assert_eq!(campaign.target.timeouts.total, Duration::from_secs(120));
    assert_eq!(campaign.api_key, Some(KeyRef::Env("K".to_owned())));
    assert!(!campaign.target.stream);
    assert_eq!(
        levels(&campaign),
        [
            (Phase::Scaling, 9, 270),
            (Phase::Stress, 4, 120),
            (Phase::Stress, 5, 150),
            (Phase::Stress, 6, 180)
        ]
    );
    assert_eq!(campaign.phases[1].levels[0].workload.input_tokens, 1000.into());
}

#[test]
fn a_problem_names_the_flag_or_variable_it_came_from() {
    let text = format!("{HEAD}[phases]\nbaseline = {{ workload = \"chat\" }}");
    let mut overlay = Overlay::default();
    overlay.flag("--seed", &["seed"], FlagValue::Numbers("x".to_owned()));
    overlay.flag("--tier", &["tier"], FlagValue::Text("slow".to_owned()));
    overlay.shape("--users", &["phases", "scaling", "users"], FlagValue::Numbers("1,2".to_owned()));
    let url = FlagValue::OneOf("localhost".to_owned());
    overlay.environment("FLOODMARK_TARGET", &["target", "base_urls"], url);
    for set in [
        "modle=x",
        "target.model.size=7",
        "phases.baseline.users=[0]",
        "nothing",
        "a b=1",
        "phases.baseline.requests=1,2",
    ] {
        overlay.set(set.to_owned());
    }
    assert_eq!(
        read_with(&text, &overlay).unwrap_err().to_string(),
        r#"--seed: seed = x: must be an integer from 0 to 18446744073709551615, not a string
--set modle: modle: unknown key; did you mean mode? valid keys: name, mode, tier, seed, target, workloads, window, client_proof, phases, slo, hardware, server, serving, repeats, ablation
--set number 4: is not of the form key.path=value
--set number 5: is not of the form key.path=value
--set phases.baseline.requests: phases.baseline.requests = 1,2: must be an integer from 1 to 1000000000, not a string
--set phases.baseline.users: phases.baseline.users.0 = 0: must be an integer from 1 to 1000000
--set target.model.size: size has no place there: what comes before it is no table, and no list with such an item
--tier: tier = slow: must be one of quick, default, thorough
--users: with a campaign file the levels are the file's; use --set phases.scaling.users=…
environment variable FLOODMARK_TARGET: target.base_urls.0 = localhost: a base URL starts with http:// or https://
10 problems"#
    );
}

#[test]
fn flags_alone_make_a_campaign() {
    let mut overlay = Overlay::default();
    let url = FlagValue::OneOf("http://h".to_owned());
    overlay.flag("--target", &["target", "base_urls"], url);
    assert_eq!(
        resolve(None, &overlay).unwrap_err().to_string(),
        "target.model: missing; say which model to ask for: model = \"NAME\", or --model NAME\n\
         phases: missing; say how many users: --users 1,10,100, or name a campaign file\n\
         2 problems"
    );
    overlay.flag("--model", &["target", "model"], FlagValue::Text("m".to_owned()));
    overlay.shape(
        "--users",
        &["phases", "scaling", "users"],
        FlagValue::Numbers("1,10, 100".to_owned()),
    );
    let campaign = resolve(None, &overlay).unwrap();
    assert_eq!(
        levels(&campaign),
        [(Phase::Scaling, 1, 10), (Phase::Scaling, 10, 100), (Phase::Scaling, 100, 1000)]
    );
    let workload = &campaign.phases[0].levels[0].workload;
    assert_eq!(
        (workload.input_tokens.clone(), workload.output_tokens.clone()),
        (500.into(), 200.into())
    );
    assert!(workload.forced_length && workload.name.as_str() == "default");
    overlay.shape(
        "--requests",
        &["phases", "scaling", "requests"],
        FlagValue::Numbers("50".to_owned()),
    );
    assert_eq!(
        resolve(None, &overlay).unwrap_err().to_string(),
        "--requests: phases.scaling.requests = 50: 50 requests cannot hold 100 users in flight: \
         at most 50 can ever be; ask for at least 100 requests or add \
         --set phases.scaling.allow_capped=true"
    );
    overlay.set("phases.scaling.allow_capped=true".to_owned());
    assert_eq!(levels(&resolve(None, &overlay).unwrap())[2], (Phase::Scaling, 100, 50));
}

/// A campaign for one endpoint, with these lines in the target and in the workload.
fn of_endpoint(endpoint: &str, target: &str, workload: &str) -> String {
    format!(
        "[target]\nbase_urls = [\"http://h\"]\nmodel = \"m\"\nendpoint = \"{endpoint}\"\n{target}\
         [workloads.w]\ninput_tokens = 5\n{workload}\
         [phases]\nscaling = {{ users = 5, workload = \"w\" }}\n"
    )
}

#[test]
fn an_endpoint_has_the_keys_that_mean_something_to_it() {
    // Whether it streams and forces the length where nothing is said, and how long answers are.
    for (endpoint, output, stream, forced, tokens) in [
        ("chat", "output_tokens = 7\n", true, true, 7),
        ("completions", "output_tokens = 7\n", true, true, 7),
        ("responses", "output_tokens = 7\n", true, true, 7),
        ("messages", "output_tokens = 7\n", true, false, 7),
        ("embeddings", "", false, true, 0),
    ] {
        let campaign = read(&of_endpoint(endpoint, "", output)).unwrap();
        let workload = &campaign.phases[0].levels[0].workload;
        assert_eq!(campaign.target.endpoint.name(), endpoint);
        assert_eq!(campaign.target.stream, stream, "{endpoint}");
        assert_eq!(
            (workload.forced_length, workload.output_tokens.clone()),
            (forced, tokens.into())
        );
        assert_eq!(read(&campaign.to_toml()).unwrap(), campaign, "{endpoint}");
        let said = format!("{output}{}", if tokens > 0 { "forced_length = false\n" } else { "" });
        let whole = read(&of_endpoint(endpoint, "stream = false\n", &said)).unwrap();
        assert!(!whole.target.stream);
        assert_eq!(read(&whole.to_toml()).unwrap(), whole, "{endpoint}");
    }
}

#[test]
fn what_an_endpoint_cannot_do_is_refused_in_words() {
    let refused = |text: &str| read(text).unwrap_err().to_string();
    assert_eq!(
        refused(&of_endpoint(
            "embeddings",
            "stream = true\n",
            "output_tokens = 7\nforced_length = true\n"
        )),
        "c.toml:5:10: target.stream = true: an embedding comes in one piece and has no tokens to \
         stream; leave stream out, or set it to false\n\
         c.toml:8:17: workloads.w.output_tokens = 7: an embedding has no output tokens; leave this \
         out\n\
         c.toml:9:17: workloads.w.forced_length = true: an embedding has no output tokens; leave \
         this out\n\
         3 problems"
    );
    assert_eq!(
        refused(&of_endpoint("messages", "", "output_tokens = 7\nforced_length = true\n")),
        "c.toml:8:17: workloads.w.forced_length = true: the Messages API has no field that makes an \
         answer as long as asked for, and no server is known to take one there; leave \
         forced_length out, or load the server with target.endpoint = \"chat\""
    );
    let slo = of_endpoint("embeddings", "", "") + "[slo]\ntpot = \"1s\"\n";
    assert_eq!(
        refused(&slo),
        "c.toml:10:8: slo.tpot = \"1s\": an embedding has no tokens to wait for; give e2e instead"
    );
}

#[test]
fn an_authority_is_named_by_its_file_and_belongs_to_https() {
    let of = |url: &str, tls: &str| {
        let text = of_endpoint("chat", &format!("{tls}\n"), "output_tokens = 2\n");
        read(&text.replace("http://h", url))
    };
    let campaign = of("https://h", "tls = { ca = \"own é.pem\" }").unwrap();
    assert_eq!(campaign.ca.as_deref(), Some(std::path::Path::new("own é.pem")));
    assert_eq!(campaign.target.authorities, None);
    assert_eq!(read(&campaign.to_toml()).unwrap(), campaign);
    for (url, tls, says) in [
        ("http://h", "tls = { ca = \"a\" }", "the target has no certificate to check"),
        ("https://h", "tls = {}", "target.tls.ca: missing; name the file"),
        ("https://h", "tls = { ca = \"\" }", "must have 1 to 4096 bytes"),
        ("https://h", "tls = true", "must be a table"),
    ] {
        let problems = of(url, tls).unwrap_err().to_string();
        assert!(problems.contains(says), "{problems}");
    }
}

#[test]
fn flags_alone_make_a_campaign_of_every_endpoint() {
    for endpoint in Endpoint::ALL {
        let mut overlay = Overlay::default();
        let target = FlagValue::OneOf("http://h".to_owned());
        overlay.flag("--target", &["target", "base_urls"], target);
        overlay.flag("--model", &["target", "model"], FlagValue::Text("m".to_owned()));
        let name = FlagValue::Text(endpoint.name().to_owned());
        overlay.flag("--endpoint", &["target", "endpoint"], name);
        let users = FlagValue::Numbers("3".to_owned());
        overlay.shape("--users", &["phases", "scaling", "users"], users);
        let campaign = resolve(None, &overlay).unwrap();
        let output = campaign.phases[0].levels[0].workload.output_tokens.clone();
        assert_eq!(output, if endpoint.generates() { 200.into() } else { Length::NONE });
        if !endpoint.generates() {
            let path = ["workloads", "default", "output_tokens"];
            overlay.shape("--output-tokens", &path, FlagValue::Numbers("9".to_owned()));
            let problems = resolve(None, &overlay).unwrap_err().to_string();
            assert!(problems.contains("has no output tokens"), "{problems}");
        }
    }
}

#[test]
fn what_is_too_large_is_refused() {
    let text = format!(
        "{HEAD}[phases]\nscaling = {{ users = [{}], workload = \"chat\" }}",
        (1..=1001).map(|n| n.to_string()).collect::<Vec<_>>().join(",")
    );
    assert_eq!(
        read(&text).unwrap_err().to_string(),
        "c.toml:9:21: phases.scaling.users: more than 1000 levels in the campaign"
    );
    assert_eq!(
        read(&"#".repeat(Source::BYTES_MAX + 1)).unwrap_err().to_string(),
        "c.toml: larger than 1048576 bytes, the most that is read"
    );
}

fn arb_name() -> impl Strategy<Value = String> {
    "[a-z0-9][a-zA-Z0-9._-]{0,12}"
}

fn arb_wait() -> impl Strategy<Value = String> {
    prop_oneof!["[1-9][0-9]{0,3}ms", "[1-9][0-9]?\\.[0-9]{1,9}s", "[1-9][0-9]?m", "[1-9]h"]
}

fn arb_key() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[A-Z_][A-Z0-9_]{0,9}".prop_map(|name| format!("api_key = {{ env = \"{name}\" }}\n")),
        "[a-z/ 'é.]{1,9}".prop_map(|path| format!("api_key = {{ file = \"{path}\" }}\n")),
    ]
}

fn arb_target() -> impl Strategy<Value = String> {
    (
        "https?://[a-z]{1,5}(:[1-9][0-9]{0,3})?(/[a-z/]{0,4}|/v1|/v1/v1|/x//v1)?",
        "[a-zA-Z0-9/. é-]{1,20}",
        prop_oneof!["chat", "completions", "responses"],
        (any::<bool>(), prop_oneof!["keep-alive", "per-request"]),
        arb_key(),
        (arb_wait(), arb_wait(), arb_wait(), arb_wait(), arb_wait()),
    )
        .prop_map(|(url, model, endpoint, (stream, connection), key, waits)| {
            let (connect, first_byte, idle, total, ready) = waits;
            format!(
                "[target]\nbase_urls = [\"{url}\"]\nmodel = \"{model}\"\n\
                 endpoint = \"{endpoint}\"\nstream = {stream}\nconnection = \"{connection}\"\n{key}\
                 timeouts = {{ connect = \"{connect}\", first_byte = \"{first_byte}\", \
                 idle = \"{idle}\", total = \"{total}\" }}\nready_timeout = \"{ready}\"\n"
            )
        })
}

/// What an entry of a phase loads with and what ends it, and its other keys.
#[derive(Clone, Debug)]
struct ArbEntry {
    /// Its users or rates begin above this, so that entries do not collide.
    least: u32,
    steps: Vec<u32>,
    workload: usize,
    requests: u64,
    cooldown: String,
    capped: bool,
    open: bool,
    end: ArbEnd,
    micro: u32,
    ramp: Option<String>,
    law: String,
    rate_ramp: String,
    room: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum ArbEnd {
    Counted,
    Fixed(u32),
    Window,
}

fn arb_entry(least: u32, workloads: usize) -> impl Strategy<Value = ArbEntry> {
    let end = prop_oneof![
        Just(ArbEnd::Counted),
        (1000u32..100_000).prop_map(ArbEnd::Fixed),
        Just(ArbEnd::Window)
    ];
    let law = prop_oneof![
        Just(String::new()),
        Just("arrivals = \"constant\"\n".to_owned()),
        Just("arrivals = \"poisson\"\n".to_owned()),
        (1u32..=1_000_000).prop_map(|milli| format!("burstiness = {}\n", f64::from(milli) / 1e3)),
    ];
    let curve = prop_oneof![
        Just(String::new()),
        "linear|exponential|step".prop_map(|curve| format!(", curve = \"{curve}\"")),
        (2u32..=1000).prop_map(|steps| format!(", curve = \"step\", steps = {steps}")),
    ];
    let rate_ramp = (1u64..=1_000_000_000_000, proptest::option::of(arb_wait()), curve);
    let rate_ramp = proptest::option::of(rate_ramp).prop_map(|ramp| match ramp {
        None => String::new(),
        Some((micro, over, curve)) => {
            let over = over.map_or(String::new(), |over| format!(", over = \"{over}\""));
            format!("rate_ramp = {{ from = {}{over}{curve} }}\n", micro as f64 / 1e6)
        }
    });
    let loaded = (
        proptest::collection::vec(1u32..50, 1..4),
        0..workloads,
        1u64..2000,
        arb_wait(),
        any::<bool>(),
        any::<bool>(),
    );
    let more = (
        end,
        0u32..1_000_000,
        proptest::option::of(arb_wait()),
        law,
        rate_ramp,
        proptest::option::of(1u32..=1_000_000),
    );
    (loaded, more).prop_map(move |(loaded, more)| {
        let (steps, workload, requests, cooldown, capped, open) = loaded;
        let (end, micro, ramp, law, rate_ramp, room) = more;
        ArbEntry {
            least,
            steps,
            workload,
            requests,
            cooldown,
            capped,
            open,
            end,
            micro,
            ramp,
            law,
            rate_ramp,
            room,
        }
    })
}

impl ArbEntry {
    /// The lines of the entry; `demanding` if its levels must certify a p90.
    fn lines(&self, paper: bool, demanding: bool) -> String {
        let least = if demanding { self.least + 100 } else { self.least };
        let running = self.steps.iter().scan(least, |users, step| {
            *users += step;
            Some(*users)
        });
        let open = self.open && !paper;
        let mut text = if open {
            let rates = running.map(|whole| format!("{whole}.{:06}", self.micro));
            format!("rate = [{}]\n", rates.collect::<Vec<_>>().join(", "))
        } else {
            format!("users = {:?}\n", running.collect::<Vec<_>>())
        };
        match self.end(paper) {
            ArbEnd::Counted => {
                let few = self.capped && !demanding && !open;
                // Enough for every level in every tier, unless fewer are allowed.
                let requests = if few { self.requests } else { self.requests + 20_000 };
                text += &format!("requests = {requests}\n");
                if !open {
                    text += &format!("allow_capped = {few}\n");
                }
            }
            ArbEnd::Fixed(ms) => text += &format!("duration = \"{ms}ms\"\n"),
            ArbEnd::Window => {}
        }
        if open {
            text += &self.law;
            text += &self.rate_ramp;
            text += &self.room.map_or(String::new(), |room| format!("max_in_flight = {room}\n"));
        } else if let (Some(ramp), false) = (&self.ramp, paper) {
            text += &format!("ramp = \"{ramp}\"\n");
        }
        text + &format!("cooldown = \"{}\"\n", self.cooldown)
    }

    fn end(&self, paper: bool) -> ArbEnd {
        if paper { ArbEnd::Counted } else { self.end }
    }
}

#[test]
fn a_thorough_campaign_proves_its_client_unless_it_says_otherwise() {
    let base = "tier = \"TIER\"\nmode = \"MODE\"\n[target]\nbase_urls = [\"http://h\"]\n\
                model = \"m\"\n[workloads.w]\ninput_tokens = 1\noutput_tokens = 1\n\
                [phases]\nscaling = { users = 1, workload = \"w\" }\n";
    let of = |tier: &str, mode: &str, more: &str| {
        let text = base.replace("TIER", tier).replace("MODE", mode) + more;
        let ClientProof { before, after, headroom } = read(&text).unwrap().client_proof;
        (before, after, headroom)
    };
    assert_eq!(of("thorough", "floodmark", ""), (true, true, 2.0));
    assert_eq!(of("default", "floodmark", ""), (false, false, 2.0));
    assert_eq!(of("thorough", "paper", ""), (false, false, 2.0));
    let some = "[client_proof]\nafter = true\nheadroom = 3\n";
    assert_eq!(of("quick", "paper", some), (false, true, 3.0));
    assert_eq!(of("thorough", "floodmark", "[client_proof]\nafter = false\n"), (true, false, 2.0));
    for wrong in ["headroom = 0.9", "headroom = 10.1", "before = 1", "befor = true"] {
        let text = base.replace("TIER", "quick").replace("MODE", "paper");
        let problems = read(&format!("{text}[client_proof]\n{wrong}\n")).unwrap_err();
        assert!(problems.to_string().contains("client_proof."), "{problems}");
    }
}

/// What may be done to the server, and repeats that use it.
fn arb_repeats() -> impl Strategy<Value = String> {
    let server = proptest::sample::select(vec![
        "reset_cache = { url = \"/reset_prefix_cache\" }\n",
        "reset_cache = [\"sh\", \"-c\", \"true \\\"x\\\"\"]\nhook_timeout = \"5s\"\n",
    ]);
    let ready = proptest::sample::select(vec![
        "",
        "ready = { url = \"/health\", timeout = \"7m\" }\n",
        "ready = { timeout = \"1s\" }\n",
    ]);
    let order = proptest::sample::select(vec!["as-written", "mirrored", "random"]);
    let reset = proptest::sample::select(vec!["never", "repeat", "level"]);
    let ablation = proptest::option::of((3u32..=50, 3u32..=50, any::<bool>())).prop_map(|starts| {
        starts.map(|(restarts, aa, has_aa)| {
            let aa = if has_aa { aa } else { 0 };
            format!(
                "[ablation]\nbase = {{ name = \"a\", restart = [\"sh\", \"a b\"] }}\n\
                 new = {{ name = \"b.1\", restart = [\"c\"] }}\nrestarts = {restarts}\n\
                 aa_restarts = {aa}\n"
            )
        })
    });
    let until = proptest::sample::select(vec![
        "",
        "until = { half_width = \"2.5%\", least = 4 }\n",
        "until = { half_width = \"10%\" }\n",
    ]);
    (server, ready, order, reset, until, any::<bool>(), 5u32..=100, ablation).prop_map(
        |(server, ready, order, reset, until, restart, count, ablation)| {
            if let Some(ablation) = ablation {
                return format!(
                    "[server]\n{server}{ready}[repeats]\norder = \"{order}\"\n\
                     reset_cache = \"{reset}\"\n{ablation}"
                );
            }
            format!(
                "[server]\nrestart = [\"a\"]\n{server}{ready}[repeats]\ncount = {count}\n\
                 order = \"{order}\"\nreset_cache = \"{reset}\"\nrestart_server = {restart}\n{until}"
            )
        },
    )
}

/// Objectives, and whether their quantile is stated; hardware; bounds of windows.
fn arb_judging() -> impl Strategy<Value = (String, bool, String, String)> {
    let line = |key: &'static str| {
        proptest::option::of(arb_wait()).prop_map(move |wait| {
            wait.map_or(String::new(), |wait| format!("{key} = \"{wait}\"\n"))
        })
    };
    let number = |key: &'static str| {
        proptest::option::of(1u32..2_000_000_000).prop_map(move |micro| {
            micro.map_or(String::new(), |micro| format!("{key} = {}\n", f64::from(micro) / 1e6))
        })
    };
    let objectives = (line("ttft"), line("tpot"), line("e2e"), any::<bool>());
    let slo = objectives.prop_map(|(ttft, tpot, e2e, stated)| {
        let objectives = ttft + &tpot + &e2e;
        let stated = stated && !objectives.is_empty();
        let quantile = if stated { "quantile = 0.9\n" } else { "" };
        (format!("[slo]\n{objectives}{quantile}"), stated)
    });
    let proof = proptest::option::of((any::<bool>(), 100u32..=1000)).prop_map(|proof| {
        proof.map_or(String::new(), |(before, percent)| {
            let headroom = f64::from(percent) / 100.0;
            format!("[client_proof]\nbefore = {before}\nheadroom = {headroom}\n")
        })
    });
    let hardware = (number("gpus"), number("active_params_b"), number("watts"))
        .prop_map(|(gpus, params, watts)| format!("[hardware]\n{gpus}{params}{watts}"));
    let hardware = (hardware, arb_repeats(), proof)
        .prop_map(|(hardware, repeats, proof)| hardware + &repeats + &proof);
    let window = (1u32..2000, 0u32..2000).prop_map(|(least, more)| {
        format!("[window]\nleast = \"{least}s\"\nmost = \"{}s\"\n", least + more)
    });
    (slo, hardware, window)
        .prop_map(|((slo, stated), hardware, window)| (slo, stated, hardware, window))
}

/// The text of a valid campaign.
fn arb_campaign() -> impl Strategy<Value = String> {
    let names = proptest::collection::btree_set(arb_name(), 1..4);
    let phase = proptest::sample::select(Phase::ALL.to_vec());
    let phases = proptest::collection::btree_set(phase, 1..5);
    (names, phases)
        .prop_flat_map(|(names, phases)| {
            let workloads = names.len();
            let entries = (0u32..3).map(|n| arb_entry(1 + 1000 * n, workloads));
            let entries = entries.collect::<Vec<_>>();
            let per_phase = proptest::collection::vec(entries, phases.len());
            (
                Just(names),
                Just(phases),
                per_phase,
                (arb_name(), proptest::sample::select(Tier::ALL.to_vec()), any::<u64>()),
                (proptest::option::of(proptest::sample::select(Mode::ALL.to_vec())), arb_target()),
                (1u32..=10_000_000, 1u32..=10_000_000, any::<bool>(), any::<bool>()),
                arb_judging(),
            )
        })
        .prop_map(
            |(names, phases, per_phase, (name, tier, seed), (mode, target), shape, judging)| {
                let (input, _, forced, cold) = shape;
                let cache = if cold { "\"cold\"" } else { "\"replay\"" };
                let mut text =
                    format!("name = \"{name}\"\ntier = \"{}\"\nseed = {seed}\n", tier.name());
                text += &mode.map_or(String::new(), |mode| format!("mode = \"{}\"\n", mode.name()));
                text += &target;
                let laws = [
                    "{ uniform = [900, 1000] }",
                    "{ normal = { mean = 1000, sd = 100, min = 500 } }",
                    "{ lognormal = { median = 400, sigma = 0.625, max = 8000, min = 300 } }",
                    "{ values = [300, 300, 4000] }",
                ];
                for (place, name) in names.iter().enumerate() {
                    let drawn = laws.get((seed as usize + place) % 8);
                    let input = drawn.map_or(input.to_string(), |law| (*law).to_owned());
                    let output = laws.get((seed as usize + place) % 5);
                    let output_of = output.map_or(shape.1.to_string(), |law| (*law).to_owned());
                    let shared = "{ shared_prefix = 200, groups = 7, share = \"12.5%\" }";
                    let cache = if drawn.is_some() && cold { shared } else { cache };
                    text += &format!(
                        "[workloads.\"{name}\"]\ninput_tokens = {input}\n\
                         output_tokens = {output_of}\nforced_length = {forced}\ncache = {cache}\n"
                    );
                }
                let (slo, stated, hardware, window) = judging;
                // Objectives on tokens need a stream.
                let judged = target.contains("stream = true");
                text += &hardware;
                text += if judged { &slo } else { "" };
                let paper = mode == Some(Mode::Paper);
                let names: Vec<&String> = names.iter().collect();
                let mut bounded = false;
                if phases.iter().all(|phase| *phase == Phase::Warmup) {
                    // A warm-up alone is compared with nothing.
                    text += "[[phases.stress]]\nusers = 1\nrequests = 20000\n";
                    text += &format!("workload = \"{}\"\n", names[0]);
                }
                for (phase, entries) in phases.iter().zip(per_phase) {
                    for entry in entries {
                        bounded |= *phase != Phase::Warmup && entry.end(paper) == ArbEnd::Window;
                        text += &format!(
                            "[[phases.{}]]\nworkload = \"{}\"\n{}",
                            phases::key(*phase),
                            names[entry.workload],
                            entry.lines(paper, judged && stated),
                        );
                    }
                }
                text + if bounded { &window } else { "" }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_campaign_survives_being_written(text in arb_campaign()) {
        let campaign = read(&text).map_err(|p| TestCaseError::fail(format!("{p}\n{text}")))?;
        let written = campaign.to_toml();
        let again = read(&written);
        prop_assert_eq!(again.as_ref(), Ok(&campaign), "{}", written);
        prop_assert_eq!(again.map(|c| c.to_toml()), Ok(written));
    }

    #[test]
    fn a_broken_campaign_is_refused_with_a_reason(
        text in arb_campaign(),
        at in any::<proptest::sample::Index>(),
        length in 0usize..20,
        junk in "[\\[\\]{}=\"',.\n a-z0-9é#-]{0,6}",
    ) {
        let chars: Vec<char> = text.chars().collect();
        let at = at.index(chars.len());
        let rest = chars.iter().skip(at + length);
        let broken: String = chars[..at].iter().copied().chain(junk.chars()).chain(rest.copied()).collect();
        if let Err(problems) = read(&broken) {
            prop_assert!(!problems.is_empty());
            prop_assert!(!problems.to_string().is_empty());
        }
    }

    #[test]
    fn any_set_is_answered(set in "[a-z.\"0-9]{0,20}=?[ \\[\\]{}=\"',a-z0-9\n]{0,20}") {
        let mut overlay = Overlay::default();
        overlay.set(set);
        prop_assert!(!resolve(None, &overlay).unwrap_err().is_empty());
    }

    #[test]
    fn the_least_number_that_a_tier_needs(requests in 1u64..1_000_000) {
        for tier in Tier::ALL {
            let least = tier.least_stated(requests);
            prop_assert!(least >= 1 && tier.scale(least) >= requests);
            prop_assert!(least == 1 || tier.scale(least - 1) < requests);
        }
    }
}
