//! The arguments of `run` and `plan`, and the environment variables that stand in for them. They
//! become an overlay on the campaign and the fleet's spec; nothing here runs anything.

use std::env;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::campaign::{self, Campaign, FlagValue, Overlay, Place, Problem, Problems, Source};
use crate::fleet::AgentsSpec;

/// Arguments of `floodmark run`.
#[derive(Args, Clone)]
pub struct RunArgs {
    /// What to run.
    #[command(flatten)]
    pub campaign: CampaignArgs,
    /// Who runs it.
    #[command(flatten)]
    pub fleet: FleetArgs,
    /// How agents are trusted.
    #[command(flatten)]
    pub tls: TlsArgs,
    /// Directory for the result; made if it does not exist
    #[arg(long, value_name = "DIR")]
    pub result_dir: Option<PathBuf>,
    /// What is shown while it runs, on standard error
    #[arg(long, value_enum, default_value_t = Ui::Auto)]
    pub ui: Ui,
}

/// Arguments of `floodmark plan`.
#[derive(Args, Clone)]
pub struct PlanArgs {
    /// What would be run.
    #[command(flatten)]
    pub campaign: CampaignArgs,
    /// Who would run it.
    #[command(flatten)]
    pub fleet: FleetArgs,
    /// How the plan is printed
    #[arg(long, value_enum, default_value_t = PlanFormat::Text)]
    pub format: PlanFormat,
}

/// The campaign file and the flags that overlay it. Precedence: flag, environment, file, default.
#[derive(Args, Clone)]
pub struct CampaignArgs {
    /// Campaign file; without one, --target, --model and --users describe what to run
    #[arg(value_name = "CAMPAIGN")]
    pub file: Option<PathBuf>,
    /// Base URL of the server under test [env: FLOODMARK_TARGET]. Where the campaign names no API
    /// key, the one in OPENAI_API_KEY is used, if it is set
    #[arg(long, value_name = "URL", visible_aliases = ["base-url", "url"])]
    pub target: Option<String>,
    /// Model to ask for
    #[arg(long)]
    pub model: Option<String>,
    /// Users in flight, a SCALING level for each number: 1,10,100
    #[arg(
        long,
        value_name = "LIST",
        visible_aliases = ["max-concurrency", "concurrency"]
    )]
    pub users: Option<String>,
    /// Prompt length in tokens, without a campaign file [default: 500]
    #[arg(long, value_name = "N", visible_alias = "random-input-len")]
    pub input_tokens: Option<String>,
    /// Answer length in tokens, without a campaign file [default: 200]
    #[arg(long, value_name = "N", visible_alias = "random-output-len")]
    pub output_tokens: Option<String>,
    /// Requests per second instead of users, whatever becomes of them: a SCALING level for each
    /// number, without a campaign file
    #[arg(long, value_name = "LIST", visible_alias = "ramp-up-end-rps")]
    pub request_rate: Option<String>,
    /// Shape of the gamma law by which requests arrive: below 1 in bursts, above 1 evenly
    /// [default: 1, a Poisson process]
    #[arg(long, value_name = "SHAPE")]
    pub burstiness: Option<String>,
    /// Requests in flight at most at a --request-rate [default: enough, 1000 to 10000]
    #[arg(long, value_name = "N")]
    pub max_in_flight: Option<String>,
    /// Rate from which it rises to --request-rate before it is measured
    #[arg(long, value_name = "R")]
    pub ramp_up_start_rps: Option<String>,
    /// How it rises: linear, exponential or step [default: linear]
    #[arg(long, value_name = "CURVE")]
    pub ramp_up_strategy: Option<String>,
    /// How long it rises [default: 30s]
    #[arg(long, value_name = "DURATION")]
    pub ramp_up_time: Option<String>,
    /// How long each level is measured once its load is up and steady, without a campaign file
    #[arg(long, value_name = "DURATION")]
    pub duration: Option<String>,
    /// Requests of each level, without a campaign file [default: 10 per user; a
    /// window instead with --duration or --request-rate]
    #[arg(long, value_name = "N", visible_alias = "num-prompts")]
    pub requests: Option<String>,
    /// Name of the campaign
    #[arg(long)]
    pub name: Option<String>,
    /// What a request must meet to be good: ttft:2000 tpot:80 e2el:15000
    #[arg(long, value_name = "KEY:MILLISECONDS", num_args = 1..)]
    pub goodput: Vec<String>,
    /// How levels are measured and judged: floodmark (by windows) or paper (by counts)
    #[arg(long)]
    pub mode: Option<String>,
    /// How much is measured: quick (half the requests, shorter windows), default, thorough
    #[arg(long)]
    pub tier: Option<String>,
    /// Prove before and after the run, on the same agents, that the client can do twice what it
    /// measures [default: on with tier thorough in mode floodmark]
    #[arg(long, value_enum, value_name = "on|off")]
    pub client_proof: Option<Switch>,
    /// Seed of every random choice [default: 42]
    #[arg(long, value_name = "N")]
    pub seed: Option<String>,
    /// API to call: chat, completions, responses, messages or embeddings [default: chat]
    #[arg(long, value_name = "NAME")]
    pub endpoint: Option<String>,
    /// Whether answers are streamed [default: on; off for embeddings]
    #[arg(long, value_enum, value_name = "on|off")]
    pub streaming: Option<Switch>,
    /// JSON object whose fields are added to the body of every request: '{"top_p": 0.9}'
    #[arg(long, value_name = "JSON")]
    pub extra_body: Option<String>,
    /// Header of every request that is no secret; may be repeated
    #[arg(long = "header", value_name = "NAME:VALUE")]
    pub headers: Vec<String>,
    /// How long to wait for the target to be ready, such as 60s or 20m
    #[arg(long, value_name = "DURATION")]
    pub ready_timeout: Option<String>,
    /// Set any key of the campaign; may be repeated and wins over other flags
    #[arg(long, value_name = "KEY.PATH=VALUE")]
    pub set: Vec<String>,
}

