//! The agents of a run: dialling them, holding them, hearing them.
//!
//! An embedded agent is an agent like any other behind the same service; only its link differs.

mod calibrate;
mod clock;
mod embedded;
mod spec;
mod supply;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use common::ids::{Epoch, RunId};
use common::snapshot::Origin;
use common::time::Tick;
use proto::client::{AgentConn, CallError, Reports};
use proto::link::Dialer;
use proto::message::{Greeting, Hello, Order, PROTOCOL, ProtocolVersion, Report};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub use calibrate::calibrate_all;
pub use clock::{Estimate, Sample};
pub use embedded::{EmbeddedAgent, EmbeddedError};
pub use spec::{AgentsSpec, HostPort};

use crate::causes::with_causes;
use crate::clock::Clock;
use crate::machine::AgentIx;
use crate::record::AgentRecord;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// Probes of an agent's clock when it is dialled, and how many every few seconds afterwards.
const PROBES_AT_FIRST: u32 = 16;
const PROBES_LATER: u32 = 4;
const PROBE_EVERY: Duration = Duration::from_secs(5);
/// Reports that may wait for the driver, over all agents. Each can take megabytes; more wait on
/// the wire, where they are small.
const HEARD_QUEUE: usize = 128;
/// Orders that may wait for one agent.
const ORDERS_QUEUE: usize = 64;
/// How long a released agent may take to end its session.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// Where an agent is: what people call it, and how it is dialled.
#[derive(Clone, Debug)]
pub struct Address {
    /// As it was given, or `embedded N`.
    pub text: String,
    /// How it is dialled.
    pub dialer: Dialer,
}

/// The agents of a run, all held.
pub struct Fleet {
    members: Vec<Member>,
    heard: mpsc::Receiver<(AgentIx, Heard)>,
    hearing: JoinSet<()>,
    probing: JoinSet<()>,
}

/// One agent, held.
struct Member {
    record: AgentRecord,
    address: Address,
    epoch: Epoch,
    orders: mpsc::Sender<Order>,
    /// For what yields to orders.
    bulk: mpsc::Sender<Order>,
    protocol: ProtocolVersion,
    estimate: Estimate,
}

/// Something came from an agent.
#[derive(Debug)]
pub enum Heard {
    /// A report.
    Report(Box<Report>),
    /// A probe of its clock.
    Probe(Sample),
    /// The agent is gone.
    Lost(String),
}

/// Agents that cannot be used, each with the reason.
#[derive(Debug)]
pub struct FleetError(pub Vec<(String, String)>);

impl std::error::Error for FleetError {}

impl fmt::Display for FleetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> =
            self.0.iter().map(|(address, why)| format!("agent {address}: {why}")).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// What a look at an agent without holding it gives.
#[derive(Clone, Debug)]
pub struct Look {
    /// What it said of itself.
    pub greeting: Greeting,
    /// Its clock against ours.
    pub estimate: Estimate,
}

impl Fleet {
    /// Dials and holds every agent for `run`, or none of them.
    ///
    /// # Errors
    /// Every agent that cannot be reached, is busy, refuses, or speaks another protocol.
    pub async fn acquire(
        addresses: Vec<Address>,
        run: RunId,
        clock: Clock,
    ) -> Result<Self, FleetError> {
        let (mut looks, mut problems) = (BTreeMap::new(), BTreeMap::new());
        for (place, look) in (0..).zip(dial_all(&addresses, clock).await) {
            match look {
                Ok(look) => drop(looks.insert(place, look)),
                Err(why) => drop(problems.insert(place, why)),
            }
        }
        twins(&looks, &addresses, &mut problems);
        let mut joined = BTreeMap::new();
        if problems.is_empty() {
            joined = hold_all(looks, run, &mut problems).await;
        }
        if !problems.is_empty() {
            let name = |place: usize| addresses.get(place).map_or("?", |a| a.text.as_str());
            let list = problems.into_iter().map(|(place, why)| (name(place).to_owned(), why));
            return Err(FleetError(list.collect()));
        }
        Ok(Self::start(addresses, joined, clock))
    }

