//! Commands that a campaign names for what only its operator knows how to do: restart the target,
//! forget its caches.
//!
//! A hook is started without a shell, with no input, in a process group of its own. When its time
//! is up, or the run is interrupted, the whole group is killed; a hook that ended well may leave a
//! server behind. The end of what it printed is kept for the reader.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::sync::watch;

/// Bytes of what a hook printed that are kept: its end.
const KEPT: usize = 4096;
/// How long after a hook's end its output may still come.
const LINGER: Duration = Duration::from_millis(200);

/// A program with its arguments; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    program: String,
    arguments: Vec<String>,
}

/// Why a hook did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// The program cannot be started.
    #[error("{command}: cannot be started: {source}")]
    Start {
        /// The command.
        command: CommandLine,
        /// Why.
        source: std::io::Error,
    },
    /// It ended with an error.
    #[error("{command}: {status}{}", shown(output))]
    Failed {
        /// The command.
        command: CommandLine,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it printed.
        output: String,
    },
    /// It did not end in time and was killed.
    #[error("{command}: did not end within {:.0} s and was killed{}", timeout.as_secs_f64(), shown(output))]
    Timeout {
        /// The command.
        command: CommandLine,
        /// The time it had.
        timeout: Duration,
        /// The end of what it printed.
        output: String,
    },
}

fn shown(output: &str) -> String {
    if output.is_empty() {
        "; it printed nothing".to_owned()
    } else {
        format!("; it printed:\n{output}")
    }
}

impl std::fmt::Display for CommandLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.program)?;
        self.arguments.iter().try_for_each(|argument| write!(f, " {argument}"))
    }
}

impl CommandLine {
    /// A command from its words; `None` without a program.
    pub fn new(words: Vec<String>) -> Option<Self> {
        let mut words = words.into_iter();
        let program = words.next().filter(|program| !program.is_empty())?;
        Some(Self { program, arguments: words.collect() })
    }

    /// The program and its arguments.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.program.as_str()).chain(self.arguments.iter().map(String::as_str))
    }

    /// Runs it to its end, for at most `timeout`.
    ///
    /// # Errors
    /// If it cannot be started, fails, or takes too long; with the end of what it printed.
    pub async fn run(&self, timeout: Duration) -> Result<(), HookError> {
        self.output(timeout, KEPT).await.map(drop)
    }

    /// Runs it like [`run`](Self::run), for what it prints: at most the last `bytes` of its
    /// standard output and of its standard error each.
    ///
    /// # Errors
    /// As those of [`run`](Self::run).
    pub async fn output(&self, timeout: Duration, bytes: usize) -> Result<Printed, HookError> {
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|source| HookError::Start { command: self.clone(), source })?;
        let mut group = Group::of(child.id());
        let (ended, end) = watch::channel(());
        let out = tokio::spawn(read_end(child.stdout.take(), bytes, end.clone()));
        let err = tokio::spawn(read_end(child.stderr.take(), bytes, end));
        let status = tokio::time::timeout(timeout, child.wait()).await;
        if !matches!(status, Ok(Ok(_))) {
            group.kill();
            // Killed, it ends at once; its status is of no interest.
            let _ = tokio::time::timeout(LINGER, child.wait()).await;
        }
        group.spare();
        // A server that the hook started may hold its output open for ever.
        drop(ended);
        let printed =
            Printed { out: out.await.unwrap_or_default(), err: err.await.unwrap_or_default() };
        let command = self.clone();
        match status {
            Ok(Ok(status)) if status.success() => Ok(printed),
            Ok(Ok(status)) => Err(HookError::Failed { command, status, output: printed.end() }),
            Ok(Err(source)) => Err(HookError::Start { command, source }),
            Err(_) => Err(HookError::Timeout { command, timeout, output: printed.end() }),
        }
    }
}

/// What a hook printed, fit to print.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printed {
    /// On its standard output.
    pub out: String,
    /// On its standard error.
    pub err: String,
}

impl Printed {
    /// The end of it, for a person.
    fn end(&self) -> String {
        let parts = [&self.out, &self.err].map(|text| text.trim());
        let parts: Vec<&str> = parts.into_iter().filter(|text| !text.is_empty()).collect();
        let text = parts.join("\n");
        let from = (text.len().saturating_sub(KEPT)..).find(|at| text.is_char_boundary(*at));
        from.and_then(|from| text.get(from..)).unwrap_or_default().to_owned()
    }
}

