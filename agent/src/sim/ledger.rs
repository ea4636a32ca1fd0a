//! What a simulated server truly did, request by request: what a client's figures are checked
//! against. It is touched once when a request begins and once when it ends, never per token.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use common::time::Tick;
use serde::{Serialize, Serializer};

use super::model::Sequence;
use super::profile::Fault;
use crate::clock::Clock;

/// Entries that are kept; later requests are counted in the totals only.
pub const ENTRIES_MAX: usize = 1_000_000;

/// The ledger of one simulated server. Clones are the same ledger; any thread may read it.
///
/// A request enters it just after the last byte of its reply was written, so a reader on another
/// thread may find that a request which its client has seen end is still in flight. Whoever needs
/// all of them stops the server first, or asks the server itself (`GET /counts`, `GET /truth`).
#[derive(Clone, Debug)]
pub struct LedgerHandle {
    clock: Clock,
    book: Arc<Mutex<Book>>,
}

/// The truth about one request. Ticks count from the start of the simulator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its number in the order of arrival, from 0.
    #[serde(serialize_with = "sequence")]
    pub sequence: Sequence,
    /// When the last byte of the request had been read; where it has images, when all of these were
    /// there, too.
    #[serde(rename = "arrival_ns", serialize_with = "tick")]
    pub arrival: Tick,
    /// Time spent waiting for a slot.
    pub queue_wait_ns: u64,
    /// Just before the first token was written.
    #[serde(rename = "first_token_ns", serialize_with = "maybe_tick")]
    pub first_token: Option<Tick>,
    /// Just before the newest token was written.
    #[serde(rename = "last_token_ns", serialize_with = "maybe_tick")]
    pub last_token: Option<Tick>,
    /// When the reply had been written, or had been given up.
    #[serde(rename = "end_ns", serialize_with = "tick")]
    pub end: Tick,
    /// Tokens written. Those of a reply that is not a stream are written together, at its end.
    pub tokens: u32,
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Which of the adapters it named, from 0; `None` for the model itself.
    pub adapter: Option<u16>,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// The HTTP status; `None` if the client had left before one was written.
    pub status: Option<u16>,
    /// How it ended.
    pub ending: Ending,
    /// The first eight bytes of the SHA-256 of the request's body, so that two sets of requests
    /// can be compared.
    #[serde(serialize_with = "hex")]
    pub body_hash: u64,
    /// The same of the files of its images.
    #[serde(serialize_with = "hexes", skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<u64>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// The whole reply was written.
    Completed,
    /// A fault changed the reply, whoever ended it.
    Injected(Fault),
    /// The client left before the end.
    ClientLeft,
    /// The request was not understood and answered with 400, or named no model that is served and
    /// was answered with 404.
    BadRequest,
    /// The simulator was stopped before the end.
    Stopped,
}

/// Sums over all requests since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// When these sums were true.
    #[serde(serialize_with = "tick", rename = "now_ns")]
    pub now: Tick,
    /// Connections accepted.
    pub connections: u64,
    /// Requests for completions, understood or not.
    pub received: u64,
    /// Those that ended with [`Ending::Completed`].
    pub completed: u64,
    /// Those that have ended, by ending; they sum to `received - in_flight`.
    pub by_ending: BTreeMap<Ending, Sum>,
    /// Prompt tokens of all that have ended.
    pub prompt_tokens: u64,
    /// Tokens written, of all that have ended.
    pub completion_tokens: u64,
    /// Requests between their arrival and their end.
    pub in_flight: u64,
    /// The most that were in flight at once.
    pub in_flight_peak: u64,
    /// The exact integral of `in_flight` over time. Its growth between two readings, divided by
    /// the growth of `now_ns`, is the mean number in flight.
    pub in_flight_integral_ns: u64,
    /// Entries kept.
    pub entries: u64,
    /// Requests that ended after [`ENTRIES_MAX`] entries had been made.
    pub entries_left_out: u64,
}

/// Sums over the requests of one ending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// How many.
    pub requests: u64,
    /// Their prompt tokens.
    pub prompt_tokens: u64,
    /// The tokens written.
    pub completion_tokens: u64,
}

#[derive(Debug, Default)]
struct Book {
    /// Without what depends on the time of reading.
    totals: Totals,
    /// Time in flight of the requests that have ended.
    ended_ns: u128,
    /// The sum of the arrivals of those that have not.
    open_arrivals_ns: u128,
    entries: Vec<Entry>,
}

