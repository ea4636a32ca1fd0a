//! Tables 12, 13, 18 to 21 and 25: the peak of each model, and what it is divided by.

use common::phase::Phase;

use super::cell::{Cell, Value};
use super::level;
use super::stated::Stated;
use super::study::{Curve, Kind, PaperRun, Seen, Study, Subject};
use super::table::{PaperTable, numbers, words};
use crate::campaign::{Hardware, Mode};
use crate::report::model::Real;
use crate::report::plain::{CLIP, plain};
use crate::stats::ratio;

const PER_GPU: &str = "per GPU: the models use different numbers of them";
const OTHER_WORK: &str = "the requests of the two ask for different work";

/// The peak of one model with one kind of work.
pub(super) struct Peak<'s, 'a> {
    pub(super) name: String,
    subject: &'s Subject<'a>,
    curve: &'s Curve<'a>,
    /// The level with the most tokens per second, as the paper counts them.
    paper: Option<Seen<'a>>,
    /// The same of those that stand, as floodmark counts them.
    own: Option<Seen<'a>>,
}

/// The peaks of all models with this kind of workload: of the SATURATION phase, or of SCALING where
/// a model has no other.
pub(super) fn peaks<'s, 'a>(study: &'s Study<'a>, kind: Kind) -> Vec<Peak<'s, 'a>> {
    let mut peaks = Vec::new();
    for subject in &study.subjects {
        let finished = |phase: Phase| -> Vec<&Curve<'a>> {
            subject.of_phase(phase, kind).filter(|curve| curve.is_finished()).collect()
        };
        let mut curves = finished(Phase::Saturation);
        if curves.is_empty() {
            curves = finished(Phase::Scaling);
        }
        let several = curves.len() > 1;
        for curve in curves {
            let name = match several {
                true => format!("{} ({})", subject.name, plain(&curve.work.title(), CLIP)),
                false => subject.name.clone(),
            };
            let paper = best(curve, Seen::paper_total);
            let own = best(curve, Seen::own_total);
            peaks.push(Peak { name, subject, curve, paper, own });
        }
    }
    peaks
}

/// The level with the most, of equals the first.
fn best<'a>(curve: &Curve<'a>, of: fn(&Seen<'a>) -> Option<f64>) -> Option<Seen<'a>> {
    let rates = curve.shown().filter_map(|(_, seen)| Some((of(&seen)?, seen)));
    rates.reduce(|a, b| if b.0 > a.0 { b } else { a }).map(|(_, seen)| seen)
}

impl Peak<'_, '_> {
    fn is_known(&self) -> bool {
        self.paper.is_some() || self.own.is_some()
    }

    fn paper_rate(&self) -> Option<f64> {
        self.paper.as_ref().and_then(Seen::paper_total)
    }

    fn own_rate(&self) -> Option<f64> {
        self.own.as_ref().and_then(Seen::own_total)
    }

    /// The run of the peak.
    fn run(&self) -> Option<&PaperRun> {
        let run = self.paper.or(self.own).map(|seen| seen.run);
        run.or_else(|| self.subject.runs.first().copied())
    }

    /// What the campaign says that the model runs on.
    fn hardware(&self) -> Hardware {
        self.run().map_or_else(Hardware::default, |run| run.model.header.judging.hardware)
    }

    fn stated(&self) -> Stated {
        let run = self.run();
        run.map_or_else(Stated::default, |run| Stated::of(&run.model.header.campaign_toml))
    }

    /// Both peaks for each thousand million active parameters, where those are stated.
    pub(super) fn per_billion(&self) -> Option<(Option<f64>, Option<f64>)> {
        let active = self.hardware().active_params_b?;
        let over = |rate: Option<f64>| ratio(rate?, active);
        Some((over(self.paper_rate()), over(self.own_rate())))
    }

    /// Why floodmark's peak is another.
    fn reason(&self) -> String {
        match (&self.paper, &self.own) {
            (Some(paper), None) => {
                format!("no level stands; the paper's peak: {}", level::struck_reason(paper))
            }
            (Some(paper), Some(own)) if paper.level.users_asked != own.level.users_asked => {
                let (users, other) = (own.level.users_asked, paper.level.users_asked);
                match paper.struck_by().is_empty() {
                    true => {
                        format!("the best rate that floodmark measured is that of {users} users")
                    }
                    false => format!(
                        "the best level that stands is that of {users} users; that of {other}: {}",
                        level::struck_reason(paper)
                    ),
                }
            }
            (Some(paper), Some(_)) => level::rate_reason(paper).to_owned(),
            (None, _) => "the paper's client would have counted nothing".to_owned(),
        }
    }

    fn rate(&self) -> Cell {
        let value = |rate: Option<f64>| Value::of(rate, Value::Rate);
        Cell::both(value(self.paper_rate()), value(self.own_rate()), self.reason())
    }

    fn output(&self) -> Cell {
        let paper = self.paper.and_then(|seen| seen.level.paper.output_tok_s);
        let own = self.own.and_then(|seen| seen.level.rates.output_tok_s);
        let value = |rate: Option<Real>| Value::of(rate.map(Real::value), Value::Rate);
        Cell::both(value(paper), value(own), self.reason())
    }

    fn users(&self) -> Cell {
        let value = |seen: &Option<Seen<'_>>| {
            let users = seen.as_ref().map(|seen| seen.level.users_asked.into());
            users.map_or(Value::Missing, Value::Count)
        };
        Cell::both(value(&self.paper), value(&self.own), self.reason())
    }

    /// The paper's saturation point is the users of its peak; floodmark's is found by its own rule.
    fn saturation(&self) -> Cell {
        if self.curve.phase != Phase::Saturation {
            return Cell::plain(Value::Missing);
        }
        let users = self.paper.map(|seen| Value::Count(seen.level.users_asked.into()));
        let paper = users.unwrap_or(Value::Missing);
        let Some(run) = self.own.or(self.paper).map(|seen| seen.run) else {
            return Cell::plain(paper);
        };
        let saturation = &run.model.saturation;
        match run.model.header.mode {
            Mode::Paper => {
                let reason = "in paper mode it looks for no saturation point, since levels have no intervals";
                Cell::both(paper, Value::Missing, reason)
            }
            Mode::Floodmark if saturation.method == "floodmark" && !self.has_highest_of(run) => {
                let reason = "floodmark looks where the throughput of the run is highest, and that \
                              is at other work";
                Cell::both(paper, Value::Missing, reason)
            }
            Mode::Floodmark => {
                let own = saturation.users.map(|users| Value::Count(users.into()));
                Cell::both(paper, own.unwrap_or(Value::Missing), plain(&saturation.because, CLIP))
            }
        }
    }

    /// Whether the highest throughput of the run is that of this kind of work.
    fn has_highest_of(&self, run: &PaperRun) -> bool {
        let peak = run.model.peak.as_ref();
        peak.is_none_or(|peak| {
            let mut levels = run.model.levels.iter();
            let level = levels.find(|l| l.phase == peak.phase && l.label == peak.label);
            level.is_none_or(|level| level.workload == self.curve.work.name)
        })
    }

    fn success(&self) -> Cell {
        let paper = self.paper.as_ref().map(level::success);
        let paper = paper.unwrap_or_else(|| Cell::plain(Value::Missing));
        let Some(own) = &self.own else {
            return Cell::plain(paper.paper);
        };
        Cell::both(paper.paper, level::own_success(own), level::SUCCESS)
    }

    fn active(&self) -> Value {
        self.hardware().active_params_b.map_or(Value::NotStated, Value::Number)
    }
}

