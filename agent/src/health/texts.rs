//! The texts in which a kernel tells of threads, processors, quotas and sockets. Whatever does not
//! read as expected is not stated.

use std::collections::BTreeMap;
use std::path::PathBuf;

use common::health::Segments;

/// Groups of processes that lie within one another, at most.
const DEPTH_MAX: usize = 32;
/// Where groups of processes are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";

/// What the scheduler counts of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sched {
    /// Time on a processor.
    pub(super) ran_ns: u64,
    /// Time in which it could have run and waited for one.
    pub(super) waited_ns: u64,
}

/// What the kernel counts of the host's processors, in units of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Processors {
    /// All of them.
    pub(super) all: Option<Times>,
    /// Each, by its number.
    pub(super) each: BTreeMap<u32, Times>,
}

/// Time of a processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// All of it.
    pub(super) all: u64,
    /// What the hypervisor gave to others.
    pub(super) stolen: u64,
}

/// What the kernel counts of a group of processes that has a quota of processor time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quota {
    /// Periods in which it ran.
    pub(super) periods: u64,
    /// Those in which it used up its quota and was held up.
    pub(super) throttled: u64,
}

/// What an interface has carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bytes {
    pub(super) received: u64,
    pub(super) sent: u64,
}

/// `/proc/PID/task/TID/schedstat`: time run, time waited, slices.
pub(super) fn sched(text: &str) -> Option<Sched> {
    let mut numbers = text.split_ascii_whitespace().map(|word| word.parse().ok());
    Some(Sched { ran_ns: numbers.next()??, waited_ns: numbers.next()?? })
}

/// `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal; what guests used is part of
/// the first two.
pub(super) fn processors(text: &str) -> Processors {
    let mut processors = Processors::default();
    for line in text.lines().take_while(|line| line.starts_with("cpu")) {
        let mut words = line.split_ascii_whitespace();
        let name = words.next().and_then(|word| word.strip_prefix("cpu"));
        let times: Option<Vec<u64>> = words.take(8).map(|word| word.parse().ok()).collect();
        let (Some(name), Some(times)) = (name, times) else { continue };
        let [.., stolen] = *times else { continue };
        if times.len() < 8 {
            continue;
        }
        let all = times.iter().fold(0, |sum: u64, time| sum.saturating_add(*time));
        let times = Times { all, stolen };
        match name {
            "" => processors.all = Some(times),
            number => {
                processors.each.extend(number.parse().ok().map(|number: u32| (number, times)));
            }
        }
    }
    processors
}

/// `/proc/net/snmp`: a line of names and one of values, for TCP.
pub(super) fn segments(text: &str) -> Option<Segments> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let value = |wanted: &str| {
        let place = names.split_ascii_whitespace().position(|name| name == wanted)?;
        values.split_ascii_whitespace().nth(place)?.parse().ok()
    };
    Some(Segments { sent: value("OutSegs")?, retransmitted: value("RetransSegs")? })
}

/// `/proc/net/sockstat` and `sockstat6`: TCP sockets that hold a local port, those included whose
/// connection is over.
pub(super) fn sockets(v4: &str, v6: Option<&str>) -> Option<u64> {
    let value = |text: &str, line: &str, wanted: &str| -> Option<u64> {
        let line = text.lines().find_map(|text| text.strip_prefix(line))?;
        let mut words = line.split_ascii_whitespace();
        words.find(|word| *word == wanted)?;
        words.next()?.parse().ok()
    };
    let open = value(v4, "TCP:", "inuse")?;
    let closing = value(v4, "TCP:", "tw")?;
    let more = v6.and_then(|text| value(text, "TCP6:", "inuse")).unwrap_or(0);
    open.checked_add(closing)?.checked_add(more)
}

/// `/proc/self/cgroup`: where the quotas may be told of that the process is subject to, those of
/// the groups around its own included. Inside a container the paths of the host lead nowhere, and
/// the outermost is its own.
pub(super) fn quota_files(text: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in text.lines().take(DEPTH_MAX) {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let mounts = match controllers {
            "" => ["", "unified"],
            some if some.split(',').any(|name| name == "cpu") => [some, "cpu"],
            _ => continue,
        };
        if controllers.contains('/') || path.split('/').any(|part| part == "..") {
            continue;
        }
        for mount in mounts {
            let mount = PathBuf::from(CGROUPS).join(mount);
            let own = mount.join(path.trim_start_matches('/'));
            let around = own.ancestors().take_while(|group| group.starts_with(&mount));
            files.extend(around.take(DEPTH_MAX).map(|group| group.join("cpu.stat")));
        }
    }
    files
}

