//! What an agent's host can carry, as it was found against a simulator on the same host, and how
//! late a generator may be before it is the limit itself.

use crate::hist::LatencyHist;
use crate::tally::Latencies;

/// Above this event-loop lag at p99, in milliseconds, the client is the limit, whatever is measured.
pub const LOOP_LAG_MAX_MS: f64 = 5.0;
/// Above this share of the median gap between chunks an event-loop lag at p99 blurs them.
pub const LOOP_LAG_SHARE_MAX: f64 = 0.02;
/// An event-loop lag at p99 up to this, in milliseconds, blurs nothing that lasts.
pub const LOOP_LAG_MIN_MS: f64 = 2.0;
/// A send lag at p99 up to this, in milliseconds, is that of a timer.
pub const SEND_LAG_MIN_MS: f64 = 2.0;
/// A send lag at p99 up to this share of the median time to the first token is not felt.
pub const SEND_LAG_SHARE_MAX: f64 = 0.01;
/// A worker may be short of processor time for at most this share of a level.
pub const BUSY_SHARE_MAX: f64 = 0.05;

/// What an agent's host can carry. Its simulator shares the host: a lower bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostCeiling {
    /// When it was found, in milliseconds since 1970; a label.
    pub found_at_ms: u64,
    /// The version of floodmark that found it.
    pub version: String,
    /// The workers that it was found with.
    pub workers: u32,
    /// Workers and simulator shared a processor.
    pub shared: bool,
    /// Streams in flight at once.
    pub streams: Held,
    /// Requests per second, each answered by one token.
    pub requests_per_s: Held,
    /// Chunks per second, each written alone.
    pub chunks_per_s: Held,
}

/// The most of something that was held, and how late the generator was meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// How much; 0 if not even the least that was tried.
    pub most: u64,
    /// Intended instant to send, at p99.
    pub send_lag_us: Option<u64>,
    /// The kernel's receipt to the read, at p99.
    pub receive_lag_us: Option<u64>,
    /// How late the event loop woke, at p99.
    pub loop_lag_us: Option<u64>,
    /// What kept more from being held; empty where no more was tried.
    pub limit: String,
}

impl Held {
    /// So much, with the lags of these latencies.
    pub fn with(most: u64, latencies: &Latencies) -> Self {
        let p99 = |lag: &LatencyHist| lag.quantile_us(0.99).map(|us| us.round() as u64);
        Self {
            most,
            send_lag_us: p99(&latencies.send_lag),
            receive_lag_us: p99(&latencies.receive_lag),
            loop_lag_us: p99(&latencies.loop_lag),
            limit: String::new(),
        }
    }
}

/// The event-loop lag at p99, in milliseconds, that a level with these gaps between chunks may have:
/// a share of the median gap, within bounds.
pub fn loop_lag_limit_ms(icl: &LatencyHist) -> f64 {
    let share_ms = icl.quantile_us(0.5).map(|us| LOOP_LAG_SHARE_MAX * us / 1e3);
    share_ms.map_or(LOOP_LAG_MAX_MS, |ms| ms.clamp(LOOP_LAG_MIN_MS, LOOP_LAG_MAX_MS))
}

/// The send lag at p99, in milliseconds, that a level with these latencies may have.
pub fn send_lag_limit_ms(latencies: &Latencies) -> f64 {
    // An answer that is one body has no first token.
    let felt = if latencies.ttft.is_empty() { &latencies.e2e } else { &latencies.ttft };
    let share_ms = felt.quantile_us(0.5).map(|us| SEND_LAG_SHARE_MAX * us / 1e3);
    share_ms.map_or(SEND_LAG_MIN_MS, |ms| ms.max(SEND_LAG_MIN_MS))
}
