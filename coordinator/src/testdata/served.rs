//! Closed loops against a server that is drawn at random, event by event: what users ask, what waits
//! in line, every piece of every answer.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use common::arrivals::Arrivals;
use common::ids::UserId;
use common::outcome::{Ending, Marks, Outcome, Usage};
use common::seed::Generator;
use common::slice::InSlices;
use common::time::Tick;

use super::windows::SECOND;
use super::{Shape, Windowed};
use crate::record::LevelRecord;

/// Tokens of a prompt.
const PROMPT: u64 = 200;
/// Pieces of an answer: token-bearing events.
const PIECES: usize = 8;
/// Tokens of a piece.
const TOKENS: u64 = 4;
/// From the end of a request to the send of the user's next one.
const TURN_NS: u64 = 50_000;
/// Users begin evenly over this time.
const RAMP_NS: u64 = 2 * SECOND;

/// A level against a random server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served {
    pub(crate) users: u32,
    pub(crate) agents: u32,
    /// When the window begins after the level fired, and how long it is.
    pub(crate) window_s: (u64, u64),
    pub(crate) server: Server,
}

/// How long a server takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    /// Requests that are served at once; the others wait in line.
    pub(crate) slots: u32,
    /// Mean time from a slot to the first piece.
    pub(crate) ttft_s: f64,
    /// Mean time between two pieces of an answer that is alone.
    pub(crate) gap_s: f64,
    /// Sigma of the lognormal factors, of mean 1, on an answer's first time and on its pace.
    pub(crate) spread: f64,
    /// So many answers under way double the time between two pieces.
    pub(crate) crowd: Option<u32>,
    /// The server is faster and slower at times, for all its answers.
    pub(crate) swing: Option<Swing>,
    /// Everything is so many times as fast.
    pub(crate) speed: f64,
}

/// A first-order autoregressive factor on the times of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Swing {
    /// Sigma of its logarithm.
    pub(crate) sigma: f64,
    /// Seconds over which its correlation falls to 1/e.
    pub(crate) lasts_s: f64,
}

impl Server {
    /// Requests of about half a second, all served at once, each at its own pace.
    pub(crate) const USUAL: Self = Self {
        slots: u32::MAX,
        ttft_s: 0.1,
        gap_s: 0.05,
        spread: 0.3,
        crowd: None,
        swing: None,
        speed: 1.0,
    };
}

impl Served {
    /// Twelve users for a minute.
    pub(crate) const USUAL: Self =
        Self { users: 12, agents: 2, window_s: (6, 60), server: Server::USUAL };

    /// The level as its agents would have sealed it.
    pub(crate) fn level(&self, seed: u64) -> LevelRecord {
        let (from_s, length_s) = self.window_s;
        let mut outcomes = Vec::new();
        self.play(seed, (from_s + length_s) * SECOND, |outcome| outcomes.push(outcome));
        let window = Windowed {
            users: self.users,
            agents: self.agents,
            window_s: self.window_s,
            shape: Shape {
                prompt: PROMPT,
                completion: PIECES as u64 * TOKENS,
                ..Windowed::USUAL.shape
            },
            ..Windowed::USUAL
        };
        let mut level = window.level_of(outcomes);
        let ramp = Duration::from_nanos(RAMP_NS);
        level.planned.load.arrivals = Arrivals::Closed { ramp };
        level
    }

    /// Output tokens per second over a window of this length, counted as they come.
    pub(crate) fn rate(&self, seed: u64, length_s: u64) -> f64 {
        let from = self.window_s.0 * SECOND;
        let until = from + length_s * SECOND;
        let mut tokens = 0;
        self.play(seed, until, |outcome| {
            let mut at = outcome.marks.first_token.unwrap().0;
            for gap_us in std::iter::once(&0).chain(&outcome.gaps_us) {
                at += u64::from(*gap_us) * 1000;
                tokens += if (from..until).contains(&at) { TOKENS } else { 0 };
            }
        });
        tokens as f64 / length_s as f64
    }

    /// Output tokens per second by the server's mean times: exact where answers do not slow each
    /// other down, the pace does not wander, and the line before the slots is never empty.
    pub(crate) fn rate_by_means(&self) -> f64 {
        let Server { slots, ttft_s, gap_s, crowd, swing, speed, .. } = self.server;
        assert!(crowd.is_none() && swing.is_none());
        let idle_s = if slots < self.users { 0.0 } else { TURN_NS as f64 / 1e9 };
        let request_s = (ttft_s + (PIECES - 1) as f64 * gap_s) / speed + idle_s;
        f64::from(slots.min(self.users)) * (PIECES as u64 * TOKENS) as f64 / request_s
    }

    /// Gives every request in the order of their ends, until all that were intended before `until`
    /// have ended.
    fn play(&self, seed: u64, until: u64, mut ended: impl FnMut(Outcome)) {
        let mut play = Play::new(self.server, self.users, seed);
        let mut following = self.users;
        while let Some(outcome) = play.next(following > 0) {
            let marks = outcome.marks;
            following -= u32::from(marks.intended.0 < until && marks.done.0 >= until);
            ended(outcome);
        }
    }
}

