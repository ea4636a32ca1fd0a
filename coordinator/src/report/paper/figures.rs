//! Which numbers stand in which figure of the paper.

use common::phase::Phase;

use super::chart::{Bar, Chart, Dot, Line, Marks, Panel};
use super::restarts::restarts;
use super::study::{Curve, Kind, PaperRun, Seen, Study, Subject};
use super::{LeftOut, Value, peaks, value};
use crate::report::plain::{CLIP, plain};

const USERS: &str = "concurrent requests";
const BOTH: &str = "solid: by the paper's rules, at the users asked for; dashed and hollow: by \
                    floodmark's, at the mean in flight, of levels that stand";

/// A figure of the paper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// Its number in the paper.
    pub number: &'static str,
    /// The picture.
    pub svg: String,
}

impl Figure {
    /// The name of its file.
    pub fn file_name(&self) -> String {
        format!("figure-{}.svg", self.number)
    }
}

/// The figures that these runs fill, and those that they do not.
pub fn figures(runs: &[PaperRun]) -> (Vec<Figure>, Vec<LeftOut>) {
    let study = Study::of(runs);
    let mut figures = Vec::new();
    let mut left_out = Vec::new();
    for (number, chart, needs) in [
        ("1", per_billion(&study), "hardware.active_params_b in the campaign"),
        ("2", throughput(&study), "a SCALING or SATURATION level that was finished"),
        ("3", latency(&study), "a SCALING or SATURATION level that was finished"),
        (
            "4",
            spread(&study),
            "two directories or more of one model and workload, or a campaign \
                               with [repeats]",
        ),
    ] {
        match chart {
            Some(chart) => figures.push(Figure { number, svg: chart.svg() }),
            None => LeftOut::add(&mut left_out, &[number], needs.to_owned()),
        }
    }
    (figures, left_out)
}

/// Figure 1.
fn per_billion(study: &Study<'_>) -> Option<Chart> {
    let mut chart = Chart {
        title: "Figure 1: throughput by active parameters".to_owned(),
        notes: vec![
            "total tok/s of the peak over billions of active parameters, logarithmic; text and \
             vision are not comparable: vision counts image tokens"
                .to_owned(),
            "filled: by the paper's rules; dashed outline: by floodmark's, where that differs"
                .to_owned(),
        ],
        ..Chart::default()
    };
    for kind in Kind::BOTH {
        let mut bars = Vec::new();
        for peak in peaks::peaks(study, kind) {
            let Some((paper, own)) = peak.per_billion() else { continue };
            let label = |rate: Option<f64>| Value::of(rate, Value::PerBillion).shown();
            let labels = [label(paper), label(own)];
            let [alike, other] = &labels;
            let own = own.filter(|_| alike != other);
            bars.push(Bar { series: chart.legend.len(), paper, own, labels });
            chart.legend.push(peak.name);
        }
        if bars.iter().any(|bar| bar.paper.or(bar.own).is_some()) {
            let y = "tok/s per billion active parameters";
            chart.panels.push(panel(kind, "", y, true, Marks::Bars(bars)));
        }
    }
    (!chart.panels.is_empty()).then_some(chart)
}

/// Figure 2.
fn throughput(study: &Study<'_>) -> Option<Chart> {
    let mut chart = Chart {
        title: "Figure 2: throughput and concurrent requests".to_owned(),
        notes: vec![BOTH.to_owned()],
        ..Chart::default()
    };
    for kind in Kind::BOTH {
        let lines = lines(study, kind, &mut chart.legend, |seen| {
            let own = seen.level.rates.total_tok_s;
            (seen.paper_total(), value(own))
        });
        if !lines.is_empty() {
            chart.panels.push(panel(kind, USERS, "total tok/s", false, Marks::Lines(lines)));
        }
    }
    (!chart.panels.is_empty()).then_some(chart)
}

/// Figure 3. The paper has an inset for what is small beside its slowest model; a logarithmic axis
/// shows both.
fn latency(study: &Study<'_>) -> Option<Chart> {
    let mut chart = Chart {
        title: "Figure 3: p99 latency and concurrent requests".to_owned(),
        notes: vec![
            BOTH.to_owned(),
            "logarithmic, where the paper has an inset; floodmark's p99 is the certified one, and \
             takes 662 independent samples"
                .to_owned(),
        ],
        ..Chart::default()
    };
    for kind in Kind::BOTH {
        let lines = lines(study, kind, &mut chart.legend, |seen| {
            let paper = value(seen.level.paper.p99_s).filter(|_| seen.is_complete());
            let own = value(seen.level.latency_ms.e2e.p99_certified).map(|ms| ms / 1e3);
            (paper, own)
        });
        if !lines.is_empty() {
            chart.panels.push(panel(kind, USERS, "p99 latency, s", true, Marks::Lines(lines)));
        }
    }
    (!chart.panels.is_empty()).then_some(chart)
}

