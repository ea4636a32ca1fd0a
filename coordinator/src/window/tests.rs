//! The watch against a simulated fleet: agents with clocks of their own, requests of varying
//! length, and a link that delays, loses, repeats and reorders snapshots.

use std::collections::BTreeMap;
use std::rc::Rc;

use common::arrivals::{Arrivals, Law, PerSecond, Rate, Schedule, Walk};
use common::assignment::End;
use common::ids::{BootId, Epoch, LevelId, UserId};
use common::outcome::{Ending, Failure, Marks, Outcome, Usage};
use common::phase::Phase;
use common::seed::Seed;
use common::slice::InSlices;
use common::slo::Slo;
use common::snapshot::{Origin, Vitals};
use common::tally::{Latencies, Scope, Tally};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

/// Of users who do not pause.
fn unthinking(request: Duration) -> Longest {
    Longest { request, pause: None }
}

const MS: u64 = 1_000_000;
const S: u64 = 1000 * MS;
const AHEAD: Duration = Duration::from_secs(1);
/// Tokens of an answer.
const TOKENS: u64 = 6;
/// Longer than any level here may last.
const FOR_EVER: u64 = 5000 * S;

/// How a server behaves.
#[derive(Clone, Copy, Debug)]
enum Server {
    /// Answers within this time, give or take the part of it in hundredths.
    Sound { ms: u64, jitter: u64 },
    /// Fails after this time.
    Failing { ms: u64 },
    /// Never says anything.
    Mute,
}

/// What becomes of snapshots on their way, in hundredths.
#[derive(Clone, Copy, Debug)]
struct Link {
    delay_ms: u64,
    lost: u64,
    repeated: u64,
}

const GOOD: Link = Link { delay_ms: 20, lost: 0, repeated: 0 };
const BAD: Link = Link { delay_ms: 1500, lost: 30, repeated: 40 };
const DEAD: Link = Link { delay_ms: 1, lost: 100, repeated: 0 };

#[derive(Clone, Copy, Debug)]
struct Case {
    load: Load,
    agents: u32,
    plan: WindowPlan,
    server: Server,
    request_max: Duration,
    link: Link,
    seed: u64,
}

impl Case {
    /// 12 users on 3 agents, requests of 400 ms, a window of 10 s.
    fn usual() -> Self {
        Self {
            load: closed(12, 0),
            agents: 3,
            plan: fixed(10),
            server: Server::Sound { ms: 400, jitter: 30 },
            request_max: Duration::from_secs(60),
            link: GOOD,
            seed: 1,
        }
    }
}

fn closed(users: u32, ramp_s: u64) -> Load {
    let ramp = Duration::from_secs(ramp_s);
    Load { users, arrivals: Arrivals::Closed { ramp }, end: End::Window }
}

fn open(per_second: u64) -> Load {
    let rate = Rate::Flat(PerSecond(per_second * 1_000_000));
    let arrivals = Arrivals::Open(Schedule { law: Law::Poisson, rate });
    Load { users: 1000, arrivals, end: End::Window }
}

fn fixed(seconds: u64) -> WindowPlan {
    let length = Duration::from_secs(seconds);
    WindowPlan { least: length, most: length, turns: 0, requests: 0, precise: false }
}

/// What became of a level.
#[derive(Debug)]
struct Ran {
    from_ns: u64,
    until_ns: u64,
    /// When each was decided, since the level fired.
    decided: [u64; 3],
    at_measure: Truth,
    at_release: Truth,
    at_drained: Truth,
}

/// What the fleet truly was at an instant.
#[derive(Clone, Copy, Debug, Default)]
struct Truth {
    ended: u64,
    open: u64,
    measured: u64,
    following: u64,
    /// The fewest requests that a user has ended.
    turns: u64,
}

