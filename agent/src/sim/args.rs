//! `floodmark-agent sim`: the simulator as a command.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::duration::parse_duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;

use super::count::{CharsPerToken, Counting};
use super::ledger::LedgerHandle;
use super::profile::{FaultRate, Faults, Jitter, Profile, ProfileError};
use super::server::{Sim, SimError};
use super::thread::runtime;
use crate::preflight::raise_fd_limit;

/// Serve a mock LLM with the OpenAI API, and keep the truth about every request.
#[derive(Clone, Debug, clap::Args)]
pub struct SimArgs {
    /// Address to listen on.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8000")]
    pub listen: SocketAddr,
    /// Median time from a slot to the first token.
    #[arg(long, value_name = "DURATION", default_value = "200ms", value_parser = parse_duration)]
    pub ttft: Duration,
    /// Median gap between two tokens.
    #[arg(long, value_name = "DURATION", default_value = "20ms", value_parser = parse_duration)]
    pub itl: Duration,
    /// Requests served at once, the rest wait in line; 0 is no limit.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub slots: u32,
    /// Make gaps longer by the factor 1 + ACTIVE/N, ACTIVE being the requests served; 0 is never.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub slowdown: u32,
    /// Refuse requests for more tokens than this, prompt and answer together; 0 is no limit.
    #[arg(long, value_name = "TOKENS", default_value_t = 0)]
    pub context: u64,
    /// Spread of all delays: the sigma of a lognormal factor, 0 to 3.
    #[arg(long, value_name = "SIGMA", default_value = "0")]
    pub jitter: Jitter,
    /// Decides all delays and faults.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Name of the model.
    #[arg(long, value_name = "NAME", default_value = "sim")]
    pub model: String,
    /// Name of an adapter that is served beside the model; may be repeated. With any, a request
    /// that names neither is answered 404.
    #[arg(long = "adapter", value_name = "NAME")]
    pub adapters: Vec<String>,
    /// Images in one request, at most.
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub images_max: u32,
    /// Characters of a prompt that are one token.
    #[arg(long, value_name = "N", default_value = "4")]
    pub chars_per_token: CharsPerToken,
    /// Tokens of every prompt beside its text, as the template of a chat has.
    #[arg(long, value_name = "TOKENS", default_value_t = 0)]
    pub prompt_overhead: u32,
    /// A fault and the share of requests that have it; may be repeated. Faults: error, busy,
    /// rate-limit, stall, truncate, error-in-stream, empty, drip, reset, no-usage, short.
    #[arg(long = "fault", value_name = "NAME=RATE")]
    pub faults: Vec<FaultRate>,
    /// Write the truth about every request here, as JSON, every 10 s and at the end.
    #[arg(long, value_name = "FILE")]
    pub truth: Option<PathBuf>,
    /// Say the address on standard output, and end when standard input does: of a simulator that
    /// another program starts.
    #[arg(long, hide = true)]
    pub owned: bool,
}

impl SimArgs {
    /// The behaviour that the flags describe.
    pub fn profile(&self) -> Result<Profile, ProfileError> {
        Ok(Profile {
            ttft: self.ttft,
            itl: self.itl,
            jitter: self.jitter,
            slots: self.slots,
            slowdown: self.slowdown,
            context: self.context,
            seed: self.seed,
            model: self.model.clone(),
            adapters: self.adapters.clone(),
            images_max: self.images_max,
            faults: Faults::new(self.faults.clone())?,
            counting: Counting { rate: self.chars_per_token, overhead: self.prompt_overhead },
        })
    }
}

/// Serves until SIGINT or SIGTERM.
pub fn run(args: SimArgs) -> Result<(), SimError> {
    raise_fd_limit();
    let profile = args.profile()?;
    runtime()?.block_on(serve(args.listen, profile, args.truth, args.owned))
}

const TRUTH_EVERY: Duration = Duration::from_secs(10);

