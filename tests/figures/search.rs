//! A search finds where a server saturates, through the whole path.

use std::time::Duration;

use agent::sim::Profile;
use coordinator::record::RunOutcome;
use coordinator::report::ReportModel;
use harness::run;
use harness::simulator;

/// Requests that the simulator serves at once: more users bring no more tokens.
const SLOTS: u32 = 6;

#[test]
#[cfg_attr(debug_assertions, ignore = "needs a release build; .ci/run runs it")]
fn a_server_of_so_many_slots_saturates_at_as_many_users() {
    let profile = Profile {
        ttft: Duration::from_millis(60),
        itl: Duration::from_millis(10),
        slots: SLOTS,
        jitter: "0.1".parse().expect("a spread"),
        ..Profile::default()
    };
    let simulator = simulator::start(profile);
    let text = format!(
        r#"
name = "knee"
tier = "quick"
[target]
base_urls = ["http://{}"]
model     = "sim"
[workloads.short]
input_tokens  = 12
output_tokens = 10
[phases.saturation]
workload = "short"
search   = {{ start = 2, max_users = 16, budget = "5m" }}
duration = "3s"
ramp     = "0s"
cooldown = "0s"
"#,
        simulator.address()
    );
    let ran = run::text_to_end(&text, 2);
    assert_eq!((ran.end.outcome, ran.end.exit_code), (RunOutcome::Completed, 0), "{:?}", ran.end);
    let model = ReportModel::new(&ran.record, &[]);
    let saturation = &model.saturation;
    assert_eq!(saturation.method, "search");
    let [lower, upper] = saturation
        .ci
        .unwrap_or_else(|| panic!("no bracket: {saturation:?}"))
        .map(|end| end.value());
    let slots = f64::from(SLOTS);
    assert!(lower <= slots && slots <= upper, "{lower} to {upper}: {}", saturation.because);
    assert!(upper / lower < 2.5, "{lower} to {upper}");
}
