//! Levels that prove the client (the method, section 3.16): every agent loads a simulator of its
//! own, at a pace that asks more of the client than the run does.

use std::net::Ipv4Addr;
use std::time::Duration;

use common::arrivals::Arrivals;
use common::assignment::{End, Load, Pace};
use common::ids::Name;
use common::phase::Phase;
use common::target::{BaseUrl, Host, Target};
use common::workload::{CacheMode, Workload};

use super::{Plan, PlannedLevel, Preparation};
use crate::campaign::{Campaign, ClientProof, WindowPlan};

/// The pace where nothing is known of the target: that of a server which is good to its users.
pub const TTFT: Duration = Duration::from_millis(200);
/// The gap of that pace.
pub const ITL: Duration = Duration::from_millis(20);
/// Tokens of its answers at most, so that a proof takes seconds.
const TOKENS_MOST: u32 = 64;
/// Prompt length in tokens, where no level says one.
pub const INPUT_TOKENS: u32 = 100;
/// The window of a proof within a run.
const WINDOW: Duration = Duration::from_secs(10);
/// The longest answer: a slow target needs no slow proof, since more requests ask for more.
const ANSWER_MOST: Duration = Duration::from_secs(4);
/// The shortest: in half of it the time to the first token is so long that the grain of the
/// simulators' timers is less than what it may be off by. A fast target needs more users instead.
const ANSWER_LEAST: Duration = Duration::from_millis(400);
/// Rates are asked for so many times over, because what is reached lies a little below what the
/// pace says.
const SPARE: f64 = 1.1;
/// How the labels of proofs begin.
const LABEL: &str = "client proof ";
/// Most users of a load.
const USERS_MOST: f64 = 1e6;

/// What the client is to be able to do, over the fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Demand {
    /// Requests in flight.
    pub in_flight: f64,
    /// Requests per second.
    pub requests_per_s: f64,
    /// Token-bearing events per second.
    pub events_per_s: f64,
}

/// What one proof asks of the fleet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ask {
    /// Users over the fleet.
    pub users: u32,
    /// How the simulators answer.
    pub pace: Pace,
    /// Prompt length in tokens.
    pub input_tokens: u32,
    /// Answer length in tokens.
    pub output_tokens: u32,
    /// How long it is measured.
    pub window: Duration,
}

/// A proof as a level of a plan: an ordinary one, that is measured in a window. `when` is one word.
pub fn level(when: &str, ask: Ask) -> PlannedLevel {
    let Ask { users, pace, input_tokens, output_tokens, window } = ask;
    PlannedLevel {
        phase: Phase::Warmup,
        place: 0,
        repeat: 0,
        arm: None,
        label: format!("{LABEL}{when}"),
        load: Load {
            users,
            // Users that begin spread over one answer ask for the same at every instant.
            arrivals: Arrivals::Closed { ramp: answer(pace, output_tokens) },
            end: End::Window,
        },
        window: Some(WindowPlan::fixed(window)),
        allow_capped: false,
        workload: Workload {
            forced_length: true,
            cache: CacheMode::Replay,
            ..Workload::new(name(), input_tokens.into(), output_tokens.into())
        },
        before: Preparation::default(),
        cooldown: Duration::ZERO,
        proof: Some(pace),
    }
}

/// Which proof a level is: the last word of its label.
pub fn when(level: &PlannedLevel) -> &str {
    level.label.strip_prefix(LABEL).unwrap_or(&level.label)
}

/// How the agents ask their simulators. The address is never used: each has its own.
pub fn target() -> Target {
    let host = Host::V4(Ipv4Addr::LOCALHOST);
    let base_url = BaseUrl { tls: false, host, port: 9, path: String::new() };
    Target::new(base_url, "sim".to_owned())
}

/// The proof before these levels, if one is wanted and there are any.
pub(super) fn before(levels: &[PlannedLevel], wanted: ClientProof) -> Option<PlannedLevel> {
    let ask = planned(levels, wanted.headroom).filter(|_| wanted.before)?;
    Some(level("before", ask))
}

