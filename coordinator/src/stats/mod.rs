//! Statistics of the method, section 2.4 and 3.8: a mean with its interval, tails that a sample is
//! large enough to certify, and the arithmetic that ties rates, latencies and requests in flight.
//!
//! What is undefined is `None`, never 0.

mod describe;
mod floor;
mod law;
mod tail;

pub use describe::{Summary, describe};
pub use floor::certified_floor;
pub use law::{in_flight, ratio};
pub use tail::certified_p99_us;

#[cfg(test)]
mod tests;
