//! What the connections of a simulated server share: the model, the ledger and a few counters.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use common::digest::Digest;
use common::time::Tick;
use tokio::sync::oneshot;

use super::api::Ask;
use super::count::Counting;
use super::ledger::{Ending, Entry, LedgerHandle};
use super::model::{Admission, Model, Plan, Refusal, Sequence};
use super::names::Names;
use super::profile::{Fault, Profile};
use crate::clock::Clock;

/// Shared by all connections. Its locks are taken when a request begins and when it ends.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) clock: Clock,
    pub(super) names: Names,
    pub(super) images_max: u32,
    pub(super) counting: Counting,
    context: u64,
    pub(super) ledger: LedgerHandle,
    hall: Mutex<Hall>,
    active: AtomicU32,
    prefilled: AtomicU64,
    generated: AtomicU64,
    finished: AtomicU64,
}

#[derive(Debug)]
struct Hall {
    model: Model,
    waiters: HashMap<Sequence, oneshot::Sender<Plan>>,
}

/// Load at one moment, and tokens so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gauges {
    pub(super) running: u32,
    pub(super) waiting: usize,
    pub(super) prompt_tokens: u64,
    pub(super) generated_tokens: u64,
    pub(super) finished: u64,
}

impl Desk {
    pub(super) fn new(clock: Clock, profile: Profile) -> Self {
        Self {
            clock,
            names: Names::new(profile.model.clone(), profile.adapters.clone()),
            images_max: profile.images_max,
            counting: profile.counting,
            context: profile.context,
            ledger: LedgerHandle::new(clock),
            hall: Mutex::new(Hall { model: Model::new(profile), waiters: HashMap::new() }),
            active: AtomicU32::new(0),
            prefilled: AtomicU64::new(0),
            generated: AtomicU64::new(0),
            finished: AtomicU64::new(0),
        }
    }

    /// What is asked for, unless it is more than the model can take.
    pub(super) fn admit(&self, ask: Ask) -> Result<Ask, String> {
        let (limit, prompt) = (self.context, ask.prompt_tokens);
        let asked = prompt.saturating_add(ask.tokens.into());
        if limit == 0 || asked <= limit {
            return Ok(ask);
        }
        Err(format!(
            "this model's context is {limit} tokens, and {asked} were asked for: {prompt} in the \
             prompt and {} in the answer",
            ask.tokens
        ))
    }

    /// Requests that hold a slot.
    pub(super) fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    pub(super) fn gauges(&self) -> Gauges {
        let hall = self.hall();
        Gauges {
            running: hall.model.active(),
            waiting: hall.model.waiting(),
            prompt_tokens: self.prefilled.load(Ordering::Relaxed),
            generated_tokens: self.generated.load(Ordering::Relaxed),
            finished: self.finished.load(Ordering::Relaxed),
        }
    }

    /// Records a request that was not understood, or asks for what there is not.
    pub(super) fn refuse_bad(&self, arrival: Tick, body: &[u8], status: u16) {
        let sequence = self.ledger.begin(arrival);
        let mut entry = entry(sequence, arrival, body);
        entry.end = self.clock.now();
        entry.status = Some(status);
        entry.ending = Ending::BadRequest;
        self.ledger.end(entry);
    }

    fn leave(&self, sequence: Sequence, now: Tick) {
        let mut hall = self.hall();
        hall.waiters.remove(&sequence);
        if let Some(plan) = hall.model.leave(sequence, now)
            && let Some(waiter) = hall.waiters.remove(&plan.sequence)
        {
            // If that one is about to leave too, its own leaving frees the slot again.
            let _unheard = waiter.send(plan);
        }
        self.active.store(hall.model.active(), Ordering::Relaxed);
    }

