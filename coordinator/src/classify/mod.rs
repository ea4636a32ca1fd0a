//! Judgements over the numbers of a run. Pure: what is judged comes in, the status goes out.

pub mod imported;
mod limits;
pub mod paper;

pub use limits::{LIMITS, LIMITS_VERSION, Limit};
