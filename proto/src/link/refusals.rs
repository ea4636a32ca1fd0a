//! The log of refused connections. Whoever can reach the port can be refused as often as it likes,
//! so only so many lines are written in a while, and the others are counted.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// Lines written in each [`WINDOW`].
const LINES_MAX: u32 = 20;

const WINDOW: Duration = Duration::from_secs(10);

/// A connection that was not let in.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Where it came from.
    pub(super) address: SocketAddr,
    /// Why, with the name in the certificate where there is one to trust.
    pub(super) reason: String,
}

/// Writes refusals to the log, within bounds.
#[derive(Default)]
pub(super) struct RefusalLog {
    lines: u32,
    unwritten: u64,
    window: Option<Pin<Box<Sleep>>>,
}

impl RefusalLog {
    pub(super) fn note(&mut self, refusal: &Refusal) {
        if self.may_write() {
            tracing::warn!(address = %refusal.address, reason = %refusal.reason, "refused a connection");
        }
    }

    pub(super) fn note_accept_error(&mut self, error: &io::Error) {
        if self.may_write() {
            tracing::warn!(%error, "cannot accept a connection");
        }
    }

    /// Begins another window if the last is over, and says what was left out of it.
    pub(super) fn poll_window(&mut self, cx: &mut Context<'_>) {
        let over =
            self.window.as_mut().is_some_and(|window| window.as_mut().poll(cx) == Poll::Ready(()));
        if !over {
            return;
        }
        if self.unwritten > 0 {
            tracing::warn!(count = self.unwritten, "refused more connections than were logged");
        }
        *self = Self::default();
    }

    fn may_write(&mut self) -> bool {
        self.window.get_or_insert_with(|| Box::pin(sleep(WINDOW)));
        let may = self.lines < LINES_MAX;
        if may {
            self.lines += 1;
        } else {
            self.unwritten += 1;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_refusals_is_counted_not_written() {
        let mut log = RefusalLog::default();
        let written = (0..1_000).filter(|_| log.may_write()).count();
        assert_eq!(written, 20);
        assert_eq!(log.unwritten, 980);

        tokio::time::advance(WINDOW).await;
        poll_fn(|cx| {
            log.poll_window(cx);
            Poll::Ready(())
        })
        .await;
        assert!(log.may_write());
        assert_eq!(log.unwritten, 0);
    }
}