/// Which agents do the work.
#[derive(Args, Clone)]
pub struct FleetArgs {
    /// Agents: host:port,host:port or dns:NAME:PORT [env: FLOODMARK_AGENTS]
    #[arg(long, value_name = "LIST")]
    pub agents: Option<String>,
    /// Agents inside this process [default: 1, without --agents]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub embedded: Option<u32>,
}

/// The coordinator's side of mutual TLS: all three files or none.
#[derive(Args, Clone)]
pub struct TlsArgs {
    /// The coordinator's certificate, PEM
    #[arg(long, value_name = "FILE", requires_all = ["tls_key", "tls_ca"])]
    pub tls_cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE", requires_all = ["tls_cert", "tls_ca"])]
    pub tls_key: Option<PathBuf>,
    /// The certificate of the agents' issuer, PEM
    #[arg(long, value_name = "FILE", requires_all = ["tls_cert", "tls_key"])]
    pub tls_ca: Option<PathBuf>,
}

/// Files for the coordinator's side of mutual TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsFiles<'a> {
    /// The coordinator's certificate.
    pub cert: &'a Path,
    /// Its private key.
    pub key: &'a Path,
    /// The certificate of the agents' issuer.
    pub ca: &'a Path,
}

/// What is shown while a run lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Ui {
    /// Whatever suits standard error.
    Auto,
    /// Lines of text.
    Plain,
    /// Nothing.
    None,
}

/// How a plan is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

/// The environment variables that `run` and `plan` heed; an empty one counts as unset.
#[derive(Clone, Default)]
pub struct Environment {
    /// `FLOODMARK_TARGET`: stands for `--target`.
    pub target: Option<String>,
    /// `FLOODMARK_AGENTS`: stands for `--agents`.
    pub agents: Option<String>,
    /// `OPENAI_API_KEY` is set: the key where the campaign names none. Its value is not read here.
    pub has_openai_key: bool,
}

const TARGET_VARIABLE: &str = "FLOODMARK_TARGET";
const AGENTS_VARIABLE: &str = "FLOODMARK_AGENTS";
const KEY_VARIABLE: &str = "OPENAI_API_KEY";

impl Environment {
    /// The environment of this process.
    pub fn read() -> Self {
        // Text that is not Unicode is kept, broken, so that it is refused where it is parsed.
        let text = |variable| {
            env::var_os(variable)
                .filter(|value| !value.is_empty())
                .map(|value| value.to_string_lossy().into_owned())
        };
        Self {
            target: text(TARGET_VARIABLE),
            agents: text(AGENTS_VARIABLE),
            has_openai_key: env::var_os(KEY_VARIABLE).is_some_and(|value| !value.is_empty()),
        }
    }
}

impl CampaignArgs {
    /// Reads the file, if there is one, and resolves the campaign.
    pub fn resolve(&self, environment: &Environment) -> Result<Campaign, Problems> {
        let overlay = self.overlay(environment);
        let Some(path) = &self.file else {
            return campaign::resolve(None, &overlay);
        };
        let name = path.to_string_lossy();
        let text = read_file(path).map_err(|error| {
            Problems::one(Problem {
                place: Place::File { name: name.clone().into_owned(), at: None },
                key: String::new(),
                value: None,
                what: format!("cannot be read: {error}"),
            })
        })?;
        let source = Source { name: &name, text: &text };
        campaign::resolve(Some(source), &overlay)
    }

