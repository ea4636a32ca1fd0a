//! What a search has found: the levels that it ran, taken in again one after the other.
//!
//! A search is a value that depends on nothing but what it is told, so what is stored of its levels
//! gives its answer, what each level was run for, and, while the run lasts, the level to run next.

mod answer;
mod probe;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::model::{LevelReport, LevelState};
use crate::plan::{PlannedLevel, PlannedSearch};
use crate::search::{Findings, Purpose, Search, Step};

pub(super) use answer::saturation;

/// A search as far as it has come.
#[derive(Clone, Debug)]
pub(crate) struct Searched<'s> {
    search: &'s PlannedSearch,
    step: Step,
    findings: Findings,
    /// Levels that it has run, in order.
    run: Vec<PlannedLevel>,
    /// What they were run for, by ordinal.
    purposes: BTreeMap<u32, Purpose>,
}

/// What a search wants.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Next {
    /// Another level.
    Level(Box<PlannedLevel>),
    /// Nothing: it is over, with this answer.
    Over,
}

impl<'s> Searched<'s> {
    /// The search after the levels of a run so far, all its attempts in order.
    pub(crate) fn of(search: &'s PlannedSearch, levels: &[LevelReport]) -> Self {
        let mut state = Search::new(search.spec());
        let mut run = Vec::new();
        let mut purposes = BTreeMap::new();
        let mut own = levels.iter().filter(|level| level.facts.ordinal >= search.first_ordinal());
        let mut next = own.next();
        while let Some(level) = next {
            next = own.next();
            if let Step::Run { purpose, .. } = state.step() {
                purposes.insert(level.facts.ordinal, purpose);
            }
            let again = next.is_some_and(|next| next.facts.ordinal == level.facts.ordinal);
            let ended = match level.state {
                LevelState::Complete | LevelState::Void => !again,
                LevelState::Stopped(_) | LevelState::Unfinished => false,
            };
            if ended {
                let load = probe::load(level);
                let planned = search.level(load, &run);
                state.feed(&probe::probe(level, planned.cooldown));
                run.push(planned);
            }
        }
        Self { search, step: state.step(), findings: state.findings(), run, purposes }
    }

    /// What it wants next.
    pub(crate) fn next(&self) -> Next {
        match self.step {
            Step::Run { load, .. } => Next::Level(Box::new(self.search.level(load, &self.run))),
            Step::Done(_) => Next::Over,
        }
    }

    /// What it has found, or what it does next, in words.
    pub(crate) fn words(&self) -> String {
        match self.step {
            Step::Run { load, purpose } => {
                format!("the search goes on at {} ({})", self.search.words(load), purpose.name())
            }
            Step::Done(answer) => answer::words(self.search, &answer),
        }
    }

    /// What a level was run for.
    pub(super) fn purpose(&self, ordinal: u32) -> Option<Purpose> {
        self.purposes.get(&ordinal).copied()
    }
}
