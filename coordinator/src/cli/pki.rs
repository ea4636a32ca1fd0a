//! `floodmark pki`: certificates for a fleet.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use common::ids::Name;
use proto::message::Role;

use crate::clock;
use crate::pki::{self, Issued, PkiError, Request};

/// Where issuers are made and looked for.
const DEFAULT_DIR: &str = "floodmark-pki";

/// Arguments of `floodmark pki`.
#[derive(Args, Debug)]
pub struct PkiArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Make the two issuers of a fleet: one for coordinators, one for agents
    Init {
        /// Directory for the issuers' certificates and keys; keep it off the agents
        #[arg(long, default_value = DEFAULT_DIR)]
        dir: PathBuf,
        /// How long the issuers hold
        #[arg(long, default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: u32,
    },
    /// Issue a certificate to an agent or a coordinator
    Issue {
        /// What its holder may be
        role: RoleArg,
        /// Its holder's name; an agent may limit by name who commands it
        name: Name,
        /// Directory of the issuers
        #[arg(long, default_value = DEFAULT_DIR)]
        dir: PathBuf,
        /// Directory for the new files [default: that of the issuers]
        #[arg(long)]
        out: Option<PathBuf>,
        /// How long the certificate holds; a lost key is good until then
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=825))]
        days: u32,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleArg {
    /// Generates load when it is told to
    Agent,
    /// Commands agents
    Coordinator,
}

/// Runs the command. The text is for standard output.
pub fn run(args: PkiArgs) -> Result<String, PkiError> {
    let now = clock::wall_now();
    match args.command {
        Command::Init { dir, days } => {
            pki::init(&dir, days, now).map(|files| after_init(&dir, &files))
        }
        Command::Issue { role, name, dir, out, days } => {
            let role = match role {
                RoleArg::Agent => Role::Agent,
                RoleArg::Coordinator => Role::Coordinator,
            };
            let request =
                Request { role, name: &name, dir: &dir, out: out.as_deref().unwrap_or(&dir), days };
            pki::issue(&request, now).map(|issued| after_issue(role, &name, &issued))
        }
    }
}

fn after_init(dir: &Path, files: &[PathBuf]) -> String {
    let mut text = String::from("made\n");
    for file in files {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {}", file.display());
    }
    let dir = dir.display();
    let _ = write!(
        text,
        "\nWho has the .key files can command every agent, or pose as one: keep them here, and off \
         the agents.\nNext, for every agent and every coordinator:\n  \
         floodmark pki issue agent NAME --dir {dir}\n  \
         floodmark pki issue coordinator NAME --dir {dir}\n"
    );
    text
}

fn after_issue(role: Role, name: &Name, issued: &Issued) -> String {
    let (cert, key, ca) = (issued.cert.display(), issued.key.display(), issued.peer_ca.display());
    let until = issued.until.date();
    let head = format!("made for {role} {name}, good until {until}\n  {cert}\n  {key}\n");
    match role {
        Role::Agent => format!(
            "{head}\nNext: copy both and {ca} to the agent's host, and in its configuration set\n  \
             tls_cert  {cert}\n  tls_key   {key}\n  tls_ca    {ca}\n\
             (or --tls-cert, --tls-key, --tls-ca; the paths are those on its host)\n"
        ),
        Role::Coordinator => format!(
            "{head}\nNext: run campaigns with\n  floodmark run --tls-cert {cert} --tls-key {key} \
             --tls-ca {ca} ...\n"
        ),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use clap::error::ErrorKind;

    use super::*;

    #[derive(Parser, Debug)]
    struct Cli {
        #[command(flatten)]
        pki: PkiArgs,
    }

    fn floodmark_pki(line: &str, dir: &Path) -> String {
        let dir = dir.to_str().unwrap();
        let words = line.split(' ').chain(["--dir", dir]);
        let cli = Cli::try_parse_from(["pki"].into_iter().chain(words)).unwrap();
        run(cli.pki).unwrap().replace(dir, "DIR")
    }

    #[test]
    fn every_step_names_its_files_and_the_next_step() {
        let dir = tempfile::tempdir().unwrap();
        let good_until = |text: &str| {
            let (head, rest) = text.split_once("good until ").unwrap();
            format!("{head}good until DATE{}", &rest["2026-01-01".len()..])
        };
        insta::assert_snapshot!(floodmark_pki("init", dir.path()), @r"
        made
          DIR/coordinator-ca.key
          DIR/coordinator-ca.pem
          DIR/agent-ca.key
          DIR/agent-ca.pem

        Who has the .key files can command every agent, or pose as one: keep them here, and off the agents.
        Next, for every agent and every coordinator:
          floodmark pki issue agent NAME --dir DIR
          floodmark pki issue coordinator NAME --dir DIR
        ");
        let agent = floodmark_pki("issue agent gpu-1", dir.path());
        insta::assert_snapshot!(good_until(&agent), @r"
        made for agent gpu-1, good until DATE
          DIR/agent-gpu-1.pem
          DIR/agent-gpu-1.key

        Next: copy both and DIR/coordinator-ca.pem to the agent's host, and in its configuration set
          tls_cert  DIR/agent-gpu-1.pem
          tls_key   DIR/agent-gpu-1.key
          tls_ca    DIR/coordinator-ca.pem
        (or --tls-cert, --tls-key, --tls-ca; the paths are those on its host)
        ");
        let coordinator = floodmark_pki("issue coordinator lab", dir.path());
        insta::assert_snapshot!(good_until(&coordinator), @r"
        made for coordinator lab, good until DATE
          DIR/coordinator-lab.pem
          DIR/coordinator-lab.key

        Next: run campaigns with
          floodmark run --tls-cert DIR/coordinator-lab.pem --tls-key DIR/coordinator-lab.key --tls-ca DIR/agent-ca.pem ...
        ");
    }

    #[test]
    fn bad_arguments_are_bad_usage() {
        for line in [
            "issue agent ../../etc/passwd",
            "issue agent",
            "issue worker gpu-1",
            "issue agent gpu-1 --days 0",
            "issue agent gpu-1 --days 100000",
            "init --days 0",
        ] {
            let error =
                Cli::try_parse_from(["pki"].into_iter().chain(line.split(' '))).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
            assert_ne!(error.kind(), ErrorKind::DisplayHelp, "{line}");
        }
    }
}
