//! Judgements over the numbers of a run. Pure: what is judged comes in, the status goes out.

pub mod imported;
mod limits;
pub mod paper;
pub(crate) mod verdict;

pub use limits::{LIMITS, LIMITS_VERSION, Limit};
pub(crate) use limits::{OUTPUT_OFF_MAX, PROMPT_OFF_MAX};
pub use verdict::{Code, Effect, Verdict};
