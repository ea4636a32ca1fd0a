//! One client in one case, once: what it cost and did in the steady part of the run, from outside.

use std::fmt;
use std::time::Duration;

use agent::clock::Clock;
use common::time::Tick;

use crate::case::{Case, Kind};
use crate::client::Client;
use crate::host::{self, Cores};
use crate::server::{self, Counts, Server};
use crate::stop;

/// The longest that one run may take.
const LIMIT: Duration = Duration::from_secs(60);
/// Between two looks; processor time is counted in ticks of 10 ms.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The same where a first request is waited for.
const LOOK_OFTEN: Duration = Duration::from_micros(500);

/// A number that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Metric {
    RequestRate,
    RequestCpu,
    ChunkRate,
    ChunkCpu,
    InFlight,
    ClientCore,
    ServerCore,
    OtherCore,
    Rss,
    Start,
    Ttft50,
    Ttft99,
    Itl50,
    Itl99,
    E2e50,
    E2e99,
}

/// What one run gave.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taken(pub(crate) Vec<(Metric, f64)>);

impl Metric {
    /// What it is, with its unit.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::RequestRate => "requests/s",
            Self::RequestCpu => "CPU µs/request",
            Self::ChunkRate => "chunks/s",
            Self::ChunkCpu => "CPU s/100k chunks",
            Self::InFlight => "in flight, by the server",
            Self::ClientCore => "cores used by the client",
            Self::ServerCore => "cores used by the server",
            Self::OtherCore => "cores used by others",
            Self::Rss => "peak RSS MB",
            Self::Start => "start to first request ms",
            Self::Ttft50 => "TTFT p50 error ms",
            Self::Ttft99 => "TTFT p99 error ms",
            Self::Itl50 => "ITL p50 error ms",
            Self::Itl99 => "ITL p99 error ms",
            Self::E2e50 => "E2E p50 error ms",
            Self::E2e99 => "E2E p99 error ms",
        }
    }

    /// A share of the bare reader's says something; of an error it does not.
    pub(crate) fn has_ratio(self) -> bool {
        match self {
            Self::RequestRate | Self::RequestCpu | Self::ChunkRate | Self::ChunkCpu => true,
            Self::InFlight | Self::ClientCore | Self::ServerCore | Self::Rss | Self::Start => true,
            Self::Ttft50 | Self::Ttft99 | Self::Itl50 | Self::Itl99 => false,
            Self::OtherCore | Self::E2e50 | Self::E2e99 => false,
        }
    }
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.0.iter().map(|(metric, value)| format!("{} {value:.3}", metric.label()));
        f.write_str(&parts.collect::<Vec<_>>().join(", "))
    }
}

/// What was seen at one instant.
#[derive(Clone, Copy)]
struct Sample {
    at: Tick,
    counts: Counts,
    client_cpu_s: f64,
    server_cpu_s: f64,
    busy_s: f64,
}

