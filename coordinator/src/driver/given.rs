//! What an agent was given, and whether what it sealed can be that. A pure value.

use std::fmt;
use std::time::Duration;

use common::ids::LevelId;
use common::snapshot::{LevelEnd, Seal};
use common::tally::{Scope, Tally};

/// What was given to the agent that a seal comes from.
pub(super) struct Given {
    /// The seal speaks of this acquisition of this boot.
    pub(super) own: bool,
    /// The current level.
    pub(super) level: LevelId,
    /// The agent has begun it and not sealed it.
    pub(super) at_work: bool,
    /// What was ordered from it there.
    pub(super) ordered: Work,
}

/// What was ordered from an agent in a level.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    /// So many requests.
    Requests(u64),
    /// To go on, and to measure this window.
    Window(Window),
}

/// What was ordered of a window: its first instant and the one after its last, both from when the
/// level fired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    /// Where it begins.
    pub(super) from: Option<Duration>,
    /// Where it ends.
    pub(super) until: Option<Duration>,
}

/// What a seal is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Examined {
    /// To be stored.
    New,
    /// Stored before.
    Known,
    /// It contradicts what was ordered.
    Wrong(String),
}

impl Given {
    /// What the seal is.
    pub(super) fn examine(&self, seal: &Seal) -> Examined {
        let &Self { own, level, at_work, ordered } = self;
        let of = seal.snapshot.origin.level;
        if !own {
            return Examined::Wrong("it sealed a level of another acquisition".to_owned());
        }
        if of > level {
            return Examined::Wrong(format!("it sealed level {of}, which it was not given"));
        }
        if of < level || !at_work {
            return Examined::Known;
        }
        let is_complete = match seal.end {
            LevelEnd::Completed => true,
            LevelEnd::Stopped | LevelEnd::LeaseExpired | LevelEnd::Faulted(_) => false,
        };
        let tally = &seal.snapshot.tally;
        let wrong = match ordered {
            Work::Requests(requests) => wrong_requests(tally, is_complete, requests),
            Work::Window(window) => wrong_window(tally.scope, is_complete, window),
        };
        wrong.map_or(Examined::New, Examined::Wrong)
    }
}

fn wrong_requests(tally: &Tally, is_complete: bool, ordered: u64) -> Option<String> {
    let started = tally.counts.started;
    if tally.scope != Scope::Whole {
        return Some("it sealed a window of a level that has none".to_owned());
    }
    if is_complete && started != ordered {
        return Some(format!("it sealed {started} requests of {ordered} as complete"));
    }
    (started > ordered)
        .then(|| format!("it sealed {started} requests, more than the {ordered} ordered"))
}

fn wrong_window(scope: Scope, is_complete: bool, ordered: Window) -> Option<String> {
    let sealed = match scope {
        Scope::Whole => return Some("it sealed a level without its window".to_owned()),
        Scope::Pending => Window::default(),
        Scope::Window(window) => Window {
            from: Some(Duration::from_nanos(window.from_ns)),
            until: window.until_ns.map(Duration::from_nanos),
        },
    };
    // A level that was stopped can be short of an instant, but it knows no other one.
    let is_of = |sealed: Option<Duration>, ordered| sealed.is_none() || sealed == ordered;
    let is_right = is_of(sealed.from, ordered.from)
        && is_of(sealed.until, ordered.until)
        && (!is_complete || (sealed == ordered && sealed.until.is_some()));
    (!is_right).then(|| format!("it sealed a window {sealed}, ordered was {ordered}"))
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |f: &mut fmt::Formatter<'_>, at: Option<Duration>| match at {
            Some(at) => write!(f, "{:.3} s", at.as_secs_f64()),
            None => f.write_str("none"),
        };
        f.write_str("from ")?;
        end(f, self.from)?;
        f.write_str(" to ")?;
        end(f, self.until)
    }
}

#[cfg(test)]
mod tests {
    use common::ids::{BootId, Epoch};
    use common::snapshot::{Origin, Snapshot, Vitals};
    use common::time::Tick;
    use uuid::Uuid;

