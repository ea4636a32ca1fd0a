use std::collections::BTreeMap;
use std::sync::Arc;

use proto::link::{ClientIdentity, Dialer, Identity, LinkError, listen};
use tokio_stream::StreamExt;

use super::*;
use crate::clock::wall_now;

const DAY_MS: u64 = 86_400_000;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn issue_in(dir: &Path, role: Role, text: &str, days: u32) -> Result<Issued, PkiError> {
    let name = name(text);
    let request = Request { role, name: &name, dir, out: dir, days };
    issue(&request, wall_now())
}

fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect()
}

#[tokio::test]
async fn issued_certificates_link_a_coordinator_to_an_agent() {
    let dir = tempfile::tempdir().unwrap();
    init(dir.path(), 3650, wall_now()).unwrap();
    let agent = issue_in(dir.path(), Role::Agent, "gpu-1", 30).unwrap();
    let lab = issue_in(dir.path(), Role::Coordinator, "lab", 30).unwrap();

    let permitted = Some([name("lab")].into());
    let identity = Identity::load(&agent.cert, &agent.key, &agent.peer_ca, permitted).unwrap();
    let listener = listen(([127, 0, 0, 1], 0).into(), Some(identity)).unwrap();
    let dialer = Dialer::Tls {
        host: "127.0.0.1".to_owned(),
        port: listener.local_addr().port(),
        identity: Arc::new(ClientIdentity::load(&lab.cert, &lab.key, &lab.peer_ca).unwrap()),
    };
    let mut incoming = listener.into_incoming();
    let agent = tokio::spawn(async move {
        let mut accepted = incoming.next().await.unwrap().unwrap();
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        tokio::io::AsyncWriteExt::write_all(&mut accepted, &settings).await.unwrap();
        tokio::io::AsyncWriteExt::flush(&mut accepted).await.unwrap();
        accepted
    });
    let (_channel, certificate) = dialer.connect(std::time::Duration::from_secs(10)).await.unwrap();
    let certificate = certificate.unwrap();
    assert_eq!(certificate.role, Role::Agent);
    assert_eq!(certificate.name, name("gpu-1"));
    drop(agent.await.unwrap());
}

#[test]
fn an_agents_files_do_not_make_a_coordinator() {
    let dir = tempfile::tempdir().unwrap();
    init(dir.path(), 3650, wall_now()).unwrap();
    let agent = issue_in(dir.path(), Role::Agent, "gpu-1", 30).unwrap();
    let error = ClientIdentity::load(&agent.cert, &agent.key, &agent.peer_ca).unwrap_err();
    assert!(matches!(error, LinkError::WrongCertificate { .. }), "{error}");
}

#[test]
fn nothing_is_overwritten_and_a_failure_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    std::fs::write(path.join("agent-ca.pem"), "mine").unwrap();
    let before = contents(path);
    assert!(matches!(init(path, 10, wall_now()), Err(PkiError::Exists { .. })));
    assert_eq!(contents(path), before);

    std::fs::remove_file(path.join("agent-ca.pem")).unwrap();
    init(path, 10, wall_now()).unwrap();
    issue_in(path, Role::Agent, "gpu-1", 5).unwrap();
    let before = contents(path);
    let again = issue_in(path, Role::Agent, "gpu-1", 5);
    assert!(matches!(again, Err(PkiError::Exists { .. })));
    let ca = issue_in(path, Role::Agent, "ca", 5);
    assert!(matches!(ca, Err(PkiError::ReservedName { .. })));
    assert_eq!(contents(path), before);
}

#[cfg(unix)]
#[test]
fn keys_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    init(dir.path(), 10, wall_now()).unwrap();
    issue_in(dir.path(), Role::Coordinator, "lab", 5).unwrap();
    let keys: Vec<PathBuf> = contents(dir.path())
        .into_keys()
        .filter(|path| path.extension().is_some_and(|extension| extension == "key"))
        .collect();
    assert_eq!(keys.len(), 3);
    for key in keys {
        let mode = std::fs::metadata(&key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", key.display());
    }
}

