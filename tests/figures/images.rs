//! Images hold up no request: a thousand users, an image in each request.

use std::time::Duration;

use agent::sim::Profile;
use coordinator::record::RunOutcome;
use coordinator::report::ReportModel;
use harness::campaign::Campaign;
use harness::{run, simulator};

/// The most by which a request may be sent later than intended, in 99 of 100.
const SEND_LAG_MS: f64 = 1.0;

/// One of so many tries has to hold the limit: what else runs on the machine takes the processor,
/// too, and a generator that is slow by itself is slow in all of them.
const TRIES: usize = 3;

#[test]
#[cfg_attr(debug_assertions, ignore = "needs a release build; .ci/run runs it")]
fn a_thousand_users_send_images_without_being_late() {
    let on_time = (0..TRIES).any(|_| {
        let (ttft, itl) = (Duration::from_millis(2000), Duration::from_millis(100));
        let jitter = "0.2".parse().expect("a jitter");
        let simulator = simulator::start(Profile { ttft, itl, jitter, ..simulator::quick() });
        let campaign = Campaign {
            window: Some("20s"),
            output_tokens: 30,
            ..Campaign::new(simulator.address(), super::USERS, 1)
        };
        let cold = "cache         = \"cold\"";
        let images = "images = { width = 512, height = 512 }";
        let text = campaign.text().replace(cold, &format!("{cold}\n{images}"));
        let ran = run::text_to_end(&text, 2);
        let (totals, _) = simulator::truth(simulator);
        assert_eq!(ran.end.outcome, RunOutcome::Completed, "{:?}", ran.end);
        let model = ReportModel::new(&ran.record, &[]);
        let level = &model.levels[0];
        let images = level.images.as_ref().expect("images");
        let ms = |value: Option<coordinator::report::Real>| value.map_or(f64::NAN, |v| v.value());
        let lag = ms(level.client.send_lag_p99_ms);
        println!(
            "{:.0} in flight, {:.1} images/s of {:.0} kB; send lag p99 {lag:.3} ms, upload p50 \
             {:.3} ms, p99 {:.3} ms, {} received",
            ms(level.in_flight_mean),
            ms(images.images_per_s),
            images.bytes as f64 / images.images as f64 / 1e3,
            ms(images.upload_ms.p50),
            ms(images.upload_ms.p99),
            totals.received,
        );
        assert_eq!(images.images, level.measured.succeeded);
        lag <= SEND_LAG_MS
    });
    assert!(on_time, "the send lag was never within {SEND_LAG_MS} ms");
}
