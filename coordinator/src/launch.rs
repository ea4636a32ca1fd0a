//! A campaign from its first look at the fleet to its stored end.

use std::path::PathBuf;

use common::digest::Digest;
use common::duration::format_duration;
use common::ids::RunId;
use common::seed::Seed;
use common::target::BaseUrl;
use proto::link::Dialer;
use proto::message::Greeting;
use proto::secrets::Secrets;
use tokio::sync::mpsc;

use crate::campaign::{Campaign, Judging, Mode, ServerPlan, Tier, clip};
use crate::ceilings::{self, Known};
use crate::clock::{Clock, wall_now};
use crate::dataset::{self, DataErrors, Supply};
use crate::decide::{Decider, ProofAfter};
use crate::driver::{Driver, Setup};
use crate::exit::Exit;
use crate::fleet::{self, Address, Fleet, FleetError};
use crate::lint;
use crate::plan::Plan;
use crate::plan::proof::{self, Ask};
use crate::plan::render::{counted, size};
use crate::prompts::{self, TokenizerError};
use crate::record::{Asked, FactRecord, IdentityRecord, RunEnd, RunHeader, RunOutcome};
use crate::secrets::{self, SecretsError};
use crate::serving::Serving;
use crate::store::{Store, StoreError};
use crate::target::facts;
use crate::target::identity::Identity;
use crate::target::several::{self, Unfit};
use crate::ui::Plain;

/// What is launched.
pub struct Launch {
    /// The run's identity.
    pub run: RunId,
    /// What to do.
    pub campaign: Campaign,
    /// Who does it; at least one.
    pub agents: Vec<Address>,
    /// Where the result goes.
    pub dir: PathBuf,
    /// The coordinator's clock.
    pub clock: Clock,
}

