//! `floodmark-agent check`.

use std::net::SocketAddr;

use agent::config::Overlay;
use agent::preflight::{Check, Host, Needs, raise_fd_limit};
use clap::Args;

use super::serve::HostArgs;
use super::{Failure, show};

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    host: HostArgs,
    /// Users at once [default: `users_max` of the configuration]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    users: Option<u32>,
    /// Address and port of a target: whether source addresses lead there
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8000")]
    target: SocketAddr,
}

pub(crate) fn run(args: CheckArgs) -> Result<(), Failure> {
    raise_fd_limit();
    let config = args.host.resolve(Overlay::default())?;
    let users = args.users.unwrap_or(config.policy.users_max);
    let sources = config.policy.sources.towards(args.target).map_err(Failure::lacking)?;
    let checks = Needs::of_users(users, config.workers, sources.len()).against(&Host::look());
    show(&format!("{users} users with {} workers\n\n{}", config.workers, table(&checks)));
    let lacks: Vec<&str> = checks.iter().filter_map(|check| check.lack.as_deref()).collect();
    if lacks.is_empty() { Ok(()) } else { Err(Failure::lacking(lacks.join("\n"))) }
}

fn table(checks: &[Check]) -> String {
    let row = |name: &str, need: &str, limit: &str, fits: &str| {
        let row = format!("{name:<12}  {need:>10}  {limit:<32}  {fits}");
        format!("{}\n", row.trim_end())
    };
    let rows = checks.iter().map(|check| {
        let fits = if check.lack.is_none() { "enough" } else { "too little" };
        row(check.name, &check.need, check.limit.as_deref().unwrap_or("unknown"), fits)
    });
    row("", "NEED", "THERE IS", "") + &rows.collect::<String>()
}
