//! A run as the comparison sees it.

use std::collections::BTreeMap;

use common::extra::Header;
use common::ids::{Name, RunId};
use common::target::{Connection, Endpoint, Http, Target};
use common::workload::Workload;

use super::group::LevelKey;
use super::metric::Values;
use crate::campaign::{self, Mode, Overlay, Source, Tier};
use crate::classify::{Code, Verdict};
use crate::plan::Arm;
use crate::record::{Asked, FactRecord, LevelRecord, RunRecord};
use crate::report::{LevelReport, LevelState, Real, ReportModel, TokenSource};
use crate::store::Loaded;
use crate::target::facts::Told;
use crate::target::identity::Identity;

/// The runs of one side.
#[derive(Clone, Debug, PartialEq)]
pub struct Side {
    /// What it is called.
    pub name: String,
    /// Its runs, each a repeat of the others; at least one.
    pub runs: Vec<Run>,
}

/// One run.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// What it is called.
    pub name: String,
    /// What was run.
    pub facts: Facts,
    /// The levels that were begun.
    pub levels: Vec<Observed>,
}

/// What a run was asked to do, as far as it is the same for all its levels.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The run.
    pub run: RunId,
    /// The arm of an ablation.
    pub arm: Option<Arm>,
    /// The base URL of the target.
    pub target: String,
    /// The model asked for.
    pub model: String,
    /// The models that the server said it serves.
    pub served: Option<String>,
    /// The version that it said it is.
    pub server_version: Option<String>,
    /// What was stated of what serves the model, and what commands told of it, by key.
    pub serving: BTreeMap<String, String>,
    /// The API that was called; `None` if the stored campaign cannot be read.
    pub endpoint: Option<Endpoint>,
    /// How else it was asked; `None` if the stored campaign cannot be read.
    pub manner: Option<Manner>,
    /// Whether answers were streamed.
    pub stream: bool,
    /// The seed.
    pub seed: u64,
    /// The mode.
    pub mode: Mode,
    /// The tier.
    pub tier: Tier,
    /// Version of floodmark.
    pub version: String,
    /// How many agents did the work.
    pub agents: usize,
}

/// How a target was asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Manner {
    /// How many requests a connection carried.
    pub connection: Connection,
    /// The version of HTTP.
    pub http: Http,
    /// What was added to bodies, as JSON.
    pub extra_body: String,
    /// The headers that were added and are no secret.
    pub headers: Vec<String>,
}

/// One level of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// Which level.
    pub key: LevelKey,
    /// Users asked for.
    pub users: u32,
    /// Requests planned; `None` where a level is measured in a window.
    pub requests: Option<u64>,
    /// What requests asked for.
    pub work: Workload,
    /// Which repeat, from 0.
    pub repeat: u32,
    /// Which attempt, from 0.
    pub attempt: u32,
    /// Mean in flight.
    pub in_flight_mean: Option<f64>,
    /// Whether it is a result.
    pub standing: Standing,
    /// What answers were, by the server's own counts; `None` where it did not count all of them.
    pub delivered: Option<Delivered>,
    /// Requests that ended by themselves.
    pub ended: u64,
    /// The numbers.
    pub values: Values,
}

/// Whether a level is a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    Valid,
    /// It is one, for fewer requests in flight than were asked for; the evidence.
    NotReached(String),
    /// It is not, and why.
    Struck(String),
}

/// Tokens of successful requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Successful requests.
    pub requests: u64,
    /// Their prompt tokens.
    pub prompt: u64,
    /// Their completion tokens.
    pub completion: u64,
}

impl Run {
    /// The run in a store.
    pub fn of(name: String, loaded: &Loaded) -> Self {
        let record = &loaded.record;
        let model = ReportModel::new(record, &loaded.damage);
        let levels = record.measured().zip(&model.levels).map(observed).collect();
        // Levels that ran on another server than the first are struck.
        let said = record.identities.iter().map(|said| &said.identity);
        Self { name, facts: facts(record, None, said), levels }
    }
}

impl Side {
    /// An arm of an ablation called `name`, of whose levels these are the reports: each start of the
    /// server is a run of its own. `None` if it was not begun.
    pub(super) fn of_arm(
        arm: Arm,
        name: String,
        record: &RunRecord,
        levels: &[LevelReport],
    ) -> Option<Self> {
        let mut starts: BTreeMap<u32, (u32, Vec<Observed>)> = BTreeMap::new();
        for (level, report) in record.measured().zip(levels) {
            if level.planned.arm == Some(arm) {
                let start = starts.entry(level.planned.repeat);
                let (_, seen) = start.or_insert_with(|| (level.id.ordinal, Vec::new()));
                // Each start is a run of its own.
                seen.push(Observed { repeat: 0, ..observed((level, report)) });
            }
        }
        let run = |(repeat, (ordinal, levels)): (u32, (u32, Vec<Observed>))| {
            let restarted = Asked::Restarted { ordinal };
            let said = record.identities.iter().filter(|said| said.asked == restarted);
            let facts = facts(record, Some(restarted), said.map(|said| &said.identity));
            let facts = Facts { arm: Some(arm), ..facts };
            Run { name: format!("start {}", repeat + 1), facts, levels }
        };
        let runs: Vec<Run> = starts.into_iter().map(run).collect();
        (!runs.is_empty()).then_some(Self { name, runs })
    }
}

