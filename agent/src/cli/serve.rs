//! `floodmark-agent serve`.

use std::path::PathBuf;

use agent::clock::Clock;
use agent::config::{AgentConfig, Overlay};
use agent::pin::Pin;
use agent::service::Identity;
use clap::Args;
use common::ids::BootId;
use common::processors::Processors;
use proto::link;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use super::Failure;

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Address and port to listen on [default: 127.0.0.1:7070]
    #[arg(long, env = "FLOODMARK_LISTEN")]
    listen: Option<String>,
    #[command(flatten)]
    host: HostArgs,
    /// Name in reports [default: the host's name]
    #[arg(long)]
    name: Option<String>,
    /// Bind each worker to a processor: `auto`, or a list such as 2-5,8 [default: not bound]
    #[arg(long, value_name = "PROCESSORS")]
    pin: Option<String>,
    /// The agent's certificate, PEM; needed beyond loopback
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// The certificate of the coordinators' issuer, PEM
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
}

/// What the agent makes of its host; the same for all that is done with it.
#[derive(Debug, Args)]
pub(crate) struct HostArgs {
    /// Configuration file
    #[arg(long, env = "FLOODMARK_AGENT_CONFIG")]
    config: Option<PathBuf>,
    /// Worker threads [default: one per core]
    #[arg(long)]
    workers: Option<u32>,
    /// Address of this host that connections come from, or `all`; may be repeated
    #[arg(long = "source-address", value_name = "ADDRESS")]
    source_addresses: Vec<String>,
    /// Directory that keeps what was found out about this host [default: none]
    #[arg(long, value_name = "DIR", env = "STATE_DIRECTORY")]
    state_dir: Option<PathBuf>,
}

impl HostArgs {
    /// The configuration that these and `overlay` make.
    pub(crate) fn resolve(self, overlay: Overlay) -> Result<AgentConfig, Failure> {
        let text = match &self.config {
            None => None,
            Some(path) => Some(std::fs::read_to_string(path).map_err(|error| {
                Failure::usage(format!("cannot read {}: {error}", path.display()))
            })?),
        };
        let overlay = Overlay {
            workers: self.workers,
            source_addresses: self.source_addresses,
            state_dir: self.state_dir,
            ..overlay
        };
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let file = self.config.as_deref().zip(text.as_deref());
        let cores = u32::try_from(cores).unwrap_or(u32::MAX);
        AgentConfig::resolve(file, overlay, &host, cores).map_err(Failure::usage)
    }
}

pub(crate) fn run(args: ServeArgs) -> Result<(), Failure> {
    let overlay = Overlay {
        listen: args.listen,
        name: args.name,
        pin: args.pin,
        tls_cert: args.tls_cert,
        tls_key: args.tls_key,
        tls_ca: args.tls_ca,
        ..Overlay::default()
    };
    let config = args.host.resolve(overlay)?;
    let deal = |pin: Pin| pin.deal(config.workers);
    let processors = config.pin.clone().map(deal).transpose().map_err(Failure::usage)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::internal)?;
    runtime.block_on(serve(config, processors))
}

async fn serve(config: AgentConfig, processors: Option<Processors>) -> Result<(), Failure> {
    agent::preflight::raise_fd_limit();
    let certificates = config
        .tls
        .map(|tls| link::Identity::load(&tls.cert, &tls.key, &tls.ca, tls.coordinators))
        .transpose()
        .map_err(Failure::usage)?;
    let secure = certificates.is_some();
    let listener = link::listen(config.listen, certificates).map_err(Failure::usage)?;
    let identity = Identity {
        name: config.name,
        boot: new_boot(),
        workers: config.workers,
        processors,
        policy: config.policy,
        state_dir: config.state_dir,
        simulator: std::env::current_exe().ok(),
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::internal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::internal)?;
    tracing::info!(
        name = %identity.name, address = %listener.local_addr(), workers = identity.workers,
        mutual_tls = secure, version = agent::VERSION, "listening"
    );
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    let shutdown = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("leaving");
        let _ = sd_notify::notify(&[NotifyState::Stopping]);
    };
    agent::serve(identity, Clock::start(), listener.into_incoming(), shutdown)
        .await
        .map_err(Failure::internal)
}

#[expect(clippy::disallowed_methods, reason = "a boot's identity is made at the rim")]
fn new_boot() -> BootId {
    BootId(Uuid::new_v4())
}
