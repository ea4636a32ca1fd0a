//! `floodmark run`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::ids::{BootId, RunId};
use proto::link::{ClientIdentity, Dialer};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::args::{Environment, RunArgs, TlsArgs, Ui};
use super::{Done, Failure, report};
use crate::campaign::{Campaign, Problems};
use crate::clock::Clock;
use crate::exit::Exit;
use crate::fleet::{Address, AgentsSpec, EmbeddedAgent, HostPort};
use crate::launch::{Launch, launch};
use crate::store;
use crate::ui::Plain;

/// Where results go if nothing else is said.
pub(super) const RESULTS: &str = "floodmark-results";

pub(super) fn run(args: &RunArgs) -> Result<Done, Failure> {
    let environment = Environment::read();
    let campaign = args.campaign.resolve(&environment);
    let spec = args.fleet.spec(&environment);
    let (campaign, spec) = Problems::both(campaign, spec).map_err(Failure::usage)?;
    let shown = match args.ui {
        Ui::Auto | Ui::Plain => true,
        Ui::None => false,
    };
    super::runtime()?.block_on(async {
        let agents = Agents::of(&spec, &args.tls).await?;
        Box::pin(execute(campaign, agents, args.result_dir.as_deref(), shown)).await
    })
}

/// Agents to dial; embedded ones live as long as this.
pub(super) struct Agents {
    pub(super) addresses: Vec<Address>,
    embedded: Vec<EmbeddedAgent>,
}

impl Agents {
    /// Starts or names the agents that `spec` asks for.
    pub(super) async fn of(spec: &AgentsSpec, tls: &TlsArgs) -> Result<Self, Failure> {
        let identity = match tls.files() {
            None => None,
            Some(files) => {
                let identity = ClientIdentity::load(files.cert, files.key, files.ca)
                    .map_err(|error| Failure::new(Exit::Usage, &error))?;
                Some(Arc::new(identity))
            }
        };
        match spec {
            AgentsSpec::Embedded(count) => Self::embedded(*count),
            AgentsSpec::List(list) => Ok(Self::remote(list.iter().map(parts), identity.as_ref())),
            AgentsSpec::Dns { name, port } => {
                let found = lookup(name, *port).await?;
                Ok(Self::remote(found.into_iter().map(|host| (host, *port)), identity.as_ref()))
            }
        }
    }

    /// Starts `count` embedded agents that share this host's cores.
    pub(super) fn embedded(count: u32) -> Result<Self, Failure> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = (u32::try_from(cores).unwrap_or(u32::MAX) / count.max(1)).max(1);
        let embedded = (1..=count)
            .map(|number| EmbeddedAgent::start(number, workers, new_boot()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Failure::internal(&error))?;
        let addresses = embedded.iter().map(EmbeddedAgent::address).collect();
        Ok(Self { addresses, embedded })
    }

    fn remote(
        agents: impl Iterator<Item = (String, u16)>,
        identity: Option<&Arc<ClientIdentity>>,
    ) -> Self {
        let addresses = agents.map(|(host, port)| {
            let text = if host.contains(':') {
                format!("[{host}]:{port}")
            } else {
                format!("{host}:{port}")
            };
            let dialer = match identity {
                None => Dialer::Tcp { host, port },
                Some(identity) => Dialer::Tls { host, port, identity: Arc::clone(identity) },
            };
            Address { text, dialer }
        });
        Self { addresses: addresses.collect(), embedded: Vec::new() }
    }
}

fn parts(agent: &HostPort) -> (String, u16) {
    let host = agent.host.to_string();
    (host.trim_matches(['[', ']']).to_owned(), agent.port)
}

/// Every address of a name, each one an agent.
async fn lookup(name: &str, port: u16) -> Result<Vec<String>, Failure> {
    let found = tokio::net::lookup_host((name, port)).await.map_err(|error| Failure {
        exit: Exit::Fleet,
        text: format!("agents dns:{name}:{port}: the name does not resolve: {error}"),
    })?;
    let mut hosts: Vec<String> = found.map(|address| address.ip().to_string()).collect();
    hosts.sort();
    hosts.dedup();
    Ok(hosts)
}

/// Runs a campaign to its end, stores and prints its report.
pub(super) async fn execute(
    campaign: Campaign,
    agents: Agents,
    dir: Option<&Path>,
    shown: bool,
) -> Result<Done, Failure> {
    let mut ui = Plain::new(shown);
    let mut interrupts = interrupts().map_err(|error| Failure::internal(&error))?;
    let run = new_run();
    let dir = dir.map_or_else(
        || PathBuf::from(RESULTS).join(format!("{}-{run}", campaign.name)),
        Path::to_path_buf,
    );
    let addresses = agents.addresses.clone();
    let to_launch =
        Launch { run, campaign, agents: addresses, dir: dir.clone(), clock: Clock::start() };
    let end = Box::pin(launch(to_launch, &mut ui, &mut interrupts)).await;
    drop(agents.embedded);
    let end = end.map_err(|error| Failure::of_run(&error, &dir))?;
    if !dir.join(store::FILE).exists() {
        return Err(Failure { exit: Exit::Interrupted, text: end.because });
    }
    let model = report::load(&dir)?;
    crate::report::write_files(&dir, &model).map_err(|error| Failure::new(Exit::Store, &error))?;
    Ok(Done { text: crate::report::text(&model, &dir), code: end.exit_code })
}

/// SIGINT and SIGTERM as messages.
pub(super) fn interrupts() -> io::Result<mpsc::Receiver<()>> {
    let (sender, receiver) = mpsc::channel(4);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // Lives as long as the process: there is nobody to join it.
    drop(tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            let _ = sender.try_send(());
        }
    }));
    Ok(receiver)
}

#[expect(clippy::disallowed_methods, reason = "a run's identity is made at the rim")]
pub(super) fn new_run() -> RunId {
    RunId(Uuid::now_v7())
}

#[expect(clippy::disallowed_methods, reason = "a boot's identity is made at the rim")]
fn new_boot() -> BootId {
    BootId(Uuid::new_v4())
}
