//! An order to stop: SIGINT or SIGTERM. Whoever waits looks here, and what it holds ends with it.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};

static WANTED: AtomicBool = AtomicBool::new(false);

/// Listens for the rest of the process's life.
pub(crate) fn listen() {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let handler = |kind| signal(kind).expect("a signal handler");
            let mut interrupt = handler(SignalKind::interrupt());
            let mut terminate = handler(SignalKind::terminate());
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            WANTED.store(true, Ordering::Relaxed);
        });
    });
}

/// The benchmark is to end.
pub(crate) fn is_wanted() -> bool {
    WANTED.load(Ordering::Relaxed)
}
