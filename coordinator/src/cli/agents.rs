//! `floodmark agents`.

use clap::{Args, Subcommand};
use common::duration::format_duration;
use common::processors::Processors;

use super::args::{Environment, FleetArgs, TlsArgs};
use super::run::Agents;
use super::{Done, Failure, calibrate, prove};
use crate::clock::Clock;
use crate::exit::Exit;
use crate::fleet::{self, Look};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct AgentsArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    fleet: FleetArgs,
    #[command(flatten)]
    tls: TlsArgs,
}

#[derive(Subcommand)]
enum Verb {
    /// Find how much each agent's host can carry, against a simulator on its other processors
    Calibrate(calibrate::CalibrateArgs),
    /// Measure each agent at a load, against a simulator of its own whose truth is known
    Prove(prove::ProveArgs),
}

const HEAD: [&str; 10] = [
    "ADDRESS",
    "NAME",
    "VERSION",
    "WORKERS",
    "PROCESSORS",
    "USERS MAX",
    "RUN MAX",
    "CLOCK ERROR",
    "CEILING",
    "HELD BY",
];

pub(super) fn run(args: &AgentsArgs) -> Result<Done, Failure> {
    match &args.verb {
        None => look(args),
        Some(Verb::Calibrate(args)) => calibrate::run(args),
        Some(Verb::Prove(args)) => prove::run(args),
    }
}

fn look(args: &AgentsArgs) -> Result<Done, Failure> {
    let environment = Environment::read();
    let spec = args.fleet.spec(&environment).map_err(Failure::usage)?;
    super::runtime()?.block_on(async {
        let agents = Agents::of(&spec, &args.tls).await?;
        let looks = fleet::look_at_all(&agents.addresses, Clock::start()).await;
        let mut rows = vec![HEAD.map(str::to_owned)];
        let mut failed = 0;
        for (address, look) in agents.addresses.iter().zip(looks) {
            rows.push(match look {
                Ok(look) => row(&address.text, &look),
                Err(why) => {
                    failed += 1;
                    let mut row: [String; HEAD.len()] = Default::default();
                    for (cell, text) in row.iter_mut().zip([address.text.clone(), why]) {
                        *cell = text;
                    }
                    row
                }
            });
        }
        let code = if failed > 0 { Exit::Fleet } else { Exit::Done };
        Ok(Done { text: table(&rows), code: code.code() })
    })
}

fn row(address: &str, look: &Look) -> [String; HEAD.len()] {
    let greeting = &look.greeting;
    let users = greeting.ceilings.users;
    let held = greeting.holder.as_ref().map_or_else(
        || "-".to_owned(),
        |holder| format!("run {} of {}", holder.run, holder.coordinator),
    );
    [
        address.to_owned(),
        greeting.name.to_string(),
        greeting.build.clone(),
        greeting.workers.to_string(),
        greeting.processors.as_ref().map_or_else(|| "any".to_owned(), Processors::to_string),
        if users == u32::MAX { "-".to_owned() } else { users.to_string() },
        format_duration(greeting.ceilings.run),
        format!("{:.0} us", look.estimate.error_us()),
        greeting.ceiling.as_ref().map_or_else(
            || "not calibrated".to_owned(),
            |ceiling| format!("{} streams", ceiling.streams.most),
        ),
        held,
    ]
}

/// Columns as wide as they need; an unreachable agent's reason runs over the rest of its line.
pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let whole = |row: &&[String; N]| row.iter().skip(2).any(|cell| !cell.is_empty());
    let mut widths = [0; N];
    for row in rows.iter().filter(whole) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}