/// What happens next.
enum What {
    /// A request begins: of a user, or of an arrival.
    Begin {
        agent: usize,
        number: u64,
    },
    Token {
        agent: usize,
    },
    Finish {
        agent: usize,
        number: u64,
        begun: u64,
    },
    Snapshot {
        agent: usize,
    },
    Hear {
        agent: usize,
        snapshot: Rc<Snapshot>,
    },
    Order {
        agent: usize,
        decision: Decision,
    },
    Turn,
}

struct Agent {
    fired: Tick,
    tally: Tally,
    in_flight: u32,
    changed: u64,
    sequence: u64,
}

struct Sim {
    case: Case,
    agents: Vec<Agent>,
    /// Requests ended by each user of a closed loop.
    turns: BTreeMap<u64, u64>,
    /// All of an open loop's arrivals.
    walk: Option<Walk>,
    /// By time, then in the order in which they were put in.
    queue: BTreeMap<(u64, u64), What>,
    ordered: u64,
    drawn: u64,
}

impl Sim {
    fn new(case: Case) -> Self {
        let agent = |index: u32| Agent {
            fired: Tick(u64::from(index) * 977 * S + 5 * S),
            tally: Tally::windowed(),
            in_flight: 0,
            changed: 0,
            sequence: 0,
        };
        let agents = (0..case.agents).map(agent).collect();
        let walk = match case.load.arrivals {
            Arrivals::Closed { .. } => None,
            Arrivals::Open(schedule) => Some(schedule.walk(Seed(case.seed), Phase::Scaling, 0)),
        };
        let (turns, queue) = (BTreeMap::new(), BTreeMap::new());
        let mut sim = Self { case, agents, turns, walk, queue, ordered: 0, drawn: case.seed };
        sim.begin();
        for agent in 0..sim.agents.len() {
            let at = sim.draw(1000) * MS;
            sim.at(at, What::Snapshot { agent });
        }
        sim.at(0, What::Turn);
        sim
    }

    fn begin(&mut self) {
        let Load { users, arrivals, .. } = self.case.load;
        match arrivals {
            Arrivals::Closed { ramp } => {
                for user in 0..users {
                    self.turns.insert(user.into(), 0);
                    let at = Arrivals::intended(ramp, (user, users), Tick::ZERO, None).0;
                    let agent = user as usize % self.agents.len();
                    self.at(at, What::Begin { agent, number: user.into() });
                }
            }
            Arrivals::Open(_) => self.arrive(0),
        }
    }

    /// The next arrival of an open loop.
    fn arrive(&mut self, number: u64) {
        if let Some(at) = self.walk.as_mut().and_then(Iterator::next) {
            let agent = number as usize % self.agents.len();
            self.at(at, What::Begin { agent, number });
        }
    }

    fn at(&mut self, at: u64, what: What) {
        self.ordered += 1;
        self.queue.insert((at, self.ordered), what);
    }

    /// A number below `bound`.
    fn draw(&mut self, bound: u64) -> u64 {
        self.drawn += 1;
        let mut x = self.drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (x ^ (x >> 27)) % bound.max(1)
    }

    fn advance(&mut self, agent: usize, now: u64) {
        let agent = &mut self.agents[agent];
        agent.tally.in_flight(agent.changed, now, agent.in_flight);
        agent.changed = now;
    }

    fn start(&mut self, agent: usize, number: u64, now: u64) {
        self.advance(agent, now);
        self.agents[agent].in_flight += 1;
        self.agents[agent].tally.start(now, InSlices::NONE);
        let takes = match self.case.server {
            Server::Sound { ms, jitter } => {
                let spread = ms * jitter / 100;
                let takes = (ms - spread) * MS + self.draw(2 * spread * MS);
                for token in 1..=TOKENS {
                    self.at(now + takes * token / TOKENS, What::Token { agent });
                }
                takes
            }
            Server::Failing { ms } => ms * MS,
            Server::Mute => FOR_EVER,
        };
        self.at(now + takes, What::Finish { agent, number, begun: now });
        self.arrive(number + 1);
    }

