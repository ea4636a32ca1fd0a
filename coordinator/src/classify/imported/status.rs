//! What can be said of a row's latency and throughput.

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
