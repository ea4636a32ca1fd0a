//! One line of progress on standard error: redrawn in place on a terminal, printed now and then
//! elsewhere.
//!
//! A thread of its own writes: a terminal that takes nothing, as one whose user holds it, must not
//! hold up the run.

use std::io::{IsTerminal as _, Write as _};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;
use std::time::Duration;

use common::time::Tick;

use super::view::{LevelView, View};
use crate::window::{Progress, Wait};

/// How often a line is printed where it cannot be redrawn.
const PRINT_EVERY: Duration = Duration::from_secs(10);
const REDRAW_EVERY: Duration = Duration::from_millis(200);
/// A level is shown from when its agents have had time to report.
const FIRST_AFTER: Duration = Duration::from_secs(2);

/// Texts that may wait to be written; one that finds no place is not shown.
const QUEUE: usize = 256;

/// The progress line.
#[derive(Debug)]
pub struct Plain {
    /// Absent where nothing is shown.
    writer: Option<Writer>,
    terminal: bool,
    drawn: bool,
    due: Tick,
}

impl Plain {
    /// A progress line; `shown` as `--ui` says.
    pub fn new(shown: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let writer = shown.then(Writer::start).flatten();
        Self { writer, terminal, drawn: false, due: Tick::ZERO }
    }

    /// Shows the view if it is time to.
    pub fn update(&mut self, view: &mut View, now: Tick) {
        let View { place, planned, level } = view;
        let level =
            level.as_mut().filter(|level| !level.is_unknown() && level.elapsed(now) >= FIRST_AFTER);
        let (Some(writer), Some(level)) = (&self.writer, level) else {
            return;
        };
        if now < self.due {
            return;
        }
        let line = line(level, *place, *planned, now);
        if self.terminal {
            self.due = now + REDRAW_EVERY;
            self.drawn = true;
            writer.write(format!("\r\x1b[K{line}"));
        } else {
            self.due = now + PRINT_EVERY;
            writer.write(format!("{line}\n"));
        }
    }

    /// Prints a line of its own.
    pub fn say(&mut self, text: &str) {
        let Some(writer) = &self.writer else {
            return;
        };
        let clear = if self.drawn { "\r\x1b[K" } else { "" };
        self.drawn = false;
        writer.write(format!("{clear}{text}\n"));
    }
}

fn line(level: &mut LevelView, place: u32, planned: u32, now: Tick) -> String {
    let tokens_per_s = level.tokens_per_s(now);
    let left = match (level.progress, level.left(now)) {
        (Some(progress), _) => told(progress),
        (None, Some(left)) => format!("about {} s left in this level", left.as_secs_f64().ceil()),
        (None, None) => format!("{} s so far in this level", level.elapsed(now).as_secs()),
    };
    format!(
        "[{place}/{planned}] {}: {} in flight of {}, {}{} requests, {:.0} output tok/s, {} failed, \
         {left}",
        level.title,
        level.in_flight(),
        level.users,
        level.ended(),
        level.requests.map(|all| format!("/{all}")).unwrap_or_default(),
        tokens_per_s,
        level.failed(),
    )
}

/// What a window waits for.
fn told(progress: Progress) -> String {
    match progress {
        Progress::Rising(wait) => match wait {
            Wait::Ramp => "rising".to_owned(),
            Wait::Requests { ended, needed } => {
                format!("rising: {ended} of {needed} warm-up requests")
            }
            Wait::Turn => "rising: waiting for a turn of every user".to_owned(),
            Wait::InFlight { mean, needed } => {
                format!("rising: {mean:.1} in flight, {needed:.1} needed")
            }
            Wait::Settling => "rising: waiting for a steady flow".to_owned(),
        },
        Progress::Measuring { gone, of, requests } => {
            let (gone, of) = (gone.as_secs(), of.as_secs_f64().ceil());
            match requests {
                Some((measured, wanted)) => {
                    format!("measuring {gone} s of {of} s ({measured} of {wanted} requests)")
                }
                None => format!("measuring {gone} s of {of} s"),
            }
        }
        Progress::Draining { following } => format!("draining ({following} requests to end)"),
    }
}

/// What writes. Dropping it waits until all is written.
#[derive(Debug)]
struct Writer {
    texts: Option<SyncSender<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// `None` if the system gives no thread: progress that cannot be shown is no reason to stop a
    /// run.
    fn start() -> Option<Self> {
        let (texts, queue) = mpsc::sync_channel(QUEUE);
        let thread = std::thread::Builder::new().name("progress".to_owned());
        let thread = thread.spawn(move || write_all(&queue)).ok()?;
        Some(Self { texts: Some(texts), thread: Some(thread) })
    }

    fn write(&self, text: String) {
        if let Some(texts) = &self.texts {
            let _ = texts.try_send(text);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.texts.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write_all(queue: &Receiver<String>) {
    for text in queue {
        let mut out = std::io::stderr().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_says_what_it_waits_for() {
        let rising = Progress::Rising;
        for (progress, text) in [
            (rising(Wait::Ramp), "rising"),
            (rising(Wait::Requests { ended: 37, needed: 40 }), "rising: 37 of 40 warm-up requests"),
            (rising(Wait::Turn), "rising: waiting for a turn of every user"),
            (
                rising(Wait::InFlight { mean: 18.25, needed: 19.6 }),
                "rising: 18.2 in flight, 19.6 needed",
            ),
            (rising(Wait::Settling), "rising: waiting for a steady flow"),
            (
                Progress::Measuring {
                    gone: Duration::from_millis(12_900),
                    of: Duration::from_millis(59_600),
                    requests: None,
                },
                "measuring 12 s of 60 s",
            ),
            (
                Progress::Measuring {
                    gone: Duration::from_secs(70),
                    of: Duration::from_secs(600),
                    requests: Some((800, 1000)),
                },
                "measuring 70 s of 600 s (800 of 1000 requests)",
            ),
            (Progress::Draining { following: 3 }, "draining (3 requests to end)"),
        ] {
            assert_eq!(told(progress), text);
        }
    }
}
