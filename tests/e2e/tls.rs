//! An `https` target whose certificate is of an authority of its own.

use std::path::Path;

use agent::sim::SimThread;
use coordinator::record::RunOutcome;
use harness::campaign::Campaign;
use harness::tls::{self, Front};
use harness::{process, run, simulator};

const REQUESTS: u64 = 12;

/// A campaign against a simulator behind TLS, with this in the table of the target.
fn campaign(front: &Front, target: &str) -> String {
    let text = Campaign::new(front.address, 3, REQUESTS).text();
    text.replace("http://", "https://").replace("[target]\n", &format!("[target]\n{target}\n"))
}

fn scene() -> (SimThread, Front, tempfile::TempDir) {
    let simulator = simulator::start(simulator::quick());
    let front = tls::front(simulator.address());
    (simulator, front, tempfile::tempdir().unwrap())
}

fn tls_table(path: &Path) -> String {
    format!("tls = {{ ca = \"{}\" }}", path.display())
}

#[test]
fn an_authority_of_the_campaign_is_trusted_by_all() {
    let (simulator, front, dir) = scene();
    let path = dir.path().join("ca.pem");
    std::fs::write(&path, &front.authority).unwrap();
    for connection in ["", "connection = \"per-request\"\n"] {
        let mut text = campaign(&front, &tls_table(&path));
        if !connection.is_empty() {
            text = text.replace("connection    = \"keep-alive\"\n", connection);
        }
        let ran = run::text_to_end(&text, 2);
        assert_eq!((ran.end.outcome, ran.end.exit_code), (RunOutcome::Completed, 0));
        assert_eq!(ran.total().counts.succeeded, REQUESTS);
        // What is stored names the file and not what is in it.
        let stored = std::fs::read(ran.dir.path().join("run.sqlite")).unwrap();
        let holds = |words: &[u8]| stored.windows(words.len()).any(|window| window == words);
        assert!(holds(b"ca.pem") && !holds(b"BEGIN CERTIFICATE"));
    }
    let (totals, _) = simulator::truth(simulator);
    assert_eq!(totals.completed, 2 * REQUESTS);
}

#[test]
fn a_certificate_of_another_authority_is_not_trusted() {
    let (simulator, front, dir) = scene();
    let (_other, another, _) = scene();
    let refused = |target: &str, code: i32, says: &str| {
        let file = dir.path().join("campaign.toml");
        std::fs::write(&file, campaign(&front, target)).unwrap();
        let ended =
            process::floodmark(dir.path(), &["run", "campaign.toml", "--ready-timeout", "1s"]);
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        assert!(ended.stderr.contains(says), "no {says:?} in {}", ended.stderr);
    };
    // The public authorities do not know it.
    refused("", 3, "ertificate");
    let path = dir.path().join("ca.pem");
    std::fs::write(&path, &another.authority).unwrap();
    refused(&tls_table(&path), 3, "ertificate");
    // Nor is anything sent where the file is not what it should be.
    std::fs::write(&path, "no certificate").unwrap();
    refused(&tls_table(&path), 2, "holds no certificate in PEM");
    std::fs::write(&path, format!("{}-----BEGIN PRIVATE KEY-----", front.authority)).unwrap();
    refused(&tls_table(&path), 2, "holds a private key");
    refused(&tls_table(&dir.path().join("none.pem")), 2, "cannot read");
    refused("tls = { ca = \"ca.pem\", verify = false }", 2, "valid keys: ca, cert, key");
    assert_eq!(simulator::truth(simulator).0.received, 0);
}
