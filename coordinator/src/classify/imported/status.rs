//! What can be said of a row: independent answers, and the one that comes first.

/// One independent answer and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis<T> {
    /// The answer.
    pub status: T,
    /// The numbers and the limit behind it, in words.
    pub evidence: String,
}

/// The first status that holds of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headline {
    /// A verdict strikes it.
    Invalid,
    /// Too many requests failed.
    Failing,
    /// Throughput fell below that of a lower level.
    Overloaded,
    /// More users bring no more throughput.
    Saturated,
    /// Requests take much longer than the baseline's.
    Degraded,
    /// None of these, as far as the table tells.
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

/// How latency compares with the baseline's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latency {
    /// Within the limit.
    Ok,
    /// Beyond it.
    Degraded,
    /// There is nothing to compare, or nothing to compare with.
    Unknown,
    /// Levels of this phase are not judged.
    NotJudged,
}

/// How throughput answers to users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadStatus {
    /// It rises with them.
    Scaling,
    /// It hardly rises.
    Saturated,
    /// It is below that of a lower level.
    Overloaded,
    /// The table has no throughput.
    Unknown,
    /// Levels of this phase are not judged.
    NotJudged,
}

impl Headline {
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

impl Latency {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Degraded => "DEGRADED",
            Self::Unknown => "UNKNOWN",
            Self::NotJudged => "n/a",
        }
    }
}

impl LoadStatus {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scaling => "SCALING",
            Self::Saturated => "SATURATED",
            Self::Overloaded => "OVERLOADED",
            Self::Unknown => "UNKNOWN",
            Self::NotJudged => "n/a",
        }
    }
}
