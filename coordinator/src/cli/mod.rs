//! The command line: each verb turns arguments into a call, and its outcome into text on standard
//! output and an exit code. Standard output carries results only.

pub mod args;
pub mod pki;

mod agents;
mod calibrate;
mod compare;
mod demo;
mod init;
mod papers;
mod plan;
mod prove;
mod report;
mod run;

use std::error::Error;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::causes::with_causes;
use crate::exit::Exit;
use crate::launch::LaunchError;
use crate::store;

/// A distributed load-generator fleet for LLM servers.
#[derive(Parser)]
#[command(name = "floodmark", version, max_term_width = 100, after_help = exit_help())]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What to log on standard error, for example `info` or `coordinator=debug`
    #[arg(long, global = true, env = "FLOODMARK_LOG", default_value = "warn")]
    log: String,
}

#[derive(Subcommand)]
enum Command {
    /// Run a small campaign against a built-in simulator; needs nothing else
    Demo(demo::DemoArgs),
    /// Run a campaign
    Run(args::RunArgs),
    /// Print everything that `run` would do, without doing it
    Plan(args::PlanArgs),
    /// Write a commented campaign file to begin with
    Init(init::InitArgs),
    /// Print the report of a result directory, finished or not
    Report(report::ReportArgs),
    /// Compare two runs, or two sets of runs, level by level: is NEW worse than BASE?
    Compare(compare::CompareArgs),
    /// Show the agents of a fleet: versions, ceilings, clocks, who holds them; or find what they can do
    Agents(agents::AgentsArgs),
    /// Make certificates for a fleet
    Pki(pki::PkiArgs),
    /// Print what a shell needs to complete this command line
    Completions(papers::CompletionsArgs),
    /// Print the manual page
    Man,
}

fn exit_help() -> String {
    let mut text = "Exit codes:".to_owned();
    for exit in Exit::ALL {
        let _ = write!(text, "\n  {:<4} {}", exit.code(), exit.meaning());
    }
    text
}

/// What a verb leaves: text for standard output, and how the process ends.
struct Done {
    text: String,
    code: u8,
}

impl Done {
    fn text(text: String) -> Self {
        Self { text, code: Exit::Done.code() }
    }
}

/// Why a verb could not do its work.
struct Failure {
    exit: Exit,
    text: String,
}

impl Failure {
    fn new(exit: Exit, error: &(dyn Error + 'static)) -> Self {
        Self { exit, text: with_causes(error) }
    }

    /// A run that came to no end of its own, whose result directory is `dir`.
    fn of_run(error: &LaunchError, dir: &Path) -> Self {
        let mut failure = Self::new(error.exit(), error);
        if dir.join(store::FILE).exists() {
            failure.text.push_str(&format!("\nwhat was kept is in {}", dir.display()));
        }
        failure
    }

    fn usage(text: impl ToString) -> Self {
        Self { exit: Exit::Usage, text: text.to_string() }
    }

    fn internal(error: &(dyn Error + 'static)) -> Self {
        Self::new(Exit::Internal, error)
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = match EnvFilter::builder().parse(&cli.log) {
        Ok(filter) => filter,
        Err(error) => return end(Err(Failure::usage(format!("--log {}: {error}", cli.log)))),
    };
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && !no_color)
        .init();
    end(match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Agents(args) => agents::run(&args),
        Command::Completions(args) => papers::completions(&args),
        Command::Man => papers::man(),
        Command::Pki(args) => pki::run(args).map(Done::text).map_err(|error| {
            let exit = if error.is_usage() { Exit::Usage } else { Exit::Internal };
            Failure::new(exit, &error)
        }),
    })
}

fn end(result: Result<Done, Failure>) -> ExitCode {
    let (text, code) = match result {
        Ok(Done { text, code }) => (text, code),
        Err(Failure { exit, text }) => {
            let lines: Vec<String> =
                text.lines().map(|line| format!("floodmark: {line}")).collect();
            let _ = writeln!(std::io::stderr(), "{}", lines.join("\n"));
            (String::new(), exit.code())
        }
    };
    // A reader that has gone away, such as `head`, is no failure of ours.
    let _ = std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush());
    ExitCode::from(code)
}

/// A runtime for the control plane: one thread, so that one turn of a loop is one turn.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::internal(&error))
}
