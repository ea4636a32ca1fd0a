//! What is measured: the load of each case, how the server answers, and which numbers are taken.

use std::time::Duration;

/// One load, and what is asked of it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) users: u32,
    /// Requests of all users together; a client that knows no count loads for [`Case::seconds`].
    pub(crate) requests: u64,
    /// Tokens of an answer; an answer of one token is not streamed.
    pub(crate) tokens: u32,
    pub(crate) pace: Pace,
    pub(crate) kind: Kind,
}

/// How the server answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) ttft: Duration,
    pub(crate) itl: Duration,
    pub(crate) jitter: f64,
}

/// What a case compares, and which numbers say something in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Requests per second, and what one costs.
    Requests,
    /// Chunks per second that come many at a time, and what they cost.
    Coalesced,
    /// What chunks cost that come one at a time.
    Paced,
    /// The same, and how far the client's report is from the truth.
    Fidelity,
    /// Whether as many requests are in flight as asked for.
    InFlight,
    /// Memory.
    Memory,
    /// From the start of the process to the first request.
    Start,
    /// Four agents against one, each with as many users.
    Agents,
    /// Two workers on two cores against one on one.
    Workers,
}

const AT_ONCE: Pace = Pace { ttft: Duration::ZERO, itl: Duration::ZERO, jitter: 0.0 };

const fn pace(ttft_ms: u64, itl_ms: u64, jitter: f64) -> Pace {
    Pace { ttft: Duration::from_millis(ttft_ms), itl: Duration::from_millis(itl_ms), jitter }
}

/// Every case, in order.
///
/// In lockstep a wave of answers ends at once, so five waves have three whole ones between a fifth
/// and four fifths of the requests.
pub(crate) fn all() -> Vec<Case> {
    let requests = |name, users| Case {
        name,
        about: "whole answers of one token, at once",
        users,
        requests: 200_000,
        tokens: 1,
        pace: AT_ONCE,
        kind: Kind::Requests,
    };
    let coalesced = |name, users| Case {
        name,
        about: "streams of 100 tokens, all at once",
        users,
        requests: 30_000,
        tokens: 100,
        pace: AT_ONCE,
        kind: Kind::Coalesced,
    };
    let paced = |name, about, users: u32, pace, kind| Case {
        name,
        about,
        users,
        requests: u64::from(users) * 5,
        tokens: 100,
        pace,
        kind,
    };
    let memory = |name, users: u32| Case {
        requests: u64::from(users) * 3,
        tokens: 20,
        ..paced(name, "streams of 20 tokens in 4.8 s", users, pace(1000, 200, 0.2), Kind::Memory)
    };
    vec![
        requests("requests-100", 100),
        requests("requests-1000", 1000),
        requests("requests-2000", 2000),
        coalesced("coalesced-100", 100),
        coalesced("coalesced-1000", 1000),
        paced(
            "paced-1000",
            "streams of 100 tokens, one every 20 ms, in lockstep",
            1000,
            pace(200, 20, 0.0),
            Kind::Fidelity,
        ),
        paced(
            "paced-jitter-1000",
            "the same, each token at its own time",
            1000,
            pace(200, 20, 0.2),
            Kind::Paced,
        ),
        paced(
            "in-flight-2000",
            "streams of 100 tokens, one every 40 ms, in lockstep",
            2000,
            pace(200, 40, 0.0),
            Kind::InFlight,
        ),
        memory("memory-1000", 1000),
        memory("memory-10000", 10_000),
        Case {
            requests: 10,
            tokens: 1,
            ..paced("start", "from exec to the first request", 1, AT_ONCE, Kind::Start)
        },
        paced(
            "agents-4x250",
            "four agents of 250 users on one core against one such agent",
            250,
            pace(200, 20, 0.0),
            Kind::Agents,
        ),
        paced(
            "workers-2",
            "1,000 users on two workers of two cores against one worker of one",
            1000,
            pace(200, 20, 0.2),
            Kind::Workers,
        ),
    ]
}

impl Case {
    /// The same with less load, where the load is not what is measured.
    pub(crate) fn quick(self) -> Self {
        match self.kind {
            Kind::Requests | Kind::Coalesced => Self { requests: self.requests / 5, ..self },
            Kind::Paced | Kind::Fidelity | Kind::InFlight | Kind::Memory => self,
            Kind::Start | Kind::Agents | Kind::Workers => self,
        }
    }

    /// How long a client loads that knows no count: as many waves as the others make, so that it
    /// takes up the last one just in time, or a while where there are none.
    pub(crate) fn seconds(&self) -> u64 {
        let Pace { ttft, itl, .. } = self.pace;
        let wave_s = (ttft + itl * self.tokens.saturating_sub(1)).as_secs_f64();
        let waves = self.requests as f64 / f64::from(self.users);
        if wave_s == 0.0 { 4 } else { (wave_s * (waves - 0.5)).round() as u64 }
    }

    pub(crate) fn is_streamed(&self) -> bool {
        self.tokens > 1
    }

    /// The campaign that loads `target` like this.
    pub(crate) fn campaign(&self, target: std::net::SocketAddr, users: u32) -> String {
        let Self { requests, tokens, .. } = self;
        let requests = requests * u64::from(users) / u64::from(self.users);
        let stream = self.is_streamed();
        format!(
            r#"
name = "bench"
mode = "paper"
seed = 42

[target]
base_urls     = ["http://{target}"]
model         = "sim"
stream        = {stream}
ready_timeout = "5s"

[workloads.short]
input_tokens  = 4
output_tokens = {tokens}
forced_length = true
cache         = "cold"
lengths       = "characters"

[phases]
scaling = {{ users = [{users}], requests = [{requests}], workload = "short", cooldown = "0s" }}
"#
        )
    }

    /// The body of the request of a client that sends the same again and again.
    pub(crate) fn body(&self) -> String {
        let stream = if self.is_streamed() {
            r#","stream":true,"stream_options":{"include_usage":true}"#
        } else {
            ""
        };
        format!(
            r#"{{"model":"sim","messages":[{{"role":"user","content":"hello, world: 16"}}],"max_tokens":{}{stream}}}"#,
            self.tokens
        )
    }
}
