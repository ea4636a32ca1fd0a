//! What both renderings of a plan show: the same facts, by name. What is known only by running is
//! `None`.

use std::fmt;
use std::time::Duration;

use common::arrivals::{Arrivals, Law};
use common::assignment::{Load, Pace};
use common::length::Length;
use common::phase::Phase;
use common::workload::{CacheMode, SharedPrefix, Workload};
use serde::Serialize;

use super::data::{DataView, ThinkView};
use super::images::ImagesView;
use super::mixes::MixedView;
use super::prompts::PromptsView;
use super::{Arm, Plan, PlannedLevel, PlannedSearch};
use crate::campaign::{Ablation, Campaign, Judging, Repeats, WindowPlan, goal_word, law_word};
use crate::lint::{self, Finding};
use crate::search::{LEVELS_MAX, SearchSpec};
use crate::stats::samples_min;

#[derive(Serialize)]
pub(super) struct View<'a> {
    schema_version: u32,
    name: &'a str,
    mode: &'a str,
    tier: &'a str,
    seed: u64,
    target: String,
    model: &'a str,
    pub(super) agents: Option<u32>,
    pub(super) levels: Vec<LevelView<'a>>,
    pub(super) totals: TotalsView,
    slo: SloView,
    hardware: HardwareView,
    pub(super) search: Option<SearchView<'a>>,
    pub(super) client_proof: Vec<ProofView>,
    repeats: RepeatsView,
    ablation: Option<AblationView<'a>>,
    /// What commands are to tell of the server, before and after.
    pub(super) facts: Vec<&'a str>,
    /// How prompts get their lengths.
    prompts: Vec<PromptsView>,
    /// What is known to be wrong with what serves the model.
    pub(super) lint: Vec<Finding>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) data: Vec<DataView<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) think: Vec<ThinkView<'a>>,
}

/// Two configurations in turn; the levels listed are those of A/A if there is one.
#[derive(Serialize)]
struct AblationView<'a> {
    base: &'a str,
    new: &'a str,
    restarts: u32,
    aa_restarts: u32,
    /// Levels that follow A/A.
    levels_after_aa: usize,
}

impl<'a> AblationView<'a> {
    fn of(campaign: &'a Campaign) -> Option<Self> {
        let Ablation { base, new, restarts, aa_restarts } = campaign.ablation.as_ref()?;
        Some(Self {
            base: base.as_str(),
            new: new.as_str(),
            restarts: *restarts,
            aa_restarts: *aa_restarts,
            levels_after_aa: Plan::after_aa(campaign).map_or(0, |levels| levels.len()),
        })
    }
}

/// A search: how many levels it runs, and which, is known only by running.
#[derive(Serialize)]
pub(super) struct SearchView<'a> {
    pub(super) goal: &'static str,
    /// Users; none in an open loop.
    start_users: Option<u32>,
    max_users: Option<u32>,
    /// Requests per second; none in a closed loop.
    start_rate_per_s: Option<f64>,
    max_rate_per_s: Option<f64>,
    budget_s: f64,
    pub(super) repeats: u32,
    pub(super) levels_max: u32,
    /// The first level.
    pub(super) first: LevelView<'a>,
    /// The window of the level with the highest load.
    pub(super) last_window: Option<WindowView>,
}

/// A proof of the client; one that follows the levels is asked for what they reach.
#[derive(Serialize)]
pub(super) struct ProofView {
    pub(super) label: String,
    pub(super) users: u32,
    pub(super) output_tokens: u32,
    ttft_s: f64,
    itl_s: f64,
    pub(super) window_s: f64,
}

/// How often the levels are run.
#[derive(Serialize)]
struct RepeatsView {
    count: u32,
    /// Those that are made whatever comes; the rest stops early.
    least: u32,
    half_width_percent: Option<f64>,
    order: &'static str,
    restart_server: bool,
    reset_cache: &'static str,
}