/// A hook's process group, killed when this is dropped unless it is spared.
struct Group(Option<Pid>);

impl Group {
    fn of(leader: Option<u32>) -> Self {
        Self(leader.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)))
    }

    fn kill(&mut self) {
        if let Some(group) = self.0.take() {
            // It may be gone already.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    fn spare(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reads until the stream closes, or until a little after the hook's end; gives its last `bytes`,
/// fit to print.
async fn read_end(
    stream: Option<impl AsyncRead + Unpin>,
    bytes: usize,
    mut end: watch::Receiver<()>,
) -> String {
    let Some(mut stream) = stream else {
        return String::new();
    };
    let mut kept = Vec::new();
    let mut buffer = [0; 1024];
    let over = async {
        // Ends when the sender is dropped.
        while end.changed().await.is_ok() {}
        tokio::time::sleep(LINGER).await;
    };
    tokio::pin!(over);
    loop {
        let read = tokio::select! {
            read = stream.read(&mut buffer) => read,
            () = &mut over => break,
        };
        match read {
            Ok(0) | Err(_) => break,
            Ok(count) => {
                kept.extend(buffer.iter().take(count));
                // Moved only now and then: a log may be long.
                if kept.len() > bytes.saturating_mul(2) {
                    keep_end(&mut kept, bytes);
                }
            }
        }
    }
    keep_end(&mut kept, bytes);
    let text = String::from_utf8_lossy(&kept);
    text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}

fn keep_end(kept: &mut Vec<u8>, bytes: usize) {
    let spare = kept.len().saturating_sub(bytes);
    kept.drain(..spare);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> CommandLine {
        let words = ["sh", "-c", script].map(str::to_owned).to_vec();
        CommandLine::new(words).unwrap()
    }

    fn run(command: &CommandLine, timeout: Duration) -> Result<(), HookError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(command.run(timeout))
    }

    #[test]
    fn a_hook_that_fails_says_how_and_what_it_printed() {
        assert!(run(&sh("exit 0"), Duration::from_secs(20)).is_ok());
        let error = run(&sh("echo no such unit >&2; exit 5"), Duration::from_secs(20)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("exit status: 5"), "{text}");
        assert!(text.ends_with("it printed:\nno such unit"), "{text}");
        let missing = CommandLine::new(vec!["floodmark-no-such-program".to_owned()]).unwrap();
        let text = run(&missing, Duration::from_secs(20)).unwrap_err().to_string();
        assert!(text.contains("cannot be started: No such file"), "{text}");
        assert_eq!(CommandLine::new(Vec::new()), None);
        assert_eq!(CommandLine::new(vec![String::new()]), None);
    }

    #[test]
    fn a_hook_that_hangs_is_killed_with_its_children() {
        // The child would hold the pipe, and the file, for a minute.
        let script = "echo begun; sleep 60 & echo $!; wait";
        let error = run(&sh(script), Duration::from_millis(300)).unwrap_err();
        let HookError::Timeout { output, .. } = &error else {
            panic!("{error}");
        };
        let child: i32 = output.lines().nth(1).unwrap().trim().parse().unwrap();
        // Killed children of a killed parent are reaped by the system's first process.
        let gone = (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            let stat = std::fs::read_to_string(format!("/proc/{child}/stat"));
            stat.map_or(true, |stat| stat.contains(") Z "))
        });
        assert!(gone, "{child} still runs");
    }

    #[test]
    fn a_server_that_a_hook_leaves_behind_does_not_hold_it_up() {
        let command = sh("sleep 3 & echo started");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let done = runtime.block_on(async {
            let ended = command.run(Duration::from_secs(60));
            tokio::time::timeout(Duration::from_secs(2), ended).await
        });
        assert!(matches!(done, Ok(Ok(()))), "{done:?}");
    }

    #[test]
    fn of_long_output_the_end_is_kept() {
        let script = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; exit 1";
        let text = run(&sh(script), Duration::from_secs(20)).unwrap_err().to_string();
        assert!(text.ends_with("line 2999"), "{text}");
        assert!(text.len() < KEPT + 300);
    }
}
