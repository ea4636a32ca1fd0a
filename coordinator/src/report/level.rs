//! From a level's numbers and judgements to the values of its report.

use common::hist::LatencyHist;
use common::tally::{Counts, Latencies, Tally, Tokens};

use super::client::{Client, Hosts, ReceiveStamps};
use super::data::{DataUsed, Think};
use super::images::ImagesReport;
use super::model::{
    Axes, AxesEvidence, Distribution, Ends, Facts, LatencyMs, LevelReport, LevelState,
    MaybeInfinite, MeasuredRequests, Paper, PerAgent, RateInterval, Rates, Real, Requests, Sketch,
    TokenSource, TokenSums, Window, WithFailures,
};
use super::prompts::Prompts;
use super::slices::slices;
use crate::campaign::Hardware;
use crate::classify::levels::{self, Elasticity, Judgement, Sign, objective_name};
use crate::classify::{Code, Reliability, paper};
use crate::measure::{Latency, Measured, Percentile, Period, QuantileMs, Worth};
use crate::merge::{LevelTotals, Part};
use crate::plan::Arm;
use crate::record::{LevelFate, LevelRecord};
use crate::stats;

impl LevelReport {
    /// What levels have in common that tell something of each other: the arm and the repeat.
    pub fn series(&self) -> (Option<Arm>, u32) {
        (self.arm, self.repeat)
    }

    /// Whether the level is a result for the load asked for.
    pub fn is_valid(&self) -> bool {
        self.status.is_some() && self.verdicts.iter().all(|verdict| !verdict.strikes())
    }
}

/// A level by itself; its status in the run's mode is filled in later.
pub(super) fn report(
    level: &Measured<'_>,
    judgement: &Judgement,
    hardware: Hardware,
) -> LevelReport {
    let record = level.record;
    let totals = &level.totals;
    let tally = level.tally();
    let wall_s = level.wall.map(Period::length_s);
    let second = |ns: u64| Real::new(ns as f64 / 1e9);
    LevelReport {
        phase: record.planned.phase,
        label: label(level, judgement),
        repeat: record.planned.repeat,
        arm: record.planned.arm,
        attempt: record.id.attempt,
        workload: record.planned.workload.name.to_string(),
        prompts: Prompts::all(&record.planned.workload),
        dataset: record.planned.workload.data.as_ref().map(DataUsed::of),
        think_time_s: record.planned.workload.think_ms.as_ref().map(Think::of),
        users_asked: level.load().users,
        rate_asked_per_s: level.schedule().and_then(|open| Real::new(open.rate.settled().value())),
        in_flight_mean: real(level.in_flight.mean),
        in_flight_min: real(level.in_flight.min),
        in_flight_peak: level.wall.map(|_| tally.in_flight.most()),
        in_flight_below_95pct_share: real(level.in_flight.below_95pct_share),
        requests: requests(tally, totals.unknown_requests),
        measured: measured_requests(level),
        tokens: tokens(&tally.tokens, tally.measured.succeeded),
        images: ImagesReport::of(level),
        wall_s: real(wall_s),
        window: Window {
            start_s: level.period.and_then(|period| second(period.from_ns)),
            end_s: level.period.and_then(|period| second(period.until_ns)),
            steady: judgement.steady,
        },
        rates: rates(level, hardware),
        n_eff: Real::new(level.e2e_worth.n_eff(tally.measured.succeeded))
            .filter(|_| tally.measured.succeeded > 0),
        latency_ms: latency_ms(level),
        slices: slices(level),
        paper: wall_s.map_or_else(Paper::default, |wall| paper_numbers(tally, wall)),
        status: None,
        axes: axes(judgement),
        verdicts: judgement.verdicts.clone(),
        client: Client {
            worker_cpu_max: real(totals.worker_cpu_max()),
            loop_lag_p99_ms: quantile_ms(&tally.latencies.loop_lag, 0.99),
            receive_lag_p99_ms: quantile_ms(&tally.latencies.receive_lag, 0.99),
            send_lag_p99_ms: quantile_ms(&tally.latencies.send_lag, 0.99),
            receive_stamps: ReceiveStamps {
                kernel: tally.latencies.receive_lag.count(),
                user: tally.unstamped,
            },
            host: Hosts::of(totals),
        },
        per_agent: totals.parts.iter().map(|part| per_agent(part, level.period)).collect(),
        histogram_sha256: tally.histogram_digest().to_string(),
        state: state(record, totals),
        in_window: level.window().is_some(),
        planned_label: record.planned.label.clone(),
        purpose: None,
        facts: Facts {
            ordinal: record.id.ordinal,
            failing: judgement
                .reliability
                .as_ref()
                .is_some_and(|axis| axis.status == Reliability::Failing),
            objective: judgement.slo.as_ref().map(|axis| axis.status),
            changed_later: judgement.changed_later,
            piles_up: levels::piles_up(level).is_some() || judgement.signs.contains(&Sign::Backlog),
        },
    }
}

