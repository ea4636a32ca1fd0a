//! The command line as people type it, with the names they know from other tools.

use std::io::Write;
use std::time::Duration;

use clap::{CommandFactory, Parser};

use super::*;
use crate::campaign::KeyRef;

#[derive(Parser)]
struct Run {
    #[command(flatten)]
    args: RunArgs,
}

#[derive(Parser)]
struct Planned {
    #[command(flatten)]
    args: PlanArgs,
}

fn run(line: &str) -> RunArgs {
    let words = std::iter::once("run").chain(line.split_whitespace());
    Run::try_parse_from(words).unwrap().args
}

fn resolved(line: &str, environment: &Environment) -> Result<String, String> {
    match run(line).campaign.resolve(environment) {
        Ok(campaign) => Ok(campaign.to_toml()),
        Err(problems) => Err(problems.to_string()),
    }
}

#[test]
fn the_definitions_hold_together() {
    Run::command().debug_assert();
    Planned::command().debug_assert();
}

#[test]
fn known_names_of_other_tools_mean_the_same() {
    let nothing = Environment::default();
    let ours = "--target http://h --model m --users 2,4 --input-tokens 9 --output-tokens 8 \
                --requests 40";
    let reference = resolved(ours, &nothing);
    assert!(reference.is_ok(), "{reference:?}");
    for line in [
        "--base-url http://h --model m --max-concurrency 2,4 --random-input-len 9 \
         --random-output-len 8 --num-prompts 40",
        "--url http://h --model m --concurrency 2,4 --random-input-len 9 \
         --random-output-len 8 --num-prompts 40",
    ] {
        assert_eq!(resolved(line, &nothing), reference, "{line}");
    }
}

#[test]
fn headers_and_fields_of_the_body_reach_every_request() {
    let line = "--target http://h --model m --users 1 --header X-Team:perf --header a:b:c \
                --extra-body {\"top_p\":0.9}";
    let text = resolved(line, &Environment::default()).unwrap();
    assert!(text.contains("headers = { \"a\" = \"b:c\", \"x-team\" = \"perf\" }"), "{text}");
    assert!(text.contains("extra_body = '{\"top_p\":0.9}'"), "{text}");
}