    /// What the flags and the environment say.
    pub fn overlay(&self, environment: &Environment) -> Overlay {
        let mut overlay = Overlay::default();
        let text = FlagValue::Text as fn(String) -> FlagValue;
        let flags = [
            ("--target", ["target", "base_urls"].as_slice(), &self.target, FlagValue::OneOf as _),
            ("--model", &["target", "model"], &self.model, text),
            ("--name", &["name"], &self.name, text),
            ("--mode", &["mode"], &self.mode, text),
            ("--tier", &["tier"], &self.tier, text),
            ("--seed", &["seed"], &self.seed, FlagValue::Numbers as _),
            ("--endpoint", &["target", "endpoint"], &self.endpoint, text),
            ("--extra-body", &["target", "extra_body"], &self.extra_body, text),
            ("--ready-timeout", &["target", "ready_timeout"], &self.ready_timeout, text),
        ];
        for (flag, path, value, form) in flags {
            if let Some(value) = value {
                overlay.flag(flag, path, form(value.clone()));
            }
        }
        if let Some(switch) = self.streaming {
            let on = FlagValue::Switch(switch == Switch::On);
            overlay.flag("--streaming", &["target", "stream"], on);
        }
        if let Some(switch) = self.client_proof {
            for key in ["before", "after"] {
                let on = FlagValue::Switch(switch == Switch::On);
                overlay.flag("--client-proof", &["client_proof", key], on);
            }
        }
        let input = ["workloads", "default", "input_tokens"];
        let output = ["workloads", "default", "output_tokens"];
        let numbers = FlagValue::Numbers as fn(String) -> FlagValue;
        let ramp = |key: &'static str| ["phases", "scaling", "rate_ramp", key];
        let shape = [
            ("--users", ["phases", "scaling", "users"].as_slice(), &self.users, numbers),
            ("--request-rate", &["phases", "scaling", "rate"], &self.request_rate, numbers),
            ("--burstiness", &["phases", "scaling", "burstiness"], &self.burstiness, numbers),
            (
                "--max-in-flight",
                &["phases", "scaling", "max_in_flight"],
                &self.max_in_flight,
                numbers,
            ),
            ("--ramp-up-start-rps", &ramp("from"), &self.ramp_up_start_rps, numbers),
            ("--ramp-up-strategy", &ramp("curve"), &self.ramp_up_strategy, text),
            ("--ramp-up-time", &ramp("over"), &self.ramp_up_time, text),
            ("--duration", &["phases", "scaling", "duration"], &self.duration, text),
            ("--requests", &["phases", "scaling", "requests"], &self.requests, numbers),
            ("--input-tokens", &input, &self.input_tokens, numbers),
            ("--output-tokens", &output, &self.output_tokens, numbers),
        ];
        for (flag, path, value, form) in shape {
            if let Some(value) = value {
                overlay.shape(flag, path, form(value.clone()));
            }
        }
        for text in &self.headers {
            overlay.header(text.clone());
        }
        for text in &self.goodput {
            overlay.goodput(text.clone());
        }
        for text in &self.set {
            overlay.set(text.clone());
        }
        if let Some(target) = &environment.target {
            let value = FlagValue::OneOf(target.clone());
            overlay.environment(TARGET_VARIABLE, &["target", "base_urls"], value);
        }
        if environment.has_openai_key {
            overlay.default_key(KEY_VARIABLE);
        }
        overlay
    }
}

impl FleetArgs {
    /// Which agents do the work: the flags, else the environment, else one embedded agent.
    pub fn spec(&self, environment: &Environment) -> Result<AgentsSpec, Problems> {
        let flag = Place::Flag("--agents".to_owned());
        match (&self.agents, self.embedded, &environment.agents) {
            (Some(_), Some(_), _) => Err(Problems::one(Problem {
                place: flag,
                key: String::new(),
                value: None,
                what: "cannot be combined with --embedded; give one of the two".to_owned(),
            })),
            (Some(text), None, _) => AgentsSpec::parse(&flag, text),
            (None, Some(count), _) => Ok(AgentsSpec::Embedded(count)),
            (None, None, Some(text)) => {
                AgentsSpec::parse(&Place::Environment(AGENTS_VARIABLE.to_owned()), text)
            }
            (None, None, None) => Ok(AgentsSpec::Embedded(1)),
        }
    }
}

impl TlsArgs {
    /// The three files, if they were given.
    pub fn files(&self) -> Option<TlsFiles<'_>> {
        Some(TlsFiles {
            cert: self.tls_cert.as_deref()?,
            key: self.tls_key.as_deref()?,
            ca: self.tls_ca.as_deref()?,
        })
    }
}

/// The text of a file, and not much more of it than a campaign may have.
fn read_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let most = Source::BYTES_MAX as u64 + 1;
    File::open(path)?.take(most).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests;