    fn finish(&mut self, agent: usize, number: u64, begun: u64, now: u64) {
        self.advance(agent, now);
        self.agents[agent].in_flight -= 1;
        let ok = matches!(self.case.server, Server::Sound { .. });
        let first = Tick(begun + (now - begun) / TOKENS);
        let gap_us = ((now - first.0) / (TOKENS - 1) / 1000) as u32;
        let outcome = Outcome {
            user: UserId(0),
            request: number,
            slices: InSlices::NONE,
            ending: if ok { Ending::Succeeded } else { Failure::Http503.into() },
            status: Some(if ok { 200 } else { 503 }),
            paper_success: ok,
            marks: Marks {
                intended: Tick(begun),
                sent: Some(Tick(begun)),
                head: Some(first),
                first_token: ok.then_some(first),
                first_answer: ok.then_some(first),
                last_token: ok.then_some(Tick(now)),
                done: Tick(now),
            },
            usage: ok.then(|| Usage { completion: TOKENS, prompt: 3, ..Usage::default() }),
            events: if ok { TOKENS } else { 0 },
            gaps_us: if ok { vec![gap_us; TOKENS as usize - 1] } else { vec![] },
            detail: None,
            images: None,
        };
        self.agents[agent].tally.end(&outcome, Tick::ZERO, Slo::default(), None);
        if let Some(turns) = self.turns.get_mut(&number) {
            *turns += 1;
            self.at(now, What::Begin { agent, number });
        }
    }

    fn snapshot(&mut self, agent: usize, now: u64) {
        self.at(now + S, What::Snapshot { agent });
        self.advance(agent, now);
        let Link { delay_ms, lost, repeated } = self.case.link;
        let sim = &mut self.agents[agent];
        sim.sequence += 1;
        let told = &sim.tally;
        let snapshot = Rc::new(Snapshot {
            origin: Origin {
                boot: BootId(Uuid::nil()),
                epoch: Epoch(1),
                level: LevelId { ordinal: 0, attempt: 0 },
            },
            sequence: sim.sequence,
            at: sim.fired + Duration::from_nanos(now),
            // Copies of histograms that the watch never reads are all that takes time here.
            tally: Tally {
                scope: told.scope,
                counts: told.counts.clone(),
                measured: told.measured.clone(),
                paper: told.paper.clone(),
                latencies: Latencies {
                    e2e_plan: told.latencies.e2e_plan.clone(),
                    ..Latencies::default()
                },
                in_flight: told.in_flight.clone(),
                flow: told.flow.clone(),
                ..Tally::default()
            },
            vitals: Vitals::default(),
        });
        let again = self.draw(100) < repeated;
        for _ in 0..=u8::from(again) {
            let (delay, is_lost) = (self.draw(delay_ms * MS), self.draw(100) < lost);
            if !is_lost {
                let snapshot = Rc::clone(&snapshot);
                self.at(now + delay, What::Hear { agent, snapshot });
            }
        }
    }

    /// What the agents have to be told in time.
    fn order(&mut self, agent: usize, decision: Decision, now: u64) {
        let tally = &mut self.agents[agent].tally;
        let at = |offset: Duration| duration_ns(offset);
        match decision {
            Decision::Measure { from } => {
                assert!(at(from) > now, "ordered {from:?} at {now}");
                tally.measure(at(from));
            }
            Decision::Release { until } => {
                assert!(at(until) > now, "ordered {until:?} at {now}");
                tally.release(at(until));
            }
            Decision::Drained => {}
        }
    }

    fn truth(&self) -> Truth {
        let mut truth = Truth { turns: u64::MAX, ..Truth::default() };
        for agent in &self.agents {
            let tally = &agent.tally;
            truth.ended += tally.counts.started - tally.counts.open;
            truth.open += tally.counts.open;
            truth.measured += tally.measured.started;
            truth.following += tally.scope.window().map_or(0, |window| window.following);
        }
        truth.turns = self.turns.values().copied().min().unwrap_or(0);
        truth
    }
}

