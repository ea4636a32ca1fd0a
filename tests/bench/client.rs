//! The clients that take turns: floodmark, bare readers, and other load generators.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::hist::LatencyHist;
use common::tally::{Latencies, Tally};
use harness::binaries;
use harness::process::Process;
use harness::run;
use serde_json::Value;
use tempfile::TempDir;

use crate::Run;
use crate::case::{Case, Kind};
use crate::host::{self, Cores};
use crate::server::{self, Latency};

/// Who loads the server.
#[derive(Clone, Debug)]
pub(crate) enum Client {
    /// The agent process, or several, each with as many users as the case says.
    Agents { agents: u32, workers: u32 },
    /// The coordinator with its agent inside.
    Embedded,
    /// The reader of this benchmark.
    Bare,
    /// Another reader.
    OtherBare(PathBuf),
    /// Another load generator.
    Peer(Peer),
}

/// A load generator that is not ours.
#[derive(Clone, Debug)]
pub(crate) enum Peer {
    Oha(PathBuf),
    Wrk(PathBuf),
    Vllm { program: PathBuf, tokenizer: PathBuf },
}

/// A client at work. Its processes end with it.
pub(crate) struct Running {
    /// Those that load, when they are not `main`.
    agents: Vec<Process>,
    main: Process,
    dir: TempDir,
}

/// What a client says of streams, in milliseconds, as far as it does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    pub(crate) ttft: Latency,
    pub(crate) itl: Latency,
    pub(crate) e2e: Latency,
}

impl Client {
    /// Those that take turns in a case. Where there is no bare reader, the others are compared with
    /// the first.
    pub(crate) fn of(case: &Case, run: &Run) -> Vec<Self> {
        let one = Self::Agents { agents: 1, workers: 1 };
        let mut clients = match case.kind {
            Kind::Agents => return vec![one, Self::Agents { agents: 4, workers: 1 }],
            Kind::Workers => return vec![one, Self::Agents { agents: 1, workers: 2 }],
            Kind::Start => return vec![Self::Embedded, Self::Bare],
            Kind::Requests | Kind::Coalesced | Kind::Paced => vec![one, Self::Bare],
            Kind::Fidelity | Kind::InFlight | Kind::Memory => vec![one, Self::Bare],
        };
        clients.extend(run.bare.clone().map(Self::OtherBare));
        if run.peers {
            let oha = host::installed("oha").map(Peer::Oha);
            let wrk = host::installed("wrk").map(Peer::Wrk);
            let vllm = host::installed("vllm").zip(run.tokenizer.clone());
            let vllm = vllm.map(|(program, tokenizer)| Peer::Vllm { program, tokenizer });
            clients.extend([oha, wrk, vllm].into_iter().flatten().map(Self::Peer));
        }
        clients
    }

    /// Its name in the table.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Agents { agents: 1, workers: 1 } => "floodmark".to_owned(),
            Self::Agents { agents: 1, workers } => format!("floodmark, {workers} workers"),
            Self::Agents { agents, .. } => format!("floodmark, {agents} agents"),
            Self::Embedded => "floodmark, embedded".to_owned(),
            Self::Bare => "bare reader".to_owned(),
            Self::OtherBare(path) => server::name(path),
            Self::Peer(Peer::Oha(_)) => "oha".to_owned(),
            Self::Peer(Peer::Wrk(_)) => "wrk".to_owned(),
            Self::Peer(Peer::Vllm { .. }) => "vllm bench serve".to_owned(),
        }
    }

    /// Starts it against a server.
    pub(crate) fn start(&self, case: &Case, server: SocketAddr, cores: &Cores) -> Running {
        let dir = tempfile::tempdir().expect("a directory");
        let here = |program: &Path, args: &[&str]| {
            host::on(&[cores.client], || Process::start(program, dir.path(), args))
        };
        let (users, requests) = (case.users.to_string(), case.requests.to_string());
        let seconds = case.seconds().to_string();
        let (tokens, body) = (case.tokens.to_string(), case.body());
        let url = format!("http://{server}/v1/chat/completions");
        let mut agents = Vec::new();
        let main = match self {
            Self::Agents { agents: count, workers } => {
                let both = [cores.server, cores.client];
                let own = if *workers > 1 { &both[..] } else { &both[1..] };
                let mut addresses = Vec::new();
                for number in 1..=*count {
                    let (agent, address) = host::on(own, || start_agent(&dir, number, *workers));
                    agents.push(agent);
                    addresses.push(address.to_string());
                }
                let users = case.users * count;
                write(&dir, "bench.toml", &case.campaign(server, users));
                let addresses = addresses.join(",");
                let args = ["run", "bench.toml", "--agents", &addresses];
                let args = [&args[..], &["--result-dir", "result", "--ui", "none"]].concat();
                host::on(&[cores.server], || Process::floodmark(dir.path(), &args))
            }
            Self::Embedded => {
                write(&dir, "bench.toml", &case.campaign(server, case.users));
                let args = ["run", "bench.toml", "--result-dir", "result", "--ui", "none"];
                here(&binaries::floodmark(), &args)
            }
            Self::Bare => {
                let program = std::env::current_exe().expect("the path of this program");
                here(&program, &["reader", &server.to_string(), &users, &requests, &body])
            }
            Self::OtherBare(program) => {
                let kind = if case.is_streamed() { "stream" } else { "full" };
                let port = server.port().to_string();
                here(program, &["tokio", &port, &users, &seconds, &tokens, kind, "parse"])
            }
            Self::Peer(Peer::Oha(program)) => {
                let z = format!("{seconds}s");
                let args = ["--no-tui", "-z", &z, "-c", &users, "-m", "POST"];
                let more = ["-T", "application/json", "-d", &body, &url];
                here(program, &[&args[..], &more].concat())
            }
            Self::Peer(Peer::Wrk(program)) => {
                let script = format!(
                    "wrk.method = \"POST\"\nwrk.body = [[{body}]]\n\
                     wrk.headers[\"content-type\"] = \"application/json\"\n"
                );
                write(&dir, "bench.lua", &script);
                let (c, d) = (format!("-c{users}"), format!("-d{seconds}s"));
                here(program, &["-t1", &c, &d, "--timeout", "20s", "-s", "bench.lua", &url])
            }
            Self::Peer(Peer::Vllm { program, tokenizer }) => {
                let base = format!("http://{server}");
                let few = case.requests.min(10_000).to_string();
                let args = [
                    ["bench", "serve"],
                    ["--backend", "openai-chat"],
                    ["--base-url", &base],
                    ["--endpoint", "/v1/chat/completions"],
                    ["--model", "sim"],
                    ["--tokenizer", tokenizer.to_str().expect("a path in UTF-8")],
                    ["--dataset-name", "random"],
                    ["--random-input-len", "8"],
                    ["--random-output-len", &tokens],
                    ["--num-prompts", &few],
                    ["--max-concurrency", &users],
                    ["--ignore-eos", "--disable-tqdm"],
                ];
                here(program, &args.concat())
            }
        };
        Running { agents, main, dir }
    }
}

