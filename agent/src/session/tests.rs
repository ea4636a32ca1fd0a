//! A whole agent behind its service, over a link in memory.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use common::assignment::{Assignment, End, Pace};
use common::digest::Digest;
use common::ids::{BootId, Epoch, LevelId};
use common::outcome::Failure;
use common::records::{DataSet, Format, PackedTurn, Packer};
use common::snapshot::{LevelEnd, Seal, Snapshot};
use common::time::Tick;
use proto::client::{AgentConn, Reports};
use proto::link::{self, Dialer};
use proto::message::{Order, Report};
use proto::secrets::Secrets;
use proto::server::ServeError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::clock::Clock;
use crate::policy::Policy;
use crate::service::Identity;
use crate::sim::{self, Profile, SimThread};
use crate::testing::assignment;

/// A coordinator's end of a session.
struct Coordinator {
    clock: Clock,
    orders: mpsc::Sender<Order>,
    reports: Reports,
    epoch: Epoch,
}

impl Coordinator {
    async fn acquire(dialer: &Dialer, clock: Clock, assignment: &Assignment) -> Self {
        let (channel, _) = dialer.connect(Duration::from_secs(5)).await.unwrap();
        let ((orders, outbox), (_, bulk)) = (mpsc::channel(16), mpsc::channel(1));
        orders.send(Order::Acquire { run: assignment.run }).await.unwrap();
        let mut reports = AgentConn::new(channel).session(outbox, bulk).await.unwrap();
        let Report::Acquired { epoch, .. } = reports.next().await.unwrap() else {
            panic!("not acquired")
        };
        Self { clock, orders, reports, epoch }
    }

    /// The next report but renewals, which it answers.
    async fn next(&mut self) -> Report {
        loop {
            let report = self.reports.next().await.unwrap();
            let Report::Renew { nonce, .. } = report else { return report };
            self.order(Order::RenewEcho { epoch: self.epoch, nonce }).await;
        }
    }

    async fn order(&self, order: Order) {
        self.orders.send(order).await.unwrap();
    }

    /// Arms and fires one level; gives the instant at which it fires.
    async fn fire(&mut self, assignment: Assignment) -> Tick {
        let (epoch, level) = (self.epoch, assignment.level);
        let assignment = Box::new(assignment);
        self.order(Order::Arm { epoch, assignment, secrets: Secrets::default() }).await;
        let report = self.next().await;
        assert!(matches!(report, Report::Armed { .. }), "{report:?}");
        let at = self.clock.now() + Duration::from_millis(100);
        self.order(Order::Fire { epoch, level, at }).await;
        assert_eq!(self.next().await, Report::Fired { level });
        at
    }

    /// The seal of the running level, which is then stored.
    async fn seal(&mut self) -> Seal {
        let report = self.answer().await;
        let Report::Sealed(seal) = report else { panic!("{report:?}") };
        let level = seal.snapshot.origin.level;
        self.order(Order::SealStored { epoch: self.epoch, level }).await;
        *seal
    }

    /// The first snapshot from after `at` that says that the window is followed to its end.
    async fn followed(&mut self, at: Tick) -> Snapshot {
        loop {
            let report = self.next().await;
            let Report::Snapshot(snapshot) = report else { panic!("{report:?}") };
            let window = snapshot.tally.scope.window();
            if window.is_some_and(|window| window.following == 0) && snapshot.at >= at {
                break *snapshot;
            }
        }
    }

    /// The next report that is no snapshot.
    async fn answer(&mut self) -> Report {
        loop {
            let report = self.next().await;
            let Report::Snapshot(_) = report else { return report };
        }
    }
}

/// An agent of two workers, and a target that answers in about 8 ms.
struct Bench {
    clock: Clock,
    dialer: Dialer,
    agent: JoinHandle<Result<(), ServeError>>,
    stop: oneshot::Sender<()>,
    target: SimThread,
}