#[test]
fn the_peers_issuer_goes_with_a_certificate_that_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let out = tempfile::tempdir().unwrap();
    init(dir.path(), 10, wall_now()).unwrap();
    let gpu = name("gpu-1");
    let request = Request {
        role: Role::Agent,
        name: &gpu,
        dir: dir.path(),
        out: &out.path().join("for-gpu-1"),
        days: 5,
    };
    let issued = issue(&request, wall_now()).unwrap();
    let read = |path: &Path| std::fs::read(path).unwrap();
    let original = dir.path().join("coordinator-ca.pem");
    assert_eq!(read(&issued.peer_ca), read(&original));

    let another = name("gpu-2");
    let same_place = Request { name: &another, ..request };
    issue(&same_place, wall_now()).unwrap();

    std::fs::write(&issued.peer_ca, "another fleet's").unwrap();
    let third = name("gpu-3");
    let mixed = Request { name: &third, ..same_place };
    assert!(matches!(issue(&mixed, wall_now()), Err(PkiError::Exists { .. })));
}

#[test]
fn a_certificate_carries_what_its_role_needs_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let now = UnixMs(1_800_000_000_000);
    init(dir.path(), 3650, now).unwrap();
    let gpu = name("gpu-1");
    let request =
        Request { role: Role::Agent, name: &gpu, dir: dir.path(), out: dir.path(), days: 30 };
    let issued = issue(&request, now).unwrap();
    let text = std::fs::read(&issued.cert).unwrap();
    let (_, pem) = parse_x509_pem(&text).unwrap();
    let leaf = pem.parse_x509().unwrap();
    assert_eq!(leaf.validity().not_before.timestamp(), 1_800_000_000 - 300);
    assert_eq!(leaf.validity().not_after.timestamp(), 1_800_000_000 + 30 * 86_400);
    assert!(!leaf.is_ca());
    assert!(leaf.raw_serial().len() >= 16);
    let usage = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && !usage.client_auth && !usage.any);
    let key_usage = leaf.key_usage().unwrap().unwrap().value;
    assert!(key_usage.digital_signature() && !key_usage.key_cert_sign());

    let text = std::fs::read(dir.path().join("agent-ca.pem")).unwrap();
    let (_, pem) = parse_x509_pem(&text).unwrap();
    let ca = pem.parse_x509().unwrap();
    let constraints = ca.basic_constraints().unwrap().unwrap().value;
    assert!(constraints.ca);
    assert_eq!(constraints.path_len_constraint, Some(0));
    assert_ne!(ca.raw_serial(), leaf.raw_serial());
}

#[test]
fn a_certificate_never_outlives_its_issuer() {
    let dir = tempfile::tempdir().unwrap();
    let now = wall_now();
    init(dir.path(), 10, now).unwrap();
    let issued = issue_in(dir.path(), Role::Agent, "gpu-1", 30).unwrap();
    let ends_s = i64::try_from((now.0 + 10 * DAY_MS) / 1_000).unwrap();
    assert_eq!(issued.until.unix_timestamp(), ends_s);

    let gpu = name("gpu-2");
    let request =
        Request { role: Role::Agent, name: &gpu, dir: dir.path(), out: dir.path(), days: 1 };
    let later = UnixMs(now.0 + 11 * DAY_MS);
    assert!(matches!(issue(&request, later), Err(PkiError::Expired { .. })));
}

#[test]
fn an_issuer_that_is_missing_or_mixed_up_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = issue_in(dir.path(), Role::Agent, "gpu-1", 30).unwrap_err();
    assert!(error.to_string().contains("floodmark pki init"), "{error}");
    assert!(error.is_usage());

    init(dir.path(), 10, wall_now()).unwrap();
    let file = |name: &str| dir.path().join(name);
    std::fs::copy(file("coordinator-ca.key"), file("agent-ca.key")).unwrap();
    let error = issue_in(dir.path(), Role::Agent, "gpu-1", 30).unwrap_err();
    assert!(error.to_string().contains("agent-ca.key"), "{error}");
    assert!(matches!(error, PkiError::BadIssuer { .. }), "{error}");
}