/// Runs a level until its watch says that it is over.
fn run(case: Case) -> Ran {
    let mut sim = Sim::new(case);
    let ours = Tick(123 * S);
    let fired = (0..).map(AgentIx).zip(sim.agents.iter().map(|agent| agent.fired)).collect();
    let mut watch = Watch::new(case.load, case.plan, unthinking(case.request_max), ours, fired);
    let mut said: Vec<(u64, Decision, Truth)> = Vec::new();
    while let Some(((now, _), what)) = sim.queue.pop_first() {
        assert!(now < FOR_EVER, "{case:?} hangs after {said:?}");
        let looks = match what {
            What::Begin { agent, number } => {
                sim.start(agent, number, now);
                false
            }
            What::Token { agent } => {
                sim.agents[agent].tally.events(now, 1);
                false
            }
            What::Finish { agent, number, begun } => {
                sim.finish(agent, number, begun, now);
                false
            }
            What::Snapshot { agent } => {
                sim.snapshot(agent, now);
                false
            }
            What::Hear { agent, snapshot } => {
                watch.absorb(AgentIx(agent as u32), (*snapshot).clone());
                true
            }
            What::Order { agent, decision } => {
                sim.order(agent, decision, now);
                false
            }
            What::Turn => {
                sim.at(now + 250 * MS, What::Turn);
                true
            }
        };
        let here = ours + Duration::from_nanos(now);
        if let Some(decision) = looks.then(|| watch.decide(here, AHEAD)).flatten() {
            said.push((now, decision, sim.truth()));
            for agent in 0..sim.agents.len() {
                let delay = sim.draw(duration_ns(AHEAD) / 2);
                sim.at(now + delay, What::Order { agent, decision });
            }
            if decision == Decision::Drained {
                assert_eq!(watch.decide(here + Duration::from_secs(999), AHEAD), None);
                break;
            }
        }
    }
    let [
        (measure_at, Decision::Measure { from }, at_measure),
        (release_at, Decision::Release { until }, at_release),
        (drained_at, Decision::Drained, at_drained),
    ] = said[..]
    else {
        panic!("{said:?}");
    };
    let (from_ns, until_ns) = (duration_ns(from), duration_ns(until));
    assert!(measure_at + duration_ns(AHEAD) <= from_ns);
    assert!(release_at + duration_ns(AHEAD) <= until_ns);
    assert!(until_ns <= drained_at);
    assert!(from_ns.is_multiple_of(SLOT_NS) && until_ns.is_multiple_of(SLOT_NS));
    for agent in &sim.agents {
        let Scope::Window(window) = agent.tally.scope else {
            panic!("{:?}", agent.tally.scope);
        };
        assert_eq!((window.from_ns, window.until_ns), (from_ns, Some(until_ns)));
    }
    let decided = [measure_at, release_at, drained_at];
    Ran { from_ns, until_ns, decided, at_measure, at_release, at_drained }
}

impl Ran {
    fn length_s(&self) -> f64 {
        (self.until_ns - self.from_ns) as f64 / 1e9
    }

    fn drain_s(&self) -> f64 {
        (self.decided[2] - self.until_ns) as f64 / 1e9
    }
}

