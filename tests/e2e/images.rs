//! Requests with images reach the server as images: distinct, the same whoever sends them, in the
//! request or fetched, and told apart from text.

use std::collections::BTreeSet;

use agent::sim::Profile;
use coordinator::record::RunOutcome;
use coordinator::report::ReportModel;
use harness::campaign::Campaign;
use harness::run::{self, Ran};
use harness::simulator::{self, Entry};

const REQUESTS: u64 = 40;

/// A run of requests with these images, and what the simulator saw.
fn sent(endpoint: &'static str, images: &str, agents: u32, profile: Profile) -> (Ran, Vec<Entry>) {
    let simulator = simulator::start(profile);
    let campaign = Campaign {
        endpoint,
        forced_length: endpoint != "messages",
        ..Campaign::new(simulator.address(), 8, REQUESTS)
    };
    let cold = "cache         = \"cold\"";
    let text = campaign.text().replace(cold, &format!("{cold}\nimages = {images}"));
    let ran = run::text_to_end(&text, agents);
    assert_eq!(ran.end.outcome, RunOutcome::Completed, "{:?}", ran.end);
    (ran, simulator::truth(simulator).1)
}

/// The images of all requests, sorted.
fn shown(entries: &[Entry]) -> Vec<u64> {
    let mut hashes: Vec<u64> = entries.iter().flat_map(|entry| entry.images.clone()).collect();
    hashes.sort_unstable();
    hashes
}

#[test]
fn one_and_four_agents_send_the_same_distinct_images_inline_or_by_url() {
    for format in ["jpeg", "png"] {
        let images = |deliver: &str| {
            format!(
                "{{ count = {{ uniform = [1, 5] }}, width = 96, height = 80, \
                 format = \"{format}\", deliver = \"{deliver}\" }}"
            )
        };
        let (_, one) = sent("chat", &images("inline"), 1, simulator::quick());
        let (_, four) = sent("chat", &images("inline"), 4, simulator::quick());
        let (fetched, by_url) = sent("chat", &images("url"), 2, simulator::quick());
        let hashes = shown(&one);
        assert!(hashes.len() as u64 > 2 * REQUESTS, "{}", hashes.len());
        assert_eq!(BTreeSet::from_iter(&hashes).len(), hashes.len(), "an image comes twice");
        assert_eq!((shown(&four), shown(&by_url)), (hashes.clone(), hashes.clone()));
        let bodies = |entries: &[Entry]| -> BTreeSet<u64> {
            entries.iter().map(|entry| entry.body_hash).collect()
        };
        assert_eq!(bodies(&one), bodies(&four));
        let tally = fetched.total().images.expect("images");
        assert_eq!(tally.fetches.time.count(), hashes.len() as u64);
        assert_eq!(tally.fetches.bytes, tally.bytes);
        assert_eq!(tally.upload.count(), REQUESTS);
    }
}

#[test]
fn images_are_counted_apart_from_text_with_every_api_that_has_them() {
    for endpoint in ["chat", "responses", "messages"] {
        let images = "{ count = 3, width = 300, height = 56 }";
        let (ran, entries) = sent(endpoint, images, 2, simulator::quick());
        let model = ReportModel::new(&ran.record, &[]);
        let level = &model.levels[0];
        assert_eq!(level.requests.succeeded, REQUESTS, "{:?}", level.requests);
        let images = level.images.as_ref().expect("images");
        assert_eq!((images.images, images.pixels), (3 * REQUESTS, 3 * REQUESTS * 300 * 56));
        // 11 by 2 tokens of 28 by 28 pixels; the text has exactly the tokens asked for.
        assert_eq!(images.image_tokens_estimate, Some(3 * REQUESTS * 22), "{endpoint}");
        assert_eq!(images.text_tokens_asked, 12 * REQUESTS);
        assert!(entries.iter().all(|entry| entry.images.len() == 3));
        assert_eq!(images.upload_ms.count, REQUESTS);
        let verdicts = format!("{:?}", level.verdicts);
        assert!(!verdicts.contains("WorkNotEqual"), "{verdicts}");
        let summary = coordinator::report::summary_json(&model);
        let summary: serde_json::Value = serde_json::from_str(&summary).expect("JSON");
        assert_eq!(summary["levels"][0]["images"]["images"], 3 * REQUESTS);
    }
}

#[test]
fn images_that_a_server_refuses_are_counted_and_told_once_in_its_own_words() {
    let profile = Profile { images_max: 2, ..simulator::quick() };
    let (ran, entries) = sent("chat", "{ count = { uniform = [1, 5] } }", 2, profile);
    let refused = entries.iter().filter(|entry| entry.status == Some(400)).count() as u64;
    assert!(refused > 0 && refused < REQUESTS, "{refused}");
    let model = ReportModel::new(&ran.record, &[]);
    let requests = &model.levels[0].requests;
    assert_eq!((requests.failed, requests.by_class["http_4xx"]), (refused, refused));
    assert_eq!(requests.succeeded, REQUESTS - refused);
    assert!(requests.first_detail["http_4xx"].contains("at most 2 images"), "{requests:?}");
    let text = coordinator::report::text(&model, ran.dir.path());
    assert_eq!(text.matches("at most 2 images").count(), 1, "{text}");
}
