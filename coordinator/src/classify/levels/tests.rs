//! Verdict by verdict and axis by axis, just inside and just outside of each limit.

use std::time::Duration;

use common::health::{Health, LinkUse, Segments, Used, WorkerHealth};
use common::length::{Bounds, Length};
use common::outcome::Failure;
use common::phase::Phase;
use common::series::{Flow, FlowSlot, InFlight, SLOT_NS, Slot};
use common::slo::Slo;
use common::snapshot::Vitals;
use common::tally::{Scope, Tally, WindowTally};
use common::text::{PromptText, Rate, Words};
use common::workload::{CacheMode, SharedPrefix};
use proptest::prelude::*;

use super::*;
use crate::classify::{Code, Effect};
use crate::record::{LevelRecord, RunRecord};
use crate::testdata::{self, Shape, Windowed};

fn context(run: &RunRecord) -> Context<'_> {
    Context {
        mode: Mode::Floodmark,
        judging: run.header.judging,
        agents: &run.agents,
        servers: Servers::of(run),
        proofs: None,
    }
}

/// What is said of levels in a run of the usual fleet.
fn judged(levels: &[LevelRecord]) -> Vec<Judgement> {
    judged_in(&testdata::run(), levels)
}

fn judged_in(run: &RunRecord, levels: &[LevelRecord]) -> Vec<Judgement> {
    let seed = common::seed::Seed(run.header.seed);
    let measured: Vec<_> = levels.iter().map(|level| Measured::of(level, seed)).collect();
    judge(&measured, &context(run))
}

fn alone(level: LevelRecord) -> Judgement {
    judged(&[level]).remove(0)
}

/// The verdicts of a level, too small a sample aside.
fn found(judgement: &Judgement) -> Vec<(Code, Effect)> {
    let codes = judgement.verdicts.iter().map(|verdict| (verdict.code, verdict.effect));
    codes.filter(|(code, _)| *code != Code::TooFewSamples).collect()
}

/// Applies a change to what every agent sealed.
fn change(mut level: LevelRecord, change: impl Fn(&mut Tally)) -> LevelRecord {
    for share in &mut level.shares {
        change(&mut share.seal.as_mut().unwrap().snapshot.tally);
    }
    level
}

fn vitals(mut level: LevelRecord, change: impl Fn(&mut Vitals)) -> LevelRecord {
    change(&mut level.shares[0].seal.as_mut().unwrap().snapshot.vitals);
    level
}

fn window(tally: &mut Tally) -> &mut WindowTally {
    match &mut tally.scope {
        Scope::Window(window) => window,
        Scope::Whole | Scope::Pending => panic!("no window"),
    }
}

const USUAL: Windowed = Windowed::USUAL;

fn open(rate: u64) -> Windowed {
    Windowed { rate: Some(rate), users: 100, ..USUAL }
}

/// A level that meets a limit and one that misses it by a little.
fn edge(code: Code, effect: Effect, inside: LevelRecord, outside: LevelRecord) {
    assert_eq!(found(&alone(inside)), [], "{code:?} inside");
    let judgement = alone(outside);
    assert_eq!(found(&judgement), [(code, effect)], "{:?}", judgement.verdicts);
    let struck = effect == Effect::Invalid;
    assert_eq!(judgement.headline == Some(Headline::Invalid), struck, "{code:?}");
}

#[test]
fn sound_levels_have_no_verdict() {
    for level in [
        USUAL.level(),
        open(20).level(),
        testdata::level(Phase::Scaling, 10, 1000, 2, Shape { fail_every: 0, ..Shape::QUICK }),
    ] {
        let judgement = alone(level);
        assert_eq!(found(&judgement), [], "{:?}", judgement.verdicts);
        assert_eq!(judgement.headline, Some(Headline::Ok));
    }
    assert_eq!(alone(USUAL.level()).steady, Some(true));
}

#[test]
fn users_that_were_not_in_flight_are_told_by_mean_and_by_time() {
    let users = |users| {
        let mut level = USUAL.level();
        level.planned.load.users = users;
        level
    };
    // Ten were in flight, but for the 50 µs before each send.
    edge(Code::ConcurrencyNotReached, Effect::Invalid, users(10), users(11));
    // All but 20 of 600 slots lie at ten; 20 slots are 3.3 % of the window.
    let gap = |slots: usize| {
        change(USUAL.level(), |tally| {
            let mut kept: Vec<Slot> = tally.in_flight.slots().collect();
            kept.iter_mut()
                .skip(100)
                .take(slots)
                .for_each(|slot| slot.area_ns = slot.area_ns * 9 / 10);
            tally.in_flight = InFlight::from_parts(SLOT_NS, kept).unwrap();
        })
    };
    edge(Code::ConcurrencyNotReached, Effect::Invalid, gap(12), gap(13));
}