impl RepeatsView {
    fn of(repeats: &Repeats) -> Self {
        Self {
            count: repeats.count,
            least: repeats.until.map_or(repeats.count, |until| until.least),
            half_width_percent: repeats.until.map(|until| until.half_width_percent),
            order: repeats.order.name(),
            restart_server: repeats.restart_server,
            reset_cache: repeats.reset_cache.name(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct LevelView<'a> {
    pub(super) phase: &'a str,
    pub(super) label: &'a str,
    /// None in an open loop.
    pub(super) users: Option<u32>,
    /// None where the level ends by a window.
    pub(super) requests: Option<u64>,
    pub(super) waves: Option<u64>,
    pub(super) last_wave_fill: Option<f64>,
    pub(super) in_flight_max: u64,
    capped: bool,
    workload: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mix: Vec<MixedView<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    models: Vec<MixedView<'a>>,
    pub(super) input_tokens: TokensView,
    pub(super) output_tokens: TokensView,
    pub(super) forced_length: bool,
    cache: CacheView,
    cooldown_s: f64,
    /// One for each agent; none while the number of agents is not known.
    pub(super) shares: Vec<ShareView>,
    arrivals: &'a str,
    burstiness: Option<f64>,
    rate_per_s: Option<f64>,
    ramp_s: f64,
    pub(super) window: Option<WindowView>,
    /// What arrives in the window of an open loop.
    pub(super) requests_expected: Option<Expected>,
    pub(super) repeat: u32,
    pub(super) arm: Option<Arm>,
    restart_server: bool,
    reset_cache: bool,
    /// None where requests have none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<ImagesView>,
}

#[derive(Clone, Copy, Serialize)]
pub(super) struct ShareView {
    /// In an open loop the requests that may be in flight.
    pub(super) users: u32,
    pub(super) requests: Option<u64>,
}

/// The window of a level; what it waits for is none where its length is stated.
#[derive(Clone, Copy, Serialize)]
pub(super) struct WindowView {
    pub(super) least_s: f64,
    pub(super) most_s: f64,
    turns: Option<u32>,
    pub(super) requests: Option<u64>,
    precise: bool,
}

#[derive(Clone, Copy, Serialize)]
pub(super) struct Expected {
    pub(super) least: u64,
    pub(super) most: u64,
}

/// How long a text is: a number, or how it is drawn.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum TokensView {
    Fixed(u32),
    Drawn { least: u32, most: u32, mean: f64, law: String },
}

impl TokensView {
    pub(super) fn of(length: &Length) -> Self {
        match length.fixed() {
            Some(tokens) => Self::Fixed(tokens),
            None => Self::Drawn {
                least: length.least(),
                most: length.most(),
                mean: length.mean(),
                law: length.to_string(),
            },
        }
    }
}

impl fmt::Display for TokensView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(tokens) => write!(f, "{tokens}"),
            Self::Drawn { least, most, .. } => write!(f, "{least}-{most}"),
        }
    }
}

