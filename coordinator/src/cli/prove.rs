//! `floodmark agents prove`: every agent loads a simulator of its own, and what it held is
//! checked against what the simulator injected.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use common::assignment::Pace;
use common::duration::parse_duration;
use tokio::sync::mpsc;

use super::agents::table;
use super::args::{Environment, FleetArgs, TlsArgs, Ui};
use super::run::{Agents, RESULTS, interrupts, new_run};
use super::{Done, Failure, report};
use crate::clock::Clock;
use crate::exit::Exit;
use crate::launch::{Calibration, calibrate};
use crate::plan::proof::{Ask, INPUT_TOKENS};
use crate::report::{AgentProof, ClientProof, Real};
use crate::ui::Plain;

/// Steps of a search for the ceilings: from one user to more than any host holds.
const STEPS_MAX: u32 = 20;
/// Users of a fleet.
const USERS_MAX: u32 = 1_000_000;

#[derive(Args)]
pub(super) struct ProveArgs {
    #[command(flatten)]
    fleet: FleetArgs,
    #[command(flatten)]
    tls: TlsArgs,
    /// Users of each agent; with --find of the first step
    #[arg(long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(USERS_MAX)))]
    users: u32,
    /// From a request to its first token, as the simulators do it
    #[arg(long, value_name = "DURATION", default_value = "200ms", value_parser = instant)]
    ttft: Duration,
    /// From one token to the next
    #[arg(long, value_name = "DURATION", default_value = "20ms", value_parser = instant)]
    itl: Duration,
    /// Tokens of each answer
    #[arg(long, value_name = "N", default_value_t = 50,
          value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    output_tokens: u32,
    /// How long it is measured once the load is up
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = length)]
    duration: Duration,
    /// Double the users of each agent until none passes: the ceiling of each
    #[arg(long)]
    find: bool,
    /// Directory for the result; with --find each step has one in it, named by its users
    #[arg(long, value_name = "DIR")]
    result_dir: Option<PathBuf>,
    /// What is shown while it runs, on standard error
    #[arg(long, value_enum, default_value_t = Ui::Auto)]
    ui: Ui,
}

/// A simulator's timers have a grain of a millisecond.
fn instant(text: &str) -> Result<Duration, String> {
    at_least(text, Duration::from_millis(1), "1ms")
}

/// Agents report once a second.
fn length(text: &str) -> Result<Duration, String> {
    at_least(text, Duration::from_secs(1), "1s")
}

fn at_least(text: &str, least: Duration, name: &str) -> Result<Duration, String> {
    let duration = parse_duration(text).map_err(|error| error.to_string())?;
    let most = Duration::from_secs(3600);
    if (least..=most).contains(&duration) {
        Ok(duration)
    } else {
        Err(format!("must be from {name} to 1h"))
    }
}

pub(super) fn run(args: &ProveArgs) -> Result<Done, Failure> {
    let spec = args.fleet.spec(&Environment::read()).map_err(Failure::usage)?;
    let shown = match args.ui {
        Ui::Auto | Ui::Plain => true,
        Ui::None => false,
    };
    super::runtime()?.block_on(async {
        let agents = Agents::of(&spec, &args.tls).await?;
        let bench = Bench {
            args,
            agents,
            ui: Plain::new(shown),
            interrupts: interrupts().map_err(|error| Failure::internal(&error))?,
        };
        if args.find { bench.find().await } else { bench.once().await }
    })
}

/// What steps are made with.
struct Bench<'a> {
    args: &'a ProveArgs,
    agents: Agents,
    ui: Plain,
    interrupts: mpsc::Receiver<()>,
}

/// What one step led to.
struct Step {
    proof: Option<ClientProof>,
    code: u8,
    because: String,
}

