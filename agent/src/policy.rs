//! What this agent lets a coordinator do. The agent decides, whoever commands: targets beyond
//! loopback must be listed, and some addresses are never loaded.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

use crate::sources::Sources;

/// What an agent lets a coordinator do.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Targets that may be loaded besides loopback.
    pub targets: Allowed,
    /// Users at once, at most.
    pub users_max: u32,
    /// Length of one run, at most.
    pub run_max: Duration,
    /// Where images are served to the target; `None` for the address towards it, and a free port.
    pub images_listen: Option<SocketAddr>,
    /// Where connections to targets come from.
    pub sources: Sources,
    /// Processors that its workers may have; `None` where who starts the agent has seen to that.
    pub cpus: Option<u32>,
}

impl Policy {
    /// Loopback alone may be loaded, by so many users at once, for so long.
    pub fn new(users_max: u32, run_max: Duration) -> Self {
        let targets = Allowed::List(Vec::new());
        let sources = Sources::System;
        Self { targets, users_max, run_max, images_listen: None, sources, cpus: None }
    }
}

/// Targets that may be loaded besides loopback.
#[derive(Clone, Debug)]
pub enum Allowed {
    /// Any that is not forbidden outright: an embedded agent acts with the authority of the
    /// person who started it.
    Any,
    /// These.
    List(Vec<AllowedTarget>),
}

/// A network, and optionally one port: `10.0.0.0/8`, `10.0.0.5:8000`, `[2001:db8::]/32`,
/// `10.1.0.0/16:8000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowedTarget {
    network: IpNet,
    port: Option<u16>,
}

/// Why a text is not an [`AllowedTarget`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an address or network with an optional port, such as 10.0.0.5:8000, 10.0.0.0/8 or [2001:db8::]/32:443"
)]
pub struct AllowedTargetError(String);

impl FromStr for AllowedTarget {
    type Err = AllowedTargetError;

    fn from_str(text: &str) -> Result<Self, AllowedTargetError> {
        let bad = || AllowedTargetError(text.to_owned());
        let (host, rest) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or_else(bad)?,
            None => {
                let end = text.find(['/', ':']).unwrap_or(text.len());
                text.split_at(end)
            }
        };
        let address: IpAddr = host.parse().map_err(|_| bad())?;
        let (prefix, port) = match rest.split_once(':') {
            Some((prefix, port)) => (prefix, Some(port.parse().map_err(|_| bad())?)),
            None => (rest, None),
        };
        let network = match prefix.strip_prefix('/') {
            Some(bits) => {
                IpNet::new(address, bits.parse().map_err(|_| bad())?).map_err(|_| bad())?
            }
            None if prefix.is_empty() => IpNet::from(address),
            None => return Err(bad()),
        };
        Ok(Self { network, port })
    }
}

impl Policy {
    /// Whether a target's address may be loaded; if not, why, and what to do.
    pub fn permits(&self, address: SocketAddr) -> Result<(), String> {
        let ip = plain(address.ip());
        if let Some(kind) = forbidden(ip) {
            return Err(format!("{ip} is {kind}; such addresses are never loaded"));
        }
        let listed = match &self.targets {
            Allowed::Any => true,
            Allowed::List(list) => list.iter().any(|target| {
                target.network.contains(&ip)
                    && target.port.is_none_or(|port| port == address.port())
            }),
        };
        if listed || ip.is_loopback() {
            return Ok(());
        }
        Err(format!(
            "this agent may not load {ip} port {}; add \"{ip}:{}\" to `targets` in its \
             configuration file if it should",
            address.port(),
            address.port()
        ))
    }
}

/// The address itself where it is an IPv4 address in IPv6 clothes.
fn plain(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => nat64(v6).unwrap_or_else(|| v6.to_canonical()),
    }
}

/// The IPv4 address behind `64:ff9b::/96` (RFC 6052).
fn nat64(v6: Ipv6Addr) -> Option<IpAddr> {
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let bits = (u32::from(high) << 16) | u32::from(low);
            Some(IpAddr::V4(bits.into()))
        }
        [..] => None,
    }
}

fn forbidden(ip: IpAddr) -> Option<&'static str> {
    let (unspecified, multicast) = (ip.is_unspecified(), ip.is_multicast());
    let link_local = match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    if unspecified {
        Some("the unspecified address")
    } else if multicast {
        Some("a multicast address")
    } else if link_local {
        Some("a link-local address (cloud metadata lives there)")
    } else if broadcast {
        Some("the broadcast address")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(targets: &[&str]) -> Policy {
        let list = targets.iter().map(|t| t.parse().unwrap()).collect();
        let targets = Allowed::List(list);
        Policy { targets, ..Policy::new(1, Duration::from_secs(1)) }
    }

    #[test]
    fn only_loopback_is_open_by_default() {
        let policy = policy(&[]);
        for (address, open) in [
            ("127.0.0.1:80", true),
            ("[::1]:80", true),
            ("[::ffff:127.0.0.1]:80", true),
            ("10.0.0.5:8000", false),
            ("8.8.8.8:80", false),
            ("[2001:db8::1]:80", false),
        ] {
            assert_eq!(policy.permits(address.parse().unwrap()).is_ok(), open, "{address}");
        }
    }

    #[test]
    fn listed_targets_are_open_in_every_spelling() {
        let policy = policy(&["10.0.0.0/8:8000", "192.0.2.7", "[2001:db8::]/32:443"]);
        for (address, open) in [
            ("10.200.3.4:8000", true),
            ("10.200.3.4:8001", false),
            ("192.0.2.7:1", true),
            ("192.0.2.8:1", false),
            ("[2001:db8::9]:443", true),
            ("[2001:db8::9]:444", false),
            ("[::ffff:10.0.0.1]:8000", true),
            ("[64:ff9b::a00:1]:8000", true),
            ("[64:ff9b::a01:1]:8001", false),
        ] {
            assert_eq!(policy.permits(address.parse().unwrap()).is_ok(), open, "{address}");
        }
    }

    #[test]
    fn some_addresses_are_never_loaded() {
        let mut policy = policy(&["0.0.0.0/0", "[::]/0"]);
        for kind in [policy.targets.clone(), Allowed::Any] {
            policy.targets = kind;
            for address in [
                "169.254.169.254:80",
                "[::ffff:169.254.169.254]:80",
                "[64:ff9b::a9fe:a9fe]:80",
                "0.0.0.0:80",
                "[::]:80",
                "224.0.0.1:80",
                "[ff02::1]:80",
                "255.255.255.255:80",
                "[fe80::1]:80",
            ] {
                assert!(policy.permits(address.parse().unwrap()).is_err(), "{address}");
            }
        }
    }

    #[test]
    fn malformed_entries_are_refused() {
        for text in ["", "host", "10.0.0.0/33", "10.0.0.1:99999", "10.0.0.1x", "[::1", "10.0.0.1/"]
        {
            assert!(text.parse::<AllowedTarget>().is_err(), "{text:?}");
        }
    }
}
