//! What this host has to give: open files, local ports, memory, processors. It reads, and judges
//! nothing.

use std::path::Path;

use rustix::process::{Resource, getrlimit};

/// What a host has to give; `None` where the system does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Open files of this process, at most.
    pub(crate) files: u64,
    /// The range of local ports.
    pub(crate) ports: Option<Ports>,
    /// Memory that this process may still take.
    pub(crate) memory: Option<Memory>,
    /// Processors that this process may run on.
    pub(crate) cpus: Option<u32>,
}

/// Local ports that the system gives to connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) low: u16,
    pub(crate) high: u16,
    /// Those in the range, less those that are reserved.
    pub(crate) count: u64,
}

/// Memory that is to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) bytes: u64,
    /// A control group's limit is what bounds it.
    pub(crate) limited: bool,
}

impl Host {
    /// What this host has now.
    pub fn look() -> Self {
        let cpus = std::thread::available_parallelism().ok();
        Self {
            files: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
            ports: Ports::look(),
            memory: Memory::look(Path::new("/")),
            cpus: cpus.and_then(|cpus| u32::try_from(cpus.get()).ok()),
        }
    }
}

impl Ports {
    pub(super) fn look() -> Option<Self> {
        let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
        let reserved = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_reserved_ports");
        Self::of(&range, &reserved.unwrap_or_default())
    }

    fn of(range: &str, reserved: &str) -> Option<Self> {
        let mut ends = range.split_whitespace().map(str::parse);
        let (low, high): (u16, u16) = (ends.next()?.ok()?, ends.next()?.ok()?);
        let all = u64::from(high.checked_sub(low)?) + 1;
        let taken: u64 = reserved
            .trim()
            .split(',')
            .filter_map(|part| {
                let (from, to) = part.split_once('-').unwrap_or((part, part));
                let (from, to): (u16, u16) = (from.parse().ok()?, to.parse().ok()?);
                Some((u64::from(to.min(high)) + 1).saturating_sub(from.max(low).into()))
            })
            .sum();
        Some(Self { low, high, count: all.saturating_sub(taken) })
    }
}

impl Memory {
    /// The least of what the system has and what the control groups of this process leave it;
    /// `root` is where the system's files are.
    fn look(root: &Path) -> Option<Self> {
        let read = |path: &str| std::fs::read_to_string(root.join(path)).ok();
        let has = available(&read("proc/meminfo")?)?;
        let groups = read("proc/self/cgroup").unwrap_or_default();
        let left = groups.lines().filter_map(|line| left_by(line, &read)).min();
        match left.filter(|left| *left < has) {
            Some(bytes) => Some(Self { bytes, limited: true }),
            None => Some(Self { bytes: has, limited: false }),
        }
    }
}

/// `MemAvailable` of `/proc/meminfo`.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// What a line of `/proc/self/cgroup` leaves: the least over the group and those that it lies in.
fn left_by(line: &str, read: &impl Fn(&str) -> Option<String>) -> Option<u64> {
    let mut fields = line.splitn(3, ':');
    let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let (mount, most, used) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max", "memory.current"),
        _ if controllers.split(',').any(|name| name == "memory") => {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes")
        }
        _ => return None,
    };
    // In a namespace of its own a group is at the mount, whatever its path outside.
    let path = Path::new(path.trim_start_matches('/'));
    let number = |group: &Path, name: &str| -> Option<u64> {
        read(Path::new(mount).join(group).join(name).to_str()?)?.trim().parse().ok()
    };
    let groups = path.ancestors().chain([Path::new("")]);
    groups.filter_map(|group| Some(number(group, most)?.saturating_sub(number(group, used)?))).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_ports_are_not_to_be_had() {
        let count = |reserved: &str| Ports::of("20000\t20099\n", reserved).unwrap().count;
        assert_eq!(count("\n"), 100);
        assert_eq!(count("20000,20098-20200,8080\n"), 97);
        assert_eq!(count("1-19999\n"), 100);
        assert_eq!(Ports::of("5 4", ""), None);
        assert_eq!(Ports::of("", ""), None);
    }

    #[test]
    fn the_least_limit_of_all_groups_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        assert_eq!(Memory::look(root.path()), None);
        write("proc/meminfo", "MemTotal:  9000 kB\nMemAvailable:    8000 kB\n");
        let memory = |bytes, limited| Some(Memory { bytes, limited });
        assert_eq!(Memory::look(root.path()), memory(8000 * 1024, false));
        // The second version of control groups: the slice around the unit has the limit.
        write("proc/self/cgroup", "0::/system.slice/agent.service\n");
        write("sys/fs/cgroup/system.slice/agent.service/memory.max", "max\n");
        write("sys/fs/cgroup/system.slice/agent.service/memory.current", "1000\n");
        write("sys/fs/cgroup/system.slice/memory.max", "5000000\n");
        write("sys/fs/cgroup/system.slice/memory.current", "1000000\n");
        assert_eq!(Memory::look(root.path()), memory(4_000_000, true));
        // The first version.
        write("proc/self/cgroup", "5:cpu:/\n4:memory:/a\n0::/\n");
        write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "3000000\n");
        write("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "1000000\n");
        assert_eq!(Memory::look(root.path()), memory(2_000_000, true));
        write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(Memory::look(root.path()), memory(8000 * 1024, false));
    }
}
