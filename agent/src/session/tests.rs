//! A whole agent behind its service, over a link in memory.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use common::assignment::Assignment;
use common::ids::{BootId, Epoch, LevelId};
use common::outcome::Failure;
use common::snapshot::{LevelEnd, Seal};
use proto::client::{AgentConn, Reports};
use proto::link::{self, Dialer};
use proto::message::{Order, Report};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::clock::Clock;
use crate::policy::{Allowed, Policy};
use crate::service::Identity;
use crate::sim::{self, Profile};
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
        let (orders, outbox) = mpsc::channel(16);
        orders.send(Order::Acquire { run: assignment.run }).await.unwrap();
        let mut reports = AgentConn::new(channel).session(outbox).await.unwrap();
        let Report::Acquired { epoch, .. } = reports.next().await.unwrap() else {
            panic!("not acquired")
        };
        Self { clock, orders, reports, epoch }
    }

    /// Runs one level to its seal.
    async fn level(&mut self, assignment: Assignment) -> Seal {
        let (epoch, level) = (self.epoch, assignment.level);
        let assignment = Box::new(assignment);
        self.orders.send(Order::Arm { epoch, assignment, api_key: None }).await.unwrap();
        loop {
            match self.reports.next().await.unwrap() {
                Report::Armed { .. } => {
                    let at = self.clock.now() + Duration::from_millis(100);
                    self.orders.send(Order::Fire { epoch, level, at }).await.unwrap();
                }
                Report::Renew { nonce, .. } => {
                    self.orders.send(Order::RenewEcho { epoch, nonce }).await.unwrap();
                }
                Report::Sealed(seal) => {
                    self.orders.send(Order::SealStored { epoch, level }).await.unwrap();
                    return *seal;
                }
                Report::Fired { .. } | Report::Snapshot(_) => {}
                report @ (Report::Acquired { .. }
                | Report::NotArmed { .. }
                | Report::TooLate { .. }) => panic!("{report:?}"),
            }
        }
    }
}

/// A bug in one user's task voids the level and says so; the agent goes on.
#[tokio::test]
async fn a_panic_in_a_users_task_fails_the_level_with_the_reason() {
    let profile = Profile {
        ttft: Duration::from_millis(5),
        itl: Duration::from_millis(1),
        ..Profile::default()
    };
    let server = sim::spawn(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), profile).unwrap();
    let url = format!("http://{}", server.address());
    let (dialer, incoming) = link::memory();
    let (stop, stopped) = oneshot::channel::<()>();
    let clock = Clock::start();
    let identity = Identity {
        name: "agent".parse().unwrap(),
        boot: BootId(Uuid::from_u128(7)),
        workers: 2,
        policy: Policy {
            targets: Allowed::List(Vec::new()),
            users_max: 10,
            run_max: Duration::from_secs(60),
        },
    };
    let agent = tokio::spawn(crate::serve(identity, clock, incoming, async {
        drop(stopped.await);
    }));

    let sound = assignment(&url);
    let mut faulty = sound.clone();
    faulty.target.model = "panic at user 1".to_owned();
    let mut coordinator = Coordinator::acquire(&Dialer::Memory(dialer), clock, &sound).await;
    let seal = coordinator.level(faulty).await;
    let LevelEnd::Faulted(why) = &seal.end else { panic!("{:?}", seal.end) };
    assert!(why.contains("panicked") && why.contains("made to panic"), "{why}");
    let tally = &seal.snapshot.tally;
    assert_eq!(tally.counts.failed_by(Failure::ClientPanic), 1);
    assert_eq!(tally.check_sealed(), Ok(()));

    let mut next = sound;
    next.level = LevelId { ordinal: 1, attempt: 0 };
    let seal = coordinator.level(next).await;
    assert_eq!(seal.end, LevelEnd::Completed);
    assert_eq!(seal.snapshot.tally.counts.succeeded, 6);

    coordinator.orders.send(Order::Free { epoch: coordinator.epoch }).await.unwrap();
    drop(stop);
    agent.await.unwrap().unwrap();
}
