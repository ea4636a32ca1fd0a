//! Runs built by hand, for tests: agents, levels and seals as a fleet would have left them.

mod served;
mod windows;

use std::path::Path;
use std::time::Duration;

use common::assignment::Load;
use common::digest::Digest;
use common::ids::{BootId, Epoch, LevelId, Name, RunId, UserId};
use common::outcome::{Ending, Failure, Marks, Outcome, Usage};
use common::phase::Phase;
use common::slice::{InSlices, Slice};
use common::slo::Slo;
use common::snapshot::{LevelEnd, Origin, Seal, Snapshot, Vitals};
use common::tally::Tally;
use common::time::Tick;
use common::workload::Workload;
use uuid::Uuid;

use crate::campaign::{Judging, Mode, Tier};
use crate::plan::{PlannedLevel, Preparation};
use crate::record::{
    AgentRecord, LevelFate, LevelRecord, RunEnd, RunHeader, RunOutcome, RunRecord, ShareRecord,
    UnixMs,
};
use crate::serving::Serving;
use crate::store::Store;
pub(crate) use served::{Served, Server, Swing};
pub(crate) use windows::Windowed;

/// How a made-up server answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Time to the first token.
    pub(crate) ttft_us: u64,
    /// Time between tokens.
    pub(crate) itl_us: u64,
    /// Prompt tokens.
    pub(crate) prompt: u64,
    /// Completion tokens.
    pub(crate) completion: u64,
    /// Every such request fails with status 503; 0 for none.
    pub(crate) fail_every: u64,
}

impl Shape {
    pub(crate) const QUICK: Self =
        Self { ttft_us: 20_000, itl_us: 2_000, prompt: 50, completion: 5, fail_every: 4 };

    /// All requests of a closed loop, user by user.
    pub(crate) fn outcomes(self, users: u32, requests: u64) -> Vec<Outcome> {
        let load = Load::counted(users, requests);
        let mut outcomes = Vec::new();
        for user in (0..users).map(UserId) {
            let mut at = Tick(1_000_000 * u64::from(user.0 % 7));
            for request in 0..load.quota(user) {
                let number = outcomes.len() as u64;
                let outcome = self.outcome(number, user, request, at);
                at = outcome.marks.done;
                outcomes.push(outcome);
            }
        }
        outcomes
    }

    fn outcome(self, number: u64, user: UserId, request: u64, intended: Tick) -> Outcome {
        self.taken_up(number, (user, request), intended, intended)
    }

    /// The outcome of a request that a user takes up later than it was intended.
    fn taken_up(
        self,
        number: u64,
        (user, request): (UserId, u64),
        intended: Tick,
        taken: Tick,
    ) -> Outcome {
        let sent = taken + Duration::from_micros(50);
        // Spread without a random source: between -10 and +10 %.
        let spread = |us: u64, salt: u64| us * (90 + (number * 7 + salt) % 21) / 100;
        let first = sent + Duration::from_micros(spread(self.ttft_us, 3));
        let gap = spread(self.itl_us, 11);
        let last = first + Duration::from_micros(gap * (self.completion - 1));
        let failed = self.fail_every > 0 && number % self.fail_every == self.fail_every - 1;
        let marks = Marks {
            intended,
            sent: Some(sent),
            head: Some(first),
            first_token: (!failed).then_some(first),
            first_answer: (!failed).then_some(first),
            last_token: (!failed).then_some(last),
            done: if failed { first } else { last },
        };
        Outcome {
            user,
            request,
            slices: InSlices::NONE,
            ending: if failed { Failure::Http503.into() } else { Ending::Succeeded },
            status: Some(if failed { 503 } else { 200 }),
            paper_success: !failed,
            marks,
            usage: (!failed).then_some(Usage {
                prompt: self.prompt,
                completion: self.completion,
                reasoning: 0,
                cached_prompt: 0,
            }),
            events: if failed { 0 } else { self.completion },
            gaps_us: if failed { vec![] } else { vec![gap as u32; self.completion as usize - 1] },
            detail: failed.then(|| "the engine is busy".to_owned()),
            images: None,
        }
    }
}

/// What an agent would have sealed of these requests.
pub(crate) fn seal_of(outcomes: &[Outcome]) -> Seal {
    seal_apart(outcomes, &[])
}

/// The same, with results apart by these slices.
pub(crate) fn seal_apart(outcomes: &[Outcome], slices: &[Slice]) -> Seal {
    let mut tally = Tally::default().sliced(slices);
    let mut edges: Vec<(u64, i64)> = Vec::new();
    for outcome in outcomes {
        tally.start(outcome.marks.intended.0, outcome.slices);
        tally.end(outcome, Tick::ZERO, Slo::default(), None);
        edges.push((outcome.marks.sent.unwrap().0, 1));
        edges.push((outcome.marks.done.0, -1));
    }
    edges.sort_unstable();
    let mut level = 0;
    for pair in edges.windows(2) {
        level += pair[0].1;
        tally.in_flight(pair[0].0, pair[1].0, level as u32);
    }
    sealed(tally)
}

fn sealed(tally: Tally) -> Seal {
    let origin = Origin {
        boot: BootId(Uuid::from_u128(1)),
        epoch: Epoch(1),
        level: LevelId { ordinal: 0, attempt: 0 },
    };
    let vitals = Vitals { worker_cpu: 0.125, worker_cpu_max: 0.25, ..Vitals::default() };
    Seal {
        snapshot: Snapshot { origin, sequence: 9, at: Tick(1_000_000_000), tally, vitals },
        end: LevelEnd::Completed,
    }
}

