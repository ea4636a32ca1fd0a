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

#[cfg(test)]
mod tests {
    use crate::campaign::{Overlay, Source, resolve};
    use crate::plan::Plan;
    use crate::plan::render;

    #[test]
    fn a_plan_tells_what_requests_are_drawn_of() {
        let text = "mode = \"paper\"\n[target]\nbase_urls = [\"http://h\"]\nmodel = \"base\"\n\
                    [workloads.chat]\ninput_tokens = 100\noutput_tokens = 10\n\
                    models = { \"base\" = 3, \"lora-a\" = 1 }\n\
                    [workloads.long]\ninput_tokens = 900\noutput_tokens = 10\n\
                    [workloads.both]\nmix = { chat = 3, long = 1 }\n\
                    [phases]\nscaling = { users = 2, requests = 9, workload = \"both\" }\n";
        let source = Source { name: "c.toml", text };
        let campaign = resolve(Some(source), &Overlay::default()).unwrap();
        let plan = Plan::of(&campaign);
        let shown = render::text(&campaign, &plan, Some(1));
        for line in [
            "mix       both: 75.0 % chat, 25.0 % long",
            "models    both: 81.2 % base, 18.8 % lora-a",
        ] {
            assert!(shown.contains(line), "{shown}");
        }
        // Three quarters of 100 and one of 900.
        assert!(shown.contains("about 2700 input tokens"), "{shown}");
        let json = render::json(&campaign, &plan, Some(1));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let level = &json["levels"][0];
        assert_eq!(level["mix"][0], serde_json::json!({ "name": "chat", "share": 0.75 }));
        assert_eq!(level["models"][1], serde_json::json!({ "name": "lora-a", "share": 0.1875 }));
        assert_eq!(level["input_tokens"]["mean"], 300.0);
        assert_eq!(level["cache"], "replay");
    }
}
