//! Where requests go, and what goes with them: several base URLs, headers, extra fields, certificates
//! of clients, HTTP/2.

use std::path::Path;

use common::outcome::Failure;
use common::slice::SliceBy;
use coordinator::record::RunOutcome;
use harness::campaign::Campaign;
use harness::tls::Client;
use harness::{capture, process, run, simulator, tls};

const REQUESTS: u64 = 13;

/// A campaign with these lines in the table of the target.
fn with(campaign: &Campaign, target: &str) -> String {
    campaign.text().replace("[target]\n", &format!("[target]\n{target}\n"))
}

#[test]
fn two_servers_get_half_of_the_requests_each_and_are_told_apart() {
    let servers = [0, 1].map(|_| simulator::start(simulator::quick()));
    let [first, second] = [0, 1].map(|place: usize| format!("http://{}", servers[place].address()));
    let one = Campaign::new(servers[0].address(), 3, REQUESTS).text();
    let text = one.replace(&format!("[\"{first}\"]"), &format!("[\"{first}\", \"{second}\"]"));
    let ran = run::text_to_end(&text, 2);
    assert_eq!((ran.end.outcome, ran.end.exit_code), (RunOutcome::Completed, 0));
    let total = ran.total();
    assert_eq!(total.counts.succeeded, REQUESTS);
    assert_eq!(ran.record.header.target, format!("{first}, {second}"));
    let truth: Vec<u64> = servers.map(|server| simulator::truth(server).0.received).into();
    assert_eq!(truth.iter().sum::<u64>(), REQUESTS);
    assert!(truth[0].abs_diff(truth[1]) <= 1, "{truth:?}");
    let told: Vec<_> = total
        .slices
        .iter()
        .map(|slice| (slice.slice.by, &*slice.slice.name, slice.measured.succeeded))
        .collect();
    let url = SliceBy::BaseUrl;
    assert_eq!(told, [(url, &*first, truth[0]), (url, &*second, truth[1])]);
}

#[test]
fn servers_of_different_models_are_not_loaded_together() {
    let known = simulator::start(simulator::quick());
    let other = agent::sim::Profile { model: "other".to_owned(), ..simulator::quick() };
    let other = simulator::start(other);
    let (first, second) = (known.address(), other.address());
    let text = Campaign::new(first, 1, 1).text();
    let text = text.replace("\"]\nmodel", &format!("\", \"http://{second}\"]\nmodel"));
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("campaign.toml"), text).unwrap();
    let ended = process::floodmark(dir.path(), &["run", "campaign.toml"]);
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    for says in
        ["SERVER_CHANGED", &format!("http://{first} and http://{second}"), "served sim, then other"]
    {
        assert!(ended.stderr.contains(says), "no {says:?} in {}", ended.stderr);
    }
    for server in [known, other] {
        assert_eq!(simulator::truth(server).0.received, 0);
    }
}

#[test]
fn headers_and_fields_of_the_campaign_are_in_every_request_and_secrets_in_no_file() {
    const WORDS: &str = "{\"error\":{\"message\":\"no token-canary-1, no key-canary-2\"}}";
    let server = capture::start(418, WORDS);
    let dir = tempfile::tempdir().unwrap();
    let secret = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let token = secret("token", "Bearer token-canary-1\n");
    let key = secret("key", "key-canary-2");
    let target = format!(
        "api_key = {{ file = \"{key}\", header = \"api-key\" }}\n\
         headers = {{ x-team = \"perf\", authorization = {{ file = \"{token}\" }} }}\n\
         extra_body = {{ temperature = 0.7, guided = {{ choice = [\"a\"] }} }}"
    );
    let ran = run::text_to_end(&with(&Campaign::new(server.address, 2, 4), &target), 1);
    let total = ran.total();
    assert_eq!(total.counts.failed_by(Failure::Http4xx), 4);
    let said: Vec<_> = total.details.iter().collect();
    assert_eq!(said, [(Failure::Http4xx, "no [API key], no [API key]")]);
    let requests = server.requests();
    let (posts, asked): (Vec<_>, Vec<_>) =
        requests.iter().partition(|request| request.line.starts_with("POST /v1/chat/completions "));
    assert!(posts.len() == 4 && !asked.is_empty());
    for request in &requests {
        assert_eq!(request.values("authorization"), ["Bearer token-canary-1"], "{}", request.line);
        assert_eq!(request.values("api-key"), ["key-canary-2"]);
        assert_eq!(request.values("x-team"), ["perf"]);
    }
    for post in posts {
        let body: serde_json::Value = serde_json::from_str(&post.body).unwrap();
        assert_eq!(body["temperature"], 0.7);
        assert_eq!(body["guided"]["choice"][0], "a");
        assert_eq!(body["max_tokens"], 6);
    }
    for file in std::fs::read_dir(ran.dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"canary"));
    }
}

