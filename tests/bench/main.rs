//! The benchmarks: floodmark's agent process against a client that does the least a client can do.
//!
//! ```text
//! cargo bench -p floodmark-tests --bench bench -- [--only CASE] [--repeats N] [--quick]
//! ```
//!
//! The server under load and the coordinator have one core, the client has the other. Clients take
//! turns, so that what else the machine does meets all of them alike. Everything is counted from
//! outside: by the server's own counts and truth, and by what the kernel says of the processes.
//! `docs/performance.md` tells how to read the table. Nothing here decides whether a build is good.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark panics where its scene cannot be set, and shows what it measures"
)]

mod bare;
mod case;
mod client;
mod host;
mod measure;
mod server;
mod stop;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::case::Case;
use crate::client::Client;
use crate::table::Table;

/// Measure the agent against a bare reader.
#[derive(Debug, Parser)]
#[command(name = "bench", args_conflicts_with_subcommands = true)]
struct Command {
    #[command(flatten)]
    run: Run,
    #[command(subcommand)]
    reader: Option<Reader>,
}

#[derive(Debug, Args)]
struct Run {
    /// The case of this name, or those whose names begin so; may be repeated. All cases without it
    #[arg(long, value_name = "CASE")]
    only: Vec<String>,
    /// How often each client runs each case
    #[arg(long, value_name = "N", default_value_t = 5)]
    repeats: u32,
    /// A fifth of the requests where that is still a measurement, and one repeat
    #[arg(long)]
    quick: bool,
    /// Name the cases and end
    #[arg(long)]
    list: bool,
    /// A server to load in place of floodmark's simulator, with the flags and pages that
    /// docs/performance.md lists
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// A further bare reader, called as docs/performance.md says
    #[arg(long, value_name = "PATH")]
    bare: Option<PathBuf>,
    /// Also run those of oha, wrk and vllm that are installed
    #[arg(long)]
    peers: bool,
    /// Directory of a tokenizer, without which vllm is left out
    #[arg(long, value_name = "DIR")]
    tokenizer: Option<PathBuf>,
    /// Where the table goes [default: target/bench]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Reader {
    /// The bare reader itself, as a process of its own
    #[command(hide = true)]
    Reader(bare::Order),
}

fn main() -> ExitCode {
    let Command { run, reader } = Command::parse();
    match reader {
        Some(Reader::Reader(order)) => {
            bare::run(&order);
            ExitCode::SUCCESS
        }
        None => measure(&run),
    }
}

fn measure(run: &Run) -> ExitCode {
    let all = case::all();
    let is_wanted = |case: &Case, only: &String| {
        let named = all.iter().any(|case| case.name == only);
        if named { case.name == only } else { case.name.starts_with(only.as_str()) }
    };
    let wanted =
        |case: &&Case| run.only.is_empty() || run.only.iter().any(|only| is_wanted(case, only));
    let cases: Vec<Case> = all.iter().filter(wanted).cloned().collect();
    if cases.is_empty() {
        eprintln!("no case begins with {}; --list names them", run.only.join(" or "));
        return ExitCode::from(2);
    }
    if run.list {
        cases.iter().for_each(|case| println!("{:<18} {}", case.name, case.about));
        return ExitCode::SUCCESS;
    }
    stop::listen();
    let cores = host::Cores::choose();
    let server = server::Kind::new(run.server.clone());
    let repeats = if run.quick { 1 } else { run.repeats.max(1) };
    let mut table = Table::new(&cores, &server, repeats, run.quick);
    'all: for case in cases {
        let case = if run.quick { case.quick() } else { case };
        let clients = Client::of(&case, run);
        for repeat in 1..=repeats {
            for client in &clients {
                let taken = measure::run(&case, client, &server, &cores);
                let name = client.name();
                match &taken {
                    Ok(taken) => eprintln!("{} {name} {repeat}/{repeats}: {taken}", case.name),
                    Err(error) => eprintln!("{} {name} {repeat}/{repeats}: {error}", case.name),
                }
                table.add(&case, client, taken);
                if stop::is_wanted() {
                    break 'all;
                }
            }
        }
    }
    let text = table.markdown();
    print!("{text}");
    let directory = run.out.clone().unwrap_or_else(host::results);
    let written = table.write(&directory, &text);
    eprintln!("written: {}", written.display());
    if stop::is_wanted() { ExitCode::from(130) } else { ExitCode::SUCCESS }
}
