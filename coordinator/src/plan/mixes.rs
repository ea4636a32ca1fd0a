//! What requests of a level are drawn of, and how often: the workloads of a mix, the models that
//! they name.

use std::collections::BTreeMap;

use common::mix;
use common::workload::Workload;
use serde::Serialize;

use crate::campaign::{Campaign, clip};

/// One of several, and the share of requests that are of it.
#[derive(Serialize)]
pub(super) struct MixedView<'a> {
    name: &'a str,
    share: f64,
}

impl<'a> MixedView<'a> {
    /// The workloads of a mix; none where a workload is none.
    pub(super) fn of_mix(workload: &'a Workload) -> Vec<Self> {
        let each = mix::shares(&workload.mix);
        each.map(|(part, share)| Self { name: part.name.as_str(), share }).collect()
    }

    /// The models that requests name; none where all name the target's.
    pub(super) fn of_models(workload: &'a Workload, usual: &'a str) -> Vec<Self> {
        let named = workload.models_named(usual).into_iter();
        let named: Vec<_> = named.map(|(name, share)| Self { name, share }).collect();
        if named.iter().all(|one| one.name == usual) { Vec::new() } else { named }
    }
}

/// What the workloads of a campaign are drawn of: lines of its heading.
pub(super) fn mixed_lines(campaign: &Campaign) -> Vec<String> {
    let workloads = campaign.workloads().map(|workload| (workload.name.as_str(), workload));
    let workloads: BTreeMap<&str, &Workload> = workloads.collect();
    let line = |heading: &str, name: &str, parts: &[MixedView<'_>]| {
        let words =
            |part: &MixedView<'_>| format!("{:.1} % {}", part.share * 100.0, clip(part.name));
        let parts: Vec<String> = parts.iter().map(words).collect();
        (!parts.is_empty()).then(|| format!("{heading:<9} {name}: {}", parts.join(", ")))
    };
    let lines = workloads.into_iter().flat_map(|(name, workload)| {
        let models = MixedView::of_models(workload, &campaign.target.model);
        [line("mix", name, &MixedView::of_mix(workload)), line("models", name, &models)]
    });
    lines.flatten().collect()
}
