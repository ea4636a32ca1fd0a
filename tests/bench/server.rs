//! The server under load: floodmark's simulator, or another program with the same pages.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::process::Process;
use harness::{binaries, poll};
use serde_json::Value;
use tempfile::TempDir;

use crate::case::Pace;

/// Which program it is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// `floodmark-agent sim`.
    Own(PathBuf),
    /// A program that counts in the same way, and writes a line for each request.
    Other(PathBuf),
}

/// A server that runs for as long as this is held.
pub(crate) struct Server {
    process: Process,
    pub(crate) address: SocketAddr,
    pages: BufReader<TcpStream>,
    /// Where the other program writes its lines.
    log: Option<PathBuf>,
    _dir: TempDir,
}

/// What it has counted so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) received: u64,
    pub(crate) completed: u64,
    pub(crate) in_flight: u64,
}

/// What it did, in milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Truth {
    pub(crate) ttft: Latency,
    pub(crate) itl: Latency,
    pub(crate) e2e: Latency,
}

/// A latency in short.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Kind {
    pub(crate) fn new(other: Option<PathBuf>) -> Self {
        other.map_or_else(|| Self::Own(binaries::floodmark_agent()), Self::Other)
    }

    /// Its name in the table.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Own(_) => "floodmark-agent sim".to_owned(),
            Self::Other(path) => name(path),
        }
    }

    /// Starts it and waits until it answers.
    pub(crate) fn start(&self, pace: Pace) -> Server {
        let address = free_address();
        let dir = tempfile::tempdir().expect("a directory");
        let Pace { ttft, itl, jitter } = pace;
        let (ttft, itl, jitter) = (ttft.as_millis(), itl.as_millis(), jitter.to_string());
        let (program, args, log) = match self {
            Self::Own(program) => {
                let address = address.to_string();
                let (ttft, itl) = (format!("{ttft}ms"), format!("{itl}ms"));
                let args = ["sim", "--listen", &address, "--ttft", &ttft, "--itl", &itl];
                let args = args.map(str::to_owned).into_iter().chain(["--jitter".into(), jitter]);
                (program, args.collect::<Vec<_>>(), None)
            }
            Self::Other(program) => {
                let log = dir.path().join("log.csv");
                let (port, log_name) = (address.port().to_string(), log.display().to_string());
                let (ttft, itl) = (ttft.to_string(), itl.to_string());
                let args = [
                    ["--port", &port],
                    ["--model", "sim"],
                    ["--ttft-ms", &ttft],
                    ["--itl-ms", &itl],
                    ["--jitter", &jitter],
                    ["--log", &log_name],
                ];
                (program, args.concat().into_iter().map(str::to_owned).collect(), Some(log))
            }
        };
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let process = Process::start(program, dir.path(), &args);
        let pages = poll::until("the server listens", Duration::from_secs(5), || {
            TcpStream::connect(address).ok()
        });
        pages.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
        Server { process, address, pages: BufReader::new(pages), log, _dir: dir }
    }
}

impl Server {
    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn counts(&mut self) -> Counts {
        let page = self.page("/counts");
        let number = |names: [&str; 2]| {
            let value = names.iter().find_map(|name| page[*name].as_u64());
            value.unwrap_or_else(|| panic!("/counts has none of {names:?}: {page}"))
        };
        Counts {
            received: number(["received", "requests"]),
            completed: number(["completed", "completed"]),
            in_flight: number(["in_flight", "inflight"]),
        }
    }

    /// What it did for every stream that it completed.
    pub(crate) fn truth(mut self) -> Truth {
        match self.log.clone() {
            None => of_ledger(&self.page("/truth")),
            Some(log) => {
                let page = self.page("/truth");
                let ms = |name: &str| page["hist"]["gap_ns"][name].as_f64().expect("a gap");
                let itl = Latency { p50: ms("p50_ms"), p99: ms("p99_ms") };
                self.process.signal(harness::process::Signal::TERM);
                self.process.end(Duration::from_secs(10));
                let (ttft, e2e) = of_lines(&std::fs::read_to_string(log).expect("a log"));
                Truth { ttft, itl, e2e }
            }
        }
    }

    fn page(&mut self, path: &str) -> Value {
        let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n");
        self.pages.get_mut().write_all(request.as_bytes()).expect("the server is there");
        let (mut length, mut chunked) = (None, false);
        loop {
            let line = self.line().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok();
            }
            chunked |= line == "transfer-encoding: chunked";
        }
        let mut body = Vec::new();
        if chunked {
            loop {
                let size = usize::from_str_radix(&self.line(), 16).expect("a chunk");
                self.take(size, &mut body);
                self.line();
                if size == 0 {
                    break;
                }
            }
        } else {
            self.take(length.expect("a length"), &mut body);
        }
        serde_json::from_slice(&body).expect("a page of JSON")
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.pages.read_line(&mut line).expect("a line of a page");
        line.trim_end().to_owned()
    }

    fn take(&mut self, count: usize, body: &mut Vec<u8>) {
        let start = body.len();
        body.resize(start + count, 0);
        self.pages.read_exact(&mut body[start..]).expect("a page");
    }
}

/// A port that nobody listens on.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address")
}

/// The name of a program.
pub(crate) fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// From the ledger. It knows no single gap, so the mean gap of each stream stands for all of it.
fn of_ledger(page: &Value) -> Truth {
    let (mut ttft, mut itl, mut e2e) = (Vec::new(), Vec::new(), Vec::new());
    for request in page["requests"].as_array().expect("a ledger") {
        let at = |name: &str| request[name].as_f64();
        let tokens = at("tokens").expect("a number");
        let marks = (at("arrival_ns"), at("first_token_ns"), at("last_token_ns"));
        let (Some(arrival), Some(first), Some(last)) = marks else { continue };
        if request["ending"] == "completed" && tokens > 1.0 {
            ttft.push(first - arrival);
            itl.push((last - first) / (tokens - 1.0));
            e2e.push(last - arrival);
        }
    }
    Truth { ttft: latency(ttft), itl: latency(itl), e2e: latency(e2e) }
}

/// Times to first and last token, from lines of `seq,recv_unix_ns,queue_ns,ttfc_ns,e2e_ns,
/// prompt_tokens,sent_tokens,stream,status`.
fn of_lines(text: &str) -> (Latency, Latency) {
    let rows = text.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
    let rows: Vec<_> = rows.filter(|row| row.len() == 9 && row[7] == "1").collect();
    let column = |place: usize| {
        let number = |row: &Vec<&str>| row[place].parse().expect("nanoseconds");
        latency(rows.iter().map(number).collect())
    };
    (column(3), column(4))
}

fn latency(mut ns: Vec<f64>) -> Latency {
    ns.sort_by(f64::total_cmp);
    let rank = |q: f64| ((q * ns.len() as f64).ceil() as usize).saturating_sub(1);
    let ms = |q: f64| ns.get(rank(q)).copied().unwrap_or(f64::NAN) / 1e6;
    Latency { p50: ms(0.5), p99: ms(0.99) }
}
