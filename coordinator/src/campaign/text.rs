//! A campaign as TOML: canonical, every default written out, the API key by reference only.

use std::collections::BTreeMap;

use common::duration::format_duration;
use common::target::BaseUrl;
use common::workload::Workload;
use toml::Value;

use super::{Campaign, KeyRef, LevelPlan, PhasePlan, Tier, phases};

impl Campaign {
    /// The campaign as a file that [`resolve`](super::resolve) reads back to the same campaign.
    pub fn to_toml(&self) -> String {
        let target = &self.target;
        let timeouts = target.timeouts;
        let mut lines = vec![
            format!("name = {}", quoted(self.name.as_str())),
            format!("mode = {}", quoted(self.mode.name())),
            format!("tier = {}", quoted(self.tier.name())),
            format!("seed = {}", self.seed.0),
            String::new(),
            "[target]".to_owned(),
            format!("base_urls = [{}]", quoted(&url(&target.base_url))),
            format!("model = {}", quoted(&target.model)),
            format!("endpoint = {}", quoted(target.endpoint.name())),
            format!("stream = {}", target.stream),
        ];
        lines.extend(self.api_key.as_ref().map(key));
        lines.push(format!(
            "timeouts = {{ connect = {}, first_byte = {}, idle = {}, total = {} }}",
            quoted(&format_duration(timeouts.connect)),
            quoted(&format_duration(timeouts.first_byte)),
            quoted(&format_duration(timeouts.idle)),
            quoted(&format_duration(timeouts.total)),
        ));
        let ready = quoted(&format_duration(self.ready_timeout));
        lines.push(format!("ready_timeout = {ready}"));
        let workloads: BTreeMap<&str, &Workload> = self
            .phases
            .iter()
            .flat_map(|phase| &phase.levels)
            .map(|level| (level.workload.name.as_str(), &level.workload))
            .collect();
        lines.extend(workloads.into_values().flat_map(workload_lines));
        lines.extend(self.phases.iter().flat_map(|phase| phase_lines(phase, self.tier)));
        lines.join("\n") + "\n"
    }
}

/// `/v1` at the end of a base URL is read as part of the API's path; one that belongs to the
/// server's own path is written so that it stays.
fn url(url: &BaseUrl) -> String {
    let text = url.to_string();
    if text.parse().as_ref() == Ok(url) { text } else { text + "/v1" }
}

fn key(key: &KeyRef) -> String {
    match key {
        KeyRef::Env(variable) => format!("api_key = {{ env = {} }}", quoted(variable)),
        KeyRef::File(path) => {
            format!("api_key = {{ file = {} }}", quoted(&path.to_string_lossy()))
        }
    }
}

fn workload_lines(workload: &Workload) -> Vec<String> {
    let name = workload.name.as_str();
    let header = if name.contains('.') { quoted(name) } else { name.to_owned() };
    vec![
        String::new(),
        format!("[workloads.{header}]"),
        format!("input_tokens = {}", workload.input_tokens),
        format!("output_tokens = {}", workload.output_tokens),
        format!("forced_length = {}", workload.forced_length),
        format!("cache = {}", quoted(workload.cache.name())),
    ]
}

/// One table for each run of levels that differ in users and requests only.
fn phase_lines(phase: &PhasePlan, tier: Tier) -> Vec<String> {
    let alike = |a: &LevelPlan, b: &LevelPlan| {
        a.workload == b.workload && a.cooldown == b.cooldown && a.allow_capped == b.allow_capped
    };
    // The warm-up is never multiplied.
    let tier = match phase.phase {
        common::phase::Phase::Warmup => Tier::Default,
        common::phase::Phase::Baseline
        | common::phase::Phase::Scaling
        | common::phase::Phase::Stress
        | common::phase::Phase::Saturation => tier,
    };
    phase
        .levels
        .chunk_by(alike)
        .filter_map(|levels| Some((levels.first()?, levels)))
        .flat_map(|(first, levels)| {
            let users = levels.iter().map(|level| level.load.users.to_string());
            let requests = levels
                .iter()
                .filter_map(|level| level.load.requests())
                .map(|requests| tier.least_stated(requests).to_string());
            [
                String::new(),
                format!("[[phases.{}]]", phases::key(phase.phase)),
                format!("users = [{}]", users.collect::<Vec<_>>().join(", ")),
                format!("workload = {}", quoted(first.workload.name.as_str())),
                format!("requests = [{}]", requests.collect::<Vec<_>>().join(", ")),
                format!("cooldown = {}", quoted(&format_duration(first.cooldown))),
                format!("allow_capped = {}", first.allow_capped),
            ]
        })
        .collect()
}

fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}