/// What is the same for all levels. Of what the server `said`, in order, the first word counts.
fn facts<'a>(
    record: &RunRecord,
    asked: Option<Asked>,
    said: impl Iterator<Item = &'a Identity> + Clone,
) -> Facts {
    let RunRecord { header, agents, .. } = record;
    let source = Source { name: "campaign.toml", text: &header.campaign_toml };
    let campaign = campaign::resolve(Some(source), &Overlay::default()).ok();
    Facts {
        run: header.run,
        arm: None,
        target: header.target.clone(),
        model: header.model.clone(),
        served: said.clone().find_map(Identity::served),
        server_version: said.clone().find_map(|identity| identity.version.clone()),
        serving: serving(record, asked),
        endpoint: campaign.as_ref().map(|campaign| campaign.target.endpoint),
        manner: campaign.map(|campaign| Manner::of(&campaign.target)),
        stream: header.stream,
        seed: header.seed,
        mode: header.mode,
        tier: header.tier,
        version: header.tool_version.clone(),
        agents: agents.len(),
    }
}

/// What is stated of what serves the model, and what was told of each fact: when it was `asked`, or
/// else first.
fn serving(record: &RunRecord, asked: Option<Asked>) -> BTreeMap<String, String> {
    let stated = record.header.serving.entries().into_iter().map(|(key, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (format!("serving.{key}"), text)
    });
    let counts = |fact: &&FactRecord| asked.is_none_or(|asked| fact.asked == asked);
    let told = record.facts.iter().rev().filter(counts).filter_map(|fact| match &fact.told {
        Told::Value(value) => Some((format!("fact {}", fact.name), value.clone())),
        Told::NotKnown(_) => None,
    });
    stated.chain(told).collect()
}

impl Manner {
    fn of(target: &Target) -> Self {
        let header = |header: &Header| format!("{}: {}", header.name, header.value);
        Self {
            connection: target.connection,
            http: target.http,
            extra_body: target.extra_body.to_string(),
            headers: target.headers.iter().map(header).collect(),
        }
    }
}

fn observed((record, report): (&LevelRecord, &LevelReport)) -> Observed {
    let planned = &record.planned;
    let workload: Name = planned.workload.name.clone();
    let requests = &report.measured;
    Observed {
        key: LevelKey { phase: planned.phase, label: planned.label.clone(), workload },
        users: planned.load.users,
        requests: planned.load.requests(),
        work: planned.workload.clone(),
        repeat: planned.repeat,
        attempt: record.id.attempt,
        in_flight_mean: report.in_flight_mean.map(Real::value),
        standing: standing(report),
        delivered: delivered(report),
        ended: requests.succeeded + requests.failed,
        values: Values::of(report),
    }
}

fn standing(report: &LevelReport) -> Standing {
    let words = |verdict: &Verdict| format!("{}: {}", verdict.code.name(), verdict.evidence);
    let striking = || report.verdicts.iter().filter(|verdict| verdict.strikes());
    let other = striking().find(|verdict| verdict.code != Code::ConcurrencyNotReached);
    match (&report.state, other) {
        (LevelState::Stopped(because), _) => Standing::Struck(format!("stopped early: {because}")),
        (LevelState::Unfinished, _) => Standing::Struck("it was not finished".into()),
        (LevelState::Void | LevelState::Complete, Some(verdict)) => {
            Standing::Struck(words(verdict))
        }
        (LevelState::Void, None) => Standing::Struck("its numbers are void".into()),
        (LevelState::Complete, None) if report.status.is_none() => {
            Standing::Struck("no request came to an end".into())
        }
        (LevelState::Complete, None) => striking()
            .next()
            .map_or(Standing::Valid, |verdict| Standing::NotReached(words(verdict))),
    }
}

fn delivered(report: &LevelReport) -> Option<Delivered> {
    match report.tokens.source {
        Some(TokenSource::Usage) => Some(Delivered {
            requests: report.measured.succeeded,
            prompt: report.tokens.prompt?,
            completion: report.tokens.completion?,
        }),
        Some(TokenSource::Mixed | TokenSource::None) => None,
        None => Some(Delivered { requests: 0, prompt: 0, completion: 0 }),
    }
}
