//! When the tokens of one stream came.
//!
//! Knows instants only. What makes an event token-bearing is decided where it is decoded.

use common::time::Tick;

/// The instants of one stream.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    first_token: Option<Tick>,
    first_answer: Option<Tick>,
    last_token: Option<Tick>,
    first_output: Option<Tick>,
    last_output: Option<Tick>,
    events: u64,
    gaps_us: Vec<u32>,
}

/// The instants that latencies are computed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TokenMarks {
    pub(super) first_token: Option<Tick>,
    pub(super) first_answer: Option<Tick>,
    pub(super) last_token: Option<Tick>,
}

impl Timeline {
    /// Forgets everything, keeping room for at most `keep` gaps.
    pub(super) fn reset(&mut self, keep: usize) {
        let mut gaps_us = self.take_gaps();
        gaps_us.clear();
        gaps_us.shrink_to(keep);
        *self = Self { gaps_us, ..Self::default() };
    }

    /// An event about the output came, whether or not it bears anything.
    pub(super) fn output(&mut self, now: Tick) {
        self.first_output.get_or_insert(now);
        self.last_output = Some(now);
    }

    /// A token-bearing event came; `answer` if it is more than reasoning.
    pub(super) fn token(&mut self, now: Tick, answer: bool) {
        self.first_token.get_or_insert(now);
        if answer {
            self.first_answer.get_or_insert(now);
        }
        if let Some(last) = self.last_token.replace(now) {
            let gap = now.ns_since(last) / 1000;
            self.gaps_us.push(u32::try_from(gap).unwrap_or(u32::MAX));
        }
        self.events += 1;
    }

    /// The marks. Where tokens were `reported` and no event showed one (all text was empty), the
    /// first and last events about the output stand in; what was answer then is unknown.
    pub(super) fn marks(&self, reported: bool) -> TokenMarks {
        if self.events == 0 && reported {
            TokenMarks {
                first_token: self.first_output,
                first_answer: None,
                last_token: self.last_output,
            }
        } else {
            TokenMarks {
                first_token: self.first_token,
                first_answer: self.first_answer,
                last_token: self.last_token,
            }
        }
    }

    /// Token-bearing events seen.
    pub(super) fn events(&self) -> u64 {
        self.events
    }

    /// The gaps between them, in whole microseconds.
    pub(super) fn take_gaps(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.gaps_us)
    }

    /// Takes back a buffer to use its room again, unless there is one already.
    pub(super) fn recycle(&mut self, mut gaps_us: Vec<u32>) {
        if self.gaps_us.capacity() == 0 {
            gaps_us.clear();
            self.gaps_us = gaps_us;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn reasoning_starts_the_tokens_and_not_the_answer() {
        let mut timeline = Timeline::default();
        timeline.token(Tick(MS), false);
        timeline.token(Tick(3 * MS), true);
        timeline.token(Tick(3 * MS), true);
        timeline.token(Tick(3 * MS + 1999), false);
        let marks = timeline.marks(true);
        assert_eq!(marks.first_token, Some(Tick(MS)));
        assert_eq!(marks.first_answer, Some(Tick(3 * MS)));
        assert_eq!(marks.last_token, Some(Tick(3 * MS + 1999)));
        assert_eq!(timeline.events(), 4);
        assert_eq!(timeline.take_gaps(), [2000, 0, 1]);
    }

    #[test]
    fn empty_text_is_timed_by_its_events_if_tokens_were_reported() {
        let mut timeline = Timeline::default();
        timeline.output(Tick(1));
        timeline.output(Tick(2));
        timeline.output(Tick(5));
        assert_eq!(timeline.marks(false), TokenMarks::default());
        let marks = timeline.marks(true);
        assert_eq!((marks.first_token, marks.last_token), (Some(Tick(1)), Some(Tick(5))));
        assert_eq!(marks.first_answer, None);
    }

    #[test]
    fn an_hour_and_a_half_between_tokens_does_not_wrap() {
        let mut timeline = Timeline::default();
        timeline.token(Tick(0), true);
        timeline.token(Tick(5_400_000 * MS), true);
        assert_eq!(timeline.take_gaps(), [u32::MAX]);
    }
}