#[test]
fn fewer_requests_than_users_are_no_load() {
    let counted = |users, requests| {
        let quiet = Shape { fail_every: 0, ..Shape::QUICK };
        testdata::level(Phase::Scaling, users, requests, 1, quiet)
    };
    assert_eq!(found(&alone(counted(10, 1000))), []);
    let judgement = alone(counted(1000, 450));
    assert_eq!(judgement.verdicts[0].code, Code::ConcurrencyNotReached);
    assert!(judgement.verdicts[0].evidence.starts_with("at most 450 of 1000 users"));
}

#[test]
fn arrivals_that_were_not_made_are_told() {
    let lack = |share: u64| {
        let mut level = open(20).level();
        // 1,200 arrivals are planned in a minute.
        let tally = &mut level.shares[0].seal.as_mut().unwrap().snapshot.tally;
        for counts in [&mut tally.counts, &mut tally.measured] {
            counts.started -= share;
            counts.succeeded -= share;
        }
        Measured::of(&level, common::seed::Seed(u64::MAX)).intended
    };
    assert_eq!(lack(0), 1200);
    // Of a rate that is higher than what the slots allow, requests wait.
    let judgement = alone(Windowed { users: 9, ..open(20) }.level());
    let verdict = &judgement.verdicts[0];
    assert_eq!((verdict.code, verdict.effect), (Code::RateNotReached, Effect::Invalid));
    assert!(verdict.evidence.contains("sent late"), "{}", verdict.evidence);
    // A plan of more arrivals than were made.
    let planned = |per_mille: u64| {
        let mut level = open(20).level();
        let rate = common::arrivals::PerSecond(20_000 * per_mille);
        level.planned.load.arrivals =
            common::arrivals::Arrivals::Open(common::arrivals::Schedule {
                law: common::arrivals::Law::Constant,
                rate: common::arrivals::Rate::Flat(rate),
            });
        level
    };
    edge(Code::RateNotReached, Effect::Invalid, planned(1010), planned(1011));
}

#[test]
fn late_sends_are_told_beyond_a_timers_grain_and_beyond_what_is_felt() {
    let late = |us: u64, ttft_us: u64| {
        let shape = Shape { ttft_us, ..USUAL.shape };
        change(Windowed { shape, ..open(20) }.level(), |tally| {
            let count = tally.latencies.send_lag.count();
            tally.latencies.send_lag = Default::default();
            (0..count).for_each(|_| tally.latencies.send_lag.record_us(us));
        })
    };
    edge(Code::RateNotReached, Effect::Invalid, late(1990, 100_000), late(2010, 100_000));
    edge(Code::RateNotReached, Effect::Invalid, late(3900, 400_000), late(4100, 400_000));
}

#[test]
fn a_generator_at_its_limit_is_told() {
    let busy = |share: f64| vitals(USUAL.level(), |vitals| vitals.busy_share = share);
    edge(Code::ClientLimited, Effect::Invalid, busy(0.05), busy(0.051));
    let lag = |us: u64, gap_us: u64| {
        change(USUAL.level(), |tally| {
            tally.latencies.icl = Default::default();
            (0..100).for_each(|_| tally.latencies.icl.record_us(gap_us));
            (0..100).for_each(|_| tally.latencies.loop_lag.record_us(us));
        })
    };
    // 2 % of 20 ms is less than timers tell; of 150 ms it is 3 ms; of a second no more than 5 ms.
    edge(Code::ClientLimited, Effect::Invalid, lag(1999, 20_000), lag(2010, 20_000));
    edge(Code::ClientLimited, Effect::Invalid, lag(2990, 150_000), lag(3010, 150_000));
    edge(Code::ClientLimited, Effect::Invalid, lag(4990, 1_000_000), lag(5010, 1_000_000));
    for failure in [Failure::ClientFd, Failure::ClientPort] {
        let level = change(USUAL.level(), |tally| {
            for counts in [&mut tally.counts, &mut tally.measured] {
                counts.started += 1;
                counts.failed[failure.index()] += 1;
            }
        });
        assert_eq!(found(&alone(level)), [(Code::ClientLimited, Effect::Invalid)]);
    }
}