    fn start(addresses: Vec<Address>, joined: BTreeMap<usize, Joined>, clock: Clock) -> Self {
        let (to_driver, heard) = mpsc::channel(HEARD_QUEUE);
        let (mut hearing, mut probing) = (JoinSet::new(), JoinSet::new());
        let mut members = Vec::new();
        for ((ix, one), address) in (0..).map(AgentIx).zip(joined.into_values()).zip(addresses) {
            hearing.spawn(hear(ix, one.reports, to_driver.clone()));
            probing.spawn(probe(ix, one.conn, clock, to_driver.clone()));
            let record = AgentRecord {
                name: one.look.greeting.name,
                boot: one.look.greeting.boot,
                address: address.text.clone(),
                version: one.look.greeting.build,
                workers: one.look.greeting.workers,
                clock_offset_us: Some(one.look.estimate.offset_us()),
                clock_error_us: Some(one.look.estimate.error_us()),
            };
            let estimate = one.look.estimate;
            members.push(Member {
                record,
                address,
                epoch: one.epoch,
                orders: one.orders,
                bulk: one.bulk,
                protocol: one.look.greeting.protocol,
                estimate,
            });
        }
        Self { members, heard, hearing, probing }
    }

    /// How many agents there are.
    pub fn len(&self) -> u32 {
        u32::try_from(self.members.len()).unwrap_or(u32::MAX)
    }

    /// There is no agent.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The agents, as they are recorded.
    pub fn records(&self) -> Vec<AgentRecord> {
        self.members.iter().map(|member| member.record.clone()).collect()
    }

    /// The next thing heard from any agent; `None` once all are gone.
    pub async fn next(&mut self) -> Option<(AgentIx, Heard)> {
        self.heard.recv().await
    }

    /// What has been heard and not been taken yet.
    pub fn try_next(&mut self) -> Option<(AgentIx, Heard)> {
        self.heard.try_recv().ok()
    }

    /// Takes in a probe of an agent's clock.
    pub fn note_probe(&mut self, agent: AgentIx, sample: Sample) {
        if let Some(member) = self.members.get_mut(agent.0 as usize) {
            member.estimate.add(sample);
        }
    }

    /// Gives an order, made for the agent's epoch. `false` if the agent takes no orders any more.
    pub fn order(&self, agent: AgentIx, order: impl FnOnce(Epoch) -> Order) -> bool {
        let member = self.members.get(agent.0 as usize);
        member.is_some_and(|member| member.orders.try_send(order(member.epoch)).is_ok())
    }

    /// What an agent says comes from the acquisition that holds it.
    pub fn is_of(&self, agent: AgentIx, origin: Origin) -> bool {
        let member = self.members.get(agent.0 as usize);
        member.is_some_and(|m| m.record.boot == origin.boot && m.epoch == origin.epoch)
    }

    /// An instant of ours on an agent's clock.
    pub fn instant_on(&self, agent: AgentIx, at: Tick) -> Tick {
        self.members.get(agent.0 as usize).map_or(at, |member| member.estimate.translate(at))
    }

    /// The longest of the agents' best round trips.
    pub fn round_trip_max(&self) -> Duration {
        self.members.iter().map(|member| member.estimate.round_trip()).max().unwrap_or_default()
    }

    /// Lets every agent go, and waits until their sessions have ended. Agents that may still be
    /// at work are aborted on a connection of their own.
    pub async fn release(mut self, at_work: &[AgentIx]) {
        let every = (0..self.len()).map(AgentIx);
        for agent in every {
            self.order(agent, |epoch| Order::Free { epoch });
        }
        let mut aborts = JoinSet::new();
        for agent in at_work {
            if let Some(member) = self.members.get(agent.0 as usize) {
                let dialer = member.address.dialer.clone();
                aborts.spawn(async move {
                    if let Ok((channel, _)) = dialer.connect(RELEASE_TIMEOUT).await {
                        let mut conn = AgentConn::new(channel);
                        let _ = conn.abort("the run is over").await;
                    }
                });
            }
        }
        self.members.clear();
        // A probe that waits for its turn would keep the queue open.
        self.probing.shutdown().await;
        let quiet = async {
            while let Some((_, heard)) = self.heard.recv().await {
                drop(heard);
            }
            while aborts.join_next().await.is_some() {}
        };
        let _ = tokio::time::timeout(RELEASE_TIMEOUT, quiet).await;
        self.hearing.abort_all();
    }
}

