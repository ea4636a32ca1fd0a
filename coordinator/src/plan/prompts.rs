//! How prompts get the lengths that a plan shows.

use std::collections::BTreeMap;

use common::text::{CHARS_PER_TOKEN, PromptText};
use common::workload::Workload;
use serde::Serialize;

use crate::campaign::{Campaign, Lengths, clip};

/// How the prompts of a workload get their length.
#[derive(Serialize)]
pub(super) struct PromptsView {
    workload: String,
    lengths: &'static str,
    tokenizer: Option<String>,
}

impl PromptsView {
    /// Those of all workloads that levels have.
    pub(super) fn all(campaign: &Campaign) -> Vec<Self> {
        let view = |(name, plan): (&_, &crate::campaign::PromptPlan)| Self {
            workload: format!("{name}"),
            lengths: plan.lengths.name(),
            tokenizer: plan.tokenizer.as_ref().map(|path| path.to_string_lossy().into_owned()),
        };
        campaign.prompts.iter().map(view).collect()
    }
}

/// Whether a token is what the paper takes for one, in every workload.
pub(super) fn are_characters(campaign: &Campaign) -> bool {
    campaign.prompts.values().all(|plan| plan.lengths == Lengths::Characters)
}

/// The same in words; workloads of the same way are named together.
pub(super) fn lines(campaign: &Campaign) -> Vec<String> {
    let mut ways: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (workload, _) in campaign.workloads().flat_map(Workload::components) {
        let Some(plan) = campaign.prompts.get(&workload.name) else { continue };
        let way = match (plan.lengths, &plan.tokenizer) {
            (Lengths::Characters, _) => format!("{CHARS_PER_TOKEN} characters a token"),
            (Lengths::Measured, None) => {
                "corrected once by what the target says in its usage".to_owned()
            }
            (Lengths::Measured, Some(path)) => {
                let path = clip(&path.to_string_lossy());
                let words = match &workload.text {
                    PromptText::Words(words) => words.pool_len(),
                    PromptText::Characters | PromptText::Measured(_) => 0,
                };
                format!(
                    "words of {path}, one token each ({words} tell prompts apart), less what the \
                     target says that it adds"
                )
            }
        };
        let names = ways.entry(way).or_default();
        if !names.contains(&workload.name.as_str()) {
            names.push(workload.name.as_str());
        }
    }
    if are_characters(campaign) {
        return Vec::new();
    }
    ways.into_iter().map(|(way, names)| format!("prompts   {}: {way}", names.join(", "))).collect()
}
