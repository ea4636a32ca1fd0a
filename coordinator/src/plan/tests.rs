//! Plans: what runs in which order, and how it is shown.

use serde_json::Value;

use super::*;
use crate::campaign::{Overlay, Source, resolve};

const PAPER: &str = include_str!("../../../deploy/campaigns/paper-text.toml");
const QUICK: &str = include_str!("../../../deploy/campaigns/quick.toml");
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
          "requests_expected": null
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
          "requests_expected": null
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
          "requests_expected": null
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
          "requests_expected": null
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
      }
    }
    "#);
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