/// Table 12 or 13.
pub(super) fn summary(study: &Study<'_>, kind: Kind) -> Result<PaperTable, String> {
    let peaks = with_levels(peaks(study, kind), kind)?;
    let row = |peak: &Peak<'_, '_>| {
        vec![
            Cell::word(&peak.name),
            peak.rate(),
            peak.output(),
            peak.users(),
            peak.saturation(),
            peak.success(),
        ]
    };
    let mut notes: Vec<String> = Vec::new();
    let mut works: Vec<String> = peaks
        .iter()
        .map(|peak| format!("{}: {}", peak.name, plain(&peak.curve.work.shape(), CLIP)))
        .collect();
    works.dedup();
    notes.push(format!("input/output tokens: {}", works.join("; ")));
    for peak in &peaks {
        if peak.curve.phase != Phase::Saturation {
            notes.push(format!(
                "{} has no finished SATURATION level: the peak is that of SCALING, and no saturation \
                 point was looked for",
                peak.name
            ));
        }
        if let Some(note) = peak.curve.repeats_note() {
            notes.push(format!("{}: {note}", peak.name));
        }
    }
    notes.push("success is that of the peak level".to_owned());
    Ok(PaperTable {
        number: numbered(kind, "12", "13"),
        title: format!("peak performance, {}", kind.name()),
        columns: vec![
            words("Model"),
            numbers("Peak tok/s"),
            numbers("Output tok/s"),
            numbers("Peak Conc."),
            numbers("Sat. Point"),
            numbers("Success"),
        ],
        rows: peaks.iter().map(row).collect(),
        notes,
    })
}

/// Table 18 or 19: peaks relative to that of the first model.
pub(super) fn architectures(study: &Study<'_>, kind: Kind) -> Result<PaperTable, String> {
    let peaks = with_levels(peaks(study, kind), kind)?;
    let (Some(base), true) = (peaks.first(), peaks.len() > 1) else {
        return Err(format!("a second model with a {}", kind.name()));
    };
    let row = |peak: &Peak<'_, '_>| {
        let active = match peak.hardware().active_params_b {
            Some(billions) => Value::Word(format!("{}B", Value::Number(billions).shown())),
            None => Value::NotStated,
        };
        let architecture = peak.stated().architecture.map(|text| Value::Word(plain(&text, CLIP)));
        vec![
            Cell::plain(architecture.unwrap_or(Value::NotStated)),
            Cell::word(&peak.name),
            Cell::plain(active),
            peak.rate(),
            against(peak, base),
        ]
    };
    let mut notes = vec![format!("ratios are relative to {}, the first model given", base.name)];
    if peaks.iter().any(|peak| peak.curve.work != base.curve.work) {
        notes.push("the models were not asked for the same work".to_owned());
    }
    Ok(PaperTable {
        number: numbered(kind, "18", "19"),
        title: format!("architecture comparison, {}", kind.name()),
        columns: vec![
            words("Architecture"),
            words("Model"),
            numbers("Active Params"),
            numbers("Peak tok/s"),
            numbers("Ratio"),
        ],
        rows: peaks.iter().map(row).collect(),
        notes,
    })
}