/// What a cache of prompts may see: a word, or what prompts share.
#[derive(Serialize)]
#[serde(untagged)]
enum CacheView {
    Word(&'static str),
    Shared {
        shared_prefix: u32,
        groups: u32,
        share: f64,
    },
    /// Of a mix, workload by workload.
    Several(String),
}

impl CacheView {
    fn of(workload: &Workload) -> Self {
        if !workload.mix.is_empty() {
            return Self::Several(workload.cache_words());
        }
        match workload.cache {
            CacheMode::SharedPrefix(SharedPrefix { tokens, groups, share_permille }) => {
                let share = f64::from(share_permille) / 1e3;
                Self::Shared { shared_prefix: tokens, groups, share }
            }
            CacheMode::Cold | CacheMode::Replay => Self::Word(workload.cache.name()),
        }
    }
}

#[derive(Serialize)]
pub(super) struct TotalsView {
    pub(super) levels: usize,
    pub(super) capped_levels: usize,
    /// None where any level ends by a window, or is searched for; so are the tokens.
    pub(super) requests: Option<u64>,
    pub(super) input_tokens: Option<u128>,
    pub(super) output_tokens: Option<u128>,
    cooldown_s: f64,
    /// None where any level ends by a window or has a rate.
    longest_s: Option<f64>,
    pub(super) windows: usize,
    windows_least_s: f64,
    windows_most_s: f64,
    pub(super) counted_requests: u64,
    /// Levels that make fewer requests than tell whether the objectives are met at their quantile.
    pub(super) uncertified_levels: usize,
}

#[derive(Serialize)]
struct SloView {
    ttft_s: Option<f64>,
    tpot_s: Option<f64>,
    e2e_s: Option<f64>,
    quantile: f64,
}

#[derive(Serialize)]
struct HardwareView {
    gpus: Option<f64>,
    active_params_b: Option<f64>,
    watts: Option<f64>,
}

impl<'a> View<'a> {
    pub(super) fn of(
        campaign: &'a Campaign,
        plan: &'a Plan,
        searched: Option<&'a Searched>,
        agents: Option<u32>,
    ) -> Self {
        let levels: Vec<&PlannedLevel> = plan.measured().collect();
        let model = campaign.target.model.as_str();
        let counted = plan.search.is_none();
        let tokens = |of: fn(&PlannedLevel) -> &Length| {
            let asked = |level: &&PlannedLevel| {
                let requests = level.load.requests()?;
                let length = of(level);
                Some(match length.fixed() {
                    Some(tokens) => u128::from(requests) * u128::from(tokens),
                    None => (requests as f64 * length.mean()).round() as u128,
                })
            };
            levels.iter().map(asked).sum::<Option<u128>>().filter(|_| counted)
        };
        let after = Plan::proof_after(campaign);
        let proofs = plan.levels.iter().chain(&after);
        let (windows_least, windows_most) = windows_total(plan);
        let Judging { slo, quantile, hardware } = campaign.judging;
        let seconds = |objective: Option<Duration>| objective.map(|o| o.as_secs_f64());
        Self {
            schema_version: 1,
            name: campaign.name.as_str(),
            mode: campaign.mode.name(),
            tier: campaign.tier.name(),
            seed: campaign.seed.0,
            target: campaign.target.urls(),
            model: &campaign.target.model,
            agents,
            levels: plan.measured().map(|l| LevelView::of(l, model, agents)).collect(),
            totals: TotalsView {
                levels: levels.len(),
                capped_levels: levels.iter().filter(|l| l.capped().is_some()).count(),
                requests: levels
                    .iter()
                    .map(|l| l.load.requests())
                    .sum::<Option<u64>>()
                    .filter(|_| counted),
                input_tokens: tokens(|level| &level.workload.input_tokens),
                output_tokens: tokens(|level| &level.workload.output_tokens),
                cooldown_s: plan.cooldown_total().as_secs_f64(),
                longest_s: longest(campaign, plan).map(|longest| longest.as_secs_f64()),
                windows: levels.iter().filter(|l| l.window.is_some()).count(),
                windows_least_s: windows_least.as_secs_f64(),
                windows_most_s: windows_most.as_secs_f64(),
                counted_requests: levels.iter().filter_map(|l| l.load.requests()).sum(),
                uncertified_levels: uncertified(&campaign.judging, plan.measured()),
            },
            slo: SloView {
                ttft_s: seconds(slo.ttft),
                tpot_s: seconds(slo.tpot),
                e2e_s: seconds(slo.e2e),
                quantile,
            },
            repeats: RepeatsView::of(&campaign.repeats),
            ablation: AblationView::of(campaign),
            facts: campaign.server.facts.iter().map(|fact| fact.name.as_str()).collect(),
            prompts: PromptsView::all(campaign),
            lint: lint::before(campaign),
            data: DataView::all(campaign),
            think: ThinkView::all(campaign),
            hardware: HardwareView {
                gpus: hardware.gpus,
                active_params_b: hardware.active_params_b,
                watts: hardware.watts,
            },
            client_proof: proofs.filter_map(ProofView::of).collect(),
            search: searched.map(|searched| SearchView::of(searched, model, agents)),
        }
    }
}

/// The levels at both ends of a search.
pub(super) struct Searched {
    search: PlannedSearch,
    first: PlannedLevel,
    last: PlannedLevel,
}

impl Searched {
    pub(super) fn of(plan: &Plan) -> Option<Self> {
        let search = plan.search.clone()?;
        let last = search.level(search.spec().max_load, &[]);
        Some(Self { first: search.first(), last, search })
    }
}

impl<'a> SearchView<'a> {
    fn of(searched: &'a Searched, model: &'a str, agents: Option<u32>) -> Self {
        let Searched { search, first, last } = searched;
        let SearchSpec { goal, start, max_load, budget, repeats, seed: _ } = search.spec();
        let users = |load| (!search.is_open()).then_some(load);
        let rate = |load| search.is_open().then(|| search.value(load));
        Self {
            goal: goal_word(goal),
            start_users: users(start),
            max_users: users(max_load),
            start_rate_per_s: rate(start),
            max_rate_per_s: rate(max_load),
            budget_s: budget.as_secs_f64(),
            repeats,
            levels_max: LEVELS_MAX,
            first: LevelView::of(first, model, agents),
            last_window: last.window.map(|window| WindowView::of(window, last.load)),
        }
    }
}

impl ProofView {
    fn of(level: &PlannedLevel) -> Option<Self> {
        let Pace { ttft, itl } = level.proof?;
        Some(Self {
            label: level.label.clone(),
            users: level.load.users,
            output_tokens: level.workload.output_tokens.most(),
            ttft_s: ttft.as_secs_f64(),
            itl_s: itl.as_secs_f64(),
            window_s: level.window?.most.as_secs_f64(),
        })
    }
}

impl<'a> LevelView<'a> {
    fn of(level: &'a PlannedLevel, model: &'a str, agents: Option<u32>) -> Self {
        let load = level.load;
        let (closed, arrivals, burstiness, rate) = match load.arrivals {
            Arrivals::Closed { .. } => (true, "closed", None, None),
            Arrivals::Open(schedule) => {
                let shape = match schedule.law {
                    Law::Gamma { shape_milli } => Some(f64::from(shape_milli) / 1000.0),
                    Law::Poisson => Some(1.0),
                    Law::Constant => None,
                };
                (false, law_word(schedule.law), shape, Some(schedule.rate.settled().value()))
            }
        };
        let expected = |window: WindowPlan| {
            Some(Expected {
                least: WindowPlan::expected(load, window.shortest(load))?.round() as u64,
                most: WindowPlan::expected(load, window.most)?.round() as u64,
            })
        };
        Self {
            phase: level.phase.name(),
            label: &level.label,
            users: closed.then_some(load.users),
            requests: load.requests(),
            waves: load.waves().filter(|_| closed),
            last_wave_fill: load.last_wave_fill().filter(|_| closed),
            in_flight_max: load.in_flight_max(),
            capped: level.capped().is_some(),
            workload: level.workload.name.as_str(),
            mix: MixedView::of_mix(&level.workload),
            models: MixedView::of_models(&level.workload, model),
            input_tokens: TokensView::of(&level.workload.input_tokens),
            output_tokens: TokensView::of(&level.workload.output_tokens),
            cache: CacheView::of(&level.workload),
            forced_length: level.workload.forced_length,
            cooldown_s: level.cooldown.as_secs_f64(),
            shares: shares(load, agents),
            arrivals,
            burstiness,
            rate_per_s: rate,
            ramp_s: load.arrivals.ramp().as_secs_f64(),
            window: level.window.map(|window| WindowView::of(window, load)),
            repeat: level.repeat,
            arm: level.arm,
            restart_server: level.before.restart_server,
            reset_cache: level.before.reset_cache,
            images: ImagesView::of(level),
            requests_expected: level.window.and_then(expected),
        }
    }
}

impl WindowView {
    fn of(window: WindowPlan, load: Load) -> Self {
        let waits = !window.is_fixed();
        Self {
            least_s: window.shortest(load).as_secs_f64(),
            most_s: window.most.as_secs_f64(),
            turns: waits.then_some(window.turns),
            requests: waits.then_some(window.requests),
            precise: window.precise,
        }
    }
}

fn shares(load: Load, agents: Option<u32>) -> Vec<ShareView> {
    let agents = agents.unwrap_or(0);
    (0..agents)
        .map(|index| load.share(index, agents))
        .map(|share| ShareView { users: share.count, requests: share.requests(load) })
        .collect()
}

/// How long requests and pauses could last at the most: a user makes one request after another,
/// and each ends within its timeouts. `None` if a level has a window, whose length but not what
/// comes before and after it is known, or a rate, which has no such bound; nor for a search.
pub(super) fn longest(campaign: &Campaign, plan: &Plan) -> Option<Duration> {
    if plan.search.is_some() {
        return None;
    }
    let timeouts = campaign.target.timeouts;
    let request = timeouts.connect.saturating_add(timeouts.total);
    let level = |level: &PlannedLevel| match level.load.arrivals {
        Arrivals::Closed { ramp } => {
            let waves = u32::try_from(level.load.waves()?).unwrap_or(u32::MAX);
            let pause = level.workload.think_most().unwrap_or_default();
            Some(request.saturating_add(pause).saturating_mul(waves).saturating_add(ramp))
        }
        Arrivals::Open(_) => None,
    };
    let add = |sum: Duration, level: Option<Duration>| Some(sum.saturating_add(level?));
    plan.measured().map(level).try_fold(plan.cooldown_total(), add)
}

/// All windows at their shortest and at their longest.
pub(super) fn windows_total(plan: &Plan) -> (Duration, Duration) {
    let windows = plan.measured().filter_map(|level| Some((level.load, level.window?)));
    windows.fold((Duration::ZERO, Duration::ZERO), |(least, most), (load, window)| {
        (least.saturating_add(window.shortest(load)), most.saturating_add(window.most))
    })
}

fn uncertified<'a>(judging: &Judging, levels: impl Iterator<Item = &'a PlannedLevel>) -> usize {
    if judging.slo.is_empty() {
        return 0;
    }
    let floor = samples_min(judging.quantile).unwrap_or(u64::MAX);
    let judged = levels.filter(|level| match level.phase {
        Phase::Warmup | Phase::Baseline => false,
        Phase::Scaling | Phase::Stress | Phase::Saturation => true,
    });
    judged.filter(|level| most_requests(level).is_some_and(|most| most < floor as f64)).count()
}

/// The most requests that are intended in what is measured of a level, as far as that is known.
fn most_requests(level: &PlannedLevel) -> Option<f64> {
    let counted = level.load.requests().map(|requests| requests as f64);
    counted.or_else(|| WindowPlan::expected(level.load, level.window?.most))
}