    fn hall(&self) -> MutexGuard<'_, Hall> {
        // Nothing panics while the lock is held.
        self.hall.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request in progress. However it ends, it leaves the model and enters the ledger exactly once:
/// when it is dropped. Unless it was said how it ended, the simulator was stopped.
#[derive(Debug)]
pub(super) struct OpenRequest {
    desk: Arc<Desk>,
    entry: Entry,
    granted: Option<Tick>,
    injected: Option<Fault>,
    /// What is made are tokens.
    generates: bool,
}

/// What becomes of a request, with the place in the line if there is one.
#[derive(Debug)]
pub(super) enum Turn {
    Refused(Refusal),
    Now(Plan),
    Later(oneshot::Receiver<Plan>),
}

impl OpenRequest {
    /// Counts a request in and asks the model what becomes of it.
    pub(super) fn begin(desk: &Arc<Desk>, arrival: Tick, body: &[u8], ask: Ask) -> (Self, Turn) {
        let sequence = desk.ledger.begin(arrival);
        let mut entry = entry(sequence, arrival, body);
        entry.prompt_tokens = ask.prompt_tokens;
        entry.stream = ask.stream;
        let mut open = Self {
            desk: Arc::clone(desk),
            entry,
            granted: None,
            injected: None,
            generates: ask.endpoint.generates(),
        };
        let mut hall = desk.hall();
        let turn = match hall.model.arrive(sequence, ask.tokens, arrival) {
            Admission::Refused(refusal) => Turn::Refused(refusal),
            Admission::Granted(plan) => Turn::Now(plan),
            Admission::Waiting => {
                let (sender, receiver) = oneshot::channel();
                hall.waiters.insert(sequence, sender);
                Turn::Later(receiver)
            }
        };
        desk.active.store(hall.model.active(), Ordering::Relaxed);
        drop(hall);
        match &turn {
            Turn::Refused(_) => open.granted = Some(arrival),
            Turn::Now(plan) => open.granted(plan),
            Turn::Later(_) => {}
        }
        (open, turn)
    }

    /// It named this adapter.
    pub(super) fn named(&mut self, adapter: Option<u16>) {
        self.entry.adapter = adapter;
    }

    pub(super) fn sequence(&self) -> Sequence {
        self.entry.sequence
    }

    /// The request has images: their hashes.
    pub(super) fn shows(&mut self, images: Vec<u64>) {
        self.entry.images = images;
    }

    /// The request has its slot.
    pub(super) fn granted(&mut self, plan: &Plan) {
        self.granted = Some(plan.granted);
        let tokens = self.entry.prompt_tokens;
        self.desk.prefilled.fetch_add(tokens, Ordering::Relaxed);
    }

    pub(super) fn status(&mut self, status: u16) {
        self.entry.status = Some(status);
    }

    /// A fault is visible to the client from now on.
    pub(super) fn inject(&mut self, fault: Fault) {
        self.injected = Some(fault);
    }

    /// A token, or what there is instead, has been made.
    pub(super) fn generated(&self) {
        if self.generates {
            self.desk.generated.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// `tokens` tokens, or what there is instead, are written at `now`.
    pub(super) fn wrote(&mut self, tokens: u32, now: Tick) {
        if tokens > 0 {
            self.entry.tokens += if self.generates { tokens } else { 0 };
            self.entry.first_token.get_or_insert(now);
            self.entry.last_token = Some(now);
        }
    }

    /// The reply has its regular end: all of it has been written, up to the usage.
    pub(super) fn served(&self) {
        self.desk.finished.fetch_add(1, Ordering::Relaxed);
    }

    /// All has been written that was to be.
    pub(super) fn complete(mut self) {
        self.entry.ending = Ending::Completed;
    }

    /// The client has left.
    pub(super) fn client_left(mut self) {
        self.entry.ending = Ending::ClientLeft;
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let now = self.desk.clock.now();
        self.desk.leave(self.entry.sequence, now);
        let mut entry = self.entry.clone();
        entry.end = now;
        entry.queue_wait_ns = self.granted.unwrap_or(now).ns_since(entry.arrival);
        if let Some(fault) = self.injected {
            entry.ending = Ending::Injected(fault);
        }
        self.desk.ledger.end(entry);
    }
}

fn entry(sequence: Sequence, arrival: Tick, body: &[u8]) -> Entry {
    let Digest([a, b, c, d, e, f, g, h, ..]) = Digest::of(body);
    Entry {
        sequence,
        arrival,
        queue_wait_ns: 0,
        first_token: None,
        last_token: None,
        end: arrival,
        tokens: 0,
        prompt_tokens: 0,
        adapter: None,
        stream: false,
        status: None,
        ending: Ending::Stopped,
        body_hash: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
        images: Vec::new(),
    }
}