fn any_link() -> impl Strategy<Value = Link> {
    prop_oneof![Just(GOOD), Just(BAD)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]
    /// However many agents, however bad their links: the window begins once the load is up, is as
    /// long as the plan says, and is over when its requests are.
    #[test]
    fn a_closed_loop_is_measured_while_it_is_up(
        agents in 1u32..8, users in 1u32..30, ramp_s in 0u64..5, ms in 100u64..3000,
        jitter in 0u64..40, turns in 0u32..8, requests in 0u64..200, link in any_link(),
        seed in 0u64..1_000_000
    ) {
        let case = Case {
            load: closed(users.max(agents), ramp_s),
            agents,
            plan: WindowPlan {
                least: Duration::from_secs(3),
                most: Duration::from_secs(40),
                turns,
                requests,
                precise: false,
            },
            server: Server::Sound { ms, jitter },
            link,
            seed,
            ..Case::usual()
        };
        let ran = run(case);
        let up = ran.at_measure;
        let users = u64::from(case.load.users);
        prop_assert!(ran.decided[0] >= ramp_s * S);
        prop_assert!(up.ended >= 2 * users && up.turns >= 1 && up.open == users, "{ran:?}");
        // By the time that a request takes as it was seen; a turn of a few users is an estimate.
        let turns_s = f64::from(turns) * ms as f64 / 1e3;
        let least_s = (0.7 * turns_s).clamp(3.0, 40.0);
        prop_assert!(ran.length_s() >= least_s && ran.length_s() <= 40.1, "{ran:?}");
        prop_assert!(ran.at_release.measured >= requests || ran.length_s() >= 40.0, "{ran:?}");
        let enough_s = requests as f64 / users as f64 * ms as f64 / 1e3;
        let most_s = (1.4 * turns_s).max(1.4 * enough_s + 15.0).clamp(3.0, 40.0);
        prop_assert!(ran.length_s() <= most_s + 0.1, "{ran:?}, {most_s}");
        // Whoever is followed has ended, or was waited for three times as long as requests take.
        let given_up_s = (3.0 * ms as f64 / 1e3 * (1.0 - jitter as f64 / 100.0)).max(2.0);
        prop_assert!(ran.at_drained.following == 0 || ran.drain_s() >= given_up_s, "{ran:?}");
    }

    /// An open loop has no users to turn over.
    #[test]
    fn an_open_loop_is_measured_once_its_flow_has_settled(
        agents in 1u32..8, per_second in 1u64..30, ms in 50u64..3000, link in any_link(),
        seed in 0u64..1_000_000
    ) {
        let server = Server::Sound { ms, jitter: 30 };
        let load = open(per_second);
        let ran = run(Case { load, agents, server, link, seed, ..Case::usual() });
        prop_assert!(ran.at_measure.ended >= 10);
        prop_assert!(ran.decided[0] >= 4 * ms * MS / 5);
        prop_assert!((ran.length_s() - 10.0).abs() < 1e-9);
        prop_assert!(ran.at_drained.following == 0 || ran.drain_s() >= 2.0, "{ran:?}");
    }

    /// Snapshots that come twice, or behind newer ones, say nothing new.
    #[test]
    fn repeated_and_old_snapshots_change_nothing(seed in 0u64..1_000_000) {
        let case = Case { seed, ..Case::usual() };
        let mut sim = Sim::new(case);
        let fired: BTreeMap<AgentIx, Tick> =
            (0..).map(AgentIx).zip(sim.agents.iter().map(|agent| agent.fired)).collect();
        let new = || Watch::new(case.load, case.plan, unthinking(case.request_max), Tick::ZERO, fired.clone());
        let (mut one, mut other) = (new(), new());
        let mut heard: Vec<(AgentIx, Rc<Snapshot>)> = Vec::new();
        let mut decided = 0;
        while let Some(((now, _), what)) = sim.queue.pop_first() {
            match what {
                What::Begin { agent, number } => sim.start(agent, number, now),
                What::Token { agent } => sim.agents[agent].tally.events(now, 1),
                What::Finish { agent, number, begun } => sim.finish(agent, number, begun, now),
                What::Snapshot { agent } => sim.snapshot(agent, now),
                What::Hear { agent, snapshot } => {
                    let agent = AgentIx(agent as u32);
                    one.absorb(agent, (*snapshot).clone());
                    other.absorb(agent, (*snapshot).clone());
                    heard.push((agent, snapshot));
                    let (agent, old) = &heard[sim.draw(heard.len() as u64) as usize];
                    other.absorb(*agent, (**old).clone());
                }
                What::Order { agent, decision } => sim.order(agent, decision, now),
                What::Turn => {
                    sim.at(now + 250 * MS, What::Turn);
                    let decision = one.decide(Tick(now), AHEAD);
                    prop_assert_eq!(decision, other.decide(Tick(now), AHEAD));
                    prop_assert_eq!(one.progress(Tick(now)), other.progress(Tick(now)));
                    if let Some(decision) = decision {
                        decided += 1;
                        (0..sim.agents.len()).for_each(|agent| sim.order(agent, decision, now));
                    }
                    if decided == 3 {
                        break;
                    }
                }
            }
        }
        prop_assert_eq!(decided, 3);
    }
}

