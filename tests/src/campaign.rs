//! Campaign files for tests.

use std::net::SocketAddr;

/// A campaign of SCALING levels against one server.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// The server.
    pub target: SocketAddr,
    /// The seed.
    pub seed: u64,
    /// The API that is called.
    pub endpoint: &'static str,
    /// Ask for streams.
    pub stream: bool,
    /// How many requests a connection carries.
    pub connection: &'static str,
    /// The version of HTTP.
    pub http: &'static str,
    /// Longest silence in an answer.
    pub idle: &'static str,
    /// Longest answer.
    pub total: &'static str,
    /// Users and requests of each level.
    pub levels: Vec<(u32, u64)>,
    /// How long each level is measured; `None`: it makes its requests.
    pub window: Option<&'static str>,
    /// Prompt length.
    pub input_tokens: u32,
    /// Answer length.
    pub output_tokens: u32,
    /// Whether answers must have that length; nothing is said of it, nor of the length, for
    /// `embeddings`.
    pub forced_length: bool,
    /// `cold` or `replay`.
    pub cache: &'static str,
    /// `characters`, or `measured`: then the server is asked before the first level.
    pub lengths: &'static str,
}

impl Campaign {
    /// One level of `users` users with `requests` short requests.
    pub fn new(target: SocketAddr, users: u32, requests: u64) -> Self {
        Self {
            target,
            seed: 42,
            endpoint: "chat",
            stream: true,
            connection: "keep-alive",
            http: "1.1",
            idle: "20s",
            total: "60s",
            levels: vec![(users, requests)],
            window: None,
            input_tokens: 12,
            output_tokens: 6,
            forced_length: true,
            cache: "cold",
            lengths: "characters",
        }
    }

    /// A level whose requests last far longer than a test, for [`crate::simulator::slow`].
    pub fn long(target: SocketAddr, users: u32) -> Self {
        Self {
            output_tokens: 5_000,
            total: "300s",
            ..Self::new(target, users, u64::from(users) * 20)
        }
    }

    /// A level of many requests of about a fifth of a second, for [`crate::simulator::slow`].
    pub fn busy(target: SocketAddr, users: u32) -> Self {
        Self { output_tokens: 10, ..Self::new(target, users, u64::from(users) * 1000) }
    }

    /// The file.
    pub fn text(&self) -> String {
        let Self { target, seed, endpoint, stream, connection, http, idle, total, .. } = self;
        let Self {
            levels, window, input_tokens, output_tokens, forced_length, cache, lengths, ..
        } = self;
        let (users, requests): (Vec<u32>, Vec<u64>) = levels.iter().copied().unzip();
        let (mode, ends) = match window {
            Some(length) => ("mode = \"floodmark\"\n", format!("duration = \"{length}\"")),
            None => ("", format!("requests = {requests:?}")),
        };
        let output = if *endpoint == "embeddings" {
            String::new()
        } else {
            format!("output_tokens = {output_tokens}\nforced_length = {forced_length}\n")
        };
        format!(
            r#"
name = "e2e"
{mode}seed = {seed}

[target]
base_urls     = ["http://{target}"]
model         = "sim"
endpoint      = "{endpoint}"
stream        = {stream}
connection    = "{connection}"
http          = "{http}"
ready_timeout = "5s"
timeouts      = {{ connect = "5s", first_byte = "20s", idle = "{idle}", total = "{total}" }}

[workloads.short]
input_tokens  = {input_tokens}
{output}cache         = "{cache}"
lengths       = "{lengths}"

[phases]
scaling = {{ users = {users:?}, {ends}, workload = "short", cooldown = "0s" }}
"#
        )
    }
}