#[test]
fn a_host_that_gives_too_little_is_told() {
    let host = |change: &dyn Fn(&mut Health)| {
        vitals(USUAL.level(), |vitals| change(vitals.health.get_or_insert_default()))
    };
    let used = |used| Some(Used { used, limit: 1000 });
    let limited = |inside: &dyn Fn(&mut Health), outside: &dyn Fn(&mut Health)| {
        edge(Code::ClientLimited, Effect::Invalid, host(inside), host(outside));
    };
    let wait = |health: &mut Health, share| {
        let worker = WorkerHealth { wait: Some(share), ..WorkerHealth::default() };
        health.workers = vec![WorkerHealth::default(), worker];
    };
    limited(&|health| wait(health, 0.2), &|health| wait(health, 0.21));
    limited(&|health| health.throttled = Some(0.01), &|health| health.throttled = Some(0.02));
    limited(&|health| health.steal = Some(0.05), &|health| health.steal = Some(0.06));
    let link = |health: &mut Health, share| {
        health.link = Some(LinkUse { name: "eth0".to_owned(), bytes_per_s: 9, share });
    };
    limited(&|health| link(health, None), &|health| link(health, Some(0.81)));
    let told = |inside: &dyn Fn(&mut Health), outside: &dyn Fn(&mut Health)| {
        edge(Code::ClientLimited, Effect::Warn, host(inside), host(outside));
    };
    told(&|health| health.fds = used(900), &|health| health.fds = used(901));
    told(&|health| health.ports = used(900), &|health| health.ports = used(901));
    let again = |health: &mut Health, retransmitted| {
        health.segments = Some(Segments { sent: 1000 - retransmitted, retransmitted });
    };
    told(&|health| again(health, 10), &|health| again(health, 11));
    // The worker that waited is named, and by how much.
    let level = host(&|health| wait(health, 0.25));
    let evidence = &alone(level).verdicts[0].evidence;
    let text = "worker 1 of agent gen-0 waited for a core for 25 % of the time, more than 20 %";
    assert_eq!(evidence, text);
}

#[test]
fn what_was_read_late_blurs_a_level_as_a_late_loop_does() {
    let late = |us: u64| {
        change(USUAL.level(), |tally| {
            tally.latencies.icl = Default::default();
            (0..100).for_each(|_| tally.latencies.icl.record_us(150_000));
            (0..100).for_each(|_| tally.latencies.receive_lag.record_us(us));
        })
    };
    edge(Code::ClientLimited, Effect::Invalid, late(2990), late(3010));
}

/// A window whose output drifts by a share of its mean from one end to the other.
fn drifting(share: f64) -> LevelRecord {
    change(USUAL.level(), |tally| {
        let slots: Vec<FlowSlot> = (0..640)
            .map(|place| {
                // Noise that is the same each time and does not repeat within the window.
                let noise = f64::from((place * 7919 + 13) % 101) / 101.0 - 0.5;
                let trend = share * (f64::from(place) / 600.0 - 0.5);
                let output = 10_000.0 * (1.0 + trend + 0.02 * noise);
                FlowSlot { output: output as u64, ..FlowSlot::default() }
            })
            .collect();
        tally.flow = Flow::from_parts(SLOT_NS, slots).unwrap();
    })
}

#[test]
fn a_window_that_drifts_is_not_steady() {
    edge(Code::NotSteady, Effect::Invalid, drifting(0.04), drifting(0.07));
    assert_eq!(alone(drifting(0.07)).steady, Some(false));
    let slower = alone(Windowed { slowdown: 1.0, ..USUAL }.level());
    let found = found(&slower);
    assert!(found.contains(&(Code::NotSteady, Effect::Invalid)), "{found:?}");
    assert!(found.contains(&(Code::NotSteady, Effect::Warn)), "{found:?}");
    // Too short to say: 4 s are 40 slots.
    let short = alone(Windowed { window_s: (3, 4), ..USUAL }.level());
    assert_eq!(short.steady, None);
}

#[test]
fn too_few_samples_are_named_with_what_would_do() {
    let lacking = |seconds| {
        let judgement = alone(Windowed { window_s: (3, seconds), agents: 1, ..USUAL }.level());
        let codes = judgement.verdicts.iter().filter(|v| v.code == Code::TooFewSamples);
        codes.map(|v| v.evidence.clone()).collect::<Vec<_>>()
    };
    assert_eq!(lacking(60), Vec::<String>::new());
    assert!(lacking(30)[0].ends_with(": p99 needs 662"), "{:?}", lacking(30));
    assert!(lacking(6)[0].contains("p95 needs 130, p99 needs 662"), "{:?}", lacking(6));
    // In paper mode nobody asked for more.
    let run = testdata::run();
    let level = [Windowed { window_s: (3, 6), ..USUAL }.level()];
    let measured = [Measured::of(&level[0], common::seed::Seed(1))];
    let paper = Context { mode: Mode::Paper, ..context(&run) };
    assert!(judge(&measured, &paper)[0].verdicts.iter().all(|v| v.code != Code::TooFewSamples));
}

