//! From a run's record to the values of its report.

use std::collections::BTreeSet;

use common::phase::Phase;
use common::seed::Seed;

use super::model::{AgentLine, LevelReport, LevelState, Peak, Real, ReportModel};
use super::proof::ClientProof;
use super::saturation::{self, Saturation};
use super::searched::{self, Searched};
use super::serving::ServingReport;
use super::{level, server_history};
use crate::campaign::{self, Campaign, Mode, Overlay, Source, Tier};
use crate::classify::levels::{self, Context, Judgement};
use crate::classify::paper::{self, PaperRow};
use crate::classify::proof;
use crate::compare::Ablated;
use crate::measure::Measured;
use crate::plan::Plan;
use crate::record::{AgentRecord, LevelRecord, RunEnd, RunHeader, RunOutcome, RunRecord, Servers};
use crate::search::Purpose;
use crate::store::{CAMPAIGN_FILE, Damage, outcome_word};

impl ReportModel {
    /// The report of a run, finished or not. `damage` is what its store could not give back.
    pub fn new(record: &RunRecord, damage: &[Damage]) -> Self {
        let header = &record.header;
        let seed = Seed(header.seed);
        let measured: Vec<Measured<'_>> =
            record.measured().map(|level| measure(level, seed)).collect();
        let proofs = record.levels.iter().filter(|level| level.planned.proof.is_some());
        let proofs = proofs.map(|level| measure(level, seed)).filter_map(|level| {
            let proof = proof::of_fleet(&level)?;
            let report = ClientProof::of(&level, &proof)?;
            Some((proof, report))
        });
        let (proofs, client_proof): (Vec<_>, Vec<_>) = proofs.unzip();
        let servers = Servers::of(record);
        let target = server_history::target(record, &servers);
        let context = Context {
            mode: header.mode,
            judging: header.judging,
            agents: &record.agents,
            servers,
            proofs: needs_proof(header).then_some(&proofs),
        };
        let judged = levels::judge(&measured, &context);
        let hardware = header.judging.hardware;
        let mut levels: Vec<LevelReport> =
            measured.iter().zip(&judged).map(|(m, j)| level::report(m, j, hardware)).collect();
        let rows = classify(&mut levels);
        for level in &mut levels {
            level.status = match header.mode {
                Mode::Paper => level.paper.status,
                Mode::Floodmark => level.axes.headline,
            };
        }
        let campaign = campaign_of(&header.campaign_toml);
        let serving = ServingReport::of(record, campaign.as_ref());
        let found = campaign.as_ref().and_then(|campaign| search(campaign, &mut levels));
        let ablation = campaign.as_ref().and_then(|campaign| campaign.ablation.as_ref());
        let ablation = ablation.map(|plan| Ablated::of(record, &levels, plan));
        let baseline = levels.iter().rfind(|level| level.phase == Phase::Baseline);
        let (peak, saturation) = match header.mode {
            Mode::Paper => paper_peak(&levels, &rows),
            Mode::Floodmark => own_peak(&levels, &measured, &judged),
        };
        // Of an ablation there is no peak either: its levels are not those of one server.
        let (peak, saturation) = match &ablation {
            Some(_) => (None, saturation.of_neither()),
            None => (
                peak,
                found.map_or(saturation, |found| found.if_proven(&levels).if_same_server(&levels)),
            ),
        };
        let (outcome, exit_code, because) = match &record.end {
            Some(end) => {
                (outcome_word(end.outcome), Some(end.exit_code), ended_because(end, &levels))
            }
            None => (
                "stopped",
                None,
                "the run has not ended: it goes on, or it was killed before it could finish".into(),
            ),
        };
        Self {
            header: header.clone(),
            finished_at: record.end.as_ref().map(|end| end.finished_at),
            outcome,
            exit_code,
            ended_because: because,
            agents: record.agents.iter().map(agent).collect(),
            baseline_p99_ms: baseline
                .filter(|_| ablation.is_none())
                .and_then(|level| level.paper.p99_s)
                .and_then(|p99_s| Real::new(p99_s.value() * 1e3)),
            saturation,
            repeats: super::repeats(&levels),
            ablation,
            target,
            serving,
            levels,
            peak,
            client_proof,
            damage: damage.iter().map(|seal| damaged(record, seal)).collect(),
        }
    }
}