impl Running {
    pub(crate) fn is_over(&mut self) -> bool {
        !self.main.is_running()
    }

    /// The processes that generate load.
    pub(crate) fn processes(&self) -> Vec<u32> {
        match &self.agents[..] {
            [] => vec![self.main.id()],
            agents => agents.iter().map(Process::id).collect(),
        }
    }

    /// What it said at its end, if it speaks of streams; the words of a client that failed.
    pub(crate) fn report(self) -> Result<Option<Report>, String> {
        let ended = self.main.end(Duration::from_secs(10));
        if ended.code != Some(0) {
            return Err(format!("ended with {:?}: {}", ended.code, last_lines(&ended.stderr)));
        }
        if let Ok(summary) = std::fs::read_to_string(self.dir.path().join("result/summary.json")) {
            let summary: Value = serde_json::from_str(&summary).expect("a summary");
            let level = &summary["levels"][0];
            let requests = &level["requests"];
            if requests["failed"] != 0 || requests["succeeded"] != requests["started"] {
                return Err(format!("not all succeeded: {requests}"));
            }
            return Ok(of_record(&self.dir.path().join("result")));
        }
        let said: Option<Value> = serde_json::from_str(ended.stdout.trim()).ok();
        Ok(said.and_then(|said| report([&said["ttft_ms"], &said["itl_ms"], &said["e2e_ms"]])))
    }
}

/// From the histograms that were stored: the summary leaves out what the samples are too few for,
/// and users in lockstep are few samples.
fn of_record(result: &Path) -> Option<Report> {
    let record = run::load(result);
    let mut total = Tally::default();
    let shares = record.levels.iter().flat_map(|level| &level.shares);
    let seals = shares.filter_map(|share| share.seal.as_ref());
    seals.for_each(|seal| total.merge(&seal.snapshot.tally));
    let latency = |of: &LatencyHist| {
        let ms = |q: f64| Some(of.quantile_us(q)? / 1e3);
        Some(Latency { p50: ms(0.5)?, p99: ms(0.99)? })
    };
    let Latencies { ttft, icl, e2e, .. } = &total.latencies;
    Some(Report { ttft: latency(ttft)?, itl: latency(icl)?, e2e: latency(e2e)? })
}

fn report([ttft, itl, e2e]: [&Value; 3]) -> Option<Report> {
    let latency = |of: &Value| Some(Latency { p50: of["p50"].as_f64()?, p99: of["p99"].as_f64()? });
    Some(Report { ttft: latency(ttft)?, itl: latency(itl)?, e2e: latency(e2e)? })
}

fn start_agent(dir: &TempDir, number: u32, workers: u32) -> (Process, SocketAddr) {
    let (name, workers) = (format!("agent-{number}"), workers.to_string());
    let args = ["serve", "--listen", "127.0.0.1:0", "--name", &name, "--workers", &workers];
    let agent = Process::start(&binaries::floodmark_agent(), dir.path(), &args);
    let address = agent.listens_at();
    (agent, address)
}

fn write(dir: &TempDir, name: &str, text: &str) {
    std::fs::write(dir.path().join(name), text).expect("a file");
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().rev().take(3).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}