#[test]
fn a_gauge_that_disagrees_with_the_requests_strikes() {
    let off = |per_mille: u64| {
        change(USUAL.level(), |tally| {
            let window = window(tally);
            window.overlap_ns = window.in_flight_ns / 1000 * per_mille;
        })
    };
    edge(Code::LittleViolated, Effect::Invalid, off(996), off(994));
}

#[test]
fn rate_times_latency_is_what_was_in_flight_but_for_a_turn() {
    // 0.6 s of 60 s are 1 %, so 3 % in all.
    let fewer = |percent: u64| {
        change(USUAL.level(), |tally| {
            let window = window(tally);
            window.arrived.requests = window.arrived.requests * percent / 100;
        })
    };
    edge(Code::LittleViolated, Effect::Warn, fewer(98), fewer(96));
}

#[test]
fn agents_that_do_not_begin_together_are_told() {
    let skew = |level: LevelRecord, ms: u64| {
        let mut level = level;
        let tally = &mut level.shares[1].seal.as_mut().unwrap().snapshot.tally;
        let first_sent_ns = &mut tally.span.as_mut().unwrap().first_sent_ns;
        *first_sent_ns += ms * 1_000_000;
        level
    };
    // The clocks are known to 0.11 ms.
    edge(Code::StartSkew, Effect::Warn, skew(USUAL.level(), 50), skew(USUAL.level(), 51));
    // One request per user is a burst: 10 % of 20 ms.
    let quiet = Shape { fail_every: 0, ttft_us: 200_000, ..Shape::QUICK };
    let burst = || testdata::level(Phase::Scaling, 2, 2, 2, quiet);
    let codes = |ms| found(&alone(skew(burst(), ms)));
    let told = (Code::StartSkew, Effect::Invalid);
    assert!(!codes(15).contains(&told));
    assert!(codes(25).contains(&told));
}

#[test]
fn clocks_that_cannot_be_trusted_are_told() {
    let with_error = |us: f64| {
        let mut run = testdata::run();
        run.agents[1].clock_error_us = Some(us);
        found(&judged_in(&run, &[USUAL.level()]).remove(0))
    };
    assert_eq!(with_error(5000.0), []);
    assert_eq!(with_error(5001.0), [(Code::Clock, Effect::Warn)]);
    assert_eq!(with_error(15.0e6), [(Code::Clock, Effect::Warn)]);
    assert_eq!(with_error(15.1e6), [(Code::Clock, Effect::Invalid)]);
    let ms = 1_000_000;
    let stepped = |ns| vitals(USUAL.level(), |vitals| vitals.clock_step_ns = ns);
    edge(Code::Clock, Effect::Warn, stepped(10 * ms), stepped(11 * ms));
    let slept = |ns| vitals(USUAL.level(), |vitals| vitals.suspended_ns = ns);
    edge(Code::Clock, Effect::Invalid, slept(10 * ms), slept(11 * ms));
}

#[test]
fn work_that_is_not_what_it_is_called_is_told() {
    let longer = |per_mille: u64| {
        change(USUAL.level(), |tally| {
            tally.tokens.completion = tally.tokens.completion * per_mille / 1000
        })
    };
    edge(Code::WorkNotEqual, Effect::Invalid, longer(1010), longer(1011));
    // Between levels; where lengths are the server's choice a difference strikes nothing.
    let free = |mut level: LevelRecord| {
        level.planned.workload.forced_length = false;
        level
    };
    let more = Windowed { users: 20, ..USUAL };
    let pair = |output: u64, prompt: u64| {
        let second = change(free(more.level()), |tally| {
            tally.tokens.completion = tally.tokens.completion * output / 1000;
            tally.tokens.prompt = tally.tokens.prompt * prompt / 1000;
        });
        found(&judged(&[free(USUAL.level()), second]).remove(1))
    };
    // Lengths that are drawn differ by chance besides: by three standard errors, 4 % here.
    let drawn = |level: LevelRecord, sd: u32| {
        let mut level = free(level);
        let bounds = Bounds { least: 1, most: 10_000 };
        level.planned.workload.input_tokens = Length::Normal { mean: 500, sd, bounds };
        level
    };
    // Off the other level, and off what was asked for.
    let twice = [(Code::WorkNotEqual, Effect::Warn); 2];
    for (sd, expected) in [(0, twice.to_vec()), (250, Vec::new())] {
        let second = change(drawn(more.level(), sd), |tally| {
            tally.tokens.prompt = tally.tokens.prompt * 1040 / 1000;
        });
        assert_eq!(found(&judged(&[drawn(USUAL.level(), sd), second]).remove(1)), expected);
    }
    assert_eq!(pair(1010, 1020), []);
    assert_eq!(pair(1011, 1000), [(Code::WorkNotEqual, Effect::Warn)]);
    assert_eq!(pair(1000, 1021), twice);
}

