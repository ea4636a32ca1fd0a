//! Which agents do the work: `host:port,…`, `dns:NAME:PORT`, or agents inside the coordinator.
//! Nothing here looks a name up.

use std::collections::BTreeSet;
use std::fmt;

use common::target::{BaseUrl, Host};

use crate::campaign::{Place, Problem, Problems, clip};

/// Which agents do the work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentsSpec {
    /// So many agents inside the coordinator's process; at least one.
    Embedded(u32),
    /// These agents; at least one, none twice.
    List(Vec<HostPort>),
    /// An agent at every address of a DNS name, looked up when the run begins.
    Dns {
        /// The name, lower case.
        name: String,
        /// TCP port.
        port: u16,
    },
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// A DNS name or an address.
    pub host: Host,
    /// TCP port.
    pub port: u16,
}

impl AgentsSpec {
    /// The most agents of one run.
    pub const AGENTS_MAX: u32 = 1000;

    /// Reads the value of `--agents`, or of the environment variable that stands for it.
    pub fn parse(place: &Place, text: &str) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let mut refuse = |entry: &str, what: String| {
            problems.add(Problem {
                place: place.clone(),
                key: String::new(),
                value: Some(format!("\"{}\"", clip(entry))),
                what,
            });
        };
        let entries: Vec<&str> = text.split(',').map(str::trim).collect();
        let spec = if entries.len() > Self::AGENTS_MAX as usize {
            refuse(text, format!("more than {} agents", Self::AGENTS_MAX));
            None
        } else if let ([entry], Some(name)) = (&*entries, text.trim().strip_prefix("dns:")) {
            dns(name).map_err(|what| refuse(entry, what)).ok()
        } else {
            let mut seen = BTreeSet::new();
            let mut list = Vec::new();
            for entry in entries {
                match address(entry) {
                    Ok(address) if seen.insert(address.to_string()) => list.push(address),
                    Ok(_) => refuse(entry, "is named twice; name every agent once".to_owned()),
                    Err(what) => refuse(entry, what),
                }
            }
            Some(Self::List(list))
        };
        match spec {
            Some(spec) if problems.is_empty() => Ok(spec),
            Some(_) | None => Err(problems),
        }
    }

    /// How many agents there are, where that is known before a name is looked up.
    pub fn count(&self) -> Option<u32> {
        match self {
            Self::Embedded(count) => Some(*count),
            Self::List(agents) => u32::try_from(agents.len()).ok(),
            Self::Dns { .. } => None,
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

fn dns(text: &str) -> Result<AgentsSpec, String> {
    let address = address(text).map_err(|_| "write dns:NAME:PORT".to_owned())?;
    match address.host {
        Host::Name(name) => Ok(AgentsSpec::Dns { name, port: address.port }),
        Host::V4(_) | Host::V6(_) => {
            Err("is an address, not a DNS name; write it without dns:".to_owned())
        }
    }
}

fn address(text: &str) -> Result<HostPort, String> {
    let right = "write HOST:PORT, for example 10.0.0.7:7070";
    if text.starts_with("dns:") {
        return Err("stands alone; write dns:NAME:PORT without other agents".to_owned());
    }
    if text.contains("://") || text.contains('/') {
        return Err(format!("is a URL, not an agent's address; {right}"));
    }
    let has_port = text.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    if !has_port {
        return Err(format!("has no port; {right}"));
    }
    // An agent's host and port follow the same strict rules as a target's.
    let url: BaseUrl =
        format!("http://{text}").parse().map_err(|error| format!("{error}; {right}"))?;
    Ok(HostPort { host: url.host, port: url.port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<AgentsSpec, Problems> {
        AgentsSpec::parse(&Place::Flag("--agents".to_owned()), text)
    }

    #[test]
    fn lists_and_names_are_read() {
        let shown = |text: &str| match parse(text).unwrap() {
            AgentsSpec::Embedded(_) => unreachable!("--agents names no embedded agent"),
            AgentsSpec::List(agents) => agents.iter().map(HostPort::to_string).collect(),
            AgentsSpec::Dns { name, port } => vec![format!("dns {name} {port}")],
        };
        assert_eq!(shown("gpu1:7070"), ["gpu1:7070"]);
        assert_eq!(
            shown("10.0.0.1:80, [::1]:7070,B.example:1"),
            ["10.0.0.1:80", "[::1]:7070", "b.example:1"]
        );
        assert_eq!(shown("dns:floodmark-agents:7070"), ["dns floodmark-agents 7070"]);
        assert_eq!(parse("a:1,b:1").unwrap().count(), Some(2));
        assert_eq!(parse("dns:a:1").unwrap().count(), None);
    }

    #[test]
    fn every_bad_entry_is_named() {
        let refusal =
            parse("gpu1,gpu2:0,ok:1,ok:1,http://x:1,,dns:a:1,127.1:5").unwrap_err().to_string();
        assert_eq!(
            refusal,
            r#"--agents: "gpu1": has no port; write HOST:PORT, for example 10.0.0.7:7070
--agents: "gpu2:0": "0" is not a port: use 1 to 65535; write HOST:PORT, for example 10.0.0.7:7070
--agents: "ok:1": is named twice; name every agent once
--agents: "http://x:1": is a URL, not an agent's address; write HOST:PORT, for example 10.0.0.7:7070
--agents: "": has no port; write HOST:PORT, for example 10.0.0.7:7070
--agents: "dns:a:1": stands alone; write dns:NAME:PORT without other agents
--agents: "127.1:5": "127.1" is not a host: use a DNS name, a dotted IPv4 address or [IPv6]; write HOST:PORT, for example 10.0.0.7:7070
7 problems"#
        );
        for text in ["dns:a", "dns:1.2.3.4:5", "dns::1"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