#[test]
fn a_fixed_window_is_as_long_as_it_is_fixed() {
    for seconds in [2, 3, 10, 60] {
        let ran = run(Case { plan: fixed(seconds), ..Case::usual() });
        assert_eq!(ran.until_ns - ran.from_ns, seconds * S);
    }
}

#[test]
fn a_precise_window_goes_on_until_the_throughput_is_known() {
    let plan = WindowPlan {
        least: Duration::from_secs(5),
        most: Duration::from_secs(300),
        precise: true,
        ..fixed(5)
    };
    let exact = Server::Sound { ms: 400, jitter: 1 };
    let ran = run(Case { plan, server: exact, ..Case::usual() });
    assert!(ran.length_s() < 60.0, "{ran:?}");
    // Twenty batches of half a request's time.
    assert!(ran.length_s() >= 20.0 * 0.2, "{ran:?}");
    let wild = Server::Sound { ms: 400, jitter: 95 };
    let load = closed(2, 0);
    let longer = run(Case { plan, load, agents: 2, server: wild, ..Case::usual() });
    assert!(longer.length_s() > ran.length_s(), "{longer:?}");
}

#[test]
fn a_level_whose_requests_all_fail_comes_to_its_end() {
    for (load, agents) in [(closed(12, 0), 3), (closed(5, 3), 5), (open(20), 2)] {
        let server = Server::Failing { ms: 150 };
        let ran = run(Case { load, agents, server, ..Case::usual() });
        // Failing keeps users as busy as anything else.
        assert!(ran.decided[0] < 15 * S, "{ran:?}");
        assert_eq!(ran.length_s(), 10.0);
        assert_eq!(ran.at_drained.following, 0);
    }
}

#[test]
fn a_level_of_which_nothing_comes_is_measured_all_the_same_and_ends() {
    let plan = WindowPlan { requests: 10_000, turns: 5, ..fixed(30) };
    for load in [closed(12, 0), open(2)] {
        // Requests that outlast everything: four times what a request can take, the window at
        // its longest, and the longest drain.
        let ran = run(Case { load, plan, server: Server::Mute, ..Case::usual() });
        assert_eq!(ran.decided[0] / S, 240, "{ran:?}");
        assert_eq!(ran.length_s(), 30.0);
        assert_eq!(ran.drain_s().floor(), 300.0);
        // Agents of which nothing is heard.
        let ran = run(Case { load, plan, link: DEAD, ..Case::usual() });
        assert_eq!(ran.decided[0] / S, 60, "{ran:?}");
        assert_eq!(ran.length_s(), 30.0);
        assert_eq!(ran.drain_s().floor(), 2.0);
    }
}

