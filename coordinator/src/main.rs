//! `floodmark`: the command line of the coordinator.

use std::process::ExitCode;

fn main() -> ExitCode {
    coordinator::cli::main()
}
