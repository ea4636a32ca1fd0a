//! Results of the parts of a level whose requests share something.

use crate::hist::LatencyHist;
use crate::outcome::Ending;
use crate::slice::{InSlices, Slice, SliceBy};

use super::{Arrived, ConservationError, Counts, Tokens};

/// The slices of a level; empty where all requests are alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slices(Vec<SliceTally>);

/// One slice's part of what a level measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceTally {
    /// Which requests.
    pub slice: Slice,
    /// Those of them that are measured, by how they ended.
    pub measured: Counts,
    /// Successes that meet every objective.
    pub good: u64,
    /// Their tokens.
    pub tokens: Tokens,
    /// What arrived in the window, whenever it was asked for; nothing in a level without one.
    pub arrived: Arrived,
    /// Send to first token, of the successes.
    pub ttft: LatencyHist,
    /// Send to last token.
    pub e2e: LatencyHist,
    /// Time per token after the first.
    pub tpot: LatencyHist,
}

/// What a measured success adds.
#[derive(Clone, Copy)]
pub(super) struct Success {
    pub(super) tokens: Tokens,
    pub(super) good: bool,
    pub(super) e2e_ns: u64,
    pub(super) ttft_ns: Option<u64>,
    pub(super) tpot_ns: Option<u64>,
}

impl SliceTally {
    /// An empty one.
    pub fn new(slice: Slice) -> Self {
        Self {
            slice,
            measured: Counts::default(),
            good: 0,
            tokens: Tokens::default(),
            arrived: Arrived::default(),
            ttft: LatencyHist::new(),
            e2e: LatencyHist::new(),
            tpot: LatencyHist::new(),
        }
    }

    fn merge(&mut self, other: &Self) {
        self.measured.merge(&other.measured);
        self.good += other.good;
        self.tokens.merge(&other.tokens);
        self.arrived.add(other.arrived);
        self.ttft.merge(&other.ttft);
        self.e2e.merge(&other.e2e);
        self.tpot.merge(&other.tpot);
    }
}

impl Slices {
    /// Empty ones, in the order of the level's list.
    pub fn new(slices: &[Slice]) -> Self {
        Self(slices.iter().cloned().map(SliceTally::new).collect())
    }

    /// Those of a level that is over.
    pub fn from_parts(parts: Vec<SliceTally>) -> Self {
        Self(parts)
    }

    /// Each of them, in the order of the level's list.
    pub fn iter(&self) -> impl Iterator<Item = &SliceTally> {
        self.0.iter()
    }

    /// All requests are alike.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn start(&mut self, slices: InSlices) {
        self.each(slices, |slice| slice.measured.start());
    }

    pub(super) fn end(&mut self, slices: InSlices, ending: Ending) {
        self.each(slices, |slice| slice.measured.end(ending));
    }

    pub(super) fn succeed(&mut self, slices: InSlices, success: Success) {
        self.each(slices, |slice| {
            slice.tokens.merge(&success.tokens);
            slice.good += u64::from(success.good);
            slice.e2e.record_ns(success.e2e_ns);
            for (hist, ns) in
                [(&mut slice.ttft, success.ttft_ns), (&mut slice.tpot, success.tpot_ns)]
            {
                if let Some(ns) = ns {
                    hist.record_ns(ns);
                }
            }
        });
    }

    pub(super) fn waste(&mut self, slices: InSlices, tokens: u64) {
        self.each(slices, |slice| slice.tokens.wasted += tokens);
    }

    pub(super) fn arrive(&mut self, slices: InSlices, arrived: Arrived) {
        self.each(slices, |slice| slice.arrived.add(arrived));
    }

    fn each(&mut self, slices: InSlices, mut add: impl FnMut(&mut SliceTally)) {
        for place in slices.places() {
            if let Some(slice) = self.0.get_mut(place) {
                add(slice);
            }
        }
    }

    /// Adds everything that `other` holds.
    pub(super) fn merge(&mut self, other: &Self) {
        for theirs in &other.0 {
            match self.0.iter_mut().find(|mine| mine.slice == theirs.slice) {
                Some(mine) => mine.merge(theirs),
                None => self.0.push(theirs.clone()),
            }
        }
    }

    /// Checks that every measured request is in one slice of each kind that there is, and each
    /// slice for itself.
    pub(super) fn check(&self, all: &Whole<'_>) -> Result<(), ConservationError> {
        for slice in &self.0 {
            slice.measured.check()?;
            let (samples, requests) = (slice.e2e.count(), slice.measured.succeeded);
            if samples != requests {
                let name = "e2e of a slice";
                return Err(ConservationError::Samples { name, samples, requests });
            }
        }
        for by in SliceBy::ALL {
            let mut of_kind = self.0.iter().filter(|slice| slice.slice.by == by).peekable();
            if of_kind.peek().is_some() && !all.is_sum_of(of_kind) {
                return Err(ConservationError::Slices { by: by.name() });
            }
        }
        Ok(())
    }
}

/// What the slices of each kind must add up to.
pub(super) struct Whole<'a> {
    pub(super) measured: &'a Counts,
    pub(super) good: u64,
    pub(super) tokens: &'a Tokens,
    pub(super) arrived: Arrived,
}

impl Whole<'_> {
    fn is_sum_of<'s>(&self, slices: impl Iterator<Item = &'s SliceTally>) -> bool {
        let (mut measured, mut good) = (Counts::default(), 0);
        let (mut tokens, mut arrived) = (Tokens::default(), Arrived::default());
        for slice in slices {
            // So no sum of requests can overflow either.
            if !slice.measured.is_part_of(self.measured) {
                return false;
            }
            measured.merge(&slice.measured);
            good += slice.good;
            tokens.merge(&slice.tokens);
            arrived.add(slice.arrived);
        }
        measured == *self.measured
            && good == self.good
            && tokens == *self.tokens
            && arrived == self.arrived
    }
}
