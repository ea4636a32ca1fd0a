//! What a load takes of the host that makes it, against what that host has. Values only: it asks
//! the system nothing.

use common::assignment::Assignment;
use common::target::{BaseUrl, Target};

use super::host::Host;
use crate::images;

/// Descriptors that are not for users: logs, the control plane, the runtime.
pub(crate) const FDS_RESERVED: u64 = 256;
/// Percent of the local ports towards one address that a load may use.
const PORTS_PERCENT: u64 = 90;
/// Memory of an agent without users: its code, its threads, the records of a level.
const MEMORY_BASE: u64 = 64 << 20;
/// Memory of a user with its connection: 6 KiB were measured with ten thousand that stream, and what
/// the kernel buffers, longer requests and TLS come on top.
const MEMORY_PER_USER: u64 = 32 << 10;

/// What a load takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    users: u32,
    /// What the users are of, in messages.
    whose: &'static str,
    files: u64,
    /// Connections to one address and port.
    connections: u64,
    /// Addresses that they come from.
    sources: u64,
    memory: u64,
    workers: u32,
}

/// One thing that a load needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The thing.
    pub name: &'static str,
    /// How much is needed, with its unit.
    pub need: String,
    /// How much there is; `None` where the system does not say.
    pub limit: Option<String>,
    /// Why it is not enough, and the command that mends it.
    pub lack: Option<String>,
}

impl Needs {
    /// What this many users of a plain level take, with this many workers, from so many addresses.
    pub fn of_users(users: u32, workers: u32, sources: usize) -> Self {
        Self {
            users,
            whose: "",
            files: u64::from(users) + FDS_RESERVED,
            connections: users.into(),
            sources: (sources as u64).max(1),
            memory: MEMORY_BASE + u64::from(users) * MEMORY_PER_USER,
            workers,
        }
    }

    /// What an assignment takes, with this many workers, from so many addresses.
    pub(crate) fn of(assignment: &Assignment, workers: u32, sources: usize) -> Self {
        let users = assignment.share.count;
        // A simulator of the agent's own holds the other end of every connection.
        let (ends, whose) = match assignment.proof {
            None => (1, ""),
            Some(_) => (2, " of a client proof"),
        };
        // A user has a connection to each base URL; those of a proof are one.
        let (urls, at_one_place) = match assignment.proof {
            None => {
                let target = &assignment.target;
                (target.base_urls().count() as u64, same_place(target))
            }
            Some(_) => (1, 1),
        };
        let connections = u64::from(users) * urls * ends;
        Self {
            whose,
            files: connections + images::connections(assignment) + FDS_RESERVED,
            connections: u64::from(users) * at_one_place,
            memory: MEMORY_BASE + connections * MEMORY_PER_USER,
            ..Self::of_users(users, workers, sources)
        }
    }

    /// Everything that it needs, against what `host` has.
    pub fn against(&self, host: &Host) -> Vec<Check> {
        vec![self.files(host), self.ports(host), self.memory(host), self.cores(host)]
    }

    fn files(&self, host: &Host) -> Check {
        let (needed, limit) = (self.files, host.files);
        let lack = || {
            format!(
                "{} users{} need {needed} open files, the limit is {limit}; raise it with \
                 LimitNOFILE={needed} in the unit or `ulimit -n {needed}`",
                self.users, self.whose
            )
        };
        let shown = if limit == u64::MAX { "no limit".to_owned() } else { limit.to_string() };
        check("open files", needed.to_string(), Some(shown), (needed > limit).then(lack))
    }

    fn ports(&self, host: &Host) -> Check {
        // Users are dealt out to the addresses in turn.
        let needed = self.connections.div_ceil(self.sources);
        let Some(ports) = host.ports else {
            return check("local ports", needed.to_string(), None, None);
        };
        let limit = ports.count * PORTS_PERCENT / 100;
        let lack = || {
            let enough = self.connections.div_ceil(limit.max(1));
            format!(
                "{} users{} need {needed} local ports on each of {} for one address of the target, \
                 and 90 % of {}-{} are {limit}; widen the range with `sysctl -w \
                 net.ipv4.ip_local_port_range=\"1024 65535\"`, list {enough} `source_addresses` in \
                 its configuration file, or use more agents",
                self.users,
                self.whose,
                if self.sources == 1 {
                    "1 source address".to_owned()
                } else {
                    format!("{} source addresses", self.sources)
                },
                ports.low,
                ports.high
            )
        };
        let shown = format!("{limit} for each target and source");
        check("local ports", needed.to_string(), Some(shown), (needed > limit).then(lack))
    }

    fn memory(&self, host: &Host) -> Check {
        let needed = mib(self.memory);
        let Some(memory) = host.memory else {
            return check("memory", needed, None, None);
        };
        let limit = mib(memory.bytes);
        let lack = || {
            let mend = if memory.limited {
                format!(
                    "raise its control group's limit, MemoryMax= in the unit (`systemctl \
                     set-property floodmark-agent MemoryMax={}M`)",
                    (self.memory >> 20) * 2
                )
            } else {
                "free some".to_owned()
            };
            format!(
                "{} users{} need about {needed} of memory, {limit} are left; {mend}, or use more \
                 agents",
                self.users, self.whose
            )
        };
        let lack = (self.memory > memory.bytes).then(lack);
        check("memory", needed, Some(limit), lack)
    }