impl Plan {
    /// The proof that follows the levels of `campaign`, if one is wanted, as far as the plan tells.
    pub fn proof_after(campaign: &Campaign) -> Option<PlannedLevel> {
        let ClientProof { after, headroom, .. } = campaign.client_proof;
        let levels: Vec<PlannedLevel> = Self::of(campaign).measured().cloned().collect();
        let ask = planned(&levels, headroom).unwrap_or(Ask {
            users: 1,
            pace: Pace { ttft: TTFT, itl: ITL },
            input_tokens: INPUT_TOKENS,
            output_tokens: TOKENS_MOST,
            window: WINDOW,
        });
        after.then(|| level("after", ask))
    }
}

/// What a plan asks for, as far as it tells: users, and the rates of open loops. `None` without
/// levels.
fn planned(levels: &[PlannedLevel], headroom: f64) -> Option<Ask> {
    let most = |of: fn(&PlannedLevel) -> u32| levels.iter().map(of).max();
    let input_tokens = most(|level| level.workload.input_tokens.most())?;
    let output_tokens = most(|level| level.workload.output_tokens.most())?.clamp(2, TOKENS_MOST);
    let usual = answer(Pace { ttft: TTFT, itl: ITL }, output_tokens).max(ANSWER_LEAST);
    let mut demand = Demand::default();
    for level in levels {
        let users = f64::from(level.load.users);
        let in_flight = match level.load.arrivals {
            Arrivals::Closed { .. } => users,
            Arrivals::Open(schedule) => {
                let rate = schedule.rate.settled().value();
                demand.requests_per_s = demand.requests_per_s.max(rate * headroom);
                // How many are in flight is the target's to say; the bound is no plan.
                users.min(rate * usual.as_secs_f64())
            }
        };
        demand.in_flight = demand.in_flight.max(in_flight * headroom);
    }
    let users = users(demand.in_flight);
    let length = usual.min(within(users, demand.requests_per_s));
    let pace = pace(length, output_tokens);
    Some(Ask { users, pace, input_tokens, output_tokens, window: WINDOW })
}

/// The same proof, for what was measured in the meantime, times `headroom`.
pub fn after(planned: &PlannedLevel, measured: Demand, headroom: f64) -> PlannedLevel {
    if measured.requests_per_s <= 0.0 {
        return planned.clone();
    }
    let requests = measured.requests_per_s * headroom;
    let in_flight = measured.in_flight * headroom;
    let least = requests * SPARE * ANSWER_LEAST.as_secs_f64();
    let users = users(in_flight.max(least)).max(planned.load.users);
    let length = within(users, requests);
    let events = measured.events_per_s * headroom * SPARE / f64::from(users);
    let tokens = (events * length.as_secs_f64()).ceil().clamp(2.0, f64::from(u32::MAX)) as u32;
    let ask = Ask {
        users,
        pace: pace(length, tokens),
        input_tokens: planned.workload.input_tokens.most(),
        output_tokens: tokens,
        window: planned.window.map_or(WINDOW, |window| window.most),
    };
    level(when(planned), ask)
}

fn users(in_flight: f64) -> u32 {
    in_flight.ceil().clamp(1.0, USERS_MOST) as u32
}

/// How long answers may take for `users` to make so many requests per second, and some to spare.
fn within(users: u32, requests_per_s: f64) -> Duration {
    let seconds = f64::from(users) / (requests_per_s * SPARE);
    Duration::try_from_secs_f64(seconds).unwrap_or(ANSWER_MOST).min(ANSWER_MOST)
}

/// The pace of answers of `tokens` that take `length`, or a little less. Whole milliseconds: the
/// grain of the timers that simulators answer by.
fn pace(length: Duration, tokens: u32) -> Pace {
    let whole = |duration: Duration| {
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(ms.max(1))
    };
    let ttft = whole(TTFT.min(length / 2));
    let itl = whole(length.saturating_sub(ttft) / tokens.saturating_sub(1).max(1));
    Pace { ttft, itl }
}