/// A level is labelled with what was in flight where that is not what was asked for.
fn label(level: &Measured<'_>, judgement: &Judgement) -> String {
    let label = &level.record.planned.label;
    let code = Code::ConcurrencyNotReached;
    let lacks_users = judgement.verdicts.iter().any(|verdict| verdict.code == code);
    match level.in_flight.mean.filter(|_| lacks_users) {
        Some(mean) => format!("{label} ({mean:.0} in flight)"),
        None => label.clone(),
    }
}

fn axes(judgement: &Judgement) -> Axes {
    let Judgement { reliability, latency, slo, load, elasticity, .. } = judgement;
    let half = elasticity.and_then(|e| e.half_width);
    let interval = |Elasticity { value, .. }| {
        let half = half?;
        Some([Real::new(value - half)?, Real::new(value + half)?])
    };
    Axes {
        headline: judgement.headline.map(|headline| headline.name()),
        reliability: reliability.as_ref().map(|axis| axis.status.name()),
        latency: latency.as_ref().map(|axis| axis.status.name()),
        slo: slo.as_ref().map(|axis| objective_name(axis.status)),
        load: load.as_ref().map(|axis| axis.status.name()),
        elasticity: elasticity.and_then(|e| Real::new(e.value)),
        elasticity_ci95: elasticity.and_then(interval),
        provisional: load.is_some() && half.is_none(),
        signs: judgement.signs.iter().map(|sign| sign.name()).collect(),
        evidence: AxesEvidence {
            reliability: reliability.as_ref().map(|axis| axis.evidence.clone()),
            latency: latency.as_ref().map(|axis| axis.evidence.clone()),
            slo: slo.as_ref().map(|axis| axis.evidence.clone()),
            load: load.as_ref().map(|axis| axis.evidence.clone()),
        },
    }
}

fn state(record: &LevelRecord, totals: &LevelTotals<'_>) -> LevelState {
    match &record.fate {
        None => LevelState::Unfinished,
        Some(LevelFate::Quarantined(_) | LevelFate::Failed(_)) => LevelState::Void,
        Some(LevelFate::Completed | LevelFate::Stopped(_)) if totals.is_void() => LevelState::Void,
        Some(LevelFate::Completed) => LevelState::Complete,
        Some(LevelFate::Stopped(because)) => LevelState::Stopped(because.clone()),
    }
}

fn requests(tally: &Tally, unknown: u64) -> Requests {
    let counts = &tally.counts;
    let said = tally.details.iter();
    Requests {
        started: counts.started,
        succeeded: counts.succeeded,
        failed: counts.failed_total(),
        censored: counts.censored_total(),
        unknown,
        by_class: counts.by_class().collect(),
        first_detail: said.map(|(class, words)| (class.name(), words.to_owned())).collect(),
    }
}

fn measured_requests(level: &Measured<'_>) -> MeasuredRequests {
    let counts: &Counts = &level.tally().measured;
    MeasuredRequests {
        intended: level.intended,
        started: counts.started,
        succeeded: counts.succeeded,
        failed: counts.failed_total(),
        censored: counts.censored_total(),
        by_class: counts.by_class().collect(),
    }
}

