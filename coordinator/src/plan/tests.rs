//! Plans: what runs in which order, and how it is shown.

use serde_json::Value;

use super::*;
use crate::campaign::{Campaign, Overlay, Source, resolve};

const PAPER: &str = include_str!("../../../deploy/campaigns/paper-text.toml");
const QUICK: &str = include_str!("../../../deploy/campaigns/quick.toml");
const WINDOWS: &str = include_str!("../../../deploy/campaigns/windows.toml");
const RATES: &str = include_str!("../../../deploy/campaigns/rates.toml");
const CASES: &str = include_str!("../../../tests/fixtures/paper/cases.json");

fn campaign(text: &str, sets: &[&str]) -> Campaign {
    let mut overlay = Overlay::default();
    sets.iter().for_each(|set| overlay.set((*set).to_owned()));
    let name = "c.toml";
    resolve(Some(Source { name, text }), &overlay).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn waves_and_fill_are_those_of_the_papers_cases() {
    let cases: Value = serde_json::from_str(CASES).unwrap();
    let cases = cases["request_plan_cases"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let number = |key: &str| case[key].as_u64().unwrap();
        let sets = [
            format!("phases.saturation.0.users={}", number("N")),
            format!("phases.saturation.0.requests={}", number("n")),
            "tier=default".to_owned(),
        ];
        let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
        let text = PAPER.replace("\nusers    = [500, 750, 1000]", "\nusers = 1");
        let plan = Plan::of(&campaign(&text, &sets));
        let level = plan.levels.iter().find(|level| level.phase == Phase::Saturation).unwrap();
        assert_eq!(level.load.in_flight_max(), number("max_inflight"), "{case}");
        assert_eq!(level.load.waves(), Some(number("waves")), "{case}");
        let fill = case["last_wave_fill"].as_f64().unwrap();
        assert!((level.load.last_wave_fill().unwrap() - fill).abs() < 5e-5, "{case}");
        assert_eq!(level.capped().is_some(), number("n") < number("N"), "{case}");
    }
}

#[test]
fn places_labels_and_pauses() {
    let plan = Plan::of(&campaign(PAPER, &[]));
    let shown = |level: &PlannedLevel| {
        format!("{} {} {} {}", level.phase, level.place, level.label, level.cooldown.as_secs())
    };
    let shown: Vec<String> = plan.levels.iter().map(shown).collect();
    assert_eq!(
        shown,
        [
            "WARMUP 0 1 0",
            "BASELINE 0 1 5",
            "SCALING 0 5 5",
            "SCALING 1 10 5",
            "SCALING 2 25 5",
            "SCALING 3 50 5",
            "SCALING 4 100 5",
            "SCALING 5 150 5",
            "SCALING 6 200 5",
            "STRESS 0 50 long-output 5",
            "STRESS 1 25 context-4k 5",
            "STRESS 2 25 context-8k 5",
            "SATURATION 0 150 5",
            "SATURATION 1 200 5",
            "SATURATION 2 300 5",
            "SATURATION 3 500 5",
            "SATURATION 4 750 5",
            "SATURATION 5 1000 0",
        ]
    );
}

#[test]
fn the_papers_campaign_is_shown_with_the_levels_that_never_happened() {
    let campaign = campaign(PAPER, &["target.api_key.env=OPENAI_API_KEY"]);
    let text = render::text(&campaign, &Plan::of(&campaign), Some(3));
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    insta::assert_snapshot!(text, @r#"
    campaign  paper-text (mode paper, tier thorough, seed 42)
    target    http://127.0.0.1:8000 (chat, not streamed, API key from the variable OPENAI_API_KEY)
    model     meta-llama/Llama-3.1-405B-Instruct

    phase       level           users  requests  waves  last wave    in    out  in flight  pause
    WARMUP      1                   1         1      1       100%   100   <=50          1      -
    BASELINE    1                   1        30     30       100%   500  <=100          1     5s
    SCALING     5                   5       450     90       100%   500  <=200          5     5s
    SCALING     10                 10       450     45       100%   500  <=200         10     5s
    SCALING     25                 25       450     18       100%   500  <=200         25     5s
    SCALING     50                 50       450      9       100%   500  <=200         50     5s
    SCALING     100               100       450      5        50%   500  <=200        100     5s
    SCALING     150               150       450      3       100%   500  <=200        150     5s
    SCALING     200               200       450      3        25%   500  <=200        200     5s
    STRESS      50 long-output     50       450      9       100%   500  <=500         50     5s
    STRESS      25 context-4k      25       450     18       100%  4000  <=200         25     5s
    STRESS      25 context-8k      25       450     18       100%  8000  <=200         25     5s
    SATURATION  150               150       600      4       100%   500  <=100        150     5s
    SATURATION  200               200       600      3       100%   500  <=100        200     5s
    SATURATION  300               300       600      2       100%   500  <=100        300     5s
    SATURATION  500               500       450      1        90%   500  <=100        450     5s
                at most 450 of 500 in flight
    SATURATION  750               750       450      1        60%   500  <=100        450     5s
                at most 450 of 750 in flight
    SATURATION  1000             1000       450      1        45%   500  <=100        450      -
                at most 450 of 1000 in flight

    18 levels, 7681 requests
    8790100 input tokens (at 4 characters each) and at most 1353050 output tokens asked for
    3 levels with fewer requests than users: the users can never all be in flight
    pauses between levels: 1m 20s; time of the requests: known only by running
    bound: 22h 29m 50s, were every request to use up its timeouts (connect 10s + total 5m)

    shares over 3 agents
    phase       level           users per agent  requests per agent
    WARMUP      1                        0 to 1              0 to 1
    BASELINE    1                        0 to 1             0 to 30
    SCALING     5                        1 to 2           90 to 180
    SCALING     10                       3 to 4          135 to 180
    SCALING     25                       8 to 9          144 to 162
    SCALING     50                     16 to 17          144 to 153
    SCALING     100                    33 to 34          148 to 153
    SCALING     150                          50                 150
    SCALING     200                    66 to 67          148 to 151
    STRESS      50 long-output         16 to 17          144 to 153
    STRESS      25 context-4k            8 to 9          144 to 162
    STRESS      25 context-8k            8 to 9          144 to 162
    SATURATION  150                          50                 200
    SATURATION  200                    66 to 67          198 to 201
    SATURATION  300                         100                 200
    SATURATION  500                  166 to 167                 150
    SATURATION  750                         250                 150
    SATURATION  1000                 333 to 334                 150
    "#);
}

#[test]
fn the_quick_campaign_is_shown() {
    let campaign = campaign(QUICK, &[]);
    let plan = Plan::of(&campaign);
    insta::assert_snapshot!(render::text(&campaign, &plan, None), @r#"
    campaign  quick (mode paper, tier quick, seed 42)
    target    http://127.0.0.1:8000 (chat, streamed, no API key)
    model     default

    phase     level  users  requests  waves  last wave   in  out  in flight  pause
    WARMUP    1          1         1      1       100%  200   50          1      -
    BASELINE  1          1         5      5       100%  200   50          1     5s
    SCALING   5          5        25      5       100%  200   50          5     2s
    SCALING   20        20       100      5       100%  200   50         20      -

    4 levels, 131 requests
    26200 input tokens (at 4 characters each) and 6550 output tokens asked for
    pauses between levels: 7s; time of the requests: known only by running
    bound: 1h 22m 47s, were every request to use up its timeouts (connect 10s + total 5m)

    shares: known when the agents are found
    "#);
    insta::assert_snapshot!(render::json(&campaign, &plan, Some(2)), @r#"
    {
      "schema_version": 1,
      "name": "quick",
      "mode": "paper",
      "tier": "quick",
      "seed": 42,
      "target": "http://127.0.0.1:8000",
      "model": "default",
      "agents": 2,
      "levels": [
        {
          "phase": "WARMUP",
          "label": "1",
          "users": 1,
          "requests": 1,
          "waves": 1,
          "last_wave_fill": 1.0,
          "in_flight_max": 1,
          "capped": false,
          "workload": "short",
          "input_tokens": 200,
          "output_tokens": 50,
          "forced_length": true,
          "cache": "replay",
          "cooldown_s": 0.0,
          "shares": [
            {
              "users": 1,
              "requests": 1
            },
            {
              "users": 0,
              "requests": 0
            }
          ],
          "arrivals": "closed",
          "burstiness": null,
          "rate_per_s": null,
          "ramp_s": 0.0,
          "window": null,
          "requests_expected": null,
          "repeat": 0,
          "arm": null,
          "restart_server": false,
          "reset_cache": false
        },
        {
          "phase": "BASELINE",
          "label": "1",
          "users": 1,
          "requests": 5,
          "waves": 5,
          "last_wave_fill": 1.0,
          "in_flight_max": 1,
          "capped": false,
          "workload": "short",
          "input_tokens": 200,
          "output_tokens": 50,
          "forced_length": true,
          "cache": "replay",
          "cooldown_s": 5.0,
          "shares": [
            {
              "users": 1,
              "requests": 5
            },
            {
              "users": 0,
              "requests": 0
            }
          ],
          "arrivals": "closed",
          "burstiness": null,
          "rate_per_s": null,
          "ramp_s": 0.0,
          "window": null,
          "requests_expected": null,
          "repeat": 0,
          "arm": null,
          "restart_server": false,
          "reset_cache": false
        },
        {
          "phase": "SCALING",
          "label": "5",
          "users": 5,
          "requests": 25,
          "waves": 5,
          "last_wave_fill": 1.0,
          "in_flight_max": 5,
          "capped": false,
          "workload": "short",
          "input_tokens": 200,
          "output_tokens": 50,
          "forced_length": true,
          "cache": "replay",
          "cooldown_s": 2.0,
          "shares": [
            {
              "users": 3,
              "requests": 15
            },
            {
              "users": 2,
              "requests": 10
            }
          ],
          "arrivals": "closed",
          "burstiness": null,
          "rate_per_s": null,
          "ramp_s": 0.0,
          "window": null,
          "requests_expected": null,
          "repeat": 0,
          "arm": null,
          "restart_server": false,
          "reset_cache": false
        },
        {
          "phase": "SCALING",
          "label": "20",
          "users": 20,
          "requests": 100,
          "waves": 5,
          "last_wave_fill": 1.0,
          "in_flight_max": 20,
          "capped": false,
          "workload": "short",
          "input_tokens": 200,
          "output_tokens": 50,
          "forced_length": true,
          "cache": "replay",
          "cooldown_s": 0.0,
          "shares": [
            {
              "users": 10,
              "requests": 50
            },
            {
              "users": 10,
              "requests": 50
            }
          ],
          "arrivals": "closed",
          "burstiness": null,
          "rate_per_s": null,
          "ramp_s": 0.0,
          "window": null,
          "requests_expected": null,
          "repeat": 0,
          "arm": null,
          "restart_server": false,
          "reset_cache": false
        }
      ],
      "totals": {
        "levels": 4,
        "capped_levels": 0,
        "requests": 131,
        "input_tokens": 26200,
        "output_tokens": 6550,
        "cooldown_s": 7.0,
        "longest_s": 4967.0,
        "windows": 0,
        "windows_least_s": 0.0,
        "windows_most_s": 0.0,
        "counted_requests": 131,
        "uncertified_levels": 0
      },
      "slo": {
        "ttft_s": null,
        "tpot_s": null,
        "e2e_s": null,
        "quantile": 0.99
      },
      "hardware": {
        "gpus": null,
        "active_params_b": null,
        "watts": null
      },
      "search": null,
      "client_proof": [],
      "repeats": {
        "count": 1,
        "least": 1,
        "half_width_percent": null,
        "order": "as-written",
        "restart_server": false,
        "reset_cache": "never"
      },
      "ablation": null,
      "facts": [],
      "prompts": [
        {
          "workload": "short",
          "lengths": "characters",
          "tokenizer": null
        }
      ],
      "lint": []
    }
    "#);
}

#[test]
fn windows_and_rates_are_shown_as_far_as_they_are_known() {
    for text in [WINDOWS, RATES] {
        let campaign = campaign(text, &[]);
        let shown = render::text(&campaign, &Plan::of(&campaign), Some(2));
        assert!(shown.lines().all(|line| line.chars().count() <= 100), "{shown}");
    }
    let windows = campaign(WINDOWS, &[]);
    insta::assert_snapshot!(render::text(&windows, &Plan::of(&windows), Some(2)), @r#"
    campaign  windows (mode floodmark, tier default, seed 42)
    target    http://127.0.0.1:8000 (chat, streamed, no API key)
    model     default
    slo       ttft 2s, tpot 80ms; at p99
    hardware  8 GPUs
    prompts   chat, long-context: corrected once by what the target says in its usage
    
    phase       level  users  requests     window  wants    in  out  in flight  pause
    WARMUP      1          1         -  10s to 5m      2   500  200          1      -
    BASELINE    1          1         -  1m to 20m    130   500  200          1     5s
    SCALING     5          5         -  1m to 20m    662   500  200          5     5s
    SCALING     10        10         -  1m to 20m    662   500  200         10     5s
    SCALING     25        25         -  1m to 20m    662   500  200         25     5s
    SCALING     50        50         -  1m to 20m    662   500  200         50     5s
    SCALING     100      100         -  1m to 20m    662   500  200        100     5s
    STRESS      25        25         -         5m      -  8000  200         25     5s
    SATURATION  150      150         -  1m to 20m    750   500  200        150     5s
    SATURATION  200      200         -  1m to 20m   1000   500  200        200     5s
    SATURATION  300      300         -  1m to 20m   1500   500  200        300     5s
    SATURATION  500      500         -  1m to 20m   2500   500  200        500      -
    
    12 levels, all measured by a window: requests and tokens are known only by running
    windows: 15m 10s to 3h 30m, and before each the rise, after it the drain
    pauses between levels: 50s; time of the requests: known only by running
    
    shares over 2 agents
    phase       level  users per agent  requests per agent
    WARMUP      1               0 to 1                   -
    BASELINE    1               0 to 1                   -
    SCALING     5               2 to 3                   -
    SCALING     10                   5                   -
    SCALING     25            12 to 13                   -
    SCALING     50                  25                   -
    SCALING     100                 50                   -
    STRESS      25            12 to 13                   -
    SATURATION  150                 75                   -
    SATURATION  200                100                   -
    SATURATION  300                150                   -
    SATURATION  500                250                   -
    "#);
    let rates = campaign(RATES, &["phases.scaling.rate=[0.1, 2.5, 10]", "slo.quantile=0.9"]);
    insta::assert_snapshot!(render::text(&rates, &Plan::of(&rates), None), @r#"
    campaign  rates (mode floodmark, tier default, seed 42)
    target    http://127.0.0.1:8000 (chat, streamed, no API key)
    model     default
    slo       ttft 2s, tpot 80ms; at p90
    
    phase       level  users       requests         window  wants   in  out  in flight  pause
    WARMUP      1          1              -      10s to 5m      2  500  200          1      -
    BASELINE    1          1              -      1m to 20m    130  500  200          1     5s
    SCALING     0.1/s      -           ~120            20m    662  500  200     <=1000     5s
                about 120 of 662 wanted requests arrive
    SCALING     2.5/s      -   ~663 to 3000  4m 25s to 20m    662  500  200     <=1000     5s
    SCALING     10/s       -  ~670 to 12000   1m 7s to 20m    662  500  200     <=3000     5s
    STRESS      10/s       -          ~3000             5m      -  500  200     <=3000     5s
    SATURATION  20/s       -          ~6000             5m      -  500  200     <=4000     5s
    SATURATION  40/s       -         ~12000             5m      -  500  200     <=4000      -
    
    8 levels, all measured by a window: requests and tokens are known only by running
    windows: 41m 42s to 1h 40m, and before each the rise, after it the drain
    pauses between levels: 30s; time of the requests: known only by running
    
    shares: known when the agents are found
    "#);
}

#[test]
fn json_has_null_for_what_only_a_run_can_tell() {
    let sets = ["phases.scaling.rate=5", "phases.stress.burstiness=2"];
    let campaign = campaign(RATES, &sets);
    let plan = Plan::of(&campaign);
    let shown: Value = serde_json::from_str(&render::json(&campaign, &plan, Some(2))).unwrap();
    let level = |phase: &str| {
        let levels = shown["levels"].as_array().unwrap().iter();
        levels.clone().find(|level| level["phase"] == phase).unwrap()
    };
    insta::assert_snapshot!(serde_json::to_string(level("BASELINE")).unwrap(), @r#"{"arm":null,"arrivals":"closed","burstiness":null,"cache":"cold","capped":false,"cooldown_s":5.0,"forced_length":true,"in_flight_max":1,"input_tokens":500,"label":"1","last_wave_fill":null,"output_tokens":200,"phase":"BASELINE","ramp_s":0.0,"rate_per_s":null,"repeat":0,"requests":null,"requests_expected":null,"reset_cache":false,"restart_server":false,"shares":[{"requests":null,"users":1},{"requests":null,"users":0}],"users":1,"waves":null,"window":{"least_s":60.0,"most_s":1200.0,"precise":false,"requests":130,"turns":5},"workload":"chat"}"#);
    insta::assert_snapshot!(serde_json::to_string(level("SCALING")).unwrap(), @r#"{"arm":null,"arrivals":"poisson","burstiness":1.0,"cache":"cold","capped":false,"cooldown_s":5.0,"forced_length":true,"in_flight_max":1500,"input_tokens":500,"label":"5/s","last_wave_fill":null,"output_tokens":200,"phase":"SCALING","ramp_s":0.0,"rate_per_s":5.0,"repeat":0,"requests":null,"requests_expected":{"least":665,"most":6000},"reset_cache":false,"restart_server":false,"shares":[{"requests":null,"users":750},{"requests":null,"users":750}],"users":null,"waves":null,"window":{"least_s":133.0,"most_s":1200.0,"precise":false,"requests":662,"turns":5},"workload":"chat"}"#);
    insta::assert_snapshot!(serde_json::to_string(level("STRESS")).unwrap(), @r#"{"arm":null,"arrivals":"gamma","burstiness":2.0,"cache":"cold","capped":false,"cooldown_s":5.0,"forced_length":true,"in_flight_max":3000,"input_tokens":500,"label":"10/s","last_wave_fill":null,"output_tokens":200,"phase":"STRESS","ramp_s":0.0,"rate_per_s":10.0,"repeat":0,"requests":null,"requests_expected":{"least":3000,"most":3000},"reset_cache":false,"restart_server":false,"shares":[{"requests":null,"users":1500},{"requests":null,"users":1500}],"users":null,"waves":null,"window":{"least_s":300.0,"most_s":300.0,"precise":false,"requests":null,"turns":null},"workload":"chat"}"#);
    insta::assert_snapshot!(serde_json::to_string(&shown["totals"]).unwrap(), @r#"{"capped_levels":0,"cooldown_s":20.0,"counted_requests":0,"input_tokens":null,"levels":6,"longest_s":null,"output_tokens":null,"requests":null,"uncertified_levels":0,"windows":6,"windows_least_s":1103.0,"windows_most_s":3600.0}"#);
    insta::assert_snapshot!(serde_json::to_string(&shown["slo"]).unwrap(), @r#"{"e2e_s":null,"quantile":0.99,"tpot_s":0.08,"ttft_s":2.0}"#);
}

#[test]
fn objectives_that_too_few_requests_can_decide_are_said_to_be() {
    let objective = ["slo.e2e=2s", "phases.scaling.requests=100"];
    let with_window = ["mode=floodmark", "phases.baseline.duration=30s"];
    let campaign = campaign(QUICK, &[&objective[..], &with_window].concat());
    let shown = render::text(&campaign, &Plan::of(&campaign), Some(1));
    let counted = "4 levels, 2 measured by a window; 100 requests counted, the others and all \
                   tokens are known only by running\n";
    assert!(shown.contains(counted), "{shown}");
    let said = "2 levels with fewer than the 662 requests that tell whether the objectives are \
                met at p99\n";
    assert!(shown.contains(said), "{shown}");
}

#[test]
fn the_widest_plan_keeps_its_columns() {
    let users = "phases.scaling.users=[1000000]";
    let requests = "phases.scaling.requests=1000000000";
    let name = "n".repeat(64);
    let text = QUICK.replace("short", &name);
    let campaign = campaign(&text, &[users, requests, "tier=thorough"]);
    let shown = render::text(&campaign, &Plan::of(&campaign), Some(1000));
    assert!(shown.contains("1000000  3000000000   3000"), "{shown}");
    assert!(shown.contains("1000 "), "{shown}");
    let table = shown.lines().filter(|line| line.starts_with("SCALING"));
    assert!(table.into_iter().all(|line| line.chars().count() <= 100), "{shown}");
}

#[test]
fn json_shares_add_up_to_the_level() {
    let campaign = campaign(PAPER, &[]);
    let plan = Plan::of(&campaign);
    for agents in [1, 2, 7, 64] {
        let shown: Value =
            serde_json::from_str(&render::json(&campaign, &plan, Some(agents))).unwrap();
        for level in shown["levels"].as_array().unwrap() {
            let shares = level["shares"].as_array().unwrap();
            assert_eq!(shares.len(), agents as usize);
            let sum = |key: &str| shares.iter().map(|s| s[key].as_u64().unwrap()).sum::<u64>();
            assert_eq!(sum("users"), level["users"].as_u64().unwrap());
            assert_eq!(sum("requests"), level["requests"].as_u64().unwrap());
        }
    }
}

const SEARCH: &str = r#"
name = "knee"
[target]
base_urls = ["http://127.0.0.1:8000"]
model = "m"
[slo]
ttft = "2s"
[workloads.chat]
input_tokens = 500
output_tokens = 200
[phases]
baseline = { workload = "chat" }
[[phases.saturation]]
users = 100
workload = "chat"
[[phases.saturation]]
search = { max_users = 4000, budget = "2h" }
workload = "chat"
"#;

#[test]
fn a_search_is_shown_by_its_bounds() {
    let saturation = campaign(SEARCH, &[]);
    let plan = Plan::of(&saturation);
    assert_eq!(plan.levels.last().unwrap().cooldown, Duration::from_secs(5));
    insta::assert_snapshot!(render::text(&saturation, &plan, Some(2)), @r#"
    campaign  knee (mode floodmark, tier default, seed 42)
    target    http://127.0.0.1:8000 (chat, streamed, no API key)
    model     m
    slo       ttft 2s; at p99
    prompts   chat: corrected once by what the target says in its usage

    phase       level  users  requests     window  wants   in  out  in flight  pause
    BASELINE    1          1         -  1m to 20m    130  500  200          1     5s
    SATURATION  100      100         -  1m to 20m    662  500  200        100     5s

    2 levels, all measured by a window: requests and tokens are known only by running
    windows: 2m to 40m, and before each the rise, after it the drain
    pauses between levels: 10s; time of the requests: known only by running

    search    in SATURATION: the fewest users that bring 95 % of the highest rate
              1 to 4000 users, at most 128 levels within 2h, 3 runs at the answer
              each with 500 tokens in, 200 out, pause 5s, window 1m to 20m for 3 to 12000 requests

    shares over 2 agents
    phase       level  users per agent  requests per agent
    BASELINE    1               0 to 1                   -
    SATURATION  100                 50                   -
    "#);
    let alone = SEARCH.replace("baseline = { workload = \"chat\" }\n", "");
    let alone = alone.replace("[[phases.saturation]]\nusers = 100\nworkload = \"chat\"\n", "");
    let sets = ["phases.saturation.0.search={ max_rate = 50.0, budget = \"2h\" }"];
    let rate = campaign(&alone, &sets);
    insta::assert_snapshot!(render::text(&rate, &Plan::of(&rate), Some(2)), @r#"
    campaign  knee (mode floodmark, tier default, seed 42)
    target    http://127.0.0.1:8000 (chat, streamed, no API key)
    model     m
    slo       ttft 2s; at p99
    prompts   chat: corrected once by what the target says in its usage

    search    in SATURATION: the highest rate that meets the objectives
              0.638 to 50 requests/s, at most 128 levels within 2h, 5 runs at the answer
              each with 500 tokens in, 200 out, pause 5s, window 1m to 20m for 662 requests
    "#);
    let shown: Value = serde_json::from_str(&render::json(&saturation, &plan, Some(2))).unwrap();
    insta::assert_snapshot!(serde_json::to_string(&shown["search"]).unwrap(), @r#"{"budget_s":7200.0,"first":{"arm":null,"arrivals":"closed","burstiness":null,"cache":"replay","capped":false,"cooldown_s":5.0,"forced_length":true,"in_flight_max":1,"input_tokens":500,"label":"1","last_wave_fill":null,"output_tokens":200,"phase":"SATURATION","ramp_s":2.0,"rate_per_s":null,"repeat":0,"requests":null,"requests_expected":null,"reset_cache":false,"restart_server":false,"shares":[{"requests":null,"users":1},{"requests":null,"users":0}],"users":1,"waves":null,"window":{"least_s":60.0,"most_s":1200.0,"precise":false,"requests":3,"turns":3},"workload":"chat"},"goal":"saturation","last_window":{"least_s":60.0,"most_s":1200.0,"precise":false,"requests":12000,"turns":3},"levels_max":128,"max_rate_per_s":null,"max_users":4000,"repeats":3,"start_rate_per_s":null,"start_users":1}"#);
    assert!(shown["totals"]["longest_s"].is_null());
}

#[test]
fn searched_levels_are_told_apart_by_their_repeats() {
    let search = Plan::of(&campaign(SEARCH, &[])).search.unwrap();
    let mut run = Vec::new();
    for load in [1, 2, 100, 2, 2] {
        run.push(search.level(load, &run));
    }
    let shown = run.iter().map(|level| (level.place, level.label.as_str(), level.repeat));
    // A level of 100 users stands before the search.
    let expected = [(1, "1", 0), (2, "2", 0), (3, "100", 1), (4, "2", 1), (5, "2", 2)];
    assert!(shown.eq(expected), "{run:?}");
    assert!(run.iter().all(|level| level.cooldown == Duration::from_secs(5)));
}

/// Phase, label and repeat of every level of quick.toml with these settings.
fn order_of(sets: &[&str]) -> (Plan, Vec<(String, u32)>) {
    let plan = Plan::of(&campaign(QUICK, sets));
    let name = |level: &PlannedLevel| (format!("{} {}", level.phase, level.label), level.repeat);
    let names = plan.levels.iter().map(name).collect();
    (plan, names)
}

#[test]
fn repeats_hold_the_same_levels_in_the_order_that_is_stated() {
    let (_, once) = order_of(&[]);
    let scaling = |names: &[(String, u32)], repeat: u32| -> Vec<String> {
        let of = names.iter().filter(|(name, of)| *of == repeat && name.starts_with("SCALING"));
        of.map(|(name, _)| name.clone()).collect()
    };
    let (plan, thrice) = order_of(&["repeats.count=3", "repeats.order=mirrored"]);
    assert_eq!(thrice.len(), 3 * once.len());
    assert!(!plan.open);
    let mut backwards = scaling(&thrice, 1);
    backwards.reverse();
    assert_eq!(scaling(&thrice, 0), backwards);
    assert_eq!(scaling(&thrice, 0), scaling(&thrice, 2));
    // The warm-up and the baseline come first in every repeat.
    for repeat in 0..3 {
        let first = thrice.iter().find(|(_, of)| *of == repeat).unwrap();
        assert!(first.0.starts_with("WARMUP"), "{first:?}");
    }
    let random = |seed: &str| order_of(&["repeats.count=4", "repeats.order=random", seed]).1;
    assert_eq!(random("seed=7"), random("seed=7"));
    let orders: std::collections::BTreeSet<Vec<String>> =
        (0..4).map(|repeat| scaling(&random("seed=7"), repeat)).collect();
    assert!(orders.len() > 1, "{orders:?}");
    let sorted = |repeat: u32| {
        let mut names = scaling(&random("seed=7"), repeat);
        names.sort();
        names
    };
    assert!((1..4).all(|repeat| sorted(repeat) == sorted(0)));
    // The last pause of a run is left out, those between repeats are not.
    assert_eq!(plan.levels.last().unwrap().cooldown, Duration::ZERO);
    assert!(plan.levels[once.len() - 1].cooldown > Duration::ZERO);
}

#[test]
fn what_is_done_before_a_level_is_stated_once_per_repeat_or_per_level() {
    let restart = "server.restart=[\"true\"]";
    let (plan, names) = order_of(&[restart, "repeats.count=2", "repeats.restart_server=true"]);
    let restarted: Vec<usize> = plan
        .levels
        .iter()
        .enumerate()
        .filter(|(_, level)| level.before.restart_server)
        .map(|(place, _)| place)
        .collect();
    assert_eq!(restarted, [0, names.len() / 2]);
    let reset = "server.reset_cache={ url = \"/reset_prefix_cache\" }";
    let (plan, _) = order_of(&[reset, "repeats.reset_cache=level"]);
    assert!(plan.levels.iter().all(|level| level.before.reset_cache));
}

#[test]
fn repeats_that_may_stop_early_leave_the_plan_open() {
    let sets = ["repeats.count=6", "repeats.until={ half_width = \"2%\", least = 3 }"];
    let campaign = campaign(QUICK, &sets);
    let plan = Plan::of(&campaign);
    assert!(plan.open);
    assert_eq!(plan.levels.last().unwrap().repeat, 2);
    assert!(plan.levels.last().unwrap().cooldown > Duration::ZERO);
    let spare = Plan::spare_repeats(&campaign);
    let repeats: Vec<u32> = spare.iter().map(|levels| levels[0].repeat).collect();
    assert_eq!(repeats, [3, 4, 5]);
    let shown = render::text(&campaign, &plan, Some(1));
    let line = shown.lines().find(|line| line.starts_with("repeats")).unwrap();
    assert_eq!(
        line,
        "repeats   3 to 6, until the 95 % interval of total tok/s is within 2 % of its mean"
    );
}

const ABLATION: [&str; 3] = [
    "ablation.base={ name = \"off\", restart = [\"serve\", \"--off\"] }",
    "ablation.new={ name = \"on\", restart = [\"serve\", \"--on\"] }",
    "ablation.restarts=4",
];

/// The starts of the server among these levels, in order.
fn starts(levels: &[PlannedLevel]) -> Vec<(Arm, u32)> {
    let started = levels.iter().filter(|level| level.before.restart_server);
    started.map(|level| (level.arm.unwrap(), level.repeat)).collect()
}

#[test]
fn configurations_are_started_in_turn_after_the_base_was_compared_with_itself() {
    let mut begun_with_base = [0, 0];
    for seed in 0..40 {
        let seed = format!("seed={seed}");
        let sets = [&ABLATION[..], &["ablation.aa_restarts=3", &seed]].concat();
        let campaign = campaign(QUICK, &sets);
        let (plan, follow) = (Plan::of(&campaign), Plan::after_aa(&campaign).unwrap());
        assert!(plan.open);
        let parts = [(&plan.levels, Arm::AaBase, Arm::AaNew, 3), (&follow, Arm::Base, Arm::New, 4)];
        for (place, (levels, base, new, pairs)) in parts.into_iter().enumerate() {
            let starts = starts(levels);
            assert_eq!(starts.len(), 2 * pairs);
            let first = starts[0].0;
            begun_with_base[place] += usize::from(first == base);
            for (number, pair) in starts.chunks(2).enumerate() {
                // One, the other, the other, the one.
                let begins = if (first == base) == (number % 2 == 0) { base } else { new };
                let other = if begins == base { new } else { base };
                let number = u32::try_from(number).unwrap();
                assert_eq!(pair, [(begins, number), (other, number)], "{seed}");
            }
        }
        assert_eq!(follow.last().unwrap().cooldown, Duration::ZERO);
        assert!(plan.levels.last().unwrap().cooldown > Duration::ZERO);
    }
    assert!(begun_with_base.iter().all(|times| (8..=32).contains(times)), "{begun_with_base:?}");
}

#[test]
fn both_configurations_meet_the_same_levels_in_the_same_order() {
    let sets = [&ABLATION[..], &["ablation.aa_restarts=0", "repeats.order=random"]].concat();
    let campaign = campaign(QUICK, &sets);
    assert_eq!(Plan::after_aa(&campaign), None);
    let plan = Plan::of(&campaign);
    assert!(!plan.open);
    let of = |arm: Arm, repeat: u32| -> Vec<PlannedLevel> {
        let series = plan.levels.iter().filter(|level| level.series() == (Some(arm), repeat));
        let alike = |level: &PlannedLevel| PlannedLevel {
            arm: None,
            cooldown: Duration::ZERO,
            ..level.clone()
        };
        series.map(alike).collect()
    };
    for repeat in 0..4 {
        assert_eq!(of(Arm::Base, repeat), of(Arm::New, repeat));
        assert!(!of(Arm::Base, repeat).is_empty());
    }
    let orders: std::collections::BTreeSet<Vec<u32>> = (0..4)
        .map(|repeat| of(Arm::New, repeat).iter().map(|level| level.place).collect())
        .collect();
    assert!(orders.len() > 1);
    let shown = render::text(&campaign, &plan, Some(1));
    assert!(shown.contains("starts    4 starts of each, in turn; no A/A\n"), "{shown}");
}

#[test]
fn a_plan_says_what_follows_a_a() {
    let campaign = campaign(QUICK, &ABLATION);
    let plan = Plan::of(&campaign);
    let shown = render::text(&campaign, &plan, Some(1));
    let lines: Vec<&str> =
        shown.lines().skip_while(|l| !l.starts_with("ablation")).take(3).collect();
    let levels = plan.levels.len();
    assert_eq!(lines[0], "ablation  on (NEW) against off (BASE)");
    assert!(lines[1].starts_with("starts    4 and 4 of off as A/A, below"), "{shown}");
    assert_eq!(lines[2], format!("          4 starts of each, in turn: {levels} levels more"));
    let json: Value = serde_json::from_str(&render::json(&campaign, &plan, None)).unwrap();
    assert_eq!(json["ablation"]["levels_after_aa"], levels);
    let arms = json["levels"].as_array().unwrap().iter().map(|level| level["arm"].as_str());
    assert!(
        arms.clone().any(|arm| arm == Some("aa_base"))
            && arms.flatten().all(|arm| arm.starts_with("aa_"))
    );
    for arm in Arm::ALL {
        assert_eq!(serde_json::to_value(arm).unwrap(), arm.name());
    }
}
