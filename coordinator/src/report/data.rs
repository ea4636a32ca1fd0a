//! What a level's prompts were taken from and how its users paused, as a program and a person read
//! of it.

use std::collections::{BTreeMap, BTreeSet};

use common::length::Length;
use common::records::DataSet;
use serde::Serialize;

use super::model::ReportModel;
use super::plain::{plain, wrap};
use super::text::WIDTH;

/// Letters of a digest that tell data sets apart.
const DIGEST_SHOWN: usize = 12;

/// The data set of a level.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DataUsed {
    /// The file, as the campaign named it.
    pub file: String,
    /// What it held.
    pub format: &'static str,
    /// How many conversations there are.
    pub conversations: u32,
    /// How many requests these are.
    pub turns: u32,
    /// `file` or `shuffled`.
    pub order: &'static str,
    /// SHA-256 of what agents were supplied with.
    pub sha256: String,
}

impl DataUsed {
    /// That of a workload.
    pub(super) fn of(data: &DataSet) -> Self {
        let DataSet { file, format, digest, conversations, turns, shuffled, bytes: _ } = data;
        Self {
            file: file.clone(),
            format: format.name(),
            conversations: *conversations,
            turns: *turns,
            order: if *shuffled { "shuffled" } else { "file" },
            sha256: digest.to_string(),
        }
    }
}

/// How long users thought after an answer, in seconds, as the campaign says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Think {
    /// On average.
    pub mean: f64,
    /// At least.
    pub least: f64,
    /// At most.
    pub most: f64,
}

impl Think {
    /// By a law in milliseconds.
    pub(super) fn of(think_ms: &Length) -> Self {
        let [least, most] = [think_ms.least(), think_ms.most()].map(|ms| f64::from(ms) / 1e3);
        Self { mean: think_ms.mean() / 1e3, least, most }
    }

    fn words(&self) -> String {
        let Self { mean, least, most } = self;
        if least == most { format!("{mean} s") } else { format!("{least} to {most} s") }
    }
}

/// One line for each data set of a run, and for each workload whose users think.
pub(super) fn lines(model: &ReportModel) -> String {
    let used: BTreeSet<(&str, &DataUsed)> = model
        .levels
        .iter()
        .filter_map(|level| Some((level.workload.as_str(), level.dataset.as_ref()?)))
        .collect();
    let line = |(workload, data): (&str, &DataUsed)| {
        let DataUsed { file, format, conversations, turns, order, sha256 } = data;
        let digest = sha256.get(..DIGEST_SHOWN).unwrap_or_default();
        let order = if *order == "file" { "" } else { ", shuffled" };
        let (workload, file) = (plain(workload, 24), plain(file, 60));
        let text = format!(
            "{workload}: {file} ({format}{order}), {conversations} conversations, {turns} turns, \
             sha256 {digest}"
        );
        wrap("data      ", &text, WIDTH)
    };
    let thinking: BTreeMap<&str, &Think> = model
        .levels
        .iter()
        .filter_map(|level| Some((level.workload.as_str(), level.think_time_s.as_ref()?)))
        .collect();
    let thought = |(workload, think): (&str, &Think)| {
        let text = format!(
            "{}: users think for {} after each answer; they are people, and not requests in flight",
            plain(workload, 24),
            think.words()
        );
        wrap("think     ", &text, WIDTH)
    };
    used.into_iter().map(line).chain(thinking.into_iter().map(thought)).collect()
}
