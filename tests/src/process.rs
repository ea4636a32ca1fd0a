//! Real processes on loopback. Each is ended, by its id, with the value that holds it.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, kill_process};
use tempfile::TempDir;

pub use rustix::process::Signal;

use crate::{binaries, poll};

/// A process, its output kept in files.
#[derive(Debug)]
pub struct Process {
    child: Child,
    output: TempDir,
}

/// A process that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Process {
    /// Starts a program in `dir` with the environment variables that decide nothing.
    pub fn start(program: &Path, dir: &Path, args: &[&str]) -> Self {
        let output = tempfile::tempdir().expect("a directory");
        let file = |name| File::create(output.path().join(name)).expect("a file");
        let mut command = Command::new(program);
        command.args(args).current_dir(dir).stdin(Stdio::null());
        command.stdout(file("stdout")).stderr(file("stderr"));
        for variable in [
            "FLOODMARK_TARGET",
            "FLOODMARK_AGENTS",
            "FLOODMARK_AGENT_CONFIG",
            "FLOODMARK_LISTEN",
            "FLOODMARK_LOG",
            "OPENAI_API_KEY",
            "STATE_DIRECTORY",
            "NOTIFY_SOCKET",
        ] {
            command.env_remove(variable);
        }
        let child = command.spawn().expect("the program starts");
        Self { child, output }
    }

    /// Starts the coordinator.
    pub fn floodmark(dir: &Path, args: &[&str]) -> Self {
        Self::start(&binaries::floodmark(), dir, args)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the process is there");
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// It has not ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_none()
    }

    /// Where it says that it listens, once it does.
    pub fn listens_at(&self) -> SocketAddr {
        poll::until("the process listens", Duration::from_secs(10), || {
            let log = self.stderr();
            // A line that is still being written may hold half of a number.
            let (whole, _) = log.rsplit_once('\n')?;
            let address = whole.split_whitespace().find_map(|word| word.strip_prefix("address="));
            address?.parse().ok()
        })
    }

    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        self.read("stderr")
    }

    /// Waits for its end.
    pub fn end(mut self, bound: Duration) -> Ended {
        let status = poll::until("the end of a process", bound, || {
            self.child.try_wait().expect("a child can be waited for")
        });
        Ended { code: status.code(), stdout: self.read("stdout"), stderr: self.read("stderr") }
    }

    fn read(&self, name: &str) -> String {
        let bytes = std::fs::read(self.output.path().join(name)).expect("a file");
        String::from_utf8(bytes).expect("text")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the coordinator to its end.
pub fn floodmark(dir: &Path, args: &[&str]) -> Ended {
    Process::floodmark(dir, args).end(Duration::from_secs(60))
}

/// An agent in a process of its own, on a free port of loopback.
#[derive(Debug)]
pub struct AgentProcess {
    /// The process.
    pub process: Process,
    /// Where it listens.
    pub address: SocketAddr,
}

impl AgentProcess {
    /// Starts an agent of one worker and waits until it listens.
    pub fn start(name: &str) -> Self {
        Self::start_with(name, &[], None)
    }

    /// The same, with its worker bound to a processor.
    pub fn bound(name: &str) -> Self {
        Self::start_with(name, &["--pin", "auto"], None)
    }

    /// The same, with more arguments, and open files limited to so many.
    pub fn start_with(name: &str, more: &[&str], files_max: Option<u32>) -> Self {
        let program = binaries::floodmark_agent();
        let mut args = vec!["serve", "--listen", "127.0.0.1:0", "--name", name];
        if !more.contains(&"--workers") {
            args.extend(["--workers", "1"]);
        }
        args.extend(more);
        let process = match files_max {
            None => Process::start(&program, &binaries::root(), &args),
            Some(files) => {
                let script = format!("ulimit -n {files} && exec \"$0\" \"$@\"");
                let mut words = vec!["-c", &script, program.to_str().expect("a plain path")];
                words.extend(args);
                Process::start(Path::new("/bin/sh"), &binaries::root(), &words)
            }
        };
        let address = process.listens_at();
        Self { process, address }
    }
}

/// Starts a simulator in a process of its own, with these arguments; gives where it listens.
pub fn simulator(more: &[&str]) -> (Process, SocketAddr) {
    let mut args = vec!["sim", "--listen", "127.0.0.1:0"];
    args.extend(more);
    let process = Process::start(&binaries::floodmark_agent(), &binaries::root(), &args);
    let address = process.listens_at();
    (process, address)
}

/// The value of `--agents` for these.
pub fn list(agents: &[AgentProcess]) -> String {
    agents.iter().map(|agent| agent.address.to_string()).collect::<Vec<_>>().join(",")
}

/// Waits until no run holds any of these agents.
pub fn until_idle(agents: &str, bound: Duration) {
    poll::holds("the agents are idle", bound, || {
        let look = floodmark(&binaries::root(), &["agents", "--agents", agents]);
        look.code == Some(0) && !look.stdout.contains("run ")
    });
}