async fn serve(
    listen: SocketAddr,
    profile: Profile,
    truth: Option<PathBuf>,
    owned: bool,
) -> Result<(), SimError> {
    let handler =
        |kind| signal(kind).map_err(|source| SimError::Start { what: "signal handler", source });
    let mut interrupt = handler(SignalKind::interrupt())?;
    let mut terminate = handler(SignalKind::terminate())?;
    let sim = Sim::bind(listen, profile).await?;
    let ledger = sim.ledger();
    // A file that cannot be written is better known now than after the run.
    if let Some(path) = &truth {
        write(&ledger, path).await?;
    }
    tracing::info!(address = %sim.address(), "the simulator listens");
    let left = if owned { Some(owner(sim.address())?) } else { None };
    let shutdown = async move {
        let left = async {
            match left {
                Some(left) => drop(left.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = left => {}
        }
    };
    let Some(path) = truth else {
        sim.serve(shutdown).await;
        return Ok(());
    };
    let (ended, end) = oneshot::channel();
    let serving = async {
        sim.serve(shutdown).await;
        // The writer listens until this is sent.
        let _heard = ended.send(());
    };
    tokio::join!(serving, keep_written(&ledger, &path, end)).1
}

/// Tells the program that started this one where it listens; ready when that program has gone.
fn owner(address: SocketAddr) -> Result<oneshot::Receiver<()>, SimError> {
    let failed = |source| SimError::Start { what: "tie to its owner", source };
    let mut output = std::io::stdout();
    writeln!(output, "{address}").and_then(|()| output.flush()).map_err(failed)?;
    let (gone, left) = oneshot::channel();
    // A thread of its own: reading standard input cannot be given up.
    let watch = || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        drop(gone);
    };
    std::thread::Builder::new().name("owner".to_owned()).spawn(watch).map_err(failed)?;
    Ok(left)
}

/// Writes the ledger again and again, and a last time after `end`. Earlier failures are logged:
/// the next time may go well.
async fn keep_written(
    ledger: &LedgerHandle,
    path: &Path,
    mut end: oneshot::Receiver<()>,
) -> Result<(), SimError> {
    let mut ticks = tokio::time::interval(TRUTH_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut written = None;
    loop {
        tokio::select! {
            _ = &mut end => return write(ledger, path).await,
            _ = ticks.tick() => {}
        }
        let totals = ledger.totals();
        let ended = totals.received - totals.in_flight;
        if written != Some(ended) {
            match write(ledger, path).await {
                Ok(()) => written = Some(ended),
                Err(error) => tracing::warn!(%error, "the truth is not written"),
            }
        }
    }
}

/// On a thread of its own: a long ledger must not hold up the streams.
async fn write(ledger: &LedgerHandle, path: &Path) -> Result<(), SimError> {
    let (ledger, file) = (ledger.clone(), path.to_path_buf());
    let written = tokio::task::spawn_blocking(move || ledger.write_file(&file)).await;
    written
        .unwrap_or_else(|panicked| Err(std::io::Error::other(panicked)))
        .map_err(|source| SimError::Truth { path: path.to_path_buf(), source })
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::sim::profile::Fault;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        sim: SimArgs,
    }

    fn profile(flags: &[&str]) -> Profile {
        let command = Command::try_parse_from([&["sim"], flags].concat()).unwrap();
        command.sim.profile().unwrap()
    }

    #[test]
    fn flags_describe_a_behaviour() {
        assert_eq!(profile(&[]), Profile::default());
        let flags = "--ttft 1.5s --itl 0s --slots 8 --slowdown 50 --context 900 --jitter 0.2 \
                     --seed 9 --model m --adapter a --adapter b --images-max 2 --fault stall=1 \
                     --chars-per-token 4.61 --prompt-overhead 17";
        assert_eq!(
            profile(&flags.split_whitespace().collect::<Vec<_>>()),
            Profile {
                ttft: Duration::from_millis(1500),
                itl: Duration::ZERO,
                jitter: "0.2".parse().unwrap(),
                slots: 8,
                slowdown: 50,
                context: 900,
                seed: 9,
                model: "m".to_owned(),
                images_max: 2,
                adapters: vec!["a".to_owned(), "b".to_owned()],
                faults: Faults::always(Fault::Stall),
                counting: Counting { rate: "4.61".parse().unwrap(), overhead: 17 },
            }
        );
    }

    #[test]
    fn the_help_names_every_fault() {
        let help = Command::command().render_long_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains(&Fault::ALL.map(Fault::name).join(", ")), "{help}");
    }

    #[tokio::test]
    async fn the_truth_is_written_a_last_time_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("truth.json");
        let ledger = LedgerHandle::new(crate::clock::Clock::start());
        let (ended, end) = oneshot::channel();
        ended.send(()).unwrap();
        keep_written(&ledger, &path, end).await.unwrap();
        assert!(path.exists());
        let nowhere = folder.path().join("none/truth.json");
        let error = write(&ledger, &nowhere).await.unwrap_err();
        assert!(error.to_string().contains("none/truth.json"), "{error}");
    }
}
