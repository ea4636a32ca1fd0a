//! Judgements over the numbers of a run. Pure: what is judged comes in, the status goes out.
//!
//! | Module | What it does |
//! |---|---|
//! | `limits` | every limit behind a judgement, with its source |
//! | `paper` | the paper's own statuses, to the letter |
//! | `levels` | the verdicts and axes of levels that were measured here |
//! | `imported` | what can be said of a table measured elsewhere |
//! | `proof` | whether the client was proven |
//! | `verdict`, `status` | the words of all judgements |

pub mod imported;
pub(crate) mod levels;
mod limits;
pub(crate) mod number;
pub mod paper;
pub(crate) mod proof;
mod status;
pub(crate) mod verdict;

pub(crate) use limits::{
    IN_FLIGHT_SLOT_MIN, SAMPLES_P90_MIN, SAMPLES_P95_MIN, SAMPLES_P99_MIN, SAMPLES_P999_MIN,
};
pub use limits::{LIMITS, LIMITS_VERSION, Limit};
pub(crate) use limits::{OUTPUT_OFF_MAX, PROMPT_OFF_MAX, REPEATS_COV_MAX};
pub use status::{Axis, Headline, Reliability};
pub use verdict::{Code, Effect, Verdict};
