//! From a run's record to the values of its report.

use std::collections::BTreeSet;

use common::hist::LatencyHist;
use common::phase::Phase;
use common::tally::{Latencies, Span, Tally, Tokens};

use super::model::{
    AgentLine, Axes, Client, Distribution, LatencyMs, LevelReport, LevelState, Paper, Peak,
    PerAgent, Rates, Real, ReportModel, Requests, Saturation, TokenSource, TokenSums, Window,
};
use crate::classify::paper::{self, PaperRow};
use crate::classify::verdict::{self, Achieved, Verdict};
use crate::merge::{LevelTotals, Part};
use crate::record::{AgentRecord, LevelFate, LevelRecord, RunRecord};
use crate::stats;
use crate::store::{Damage, outcome_word};

impl ReportModel {
    /// The report of a run, finished or not. `damage` is what its store could not give back.
    pub fn new(record: &RunRecord, damage: &[Damage]) -> Self {
        let mut levels: Vec<LevelReport> = record.levels.iter().map(level).collect();
        let rows = classify(&mut levels);
        let baseline = levels.iter().rfind(|level| level.phase == Phase::Baseline);
        let peak = peak(&levels, &rows);
        let (outcome, exit_code, because) = match &record.end {
            Some(end) => (outcome_word(end.outcome), Some(end.exit_code), end.because.clone()),
            None => (
                "stopped",
                None,
                "the run has not ended: it goes on, or it was killed before it could finish".into(),
            ),
        };
        Self {
            header: record.header.clone(),
            finished_at: record.end.as_ref().map(|end| end.finished_at),
            outcome,
            exit_code,
            ended_because: because,
            agents: record.agents.iter().map(agent).collect(),
            baseline_p99_ms: baseline
                .and_then(|level| level.paper.p99_s)
                .and_then(|p99_s| Real::new(p99_s.value() * 1e3)),
            saturation: Saturation {
                // Without a SATURATION phase nobody looked for it.
                users: peak
                    .as_ref()
                    .filter(|_| levels.iter().any(|level| level.phase == Phase::Saturation))
                    .map(|peak| peak.users),
                method: "paper",
                ci: None,
            },
            levels,
            peak,
            damage: damage.iter().map(|seal| damaged(record, seal)).collect(),
        }
    }
}

/// A damaged seal, its level by the name that reports use.
fn damaged(record: &RunRecord, damage: &Damage) -> String {
    let mut levels = record.levels.iter();
    match levels.find(|level| level.id == damage.level) {
        Some(LevelRecord { planned, .. }) => format!(
            "the stored seal of agent {} for {} {}: {}",
            damage.agent, planned.phase, planned.label, damage.reason
        ),
        None => damage.to_string(),
    }
}

fn agent(agent: &AgentRecord) -> AgentLine {
    AgentLine {
        name: agent.name.to_string(),
        agent_id: agent.boot.to_string(),
        address: agent.address.clone(),
        version: agent.version.clone(),
        workers: agent.workers,
        clock_offset_us: agent.clock_offset_us.and_then(Real::new),
        clock_error_us: agent.clock_error_us.and_then(Real::new),
    }
}

