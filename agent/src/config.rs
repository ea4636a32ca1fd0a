//! The agent's configuration: one TOML file, overlaid by flags.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::duration::parse_duration;
use common::ids::Name;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::pin::Pin;
use crate::policy::{Allowed, AllowedTarget, Policy};
use crate::sources::Sources;

/// Where an agent listens if nothing else is said.
pub const LISTEN_DEFAULT: &str = "127.0.0.1:7070";
/// Users at once if nothing else is said.
pub const USERS_MAX_DEFAULT: u32 = 10_000;
/// Length of a run if nothing else is said.
pub const RUN_MAX_DEFAULT: Duration = Duration::from_secs(24 * 3600);

/// A valid configuration.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The agent's name.
    pub name: Name,
    /// Worker threads.
    pub workers: u32,
    /// What they are bound to, if they are.
    pub pin: Option<Pin>,
    /// Certificates; `None` only makes sense on loopback.
    pub tls: Option<TlsFiles>,
    /// What it lets a coordinator do.
    pub policy: Policy,
    /// Where it keeps what it finds out about its host.
    pub state_dir: Option<PathBuf>,
}

/// The files of mutual TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The agent's certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The issuer of coordinators' certificates.
    pub ca: PathBuf,
    /// Coordinators that may command this agent; `None` for all that the issuer vouches for.
    pub coordinators: Option<BTreeSet<Name>>,
}

/// What the command line may overlay.
#[derive(Clone, Debug, Default)]
pub struct Overlay {
    /// `--listen`.
    pub listen: Option<String>,
    /// `--name`.
    pub name: Option<String>,
    /// `--workers`.
    pub workers: Option<u32>,
    /// `--pin`.
    pub pin: Option<String>,
    /// `--source-address`, each.
    pub source_addresses: Vec<String>,
    /// `--state-dir`.
    pub state_dir: Option<PathBuf>,
    /// `--tls-cert`.
    pub tls_cert: Option<PathBuf>,
    /// `--tls-key`.
    pub tls_key: Option<PathBuf>,
    /// `--tls-ca`.
    pub tls_ca: Option<PathBuf>,
}

/// What the file may hold.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<String>,
    name: Option<String>,
    workers: Option<u32>,
    pin: Option<String>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    tls_ca: Option<PathBuf>,
    coordinators: Option<Vec<String>>,
    targets: Option<Vec<String>>,
    users_max: Option<u32>,
    run_max: Option<String>,
    images_listen: Option<String>,
    source_addresses: Option<SourceAddresses>,
    state_dir: Option<PathBuf>,
}

/// A list, or one text.
#[derive(Debug)]
struct SourceAddresses(Vec<String>);

impl<'de> Deserialize<'de> for SourceAddresses {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = toml::Value::deserialize(from)?;
        match value.as_str() {
            Some(one) => Ok(Self(vec![one.to_owned()])),
            None => value.try_into().map(Self).map_err(D::Error::custom),
        }
    }
}

/// Everything that is wrong with a configuration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