pub(super) fn tokens(tokens: &Tokens, succeeded: u64) -> TokenSums {
    let source = if succeeded == 0 {
        None
    } else if tokens.without_usage == 0 {
        Some(TokenSource::Usage)
    } else if tokens.without_usage < succeeded {
        Some(TokenSource::Mixed)
    } else {
        Some(TokenSource::None)
    };
    let known = match source {
        Some(TokenSource::Usage | TokenSource::Mixed) => Some(tokens),
        Some(TokenSource::None) | None => None,
    };
    TokenSums {
        prompt: known.map(|tokens| tokens.prompt),
        completion: known.map(|tokens| tokens.completion),
        reasoning: known.map(|tokens| tokens.reasoning),
        cached_prompt: known.map(|tokens| tokens.cached_prompt),
        source,
    }
}

fn rates(level: &Measured<'_>, hardware: Hardware) -> Rates {
    let rates = level.rates;
    let per_unit = level.per_unit(hardware);
    let interval = rates.output.zip(level.output_interval).map(|(rate, means)| RateInterval {
        low: Real::new(rate - means.half_width),
        high: Real::new(rate + means.half_width),
        batches: means.count as u64,
        provisional: means.is_provisional(),
    });
    Rates {
        requests_per_s: real(rates.requests),
        events_per_s: real(level.events_per_s()),
        output_tok_s: real(rates.output),
        output_tok_s_ci95: interval,
        prompt_tok_s: real(rates.prompt),
        uncached_prompt_tok_s: real(rates.uncached_prompt),
        total_tok_s: real(rates.total),
        wasted_tok_s: real(rates.wasted),
        goodput_per_s: real(rates.good),
        goodput_share: real(level.good_share()),
        output_tok_s_per_gpu: real(per_unit.output_per_gpu),
        total_tok_s_per_gpu: real(per_unit.total_per_gpu),
        total_tok_s_per_active_b: real(per_unit.total_per_active_b),
        total_tok_s_per_watt: real(per_unit.total_per_watt),
    }
}

fn paper_numbers(tally: &Tally, wall_s: f64) -> Paper {
    let paper = &tally.paper;
    let total = paper.prompt + paper.completion;
    // Successes without a single token are successes whose tokens the server did not count.
    let counted = total > 0 || paper.succeeded == 0;
    let per_s = |count: u64| {
        let rate = stats::ratio(count as f64, wall_s);
        real(rate.filter(|_| counted))
    };
    let ended = tally.counts.started.saturating_sub(tally.counts.censored_total());
    Paper {
        total_tok_s: per_s(total),
        output_tok_s: per_s(paper.completion),
        p50_s: real(paper::percentile_s(&paper.latency, 50)),
        p95_s: real(paper::percentile_s(&paper.latency, 95)),
        p99_s: real(paper::percentile_s(&paper.latency, 99)),
        success: real(stats::ratio(paper.succeeded as f64, ended as f64)),
        status: None,
        first_level_alternative: None,
    }
}

fn latency_ms(level: &Measured<'_>) -> LatencyMs<Distribution> {
    let Latencies {
        ttft,
        ttft_plan,
        e2e,
        e2e_plan,
        tpot,
        ntpot,
        icl,
        send_lag,
        receive_lag,
        loop_lag: _,
    } = &level.tally().latencies;
    let failures = level.tally().measured.failed_total();
    let of_requests =
        |hist, worth| distribution(hist, &Latency::of_requests(hist, worth, failures));
    let of_samples = |hist| distribution(hist, &Latency::of_samples(hist));
    LatencyMs {
        ttft: of_requests(ttft, level.ttft_worth),
        ttft_plan: of_requests(ttft_plan, level.ttft_worth),
        e2e: of_requests(e2e, level.e2e_worth),
        e2e_plan: of_requests(e2e_plan, level.e2e_worth),
        tpot: of_requests(tpot, level.e2e_worth),
        ntpot: of_requests(ntpot, level.e2e_worth),
        icl: of_samples(icl),
        send_lag: of_samples(send_lag),
        receive_lag: of_samples(receive_lag),
    }
}

