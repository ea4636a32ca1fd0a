//! The machine: its cores, what it says of itself, and what its kernel says of processes.

use std::path::PathBuf;
use std::process::Command;

use harness::binaries;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::{Value, json};

/// Which core is whose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    pub(crate) server: usize,
    pub(crate) client: usize,
}

impl Cores {
    /// The first two that this process may use; on a machine of one both are the same, and the
    /// table says so.
    pub(crate) fn choose() -> Self {
        let allowed = sched_getaffinity(None).expect("an affinity");
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        let server = cores.next().expect("a core");
        Self { server, client: cores.next().unwrap_or(server) }
    }
}

/// Does something on these cores; processes that it starts stay there.
pub(crate) fn on<T>(cores: &[usize], act: impl FnOnce() -> T) -> T {
    let before = sched_getaffinity(None).expect("an affinity");
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    sched_setaffinity(None, &set).expect("a core of this machine");
    let done = act();
    sched_setaffinity(None, &before).expect("the cores of before");
    done
}

/// Processor time that a process has used, in seconds; `None` once it is gone.
pub(crate) fn cpu_s(process: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = |place: usize| fields.split_whitespace().nth(place)?.parse::<u64>().ok();
    // User and system time are the 14th and 15th field of all, and the name was the second.
    Some((ticks(11)? + ticks(12)?) as f64 / TICKS_PER_S)
}

/// Processor time that this machine's cores were busy since it was started, stolen time included, in
/// seconds.
pub(crate) fn busy_s() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let fields = stat.lines().next()?.split_whitespace().skip(1);
    let ticks: Vec<u64> = fields.map(str::parse).collect::<Result<_, _>>().ok()?;
    // user, nice, system, idle, iowait, irq, softirq, steal; guests are in user.
    let busy = ticks.iter().take(8).enumerate().filter(|(place, _)| !matches!(place, 3 | 4));
    Some(busy.map(|(_, ticks)| ticks).sum::<u64>() as f64 / TICKS_PER_S)
}

/// What Linux counts processor time in when it tells programs of it.
const TICKS_PER_S: f64 = 100.0;

/// The most memory that a process has had at once, in bytes; `None` once it is gone.
pub(crate) fn rss_peak(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// What the results were taken on, and of what.
pub(crate) fn facts() -> Value {
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = file("/proc/cpuinfo");
    let mut models = cpus.lines().filter(|line| line.starts_with("model name"));
    let model = models.next().and_then(|line| line.split_once(": ")).map(|(_, model)| model);
    let load = file("/proc/loadavg");
    let changed = said("git", &["status", "--porcelain", "--untracked-files=no"]);
    let commit = said("git", &["rev-parse", "--short=12", "HEAD"]).unwrap_or_default();
    json!({
        "commit": commit,
        "changed": changed.is_none_or(|changed| !changed.is_empty()),
        "date": said("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]),
        "cpu": model,
        "cores": cpus.lines().filter(|line| line.starts_with("processor")).count(),
        "kernel": file("/proc/sys/kernel/osrelease").trim(),
        "rustc": said("rustc", &["--version"]),
        "load_average": load.split_whitespace().take(3).collect::<Vec<_>>().join(" "),
    })
}

/// Where results go by default.
pub(crate) fn results() -> PathBuf {
    binaries::root().join("target/bench")
}

/// What a command says; `None` if it cannot be run or fails.
fn said(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).current_dir(binaries::root()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

/// Where a program is, if it is installed.
pub(crate) fn installed(program: &str) -> Option<PathBuf> {
    let found = said("sh", &["-c", &format!("command -v {program}")])?;
    Some(PathBuf::from(found))
}
