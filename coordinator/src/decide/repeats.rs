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
        let wide = match widest(levels) {
            Some((_, percent)) if percent <= limit => {
                let because = format!(
                    "the 95 % interval of the mean total tok/s is within {limit} % of it at every \
                     level (at most {percent:.2} %)"
                );
                return (Vec::new(), because);
            }
            Some((level, percent)) => {
                format!("{level} is known to {percent:.2} % only, not to {limit} %")
            }
            None => "no level has an interval yet".to_owned(),
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

/// The level whose mean is known least, and half of its interval in percent of the mean. `None` if
/// a level has no interval, or there is none.
fn widest(levels: &[LevelReport]) -> Option<(String, f64)> {
    let mut widest: Option<(String, f64)> = None;
    for level in report::repeats(levels) {
        let spread = level.total_tok_s.as_ref()?;
        let half = spread.ci95_half_width?.value() / spread.mean.value() * 100.0;
        if widest.as_ref().is_none_or(|(_, most)| half > *most) {
            widest = Some((format!("{} {}", level.phase, level.label), half));
        }
    }
    widest
}