impl Bench {
    fn start() -> Self {
        let profile = Profile {
            ttft: Duration::from_millis(5),
            itl: Duration::from_millis(1),
            ..Profile::default()
        };
        let target = sim::spawn(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), profile).unwrap();
        let (dialer, incoming) = link::memory();
        let (stop, stopped) = oneshot::channel::<()>();
        let clock = Clock::start();
        let identity = Identity {
            name: "agent".parse().unwrap(),
            boot: BootId(Uuid::from_u128(7)),
            workers: 2,
            processors: None,
            policy: Policy::new(10, Duration::from_secs(60)),
            state_dir: None,
            simulator: None,
        };
        let agent = tokio::spawn(crate::serve(identity, clock, incoming, async {
            drop(stopped.await);
        }));
        Self { clock, dialer: Dialer::Memory(dialer), agent, stop, target }
    }

    fn assignment(&self) -> Assignment {
        assignment(&format!("http://{}", self.target.address()))
    }

    async fn end(self, coordinator: Coordinator) {
        coordinator.order(Order::Free { epoch: coordinator.epoch }).await;
        drop(self.stop);
        self.agent.await.unwrap().unwrap();
    }
}

/// A bug in one user's task voids the level and says so; the agent goes on.
#[tokio::test]
async fn a_panic_in_a_users_task_fails_the_level_with_the_reason() {
    let bench = Bench::start();
    let sound = bench.assignment();
    let mut faulty = sound.clone();
    faulty.target.model = "panic at user 1".to_owned();
    let mut coordinator = Coordinator::acquire(&bench.dialer, bench.clock, &sound).await;
    coordinator.fire(faulty).await;
    let seal = coordinator.seal().await;
    let LevelEnd::Faulted(why) = &seal.end else { panic!("{:?}", seal.end) };
    assert!(why.contains("panicked") && why.contains("made to panic"), "{why}");
    let tally = &seal.snapshot.tally;
    assert_eq!(tally.counts.failed_by(Failure::ClientPanic), 1);
    assert_eq!(tally.check_sealed(), Ok(()));

    let mut next = sound;
    next.level = LevelId { ordinal: 1, attempt: 0 };
    coordinator.fire(next).await;
    let seal = coordinator.seal().await;
    assert_eq!(seal.end, LevelEnd::Completed);
    assert_eq!(seal.snapshot.tally.counts.succeeded, 6);
    bench.end(coordinator).await;
}