/// A completed level whose users are dealt out to so many agents.
pub(crate) fn level(
    phase: Phase,
    users: u32,
    requests: u64,
    agents: u32,
    shape: Shape,
) -> LevelRecord {
    let load = Load::counted(users, requests);
    let outcomes = shape.outcomes(users, requests);
    let shares = self::agents(agents)
        .into_iter()
        .zip(0..agents)
        .map(|(agent, index)| {
            let own = outcomes.iter().filter(|o| o.user.0 % agents == index);
            ShareRecord {
                agent: agent.name,
                users: load.share(index, agents).count,
                seal: Some(seal_of(&own.cloned().collect::<Vec<_>>())),
            }
        })
        .collect();
    record(phase, load, shape, shares)
}

/// A completed level of these shares.
fn record(phase: Phase, load: Load, shape: Shape, shares: Vec<ShareRecord>) -> LevelRecord {
    let users = load.users;
    LevelRecord {
        id: LevelId { ordinal: 0, attempt: 0 },
        planned: PlannedLevel {
            phase,
            place: 0,
            repeat: 0,
            arm: None,
            label: users.to_string(),
            load,
            allow_capped: load.requests().is_some_and(|requests| requests < u64::from(users)),
            workload: workload("default", shape),
            window: None,
            before: Preparation::default(),
            cooldown: Duration::from_secs(5),
            proof: None,
        },
        shares,
        fired_at: Some(UnixMs(1_772_000_000_000)),
        fate: Some(LevelFate::Completed),
    }
}

fn workload(name: &str, shape: Shape) -> Workload {
    let (input, output) = (shape.prompt as u32, shape.completion as u32);
    Workload {
        forced_length: true,
        ..Workload::new(name.parse().unwrap(), input.into(), output.into())
    }
}

/// So many agents.
pub(crate) fn agents(count: u32) -> Vec<AgentRecord> {
    let agent = |number: u32| AgentRecord {
        name: name(&format!("gen-{number}")),
        boot: BootId(Uuid::from_u128(u128::from(number) + 1)),
        address: format!("10.0.0.{number}:7070"),
        version: "0.1.0".into(),
        workers: 2,
        clock_offset_us: Some(1234.5),
        clock_error_us: Some(110.0),
    };
    (0..count).map(agent).collect()
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A finished run of two agents through five phases, with failures and with a last level whose
/// requests are too few for its users.
pub(crate) fn run() -> RunRecord {
    let toml = "name = \"nightly\"\nmode = \"paper\"\n";
    let slower = |factor: u64| Shape { ttft_us: 20_000 * factor, fail_every: 0, ..Shape::QUICK };
    let levels = [
        (Phase::Warmup, 1, 1, slower(1)),
        (Phase::Baseline, 1, 10, slower(1)),
        (Phase::Scaling, 10, 700, slower(1)),
        (Phase::Scaling, 50, 500, Shape { fail_every: 50, ..slower(3) }),
        (Phase::Stress, 25, 100, Shape { prompt: 8000, fail_every: 10, ..slower(9) }),
        (Phase::Saturation, 150, 450, slower(4)),
        (Phase::Saturation, 1000, 450, slower(12)),
    ];
    let mut places = [0u32; Phase::ALL.len()];
    let mut ordinal = 0;
    let mut record = |(phase, users, requests, shape)| {
        let mut level = level(phase, users, requests, 2, shape);
        level.id.ordinal = ordinal;
        ordinal += 1;
        let place = &mut places[usize::from(phase.number())];
        level.planned.place = *place;
        *place += 1;
        if phase == Phase::Stress {
            level.planned.label = "25 long-context-8k".into();
            level.planned.workload.name = name("long-context-8k");
        }
        level
    };
    RunRecord {
        header: RunHeader {
            run: RunId(Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0001)),
            name: name("nightly"),
            mode: Mode::Paper,
            tier: Tier::Default,
            seed: u64::MAX,
            target: "http://10.0.0.5:8000".into(),
            model: "meta-llama/Llama-3.1-405B-Instruct".into(),
            stream: true,
            judging: Judging::default(),
            serving: Serving::default(),
            campaign_toml: toml.into(),
            campaign_sha256: Digest::of(toml.as_bytes()),
            levels_planned: 7,
            started_at: UnixMs(1_772_000_000_123),
            tool_version: "0.1.0".into(),
        },
        agents: agents(2),
        levels: levels.into_iter().map(&mut record).collect(),
        identities: Vec::new(),
        facts: Vec::new(),
        end: Some(RunEnd {
            outcome: RunOutcome::Completed,
            exit_code: 0,
            because: "every level was run".into(),
            finished_at: UnixMs(1_772_000_360_456),
        }),
    }
}

/// Stores a run in the order in which a run stores it.
pub(crate) fn stored(dir: &Path, run: &RunRecord) -> Store {
    let mut store = Store::create(dir, &run.header).unwrap();
    store.put_agents(&run.agents).unwrap();
    for identity in &run.identities {
        store.put_identity(identity).unwrap();
    }
    store.put_facts(&run.facts).unwrap();
    for level in &run.levels {
        store.begin_level(level).unwrap();
        store.set_fired(level.id, level.fired_at.unwrap()).unwrap();
        for share in &level.shares {
            if let Some(seal) = &share.seal {
                store.put_seals([(level.id, &share.agent, seal)]).unwrap();
            }
        }
        if let Some(fate) = &level.fate {
            store.set_fate(level.id, fate).unwrap();
        }
    }
    if let Some(end) = &run.end {
        store.finish(end).unwrap();
    }
    store
}

/// The same run, killed during its sixth level: one agent had sealed, the other had not.
pub(crate) fn killed_run() -> RunRecord {
    let mut run = run();
    run.levels.truncate(6);
    if let Some(last) = run.levels.last_mut() {
        last.fate = None;
        last.shares[1].seal = None;
    }
    run.end = None;
    run
}