impl AgentConfig {
    /// Resolves file and flags. `host` names the agent if nothing else does; `cores` gives it its
    /// workers.
    ///
    /// # Errors
    /// All problems at once.
    pub fn resolve(
        file: Option<(&Path, &str)>,
        overlay: Overlay,
        host: &str,
        cores: u32,
    ) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let at = file.map_or_else(|| "flags".to_owned(), |(path, _)| path.display().to_string());
        let raw = match file {
            None => File::default(),
            Some((_, text)) => toml::from_str(text).unwrap_or_else(|error: toml::de::Error| {
                problems.push(format!("{at}: {}", error.to_string().trim_end()));
                File::default()
            }),
        };
        let mut keep = Keep { at: &at, problems: &mut problems };
        let listen = overlay.listen.or(raw.listen).unwrap_or_else(|| LISTEN_DEFAULT.to_owned());
        let listen = keep.parsed("listen", &listen, "an address and a port such as 0.0.0.0:7070");
        let name = overlay.name.or(raw.name).unwrap_or_else(|| name_of(host));
        let name = keep.parsed("name", &name, "1 to 64 letters, digits, dots, dashes");
        let pin = match overlay.pin.or(raw.pin) {
            None => Some(None),
            Some(text) => {
                keep.parsed("pin", &text, "\"auto\" or processors such as \"2-5,8\"").map(Some)
            }
        };
        // Processors that are named are as many workers as there are to be, unless those are too.
        let named = match pin.as_ref().and_then(Option::as_ref) {
            Some(Pin::These(processors)) => u32::try_from(processors.list().len()).ok(),
            Some(Pin::Auto) | None => None,
        };
        let workers = overlay.workers.or(raw.workers).or(named).unwrap_or(cores.max(1));
        let workers = keep.that("workers", workers, (1..=1024).contains(&workers), "1 to 1024");
        let targets = raw.targets.unwrap_or_default();
        let targets: Option<Vec<AllowedTarget>> = targets
            .iter()
            .map(|text| keep.parsed("targets", text, "such as \"10.0.0.5:8000\" or \"10.0.0.0/8\""))
            .collect();
        let users_max = raw.users_max.unwrap_or(USERS_MAX_DEFAULT);
        let users_max = keep.that("users_max", users_max, users_max > 0, "at least 1");
        let run_max = match raw.run_max.as_deref().map(parse_duration) {
            None => Some(RUN_MAX_DEFAULT),
            Some(Ok(length)) => Some(length),
            Some(Err(error)) => keep.problem("run_max", &error.to_string()),
        };
        let images_listen = match &raw.images_listen {
            None => Some(None),
            Some(text) => {
                let wanted = "an address and a port such as 10.0.0.7:7080 or 0.0.0.0:0";
                keep.parsed("images_listen", text, wanted).map(Some)
            }
        };
        let listed = match raw.source_addresses {
            _ if !overlay.source_addresses.is_empty() => overlay.source_addresses,
            None => Vec::new(),
            Some(SourceAddresses(list)) => list,
        };
        let sources = match Sources::parse(&listed) {
            Ok(sources) => Some(sources),
            Err(error) => keep.problem("source_addresses", &error.to_string()),
        };
        let coordinators = raw.coordinators.map(|names| {
            let names = names.iter();
            names.filter_map(|n| keep.parsed("coordinators", n, "names of coordinators")).collect()
        });
        let files = (
            overlay.tls_cert.or(raw.tls_cert),
            overlay.tls_key.or(raw.tls_key),
            overlay.tls_ca.or(raw.tls_ca),
        );
        let tls = match files {
            (Some(cert), Some(key), Some(ca)) => Some(TlsFiles { cert, key, ca, coordinators }),
            (None, None, None) => None,
            (Some(_) | None, Some(_) | None, Some(_) | None) => {
                keep.problem("tls_cert, tls_key, tls_ca", "give all three or none")
            }
        };
        let config = (|| {
            let policy = Policy {
                targets: Allowed::List(targets?),
                users_max: users_max?,
                run_max: run_max?,
                images_listen: images_listen?,
                sources: sources?,
                cpus: Some(cores.max(1)),
            };
            let state_dir = overlay.state_dir.or(raw.state_dir);
            let (listen, name, workers, pin) = (listen?, name?, workers?, pin?);
            Some(Self { listen, name, workers, pin, tls, policy, state_dir })
        })();
        config.filter(|_| problems.is_empty()).ok_or(ConfigError(problems))
    }
}

struct Keep<'a> {
    at: &'a str,
    problems: &'a mut Vec<String>,
}

impl Keep<'_> {
    fn problem<T>(&mut self, key: &str, what: &str) -> Option<T> {
        self.problems.push(format!("{}: {key}: {what}", self.at));
        None
    }

    fn parsed<T: std::str::FromStr>(&mut self, key: &str, text: &str, wanted: &str) -> Option<T> {
        match text.parse() {
            Ok(value) => Some(value),
            Err(_) => self.problem(key, &format!("{text:?} is not {wanted}")),
        }
    }

    fn that<T: std::fmt::Display>(&mut self, key: &str, v: T, ok: bool, want: &str) -> Option<T> {
        if ok { Some(v) } else { self.problem(key, &format!("{v} is not {want}")) }
    }
}

