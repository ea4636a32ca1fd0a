//! `floodmark agents calibrate`: every agent finds what its host can carry, and keeps it.

use clap::{Args, ValueEnum};
use common::ceiling::{Held, HostCeiling};
use serde::Serialize;

use super::agents::table;
use super::args::{Environment, FleetArgs, TlsArgs};
use super::run::Agents;
use super::{Done, Failure};
use crate::clock::Clock;
use crate::exit::Exit;
use crate::fleet;

#[derive(Args)]
pub(super) struct CalibrateArgs {
    #[command(flatten)]
    fleet: FleetArgs,
    #[command(flatten)]
    tls: TlsArgs,
    /// In about ten seconds instead of half a minute, and coarser
    #[arg(long)]
    quick: bool,
    /// How the results are shown
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// What was found of one agent, or why nothing was.
#[derive(Serialize)]
struct Found {
    address: String,
    name: Option<String>,
    error: Option<String>,
    ceiling: Option<Ceiling>,
}

#[derive(Serialize)]
struct Ceiling {
    found_at_ms: u64,
    version: String,
    workers: u32,
    shared: bool,
    streams: Most,
    requests_per_s: Most,
    chunks_per_s: Most,
}

#[derive(Serialize)]
struct Most {
    most: u64,
    send_lag_p99_ms: Option<f64>,
    receive_lag_p99_ms: Option<f64>,
    loop_lag_p99_ms: Option<f64>,
    limit: String,
}

pub(super) fn run(args: &CalibrateArgs) -> Result<Done, Failure> {
    let spec = args.fleet.spec(&Environment::read()).map_err(Failure::usage)?;
    super::runtime()?.block_on(async {
        let agents = Agents::of(&spec, &args.tls).await?;
        let answers = fleet::calibrate_all(&agents.addresses, args.quick, Clock::start()).await;
        let found: Vec<Found> = agents
            .addresses
            .iter()
            .zip(answers)
            .map(|(address, answer)| {
                let (name, error, ceiling) = match answer {
                    Ok((greeting, ceiling)) => {
                        (Some(greeting.name.to_string()), None, Some(ceiling.into()))
                    }
                    Err(why) => (None, Some(why), None),
                };
                Found { address: address.text.clone(), name, error, ceiling }
            })
            .collect();
        let failed = found.iter().any(|found| found.error.is_some());
        let code = if failed { Exit::Fleet } else { Exit::Done };
        let text = match args.format {
            Format::Text => text(&found),
            // Plain values under plain names: there is nothing to fail on.
            Format::Json => serde_json::to_string_pretty(&found).unwrap_or_default() + "\n",
        };
        Ok(Done { text, code: code.code() })
    })
}

const HEAD: [&str; 8] = [
    "AGENT",
    "WORKERS",
    "",
    "AT MOST",
    "SEND LAG P99",
    "RECEIVE LAG P99",
    "LOOP LAG P99",
    "NO MORE BECAUSE",
];

fn text(found: &[Found]) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    let mut shared = false;
    for Found { address, name, error, ceiling } in found {
        if let Some(why) = error {
            let mut row: [String; HEAD.len()] = Default::default();
            for (cell, text) in row.iter_mut().zip([address, why]) {
                cell.clone_from(text);
            }
            rows.push(row);
        }
        let Some(ceiling) = ceiling else { continue };
        shared |= ceiling.shared;
        for (what, most) in [
            ("streams", &ceiling.streams),
            ("requests/s", &ceiling.requests_per_s),
            ("chunks/s", &ceiling.chunks_per_s),
        ] {
            let name = name.clone().unwrap_or_default();
            rows.push(row(name, ceiling.workers, what, most));
        }
    }
    let mut text = table(&rows);
    text.push_str("The simulators share the agents' hosts: these are lower bounds.\n");
    if shared {
        text.push_str("An agent and its simulator shared one processor.\n");
    }
    text
}

fn row(name: String, workers: u32, what: &str, most: &Most) -> [String; HEAD.len()] {
    let lag = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.2} ms"));
    [
        name,
        workers.to_string(),
        what.to_owned(),
        most.most.to_string(),
        lag(most.send_lag_p99_ms),
        lag(most.receive_lag_p99_ms),
        lag(most.loop_lag_p99_ms),
        most.limit.clone(),
    ]
}

impl From<HostCeiling> for Ceiling {
    fn from(ceiling: HostCeiling) -> Self {
        Self {
            found_at_ms: ceiling.found_at_ms,
            version: ceiling.version,
            workers: ceiling.workers,
            shared: ceiling.shared,
            streams: ceiling.streams.into(),
            requests_per_s: ceiling.requests_per_s.into(),
            chunks_per_s: ceiling.chunks_per_s.into(),
        }
    }
}

impl From<Held> for Most {
    fn from(held: Held) -> Self {
        let ms = |us: Option<u64>| us.map(|us| us as f64 / 1e3);
        Self {
            most: held.most,
            send_lag_p99_ms: ms(held.send_lag_us),
            receive_lag_p99_ms: ms(held.receive_lag_us),
            loop_lag_p99_ms: ms(held.loop_lag_us),
            limit: held.limit,
        }
    }
}