/// A level by itself: what depends on other levels is filled in by [`classify`].
fn level(record: &LevelRecord) -> LevelReport {
    let totals = LevelTotals::of(record);
    let tally = &totals.tally;
    let load = record.planned.load;
    // A part of a level's load is not the level: neither its rate nor its number in flight.
    let span = tally.span.filter(|_| !totals.is_void());
    let wall_s = span.map(wall_s).filter(|wall| *wall > 0.0);
    let in_flight = |span: Span| tally.in_flight.mean(span.first_sent_ns, span.last_done_ns);
    let below = |span: Span| {
        let floor = 0.95 * f64::from(load.users);
        let (from, to) = (span.first_sent_ns, span.last_done_ns);
        tally.in_flight.share_below(floor, from, to)
    };
    let achieved = Achieved {
        mean: span.and_then(in_flight),
        below_95pct_share: span.and_then(below),
        little: verdict::little(tally, wall_s),
    };
    let fate = record.fate.as_ref();
    let faults = totals.faults.iter();
    let mut verdicts: Vec<Verdict> = faults.map(|f| Verdict::of_fault(f, fate)).collect();
    let concurrency = verdict::concurrency(load, achieved);
    let planned_label = record.planned.label.clone();
    let label = match (&concurrency, achieved.mean) {
        (Some(_), Some(mean)) => format!("{planned_label} ({mean:.0} in flight)"),
        (Some(_), None) | (None, _) => planned_label.clone(),
    };
    verdicts.extend(concurrency);
    LevelReport {
        phase: record.planned.phase,
        label,
        repeat: record.planned.repeat,
        attempt: record.id.attempt,
        workload: record.planned.workload.name.to_string(),
        users_asked: load.users,
        in_flight_mean: real(achieved.mean),
        in_flight_peak: span.map(|_| tally.in_flight.most()),
        in_flight_below_95pct_share: real(achieved.below_95pct_share),
        requests: requests(tally, totals.unknown_requests),
        tokens: tokens(&tally.tokens, tally.counts.succeeded),
        wall_s: real(wall_s),
        window: Window {
            start_s: span.and_then(|span| Real::new(span.first_sent_ns as f64 / 1e9)),
            end_s: span.and_then(|span| Real::new(span.last_done_ns as f64 / 1e9)),
            steady: None,
        },
        rates: wall_s.map_or_else(Rates::default, |wall| rates(tally, wall)),
        latency_ms: latency_ms(&tally.latencies),
        paper: wall_s.map_or_else(Paper::default, |wall| paper_numbers(tally, wall)),
        status: None,
        axes: Axes::default(),
        verdicts,
        client: Client {
            worker_cpu_max: real(totals.worker_cpu_max()),
            loop_lag_p99_ms: quantile_ms(&tally.latencies.loop_lag, 0.99),
            receive_lag_p99_ms: quantile_ms(&tally.latencies.receive_lag, 0.99),
            send_lag_p99_ms: quantile_ms(&tally.latencies.send_lag, 0.99),
        },
        per_agent: totals.parts.iter().map(|part| per_agent(part, span)).collect(),
        histogram_sha256: tally.histogram_digest().to_string(),
        state: state(record, &totals),
        planned_label,
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

fn wall_s(span: Span) -> f64 {
    span.last_done_ns.saturating_sub(span.first_sent_ns) as f64 / 1e9
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

fn tokens(tokens: &Tokens, succeeded: u64) -> TokenSums {
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

fn rates(tally: &Tally, wall_s: f64) -> Rates {
    let per_s = |count: Option<u64>| real(count.and_then(|n| stats::ratio(n as f64, wall_s)));
    let TokenSums { prompt, completion, .. } = tokens(&tally.tokens, tally.counts.succeeded);
    Rates {
        requests_per_s: per_s(Some(tally.counts.succeeded)),
        output_tok_s: per_s(completion),
        prompt_tok_s: per_s(prompt),
        total_tok_s: per_s(prompt.zip(completion).map(|(prompt, out)| prompt + out)),
        goodput_per_s: None,
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

fn latency_ms(latencies: &Latencies) -> LatencyMs {
    LatencyMs {
        ttft: distribution(&latencies.ttft),
        ttft_plan: distribution(&latencies.ttft_plan),
        e2e: distribution(&latencies.e2e),
        e2e_plan: distribution(&latencies.e2e_plan),
        tpot: distribution(&latencies.tpot),
        icl: distribution(&latencies.icl),
        send_lag: distribution(&latencies.send_lag),
        receive_lag: distribution(&latencies.receive_lag),
    }
}

fn distribution(hist: &LatencyHist) -> Distribution {
    Distribution {
        count: hist.count(),
        mean: hist.mean_us().and_then(ms),
        min: hist.min_us().and_then(|us| ms(us as f64)),
        max: hist.max_us().and_then(|us| ms(us as f64)),
        p50: quantile_ms(hist, 0.5),
        p90: quantile_ms(hist, 0.9),
        p95: quantile_ms(hist, 0.95),
        p99: quantile_ms(hist, 0.99),
        p999: quantile_ms(hist, 0.999),
        p99_certified: stats::certified_p99_us(hist).and_then(ms),
    }
}

fn per_agent(part: &Part<'_>, span: Option<Span>) -> PerAgent {
    let tally = part.seal.map(|seal| &seal.snapshot.tally);
    let in_flight = |tally: &Tally| {
        let span = span?;
        tally.in_flight.mean(span.first_sent_ns, span.last_done_ns)
    };
    PerAgent {
        agent: part.agent.to_string(),
        users: part.users,
        requests: tally.map(|tally| requests(tally, 0)),
        tokens: tally.map(|tally| tokens(&tally.tokens, tally.counts.succeeded)),
        in_flight_mean: real(tally.and_then(in_flight)),
        latency_ms: tally.map(|tally| latency_ms(&tally.latencies)),
    }
}

/// Gives every complete level its paper status, and returns them as the classifier saw them, each
/// with its place. The levels of one repeat are compared with each other only.
fn classify(levels: &mut [LevelReport]) -> Vec<(usize, PaperRow)> {
    let mut all = Vec::new();
    let repeats: BTreeSet<u32> = levels.iter().map(|level| level.repeat).collect();
    for repeat in repeats {
        let rows: Vec<(usize, PaperRow)> = levels
            .iter()
            .enumerate()
            .filter(|(_, level)| level.repeat == repeat && level.state == LevelState::Complete)
            .filter_map(|(place, level)| Some((place, row(level)?)))
            .collect();
        let only_rows: Vec<PaperRow> = rows.iter().map(|(_, row)| *row).collect();
        for ((place, _), verdict) in rows.iter().zip(paper::classify(&only_rows)) {
            if let Some(level) = levels.get_mut(*place) {
                level.status = Some(verdict.status.name());
                level.paper.status = level.status;
                let alternative = verdict.first_level_alternative;
                level.paper.first_level_alternative = alternative.map(paper::PaperStatus::name);
            }
        }
        all.extend(rows);
    }
    all
}

fn row(level: &LevelReport) -> Option<PaperRow> {
    let value = |number: Option<Real>| number.map(Real::value);
    Some(PaperRow {
        phase: level.phase,
        users: level.users_asked,
        total_tok_s: value(level.paper.total_tok_s),
        output_tok_s: value(level.paper.output_tok_s),
        p99_s: value(level.paper.p99_s),
        success: value(level.paper.success)?,
    })
}

/// The level with the most tok/s of those that ask the same of the target at rising loads: a
/// STRESS level with long prompts moves more tokens without more load. Of a run without such
/// levels, any level. A level that moved no token is no peak.
fn peak(levels: &[LevelReport], rows: &[(usize, PaperRow)]) -> Option<Peak> {
    let rising = |row: &PaperRow| match row.phase {
        Phase::Scaling | Phase::Saturation => true,
        Phase::Warmup | Phase::Baseline | Phase::Stress => false,
    };
    let any_rising = rows.iter().any(|(_, row)| rising(row));
    let candidates = rows
        .iter()
        .filter(|(_, row)| rising(row) || !any_rising)
        .filter(|(_, row)| row.total_tok_s.is_some_and(|rate| rate > 0.0));
    let (places, rows): (Vec<usize>, Vec<PaperRow>) = candidates.copied().unzip();
    let level = levels.get(*places.get(paper::peak(&rows)?)?)?;
    Some(Peak {
        phase: level.phase,
        label: level.label.clone(),
        users: level.users_asked,
        total_tok_s: level.paper.total_tok_s,
        output_tok_s: level.paper.output_tok_s,
        valid: level.is_valid(),
    })
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
