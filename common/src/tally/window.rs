//! The measured part of a level: which requests belong to it, and what arrived in it.

use super::{Counts, Tokens};

/// Which of a level's requests are measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All of them: the level ends by a count of requests.
    #[default]
    Whole,
    /// Those intended inside a window that has not been ordered yet: none so far.
    Pending,
    /// Those intended inside this window.
    Window(WindowTally),
}

/// A window, and what happened in it. Instants are nanoseconds since the level fired; the window
/// holds its first instant and not its last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowTally {
    /// Its first instant.
    pub from_ns: u64,
    /// The instant after its last one; `None` until that is ordered.
    pub until_ns: Option<u64>,
    /// What arrived in it, whenever it was asked for.
    pub arrived: Arrived,
    /// Time integral of the requests in flight in it, by the gauge, in request-nanoseconds.
    pub in_flight_ns: u64,
    /// The same by the requests: the sum of each one's overlap with the window.
    pub overlap_ns: u64,
    /// Open requests that were intended before its end: they are followed to theirs.
    pub following: u64,
}

/// What arrived in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    /// Requests that ended well.
    pub requests: u64,
    /// Completion tokens of successful requests, spread evenly over their events.
    pub output: u64,
    /// Prompt tokens of successful requests, at their first token.
    pub prompt: u64,
    /// Of these, tokens that came from a cache.
    pub cached_prompt: u64,
    /// Completion tokens of requests that failed or were cut, at their end.
    pub wasted: u64,
}

impl Scope {
    /// Whether a request intended at this instant is measured.
    pub(super) fn measures(&self, intended_ns: u64) -> bool {
        match self {
            Self::Whole => true,
            Self::Pending => false,
            Self::Window(window) => window.holds(intended_ns),
        }
    }

    /// The window, if there is one by now.
    pub fn window(&self) -> Option<&WindowTally> {
        match self {
            Self::Whole | Self::Pending => None,
            Self::Window(window) => Some(window),
        }
    }

    pub(super) fn window_mut(&mut self) -> Option<&mut WindowTally> {
        match self {
            Self::Whole | Self::Pending => None,
            Self::Window(window) => Some(window),
        }
    }

    /// Adds what `other` holds; a window is told everywhere alike, so the first one known stands.
    pub(super) fn merge(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Window(mine), Self::Window(theirs)) => mine.merge(theirs),
            (Self::Whole | Self::Pending, Self::Pending | Self::Window(_)) => *self = *other,
            (Self::Whole | Self::Pending | Self::Window(_), Self::Whole)
            | (Self::Window(_), Self::Pending) => {}
        }
    }
}

impl WindowTally {
    /// Whether the window holds an instant.
    pub fn holds(&self, ns: u64) -> bool {
        ns >= self.from_ns && self.is_before_end(ns)
    }

    pub(super) fn is_before_end(&self, ns: u64) -> bool {
        self.until_ns.is_none_or(|until| ns < until)
    }

    /// The part of an interval that lies inside.
    pub(super) fn overlap(&self, from_ns: u64, to_ns: u64) -> u64 {
        let to = self.until_ns.map_or(to_ns, |until| to_ns.min(until));
        to.saturating_sub(from_ns.max(self.from_ns))
    }

    /// Its length in seconds; `None` until its end is ordered.
    pub fn length_s(&self) -> Option<f64> {
        self.until_ns.map(|until| until.saturating_sub(self.from_ns) as f64 / 1e9)
    }

    fn merge(&mut self, other: &Self) {
        self.until_ns = self.until_ns.or(other.until_ns);
        self.in_flight_ns = self.in_flight_ns.saturating_add(other.in_flight_ns);
        self.overlap_ns = self.overlap_ns.saturating_add(other.overlap_ns);
        self.following += other.following;
        self.arrived.add(other.arrived);
    }
}

impl Arrived {
    /// All that came of these requests, where there is no window for it to arrive in.
    pub fn of(counts: &Counts, tokens: &Tokens) -> Self {
        Self {
            requests: counts.succeeded,
            output: tokens.completion,
            prompt: tokens.prompt,
            cached_prompt: tokens.cached_prompt,
            wasted: tokens.wasted,
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.output += other.output;
        self.prompt += other.prompt;
        self.cached_prompt += other.cached_prompt;
        self.wasted += other.wasted;
    }
}