/// Runs a client against a fresh server.
pub(crate) fn run(
    case: &Case,
    client: &Client,
    server: &server::Kind,
    cores: &Cores,
) -> Result<Taken, String> {
    host::on(&[cores.server], || {
        let mut server = server.start(case.pace);
        let clock = Clock::start();
        let mut running = client.start(case, server.address, cores);
        let loaders = running.processes();
        let (mut samples, mut rss, mut first) = (Vec::new(), 0, None);
        let every = if case.kind == Kind::Start { LOOK_OFTEN } else { LOOK_EVERY };
        while !running.is_over() {
            let at = clock.now();
            if at.since(Tick::ZERO) > LIMIT || stop::is_wanted() {
                return Err(format!("stopped after {:.1} s", at.since(Tick::ZERO).as_secs_f64()));
            }
            let counts = server.counts();
            first = first.or((counts.received > 0).then(|| clock.now()));
            let client_cpu_s: Option<f64> = loaders.iter().map(|id| host::cpu_s(*id)).sum();
            let server_cpu_s = host::cpu_s(server.process());
            let (busy_s, both) = (host::busy_s(), client_cpu_s.zip(server_cpu_s));
            if let (Some(busy_s), Some((client_cpu_s, server_cpu_s))) = (busy_s, both) {
                samples.push(Sample { at, counts, client_cpu_s, server_cpu_s, busy_s });
            }
            let now: u64 = loaders.iter().filter_map(|id| host::rss_peak(*id)).sum();
            rss = rss.max(now);
            std::thread::sleep(every);
        }
        let report = running.report()?;
        let completed = server.counts().completed;
        let mut taken = Taken::default();
        let mut add = |metric, value| taken.0.push((metric, value));
        add(Metric::Rss, rss as f64 / 1e6);
        if case.kind == Kind::Start {
            let first = first.ok_or("no request was seen")?;
            add(Metric::Start, first.since(Tick::ZERO).as_secs_f64() * 1e3);
            return Ok(taken);
        }
        if case.kind == Kind::Memory {
            return Ok(taken);
        }
        let steady = Steady::of(&samples, completed).ok_or("no steady part")?;
        if case.is_streamed() {
            let tokens = f64::from(case.tokens);
            add(Metric::ChunkRate, steady.rate() * tokens);
            add(Metric::ChunkCpu, steady.cpu_s_per_request() / tokens * 1e5);
        } else {
            add(Metric::RequestRate, steady.rate());
            add(Metric::RequestCpu, steady.cpu_s_per_request() * 1e6);
        }
        // A server that answers at once has answered whenever it is asked.
        if !case.pace.ttft.is_zero() {
            add(Metric::InFlight, steady.in_flight);
        }
        add(Metric::ClientCore, steady.client_core);
        add(Metric::ServerCore, steady.server_core);
        add(Metric::OtherCore, steady.other_core);
        errors(case, report, server, &mut taken);
        Ok(taken)
    })
}

/// How far the client's report is from what the server did.
fn errors(case: &Case, report: Option<crate::client::Report>, server: Server, taken: &mut Taken) {
    let Some(report) = report else { return };
    let truth = match case.kind {
        Kind::Fidelity | Kind::Agents | Kind::Workers => server.truth(),
        Kind::Requests | Kind::Coalesced | Kind::Paced | Kind::InFlight => return,
        Kind::Memory | Kind::Start => return,
    };
    let mut add = |metric, seen: f64, true_: f64| taken.0.push((metric, seen - true_));
    add(Metric::Ttft50, report.ttft.p50, truth.ttft.p50);
    add(Metric::Ttft99, report.ttft.p99, truth.ttft.p99);
    // Single gaps are the mean ones in lockstep only.
    if case.pace.jitter == 0.0 {
        add(Metric::Itl50, report.itl.p50, truth.itl.p50);
        add(Metric::Itl99, report.itl.p99, truth.itl.p99);
    }
    add(Metric::E2e50, report.e2e.p50, truth.e2e.p50);
    add(Metric::E2e99, report.e2e.p99, truth.e2e.p99);
}

/// The part of a run between a fifth and four fifths of its requests.
struct Steady {
    requests: f64,
    seconds: f64,
    client_cpu_s: f64,
    in_flight: f64,
    client_core: f64,
    server_core: f64,
    other_core: f64,
}

impl Steady {
    fn of(samples: &[Sample], completed: u64) -> Option<Self> {
        let crossed = |share: f64| {
            let count = share * completed as f64;
            samples.iter().position(|sample| sample.counts.completed as f64 >= count)
        };
        let (from, to) = (crossed(0.2)?, crossed(0.8)?);
        let (first, last) = (samples[from], samples[to]);
        let requests = last.counts.completed.checked_sub(first.counts.completed)? as f64;
        let seconds = last.at.since(first.at).as_secs_f64();
        if requests == 0.0 || seconds == 0.0 {
            return None;
        }
        let within = &samples[from..to];
        let in_flight: u64 = within.iter().map(|sample| sample.counts.in_flight).sum();
        let client_cpu_s = last.client_cpu_s - first.client_cpu_s;
        let server_cpu_s = last.server_cpu_s - first.server_cpu_s;
        let other_cpu_s = last.busy_s - first.busy_s - client_cpu_s - server_cpu_s;
        Some(Self {
            requests,
            seconds,
            client_cpu_s,
            in_flight: in_flight as f64 / within.len() as f64,
            client_core: client_cpu_s / seconds,
            server_core: server_cpu_s / seconds,
            other_core: other_cpu_s / seconds,
        })
    }

    fn rate(&self) -> f64 {
        self.requests / self.seconds
    }

    fn cpu_s_per_request(&self) -> f64 {
        self.client_cpu_s / self.requests
    }
}