#[test]
fn every_flag_reaches_the_campaign() {
    let line = "--target http://h/v1 --model m --users 3 --input-tokens 9 --output-tokens 8 \
                --requests 40 --name night --mode paper --tier thorough --seed 7 \
                --endpoint completions --streaming off --ready-timeout 20m \
                --client-proof on --set workloads.default.cache=cold";
    insta::assert_snapshot!(resolved(line, &Environment::default()).unwrap(), @r#"
    name = "night"
    mode = "paper"
    tier = "thorough"
    seed = 7

    [target]
    base_urls = ["http://h"]
    model = "m"
    endpoint = "completions"
    stream = false
    connection = "keep-alive"
    timeouts = { connect = "10s", first_byte = "5m", idle = "1m", total = "5m" }
    ready_timeout = "20m"

    [workloads.default]
    input_tokens = 9
    output_tokens = 8
    forced_length = true
    cache = "cold"
    lengths = "characters"

    [client_proof]
    before = true
    after = true
    headroom = 2.0

    [[phases.scaling]]
    users = [3]
    workload = "default"
    requests = [40]
    cooldown = "5s"
    allow_capped = false
    "#);
}

#[test]
fn every_flag_of_an_open_loop_reaches_the_campaign() {
    let line = "--target http://h --model m --request-rate 2,12.5 --burstiness 0.25 --duration 5m \
                --max-in-flight 400 --ramp-up-start-rps 1.5 --ramp-up-strategy step \
                --ramp-up-time 20s --goodput ttft:2000 tpot:80.5 --goodput e2el:15000 \
                --set hardware.gpus=8 --set slo.quantile=0.9";
    insta::assert_snapshot!(resolved(line, &Environment::default()).unwrap(), @r#"
    name = "default"
    mode = "floodmark"
    tier = "default"
    seed = 42
    
    [target]
    base_urls = ["http://h"]
    model = "m"
    endpoint = "chat"
    stream = true
    connection = "keep-alive"
    timeouts = { connect = "10s", first_byte = "5m", idle = "1m", total = "5m" }
    ready_timeout = "1m"
    
    [workloads.default]
    input_tokens = 500
    output_tokens = 200
    forced_length = true
    cache = "replay"
    lengths = "measured"
    
    [slo]
    ttft = "2s"
    tpot = "80.5ms"
    e2e = "15s"
    quantile = 0.9
    
    [hardware]
    gpus = 8.0
    
    [client_proof]
    before = false
    after = false
    headroom = 2.0
    
    [[phases.scaling]]
    rate = [2, 12.5]
    workload = "default"
    duration = "5m"
    cooldown = "5s"
    arrivals = "gamma"
    burstiness = 0.25
    rate_ramp = { from = 1.5, over = "20s", curve = "step", steps = 5 }
    max_in_flight = 400
    "#);
    // As in vLLM: in one argument, and with its name for the rate at which a ramp ends.
    let words = ["run", "--target", "http://h", "--model", "m", "--ramp-up-end-rps", "2"];
    let goodput = |words: &[&str]| {
        let args = Run::try_parse_from(words).unwrap().args;
        args.campaign.resolve(&Environment::default()).unwrap().judging.slo
    };
    let one = goodput(&[&words[..], &["--goodput", "ttft:2000 e2el:15000"]].concat());
    let two = goodput(&[&words[..], &["--goodput", "ttft:2000", "e2el:15000"]].concat());
    assert_eq!(one, two);
    assert_eq!(one.e2e, Some(Duration::from_secs(15)));
}

#[test]
fn flags_end_a_level_by_a_count_unless_a_time_or_a_rate_is_stated() {
    let ends = |more: &str| {
        let text =
            resolved(&format!("--target http://h --model m {more}"), &Environment::default());
        let text = text.unwrap();
        let end = text.lines().filter(|line| {
            ["requests", "duration", "[window]"].iter().any(|key| line.starts_with(key))
        });
        end.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ends("--users 1,5"), "requests = [10, 50]");
    assert_eq!(ends("--users 1,5 --requests 7"), "requests = [7, 7]");
    assert_eq!(ends("--users 2,5 --duration 90s"), "duration = \"90s\"");
    assert_eq!(ends("--request-rate 5"), "[window]");
    assert_eq!(ends("--request-rate 5 --num-prompts 300"), "requests = [300]");
    assert_eq!(ends("--request-rate 5 --duration 90s"), "duration = \"90s\"");
}

#[test]
fn flags_that_do_not_fit_together_are_refused_with_what_would() {
    let nothing = Environment::default();
    let refused = |more: &str| {
        resolved(&format!("--target http://h --model m {more}"), &nothing).unwrap_err()
    };
    insta::assert_snapshot!(refused("--request-rate inf --goodput ttft:2s itl:10 e2el:"), @r#"
    --goodput: ttft:2s: must be KEY:MILLISECONDS with a key of ttft, tpot, e2el, such as ttft:2000; a campaign file stands before --goodput
    --goodput: itl:10: must be KEY:MILLISECONDS with a key of ttft, tpot, e2el, such as ttft:2000; a campaign file stands before --goodput
    --goodput: e2el:: must be KEY:MILLISECONDS with a key of ttft, tpot, e2el, such as ttft:2000; a campaign file stands before --goodput
    --request-rate: phases.scaling.rate = inf: is no rate: requests that are sent as soon as there is room are a closed loop; leave the rate out and say how many users there are
    4 problems
    "#);
    insta::assert_snapshot!(
        refused("--request-rate 5 --max-concurrency 7 --duration 1s --num-prompts 9"),
        @r#"--request-rate: phases.scaling.rate = 5: cannot be combined with users: users wait for their answers, a rate does not; leave one of the two out (a rate's requests in flight are bounded by max_in_flight, or --max-in-flight)"#
    );
    insta::assert_snapshot!(refused("--request-rate 5 --mode paper --duration 9s"), @r#"
    --duration: phases.scaling.duration = 9s: belongs to mode floodmark: in paper mode users begin at once and make a number of requests; leave it out or set mode = "floodmark"
    --request-rate: phases.scaling.rate = 5: belongs to mode floodmark: in paper mode users begin at once and make a number of requests; leave it out or set mode = "floodmark"
    2 problems
    "#);
    insta::assert_snapshot!(refused("--users 5 --burstiness 2 --duration 9"), @r#"
    --burstiness: phases.scaling.burstiness = 2: belongs to an open loop: say rate instead of users, or leave it out
    --duration: phases.scaling.duration = 9: "9" has no unit; write 9s for seconds or 9ms for milliseconds
    2 problems
    "#);
    insta::assert_snapshot!(refused("--duration 9s"), @r#"phases.scaling.users: missing; say how many users each level has: users = [1, 10, 100], or how many requests arrive per second: rate = [0.5, 2]"#);
}

#[test]
fn the_environment_stands_in_for_flags() {
    let environment = Environment {
        target: Some("http://env".to_owned()),
        agents: Some("a:1,b:2".to_owned()),
        has_openai_key: true,
    };
    let args = run("--model m --users 1");
    let campaign = args.campaign.resolve(&environment).unwrap();
    assert_eq!(campaign.target.base_url.to_string(), "http://env");
    assert_eq!(campaign.api_key, Some(KeyRef::Env("OPENAI_API_KEY".to_owned())));
    assert_eq!(args.fleet.spec(&environment).unwrap().count(), Some(2));

    let args = run("--model m --users 1 --target http://flag --agents c:3");
    let campaign = args.campaign.resolve(&environment).unwrap();
    assert_eq!(campaign.target.base_url.to_string(), "http://flag");
    assert_eq!(args.fleet.spec(&environment).unwrap().count(), Some(1));

    let embedded = run("--embedded 3").fleet.spec(&environment);
    assert_eq!(embedded, Ok(AgentsSpec::Embedded(3)));
    let default = run("").fleet.spec(&Environment::default());
    assert_eq!(default, Ok(AgentsSpec::Embedded(1)));
}

#[test]
fn problems_of_campaign_and_fleet_are_reported_together() {
    let environment = Environment { agents: Some("gpu1".to_owned()), ..Environment::default() };
    let args = run("--target localhost --users 0");
    let campaign = args.campaign.resolve(&environment);
    let both = Problems::both(campaign, args.fleet.spec(&environment));
    insta::assert_snapshot!(both.unwrap_err(), @r#"
    --target: target.base_urls.0 = localhost: a base URL starts with http:// or https://
    --users: phases.scaling.users = 0: must be an integer from 1 to 1000000
    environment variable FLOODMARK_AGENTS: "gpu1": has no port; write HOST:PORT, for example 10.0.0.7:7070
    target.model: missing; say which model to ask for: model = "NAME", or --model NAME
    4 problems
    "#);
    let refused = run("--agents a:1 --embedded 2").fleet.spec(&environment);
    insta::assert_snapshot!(refused.unwrap_err(), @"--agents: cannot be combined with --embedded; give one of the two");
}

#[test]
fn a_campaign_file_is_read_and_flags_overlay_it() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(include_bytes!("../../../../deploy/campaigns/quick.toml")).unwrap();
    let path = file.path().display().to_string();
    let nothing = Environment::default();
    let text = resolved(&format!("{path} --model other --tier default"), &nothing).unwrap();
    assert!(text.contains("model = \"other\"\n") && text.contains("tier = \"default\"\n"));
    assert_eq!(
        resolved(&format!("{path} --users 5 --num-prompts 9"), &nothing),
        Err("--requests: with a campaign file the levels are the file's; \
             use --set phases.scaling.requests=…\n\
             --users: with a campaign file the levels are the file's; \
             use --set phases.scaling.users=…\n\
             2 problems"
            .to_owned())
    );
    file.write_all(b"\xff").unwrap();
    let refusal = resolved(&path, &nothing).unwrap_err();
    assert_eq!(refusal, format!("{path}: cannot be read: stream did not contain valid UTF-8"));
    let missing = resolved("no/such.toml", &nothing).unwrap_err();
    assert!(missing.starts_with("no/such.toml: cannot be read: "), "{missing}");
}

#[test]
fn tls_files_come_together_or_not_at_all() {
    assert_eq!(run("").tls.files(), None);
    let args = run("--tls-cert c --tls-key k --tls-ca a");
    let expected = TlsFiles { cert: Path::new("c"), key: Path::new("k"), ca: Path::new("a") };
    assert_eq!(args.tls.files(), Some(expected));
    for line in ["--tls-cert c", "--tls-key k --tls-ca a", "--tls-cert c --tls-ca a"] {
        let words = std::iter::once("run").chain(line.split_whitespace());
        assert!(Run::try_parse_from(words).is_err(), "{line}");
    }
}

#[test]
fn output_choices_have_defaults() {
    let args = run("--result-dir out");
    assert_eq!((args.ui, args.result_dir), (Ui::Auto, Some(PathBuf::from("out"))));
    assert_eq!(run("--ui none").ui, Ui::None);
    let plan = |words: &[&str]| Planned::try_parse_from(words).unwrap().args.format;
    assert_eq!(plan(&["plan"]), PlanFormat::Text);
    assert_eq!(plan(&["plan", "--format", "json"]), PlanFormat::Json);
}
