//! `floodmark-agent calibrate`.

use agent::ceiling::{self, Ask, Effort};
use agent::clock::Clock;
use agent::config::Overlay;
use clap::{Args, ValueEnum};
use common::ceiling::{Held, HostCeiling};

use super::serve::HostArgs;
use super::{Failure, show};

#[derive(Debug, Args)]
pub(crate) struct CalibrateArgs {
    #[command(flatten)]
    host: HostArgs,
    /// In about ten seconds instead of half a minute, and coarser
    #[arg(long)]
    quick: bool,
    /// How the result is shown
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(crate) fn run(args: CalibrateArgs) -> Result<(), Failure> {
    agent::preflight::raise_fd_limit();
    let config = args.host.resolve(Overlay::default())?;
    let effort = if args.quick { Effort::Quick } else { Effort::Usual };
    let simulator = Some(std::env::current_exe().map_err(Failure::internal)?);
    let ask = Ask { workers: config.workers, simulator, effort };
    let searching = ceiling::find(ask, Clock::start(), || false).map_err(Failure::internal)?;
    let found = searching.join().map_err(|_| Failure::internal("the search panicked"))?;
    let found = found.map_err(Failure::internal)?;
    if let Some(dir) = &config.state_dir {
        ceiling::keep(dir, &found).map_err(|error| {
            Failure::internal(format!("cannot keep the ceiling in {}: {error}", dir.display()))
        })?;
    }
    match args.format {
        Format::Text => show(&text(&found)),
        Format::Json => show(&ceiling::json(&found)),
    }
    Ok(())
}

fn text(found: &HostCeiling) -> String {
    let lag = |us: Option<u64>| {
        us.map_or_else(|| "-".to_owned(), |us| format!("{:.2} ms", us as f64 / 1e3))
    };
    let row = |name: &str, held: &Held| {
        format!(
            "{name:<12}  {:>9}  {:>10}  {:>11}  {:>9}  {}\n",
            held.most,
            lag(held.send_lag_us),
            lag(held.receive_lag_us),
            lag(held.loop_lag_us),
            held.limit
        )
    };
    let head = "              AT MOST    SEND LAG  RECEIVE LAG   LOOP LAG  NO MORE BECAUSE\n";
    let beside = if found.shared {
        "workers and simulator shared one processor"
    } else {
        "the simulator had processors of its own"
    };
    format!(
        "{} worker(s); {beside}; lags at p99\n\n{head}{}{}{}\nThe simulator shares the host: these \
         are lower bounds.\n",
        found.workers,
        row("streams", &found.streams),
        row("requests/s", &found.requests_per_s),
        row("chunks/s", &found.chunks_per_s)
    )
}
