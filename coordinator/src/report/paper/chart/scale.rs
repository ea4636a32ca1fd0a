//! From values to places on an axis, and the ticks of the axis.

use crate::report::paper::cell::Value;

/// Ticks of an axis, about.
const TICKS: f64 = 6.0;
/// Parts of a decade that a tick may stand at.
const STEPS: [f64; 3] = [1.0, 2.0, 5.0];

/// How an axis is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Law {
    /// Evenly, from 0 to the largest value or the next step.
    Users,
    /// Evenly, from 0, with a little room.
    Linear,
    /// By factors.
    Log,
}

/// An axis: linear from 0, or logarithmic.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scale {
    log: bool,
    low: f64,
    high: f64,
}

impl Scale {
    /// An axis that has room for these values. Of a logarithmic one those that are not above 0 have
    /// no place, and lie on its lower end.
    pub(super) fn of(values: impl Iterator<Item = f64>, law: Law) -> Self {
        let fits = |value: &f64| value.is_finite() && *value > 0.0;
        let (mut low, mut high) = (f64::INFINITY, 0.0f64);
        for value in values.filter(fits) {
            // What cannot be drawn to scale is drawn at the end of it.
            let value = value.clamp(1e-12, 1e15);
            low = low.min(value);
            high = high.max(value);
        }
        if high == 0.0 {
            return Self { log: false, low: 0.0, high: 1.0 };
        }
        let up_to = |high| Self { log: false, low: 0.0, high: Self::ceiling(high) };
        match law {
            Law::Users => up_to(high),
            Law::Linear => up_to(high * 1.02),
            Law::Log => {
                let (low, high) = (below(low), above(high));
                let high = if high > low { high } else { low * 10.0 };
                Self { log: true, low, high }
            }
        }
    }

    /// A value that is a whole step, or the next that is.
    fn ceiling(value: f64) -> f64 {
        let step = step(value);
        (value / step - 1e-6).ceil().max(1.0) * step
    }

    /// Where a value lies, from 0 to 1.
    pub(super) fn place(&self, value: f64) -> f64 {
        let place = match self.log {
            true => (value.max(self.low) / self.low).ln() / (self.high / self.low).ln(),
            false => (value - self.low) / (self.high - self.low),
        };
        if place.is_finite() { place.clamp(0.0, 1.0) } else { 0.0 }
    }

    /// The values that are marked.
    pub(super) fn ticks(&self) -> Vec<f64> {
        if !self.log {
            let step = step(self.high);
            let count = (self.high / step).round() as u32;
            return (0..=count.min(20)).map(|tick| f64::from(tick) * step).collect();
        }
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let decades = last - first;
        let every = usize::try_from(decades / 8).unwrap_or(0) + 1;
        let steps = if decades <= 3 { STEPS.as_slice() } else { &[1.0] };
        let all = (first..=last).step_by(every);
        let all = all.flat_map(|decade| steps.iter().map(move |s| s * 10f64.powi(decade)));
        let inside = |tick: &f64| *tick >= self.low * 0.999 && *tick <= self.high * 1.001;
        all.filter(inside).collect()
    }
}

/// A round step that gives an axis up to `high` about so many ticks.
fn step(high: f64) -> f64 {
    let rough = high / TICKS;
    let decade = 10f64.powf(rough.log10().floor());
    let steps = STEPS.into_iter().map(|step| step * decade);
    steps.into_iter().find(|step| *step >= rough * 0.999).unwrap_or(10.0 * decade)
}

/// The largest round number that leaves a little room below a value.
fn below(value: f64) -> f64 {
    let value = value * 0.8;
    let decade = 10f64.powf(value.log10().floor());
    let steps = STEPS.into_iter().rev().map(|step| step * decade);
    steps.into_iter().find(|step| *step <= value * 1.001).unwrap_or(decade)
}

/// The smallest round number that leaves a little room above a value.
fn above(value: f64) -> f64 {
    let value = value * 1.05;
    let decade = 10f64.powf(value.log10().floor());
    let steps = STEPS.into_iter().map(|step| step * decade);
    steps.into_iter().find(|step| *step >= value * 0.999).unwrap_or(10.0 * decade)
}

/// What stands at a tick.
pub(super) fn label(tick: f64) -> String {
    if tick == 0.0 { "0".to_owned() } else { Value::Number(tick).shown() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn axes_of_the_papers_figures() {
        let labels = |values: &[f64], law| -> Vec<String> {
            Scale::of(values.iter().copied(), law).ticks().into_iter().map(label).collect()
        };
        let thousand = ["0", "200", "400", "600", "800", "1,000"];
        assert_eq!(labels(&[150.0, 1_000.0], Law::Users), thousand);
        assert_eq!(labels(&[150.0, 1_000.0], Law::Linear).last().unwrap(), "1,200");
        let powers = ["20", "50", "100", "200", "500", "1,000", "2,000", "5,000"];
        assert_eq!(labels(&[39.0, 2_176.0], Law::Log), powers);
        let small = ["0.02", "0.05", "0.1", "0.2", "0.5", "1", "2", "5"];
        assert_eq!(labels(&[0.05, 3.0], Law::Log), small);
        assert_eq!(labels(&[], Law::Log), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
    }

    proptest! {
        #[test]
        fn values_lie_in_order_between_the_ends(
            mut values in prop::collection::vec(1e-9..1e12f64, 1..20), law in prop::sample::select(vec![Law::Users, Law::Linear, Law::Log])
        ) {
            values.sort_by(f64::total_cmp);
            let scale = Scale::of(values.iter().copied(), law);
            let places: Vec<f64> = values.iter().map(|value| scale.place(*value)).collect();
            prop_assert!(places.is_sorted() && places.iter().all(|p| (0.0..=1.0).contains(p)));
            let ticks = scale.ticks();
            prop_assert!((2..=22).contains(&ticks.len()), "{:?}", ticks);
            prop_assert!(ticks.is_sorted());
            prop_assert!(scale.place(values[values.len() - 1]) > 0.2);
        }
    }
}
