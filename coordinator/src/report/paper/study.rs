//! The runs of a report sorted out: by model, phase and work, and by users within each.

use common::phase::Phase;

use super::stated::{Stated, Work};
use crate::classify::Code;
use crate::report::model::{LevelReport, LevelState, Real, ReportModel};
use crate::report::plain::{CLIP, plain};

/// One result directory.
#[derive(Clone, Debug)]
pub struct PaperRun {
    /// Its name, as it was given.
    pub name: String,
    /// Its report.
    pub model: ReportModel,
}

/// All runs, sorted out.
pub(super) struct Study<'a> {
    /// The models, in the order in which they first come.
    pub(super) subjects: Vec<Subject<'a>>,
    /// Levels of open loops, which have no number of users.
    pub(super) open_loops: usize,
}

/// One model.
pub(super) struct Subject<'a> {
    /// What tables call it.
    pub(super) name: String,
    /// Its model, in full.
    pub(super) model: &'a str,
    /// Its runs.
    pub(super) runs: Vec<&'a PaperRun>,
    /// Its levels.
    pub(super) curves: Vec<Curve<'a>>,
}

/// The levels of one phase with one kind of work.
pub(super) struct Curve<'a> {
    pub(super) phase: Phase,
    pub(super) work: Work,
    /// By users.
    pub(super) points: Vec<Point<'a>>,
}

/// A level, as often as it was run.
pub(super) struct Point<'a> {
    pub(super) users: u32,
    pub(super) seen: Vec<Seen<'a>>,
}

/// A level of one run.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) run: &'a PaperRun,
    pub(super) level: &'a LevelReport,
}

/// The two kinds of workload that the paper keeps apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Vision,
}

impl Kind {
    pub(super) const BOTH: [Self; 2] = [Self::Text, Self::Vision];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Text => "text-only workload",
            Self::Vision => "vision workload",
        }
    }
}

impl<'a> Study<'a> {
    pub(super) fn of(runs: &'a [PaperRun]) -> Self {
        let mut study = Self { subjects: Vec::new(), open_loops: 0 };
        for run in runs {
            let model = run.model.header.model.as_str();
            let place = study.subjects.iter().position(|subject| subject.model == model);
            let place = place.unwrap_or_else(|| {
                let (runs, curves) = (Vec::new(), Vec::new());
                study.subjects.push(Subject { name: String::new(), model, runs, curves });
                study.subjects.len() - 1
            });
            if let Some(subject) = study.subjects.get_mut(place) {
                study.open_loops += subject.take(run);
            }
        }
        for subject in &mut study.subjects {
            for curve in &mut subject.curves {
                curve.points.sort_by_key(|point| point.users);
            }
        }
        study.name_subjects();
        study
    }

    /// A model is called by what follows the last slash, unless two are alike in that.
    fn name_subjects(&mut self) {
        let last = |model: &str| model.rsplit('/').next().unwrap_or(model).trim().to_owned();
        let lasts: Vec<String> = self.subjects.iter().map(|s| last(s.model)).collect();
        for (subject, short) in self.subjects.iter_mut().zip(&lasts) {
            let alone = lasts.iter().filter(|other| *other == short).count() == 1;
            let name = if alone && !short.is_empty() { short } else { subject.model };
            subject.name = plain(name, CLIP);
            if subject.name.is_empty() {
                subject.name = "model not stated".to_owned();
            }
        }
    }
}

impl<'a> Subject<'a> {
    /// Takes in the levels of a run, and returns how many have no number of users. Those of an
    /// ablation are those of two servers, and none of this one.
    fn take(&mut self, run: &'a PaperRun) -> usize {
        self.runs.push(run);
        let stated = Stated::of(&run.model.header.campaign_toml);
        let mut open_loops = 0;
        for level in run.model.levels.iter().filter(|level| level.arm.is_none()) {
            if level.rate_asked_per_s.is_some() {
                open_loops += 1;
                continue;
            }
            let seen = Seen { run, level };
            let work = stated.work(&level.workload);
            let curve = self.curves.iter_mut().find(|c| c.phase == level.phase && c.work == work);
            match curve {
                Some(curve) => curve.put(seen),
                None => {
                    let point = Point { users: level.users_asked, seen: vec![seen] };
                    let points = vec![point];
                    self.curves.push(Curve { phase: level.phase, work, points });
                }
            }
        }
        open_loops
    }