/// How long an answer takes.
pub fn answer(pace: Pace, tokens: u32) -> Duration {
    pace.ttft.saturating_add(pace.itl.saturating_mul(tokens.saturating_sub(1)))
}

#[expect(clippy::expect_used, reason = "letters and a dash are a name")]
fn name() -> Name {
    "client-proof".parse().expect("a valid name")
}

#[cfg(test)]
mod tests {
    use common::arrivals::{Law, PerSecond, Rate, Schedule};
    use proptest::prelude::*;

    use super::*;

    fn rates(level: &PlannedLevel) -> (f64, f64) {
        let pace = level.proof.unwrap();
        let tokens = level.workload.output_tokens.most();
        let requests = f64::from(level.load.users) / answer(pace, tokens).as_secs_f64();
        (requests, requests * f64::from(tokens))
    }

    fn closed(users: u32, output_tokens: u32) -> PlannedLevel {
        let pace = Pace { ttft: TTFT, itl: ITL };
        let window = Duration::from_secs(60);
        let ask = Ask { users, pace, input_tokens: 500, output_tokens, window };
        PlannedLevel { phase: Phase::Scaling, proof: None, ..level("x", ask) }
    }

    proptest! {
        #[test]
        fn what_was_measured_is_asked_for_with_headroom(
            users in 1u32..5000, tokens in 2u32..2000, e2e_ms in 20u32..100_000,
            headroom in 1.0f64..4.0
        ) {
            let requests_per_s = f64::from(users) / f64::from(e2e_ms) * 1e3;
            let events_per_s = requests_per_s * f64::from(tokens);
            // A simulator's gaps are a millisecond at least.
            prop_assume!(e2e_ms > 3 * tokens);
            let measured = Demand { in_flight: f64::from(users), requests_per_s, events_per_s };
            let ask = planned(&[closed(users, tokens)], headroom).unwrap();
            let planned = level("after", ask);
            let level = after(&planned, measured, headroom);
            prop_assert!(f64::from(level.load.users) >= headroom * f64::from(users));
            let (requests, events) = rates(&level);
            prop_assert!(requests >= headroom * requests_per_s, "{requests} {requests_per_s}");
            prop_assert!(events >= headroom * events_per_s, "{events} {events_per_s}");
            let pace = level.proof.unwrap();
            prop_assert!(pace.ttft >= Duration::from_millis(199), "{pace:?}");
            prop_assert!(answer(pace, level.workload.output_tokens.most()) <= ANSWER_MOST);
        }
    }

    #[test]
    fn a_proof_beforehand_is_for_the_most_users_at_a_quick_pace() {
        let levels = [closed(10, 200), closed(50, 20)];
        let off = ClientProof { before: false, after: false, headroom: 2.0 };
        let on = ClientProof { before: true, ..off };
        assert_eq!(before(&levels, off), None);
        assert_eq!(before(&[], on), None);
        let proof = before(&levels, on).unwrap();
        assert_eq!(
            (proof.load.users, proof.workload.output_tokens.clone()),
            (100, TOKENS_MOST.into())
        );
        assert_eq!(proof.proof, Some(Pace { ttft: TTFT, itl: ITL }));
        assert_eq!(proof.load.arrivals.ramp(), Duration::from_millis(1460));
        // Nothing measured: as planned.
        assert_eq!(after(&proof, Demand::default(), 2.0), proof);
    }

    #[test]
    fn the_rate_of_an_open_loop_is_known_beforehand() {
        let mut open = closed(10_000, 16);
        let rate = Rate::Flat(PerSecond(300_000_000));
        open.load.arrivals = Arrivals::Open(Schedule { law: Law::Poisson, rate });
        let ask = planned(&[open], 2.0).unwrap();
        // 0.5 s an answer: 150 in flight at that pace, and twice as many in the proof.
        assert_eq!(ask.users, 300);
        let (requests, _) = rates(&level("x", ask));
        assert!(requests >= 600.0, "{requests}");
    }
}