/// A server and its users at work.
struct Play {
    server: Server,
    random: Generator,
    /// What happens next to whom.
    events: BinaryHeap<Reverse<(u64, usize)>>,
    users: Vec<Request>,
    /// Who waits for a slot.
    line: VecDeque<usize>,
    serving: u32,
    /// Requests that have their first piece and not their last.
    under_way: u32,
    /// The logarithm of the server's swing, in its sigmas, and when that was.
    swing: (u64, f64),
}

/// A user's request.
#[derive(Clone, Default)]
struct Request {
    number: u64,
    intended: u64,
    sent: Option<u64>,
    first: Option<u64>,
    /// The factor on the time between its pieces.
    pace: f64,
    gaps_us: Vec<u32>,
}

impl Play {
    fn new(server: Server, users: u32, seed: u64) -> Self {
        let count = users as usize;
        let mut random = Generator::new(Generator::new(seed).next_u64());
        let intended = |user: usize| RAMP_NS * user as u64 / count as u64;
        let request = |user| Request { intended: intended(user), ..Request::default() };
        Self {
            server,
            swing: (0, random.normal()),
            random,
            events: (0..count).map(|user| Reverse((intended(user) + TURN_NS, user))).collect(),
            users: (0..count).map(request).collect(),
            line: VecDeque::new(),
            serving: 0,
            under_way: 0,
        }
    }

    /// Plays up to the next end of a request; its user makes another one, if that is wanted.
    fn next(&mut self, again: bool) -> Option<Outcome> {
        while let Some(Reverse((now, user))) = self.events.pop() {
            let request = &mut self.users[user];
            match (request.sent, request.first) {
                (None, _) => {
                    request.sent = Some(now);
                    self.line.push_back(user);
                }
                (Some(_), None) => {
                    request.first = Some(now);
                    self.under_way += 1;
                    self.go_on(now, user);
                }
                (Some(_), Some(_)) if request.gaps_us.len() < PIECES - 1 => self.go_on(now, user),
                (Some(_), Some(_)) => {
                    self.under_way -= 1;
                    self.serving -= 1;
                    let outcome = self.end(now, user, again);
                    self.serve(now);
                    return Some(outcome);
                }
            }
            self.serve(now);
        }
        None
    }

    /// Slots that are free go to those that wait longest.
    fn serve(&mut self, now: u64) {
        while self.serving < self.server.slots
            && let Some(user) = self.line.pop_front()
        {
            self.serving += 1;
            self.users[user].pace = self.factor();
            let after_us = self.server.ttft_s * self.factor() * self.slowness(now) * 1e6;
            self.events.push(Reverse((now + after_us as u64 * 1000, user)));
        }
    }

    /// The next piece is on its way.
    fn go_on(&mut self, now: u64, user: usize) {
        let others = f64::from(self.under_way);
        let crowded = self.server.crowd.map_or(1.0, |crowd| 1.0 + others / f64::from(crowd));
        let gap_us = self.server.gap_s * crowded * self.slowness(now) * 1e6;
        let request = &mut self.users[user];
        let gap_us = (gap_us * request.pace) as u32;
        request.gaps_us.push(gap_us);
        self.events.push(Reverse((now + u64::from(gap_us) * 1000, user)));
    }

    fn end(&mut self, now: u64, user: usize, again: bool) -> Outcome {
        let next =
            Request { number: self.users[user].number + 1, intended: now, ..Request::default() };
        let request = std::mem::replace(&mut self.users[user], next);
        if again {
            self.events.push(Reverse((now + TURN_NS, user)));
        }
        let completion = PIECES as u64 * TOKENS;
        Outcome {
            user: UserId(user as u32),
            request: request.number,
            slices: InSlices::NONE,
            ending: Ending::Succeeded,
            status: Some(200),
            paper_success: true,
            marks: Marks {
                intended: Tick(request.intended),
                sent: request.sent.map(Tick),
                head: request.first.map(Tick),
                first_token: request.first.map(Tick),
                first_answer: request.first.map(Tick),
                last_token: Some(Tick(now)),
                done: Tick(now),
            },
            usage: Some(Usage { prompt: PROMPT, completion, reasoning: 0, cached_prompt: 0 }),
            events: PIECES as u64,
            gaps_us: request.gaps_us,
            detail: None,
            images: None,
        }
    }

    /// A lognormal factor of mean 1.
    fn factor(&mut self) -> f64 {
        let sigma = self.server.spread;
        (sigma * self.random.normal() - sigma * sigma / 2.0).exp()
    }

    /// The factor on all times at an instant.
    fn slowness(&mut self, now: u64) -> f64 {
        let swing = self.server.swing.map_or(0.0, |Swing { sigma, lasts_s }| {
            let (at, value) = self.swing;
            let kept = (-((now - at) as f64 / 1e9) / lasts_s).exp();
            let value = kept * value + (1.0 - kept * kept).sqrt() * self.random.normal();
            self.swing = (now, value);
            sigma * value
        });
        swing.exp() / self.server.speed
    }
}
