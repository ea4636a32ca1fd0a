//! Rates of the part of a level whose requests share something.

use common::tally::{Arrived, SliceTally};

use super::{Measured, rate_of, token_rate_of};

/// Rates per second of a slice, over the part of its level that is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct SliceRates {
    /// Requests that ended well.
    pub(crate) requests: Option<f64>,
    /// Completion tokens.
    pub(crate) output: Option<f64>,
    /// Prompt tokens.
    pub(crate) prompt: Option<f64>,
    /// Prompt and completion tokens.
    pub(crate) total: Option<f64>,
    /// Requests that met every objective.
    pub(crate) good: Option<f64>,
}

impl Measured<'_> {
    /// The rates of a slice: in a window by what arrived in it, of a level that is measured whole
    /// by all of it.
    pub(crate) fn slice_rates(&self, slice: &SliceTally) -> SliceRates {
        let Some(period) = self.period else { return SliceRates::default() };
        let SliceTally { measured, tokens, .. } = slice;
        let arrived = match self.window() {
            Some(_) => slice.arrived,
            None => Arrived::of(measured, tokens),
        };
        let per_s = |count| rate_of(count, period);
        let counted = |count| token_rate_of(count, (measured, tokens), period);
        SliceRates {
            requests: per_s(arrived.requests),
            output: counted(arrived.output),
            prompt: counted(arrived.prompt),
            total: counted(arrived.prompt + arrived.output),
            good: per_s(slice.good),
        }
    }
}