impl Bench<'_> {
    async fn once(mut self) -> Result<Done, Failure> {
        let dir = self.dir();
        let users = self.args.users;
        let Step { proof, code, because } = self.step(users, &dir).await?;
        let mut rows = vec![HEAD.map(str::to_owned)];
        rows.extend(proof.iter().flat_map(|proof| rows_of(proof, users)));
        let mut text = format!("{}{NOTE}{}\n", table(&rows), fleet_line(proof.as_ref()));
        let code = match proof {
            _ if code != Exit::Done.code() => {
                text.push_str(&format!("ended early: {because}\n"));
                code
            }
            Some(proof) if proof.passed() => code,
            Some(_) | None => Exit::Fleet.code(),
        };
        text.push_str(&format!("result in {}\n", dir.display()));
        Ok(Done { text, code })
    }

    /// Doubles the users of each agent until none passes any more.
    async fn find(mut self) -> Result<Done, Failure> {
        let dir = self.dir();
        let mut rows = vec![HEAD.map(str::to_owned)];
        let mut ceilings: BTreeMap<String, Option<u32>> = BTreeMap::new();
        let mut users = self.args.users;
        let mut ended = "no agent passes with more".to_owned();
        for step in 0..STEPS_MAX {
            let made = self.step(users, &dir.join(users.to_string())).await;
            let Step { proof, code, because } = match made {
                Ok(made) => made,
                Err(failure) if step == 0 => return Err(failure),
                Err(failure) => {
                    ended = failure.text;
                    break;
                }
            };
            if code == Exit::Interrupted.code() {
                return Ok(Done { text: table(&rows), code });
            }
            let agents = proof.as_ref().map_or(&[][..], |proof| &proof.per_agent);
            for agent in agents {
                let best = ceilings.entry(agent.agent.clone()).or_default();
                if agent.proven.passed {
                    *best = Some(users);
                }
            }
            rows.extend(proof.iter().flat_map(|proof| rows_of(proof, users)));
            if code != Exit::Done.code() {
                ended = because;
                break;
            }
            if !agents.iter().any(|agent| agent.proven.passed) {
                break;
            }
            match users.checked_mul(2).filter(|users| self.fleet_users(*users).is_ok()) {
                Some(more) => users = more,
                None => {
                    ended = format!("a fleet has {USERS_MAX} users at most");
                    break;
                }
            }
        }
        let mut text = format!("{}{NOTE}", table(&rows));
        for (agent, ceiling) in &ceilings {
            let ceiling = match ceiling {
                Some(users) => format!("{users} users passed"),
                None => format!("{} users did not pass; start with fewer", self.args.users),
            };
            text.push_str(&format!("ceiling of {agent}: {ceiling}\n"));
        }
        text.push_str(&format!("ended: {ended}\nresults in {}\n", dir.display()));
        let found = !ceilings.is_empty() && ceilings.values().all(Option::is_some);
        let exit = if found { Exit::Done } else { Exit::Fleet };
        Ok(Done { text, code: exit.code() })
    }

    fn dir(&self) -> PathBuf {
        let usual = || PathBuf::from(RESULTS).join(format!("proof-{}", new_run()));
        self.args.result_dir.clone().unwrap_or_else(usual)
    }

    fn fleet_users(&self, users: u32) -> Result<u32, Failure> {
        let agents = u32::try_from(self.agents.addresses.len()).unwrap_or(u32::MAX);
        users.checked_mul(agents).filter(|users| *users <= USERS_MAX).ok_or_else(|| {
            Failure::usage(format!(
                "--users {users}: a fleet of {agents} agents has {USERS_MAX} users at most"
            ))
        })
    }

    /// A run of one proof with that many users of each agent.
    async fn step(&mut self, users: u32, dir: &Path) -> Result<Step, Failure> {
        let args = self.args;
        let ask = Ask {
            users: self.fleet_users(users)?,
            pace: Pace { ttft: args.ttft, itl: args.itl },
            input_tokens: INPUT_TOKENS,
            output_tokens: args.output_tokens,
            window: args.duration,
        };
        let calibration = Calibration {
            run: new_run(),
            ask,
            agents: self.agents.addresses.clone(),
            dir: dir.to_owned(),
            clock: Clock::start(),
        };
        let end = calibrate(calibration, &mut self.ui, &mut self.interrupts).await;
        let end = end.map_err(|error| Failure::of_run(&error, dir))?;
        let model = report::load(dir)?;
        crate::report::write_files(dir, &model)
            .map_err(|error| Failure::new(Exit::Store, &error))?;
        // A proof that heard of an instant too late was tried again.
        let proof = model.client_proof.into_iter().next_back();
        Ok(Step { proof, code: end.exit_code, because: end.because })
    }
}

const HEAD: [&str; 10] = [
    "AGENT",
    "USERS",
    "IN FLIGHT",
    "REQUESTS/S",
    "EVENTS/S",
    "TTFT P50 OFF",
    "TTFT P99 OFF",
    "GAP OFF",
    "CPU",
    "RESULT",
];

const NOTE: &str = "The simulators share the agents' hosts: these are lower bounds.\n";

fn rows_of(proof: &ClientProof, users: u32) -> impl Iterator<Item = [String; HEAD.len()]> {
    proof.per_agent.iter().map(move |agent| row(agent, users))
}

fn row(AgentProof { agent, worker_cpu_max, proven }: &AgentProof, users: u32) -> [String; 10] {
    let show = |value: Option<Real>, text: fn(f64) -> String| {
        value.map_or_else(|| "-".to_owned(), |value| text(value.value()))
    };
    let ms = |value| show(value, |ms| format!("{ms:+.2} ms"));
    [
        agent.clone(),
        users.to_string(),
        show(proven.in_flight, |mean| format!("{mean:.1}")),
        show(proven.requests_per_s, |rate| format!("{rate:.1}")),
        show(proven.events_per_s, |rate| format!("{rate:.0}")),
        ms(proven.found("ttft_p50_off_ms")),
        ms(proven.found("ttft_p99_off_ms")),
        show(proven.found("gap_off_share"), |share| format!("{:+.2} %", share * 100.0)),
        show(*worker_cpu_max, |share| format!("{:.0} %", share * 100.0)),
        proven.failed().unwrap_or_else(|| "passed".to_owned()),
    ]
}

fn fleet_line(proof: Option<&ClientProof>) -> String {
    let Some(ClientProof { fleet, .. }) = proof else {
        return "nothing was measured".to_owned();
    };
    let show = |value: Option<Real>| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{:.1}", value.value()))
    };
    let headroom = format!(
        "{} in flight, {} requests/s, {} events/s",
        show(fleet.in_flight),
        show(fleet.requests_per_s),
        show(fleet.events_per_s)
    );
    match fleet.failed() {
        None => format!("fleet: passed with {headroom}"),
        Some(why) => format!("fleet: not passed with {headroom}: {why}"),
    }
}
