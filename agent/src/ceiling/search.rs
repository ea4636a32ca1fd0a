//! Looks for the largest number that still holds: climbs until one does not, then halves what lies
//! between. A value that is told how each try went; it knows nothing of what is tried.

/// The climb's factor from one try to the next.
const CLIMB: u64 = 2;
/// What lies between is halved until its ends differ by no more than this factor.
const NEAR: f64 = 1.15;
/// Tries of a number before it counts as too much: one hiccup of a busy host is none.
const TRIES: u32 = 2;

/// A search in progress.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    held: u64,
    /// The least that did not hold.
    missed: Option<u64>,
    next: u64,
    tries: u32,
    least: u64,
    most: u64,
}

impl Search {
    /// Begins with `first`, and never asks for less than `least` or more than `most`.
    pub(super) fn new(least: u64, first: u64, most: u64) -> Self {
        let least = least.max(1);
        let most = most.max(least);
        Self { held: 0, missed: None, next: first.clamp(least, most), tries: 0, least, most }
    }

    /// What to try next; `None` once it is known well enough.
    pub(super) fn next(&self) -> Option<u64> {
        (self.next > 0).then_some(self.next)
    }

    /// What was to be tried next held, or did not; gives whether it is now known for too much.
    pub(super) fn note(&mut self, holds: bool) -> bool {
        self.tries += 1;
        if !holds && self.tries < TRIES {
            return false;
        }
        self.tries = 0;
        if holds {
            self.held = self.next;
        } else {
            self.missed = Some(self.next);
        }
        self.next = match self.missed {
            None if self.held >= self.most => 0,
            None => self.held.saturating_mul(CLIMB).min(self.most),
            Some(missed) if missed <= self.least => 0,
            Some(missed) if self.held == 0 => (missed / (CLIMB * CLIMB)).max(self.least),
            Some(missed) if missed as f64 <= self.held as f64 * NEAR => 0,
            Some(missed) => match self.held + (missed - self.held) / 2 {
                middle if middle == self.held => 0,
                middle => middle,
            },
        };
        !holds
    }

    /// It ended because no more may be asked for, not because more did not hold.
    pub(super) fn is_at_most(&self) -> bool {
        self.held == self.most
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LEAST: u64 = 10;

    /// Searches for `truth`, where every hundredth try fails by chance if `noisy`; gives what was
    /// found, and the tries.
    fn find(truth: u64, first: u64, most: u64, noisy: bool) -> (u64, u32) {
        let mut search = Search::new(LEAST, first, most);
        let mut tries = 0;
        while let Some(number) = search.next() {
            assert!((LEAST..=most.max(LEAST)).contains(&number));
            tries += 1;
            search.note(number <= truth && !(noisy && tries % 3 == 0));
        }
        (search.held, tries)
    }

    proptest! {
        #[test]
        fn what_is_found_holds_and_little_more_does(
            truth in 0u64..1_000_000, first in 1u64..5000, most in 1u64..2_000_000, noisy: bool
        ) {
            let (found, tries) = find(truth, first, most, noisy);
            let there_is = Some(truth.min(most.max(LEAST))).filter(|is| *is >= LEAST).unwrap_or(0);
            prop_assert!(found <= there_is);
            prop_assert!(there_is as f64 <= found as f64 * NEAR + 1.0, "{found} of {there_is}");
            prop_assert!(tries < 100, "{tries}");
        }
    }

    #[test]
    fn nothing_beyond_the_most_is_tried() {
        let mut search = Search::new(1, 64, 100);
        search.note(true);
        assert_eq!(search.next(), Some(100));
        search.note(true);
        assert_eq!((search.next(), search.is_at_most()), (None, true));
        assert_eq!(find(0, 64, 100, false).0, 0);
    }
}