/// An agent that has just been acquired.
struct Joined {
    look: Look,
    conn: AgentConn,
    epoch: Epoch,
    orders: mpsc::Sender<Order>,
    bulk: mpsc::Sender<Order>,
    reports: Reports,
}

/// Holds every agent that was looked at, or says why not.
///
/// The first of all boots is held before any other: of two coordinators that want the same fleet
/// one gets it, and the other holds nothing.
async fn hold_all(
    mut looks: BTreeMap<usize, Dialled>,
    run: RunId,
    problems: &mut BTreeMap<usize, String>,
) -> BTreeMap<usize, Joined> {
    let mut joined = BTreeMap::new();
    let first = looks.iter().min_by_key(|(_, (look, _))| look.greeting.boot);
    let Some((first, dialled)) =
        first.map(|(place, _)| *place).and_then(|p| looks.remove_entry(&p))
    else {
        return joined;
    };
    let mut holding = JoinSet::new();
    match Joined::hold(dialled, run).await {
        Ok(one) => drop(joined.insert(first, one)),
        Err(why) => {
            problems.insert(first, why);
            return joined;
        }
    }
    for (place, dialled) in looks {
        holding.spawn(async move { (place, Joined::hold(dialled, run).await) });
    }
    while let Some(result) = holding.join_next().await {
        match result {
            Ok((place, Ok(one))) => drop(joined.insert(place, one)),
            Ok((place, Err(why))) => drop(problems.insert(place, why)),
            Err(error) => drop(problems.insert(usize::MAX, error.to_string())),
        }
    }
    joined
}

impl Joined {
    async fn hold((look, mut conn): Dialled, run: RunId) -> Result<Self, String> {
        let (orders, outbox) = mpsc::channel(ORDERS_QUEUE);
        let (bulk, bulk_outbox) = mpsc::channel(1);
        let acquire = async {
            // The queue has just been made: the first order finds its place.
            let _ = orders.send(Order::Acquire { run }).await;
            let mut reports = conn.session(outbox, bulk_outbox).await?;
            Ok::<_, CallError>((reports.next().await?, reports))
        };
        match tokio::time::timeout(ACQUIRE_TIMEOUT, acquire).await {
            Ok(Ok((Report::Acquired { boot, epoch, .. }, reports))) => {
                if boot != look.greeting.boot {
                    return Err("it restarted while it was being acquired".to_owned());
                }
                Ok(Self { look, conn, epoch, orders, bulk, reports })
            }
            Ok(Ok((_, _))) => Err("it answered nonsense to an acquisition".to_owned()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("not acquired within {} s", ACQUIRE_TIMEOUT.as_secs())),
        }
    }
}

/// Looks at every agent without holding any: all can be reached, understand us and are free.
///
/// # Errors
/// Every agent of which that is not so.
pub async fn survey(addresses: &[Address], clock: Clock) -> Result<Vec<Greeting>, FleetError> {
    let (mut greetings, mut problems) = (Vec::new(), Vec::new());
    for (address, looked) in addresses.iter().zip(look_at_all(addresses, clock).await) {
        let why = match looked {
            Ok(Look { greeting, .. }) => {
                let busy = greeting.holder.as_ref().map(|holder| {
                    format!(
                        "it is busy with run {} of {}; its lease ends in {:.1} s unless renewed",
                        holder.run,
                        holder.coordinator,
                        holder.lease_left.as_secs_f64()
                    )
                });
                greetings.push(greeting);
                busy
            }
            Err(why) => Some(why),
        };
        problems.extend(why.map(|why| (address.text.clone(), why)));
    }
    if problems.is_empty() { Ok(greetings) } else { Err(FleetError(problems)) }
}

/// Looks at every agent at once; the answers are in the order of the addresses.
pub async fn look_at_all(addresses: &[Address], clock: Clock) -> Vec<Result<Look, String>> {
    let dialled = dial_all(addresses, clock).await;
    dialled.into_iter().map(|dialled| dialled.map(|(look, _)| look)).collect()
}

/// A look at an agent, and the connection that it was made over.
type Dialled = (Look, AgentConn);

