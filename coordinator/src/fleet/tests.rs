use std::sync::Arc;

use common::ceiling::HostCeiling;
use common::ids::{BootId, Name};
use proto::link;
use proto::message::{Ceilings, Greeting, Hello, Holder, Peer, ProtocolVersion, Refusal, Report};
use proto::server::{AgentApi, Orders};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::*;

/// An agent that says what it is told to say.
struct Fake {
    protocol: ProtocolVersion,
    name: Name,
    boot: BootId,
    holder: Option<Holder>,
    refuses: bool,
}

impl AgentApi for Fake {
    fn hello(&self, _: &Peer, hello: &Hello) -> Result<Greeting, Refusal> {
        if self.refuses {
            let (agent, coordinator) = (self.protocol, hello.protocol);
            return Err(Refusal::Protocol { agent, coordinator });
        }
        Ok(Greeting {
            protocol: self.protocol,
            build: "9.9.9".to_owned(),
            name: self.name.clone(),
            boot: self.boot,
            workers: 1,
            ceilings: Ceilings { users: 10, run: Duration::from_secs(60) },
            holder: self.holder.clone(),
            ceiling: None,
            clock: Tick(1),
            processors: None,
        })
    }

    fn session(
        &self,
        _: Peer,
        _: Orders,
    ) -> Result<mpsc::Receiver<Result<Report, Refusal>>, Refusal> {
        let (reports, outbox) = mpsc::channel(4);
        let lease = Duration::from_secs(5);
        let acquired = Report::Acquired { boot: self.boot, epoch: Epoch(1), lease };
        reports.try_send(Ok(acquired)).unwrap();
        // The session stays open until the server ends.
        std::mem::forget(reports);
        Ok(outbox)
    }

    fn calibrate(
        &self,
        _: &Peer,
        _: bool,
    ) -> Result<oneshot::Receiver<Result<HostCeiling, Refusal>>, Refusal> {
        Err(Refusal::Invalid("a fake has no host".to_owned()))
    }

    fn abort(&self, _: &Peer, _: &str) -> Result<Option<RunId>, Refusal> {
        Ok(None)
    }
}

fn fake(name: &str, boot: u128) -> Fake {
    Fake {
        protocol: PROTOCOL,
        name: name.parse().unwrap(),
        boot: BootId(Uuid::from_u128(boot)),
        holder: None,
        refuses: false,
    }
}

/// Serves fakes, and gives what acquiring them all leads to.
fn acquire(fakes: Vec<Fake>) -> Result<u32, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut addresses = Vec::new();
        for (n, fake) in fakes.into_iter().enumerate() {
            let (dialer, incoming) = link::memory();
            tokio::spawn(proto::server::serve(
                Arc::new(fake),
                incoming,
                std::future::pending::<()>(),
            ));
            addresses
                .push(Address { text: format!("host{n}:7070"), dialer: Dialer::Memory(dialer) });
        }
        let clock = Clock::start();
        survey(&addresses, clock).await.map_err(|error| error.to_string())?;
        let fleet = Fleet::acquire(addresses, RunId(Uuid::from_u128(9)), clock).await;
        fleet.map(|fleet| fleet.len()).map_err(|error| error.to_string())
    })
}

#[test]
fn a_fleet_of_free_agents_is_acquired() {
    assert_eq!(acquire(vec![fake("a", 1), fake("b", 2), fake("c", 3)]), Ok(3));
}

#[test]
fn another_major_version_is_refused_whichever_side_notices() {
    let protocol = ProtocolVersion { major: 3, minor: 0 };
    let newer = Fake { protocol, ..fake("a", 1) };
    let said = "it speaks protocol 3.0, this coordinator speaks 2.1; run the same major version \
                of floodmark on both";
    assert_eq!(acquire(vec![newer, fake("b", 2)]), Err(format!("agent host0:7070: {said}")));
    let refusing = Fake { protocol, refuses: true, ..fake("a", 1) };
    assert_eq!(acquire(vec![fake("b", 2), refusing]), Err(format!("agent host1:7070: {said}")));
}

#[test]
fn a_busy_agent_names_its_holder() {
    let holder = Holder {
        run: RunId(Uuid::from_u128(5)),
        coordinator: "coordinator lab at 10.0.0.1:5".to_owned(),
        lease_left: Duration::from_millis(4200),
    };
    let busy = Fake { holder: Some(holder), ..fake("a", 1) };
    assert_eq!(
        acquire(vec![busy]),
        Err("agent host0:7070: it is busy with run 00000000-0000-0000-0000-000000000005 of \
             coordinator lab at 10.0.0.1:5; its lease ends in 4.2 s unless renewed"
            .to_owned())
    );
}

#[test]
fn one_agent_under_two_addresses_and_two_of_one_name_are_noticed() {
    assert_eq!(
        acquire(vec![fake("a", 1), fake("a", 1)]),
        Err("agent host1:7070: it is the same agent as host0:7070".to_owned())
    );
    assert_eq!(
        acquire(vec![fake("a", 1), fake("b", 2), fake("a", 3)]),
        Err("agent host2:7070: its name a is also that of host0:7070; give each agent a name of \
             its own"
            .to_owned())
    );
}

/// Real agents, and two coordinators that want them all in different orders.
#[test]
fn of_two_coordinators_one_gets_the_fleet_and_the_other_learns_whose_it_is() {
    let agents: Vec<_> = (1..=3)
        .map(|n| EmbeddedAgent::start(n, 1, BootId(Uuid::from_u128(n.into()))).unwrap())
        .collect();
    let ours: Vec<_> = agents.iter().map(EmbeddedAgent::address).collect();
    let theirs: Vec<_> = ours.iter().rev().cloned().collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let clock = Clock::start();
        let run = |n| RunId(Uuid::from_u128(n));
        let (one, other) = tokio::join!(
            Fleet::acquire(ours, run(1), clock),
            Fleet::acquire(theirs, run(2), clock)
        );
        let (fleet, error, holder) = match (one, other) {
            (Ok(fleet), Err(error)) => (fleet, error, run(1)),
            (Err(error), Ok(fleet)) => (fleet, error, run(2)),
            (Ok(_), Ok(_)) => panic!("both hold the same agents"),
            (Err(one), Err(other)) => panic!("nobody has the fleet: {one} / {other}"),
        };
        let [(_, why)] = &error.0[..] else { panic!("{error}") };
        assert!(why.starts_with(&format!("it is busy with run {holder} of ")), "{why}");
        fleet.release(&[]).await;
    });
}
