//! Agents that load nobody: they speak the wire as agents do, and report what they would have
//! counted. As many as a coordinator must carry fit into one thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use agent::clock::Clock;
use common::assignment::Assignment;
use common::ceiling::HostCeiling;
use common::ids::{BootId, Epoch, LevelId, RunId, UserId};
use common::outcome::{Ending, Marks, Outcome, Usage};
use common::slice::InSlices;
use common::slo::Slo;
use common::snapshot::{LevelEnd, Origin, Seal, Snapshot, Vitals};
use common::tally::{Scope, Tally};
use common::time::Tick;
use coordinator::fleet::Address;
use proto::link::{self, Dialer};
use proto::message::{Ceilings, Greeting, Hello, Order, PROTOCOL, Peer, Refusal, Report};
use proto::server::{AgentApi, Orders};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

const EPOCH: Epoch = Epoch(1);
const SECOND: Duration = Duration::from_secs(1);
/// Users of an agent, how long a request of theirs takes on average, and its events.
const USERS: u64 = 10;
const REQUEST_NS: u64 = 5_000_000_000;
const EVENTS: u64 = 100;
/// The window of what they tell begins this long after the start.
const FROM_NS: u64 = 10_000_000_000;

/// What hollow agents report, second by second.
pub struct History(Vec<Vec<Tally>>);

impl History {
    /// Of levels that have gone on for `age` and go on for `seconds`; some differ from others.
    pub fn new(age: Duration, seconds: u64) -> Self {
        Self((1..=8).map(|seed| one_history(seed, age, seconds)).collect())
    }

    /// How long the first message of an agent is.
    pub fn bytes(&self) -> usize {
        let level = LevelId { ordinal: 0, attempt: 0 };
        let origin = Origin { boot: BootId(Uuid::nil()), epoch: EPOCH, level };
        let (tally, vitals) = (self.at(0, 0), Vitals::default());
        let snapshot = Snapshot { origin, sequence: 1, at: Tick(1), tally, vitals };
        proto::wire::encode_seal(&Seal { snapshot, end: LevelEnd::Stopped }).len()
    }

    fn at(&self, agent: u64, second: u64) -> Tally {
        let kinds = &self.0[agent as usize % self.0.len()];
        kinds[(second as usize).min(kinds.len() - 1)].clone()
    }
}

/// A generator of numbers that look random.
struct Dice(u64);

impl Dice {
    /// Between half of `mean` and one and a half of it, more often near it.
    fn around(&mut self, mean: u64) -> u64 {
        let mut one = || {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            (self.0 >> 33) as f64 / (1u64 << 31) as f64
        };
        let sum = one() + one() + one();
        (mean as f64 * (0.5 + sum / 3.0)) as u64
    }
}

fn one_history(seed: u64, age: Duration, seconds: u64) -> Vec<Tally> {
    let age_ns = age.as_nanos() as u64;
    let end_ns = age_ns + seconds * 1_000_000_000;
    let mut dice = Dice(seed);
    let mut outcomes = Vec::new();
    for user in 0..USERS {
        let mut at_ns = dice.around(REQUEST_NS) / 2;
        while at_ns < end_ns {
            let outcome = outcome(user, at_ns, &mut dice);
            at_ns = outcome.marks.done.0 + dice.around(100_000);
            outcomes.push(outcome);
        }
    }
    outcomes.sort_by_key(|outcome| outcome.marks.done);
    let mut outcomes = outcomes.into_iter().peekable();
    let mut tally = Tally::windowed();
    tally.measure(FROM_NS);
    for _ in 0..USERS {
        tally.start(0, InSlices::NONE);
    }
    let mut seen_ns = 0;
    let mut told = Vec::new();
    for second in 0..seconds {
        let until_ns = age_ns + second * 1_000_000_000;
        while let Some(ended) = outcomes.next_if(|outcome| outcome.marks.done.0 < until_ns) {
            let mut event_ns = ended.marks.first_token.map_or(0, |first| first.0);
            for &gap_us in &ended.gaps_us {
                tally.events(event_ns, 1);
                event_ns += u64::from(gap_us) * 1000;
            }
            tally.start(ended.marks.intended.0, InSlices::NONE);
            let lag_us = 30 + ended.request % 200;
            if ended.marks.intended.0 >= FROM_NS {
                tally.latencies.receive_lag.record_us(lag_us);
                (0..50).for_each(|n| tally.latencies.loop_lag.record_us(lag_us + 7 * n));
            }
            tally.end(&ended, Tick::ZERO, Slo::default(), None);
        }
        tally.in_flight(seen_ns, until_ns, USERS as u32);
        seen_ns = until_ns;
        tally.check().expect("a sound tally");
        told.push(tally.clone());
    }
    told
}

