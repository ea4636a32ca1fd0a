//! Judgements over the numbers of a run. Pure: what is judged comes in, the status goes out.

pub mod paper;