#[test]
fn prompts_that_have_not_the_tokens_asked_for_are_told_with_both_numbers() {
    let of = |text: &PromptText, per_mille: u64| {
        let mut level = change(USUAL.level(), |tally| {
            tally.tokens.prompt = tally.tokens.prompt * per_mille / 1000
        });
        level.planned.workload.text = text.clone();
        level
    };
    let letter = |at: u32| char::from_u32(u32::from(b'a') + at % 26).unwrap();
    let pool: Vec<String> =
        (0..200).map(|at| format!("{}{}", letter(at / 26), letter(at))).collect();
    let words = PromptText::Words(Words::new("A", &pool.join(" "), "network", 0).unwrap());
    for (text, effect) in [
        (PromptText::Characters, Effect::Warn),
        (PromptText::Measured(Rate::PAPER), Effect::Warn),
        (words.clone(), Effect::Invalid),
    ] {
        edge(Code::WorkNotEqual, effect, of(&text, 1020), of(&text, 1021));
        edge(Code::WorkNotEqual, effect, of(&text, 980), of(&text, 979));
    }
    let evidence = |text| alone(of(&text, 862)).verdicts.remove(0).evidence;
    insta::assert_snapshot!(evidence(PromptText::Characters), @r#"prompts had 431 tokens on average where 500 were asked for, more than 2 % off: four characters are not a token here; state lengths = "measured" or a tokenizer"#);
    insta::assert_snapshot!(evidence(words), @"prompts had 431 tokens on average where 500 were asked for, more than 2 % off: the tokenizer of the workload does not match the target's");
    // A token more or less is where prompts end; in paper mode a token is what the paper says.
    let mut short = of(&PromptText::Characters, 1000);
    short.planned.workload.input_tokens = 501.into();
    assert_eq!(found(&alone(short)), []);
    let run = testdata::run();
    let paper = Context { mode: Mode::Paper, ..context(&run) };
    let level = of(&PromptText::Characters, 862);
    let measured = [Measured::of(&level, common::seed::Seed(1))];
    assert_eq!(found(&judge(&measured, &paper)[0]), []);
}

#[test]
fn a_cache_that_nobody_declared_is_told() {
    let cached = |per_mille: u64| {
        change(USUAL.level(), |tally| {
            tally.tokens.cached_prompt = tally.tokens.prompt * per_mille / 1000
        })
    };
    edge(Code::CacheUndeclared, Effect::Warn, cached(10), cached(11));
    // A prefix of 100 tokens in half of the prompts of 500: a tenth may be cached.
    let prefix = SharedPrefix { tokens: 100, groups: 4, share_permille: 500 };
    let shared = |per_mille: u64| {
        let mut level = cached(per_mille);
        level.planned.workload.input_tokens = 500.into();
        level.planned.workload.cache = CacheMode::SharedPrefix(prefix);
        level
    };
    // Which prompts have it is drawn, so three standard errors more may be.
    let plain = shared(0);
    let counted = plain.shares.iter().filter_map(|share| share.seal.as_ref());
    let counted: u64 = counted.map(|seal| seal.snapshot.tally.measured.succeeded).sum();
    let chance = 3.0 * 0.2 * (0.25 / counted as f64).sqrt();
    let most = ((0.1 + chance + 0.01) * 1e3) as u64;
    edge(Code::CacheUndeclared, Effect::Warn, shared(most - 1), shared(most + 2));
    let mut replay = cached(500);
    replay.planned.workload.cache = CacheMode::Replay;
    assert_eq!(found(&alone(replay)), []);
}

#[test]
fn an_agent_that_sees_another_target_is_named() {
    let off = |percent: u64, count: u64| {
        let mut level = Windowed { agents: 3, ..USUAL }.level();
        for (place, share) in level.shares.iter_mut().enumerate() {
            let own = if place == 2 { 200_000 * percent / 100 } else { 200_000 };
            let ttft = &mut share.seal.as_mut().unwrap().snapshot.tally.latencies.ttft;
            *ttft = Default::default();
            (0..count).for_each(|_| ttft.record_us(own));
        }
        level
    };
    edge(Code::AgentOutlier, Effect::Warn, off(109, 50), off(112, 50));
    // Seven samples on one side have a chance of 1.6 %, eight of 0.8 %.
    edge(Code::AgentOutlier, Effect::Warn, off(150, 7), off(150, 8));
    let evidence = &alone(off(150, 50)).verdicts[0].evidence;
    assert!(
        evidence.contains("gen-2: 299.9 ms, +50 %") && !evidence.contains("gen-1"),
        "{evidence}"
    );
}

#[test]
fn a_window_that_is_lost_strikes() {
    let lost = change(USUAL.level(), |tally| window(tally).until_ns = None);
    let judgement = alone(lost);
    // One for each agent whose seal lacks it.
    let found = found(&judgement);
    assert!(!found.is_empty());
    assert!(found.iter().all(|found| *found == (Code::RecordLoss, Effect::Invalid)), "{found:?}");
    assert_eq!(judgement.headline, None, "a void level has no status");
}

/// A level with exactly this output rate and an interval of about this half width.
fn with_rate(users: u32, per_s: u64, noise: f64) -> LevelRecord {
    let level = Windowed { users, agents: 1, ..USUAL }.level();
    change(level, |tally| {
        let slots: Vec<FlowSlot> = (0..640u64)
            .map(|place| {
                // Seconds alternate above and below.
                let noise = if place / 10 % 2 == 0 { noise } else { -noise };
                let output = (per_s as f64 / 10.0 * (1.0 + noise)) as u64;
                FlowSlot { output, ..FlowSlot::default() }
            })
            .collect();
        tally.flow = Flow::from_parts(SLOT_NS, slots).unwrap();
        window(tally).arrived.output = per_s * 60;
    })
}

fn load_of(levels: &[LevelRecord]) -> Option<LoadStatus> {
    let last = judged(levels).pop().unwrap();
    last.load.map(|axis| axis.status)
}

#[test]
fn more_load_scales_saturates_or_straddles_by_its_interval() {
    // Doubled users: an elasticity of 0.10 is a gain of 7.18 %.
    let pair = |per_s, noise| load_of(&[with_rate(10, 10_000, noise), with_rate(20, per_s, noise)]);
    assert_eq!(pair(10_900, 0.01), Some(LoadStatus::Scaling));
    assert_eq!(pair(10_500, 0.01), Some(LoadStatus::Saturated));
    assert_eq!(pair(10_720, 0.01), Some(LoadStatus::Undecided));
    assert_eq!(pair(10_900, 0.30), Some(LoadStatus::Undecided));
    assert_eq!(load_of(&[with_rate(10, 10_000, 0.01)]), None, "nothing to compare with");
}

#[test]
fn a_client_that_is_not_proven_leaves_saturation_open() {
    let run = testdata::run();
    let seed = common::seed::Seed(run.header.seed);
    let levels = [with_rate(10, 10_000, 0.01), with_rate(20, 10_500, 0.01)];
    let measured: Vec<_> = levels.iter().map(|level| Measured::of(level, seed)).collect();
    let with = |proofs: Option<&[Proof]>| {
        let last = judge(&measured, &Context { proofs, ..context(&run) }).pop().unwrap();
        let is_told = last.verdicts.iter().any(|verdict| {
            assert!(!verdict.strikes());
            verdict.code == Code::Unproven
        });
        (last.load.map(|axis| axis.status), last.headline, is_told)
    };
    let proof = |passed| Proof {
        passed,
        asked: 40,
        in_flight: Some(40.0),
        requests_per_s: Some(1e6),
        events_per_s: Some(1e6),
        checks: Vec::new(),
    };
    let saturated = (Some(LoadStatus::Saturated), Some(Headline::Saturated), false);
    let open = (Some(LoadStatus::Undecided), Some(Headline::Ok), true);
    assert_eq!(with(None), saturated);
    assert_eq!(with(Some(&[])), open);
    assert_eq!(with(Some(&[proof(false)])), open);
    assert_eq!(with(Some(&[proof(false), proof(true)])), saturated);
    let half = Proof { in_flight: Some(20.0), ..proof(true) };
    assert_eq!(with(Some(&[half])), open);
    // What does not claim saturation needs no proof.
    let rising = [with_rate(10, 10_000, 0.01), with_rate(20, 15_000, 0.01)];
    let measured: Vec<_> = rising.iter().map(|level| Measured::of(level, seed)).collect();
    let judged = judge(&measured, &Context { proofs: Some(&[]), ..context(&run) });
    assert!(judged.iter().all(|j| j.verdicts.iter().all(|v| v.code != Code::Unproven)));
}

#[test]
fn throughput_below_the_best_is_overload_if_that_is_certain() {
    let best = |per_s| {
        load_of(&[
            with_rate(10, 10_000, 0.001),
            with_rate(20, 9_990, 0.001),
            with_rate(40, per_s, 0.001),
        ])
    };
    assert_eq!(best(9_750), Some(LoadStatus::Saturated));
    assert_eq!(best(9_650), Some(LoadStatus::Overloaded));
    // The interval reaches above.
    let noisy = load_of(&[with_rate(10, 10_000, 0.2), with_rate(20, 9_600, 0.2)]);
    assert_ne!(noisy, Some(LoadStatus::Overloaded));
}

#[test]
fn single_measurements_are_judged_by_point_and_say_so() {
    let counted = |users: u32, factor: u64| {
        let shape = Shape {
            fail_every: 0,
            ttft_us: 20_000 * factor,
            itl_us: 2_000 * factor,
            ..Shape::QUICK
        };
        testdata::level(Phase::Scaling, users, u64::from(users) * 60, 1, shape)
    };
    for (factor, status) in
        [(1, LoadStatus::Scaling), (4, LoadStatus::Saturated), (5, LoadStatus::Overloaded)]
    {
        let judgement = judged(&[counted(5, 1), counted(20, factor)]).pop().unwrap();
        let load = judgement.load.unwrap();
        assert_eq!(load.status, status, "{}", load.evidence);
        assert!(load.evidence.contains("provisional"), "{}", load.evidence);
    }
}

#[test]
fn an_open_loop_that_piles_up_is_overloaded() {
    let judgement = alone(Windowed { slowdown: 1.0, users: 1000, ..open(20) }.level());
    let load = judgement.load.as_ref().unwrap();
    assert_eq!(load.status, LoadStatus::Overloaded, "{}", load.evidence);
    assert_eq!(judgement.headline, Some(Headline::Overloaded), "{:?}", judgement.verdicts);
    // The same within less than 30 s is not told.
    let short = Windowed { slowdown: 1.0, users: 1000, window_s: (3, 29), ..open(20) };
    assert_ne!(alone(short.level()).headline, Some(Headline::Overloaded));
}

/// A BASELINE and a level whose latencies are all alike, so that their intervals have no width.
fn latency_of(own_us: u64, counts: (u64, u64), forced: bool) -> Latency {
    let all = |level: LevelRecord, us: u64, count: u64| {
        let mut level = change(level, |tally| {
            for hist in [&mut tally.latencies.e2e, &mut tally.latencies.ntpot] {
                *hist = Default::default();
                (0..count).for_each(|_| hist.record_us(us));
            }
            tally.latencies.e2e_plan = tally.latencies.e2e.clone();
            for counts in [&mut tally.counts, &mut tally.measured] {
                counts.started = count;
                counts.succeeded = count;
                counts.censored = Default::default();
            }
            tally.serial = Default::default();
            tally.tokens.completion = 20 * count;
            tally.tokens.prompt = 500 * count;
            tally.good = 0;
            window(tally).arrived.requests = 10 * 60 * 1_000_000 / us;
        });
        level.planned.workload.forced_length = forced;
        level
    };
    let base = Windowed { phase: Phase::Baseline, users: 1, agents: 1, ..USUAL };
    let own = Windowed { agents: 1, ..USUAL };
    let levels = [all(base.level(), 500_000, counts.0), all(own.level(), own_us, counts.1)];
    let judged = judged(&levels);
    judged[1].latency.as_ref().unwrap().status
}

#[test]
fn latency_is_held_against_the_baseline_where_samples_allow() {
    for forced in [true, false] {
        assert_eq!(latency_of(998_000, (700, 700), forced), Latency::Ok);
        assert_eq!(latency_of(1_002_000, (700, 700), forced), Latency::Degraded);
        // By p95 from 130 samples on, of both.
        assert_eq!(latency_of(1_002_000, (130, 700), forced), Latency::Degraded);
        assert_eq!(latency_of(1_002_000, (129, 700), forced), Latency::Undecided);
    }
}

#[test]
fn objectives_are_tested_one_by_one() {
    let mut run = testdata::run();
    let mut answer = |slo: Slo| {
        run.header.judging.slo = slo;
        let level = Windowed { slo, ..USUAL }.level();
        judged_in(&run, &[level]).remove(0).slo.map(|axis| axis.status)
    };
    let ms = |ms| Some(Duration::from_millis(ms));
    // Times to the first token are 180 to 220 ms, those per token 18 to 22 ms.
    assert_eq!(answer(Slo::default()), None);
    assert_eq!(answer(Slo { ttft: ms(230), ..Slo::default() }), Some(Objective::Met));
    assert_eq!(answer(Slo { ttft: ms(210), ..Slo::default() }), Some(Objective::Missed));
    assert_eq!(answer(Slo { ttft: ms(230), tpot: ms(30), e2e: None }), Some(Objective::Met));
    assert_eq!(answer(Slo { ttft: ms(230), tpot: ms(20), e2e: None }), Some(Objective::Missed));
    assert_eq!(answer(Slo { ttft: ms(230), tpot: None, e2e: ms(500) }), Some(Objective::Missed));
    let short =
        Windowed { window_s: (3, 6), slo: Slo { ttft: ms(230), ..Slo::default() }, ..USUAL };
    run.header.judging.slo = short.slo;
    let few = judged_in(&run, &[short.level()]).remove(0).slo.unwrap();
    assert_eq!(few.status, Objective::Undecided, "{}", few.evidence);
}

#[test]
fn reliability_falls_on_the_side_of_the_share() {
    for (fail_every, failing) in [(20, false), (19, true)] {
        let shape = Shape { fail_every, ..USUAL.shape };
        // Failures end early, so users and rates are not those asked for; the axis is its own.
        let level = testdata::level(Phase::Scaling, 10, 760, 1, shape);
        let reliability = alone(level).reliability.unwrap();
        assert_eq!(reliability.status == Reliability::Failing, failing, "{}", reliability.evidence);
    }
}

#[test]
fn signs_are_those_of_the_draft() {
    let quiet = Shape { fail_every: 0, ..Shape::QUICK };
    let slow = Shape { ttft_us: 100_000, ..quiet };
    let levels = [
        testdata::level(Phase::Scaling, 10, 700, 1, quiet),
        testdata::level(Phase::Scaling, 20, 700, 1, slow),
    ];
    let judged = judged(&levels);
    assert_eq!(judged[0].signs, []);
    assert_eq!(judged[1].signs, [Sign::Knee]);
    let backlog = |percent: u64| {
        let level = change(open(20).level(), |tally| {
            let window = window(tally);
            window.arrived.requests = window.arrived.requests * percent / 100;
        });
        alone(level).signs
    };
    assert_eq!(backlog(92), []);
    assert_eq!(backlog(88), [Sign::Backlog]);
}

fn seed() -> common::seed::Seed {
    common::seed::Seed(u64::MAX)
}

fn best_of(levels: &[LevelRecord]) -> (Option<usize>, Saturation) {
    let judged = judged(levels);
    let measured: Vec<_> = levels.iter().map(|level| Measured::of(level, seed())).collect();
    (peak(&measured, &judged), saturation(&measured, &judged))
}

#[test]
fn saturation_is_the_fewest_users_near_the_best_and_not_the_end_of_the_range() {
    let up = [with_rate(10, 10_000, 0.001), with_rate(20, 19_000, 0.001)];
    let (best, found) = best_of(&up);
    assert_eq!((best, found.users), (Some(1), None), "{}", found.because);
    let flat = [up[0].clone(), up[1].clone(), with_rate(40, 19_500, 0.001)];
    let (best, found) = best_of(&flat);
    assert_eq!((best, found.users), (Some(2), Some(20)), "{}", found.because);
    // A level that is no result is neither the peak nor the end of the range.
    let mut struck = flat.clone();
    struck[2] = vitals(struck[2].clone(), |vitals| vitals.busy_share = 1.0);
    let (best, found) = best_of(&struck);
    assert_eq!((best, found.users), (Some(1), None), "{}", found.because);
}

/// Levels with faults of any kind, of rising users.
fn any_levels() -> impl Strategy<Value = Vec<LevelRecord>> {
    let level = (0usize..6, 0u64..4, 1u32..4);
    prop::collection::vec(level, 1..5).prop_map(|levels| {
        let made = levels.into_iter().zip(1u32..).map(|((fault, slower, agents), step)| {
            let users = step * 7;
            let base = Windowed {
                phase: if step % 2 == 0 { Phase::Saturation } else { Phase::Scaling },
                users,
                agents,
                window_s: (3, 8),
                shape: Shape { ttft_us: 200_000 * (slower + 1), ..USUAL.shape },
                ..USUAL
            };
            let level = base.level();
            match fault {
                0 => vitals(level, |vitals| vitals.busy_share = 0.5),
                1 => change(level, |tally| window(tally).overlap_ns /= 2),
                2 => change(level, |tally| tally.tokens.completion *= 2),
                3 => {
                    let mut level = level;
                    level.planned.load.users += 5;
                    level
                }
                _ => level,
            }
        });
        made.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_level_that_is_struck_is_no_answer_and_never_the_peak(levels in any_levels()) {
        let judged = judged(&levels);
        for judgement in &judged {
            let struck = judgement.verdicts.iter().any(Verdict::strikes);
            prop_assert_eq!(judgement.headline == Some(Headline::Invalid), struck);
            prop_assert!(!struck || (judgement.load.is_none() && judgement.elasticity.is_none()));
        }
        if let Some(place) = best_of(&levels).0 {
            prop_assert!(!judged[place].verdicts.iter().any(Verdict::strikes));
        }
    }

    #[test]
    fn the_order_of_the_agents_changes_nothing(levels in any_levels()) {
        let turned: Vec<LevelRecord> = levels
            .iter()
            .map(|level| {
                let mut level = level.clone();
                level.shares.reverse();
                level
            })
            .collect();
        prop_assert_eq!(judged(&levels), judged(&turned));
    }
}