pub(super) fn distribution(hist: &LatencyHist, latency: &Latency<'_>) -> Distribution {
    use Percentile::{P50, P90, P95, P99, P999};
    let value = |percentile| latency.quantile(percentile).and_then(|q| Real::new(q.value));
    let ends = |percentile| -> Option<Ends> {
        let quantile = latency.quantile(percentile)?;
        Some((Real::new(quantile.lower?)?, real(quantile.upper)))
    };
    let certified = |percentile| real(latency.certified(percentile));
    Distribution {
        count: hist.count(),
        n_eff: Real::new(latency.n_eff()).filter(|_| !hist.is_empty()),
        mean: hist.mean_us().and_then(ms),
        min: hist.min_us().and_then(|us| ms(us as f64)),
        max: hist.max_us().and_then(|us| ms(us as f64)),
        p50: value(P50),
        p90: value(P90),
        p95: value(P95),
        p99: value(P99),
        p999: value(P999),
        p50_ci95: ends(P50),
        p90_ci95: ends(P90),
        p95_ci95: ends(P95),
        p99_ci95: ends(P99),
        p999_ci95: ends(P999),
        p90_certified: certified(P90),
        p95_certified: certified(P95),
        p99_certified: certified(P99),
        p999_certified: certified(P999),
        with_failures: with_failures(latency),
    }
}

fn with_failures(latency: &Latency<'_>) -> Option<WithFailures> {
    if !latency.can_fail() {
        return None;
    }
    let at = |percentile| match latency.with_failures(percentile)? {
        QuantileMs::Value(ms) => Real::new(ms).map(MaybeInfinite::Ms),
        QuantileMs::Infinite => Some(MaybeInfinite::Infinite),
    };
    Some(WithFailures {
        p50: at(Percentile::P50),
        p90: at(Percentile::P90),
        p95: at(Percentile::P95),
        p99: at(Percentile::P99),
        p999: at(Percentile::P999),
    })
}

fn per_agent(part: &Part<'_>, period: Option<Period>) -> PerAgent {
    let tally = part.seal.map(|seal| &seal.snapshot.tally);
    let in_flight = |tally: &Tally| {
        let period = period?;
        match tally.scope.window() {
            Some(window) => stats::ratio(window.in_flight_ns as f64 / 1e9, period.length_s()),
            None => tally.in_flight.mean(period.from_ns, period.until_ns),
        }
    };
    PerAgent {
        agent: part.agent.to_string(),
        users: part.users,
        requests: tally.map(|tally| requests(tally, 0)),
        tokens: tally.map(|tally| tokens(&tally.tokens, tally.measured.succeeded)),
        in_flight_mean: real(tally.and_then(in_flight)),
        latency_ms: tally.map(sketches),
        host: part.seal.and_then(|seal| Some(seal.snapshot.vitals.health.as_ref()?.into())),
    }
}

fn sketches(tally: &Tally) -> LatencyMs<Sketch> {
    let ttft = Worth::of(tally.latencies.ttft.count(), &tally.serial.ttft);
    let e2e = Worth::of(tally.measured.succeeded, &tally.serial.e2e);
    let latencies = &tally.latencies;
    LatencyMs {
        ttft: sketch(&latencies.ttft, ttft),
        ttft_plan: sketch(&latencies.ttft_plan, ttft),
        e2e: sketch(&latencies.e2e, e2e),
        e2e_plan: sketch(&latencies.e2e_plan, e2e),
        tpot: sketch(&latencies.tpot, e2e),
        ntpot: sketch(&latencies.ntpot, e2e),
        icl: sketch(&latencies.icl, Worth::FULL),
        send_lag: sketch(&latencies.send_lag, Worth::FULL),
        receive_lag: sketch(&latencies.receive_lag, Worth::FULL),
    }
}

pub(super) fn sketch(hist: &LatencyHist, worth: Worth) -> Sketch {
    let latency = Latency::of_requests(hist, worth, 0);
    let value = |percentile| real(latency.value(percentile));
    Sketch {
        count: hist.count(),
        mean: hist.mean_us().and_then(ms),
        min: hist.min_us().and_then(|us| ms(us as f64)),
        max: hist.max_us().and_then(|us| ms(us as f64)),
        p50: value(Percentile::P50),
        p90: value(Percentile::P90),
        p95: value(Percentile::P95),
        p99: value(Percentile::P99),
        p999: value(Percentile::P999),
        p99_certified: real(latency.certified(Percentile::P99)),
    }
}

fn real(value: Option<f64>) -> Option<Real> {
    value.and_then(Real::new)
}

fn ms(us: f64) -> Option<Real> {
    Real::new(us / 1e3)
}

fn quantile_ms(hist: &LatencyHist, q: f64) -> Option<Real> {
    hist.quantile_us(q).and_then(ms)
}