    use super::*;

    fn seal(ordinal: u32, attempt: u32, started: u64, end: LevelEnd) -> Seal {
        let mut tally = Tally::default();
        tally.counts.started = started;
        let origin = Origin {
            boot: BootId(Uuid::nil()),
            epoch: Epoch(1),
            level: LevelId { ordinal, attempt },
        };
        let vitals = Vitals::default();
        Seal { snapshot: Snapshot { origin, sequence: 1, at: Tick(1), tally, vitals }, end }
    }

    #[test]
    fn only_a_seal_of_what_was_given_reaches_the_store() {
        let level = LevelId { ordinal: 3, attempt: 1 };
        let given = || Given { own: true, level, at_work: true, ordered: Work::Requests(8) };
        let good = seal(3, 1, 8, LevelEnd::Completed);
        assert_eq!(given().examine(&good), Examined::New);
        assert_eq!(given().examine(&seal(3, 1, 5, LevelEnd::Stopped)), Examined::New);
        // A repetition, however late, is acknowledged and nothing else.
        assert_eq!(Given { at_work: false, ..given() }.examine(&good), Examined::Known);
        assert_eq!(given().examine(&seal(3, 0, 8, LevelEnd::Completed)), Examined::Known);
        assert_eq!(given().examine(&seal(1, 7, 9, LevelEnd::Completed)), Examined::Known);
        // A level that no agent was given has no place in the store.
        for wrong in [
            seal(4, 0, 8, LevelEnd::Completed),
            seal(u32::MAX, u32::MAX, 8, LevelEnd::Completed),
            seal(3, 1, 7, LevelEnd::Completed),
            seal(3, 1, 9, LevelEnd::Stopped),
        ] {
            let examined = given().examine(&wrong);
            assert!(matches!(examined, Examined::Wrong(_)), "{examined:?}");
        }
        let other = Given { own: false, ..given() };
        assert!(matches!(other.examine(&good), Examined::Wrong(_)));
    }

    #[test]
    fn a_window_is_complete_only_as_it_was_ordered() {
        let level = LevelId { ordinal: 3, attempt: 1 };
        let sec = Duration::from_secs;
        let window = Window { from: Some(sec(5)), until: Some(sec(65)) };
        let given =
            |window| Given { own: true, level, at_work: true, ordered: Work::Window(window) };
        let sealed = |from: Option<u64>, until: Option<u64>, end| {
            let mut seal = seal(3, 1, 0, end);
            seal.snapshot.tally = Tally::windowed();
            if let Some(from) = from {
                seal.snapshot.tally.measure(from * 1_000_000_000);
            }
            if let Some(until) = until {
                seal.snapshot.tally.release(until * 1_000_000_000);
            }
            seal
        };
        let new = |seal: &Seal, window| given(window).examine(seal) == Examined::New;
        let (completed, stopped) = (LevelEnd::Completed, LevelEnd::Stopped);
        assert!(new(&sealed(Some(5), Some(65), completed.clone()), window));
        for (from, until) in
            [(Some(5), None), (None, None), (Some(6), Some(65)), (Some(5), Some(66))]
        {
            assert!(!new(&sealed(from, until, completed.clone()), window));
        }
        // Whoever is stopped may not have heard of all that was ordered.
        for (from, until) in [(Some(5), Some(65)), (Some(5), None), (None, None)] {
            assert!(new(&sealed(from, until, stopped.clone()), window));
        }
        assert!(!new(&sealed(Some(6), None, stopped.clone()), window));
        assert!(!new(&sealed(Some(5), None, stopped.clone()), Window::default()));
        // A window that never was is none to complete.
        assert!(!new(&sealed(None, None, completed.clone()), Window::default()));
        assert!(!new(&seal(3, 1, 0, completed), window));
        let counted = Given { ordered: Work::Requests(0), ..given(window) };
        assert!(matches!(counted.examine(&sealed(Some(5), None, stopped)), Examined::Wrong(_)));
    }
}
