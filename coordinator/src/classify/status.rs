//! Answers that imported tables and measured levels share, and the one that comes first.

/// One independent answer and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis<T> {
    /// The answer.
    pub status: T,
    /// The numbers and the limit behind it, in words.
    pub evidence: String,
}

/// The first status that holds of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headline {
    /// A verdict strikes it.
    Invalid,
    /// Too many requests failed.
    Failing,
    /// Throughput fell below that of a lower level.
    Overloaded,
    /// More load brings no more throughput.
    Saturated,
    /// Requests take much longer than the baseline's.
    Degraded,
    /// None of these, as far as the numbers tell.
    Ok,
}

/// Whether requests succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reliability {
    /// Enough of them.
    Ok,
    /// Too few.
    Failing,
}

/// What is found of a level, for its headline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// A verdict strikes it.
    pub(super) struck: bool,
    /// Too many requests failed.
    pub(super) failing: bool,
    /// Throughput fell below that of a lower level.
    pub(super) overloaded: bool,
    /// More load brings no more throughput.
    pub(super) saturated: bool,
    /// Requests take much longer than the baseline's.
    pub(super) degraded: bool,
}

impl Headline {
    /// Every headline, the first to hold first.
    pub const ALL: [Self; 6] =
        [Self::Invalid, Self::Failing, Self::Overloaded, Self::Saturated, Self::Degraded, Self::Ok];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Invalid => "INVALID",
            Self::Failing => "FAILING",
            Self::Overloaded => "OVERLOADED",
            Self::Saturated => "SATURATED",
            Self::Degraded => "DEGRADED",
            Self::Ok => "OK",
        }
    }

    /// The first that holds.
    pub(super) fn of(found: Found) -> Self {
        let holds = |headline: &Self| match headline {
            Self::Invalid => found.struck,
            Self::Failing => found.failing,
            Self::Overloaded => found.overloaded,
            Self::Saturated => found.saturated,
            Self::Degraded => found.degraded,
            Self::Ok => true,
        };
        Self::ALL.into_iter().find(holds).unwrap_or(Self::Ok)
    }
}

impl Reliability {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Failing => "FAILING",
        }
    }
}
