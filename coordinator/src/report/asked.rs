//! How the target was asked, in the heading of a report.

use common::target::Endpoint;

use super::plain::{CLIP, plain};
use crate::campaign::{self, Overlay, Source, unusual};

/// How the target was asked where that is not as by default, each part after a comma; of a campaign
/// that cannot be read nothing is known.
pub(super) fn manner(campaign_toml: &str) -> String {
    let source = Source { name: "campaign.toml", text: campaign_toml };
    let Ok(campaign) = campaign::resolve(Some(source), &Overlay::default()) else {
        return String::new();
    };
    let endpoint = campaign.target.endpoint;
    let endpoint = (endpoint != Endpoint::Chat).then(|| endpoint.name().to_owned());
    let words = endpoint.into_iter().chain(unusual(&campaign));
    words.map(|words| format!(", {}", plain(&words, CLIP))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAMPAIGN: &str = "[workloads.w]\ninput_tokens = 5\noutput_tokens = 2\n\
                            [phases]\nbaseline = { workload = \"w\" }\n\
                            [target]\nbase_urls = [\"http://h\"]\nmodel = \"m\"\n";

    #[test]
    fn only_what_is_not_as_by_default_is_told() {
        assert_eq!(manner(CAMPAIGN), "");
        assert_eq!(manner("no campaign"), "");
        let more = "endpoint = \"completions\"\nhttp = \"2\"\nconnection = \"per-request\"\n\
                    extra_body = { top_p = 0.9, a = 1 }\n\
                    headers = { x-team = \"perf\", cookie = { env = \"C\" } }\n";
        assert_eq!(
            manner(&format!("{CAMPAIGN}{more}")),
            ", completions, HTTP/2, a connection per request, extra body a top_p, headers x-team cookie"
        );
    }
}
