//! Requests by how they ended, and what must hold of them.

use crate::outcome::{Censor, Ending, Failure};

/// Requests by how they ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Requests begun: a user took them up.
    pub started: u64,
    /// Ended well.
    pub succeeded: u64,
    /// Failed, by class, in the order of [`Failure::ALL`].
    pub failed: [u64; Failure::ALL.len()],
    /// Cut by floodmark, by reason, in the order of [`Censor::ALL`].
    pub censored: [u64; Censor::ALL.len()],
    /// Begun and not ended.
    pub open: u64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            started: 0,
            succeeded: 0,
            failed: [0; Failure::ALL.len()],
            censored: [0; Censor::ALL.len()],
            open: 0,
        }
    }
}

impl Counts {
    /// All failures.
    pub fn failed_total(&self) -> u64 {
        self.failed.iter().sum()
    }

    /// All requests cut by floodmark.
    pub fn censored_total(&self) -> u64 {
        self.censored.iter().sum()
    }

    /// Failures of one class.
    pub fn failed_by(&self, failure: Failure) -> u64 {
        self.failed.get(failure.index()).copied().unwrap_or(0)
    }

    /// The classes that occurred, failures and censored requests, with their counts.
    pub fn by_class(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let failed = Failure::ALL.iter().map(|f| f.name()).zip(self.failed);
        let censored = Censor::ALL.iter().map(|c| c.name()).zip(self.censored);
        failed.chain(censored).filter(|(_, count)| *count > 0)
    }

    pub(super) fn start(&mut self) {
        self.started += 1;
        self.open += 1;
    }

    pub(super) fn end(&mut self, ending: Ending) {
        self.open = self.open.saturating_sub(1);
        let counter = match ending {
            Ending::Succeeded => Some(&mut self.succeeded),
            Ending::Failed(failure) => self.failed.get_mut(failure.index()),
            Ending::Censored(censor) => self.censored.get_mut(censor.index()),
        };
        if let Some(counter) = counter {
            *counter += 1;
        }
    }

    pub(super) fn check(&self) -> Result<(), ConservationError> {
        let sum = |all: &[u64]| all.iter().try_fold(0u64, |sum, &n| sum.checked_add(n));
        let failed = sum(&self.failed).ok_or(ConservationError::Overflow)?;
        let censored = sum(&self.censored).ok_or(ConservationError::Overflow)?;
        let ended = sum(&[self.succeeded, failed, censored, self.open])
            .ok_or(ConservationError::Overflow)?;
        if ended == self.started {
            return Ok(());
        }
        Err(ConservationError::Endings {
            started: self.started,
            succeeded: self.succeeded,
            failed,
            censored,
            open: self.open,
        })
    }

    pub(super) fn is_part_of(&self, all: &Self) -> bool {
        let each = |mine: &[u64], all: &[u64]| mine.iter().zip(all).all(|(mine, all)| mine <= all);
        each(&[self.started, self.succeeded, self.open], &[all.started, all.succeeded, all.open])
            && each(&self.failed, &all.failed)
            && each(&self.censored, &all.censored)
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.started += other.started;
        self.succeeded += other.succeeded;
        self.open += other.open;
        add_each(&mut self.failed, &other.failed);
        add_each(&mut self.censored, &other.censored);
    }
}

fn add_each(into: &mut [u64], from: &[u64]) {
    for (into, from) in into.iter_mut().zip(from) {
        *into += from;
    }
}

/// A tally that contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConservationError {
    /// The endings do not sum to the requests begun.
    #[error(
        "started {started} is not succeeded {succeeded} + failed {failed} + censored {censored} + \
         open {open}"
    )]
    Endings {
        /// Requests begun.
        started: u64,
        /// Ended well.
        succeeded: u64,
        /// Failed.
        failed: u64,
        /// Cut.
        censored: u64,
        /// Not ended.
        open: u64,
    },
    /// A sealed level still has requests open.
    #[error("{0} requests are open in a sealed level")]
    Open(u64),
    /// The measured requests are not those that the level's scope allows.
    #[error("the measured requests are not a part of all requests")]
    Measured,
    /// A histogram does not hold as many samples as requests were counted.
    #[error("{name} holds {samples} samples for {requests} requests")]
    Samples {
        /// Which histogram.
        name: &'static str,
        /// Its samples.
        samples: u64,
        /// Requests that give one sample each.
        requests: u64,
    },
    /// The slices of a kind do not hold each measured request once.
    #[error("the results by {by} do not add up to the measured requests")]
    Slices {
        /// The kind.
        by: &'static str,
    },
    /// A sum does not fit 64 bits.
    #[error("the counts overflow")]
    Overflow,
}