#[test]
fn a_client_shows_its_certificate_and_a_stranger_is_refused() {
    let server = simulator::start(simulator::quick());
    let (front, client, stranger) = tls::front_for_clients(server.address());
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    file("ca.pem", &front.authority);
    let campaign = |http, client: Option<&Client>| {
        let path = |name: &str| dir.path().join(name).display().to_string();
        let mut files = format!("ca = \"{}\"", path("ca.pem"));
        if let Some(Client { cert, key }) = client {
            file("cert.pem", cert);
            file("key.pem", key);
            files += &format!(", cert = \"{}\", key = \"{}\"", path("cert.pem"), path("key.pem"));
        }
        let campaign = Campaign { http, ..Campaign::new(front.address, 2, REQUESTS) };
        with(&campaign, &format!("tls = {{ {files} }}")).replace("http://", "https://")
    };
    for http in ["1.1", "2"] {
        let ran = run::text_to_end(&campaign(http, Some(&client)), 2);
        assert_eq!(ran.total().counts.succeeded, REQUESTS, "{http}");
        for name in ["run.sqlite", "campaign.toml"] {
            let stored = std::fs::read(ran.dir.path().join(name)).unwrap_or_default();
            let holds = |words: &[u8]| stored.windows(words.len()).any(|window| window == words);
            assert!(!holds(b"PRIVATE KEY") && !holds(b"BEGIN CERTIFICATE"), "{name}");
        }
    }
    let refused = |text: &str, code: i32, says: &str| {
        refused(dir.path(), text, code, says);
    };
    refused(&campaign("1.1", None), 3, "ertificate");
    refused(&campaign("1.1", Some(&stranger)), 3, "is not ready");
    let mixed = Client { cert: client.cert.clone(), key: stranger.key.clone() };
    refused(&campaign("1.1", Some(&mixed)), 2, "key.pem is not the key of the certificate");
    let swapped = Client { cert: client.key.clone(), key: client.cert.clone() };
    refused(&campaign("1.1", Some(&swapped)), 2, "target.tls.cert: ");
    assert_eq!(simulator::truth(server).0.completed, 2 * REQUESTS);
}

fn refused(dir: &Path, text: &str, code: i32, says: &str) {
    std::fs::write(dir.join("campaign.toml"), text).unwrap();
    let ended = process::floodmark(dir, &["run", "campaign.toml", "--ready-timeout", "1s"]);
    assert_eq!(ended.code, Some(code), "{}", ended.stderr);
    assert!(ended.stderr.contains(says), "no {says:?} in {}", ended.stderr);
    assert!(!ended.stderr.contains("PRIVATE"));
}

#[test]
fn http_2_is_loaded_with_and_without_tls_and_accounts_for_every_request() {
    let server = simulator::start(simulator::quick());
    let front = tls::front(server.address());
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, &front.authority).unwrap();
    let over = |address, connection| Campaign {
        http: "2",
        connection,
        ..Campaign::new(address, 3, REQUESTS)
    };
    let tls = format!("tls = {{ ca = \"{}\" }}", ca.display());
    let mut expected = 0;
    for connection in ["keep-alive", "per-request"] {
        let plain = over(server.address(), connection).text();
        let secure = with(&over(front.address, connection), &tls).replace("http://", "https://");
        for text in [plain, secure] {
            let ran = run::text_to_end(&text, 2);
            assert_eq!((ran.end.outcome, ran.end.exit_code), (RunOutcome::Completed, 0));
            let total = ran.total();
            assert_eq!(total.counts.succeeded, REQUESTS, "{:?}", total.counts);
            expected += total.tokens.completion;
        }
    }
    let (totals, _) = simulator::truth(server);
    assert_eq!((totals.completed, totals.completion_tokens), (4 * REQUESTS, expected));
}
