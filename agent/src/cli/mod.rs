//! Arguments, logging, exit codes: 0 done, 1 internal error, 2 bad usage or configuration, 4 what was
//! asked is more than this host can do.

mod calibrate;
mod check;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Generates load for LLM servers when a floodmark coordinator says so.
#[derive(Debug, Parser)]
#[command(name = "floodmark-agent", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What to log on standard error, for example `info` or `agent=debug`
    #[arg(long, global = true, env = "FLOODMARK_LOG", default_value = "info")]
    log: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Listen for coordinators and do what they order
    Serve(serve::ServeArgs),
    /// Find how much this host can carry, against a simulator on its other processors
    Calibrate(calibrate::CalibrateArgs),
    /// Show what this host has of all that a load takes, and what to do about what it lacks
    Check(check::CheckArgs),
    /// Run a mock LLM server that knows the truth about every request
    Sim(agent::sim::SimArgs),
}

/// A failure of the process, with its exit code.
struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    fn usage(error: impl ToString) -> Self {
        Self { code: 2, text: error.to_string() }
    }

    fn lacking(text: impl ToString) -> Self {
        Self { code: 4, text: text.to_string() }
    }

    fn internal(error: impl ToString) -> Self {
        Self { code: 1, text: error.to_string() }
    }
}

pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = match EnvFilter::builder().parse(&cli.log) {
        Ok(filter) => filter,
        Err(error) => return end(Err(Failure::usage(format!("--log {}: {error}", cli.log)))),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()) && no_color_unset())
        .init();
    end(match cli.command {
        Command::Serve(args) => serve::run(args),
        Command::Calibrate(args) => calibrate::run(args),
        Command::Check(args) => check::run(args),
        Command::Sim(args) => agent::sim::args::run(args).map_err(Failure::internal),
    })
}

/// Writes to standard output, which whoever reads it may close.
fn show(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn no_color_unset() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn end(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, text }) => {
            use std::io::Write as _;
            let _ = writeln!(std::io::stderr(), "floodmark-agent: {text}");
            ExitCode::from(code)
        }
    }
}
