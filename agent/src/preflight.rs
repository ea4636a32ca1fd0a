//! Whether this host can do what an assignment asks, found out before anything is sent.

use std::net::SocketAddr;
use std::time::Duration;

use common::arrivals::Arrivals;
use common::assignment::Assignment;
use common::target::{BaseUrl, Host, Target};
use proto::secrets::ClientCertificate;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::https;
use crate::images;
use crate::load::Route;
use crate::policy::Policy;

/// Descriptors that are not for users: logs, the control plane, the runtime.
const FDS_RESERVED: u64 = 256;
/// Share of the local ports towards one destination that a level may use.
const PORTS_SHARE: f64 = 0.9;
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
    let mut reasons = check_host(assignment, policy, workers);
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
        routes.push(Route { addresses, tls });
    }
    if reasons.is_empty() { Ok(routes) } else { Err(reasons) }
}

/// Checks this host against the assignment, whatever it loads.
pub(crate) fn check_host(assignment: &Assignment, policy: &Policy, workers: u32) -> Vec<String> {
    let users = assignment.share.count;
    let mut reasons: Vec<_> = too_few_slots(assignment, workers).into_iter().collect();
    if users > policy.users_max {
        reasons.push(format!(
            "{users} users are more than this agent's ceiling of {}; raise `users_max` in its \
             configuration file or use more agents",
            policy.users_max
        ));
    }
    // A simulator of the agent's own holds the other end of every connection.
    let (ends, whose) = match assignment.proof {
        None => (1, ""),
        Some(_) => (2, " of a client proof"),
    };
    // A user has a connection to each base URL; those of a proof are one.
    let urls = match assignment.proof {
        None => assignment.target.base_urls().count() as u64,
        Some(_) => 1,
    };
    let fds_needed =
        u64::from(users) * urls * ends + images::connections(assignment) + FDS_RESERVED;
    let fds = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if fds < fds_needed {
        reasons.push(format!(
            "{users} users{whose} need {fds_needed} open files, the limit is {fds}; raise it with \
             LimitNOFILE= in the unit or `ulimit -n {fds_needed}`"
        ));
    }
    if let Some((low, high)) = local_ports() {
        let ports = f64::from(high.saturating_sub(low)) + 1.0;
        if f64::from(users) * f64::from(same_place(&assignment.target)) > ports * PORTS_SHARE {
            reasons.push(format!(
                "{users} users{whose} need more local ports than 90 % of {low}-{high}; widen it \
                 with `sysctl net.ipv4.ip_local_port_range=\"1024 65535\"` or use more agents"
            ));
        }
    }
    reasons
}

/// The most base URLs that lie at one host and port: their connections share its local ports.
fn same_place(target: &Target) -> u32 {
    let mut urls: Vec<String> = target.base_urls().map(BaseUrl::authority).collect();
    urls.sort();
    let most = urls.chunk_by(|a, b| a == b).map(<[String]>::len).max().unwrap_or(1);
    u32::try_from(most).unwrap_or(u32::MAX)
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
        Host::V4(address) => return Ok(vec![SocketAddr::from((*address, port))]),
        Host::V6(address) => return Ok(vec![SocketAddr::from((*address, port))]),
        Host::Name(name) => name,
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
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut numbers = text.split_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use common::arrivals::{Law, PerSecond, Rate, Schedule};
    use common::assignment::Pace;
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

    #[test]
    fn a_client_proof_needs_both_ends_of_every_connection() {
        let policy = Policy::new(100, Duration::MAX);
        let mut assignment = assignment("http://127.0.0.1:8000");
        let fds = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        assignment.share.count = u32::try_from(fds - FDS_RESERVED).unwrap_or(u32::MAX);
        let lacks_files = |assignment: &Assignment| {
            let reasons = check_host(assignment, &policy, 1);
            reasons.iter().any(|reason| reason.contains("of a client proof need"))
        };
        assert!(!lacks_files(&assignment));
        assignment.proof = Some(Pace { ttft: Duration::ZERO, itl: Duration::ZERO });
        assert!(fds > u64::from(u32::MAX) || lacks_files(&assignment));
    }
}
