//! Statistics of the method, section 2.4 and 3.8: a mean with its interval, tails that a sample is
//! large enough to certify, and the arithmetic that ties rates, latencies and requests in flight.
//!
//! What is undefined is `None`, never 0.

pub mod compare;
mod describe;
mod law;
mod tail;

pub use describe::{Summary, describe};
pub use law::{in_flight, ratio};
pub use tail::certified_p99_us;

#[cfg(test)]
mod tests;