    fn cores(&self, host: &Host) -> Check {
        let needed = self.workers;
        let Some(cpus) = host.cpus else {
            return check("processors", needed.to_string(), None, None);
        };
        let lack = || {
            format!(
                "{needed} workers need a processor each, this agent may run on {cpus}; set \
                 `workers = {cpus}` in its configuration file, or give it more (AllowedCPUs= and \
                 CPUQuota= in the unit)"
            )
        };
        check("processors", needed.to_string(), Some(cpus.to_string()), (needed > cpus).then(lack))
    }
}

fn check(name: &'static str, need: String, limit: Option<String>, lack: Option<String>) -> Check {
    Check { name, need, limit, lack }
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

/// The most base URLs that lie at one host and port: their connections share its local ports.
fn same_place(target: &Target) -> u64 {
    let mut urls: Vec<String> = target.base_urls().map(BaseUrl::authority).collect();
    urls.sort();
    urls.chunk_by(|a, b| a == b).map(<[String]>::len).max().unwrap_or(1) as u64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use common::assignment::Pace;

    use super::*;
    use crate::preflight::host::{Memory, Ports};
    use crate::testing::assignment;

    const HOST: Host = Host {
        files: 1300,
        ports: Some(Ports { low: 20_000, high: 20_999, count: 1000 }),
        memory: Some(Memory { bytes: 100 << 20, limited: true }),
        cpus: Some(2),
    };

    fn lacking(needs: &Needs, host: &Host) -> Vec<&'static str> {
        let checks = needs.against(host);
        checks.iter().filter(|check| check.lack.is_some()).map(|check| check.name).collect()
    }

    #[test]
    fn each_thing_is_refused_when_it_is_one_short() {
        let of = |users, workers, sources| {
            lacking(&Needs::of_users(users, workers, sources), &HOST).join(", ")
        };
        assert_eq!(of(900, 2, 1), "");
        assert_eq!(of(901, 2, 1), "local ports");
        assert_eq!(of(901, 2, 2), "");
        assert_eq!(of(1044, 2, 2), "");
        assert_eq!(of(1045, 2, 2), "open files");
        assert_eq!(of(900, 3, 1), "processors");
        let memory = Needs { memory: 100 << 20, ..Needs::of_users(900, 2, 1) };
        assert_eq!(lacking(&memory, &HOST), [""; 0]);
        assert_eq!(lacking(&Needs { memory: memory.memory + 1, ..memory }, &HOST), ["memory"]);
        // What the system does not say is no reason.
        let silent = Host { files: u64::MAX, ports: None, memory: None, cpus: None };
        assert_eq!(lacking(&Needs::of_users(u32::MAX, 99, 1), &silent), [""; 0]);
    }

    #[test]
    fn a_refusal_names_the_limit_the_need_and_what_mends_it() {
        let checks = Needs::of_users(20_000, 4, 3).against(&HOST);
        let lacks: Vec<String> = checks.into_iter().filter_map(|check| check.lack).collect();
        insta::assert_snapshot!(lacks.join("\n"), @r#"
        20000 users need 20256 open files, the limit is 1300; raise it with LimitNOFILE=20256 in the unit or `ulimit -n 20256`
        20000 users need 6667 local ports on each of 3 source addresses for one address of the target, and 90 % of 20000-20999 are 900; widen the range with `sysctl -w net.ipv4.ip_local_port_range="1024 65535"`, list 23 `source_addresses` in its configuration file, or use more agents
        20000 users need about 689 MiB of memory, 100 MiB are left; raise its control group's limit, MemoryMax= in the unit (`systemctl set-property floodmark-agent MemoryMax=1378M`), or use more agents
        4 workers need a processor each, this agent may run on 2; set `workers = 2` in its configuration file, or give it more (AllowedCPUs= and CPUQuota= in the unit)
        "#);
    }

    #[test]
    fn a_client_proof_needs_both_ends_of_every_connection() {
        let mut assignment = assignment("http://127.0.0.1:8000");
        assignment.share.count = 600;
        assert_eq!(lacking(&Needs::of(&assignment, 1, 1), &HOST), [""; 0]);
        assignment.proof = Some(Pace { ttft: Duration::ZERO, itl: Duration::ZERO });
        let checks = Needs::of(&assignment, 1, 1).against(&HOST);
        let lack = checks.into_iter().find_map(|check| check.lack).unwrap();
        assert!(lack.contains("of a client proof need 1456 open files"), "{lack}");
    }

    #[test]
    fn base_urls_at_one_place_share_its_ports() {
        let mut assignment = assignment("http://127.0.0.1:8000/a");
        assignment.share.count = 500;
        assignment.target.more_base_urls = ["http://127.0.0.1:8000/b", "http://127.0.0.1:8001"]
            .map(|url| url.parse().unwrap())
            .into();
        let host = Host { files: u64::MAX, memory: None, ..HOST };
        assert_eq!(lacking(&Needs::of(&assignment, 1, 1), &host), ["local ports"]);
        assert_eq!(lacking(&Needs::of(&assignment, 1, 2), &host), [""; 0]);
    }
}