#[tokio::test]
async fn a_level_of_a_data_set_needs_it_and_sends_it() {
    let mut packer = Packer::default();
    for word in ["one", "two"] {
        let added = format!(r#"{{"role":"user","content":"{word}"}}"#);
        assert!(packer.add("", &[PackedTurn { added, output_tokens: Some(3) }]));
    }
    let bytes = packer.pack();
    let (digest, total) = (Digest::of(&bytes), bytes.len() as u64);
    let bench = Bench::start();
    let mut given = bench.assignment();
    given.workload.data = Some(DataSet {
        file: "f.jsonl".to_owned(),
        format: Format::OpenAi,
        digest,
        bytes: total,
        conversations: 2,
        turns: 2,
        shuffled: false,
    });
    let mut coordinator = Coordinator::acquire(&bench.dialer, bench.clock, &given).await;
    let (epoch, level) = (coordinator.epoch, given.level);
    let assignment = Box::new(given.clone());
    coordinator.order(Order::Arm { epoch, assignment, secrets: Secrets::default() }).await;
    let report = coordinator.next().await;
    let Report::NotArmed { level: of, reasons } = report else { panic!("{report:?}") };
    assert_eq!(of, level);
    assert!(reasons[0].ends_with("is not supplied"), "{reasons:?}");
    for (offset, chunk) in (0..).step_by(40).zip(bytes.chunks(40)) {
        let chunk = chunk.to_vec();
        coordinator.order(Order::Supply { epoch, digest, total, offset, chunk }).await;
    }
    coordinator.fire(given).await;
    let seal = coordinator.seal().await;
    assert_eq!((seal.end, seal.snapshot.tally.counts.succeeded), (LevelEnd::Completed, 6));
    let entries = bench.target.ledger().entries(0, usize::MAX);
    assert_eq!(entries.iter().map(|entry| entry.body_hash).collect::<BTreeSet<_>>().len(), 2);
    assert!(entries.iter().all(|entry| (entry.prompt_tokens, entry.tokens) == (1, 3)));
    bench.end(coordinator).await;
}

const MS: Duration = Duration::from_millis(1);

#[tokio::test]
async fn a_window_is_told_to_be_over_at_once_and_ends_when_it_is_told_to() {
    let bench = Bench::start();
    let mut windowed = bench.assignment();
    windowed.load.end = End::Window;
    let mut coordinator = Coordinator::acquire(&bench.dialer, bench.clock, &windowed).await;
    let (epoch, level) = (coordinator.epoch, windowed.level);
    let fired = coordinator.fire(windowed).await;
    let (from, at) = (fired + 100 * MS, fired + 300 * MS);
    coordinator.order(Order::Measure { epoch, level, from }).await;
    coordinator.order(Order::Release { epoch, level, at }).await;
    // What is about another level changes nothing of this one.
    let other = LevelId { attempt: 1, ..level };
    coordinator.order(Order::Measure { epoch, level: other, from }).await;
    assert_eq!(coordinator.answer().await, Report::TooLate { level: other });
    coordinator.order(Order::EndLevel { epoch, level: other }).await;
    let told = coordinator.followed(at).await;
    // Sooner than the next of the snapshots that come once a second.
    assert!(told.at < at + 500 * MS, "{} after {at}", told.at);
    assert_eq!(told.tally.check(), Ok(()));
    coordinator.order(Order::EndLevel { epoch, level }).await;
    let seal = coordinator.seal().await;
    assert_eq!(seal.end, LevelEnd::Completed);
    let tally = &seal.snapshot.tally;
    assert_eq!(tally.check_sealed(), Ok(()));
    assert_eq!(tally.measured, told.tally.measured);
    assert!(tally.measured.started > 20 && tally.counts.started > tally.measured.started);
    let window = tally.scope.window().unwrap();
    assert_eq!((window.from_ns, window.until_ns), (100_000_000, Some(300_000_000)));
    assert_eq!(window.in_flight_ns, window.overlap_ns);
    assert!(seal.snapshot.vitals.suspended_ns < 1_000_000_000);
    bench.end(coordinator).await;
}

#[tokio::test]
async fn an_instant_that_has_passed_spoils_the_level_and_is_answered_once() {
    let bench = Bench::start();
    let mut windowed = bench.assignment();
    windowed.load.end = End::Window;
    let mut coordinator = Coordinator::acquire(&bench.dialer, bench.clock, &windowed).await;
    let (epoch, level) = (coordinator.epoch, windowed.level);
    coordinator.fire(windowed.clone()).await;
    let now = bench.clock.now();
    coordinator.order(Order::Measure { epoch, level, from: now }).await;
    assert_eq!(coordinator.answer().await, Report::TooLate { level });
    coordinator.order(Order::Release { epoch, level, at: now }).await;
    coordinator.order(Order::EndLevel { epoch, level }).await;
    let seal = coordinator.seal().await;
    assert_eq!(seal.end, LevelEnd::Stopped);
    assert_eq!(seal.snapshot.tally.check_sealed(), Ok(()));

    // A level that ends by a count has no window.
    let mut counted = bench.assignment();
    counted.level = LevelId { ordinal: 1, attempt: 0 };
    let level = counted.level;
    let fired = coordinator.fire(counted).await;
    coordinator.order(Order::Measure { epoch, level, from: fired + 1000 * MS }).await;
    assert_eq!(coordinator.answer().await, Report::TooLate { level });
    assert_eq!(coordinator.seal().await.end, LevelEnd::Stopped);

    let epoch = Epoch(epoch.0 + 1);
    coordinator.order(Order::EndLevel { epoch, level }).await;
    let fenced = coordinator.reports.next().await;
    assert!(fenced.as_ref().is_err_and(|error| error.to_string().contains("fenced")), "{fenced:?}");
    drop(bench.stop);
    bench.agent.await.unwrap().unwrap();
}

/// A window of 200 ms under a client proof, with that model.
async fn prove(coordinator: &mut Coordinator, ordinal: u32, model: &str) -> Seal {
    // A target that no policy allows: the proof does not go there.
    let mut proof = assignment("http://192.0.2.1:9/nowhere");
    proof.level = LevelId { ordinal, attempt: 0 };
    proof.load.end = End::Window;
    proof.target.model = model.to_owned();
    proof.proof = Some(Pace { ttft: 20 * MS, itl: 5 * MS });
    let (epoch, level) = (coordinator.epoch, proof.level);
    let fired = coordinator.fire(proof).await;
    let (from, at) = (fired + 100 * MS, fired + 300 * MS);
    coordinator.order(Order::Measure { epoch, level, from }).await;
    coordinator.order(Order::Release { epoch, level, at }).await;
    coordinator.followed(at).await;
    coordinator.order(Order::EndLevel { epoch, level }).await;
    coordinator.seal().await
}

#[tokio::test]
async fn a_client_proof_loads_a_simulator_of_the_agents_own_and_is_held_against_its_ledger() {
    let bench = Bench::start();
    let mut coordinator =
        Coordinator::acquire(&bench.dialer, bench.clock, &bench.assignment()).await;
    let seal = prove(&mut coordinator, 0, "sim").await;
    assert_eq!(seal.end, LevelEnd::Completed);
    let tally = &seal.snapshot.tally;
    assert_eq!(tally.counts.failed_total(), 0);
    assert!(tally.measured.succeeded >= 4, "{:?}", tally.measured);
    let ttft_us = tally.latencies.ttft.min_us().unwrap();
    assert!(ttft_us >= 20_000, "{ttft_us}");
    assert_eq!(bench.target.ledger().totals().received, 0, "the target is left alone");

    // Answers that end early, as told by nobody, are caught.
    let seal = prove(&mut coordinator, 1, "sabotage").await;
    let LevelEnd::Faulted(why) = &seal.end else { panic!("{:?}", seal.end) };
    let got = seal.snapshot.tally.paper.completion;
    assert!(got > 0 && why.contains(&format!("0 by its ledger, {got} by the agent")), "{why}");
    bench.end(coordinator).await;
}

#[tokio::test]
async fn a_client_proof_that_is_called_off_leaves_the_agent_as_it_was() {
    let bench = Bench::start();
    let mut proof = bench.assignment();
    proof.proof = Some(Pace { ttft: MS, itl: MS });
    let mut coordinator = Coordinator::acquire(&bench.dialer, bench.clock, &proof).await;
    let (epoch, level) = (coordinator.epoch, proof.level);
    let order =
        Order::Arm { epoch, assignment: Box::new(proof.clone()), secrets: Secrets::default() };
    coordinator.order(order).await;
    let expected = Report::Armed { level, digest: proof.digest() };
    assert_eq!(coordinator.next().await, expected, "what came is what is confirmed");
    coordinator.order(Order::Stop { epoch, level, grace: Duration::ZERO }).await;
    // A level that ends by a count is proven as well.
    proof.level = LevelId { ordinal: 1, attempt: 0 };
    coordinator.fire(proof).await;
    let seal = coordinator.seal().await;
    assert_eq!((seal.end, seal.snapshot.tally.counts.succeeded), (LevelEnd::Completed, 6));
    bench.end(coordinator).await;
}