/// Figure 4.
fn spread(study: &Study<'_>) -> Option<Chart> {
    let mut chart = Chart {
        title: "Figure 4: throughput over restarts, with 95 % intervals".to_owned(),
        notes: vec![
            "bars: 95 % interval of the mean by Student's t".to_owned(),
            "solid: by the paper's rules, all restarts that were finished; dashed and hollow: by \
             floodmark's, those that stand; both at the users asked for"
                .to_owned(),
        ],
        ..Chart::default()
    };
    for kind in Kind::BOTH {
        let mut all = Vec::new();
        for (subject, name, curve) in rising(study, kind) {
            let levels: Vec<_> = curve.points.iter().filter_map(restarts).collect();
            if levels.is_empty() {
                continue;
            }
            let series = chart.legend.len();
            let paper = levels.iter().map(|level| Dot {
                x: f64::from(level.users),
                y: level.paper.mean,
                half: level.paper.ci95_half_width,
            });
            // Two servers under one name are no restarts of one.
            let alike = subject.differs().is_none();
            let own = levels.iter().filter(|_| alike).filter_map(|level| {
                let spread = level.own.as_ref()?;
                let half = value(spread.ci95_half_width);
                Some(Dot { x: f64::from(level.users), y: spread.mean.value(), half })
            });
            let most = levels.iter().map(|level| level.paper.n).max().unwrap_or(0);
            all.push(Line { series, own: false, points: paper.collect() });
            all.extend(Some(Line { series, own: true, points: own.collect() }).filter(drawn));
            chart.legend.push(format!("{name}, n = {most}"));
        }
        if !all.is_empty() {
            chart.panels.push(panel(kind, USERS, "total tok/s", false, Marks::Lines(all)));
        }
    }
    (!chart.panels.is_empty()).then_some(chart)
}

/// A model, what a series of its levels is called, and the levels.
type Rising<'s, 'a> = (&'s Subject<'a>, String, &'s Curve<'a>);

/// The levels of rising load, a series for each phase of each model: different phases ask for
/// different work, and no line joins them.
fn rising<'s, 'a>(study: &'s Study<'a>, kind: Kind) -> Vec<Rising<'s, 'a>> {
    let of = |subject: &'s Subject<'a>| {
        let phases = [Phase::Scaling, Phase::Saturation].into_iter();
        let curves = phases.flat_map(move |phase| subject.of_phase(phase, kind));
        curves.map(move |curve| {
            let phase = curve.phase.name();
            let name = format!("{}, {phase} {}", subject.name, plain(&curve.work.shape(), CLIP));
            (subject, name, curve)
        })
    };
    study.subjects.iter().flat_map(of).collect()
}

/// Both lines of each series that has a value.
fn lines<'a>(
    study: &Study<'a>,
    kind: Kind,
    legend: &mut Vec<String>,
    of: impl Fn(&Seen<'a>) -> (Option<f64>, Option<f64>),
) -> Vec<Line> {
    let mut lines = Vec::new();
    for (_, name, curve) in rising(study, kind) {
        let series = legend.len();
        let dot = |x: f64, y: Option<f64>| Some(Dot { x, y: y?, half: None });
        let paper = curve.shown().filter_map(|(users, seen)| dot(f64::from(users), of(&seen).0));
        let mut own: Vec<Dot> = curve
            .shown()
            .filter(|(_, seen)| seen.stands_for_its_load())
            .filter_map(|(_, seen)| dot(value(seen.level.in_flight_mean)?, of(&seen).1))
            .collect();
        own.sort_by(|a, b| a.x.total_cmp(&b.x));
        let both = [
            Line { series, own: false, points: paper.collect() },
            Line { series, own: true, points: own },
        ];
        let before = lines.len();
        lines.extend(both.into_iter().filter(drawn));
        if lines.len() > before {
            legend.push(name);
        }
    }
    lines
}

fn drawn(line: &Line) -> bool {
    !line.points.is_empty()
}

fn panel(kind: Kind, x: &str, y: &str, log_y: bool, marks: Marks) -> Panel {
    Panel { title: kind.name().to_owned(), x: x.to_owned(), y: y.to_owned(), log_y, marks }
}
