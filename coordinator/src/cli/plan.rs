//! `floodmark plan`.

use super::args::{Environment, PlanArgs, PlanFormat};
use super::{Done, Failure};
use crate::campaign::Problems;
use crate::plan::{Plan, render};
use crate::prompts;

pub(super) fn run(args: &PlanArgs) -> Result<Done, Failure> {
    let environment = Environment::read();
    let campaign = args.campaign.resolve(&environment);
    let spec = args.fleet.spec(&environment);
    let (mut campaign, spec) = Problems::both(campaign, spec).map_err(Failure::usage)?;
    prompts::load(&mut campaign).map_err(Failure::usage)?;
    let plan = Plan::of(&campaign);
    Ok(Done::text(match args.format {
        PlanFormat::Text => render::text(&campaign, &plan, spec.count()),
        PlanFormat::Json => render::json(&campaign, &plan, spec.count()),
    }))
}
