//! Levels as a search sees them, and what it makes of them.

use std::time::Duration;

use common::phase::Phase;

use super::probe::probe;
use crate::classify::{Code, Verdict};
use crate::report::{LevelReport, LevelState, Real, ReportModel};
use crate::search::Validity;
use crate::testdata::{Shape, level, run};

fn report() -> LevelReport {
    let level = level(Phase::Saturation, 8, 800, 1, Shape { fail_every: 0, ..Shape::QUICK });
    let record = crate::record::RunRecord { levels: vec![level], ..run() };
    ReportModel::new(&record, &[]).levels.remove(0)
}

fn with(code: Code) -> LevelReport {
    let mut report = report();
    report.verdicts = vec![Verdict::invalid(code, "x".to_owned())];
    report
}

#[test]
fn a_level_is_what_it_achieved_and_an_interval_is_never_missing() {
    let probe = probe(&LevelReport { verdicts: Vec::new(), ..report() }, Duration::from_secs(5));
    assert_eq!(probe.load, 8);
    assert!(probe.in_flight_mean > 7.0 && probe.in_flight_mean <= 8.0, "{probe:?}");
    let rate = probe.rate;
    assert!(rate.lower < rate.mean && rate.mean < rate.upper, "{rate:?}");
    assert_eq!(probe.validity, Validity::Valid);
    assert!(probe.took > Duration::from_secs(5) && !probe.failing);
}

#[test]
fn the_client_is_blamed_for_its_own_faults_only() {
    let validity = |report: &LevelReport| probe(report, Duration::ZERO).validity;
    for code in [Code::ClientLimited, Code::Clock, Code::RecordLoss, Code::LittleViolated] {
        assert_eq!(validity(&with(code)), Validity::ClientLimited, "{code:?}");
    }
    for code in [Code::ConcurrencyNotReached, Code::NotSteady, Code::AgentLost] {
        assert_eq!(validity(&with(code)), Validity::Invalid, "{code:?}");
        let mut failing = with(code);
        failing.facts.failing = true;
        assert_eq!(validity(&failing), Validity::Valid, "{code:?}: the server failed");
    }
    let void = LevelReport { state: LevelState::Void, verdicts: Vec::new(), ..report() };
    assert_eq!(validity(&void), Validity::Invalid);
}

#[test]
fn a_level_without_output_is_judged_by_what_it_has() {
    let mut level = LevelReport { verdicts: Vec::new(), ..report() };
    level.rates.output_tok_s = None;
    level.rates.output_tok_s_ci95 = None;
    level.rates.prompt_tok_s = Real::new(500.0);
    assert_eq!(probe(&level, Duration::ZERO).rate.mean, 500.0);
    level.rates.prompt_tok_s = None;
    level.rates.requests_per_s = None;
    let rate = probe(&level, Duration::ZERO).rate;
    assert_eq!((rate.mean, rate.lower, rate.upper), (0.0, 0.0, 0.0));
}