#[test]
fn users_that_cannot_be_kept_busy_are_measured_as_they_are() {
    // The fifth user is on an agent whose snapshots say that it has none in flight.
    let case = Case { load: closed(4, 0), agents: 2, ..Case::usual() };
    let short = Case { load: closed(5, 0), ..case };
    let mut watch = {
        let sim = Sim::new(case);
        let fired = (0..).map(AgentIx).zip(sim.agents.iter().map(|agent| agent.fired)).collect();
        Watch::new(short.load, short.plan, unthinking(short.request_max), Tick::ZERO, fired)
    };
    let mut sim = Sim::new(case);
    let mut measured = None;
    while let Some(((now, _), what)) = sim.queue.pop_first() {
        match what {
            What::Begin { agent, number } => sim.start(agent, number, now),
            What::Token { agent } => sim.agents[agent].tally.events(now, 1),
            What::Finish { agent, number, begun } => sim.finish(agent, number, begun, now),
            What::Snapshot { agent } => sim.snapshot(agent, now),
            What::Hear { agent, snapshot } => {
                watch.absorb(AgentIx(agent as u32), (*snapshot).clone())
            }
            What::Order { .. } => {}
            What::Turn => {
                sim.at(now + 250 * MS, What::Turn);
                if now == 20 * S {
                    let progress = watch.progress(Tick(now));
                    let Progress::Rising(Wait::InFlight { mean, needed }) = progress else {
                        panic!("{progress:?}");
                    };
                    assert!((mean - 4.0).abs() < 1e-9 && (needed - 4.9).abs() < 1e-9);
                }
                if watch.decide(Tick(now), AHEAD).is_some() {
                    measured = Some(now);
                    break;
                }
            }
        }
    }
    assert_eq!(measured, Some(60 * S));
}

/// What one agent, which fired at 7 s of its clock, says so many seconds later.
fn heard(sequence: u64, at_s: u64, tally: &Tally) -> Snapshot {
    let level = LevelId { ordinal: 0, attempt: 0 };
    Snapshot {
        origin: Origin { boot: BootId(Uuid::nil()), epoch: Epoch(1), level },
        sequence,
        at: Tick((7 + at_s) * S),
        tally: tally.clone(),
        vitals: Vitals::default(),
    }
}

fn live(load: Load) -> Live {
    Live::new(load, BTreeMap::from([(AgentIx(0), Tick(7 * S))]))
}

#[test]
fn a_snapshot_from_before_the_end_says_nothing_about_what_follows() {
    let mut live = live(closed(2, 0));
    let until = Duration::from_secs(20);
    let mut tally = Tally::windowed();
    tally.measure(10 * S);
    tally.release(20 * S);
    // Nothing is open, and the window has a second to go.
    live.absorb(AgentIx(0), heard(1, 19, &tally));
    assert_eq!(live.following_since(until), None);
    tally.start(20 * S - 1, InSlices::NONE);
    tally.start(20 * S, InSlices::NONE);
    live.absorb(AgentIx(0), heard(2, 21, &tally));
    assert_eq!(live.following_since(until), Some(1));
}

#[test]
fn what_waits_for_a_place_makes_a_request_last_no_shorter() {
    let mut live = live(Load { users: 2, ..open(50) });
    assert_eq!(live.mean_duration(), None);
    let mut tally = Tally::windowed();
    (0..500).for_each(|number| tally.start(number * S / 50, InSlices::NONE));
    tally.in_flight(0, 10 * S, 2);
    live.absorb(AgentIx(0), heard(1, 10, &tally));
    // None has ended: twice the age of those in flight.
    assert_eq!(live.mean_duration(), Some(Duration::from_secs(20)));
    (tally.counts.open, tally.counts.succeeded) = (496, 4);
    live.absorb(AgentIx(0), heard(2, 10, &tally));
    assert_eq!(live.mean_duration(), Some(Duration::from_secs(4)));
}

#[test]
fn windows_begin_and_end_between_slots_however_wide_those_become() {
    // Two hours make slots of 1.6 s.
    let plan = fixed(7200);
    let fired = BTreeMap::from([(AgentIx(0), Tick::ZERO)]);
    let request_max = Duration::from_secs(1);
    let mut watch = Watch::new(closed(1, 0), plan, unthinking(request_max), Tick::ZERO, fired);
    let decided = watch.decide(Tick(61 * S), AHEAD);
    assert_eq!(decided, Some(Decision::Measure { from: Duration::from_millis(62_400) }));
    let decided = watch.decide(Tick(7261 * S), AHEAD);
    assert_eq!(decided, Some(Decision::Release { until: Duration::from_millis(7_262_400) }));
}