/// `cpu.stat` of a group of processes, of either version; `None` of one that cannot have a quota.
pub(super) fn quota(text: &str) -> Option<Quota> {
    let value = |wanted: &str| {
        let mut pairs = text.lines().filter_map(|line| line.split_once(' '));
        pairs.find(|(name, _)| *name == wanted)?.1.trim().parse().ok()
    };
    Some(Quota { periods: value("nr_periods")?, throttled: value("nr_throttled")? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_kernels_write_is_read() {
        let waited = sched("1500 700 3\n").unwrap();
        assert_eq!(waited, Sched { ran_ns: 1500, waited_ns: 700 });
        let stat = "cpu  10 2 3 70 5 1 1 8 4 0\ncpu0 5 1 1 35 2 1 0 5 2 0\n\
                    cpu7 5 1 2 35 3 0 1 3 2 0\nintr 9 9\ncpu9 1 1 1 1 1 1 1 1\n";
        let read = processors(stat);
        assert_eq!(read.all, Some(Times { all: 100, stolen: 8 }));
        assert_eq!(read.each.keys().copied().collect::<Vec<_>>(), [0, 7]);
        assert_eq!(read.each[&7], Times { all: 50, stolen: 3 });
        let snmp = "Ip: Forwarding\nIp: 1\nTcp: RtoMin OutSegs RetransSegs InErrs\n\
                    Tcp: 200 900 -3 0\n";
        assert_eq!(segments(snmp), None);
        assert_eq!(
            segments(&snmp.replace("-3", "30")),
            Some(Segments { sent: 900, retransmitted: 30 })
        );
        let v4 = "sockets: used 21\nTCP: inuse 40 orphan 0 tw 60 alloc 1 mem 157\nUDP: inuse 9\n";
        assert_eq!(sockets(v4, None), Some(100));
        assert_eq!(sockets(v4, Some("TCP6: inuse 7\nUDP6: inuse 1\n")), Some(107));
        let two = "nr_periods 50\nnr_throttled 20\nthrottled_usec 9\n";
        assert_eq!(quota(two), Some(Quota { periods: 50, throttled: 20 }));
        assert_eq!(quota("usage_usec 5\nuser_usec 4\n"), None);
    }

    #[test]
    fn quotas_of_all_groups_around_are_looked_for_and_of_no_others() {
        let files = |text: &str| -> Vec<String> {
            quota_files(text).iter().map(|file| file.display().to_string()).collect()
        };
        assert_eq!(
            files("0::/a/b\n")[..3],
            ["/sys/fs/cgroup/a/b/cpu.stat", "/sys/fs/cgroup/a/cpu.stat", "/sys/fs/cgroup/cpu.stat"]
        );
        let one = files("4:memory:/m\n3:cpu,cpuacct:/x\n2:cpuset:/y\n");
        assert_eq!(one.len(), 4);
        assert_eq!(one[0], "/sys/fs/cgroup/cpu,cpuacct/x/cpu.stat");
        for hostile in ["0::/../../etc", "0::..", "1:cpu,../..:/x", "0", "", ":::", "1:cpu"] {
            assert!(
                files(hostile).iter().all(|file| file.starts_with(CGROUPS) && !file.contains("..")),
                "{hostile}"
            );
        }
        assert!(files(&"0::/a/b/c/d\n".repeat(10_000)).len() < 1000);
    }

    proptest! {
        #[test]
        fn no_text_is_too_hostile(text in "(Tcp:|TCP: inuse|tw|cpu[0-9]?|nr_periods|[0-9 :/.\\n-])*") {
            let read = processors(&text);
            prop_assert!(read.each.values().chain(&read.all).all(|time| time.stolen <= time.all));
            let _ = (sched(&text), segments(&text), sockets(&text, Some(&text)), quota(&text));
            prop_assert!(quota_files(&text).iter().all(|file| file.starts_with(CGROUPS)));
        }
    }
}