impl LedgerHandle {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, book: Arc::default() }
    }

    /// The sums at this moment.
    pub fn totals(&self) -> Totals {
        let book = self.book();
        book.totals(self.clock.now())
    }

    /// At most `count` entries from place `from` on, in the order in which the requests ended.
    pub fn entries(&self, from: usize, count: usize) -> Vec<Entry> {
        let book = self.book();
        book.entries.iter().skip(from).take(count).cloned().collect()
    }

    /// The ledger as JSON, in pieces of bounded size: `{"schema_version":1,"totals":{…},
    /// "requests":[…]}`. Requests that end while it is read are left out.
    pub fn json(&self) -> impl Iterator<Item = Vec<u8>> + use<> {
        let totals = self.totals();
        let count = usize::try_from(totals.entries).unwrap_or(usize::MAX);
        let mut head = br#"{"schema_version":1,"totals":"#.to_vec();
        write_json(&mut head, &totals);
        head.extend_from_slice(br#","requests":["#);
        let ledger = self.clone();
        let batches = (0..count).step_by(BATCH).map(move |from| {
            let mut piece = Vec::new();
            for (place, entry) in ledger.entries(from, BATCH.min(count - from)).iter().enumerate() {
                piece.extend_from_slice(if from + place == 0 { b"\n" } else { b",\n" });
                write_json(&mut piece, entry);
            }
            piece
        });
        std::iter::once(head).chain(batches).chain(std::iter::once(b"\n]}\n".to_vec()))
    }

    /// Writes [`json`](Self::json) to `path`, which never holds half a ledger: the text goes to a
    /// file beside it first.
    pub fn write_file(&self, path: &Path) -> io::Result<()> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".tmp");
        let beside = PathBuf::from(beside);
        let mut file = io::BufWriter::new(std::fs::File::create(&beside)?);
        self.json().try_for_each(|piece| file.write_all(&piece))?;
        file.into_inner().map_err(io::Error::from)?.sync_all()?;
        std::fs::rename(&beside, path)
    }

    pub(super) fn connected(&self) {
        self.book().totals.connections += 1;
    }

    /// Counts a request in.
    pub(super) fn begin(&self, arrival: Tick) -> Sequence {
        self.book().begin(arrival)
    }

    /// Counts a request out; `entry.end` is its end.
    pub(super) fn end(&self, entry: Entry) {
        self.book().end(entry);
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing panics while the lock is held, and a book is whole after every line.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn begin(&mut self, arrival: Tick) -> Sequence {
        self.open_arrivals_ns += u128::from(arrival.0);
        let totals = &mut self.totals;
        let sequence = Sequence(totals.received);
        totals.received += 1;
        totals.in_flight += 1;
        totals.in_flight_peak = totals.in_flight_peak.max(totals.in_flight);
        sequence
    }

    fn end(&mut self, entry: Entry) {
        let arrival_ns = u128::from(entry.arrival.0);
        self.open_arrivals_ns = self.open_arrivals_ns.saturating_sub(arrival_ns);
        self.ended_ns += u128::from(entry.end.ns_since(entry.arrival));
        let totals = &mut self.totals;
        let tokens = u64::from(entry.tokens);
        totals.in_flight = totals.in_flight.saturating_sub(1);
        totals.prompt_tokens = totals.prompt_tokens.saturating_add(entry.prompt_tokens);
        totals.completion_tokens += tokens;
        totals.completed += u64::from(entry.ending == Ending::Completed);
        let sum = totals.by_ending.entry(entry.ending).or_default();
        sum.requests += 1;
        sum.prompt_tokens = sum.prompt_tokens.saturating_add(entry.prompt_tokens);
        sum.completion_tokens += tokens;
        if self.entries.len() < ENTRIES_MAX {
            self.entries.push(entry);
            totals.entries += 1;
        } else {
            totals.entries_left_out += 1;
        }
    }

    /// The sums at `now`. The integral follows from arrivals and ends alone, so that it is exact in
    /// whatever order they were written down.
    fn totals(&self, now: Tick) -> Totals {
        let mut totals = self.totals.clone();
        let open_ns = (u128::from(totals.in_flight) * u128::from(now.0))
            .saturating_sub(self.open_arrivals_ns);
        let integral_ns = self.ended_ns.saturating_add(open_ns);
        totals.in_flight_integral_ns = u64::try_from(integral_ns).unwrap_or(u64::MAX);
        totals.now = now;
        totals
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed => f.write_str("completed"),
            Self::Injected(fault) => write!(f, "injected({fault})"),
            Self::ClientLeft => f.write_str("client_left"),
            Self::BadRequest => f.write_str("bad_request"),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

impl Serialize for Ending {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Entries in one piece of JSON: about 300 kB.
const BATCH: usize = 1000;

/// Writing plain structs to memory has nothing to fail on.
fn write_json(out: &mut Vec<u8>, value: &impl Serialize) {
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok());
}

fn sequence<S: Serializer>(sequence: &Sequence, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(sequence.0)
}

fn tick<S: Serializer>(tick: &Tick, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(tick.0)
}

fn maybe_tick<S: Serializer>(tick: &Option<Tick>, serializer: S) -> Result<S::Ok, S::Error> {
    tick.map(|tick| tick.0).serialize(serializer)
}

/// As text: many readers of JSON lose digits of numbers above 2^53.
fn hex<S: Serializer>(hash: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{hash:016x}"))
}

fn hexes<S: Serializer>(hashes: &[u64], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(hashes.iter().map(|hash| format!("{hash:016x}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(sequence: Sequence, arrival: Tick, end: Tick) -> Entry {
        Entry {
            sequence,
            arrival,
            queue_wait_ns: 0,
            first_token: Some(Tick(2)),
            last_token: None,
            end,
            tokens: 3,
            prompt_tokens: 7,
            adapter: None,
            stream: true,
            status: Some(200),
            ending: Ending::Injected(Fault::RateLimit),
            body_hash: 0xab,
            images: Vec::new(),
        }
    }

    proptest! {
        /// Against the sum over all requests of the time that they have been in flight.
        #[test]
        fn the_integral_is_exact_at_every_instant(
            spans in prop::collection::vec((0u64..1000, 0u64..1000), 0..60)
        ) {
            let mut events = Vec::new();
            for &(start, length) in &spans {
                events.extend([(start, true, start), (start + length, false, start)]);
            }
            events.sort_by_key(|&(at, begins, _)| (at, !begins));
            let mut book = Book::default();
            let (mut open, mut peak) = (0, 0);
            for (at, begins, start) in events {
                if begins {
                    book.begin(Tick(at));
                    open += 1;
                } else {
                    book.end(entry(Sequence(0), Tick(start), Tick(at)));
                    open -= 1;
                }
                peak = peak.max(open);
                let totals = book.totals(Tick(at));
                let times = spans.iter().map(|(start, length)| at.saturating_sub(*start).min(*length));
                prop_assert_eq!(totals.in_flight_integral_ns, times.sum::<u64>());
                prop_assert_eq!((totals.in_flight, totals.in_flight_peak), (open, peak));
            }
            let ended: u64 = book.totals.by_ending.values().map(|sum| sum.requests).sum();
            prop_assert_eq!(ended, book.totals.received);
            prop_assert_eq!(book.totals.entries as usize, book.entries.len());
        }
    }

    #[test]
    fn the_json_has_every_entry_once_across_its_pieces() {
        let ledger = LedgerHandle::new(Clock::start());
        for _ in 0..2 * BATCH + 1 {
            let sequence = ledger.begin(Tick(1));
            ledger.end(entry(sequence, Tick(1), Tick(9)));
        }
        let text: Vec<u8> = ledger.json().flatten().collect();
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let requests = value["requests"].as_array().unwrap();
        let sequences: Vec<_> = requests.iter().map(|r| r["sequence"].as_u64()).collect();
        let expected: Vec<_> = (0..2 * BATCH as u64 + 1).map(Some).collect();
        assert_eq!(sequences, expected);
        assert_eq!(value["totals"]["entries"], 2 * BATCH + 1);
        insta::assert_snapshot!(requests[0], @r#"{"adapter":null,"arrival_ns":1,"body_hash":"00000000000000ab","end_ns":9,"ending":"injected(rate-limit)","first_token_ns":2,"last_token_ns":null,"prompt_tokens":7,"queue_wait_ns":0,"sequence":0,"status":200,"stream":true,"tokens":3}"#);
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("truth.json");
        let ledger = LedgerHandle::new(Clock::start());
        ledger.write_file(&path).unwrap();
        ledger.connected();
        ledger.write_file(&path).unwrap();
        let value: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(value["totals"]["connections"], 1);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