    /// Its curves of a phase, of one kind of workload.
    pub(super) fn of_phase(&self, phase: Phase, kind: Kind) -> impl Iterator<Item = &Curve<'a>> {
        self.curves.iter().filter(move |curve| curve.phase == phase && curve.kind() == kind)
    }

    /// Why its runs are not those of one server; `None` if nothing says so.
    pub(super) fn differs(&self) -> Option<String> {
        let differ = |of: &dyn Fn(&ReportModel) -> Option<String>| {
            let mut said: Vec<String> = self.runs.iter().filter_map(|r| of(&r.model)).collect();
            said.sort();
            said.dedup();
            (said.len() > 1).then(|| said.join(", "))
        };
        let gpus = |model: &ReportModel| Some(model.header.judging.hardware.gpus?.to_string());
        let version = |model: &ReportModel| model.target.version.clone();
        let found = differ(&version).map(|said| ("versions of the server", said));
        let (what, said) = found.or_else(|| Some(("numbers of GPUs", differ(&gpus)?)))?;
        let code = Code::ServerChanged.name();
        Some(format!("{code}: the runs are those of different {what} ({})", plain(&said, CLIP)))
    }
}

impl<'a> Curve<'a> {
    fn put(&mut self, seen: Seen<'a>) {
        let users = seen.level.users_asked;
        match self.points.iter_mut().find(|point| point.users == users) {
            Some(point) => point.seen.push(seen),
            None => self.points.push(Point { users, seen: vec![seen] }),
        }
    }

    pub(super) fn kind(&self) -> Kind {
        if self.work.is_vision() { Kind::Vision } else { Kind::Text }
    }

    /// Whether any level of it was finished.
    pub(super) fn is_finished(&self) -> bool {
        self.points.iter().any(|point| point.complete().next().is_some())
    }

    /// What tables of single runs show of each point.
    pub(super) fn shown(&self) -> impl Iterator<Item = (u32, Seen<'a>)> {
        self.points.iter().filter_map(|point| Some((point.users, point.shown()?)))
    }

    /// A note where tables of single runs leave repeats out.
    pub(super) fn repeats_note(&self) -> Option<String> {
        let repeated = self.points.iter().any(|point| point.complete().count() > 1);
        repeated.then(|| {
            "levels were run more than once: the first run that was finished is shown, table 24 \
             has the mean"
                .to_owned()
        })
    }
}

impl<'a> Point<'a> {
    /// The first run that was finished; if there is none, the first.
    fn shown(&self) -> Option<Seen<'a>> {
        self.complete().next().or_else(|| self.seen.first().copied())
    }

    pub(super) fn complete(&self) -> impl Iterator<Item = Seen<'a>> {
        self.seen.iter().copied().filter(|seen| seen.is_complete())
    }
}

impl Seen<'_> {
    pub(super) fn is_complete(&self) -> bool {
        self.level.state == LevelState::Complete
    }

    /// Tokens per second as the paper counts them, of a level that was finished.
    pub(super) fn paper_total(&self) -> Option<f64> {
        self.level.paper.total_tok_s.filter(|_| self.is_complete()).map(Real::value)
    }

    /// The same by floodmark's own count, of a level that stands.
    pub(super) fn own_total(&self) -> Option<f64> {
        self.level.rates.total_tok_s.filter(|_| self.level.is_valid()).map(Real::value)
    }

    /// What strikes the level; empty if nothing does.
    pub(super) fn struck_by(&self) -> Vec<&'static str> {
        let mut codes: Vec<&'static str> = Vec::new();
        for verdict in self.level.verdicts.iter().filter(|verdict| verdict.strikes()) {
            if !codes.contains(&verdict.code.name()) {
                codes.push(verdict.code.name());
            }
        }
        codes
    }

    /// Whether its numbers are a result for what was in flight, be that what was asked for or not.
    pub(super) fn stands_for_its_load(&self) -> bool {
        let code = Code::ConcurrencyNotReached;
        let mut striking = self.level.verdicts.iter().filter(|verdict| verdict.strikes());
        self.level.status.is_some() && striking.all(|verdict| verdict.code == code)
    }

    /// Mean in flight where the users asked for were not.
    pub(super) fn not_reached(&self) -> Option<f64> {
        let code = Code::ConcurrencyNotReached;
        let lacks_users = self.level.verdicts.iter().any(|verdict| verdict.code == code);
        self.level.in_flight_mean.filter(|_| lacks_users).map(Real::value)
    }
}