/// Why a campaign could not be run to a stored end.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// What is for the target alone cannot be read.
    #[error("{0}")]
    Secrets(#[from] SecretsError),
    /// No prompts can be made with a tokenizer.
    #[error("{0}")]
    Tokenizer(#[from] TokenizerError),
    /// Data sets cannot be used; nothing was sent to anyone.
    #[error("{0}")]
    Data(#[from] DataErrors),
    /// Agents cannot be used; nothing was sent to the target.
    #[error("{0}")]
    Fleet(#[from] FleetError),
    /// The target does not answer; no agent was given work.
    #[error("{0}")]
    Target(#[from] Unfit),
    /// The result cannot be kept.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl LaunchError {
    /// How the process ends.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Secrets(_) | Self::Tokenizer(_) | Self::Data(_) => Exit::Usage,
            Self::Fleet(_) => Exit::Fleet,
            Self::Target(_) => Exit::Target,
            Self::Store(_) => Exit::Store,
        }
    }
}

/// Runs a campaign. Interrupts come in on a channel.
///
/// # Errors
/// As [`LaunchError`] says; a run that was begun and ended badly is no error but a [`RunEnd`].
pub async fn launch(
    launch: Launch,
    ui: &mut Plain,
    interrupts: &mut mpsc::Receiver<()>,
) -> Result<RunEnd, LaunchError> {
    let Launch { run, mut campaign, agents, dir, clock } = launch;
    let secrets = secrets::read(&campaign)?;
    campaign.target.authorities = secrets::read_authorities(&campaign)?;
    prompts::load(&mut campaign)?;
    let supplies = dataset::load(&mut campaign)?;
    for finding in lint::before(&campaign) {
        ui.say(&format!("warning: {}", finding.text()));
    }
    let greetings = fleet::survey(&agents, clock).await?;
    for warning in
        ceilings::warnings(&Plan::of(&campaign), &on_hosts_of_their_own(&agents, greetings))
    {
        ui.say(&format!("warning: {warning}"));
    }
    let target = campaign.target.clone();
    let known = async {
        let (plan, timeout) = (&campaign.server, campaign.ready_timeout);
        let mut waiting = None;
        let progress = |url: &BaseUrl, why: &str| {
            if waiting.replace(url.to_string()) != Some(url.to_string()) {
                ui.say(&format!("waiting for {url}: {why}"));
            }
        };
        let met = several::meet(&target, plan, &secrets, timeout, clock, progress);
        let identity = Box::pin(met).await?;
        if let Some(missing) = missing(&campaign, &identity) {
            ui.say(&missing);
        }
        let ServerPlan { facts, hook_timeout, .. } = &campaign.server;
        if !facts.is_empty() {
            ui.say("asking for facts of the server");
        }
        let facts = facts::ask(facts, *hook_timeout, &secrets).await;
        let facts = FactRecord::all(facts, Asked::Began, wall_now());
        let texts = prompts::measure(&campaign, &secrets, |found| ui.say(found)).await;
        Ok::<_, Unfit>((identity, facts, texts))
    };
    let (identity, facts, texts) = tokio::select! {
        known = known => known?,
        Some(()) = interrupts.recv() => return Ok(interrupted()),
    };
    prompts::put(&mut campaign, &texts);
    let plan = Plan::of(&campaign);
    let header = header(run, &campaign, &plan);
    let decider = Decider::of(&campaign);
    let proof_after = ProofAfter::of(&campaign);
    let Campaign { seed, judging, target, server, .. } = campaign;
    let slo = judging.slo;
    let setup = Setup {
        run,
        seed,
        slo,
        target,
        secrets,
        server,
        identity,
        facts,
        plan,
        decider,
        proof_after,
    };
    let place = Place { agents, supplies, dir, clock };
    drive(&header, setup, place, ui, interrupts).await
}

/// What is known of the agents that are no part of this process, whose ceilings nobody finds.
fn on_hosts_of_their_own(agents: &[Address], greetings: Vec<Greeting>) -> Vec<Known> {
    let all = agents.iter().zip(greetings);
    all.filter(|(address, _)| !matches!(address.dialer, Dialer::Memory(_)))
        .map(|(_, greeting)| Known { name: greeting.name.to_string(), ceiling: greeting.ceiling })
        .collect()
}

/// The end of a run that has hardly begun.
fn interrupted() -> RunEnd {
    let because = "interrupted before anything was sent".to_owned();
    let (outcome, exit_code) = (RunOutcome::Stopped, Exit::Interrupted.code());
    RunEnd { outcome, exit_code, because, finished_at: wall_now() }
}

/// A measurement of the agents against simulators of their own.
pub struct Calibration {
    /// The run's identity.
    pub run: RunId,
    /// What is asked of them.
    pub ask: Ask,
    /// The agents; at least one.
    pub agents: Vec<Address>,
    /// Where the result goes.
    pub dir: PathBuf,
    /// The coordinator's clock.
    pub clock: Clock,
}

/// Runs a calibration: a run of one proof of the client, without a target. Interrupts come in on a
/// channel.
///
/// # Errors
/// As [`launch`], without its target and its key.
pub async fn calibrate(
    calibration: Calibration,
    ui: &mut Plain,
    interrupts: &mut mpsc::Receiver<()>,
) -> Result<RunEnd, LaunchError> {
    let Calibration { run, ask, agents, dir, clock } = calibration;
    let header = calibration_header(run, ask);
    let plan = Plan { levels: vec![proof::level("calibration", ask)], search: None, open: false };
    let setup = Setup {
        run,
        seed: Seed(header.seed),
        slo: header.judging.slo,
        target: proof::target(),
        secrets: Secrets::default(),
        server: ServerPlan::default(),
        identity: Identity::default(),
        facts: Vec::new(),
        plan,
        decider: Decider::Nobody,
        proof_after: ProofAfter::default(),
    };
    let place = Place { agents, supplies: Vec::new(), dir, clock };
    drive(&header, setup, place, ui, interrupts).await
}

/// Where a run takes place.
struct Place {
    agents: Vec<Address>,
    /// What agents are supplied with before the first level.
    supplies: Vec<Supply>,
    dir: PathBuf,
    clock: Clock,
}

/// Holds the fleet, makes the store, and drives the run to its end.
async fn drive(
    header: &RunHeader,
    mut setup: Setup,
    Place { agents, supplies, dir, clock }: Place,
    ui: &mut Plain,
    interrupts: &mut mpsc::Receiver<()>,
) -> Result<RunEnd, LaunchError> {
    let run = setup.run;
    let identity = setup.identity.clone();
    let began = IdentityRecord { asked: Asked::Began, at: wall_now(), identity };
    // Held first, so that a fleet that cannot be had leaves no empty result behind.
    let mut fleet = Fleet::acquire(agents, run, clock).await?;
    let bytes: usize = supplies.iter().map(|supply| supply.bytes.len()).sum();
    if bytes > 0 {
        let agents = counted(fleet.len() as u64, "agent");
        ui.say(&format!("supplying {agents} with {} of data", size(bytes as u64)));
    }
    let supplied = tokio::select! {
        supplied = fleet.supply(supplies) => supplied.map_err(LaunchError::from).map(|()| true),
        Some(()) = interrupts.recv() => Ok(false),
    };
    if !matches!(supplied, Ok(true)) {
        fleet.release(&[]).await;
        return supplied.map(|_| interrupted());
    }
    let created = Store::create(&dir, header)
        .and_then(|mut store| store.put_agents(&fleet.records()).map(|()| store))
        .and_then(|mut store| store.put_identity(&began).map(|()| store))
        .and_then(|mut store| store.put_facts(&setup.facts).map(|()| store));
    let store = match created {
        Ok(store) => store,
        Err(error) => {
            fleet.release(&[]).await;
            return Err(error.into());
        }
    };
    let plan = &setup.plan;
    let counts: Option<Vec<u64>> = plan.levels.iter().map(|level| level.load.requests()).collect();
    // Levels that are measured in windows make as many as they need.
    let requests = counts
        .filter(|_| plan.search.is_none())
        .map(|counts| counted(counts.iter().sum(), "request") + ", ");
    ui.say(&format!(
        "run {run}: {}{}, {}{}; result in {}",
        counted(plan.levels.len() as u64, "level"),
        if plan.search.is_some() { " and a search" } else { "" },
        requests.unwrap_or_default(),
        counted(fleet.len() as u64, "agent"),
        dir.display()
    ));
    let driver = Driver::new(&mut setup, &mut fleet, store, ui, clock);
    let driven = driver.run(interrupts).await;
    let at_work = driven.as_ref().map_or_else(|_| Vec::new(), |(_, at_work)| at_work.clone());
    fleet.release(&at_work).await;
    Ok(driven?.0)
}

/// Which of the models that workloads name the target does not list, in words. It may serve them
/// all the same: what its requests become is counted apart.
fn missing(campaign: &Campaign, identity: &Identity) -> Option<String> {
    let missing = identity.missing(campaign.models());
    (!missing.is_empty()).then(|| {
        let missing: Vec<String> = missing.into_iter().map(clip).collect();
        format!(
            "{} does not list {}; it lists {}",
            campaign.target.urls(),
            missing.join(", "),
            identity.served().unwrap_or_default()
        )
    })
}

fn header(run: RunId, campaign: &Campaign, plan: &Plan) -> RunHeader {
    let campaign_toml = campaign.to_toml();
    RunHeader {
        run,
        name: campaign.name.clone(),
        mode: campaign.mode,
        tier: campaign.tier,
        seed: campaign.seed.0,
        target: campaign.target.urls(),
        model: campaign.target.model.clone(),
        stream: campaign.target.stream,
        judging: campaign.judging,
        serving: campaign.serving.clone(),
        campaign_sha256: Digest::of(campaign_toml.as_bytes()),
        campaign_toml,
        levels_planned: u32::try_from(plan.measured().count()).unwrap_or(u32::MAX),
        started_at: wall_now(),
        tool_version: crate::VERSION.to_owned(),
    }
}

#[expect(clippy::expect_used, reason = "letters are a name")]
fn calibration_header(run: RunId, ask: Ask) -> RunHeader {
    let Ask { users, pace, input_tokens, output_tokens, window } = ask;
    let campaign_toml = format!(
        "# A calibration of agents against their own simulators: no campaign that can be run.\n\
         users = {users}\nttft = \"{}\"\nitl = \"{}\"\ninput_tokens = {input_tokens}\n\
         output_tokens = {output_tokens}\nduration = \"{}\"\n",
        format_duration(pace.ttft),
        format_duration(pace.itl),
        format_duration(window)
    );
    RunHeader {
        run,
        name: "calibrate".parse().expect("a valid name"),
        mode: Mode::Floodmark,
        tier: Tier::Default,
        seed: 0,
        target: "the agents' own simulators".to_owned(),
        model: proof::target().model,
        stream: true,
        judging: Judging::default(),
        serving: Serving::default(),
        campaign_sha256: Digest::of(campaign_toml.as_bytes()),
        campaign_toml,
        levels_planned: 0,
        started_at: wall_now(),
        tool_version: crate::VERSION.to_owned(),
    }
}
