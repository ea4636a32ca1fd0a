//! Waiting for a condition, never for a time.

use std::time::Duration;

use agent::clock::Clock;

/// The pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Looks until there is something to see, and gives it; panics once `bound` has passed.
pub fn until<T>(what: &str, bound: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let clock = Clock::start();
    let began = clock.now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        let waited = clock.now().since(began);
        assert!(waited < bound, "waited {waited:?} for this: {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Looks until `condition` holds; panics once `bound` has passed.
pub fn holds(what: &str, bound: Duration, mut condition: impl FnMut() -> bool) {
    until(what, bound, || condition().then_some(()));
}
