//! The data sets of a plan and the pauses of its users, as a person and a program read of them.

use std::collections::BTreeMap;

use common::length::Length;
use common::records::DataSet;
use common::workload::Workload;
use serde::Serialize;

use crate::campaign::{Campaign, clip};

/// Letters of a digest that tell data sets apart.
const DIGEST_SHOWN: usize = 12;

/// A data set of a plan.
#[derive(Serialize)]
pub(super) struct DataView<'a> {
    workload: &'a str,
    file: &'a str,
    format: &'static str,
    conversations: u32,
    turns: u32,
    order: &'static str,
    sha256: String,
    bytes: u64,
    /// By characters, at four each.
    input_tokens: Option<SpreadView>,
    /// None where the campaign says how long answers are.
    output_tokens: Option<SpreadView>,
}

/// How long the users of a workload think after an answer.
#[derive(Serialize)]
pub(super) struct ThinkView<'a> {
    workload: &'a str,
    mean_s: f64,
    least_s: f64,
    most_s: f64,
}

/// How lengths are spread.
#[derive(Serialize)]
struct SpreadView {
    mean: f64,
    p50: u32,
    p90: u32,
    most: u32,
}

impl SpreadView {
    fn of(length: &Length) -> Option<Self> {
        let mut values = match length {
            Length::Fixed(tokens) => vec![*tokens],
            Length::Values(values) => values.clone(),
            Length::Uniform { .. }
            | Length::Normal { .. }
            | Length::Lognormal { .. }
            | Length::Mixed(_) => return None,
        };
        values.sort_unstable();
        let last = values.len().checked_sub(1)?;
        let at = |share: f64| values.get((share * last as f64).round() as usize).copied();
        Some(Self { mean: length.mean(), p50: at(0.5)?, p90: at(0.9)?, most: at(1.0)? })
    }

    fn words(&self) -> String {
        let Self { mean, p50, p90, most } = self;
        format!("mean {mean:.0}, p50 {p50}, p90 {p90}, most {most}")
    }
}

/// The workloads of a campaign that levels have.
fn workloads(campaign: &Campaign) -> BTreeMap<&str, &Workload> {
    let searched = campaign.search.as_ref().map(|search| &search.level);
    let levels = campaign.phases.iter().flat_map(|phase| &phase.levels).chain(searched);
    levels.map(|level| (level.workload.name.as_str(), &level.workload)).collect()
}

impl<'a> ThinkView<'a> {
    /// Those of a plan.
    pub(super) fn all(campaign: &'a Campaign) -> Vec<Self> {
        let view = |(workload, of): (&'a str, &'a Workload)| {
            let think_ms = of.think_ms.as_ref()?;
            let s = |ms: f64| ms / 1e3;
            Some(Self {
                workload,
                mean_s: s(think_ms.mean()),
                least_s: s(think_ms.least().into()),
                most_s: s(think_ms.most().into()),
            })
        };
        workloads(campaign).into_iter().filter_map(view).collect()
    }

    /// What a person reads of it.
    pub(super) fn line(&self) -> String {
        let Self { workload, mean_s, least_s, most_s } = self;
        let long = if least_s == most_s {
            format!("{mean_s} s")
        } else {
            let decimals = if *mean_s < 1.0 { 3 } else { 1 };
            format!("{least_s} to {most_s} s, {mean_s:.decimals$} s on average,")
        };
        format!("think     {workload}: {long} after each answer, before the next request")
    }
}

impl<'a> DataView<'a> {
    /// Those of a plan.
    pub(super) fn all(campaign: &'a Campaign) -> Vec<Self> {
        let view = |(name, workload)| Self::of(campaign, name, workload);
        workloads(campaign).into_iter().filter_map(view).collect()
    }

    fn of(campaign: &Campaign, name: &'a str, workload: &'a Workload) -> Option<Self> {
        let DataSet { file, format, digest, bytes, conversations, turns, shuffled } =
            workload.data.as_ref()?;
        let stated = campaign.data.get(&workload.name).and_then(|of| of.output_tokens.as_ref());
        let told = stated.is_none() && workload.output_tokens != Length::NONE;
        Some(Self {
            workload: name,
            file,
            format: format.name(),
            conversations: *conversations,
            turns: *turns,
            order: if *shuffled { "shuffled" } else { "file" },
            sha256: digest.to_string(),
            bytes: *bytes,
            input_tokens: SpreadView::of(&workload.input_tokens),
            output_tokens: told.then(|| SpreadView::of(&workload.output_tokens)).flatten(),
        })
    }

    /// What a person reads of it.
    pub(super) fn lines(&self) -> Vec<String> {
        let Self { workload, conversations, turns, order, sha256, .. } = self;
        let digest = sha256.get(..DIGEST_SHOWN).unwrap_or_default();
        let order = if *order == "file" { "" } else { ", shuffled for each level" };
        let mut lines = vec![
            format!("data      {workload}: {} ({}{order})", clip(self.file), self.format),
            format!("          {conversations} conversations, {turns} turns, sha256 {digest}"),
        ];
        let spreads = [("in", &self.input_tokens), ("out", &self.output_tokens)];
        lines.extend(spreads.into_iter().filter_map(|(name, spread)| {
            Some(format!("          tokens {name}: {}", spread.as_ref()?.words()))
        }));
        lines
    }
}
