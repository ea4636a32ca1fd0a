//! Repeats that stop early: once the interval of the mean throughput is narrow enough at every
//! level, another repeat would only confirm it (the method, section 3.15).

use std::collections::VecDeque;
use std::time::Duration;

use crate::campaign::Until;
use crate::plan::PlannedLevel;
use crate::report::{self, LevelReport};

/// The repeats that may follow.
#[derive(Debug)]
pub struct MoreRepeats {
    until: Until,
    spare: VecDeque<Vec<PlannedLevel>>,
}

impl MoreRepeats {
    /// These may follow, in this order, until it is enough.
    pub fn new(until: Until, spare: Vec<Vec<PlannedLevel>>) -> Self {
        Self { until, spare: spare.into() }
    }

    /// The next repeat, or none, and why.
    pub(super) fn decide(&mut self, levels: &[LevelReport]) -> (Vec<PlannedLevel>, String) {
        let limit = self.until.half_width_percent;
        let wide = match widest(levels, self.until.least as usize) {
            Ok((_, percent)) if percent <= limit => {
                let because = format!(
                    "the 95 % interval of the mean total tok/s is within {limit} % of it at every \
                     level (at most {percent:.2} %)"
                );
                return (Vec::new(), because);
            }
            Ok((level, percent)) => {
                format!("{level} is known to {percent:.2} % only, not to {limit} %")
            }
            Err(why) => why,
        };
        let Some(mut next) = self.spare.pop_front() else {
            return (Vec::new(), format!("every repeat was run; {wide}"));
        };
        if self.spare.is_empty()
            && let Some(last) = next.last_mut()
        {
            last.cooldown = Duration::ZERO;
        }
        (next, wide)
    }
}

/// The level whose mean is known least, and half of its interval in percent of the mean; or why
/// there is no saying.
fn widest(levels: &[LevelReport], least: usize) -> Result<(String, f64), String> {
    let mut widest: Option<(String, f64)> = None;
    for level in report::repeats(levels) {
        let name = format!("{} {}", level.phase, level.label);
        if level.n < least {
            return Err(format!("{name} has {} repeats that count, not {least}", level.n));
        }
        let spread = level.total_tok_s.as_ref();
        let half = spread
            .and_then(|spread| Some(spread.ci95_half_width?.value() / spread.mean.value() * 100.0));
        let Some(half) = half.filter(|half| half.is_finite()) else {
            return Err(format!("the total tok/s of {name} is not known in every repeat"));
        };
        if widest.as_ref().is_none_or(|(_, most)| half > *most) {
            widest = Some((name, half));
        }
    }
    widest.ok_or_else(|| "no level was repeated".to_owned())
}

#[cfg(test)]
mod tests {
    use common::phase::Phase;

    use super::*;
    use crate::classify::{Code, Verdict};
    use crate::record::RunRecord;
    use crate::report::{Real, ReportModel};
    use crate::testdata::{Shape, level, run};

    /// One level with these total tok/s in its repeats.
    fn repeated(rates: &[f64]) -> Vec<LevelReport> {
        let record = level(Phase::Scaling, 4, 400, 1, Shape { fail_every: 0, ..Shape::QUICK });
        let model = ReportModel::new(&RunRecord { levels: vec![record], ..run() }, &[]);
        let of = |(repeat, rate): (u32, &f64)| {
            let mut level = model.levels[0].clone();
            level.repeat = repeat;
            level.verdicts = Vec::new();
            level.rates.total_tok_s = Real::new(*rate);
            level
        };
        (0..).zip(rates).map(of).collect()
    }

    fn more(spare: usize) -> MoreRepeats {
        let level = level(Phase::Scaling, 4, 400, 1, Shape::QUICK).planned;
        let until = Until { half_width_percent: 2.0, least: 3 };
        MoreRepeats::new(until, vec![vec![level]; spare])
    }

    #[test]
    fn it_goes_on_until_the_interval_is_narrow_and_enough_repeats_count() {
        let (next, because) = more(2).decide(&repeated(&[100.0, 100.1, 99.9]));
        assert!(next.is_empty() && because.contains("within 2 %"), "{because}");
        let mut two = more(2);
        let (next, because) = two.decide(&repeated(&[100.0, 110.0, 90.0]));
        assert!(
            next.len() == 1 && because.contains("SCALING 4 is known to 24.84 % only"),
            "{because}"
        );
        // Only the last that may follow has no pause after it.
        assert!(next[0].cooldown > Duration::ZERO);
        let (next, _) = two.decide(&repeated(&[100.0, 110.0, 90.0, 100.0]));
        assert_eq!(next[0].cooldown, Duration::ZERO);
        let (next, because) = two.decide(&repeated(&[100.0, 110.0, 90.0, 100.0, 99.0]));
        assert!(next.is_empty() && because.starts_with("every repeat was run; "), "{because}");
        let mut struck = repeated(&[100.0, 100.0, 100.0]);
        struck[1].verdicts = vec![Verdict::invalid(Code::NotSteady, String::new())];
        let (next, because) = more(1).decide(&struck);
        assert!(next.len() == 1 && because.contains("2 repeats that count, not 3"), "{because}");
    }
}