async fn dial_all(addresses: &[Address], clock: Clock) -> Vec<Result<Dialled, String>> {
    let mut looking = JoinSet::new();
    for (place, address) in addresses.iter().cloned().enumerate() {
        looking.spawn(async move { (place, look(&address, clock).await) });
    }
    let mut looks = BTreeMap::new();
    while let Some(done) = looking.join_next().await {
        if let Ok((place, look)) = done {
            looks.insert(place, look);
        }
    }
    let missing = || Err("it could not be looked at".to_owned());
    (0..addresses.len()).map(|place| looks.remove(&place).unwrap_or_else(missing)).collect()
}

/// Dials an agent, asks who it is, and measures its clock.
async fn look(address: &Address, clock: Clock) -> Result<Dialled, String> {
    let connected = address.dialer.connect(CONNECT_TIMEOUT).await;
    let (channel, certificate) = connected.map_err(|error| {
        let text = with_causes(&error);
        // Whoever shows the reason names the agent.
        text.strip_prefix(&format!("agent {}: ", address.text)).map_or(text.clone(), str::to_owned)
    })?;
    let mut conn = AgentConn::new(channel);
    let (mut greeting, sample) = greet(&mut conn, clock).await.map_err(|e| e.to_string())?;
    if greeting.protocol.major != PROTOCOL.major {
        return Err(format!(
            "it speaks protocol {}, this coordinator speaks {PROTOCOL}; run the same major \
             version of floodmark on both",
            greeting.protocol
        ));
    }
    if let Some(certificate) = certificate
        && certificate.name != greeting.name
    {
        // The certificate is proof, what an agent says of itself is not.
        greeting.name = certificate.name;
    }
    let mut estimate = Estimate::new(sample);
    for _ in 1..PROBES_AT_FIRST {
        match greet(&mut conn, clock).await {
            Ok((_, sample)) => estimate.add(sample),
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok((Look { greeting, estimate }, conn))
}

async fn greet(conn: &mut AgentConn, clock: Clock) -> Result<(Greeting, Sample), CallError> {
    let hello = Hello { protocol: PROTOCOL, build: crate::VERSION.to_owned() };
    let sent = clock.now();
    let greeting = conn.hello(&hello).await?;
    let received = clock.now();
    let sample = Sample { sent, theirs: greeting.clock, received };
    Ok((greeting, sample))
}

/// Two addresses that lead to one agent, or two agents of one name.
fn twins(
    looks: &BTreeMap<usize, Dialled>,
    addresses: &[Address],
    problems: &mut BTreeMap<usize, String>,
) {
    let mut boots = BTreeMap::new();
    let mut names = BTreeMap::new();
    for (&place, (look, _)) in looks {
        let text = |place: &usize| addresses.get(*place).map_or("?", |a| a.text.as_str());
        let greeting = &look.greeting;
        if let Some(other) = boots.insert(greeting.boot, place) {
            problems.insert(place, format!("it is the same agent as {}", text(&other)));
        } else if let Some(other) = names.insert(greeting.name.clone(), place) {
            let why = format!(
                "its name {} is also that of {}; give each agent a name of its own",
                greeting.name,
                text(&other)
            );
            problems.insert(place, why);
        }
    }
}

async fn hear(ix: AgentIx, mut reports: Reports, heard: mpsc::Sender<(AgentIx, Heard)>) {
    loop {
        let (one, last) = match reports.next().await {
            Ok(report) => (Heard::Report(Box::new(report)), false),
            Err(error) => (Heard::Lost(error.to_string()), true),
        };
        if heard.send((ix, one)).await.is_err() || last {
            return;
        }
    }
}

async fn probe(
    ix: AgentIx,
    mut conn: AgentConn,
    clock: Clock,
    heard: mpsc::Sender<(AgentIx, Heard)>,
) {
    loop {
        tokio::time::sleep(PROBE_EVERY).await;
        for _ in 0..PROBES_LATER {
            // A failing call is the session's to notice.
            let Ok((_, sample)) = greet(&mut conn, clock).await else {
                return;
            };
            if heard.is_closed() || heard.try_send((ix, Heard::Probe(sample))).is_err() {
                break;
            }
        }
        if heard.is_closed() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
