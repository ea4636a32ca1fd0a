//! Parts of a level's requests that share something, so that results can be told apart by it.

use std::fmt;

/// Slices of one level, at most, over all kinds.
pub const SLICES_MAX: usize = 64;

/// What the requests of a slice share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SliceBy {
    /// The workload that was drawn of a mix.
    Workload,
    /// The model that they name.
    Model,
    /// The base URL that they are sent to.
    BaseUrl,
}

impl SliceBy {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Workload, Self::Model, Self::BaseUrl];

    /// The name in `summary.json` and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Workload => "workload",
            Self::Model => "model",
            Self::BaseUrl => "base_url",
        }
    }
}

impl fmt::Display for SliceBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The requests of a level that share one thing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    /// The kind of thing.
    pub by: SliceBy,
    /// Which one.
    pub name: String,
}

/// The slices that one request belongs to: at most one of each kind, by its place in the level's
/// list of slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InSlices([u8; SliceBy::ALL.len()]);

/// Stands for no slice: beyond every place.
const NOWHERE: u8 = u8::MAX;

impl InSlices {
    /// In no slice.
    pub const NONE: Self = Self([NOWHERE; SliceBy::ALL.len()]);

    /// In the slice at this place of the list too, which is of this kind.
    pub fn and(mut self, by: SliceBy, place: u8) -> Self {
        if let Some(of_kind) = self.0.get_mut(by as usize) {
            *of_kind = place;
        }
        self
    }

    /// In all of both.
    pub(crate) fn joined(self, other: Self) -> Self {
        let places = self.0.iter().zip(other.0);
        let mut joined = Self::NONE;
        for (into, (mine, theirs)) in joined.0.iter_mut().zip(places) {
            *into = *mine.min(&theirs);
        }
        joined
    }

    /// The places of its slices.
    pub fn places(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().filter(|place| *place != NOWHERE).map(usize::from)
    }
}

impl Default for InSlices {
    fn default() -> Self {
        Self::NONE
    }
}