/// The campaign that a run stored; `None` if this version cannot read it.
fn campaign_of(text: &str) -> Option<Campaign> {
    let source = Source { name: CAMPAIGN_FILE, text };
    campaign::resolve(Some(source), &Overlay::default()).ok()
}

/// Why the run ended. A search that came to its answer said it then; one that does not hold is not
/// repeated.
fn ended_because(end: &RunEnd, levels: &[LevelReport]) -> String {
    let withdrawn = match end.outcome {
        RunOutcome::Completed => saturation::withdrawn(levels),
        RunOutcome::Stopped | RunOutcome::Failed => None,
    };
    match withdrawn {
        None => end.because.clone(),
        Some(why) => format!("the search ended, and what it found does not hold: {why}"),
    }
}

/// What the campaign's search has found, if it has one; levels learn what it ran them for.
fn search(campaign: &Campaign, levels: &mut [LevelReport]) -> Option<Saturation> {
    let search = Plan::of(campaign).search?;
    let searched = Searched::of(&search, levels);
    for level in levels.iter_mut() {
        level.purpose = searched.purpose(level.facts.ordinal).map(Purpose::name);
    }
    Some(searched::saturation(&searched))
}

fn measure(level: &LevelRecord, seed: Seed) -> Measured<'_> {
    Measured::of(level, seed.of_repeat(level.planned.repeat))
}

/// Whether a level may be called saturated only if the client was proven for more.
fn needs_proof(header: &RunHeader) -> bool {
    match (header.mode, header.tier) {
        (Mode::Floodmark, Tier::Thorough) => true,
        (Mode::Floodmark, Tier::Quick | Tier::Default) | (Mode::Paper, _) => false,
    }
}

/// The peak and the saturation point as the paper has them.
fn paper_peak(levels: &[LevelReport], rows: &[(usize, PaperRow)]) -> (Option<Peak>, Saturation) {
    let peak = peak(levels, rows);
    // Without a SATURATION phase nobody looked for it.
    let looked_for = levels.iter().any(|level| level.phase == Phase::Saturation);
    let users = peak.as_ref().filter(|_| looked_for).map(|peak| peak.users);
    let because = match (users, looked_for) {
        (Some(_), _) => "as the paper has it: the users of the peak",
        (None, true) => "there is no peak",
        (None, false) => "there is no SATURATION level",
    };
    (peak, Saturation::of_levels(users, "paper", because.to_owned()))
}

/// The peak among the levels that stand, and the saturation point by what is measured of them.
fn own_peak(
    levels: &[LevelReport],
    measured: &[Measured<'_>],
    judged: &[Judgement],
) -> (Option<Peak>, Saturation) {
    let best = levels::peak(measured, judged).and_then(|place| levels.get(place));
    let peak = best.map(|level| Peak {
        phase: level.phase,
        label: level.label.clone(),
        users: level.users_asked,
        total_tok_s: level.rates.total_tok_s,
        output_tok_s: level.rates.output_tok_s,
        valid: level.is_valid(),
    });
    let levels::Saturation { users, because } = levels::saturation(measured, judged);
    (peak, Saturation::of_levels(users, "floodmark", because))
}

/// A damaged seal, its level by the name that reports use.
fn damaged(record: &RunRecord, damage: &Damage) -> String {
    let mut levels = record.levels.iter();
    match levels.find(|level| level.id == damage.level) {
        Some(LevelRecord { planned, .. }) => format!(
            "the stored seal of agent {} for {}: {}",
            damage.agent,
            planned.title(),
            damage.reason
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

/// Gives every complete level its paper status, and returns them as the classifier saw them, each
/// with its place. The levels of one repeat are compared with each other only.
fn classify(levels: &mut [LevelReport]) -> Vec<(usize, PaperRow)> {
    let mut all = Vec::new();
    let series: BTreeSet<_> = levels.iter().map(LevelReport::series).collect();
    for series in series {
        let rows: Vec<(usize, PaperRow)> = levels
            .iter()
            .enumerate()
            .filter(|(_, level)| level.series() == series && level.state == LevelState::Complete)
            .filter_map(|(place, level)| Some((place, row(level)?)))
            .collect();
        let only_rows: Vec<PaperRow> = rows.iter().map(|(_, row)| *row).collect();
        for ((place, _), verdict) in rows.iter().zip(paper::classify(&only_rows)) {
            if let Some(level) = levels.get_mut(*place) {
                level.paper.status = Some(verdict.status.name());
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