/// The ratio of two peaks; by floodmark's method for each GPU, and only of the same work.
fn against(peak: &Peak<'_, '_>, base: &Peak<'_, '_>) -> Cell {
    let of = |a: Option<f64>, b: Option<f64>| ratio(a?, b?);
    let paper = Value::of(of(peak.paper_rate(), base.paper_rate()), Value::Factor);
    if peak.curve.work != base.curve.work {
        return Cell::both(paper, Value::Missing, OTHER_WORK);
    }
    let gpus = peak.hardware().gpus.zip(base.hardware().gpus);
    let (scale, reason) = match gpus {
        _ if base.own.is_none() => (None, format!("{}: {}", base.name, base.reason())),
        Some((own, other)) if own != other && peak.own.is_some() => {
            (ratio(other, own), PER_GPU.to_owned())
        }
        Some(_) | None => (Some(1.0), peak.reason()),
    };
    let own = of(peak.own_rate(), base.own_rate());
    let own = own.zip(scale).map(|(ratio, scale)| ratio * scale);
    Cell::both(paper, Value::of(own, Value::Factor), reason)
}

/// Table 20 or 21.
pub(super) fn normalised(study: &Study<'_>, kind: Kind) -> Result<PaperTable, String> {
    let peaks = with_levels(peaks(study, kind), kind)?;
    if peaks.iter().all(|peak| peak.per_billion().is_none()) {
        return Err("hardware.active_params_b in the campaign".to_owned());
    }
    let row = |peak: &Peak<'_, '_>| {
        let value = |rate: Option<f64>| Value::of(rate, Value::PerBillion);
        let per_billion = match peak.per_billion() {
            Some((paper, own)) => Cell::both(value(paper), value(own), peak.reason()),
            None => Cell::plain(Value::NotStated),
        };
        vec![Cell::word(&peak.name), Cell::plain(peak.active()), peak.rate(), per_billion]
    };
    Ok(PaperTable {
        number: numbered(kind, "20", "21"),
        title: format!("throughput by active parameters, {}", kind.name()),
        columns: vec![
            words("Model"),
            numbers("Active (B)"),
            numbers("Peak tok/s"),
            numbers("tok/s per B"),
        ],
        rows: peaks.iter().map(row).collect(),
        notes: Vec::new(),
    })
}

/// Table 25.
pub(super) fn acceleration(study: &Study<'_>) -> Result<PaperTable, String> {
    let both = Kind::BOTH.map(|kind| peaks(study, kind));
    let row = |peak: &Peak<'_, '_>| {
        let aiter = match peak.stated().aiter {
            Some(true) => Value::Word("Enabled".to_owned()),
            Some(false) => Value::Word("Disabled".to_owned()),
            None => Value::NotStated,
        };
        let kind = match peak.curve.kind() {
            Kind::Text => "Text",
            Kind::Vision => "Vision",
        };
        vec![
            Cell::word(&peak.name),
            Cell::word(kind),
            Cell::plain(aiter),
            peak.rate(),
            Cell::plain(Value::NotStated),
        ]
    };
    let known = both.iter().flatten().filter(|peak| peak.is_known());
    let rows: Vec<Vec<Cell>> = known.map(row).collect();
    if rows.is_empty() {
        return Err("a finished SATURATION or SCALING level".to_owned());
    }
    Ok(PaperTable {
        number: "25",
        title: "AITER acceleration status".to_owned(),
        columns: vec![
            words("Model"),
            words("Workload"),
            words("AITER"),
            numbers("Peak tok/s"),
            words("Notes"),
        ],
        rows,
        notes: vec![
            "AITER is as the campaign's command to restart the server sets it \
                     (VLLM_ROCM_USE_AITER)"
                .to_owned(),
        ],
    })
}

fn with_levels<'s, 'a>(peaks: Vec<Peak<'s, 'a>>, kind: Kind) -> Result<Vec<Peak<'s, 'a>>, String> {
    if !peaks.iter().any(Peak::is_known) {
        return Err(match kind {
            Kind::Text => "a finished SATURATION or SCALING level whose requests carry no images",
            Kind::Vision => "a finished SATURATION or SCALING level whose requests carry images",
        }
        .to_owned());
    }
    Ok(peaks)
}

fn numbered(kind: Kind, text: &'static str, vision: &'static str) -> &'static str {
    match kind {
        Kind::Text => text,
        Kind::Vision => vision,
    }
}
