//! `floodmark demo`: a five-phase campaign against the built-in simulator, through the same path
//! as any other run.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use agent::sim::{self, Profile};
use clap::Args;

use super::run::{Agents, execute};
use super::{Done, Failure};
use crate::campaign::{self, Overlay, Source};

/// Requests per user of the highest levels: enough that the drain at their end weighs little.
const WAVES: u32 = 60;

#[derive(Args)]
pub(super) struct DemoArgs {
    /// Embedded agents
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    agents: u32,
    /// Users of the highest level
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(40..=5000))]
    users: u32,
    /// Half the requests
    #[arg(long)]
    quick: bool,
    /// Directory for the result; made if it does not exist
    #[arg(long, value_name = "DIR")]
    result_dir: Option<PathBuf>,
}

pub(super) fn run(args: &DemoArgs) -> Result<Done, Failure> {
    // A quarter of the highest level decodes at once, so that the last levels saturate.
    let slots = args.users / 4;
    let profile = Profile {
        ttft: Duration::from_millis(60),
        itl: Duration::from_millis(4),
        slots,
        ..Profile::default()
    };
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = sim::spawn(loopback, profile).map_err(|error| Failure::internal(&error))?;
    let text = campaign_text(&format!("http://{}", server.address()), args);
    let source = Source { name: "demo", text: &text };
    let campaign = campaign::resolve(Some(source), &Overlay::default()).map_err(Failure::usage)?;
    super::runtime()?.block_on(async {
        let agents = Agents::embedded(args.agents)?;
        Box::pin(execute(campaign, agents, args.result_dir.as_deref(), true)).await
    })
}

fn campaign_text(target: &str, args: &DemoArgs) -> String {
    let tier = if args.quick { "quick" } else { "default" };
    let users = args.users;
    let (few, eighth, quarter, half) = (users / 40, users / 8, users / 4, users / 2);
    format!(
        r#"
name = "demo"
mode = "paper"
tier = "{tier}"
[target]
base_urls = ["{target}"]
model = "sim"
[workloads.short]
input_tokens = 100
output_tokens = 20
[workloads.long-answer]
input_tokens = 100
output_tokens = 100
[phases]
warmup = {{ users = 1, workload = "short" }}
baseline = {{ users = 1, workload = "short", requests = 20, cooldown = "500ms" }}
scaling = {{ users = [{few}, {eighth}, {quarter}], workload = "short", cooldown = "500ms" }}
saturation = {{ users = [{quarter}, {half}, {users}], requests = [{}, {}, {}], workload = "short", cooldown = "500ms" }}
[[phases.stress]]
users = {eighth}
workload = "long-answer"
requests = {stress_requests}
cooldown = "500ms"
"#,
        quarter * WAVES,
        half * WAVES,
        users * WAVES,
        stress_requests = eighth * 4,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;

    #[test]
    fn every_size_of_demo_is_a_valid_campaign() {
        for users in (40..=5000).step_by(7) {
            for quick in [false, true] {
                let args = DemoArgs { agents: 1, users, quick, result_dir: None };
                let text = campaign_text("http://127.0.0.1:1", &args);
                let source = Source { name: "demo", text: &text };
                let campaign = campaign::resolve(Some(source), &Overlay::default()).unwrap();
                assert_eq!(Plan::of(&campaign).levels.len(), 9);
            }
        }
    }
}
