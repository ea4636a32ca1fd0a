//! Ten thousand users on one agent, in processes as in a real run.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use harness::campaign::Campaign;
use harness::poll;
use harness::process::{AgentProcess, Process, simulator};
use serde_json::Value;

const USERS: u32 = 10_000;
/// All of it, from the first connection to the report.
const BOUND: Duration = Duration::from_secs(25);
/// Of the agent's memory, at its height.
const MEMORY_MAX_KIB: u64 = 150 << 10;
/// Looks at the server's count while all users are there.
const LOOKS: usize = 5;

/// The simulator's count of what is in flight, and the most that ever was.
fn in_flight(address: SocketAddr) -> (u64, u64) {
    let mut stream = TcpStream::connect(address).expect("the simulator listens");
    stream
        .write_all(b"GET /counts HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .expect("a write");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    let counts: Value = serde_json::from_str(body).expect("JSON");
    let of = |name: &str| counts[name].as_u64().expect("a number");
    (of("in_flight"), of("in_flight_peak"))
}

/// The most memory that a process has held, in KiB.
fn memory_kib(process: &Process) -> u64 {
    let path = format!("/proc/{}/status", process.id());
    let status = std::fs::read_to_string(path).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its height");
    line.trim().trim_end_matches("kB").trim().parse().expect("a number")
}

#[test]
#[cfg_attr(debug_assertions, ignore = "needs a release build; .ci/run runs it")]
fn ten_thousand_users_of_one_agent_are_in_flight() {
    let pace = ["--ttft", "1s", "--itl", "500ms", "--jitter", "0.1"];
    let (server, target) = simulator(&pace);
    let agent = AgentProcess::start("crowd");
    let campaign = Campaign { output_tokens: 16, ..Campaign::new(target, USERS, u64::from(USERS)) };
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("campaign.toml"), campaign.text()).expect("a file");
    let agents = agent.address.to_string();
    let args = ["run", "campaign.toml", "--agents", &agents, "--result-dir", "result"];
    let run = Process::floodmark(dir.path(), &args);
    poll::holds("all users are in flight", BOUND, || in_flight(target).0 == u64::from(USERS));
    // Nobody's answer ends before these looks do.
    for _ in 0..LOOKS {
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(in_flight(target).0, u64::from(USERS));
    }
    let ended = run.end(BOUND);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let (left, peak) = in_flight(target);
    assert_eq!((left, peak), (0, USERS.into()));
    let (agent_kib, server_kib) = (memory_kib(&agent.process), memory_kib(&server));
    println!(
        "{USERS} users: {} MiB of the agent, {} MiB of the simulator",
        agent_kib >> 10,
        server_kib >> 10
    );
    assert!(agent_kib < MEMORY_MAX_KIB, "{agent_kib} KiB");
    let text = std::fs::read_to_string(dir.path().join("result/summary.json")).expect("a summary");
    let summary: Value = serde_json::from_str(&text).expect("JSON");
    let level = &summary["levels"][0];
    for lag in ["send_lag_p99_ms", "receive_lag_p99_ms", "loop_lag_p99_ms"] {
        println!("{lag}: {}", level["client"][lag]);
    }
    assert_eq!(level["requests"]["succeeded"], USERS, "{}", level["requests"]);
}