/// A host's name made into an agent's: the characters that a name cannot have become dashes.
fn name_of(host: &str) -> String {
    let name: String = host
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
        .skip_while(|c| !c.is_ascii_alphanumeric())
        .take(Name::LEN_MAX)
        .collect();
    if name.is_empty() { "agent".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<AgentConfig, ConfigError> {
        let file = Some((Path::new("agent.toml"), text));
        AgentConfig::resolve(file, Overlay::default(), "host_1.example", 4)
    }

    #[test]
    fn an_empty_file_is_a_loopback_agent_that_loads_loopback_only() {
        let config = resolve("").unwrap();
        assert_eq!(config.listen.to_string(), LISTEN_DEFAULT);
        assert_eq!(config.name.as_str(), "host-1.example");
        assert_eq!((config.workers, config.tls.is_none()), (4, true));
        assert!(config.policy.permits("10.0.0.1:80".parse().unwrap()).is_err());
    }

    #[test]
    fn the_shipped_sample_is_valid() {
        let config = resolve(include_str!("../../deploy/agent.toml")).unwrap();
        assert!(config.tls.is_some());
    }

    #[test]
    fn processors_that_are_named_are_as_many_workers() {
        for (text, workers) in
            [("pin = \"2-4\"", 3), ("pin = \"2-4\"\nworkers = 2", 2), ("pin = \"auto\"", 4)]
        {
            let config = resolve(text).unwrap();
            assert!(config.workers == workers && config.pin.is_some(), "{text}");
        }
        assert_eq!(resolve("").unwrap().pin, None);
    }

    #[test]
    fn source_addresses_are_a_list_or_all() {
        let of = |value: &str| {
            let config = resolve(&format!("source_addresses = {value}"));
            config.map(|config| config.policy.sources).map_err(|error| error.to_string())
        };
        assert_eq!(of("\"all\""), Ok(Sources::All));
        let listed = ["10.0.0.5", "10.0.0.6"].map(|text| text.parse().unwrap());
        assert_eq!(of("[\"10.0.0.5\", \"10.0.0.6\"]"), Ok(Sources::Listed(listed.into())));
        assert!(of("7").unwrap_err().contains("source_addresses"));
    }

    #[test]
    fn flags_win_over_the_file() {
        let overlay = Overlay {
            listen: Some("127.0.0.1:9".to_owned()),
            name: Some("b".to_owned()),
            workers: Some(2),
            tls_key: Some("new.key".into()),
            ..Overlay::default()
        };
        let text = "listen = \"0.0.0.0:1\"\nname = \"a\"\nworkers = 7\n\
                    tls_cert = \"a.pem\"\ntls_key = \"a.key\"\ntls_ca = \"ca.pem\"";
        let config = AgentConfig::resolve(Some((Path::new("x"), text)), overlay, "h", 1).unwrap();
        assert_eq!(config.listen.port(), 9);
        assert_eq!((config.name.as_str(), config.workers), ("b", 2));
        let tls = config.tls.unwrap();
        let files = [tls.cert, tls.key, tls.ca];
        assert_eq!(files, ["a.pem", "new.key", "ca.pem"].map(PathBuf::from));
    }

    #[test]
    fn all_problems_come_at_once() {
        let error = resolve(
            "listen = \"here\"\nname = \"-\"\npin = \"all\"\nworkers = 0\ntargets = [\"gpu1:80\"]\n\
             users_max = 0\nrun_max = \"5\"\nimages_listen = \"a\"\nsource_addresses = [\"b\"]\ntls_cert = \"x\"\ncoordinators = [\"a b\"]",
        )
        .unwrap_err();
        let keys: Vec<&str> = error.0.iter().map(|p| p.split(": ").nth(1).unwrap()).collect();
        assert_eq!(
            keys,
            [
                "listen",
                "name",
                "pin",
                "workers",
                "targets",
                "users_max",
                "run_max",
                "images_listen",
                "source_addresses",
                "coordinators",
                "tls_cert, tls_key, tls_ca"
            ]
        );
        assert!(resolve("lisden = 1").unwrap_err().to_string().contains("lisden"));
    }
}