fn outcome(user: u64, intended_ns: u64, dice: &mut Dice) -> Outcome {
    let sent_ns = intended_ns + dice.around(80_000);
    let first_ns = sent_ns + dice.around(REQUEST_NS / 10);
    let gap_us = REQUEST_NS * 9 / 10 / EVENTS / 1000;
    let gaps_us: Vec<u32> = (1..EVENTS).map(|_| dice.around(gap_us) as u32).collect();
    let last_ns = first_ns + gaps_us.iter().map(|&gap| u64::from(gap) * 1000).sum::<u64>();
    let first = Some(Tick(first_ns));
    Outcome {
        user: UserId(user as u32),
        request: intended_ns % 1000,
        slices: InSlices::NONE,
        ending: Ending::Succeeded,
        status: Some(200),
        paper_success: true,
        marks: Marks {
            intended: Tick(intended_ns),
            sent: Some(Tick(sent_ns)),
            head: first,
            first_token: first,
            first_answer: first,
            last_token: Some(Tick(last_ns)),
            done: Tick(last_ns + 50_000),
        },
        usage: Some(Usage { prompt: 500, completion: EVENTS, ..Usage::default() }),
        events: EVENTS,
        gaps_us,
        detail: None,
        images: None,
    }
}

/// What a fleet of hollow agents has seen of its coordinator.
#[derive(Debug, Default)]
pub struct Seen {
    /// The longest time from the question of a renewal to its echo.
    longest_ns: AtomicU64,
    renewals: AtomicU64,
    snapshots: AtomicU64,
}

impl Seen {
    /// The longest time from the question of a renewal to its echo.
    pub fn longest_echo(&self) -> Duration {
        Duration::from_nanos(self.longest_ns.load(Ordering::Relaxed))
    }

    /// Snapshots sent.
    pub fn snapshots(&self) -> u64 {
        self.snapshots.load(Ordering::Relaxed)
    }

    /// Renewals echoed.
    pub fn renewals(&self) -> u64 {
        self.renewals.load(Ordering::Relaxed)
    }
}

/// A fleet of hollow agents on a thread of its own. It ends when this is dropped.
pub struct Hollow {
    addresses: Vec<Address>,
    seen: Arc<Seen>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Hollow {
    /// Starts `count` agents with this history.
    pub fn start(count: u64, age: Duration, history: History) -> Self {
        let history = Arc::new(history);
        let seen = Arc::new(Seen::default());
        let (dialers, incomings): (Vec<_>, Vec<_>) = (0..count).map(|_| link::memory()).unzip();
        let (stop, stopped) = oneshot::channel::<()>();
        let seen_by_all = Arc::clone(&seen);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                for (number, incoming) in (0..).zip(incomings) {
                    let api = HollowAgent {
                        number,
                        age,
                        history: Arc::clone(&history),
                        seen: Arc::clone(&seen_by_all),
                        clock: Clock::start(),
                    };
                    let serving =
                        proto::server::serve(Arc::new(api), incoming, std::future::pending());
                    drop(tokio::spawn(serving));
                }
                let _ = stopped.await;
            });
        });
        let address = |(number, dialer)| Address {
            text: format!("hollow {number}"),
            dialer: Dialer::Memory(dialer),
        };
        let addresses = (0u32..).zip(dialers).map(address).collect();
        Self { addresses, seen, stop: Some(stop), thread: Some(thread) }
    }

    /// How they are dialled.
    pub fn addresses(&self) -> Vec<Address> {
        self.addresses.clone()
    }

    /// What they have seen.
    pub fn seen(&self) -> Arc<Seen> {
        Arc::clone(&self.seen)
    }
}

impl Drop for Hollow {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Clone)]
struct HollowAgent {
    number: u64,
    age: Duration,
    history: Arc<History>,
    seen: Arc<Seen>,
    clock: Clock,
}

impl AgentApi for HollowAgent {
    fn hello(&self, _peer: &Peer, _hello: &Hello) -> Result<Greeting, Refusal> {
        Ok(Greeting {
            protocol: PROTOCOL,
            build: coordinator::VERSION.to_owned(),
            name: format!("hollow-{}", self.number).parse().expect("a name"),
            boot: self.boot(),
            workers: 1,
            processors: None,
            ceilings: Ceilings { users: u32::MAX, run: Duration::from_secs(3600) },
            holder: None,
            ceiling: None,
            clock: self.clock.now(),
        })
    }

    fn session(
        &self,
        _peer: Peer,
        orders: Orders,
    ) -> Result<mpsc::Receiver<Result<Report, Refusal>>, Refusal> {
        let (reports, outbox) = mpsc::channel(64);
        let session =
            Session { agent: self.clone(), reports, held: false, level: None, sequence: 0 };
        drop(tokio::spawn(session.run(orders)));
        Ok(outbox)
    }

    fn calibrate(
        &self,
        _peer: &Peer,
        _quick: bool,
    ) -> Result<oneshot::Receiver<Result<HostCeiling, Refusal>>, Refusal> {
        Err(Refusal::Invalid("it is hollow: there is no host behind it".to_owned()))
    }

    fn abort(&self, _peer: &Peer, _reason: &str) -> Result<Option<RunId>, Refusal> {
        Ok(None)
    }
}

