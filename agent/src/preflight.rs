//! Whether this host can do what an assignment asks, found out before anything is sent.

mod host;
mod needs;

use std::net::SocketAddr;
use std::time::Duration;

use common::arrivals::Arrivals;
use common::assignment::Assignment;
use common::target::{self, BaseUrl};
use proto::secrets::ClientCertificate;
use rustix::process::{Resource, getrlimit, setrlimit};

pub use self::host::Host;
pub(crate) use self::needs::FDS_RESERVED;
pub use self::needs::{Check, Needs};
use crate::https;
use crate::load::Route;
use crate::policy::Policy;

const RESOLVE_TIMEOUT: Duration = Duration::from_secs(3);

/// Raises the limit of open files to what the system allows without privileges.
pub fn raise_fd_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // A refusal leaves the old limit, which arming checks against.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Resolves and checks the target, and checks this host against the assignment.
///
/// # Errors
/// Every reason why the level cannot be run here, each with what to do.
pub(crate) async fn check(
    assignment: &Assignment,
    client: Option<&ClientCertificate>,
    policy: &Policy,
    workers: u32,
) -> Result<Vec<Route>, Vec<String>> {
    let target = &assignment.target;
    let mut reasons = Vec::new();
    // Of the target whose connections come from the fewest addresses.
    let mut sources_least = usize::MAX;
    let config = if target.base_urls().any(|url| url.tls) {
        https::config(target, client).map(Some).unwrap_or_else(|reason| {
            reasons.push(reason);
            None
        })
    } else {
        None
    };
    let mut routes = Vec::new();
    for url in target.base_urls() {
        let addresses = resolve(url).await.unwrap_or_else(|reason| {
            reasons.push(reason);
            Vec::new()
        });
        reasons.extend(addresses.iter().filter_map(|address| policy.permits(*address).err()));
        let tls = match config.as_ref().filter(|_| url.tls) {
            None => None,
            Some(config) => https::to(url, config).map(Some).unwrap_or_else(|reason| {
                reasons.push(reason);
                None
            }),
        };
        let mut sources = Vec::new();
        for address in &addresses {
            match policy.sources.towards(*address) {
                Ok(found) => {
                    sources_least = sources_least.min(found.len());
                    sources.extend(found);
                }
                Err(reason) => reasons.push(reason),
            }
        }
        sources.sort_unstable();
        sources.dedup();
        routes.push(Route { addresses, sources, tls });
    }
    let sources = if sources_least == usize::MAX { 1 } else { sources_least.max(1) };
    let mut reasons = [check_host(assignment, policy, workers, sources), reasons].concat();
    reasons.dedup();
    if reasons.is_empty() { Ok(routes) } else { Err(reasons) }
}

/// Checks this host against the assignment, whatever it loads, from so many addresses.
pub(crate) fn check_host(
    assignment: &Assignment,
    policy: &Policy,
    workers: u32,
    sources: usize,
) -> Vec<String> {
    let users = assignment.share.count;
    let mut reasons: Vec<_> = too_few_slots(assignment, workers).into_iter().collect();
    if users > policy.users_max {
        reasons.push(format!(
            "{users} users are more than this agent's ceiling of {}; raise `users_max` in its \
             configuration file or use more agents",
            policy.users_max
        ));
    }
    let host = Host { cpus: policy.cpus, ..Host::look() };
    let checks = Needs::of(assignment, workers, sources).against(&host);
    reasons.extend(checks.into_iter().filter_map(|check| check.lack));
    reasons
}

/// Every worker makes its part of the arrivals of an open loop, so each needs a connection.
fn too_few_slots(assignment: &Assignment, workers: u32) -> Option<String> {
    match assignment.load.arrivals {
        Arrivals::Open(_) if assignment.share.count < workers => Some(format!(
            "this agent may have {} of the {} requests in flight, fewer than its {workers} \
             workers, each of which makes a part of the arrivals; allow more requests in flight, \
             or use fewer agents or agents with fewer workers",
            assignment.share.count, assignment.load.users
        )),
        Arrivals::Open(_) | Arrivals::Closed { .. } => None,
    }
}

async fn resolve(base_url: &BaseUrl) -> Result<Vec<SocketAddr>, String> {
    let port = base_url.port;
    let name = match &base_url.host {
        target::Host::V4(address) => return Ok(vec![SocketAddr::from((*address, port))]),
        target::Host::V6(address) => return Ok(vec![SocketAddr::from((*address, port))]),
        target::Host::Name(name) => name,
    };
    let lookup = tokio::net::lookup_host((name.as_str(), port));
    match tokio::time::timeout(RESOLVE_TIMEOUT, lookup).await {
        Ok(Ok(found)) => {
            let addresses: Vec<_> = found.take(16).collect();
            if addresses.is_empty() { Err(format!("{name} has no address")) } else { Ok(addresses) }
        }
        Ok(Err(error)) => Err(format!("{name} does not resolve on this agent: {error}")),
        Err(_) => Err(format!("{name} did not resolve on this agent within 3 s")),
    }
}

/// The range of local ports; `None` where the system does not say.
pub(crate) fn local_ports() -> Option<(u16, u16)> {
    host::Ports::look().map(|ports| (ports.low, ports.high))
}

#[cfg(test)]
mod tests {
    use common::arrivals::{Law, PerSecond, Rate, Schedule};
    use common::trust::Authorities;

    use super::*;
    use crate::testing::assignment;

    #[tokio::test]
    async fn an_open_loop_needs_a_connection_for_every_worker() {
        let policy = Policy::new(100, Duration::MAX);
        let mut assignment = assignment("http://127.0.0.1:8000");
        assignment.load.users = 7;
        assignment.share = assignment.load.share(1, 2);
        let mut open = assignment.clone();
        let rate = Rate::Flat(PerSecond(1_000_000));
        open.load.arrivals = Arrivals::Open(Schedule { law: Law::Poisson, rate });
        assert!(check(&assignment, None, &policy, 4).await.is_ok());
        assert!(check(&open, None, &policy, 3).await.is_ok());
        let reasons = check(&open, None, &policy, 4).await.err().unwrap();
        assert_eq!(reasons.len(), 1);
        let reason = &reasons[0];
        assert!(reason.contains("3 of the 7 requests in flight"), "{reason}");
        assert!(reason.contains("its 4 workers") && reason.contains("fewer agents"), "{reason}");
    }

    #[tokio::test]
    async fn an_authority_that_cannot_be_read_is_a_reason_not_to_arm() {
        let policy = Policy::new(100, Duration::MAX);
        let mut assignment = assignment("https://127.0.0.1:8000");
        let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let begin = "-----BEGIN CERTIFICATE-----\n";
        for (pem, readable) in [
            (own.cert.pem(), true),
            (begin.to_owned(), false),
            (format!("{begin}!\n-----END CERTIFICATE-----\n"), false),
            (format!("{begin}MA==\n-----END CERTIFICATE-----\n"), false),
        ] {
            assignment.target.authorities = Some(Authorities::new(pem.clone()).unwrap());
            match check(&assignment, None, &policy, 1).await {
                Ok(routes) => assert!(readable && routes[0].tls.is_some(), "{pem}"),
                Err(reasons) => {
                    assert!(!readable && reasons[0].contains("target.tls.ca"), "{reasons:?}");
                }
            }
        }
    }
}
