//! The simulator that a ceiling is found against: a program of its own, on processors of its own
//! where the host has them. It ends with whoever holds it.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::sim::{self, Profile, SimThread};

/// How long an answer about its counts may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of such an answer, at most.
const ANSWER_MAX: u64 = 64 << 10;

/// How a simulator answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) ttft: Duration,
    pub(super) itl: Duration,
}

/// A simulator that runs.
pub(super) enum Simulator {
    /// A process of its own.
    Process { child: Child, address: SocketAddr },
    /// A thread, for an agent inside another program, which cannot be started as a simulator.
    Thread(SimThread),
}

impl Simulator {
    /// Starts one: of this program, or a thread if there is none. It runs where the calling thread
    /// may run.
    pub(super) fn start(program: Option<&Path>, pace: Pace) -> io::Result<Self> {
        let Some(program) = program else {
            let profile = Profile { ttft: pace.ttft, itl: pace.itl, ..Profile::default() };
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            return sim::spawn(address, profile).map(Self::Thread).map_err(io::Error::other);
        };
        let duration = |duration: Duration| format!("{}ms", duration.as_millis());
        let mut child = Command::new(program)
            .args(["sim", "--owned", "--listen", "127.0.0.1:0", "--ttft", &duration(pace.ttft)])
            .args(["--itl", &duration(pace.itl), "--log", "error"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let read = match child.stdout.take() {
            Some(output) => BufReader::new(output.take(ANSWER_MAX)).read_line(&mut line),
            None => Ok(0),
        };
        match read.map(|_| line.trim().parse()) {
            Ok(Ok(address)) => Ok(Self::Process { child, address }),
            Ok(Err(_)) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                let what = format!("{} did not say where it listens", program.display());
                Err(io::Error::other(what))
            }
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        match self {
            Self::Process { address, .. } => *address,
            Self::Thread(thread) => thread.address(),
        }
    }

    /// Requests in flight by its own count.
    pub(super) fn in_flight(&self) -> io::Result<u64> {
        match self {
            Self::Process { address, .. } => ask(*address),
            Self::Thread(thread) => Ok(thread.ledger().totals().in_flight),
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        match self {
            Self::Process { child, .. } => {
                let _ = child.kill();
                let _ = child.wait();
            }
            Self::Thread(_) => {}
        }
    }
}

fn ask(address: SocketAddr) -> io::Result<u64> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /counts HTTP/1.1\r\nhost: sim\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER_MAX).read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let counts: serde_json::Value = serde_json::from_str(body)?;
    let in_flight = counts.get("in_flight").and_then(serde_json::Value::as_u64);
    in_flight.ok_or_else(|| io::Error::other("a simulator did not say what is in flight"))
}
