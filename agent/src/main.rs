//! `floodmark-agent`: the command line of the agent.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