impl HollowAgent {
    fn boot(&self) -> BootId {
        BootId(Uuid::from_u128(u128::from(self.number) + 1))
    }
}

/// A run's hold on a hollow agent.
struct Session {
    agent: HollowAgent,
    reports: mpsc::Sender<Result<Report, Refusal>>,
    /// It has been acquired.
    held: bool,
    level: Option<Level>,
    sequence: u64,
}

/// A level that the agent pretends to run.
struct Level {
    assignment: Box<Assignment>,
    fire: Tick,
    from: Option<Tick>,
    until: Option<Tick>,
}

impl Session {
    async fn run(mut self, mut orders: Orders) {
        let mut asked: Vec<(u64, Tick)> = Vec::new();
        // Agents do not speak in chorus.
        let spread = SECOND.mul_f64((self.agent.number % 100) as f64 / 100.0);
        let first = self.agent.clock.now() + spread;
        let mut every_second = tokio::time::interval_at(self.agent.clock.instant(first), SECOND);
        loop {
            tokio::select! {
                order = orders.next() => match order {
                    Ok(Order::RenewEcho { nonce, .. }) => {
                        self.agent.seen.renewals.fetch_add(1, Ordering::Relaxed);
                        let now = self.agent.clock.now();
                        asked.retain(|&(number, at)| {
                            if number == nonce {
                                let waited = now.ns_since(at);
                                self.agent.seen.longest_ns.fetch_max(waited, Ordering::Relaxed);
                            }
                            number > nonce
                        });
                    }
                    Ok(order) => if self.obey(order).await.is_none() {
                        return;
                    },
                    Err(_) => return,
                },
                _ = every_second.tick(), if self.held => {
                    let (nonce, sent_at) = (self.sequence + 1, self.agent.clock.now());
                    asked.push((nonce, sent_at));
                    self.sequence += 1;
                    let _ = self.reports.try_send(Ok(Report::Renew { nonce, sent_at }));
                    if self.level.as_ref().is_some_and(|level| level.fire != Tick::ZERO) {
                        let snapshot = self.snapshot();
                        self.agent.seen.snapshots.fetch_add(1, Ordering::Relaxed);
                        let _ = self.reports.try_send(Ok(Report::Snapshot(Box::new(snapshot))));
                    }
                }
            }
        }
    }

    /// `None` when the run is over.
    async fn obey(&mut self, order: Order) -> Option<()> {
        let report = match order {
            Order::Acquire { .. } => {
                self.held = true;
                let boot = self.agent.boot();
                Report::Acquired { boot, epoch: EPOCH, lease: 5 * SECOND }
            }
            Order::Arm { assignment, .. } => {
                let (level, digest) = (assignment.level, assignment.digest());
                let fire = Tick::ZERO;
                self.level = Some(Level { assignment, fire, from: None, until: None });
                Report::Armed { level, digest }
            }
            Order::Fire { level, at, .. } => {
                self.level.as_mut()?.fire = at;
                Report::Fired { level }
            }
            Order::Measure { from, .. } => {
                self.level.as_mut()?.from = Some(from);
                return Some(());
            }
            Order::Release { at, .. } => {
                self.level.as_mut()?.until = Some(at);
                return Some(());
            }
            Order::EndLevel { level, .. } => self.seal(level, LevelEnd::Completed)?,
            Order::Stop { level, .. } => self.seal(level, LevelEnd::Stopped)?,
            Order::SealStored { .. } | Order::Supply { .. } | Order::RenewEcho { .. } => {
                return Some(());
            }
            Order::Free { .. } => return None,
        };
        self.reports.send(Ok(report)).await.ok()
    }

    fn origin(&self, level: LevelId) -> Origin {
        Origin { boot: self.agent.boot(), epoch: EPOCH, level }
    }

    fn snapshot(&self) -> Snapshot {
        let level = self.level.as_ref().expect("a level");
        let gone = self.agent.clock.now().since(level.fire);
        let mut tally = self.agent.history.at(self.agent.number, gone.as_secs());
        if let (Some(_), Scope::Window(window)) = (level.until, &mut tally.scope) {
            window.following = 0;
        }
        Snapshot {
            origin: self.origin(level.assignment.level),
            sequence: self.sequence,
            at: level.fire + self.agent.age + Duration::from_secs(gone.as_secs()),
            tally,
            vitals: Vitals::default(),
        }
    }

    /// Nothing of what was told: a window in which nothing was asked.
    fn seal(&mut self, id: LevelId, end: LevelEnd) -> Option<Report> {
        let level = self.level.take()?;
        let mut tally = Tally::windowed();
        if let Some(from) = level.from {
            tally.measure(from.ns_since(level.fire));
        }
        if let Some(until) = level.until {
            tally.release(until.ns_since(level.fire));
        }
        let (sequence, vitals) = (self.sequence + 1, Vitals::default());
        let snapshot = Snapshot {
            origin: self.origin(id),
            sequence,
            at: self.agent.clock.now(),
            tally,
            vitals,
        };
        Some(Report::Sealed(Box::new(Seal { snapshot, end })))
    }
}
