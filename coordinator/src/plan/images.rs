//! The images of a plan: what requests have, and what it takes of an agent's memory.

use std::collections::BTreeMap;

use common::ids::Name;
use common::images::Images;
use common::workload::Workload;
use serde::Serialize;

use super::render::size;
use super::view::TokensView;
use super::{Plan, PlannedLevel};

/// The images that a workload asks for.
#[derive(Serialize)]
pub(super) struct ImagesView {
    workload: String,
    count: TokensView,
    width: u32,
    height: u32,
    format: &'static str,
    deliver: &'static str,
    /// What each agent holds for them, at most.
    prepared_bytes_max: u64,
}

impl ImagesView {
    /// Those of each workload that the level's requests are of.
    pub(super) fn of(level: &PlannedLevel) -> Vec<Self> {
        let of = |(workload, images): (&Workload, &Images)| {
            let Images { count, width, height, format, deliver } = images;
            Self {
                workload: workload.name.to_string(),
                count: TokensView::of(count),
                width: *width,
                height: *height,
                format: format.name(),
                deliver: deliver.name(),
                prepared_bytes_max: images.prepared_max(),
            }
        };
        level.workload.illustrated().map(of).collect()
    }
}

/// A line for each workload that has images, by its name.
pub(super) fn lines(plan: &Plan) -> Vec<String> {
    let searched = plan.search.as_ref().map(|search| search.first().workload);
    let workloads: Vec<Workload> =
        plan.measured().map(|level| level.workload.clone()).chain(searched).collect();
    let all: BTreeMap<&Name, &Images> = workloads
        .iter()
        .flat_map(Workload::illustrated)
        .map(|(workload, images)| (&workload.name, images))
        .collect();
    let line = |(name, images): (&&Name, &&Images)| {
        let prepared = size(images.prepared_max());
        format!("images    {name}: {images}; prepared, at most {prepared} in each agent")
    };
    all.iter().map(line).collect()
}
