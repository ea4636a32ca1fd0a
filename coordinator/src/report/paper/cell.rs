//! A cell of a table: its value by the paper's method, and by floodmark's own where that is another.

use crate::report::text::grouped;

/// A value as a table prints it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Not measured, or undefined.
    Missing,
    /// The result directory does not say.
    NotStated,
    /// Words.
    Word(String),
    /// A number of users or runs.
    Count(u64),
    /// A number without a unit of its own.
    Number(f64),
    /// Tokens per second.
    Rate(f64),
    /// Tokens per second and thousand million parameters.
    PerBillion(f64),
    /// A mean of such rates, and half its 95 % interval.
    Mean {
        /// The mean.
        mean: f64,
        /// Half the interval; `None` where one run gives none.
        half: Option<f64>,
    },
    /// Half of an interval.
    Half(f64),
    /// A latency.
    Seconds(f64),
    /// A share of requests. 100 % is all of them, and nothing less is rounded to it.
    Success(f64),
    /// Another share.
    Percent {
        /// The share.
        share: f64,
        /// Decimals of its percentage.
        decimals: usize,
    },
    /// A difference as a share, and what a test says of it.
    Change {
        /// The share.
        share: f64,
        /// The test's word, empty without one.
        test: String,
    },
    /// One value over another.
    Factor(f64),
    /// Memory.
    Gib(f64),
}

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// By the paper's method.
    pub paper: Value,
    /// By floodmark's own; `None` where that is the same, or does not exist.
    pub own: Option<Own>,
}

/// A value by floodmark's own method.
#[derive(Clone, Debug, PartialEq)]
pub struct Own {
    /// The value.
    pub value: Value,
    /// Why it is another.
    pub reason: String,
}

impl Value {
    /// What is known, or a dash.
    pub(super) fn of(value: Option<f64>, kind: fn(f64) -> Self) -> Self {
        value.map_or(Self::Missing, kind)
    }

    /// As people read it.
    pub fn shown(&self) -> String {
        match self {
            Self::Missing => "-".to_owned(),
            Self::NotStated => "not stated".to_owned(),
            Self::Word(word) => word.clone(),
            Self::Count(count) => grouped(&count.to_string()),
            Self::Number(value) => short(*value),
            Self::Rate(rate) | Self::PerBillion(rate) => rounded(*rate),
            Self::Mean { mean, half: None } => rounded(*mean),
            Self::Mean { mean, half: Some(half) } => {
                format!("{} ± {}", rounded(*mean), whole(*half))
            }
            Self::Half(half) => format!("±{}", whole(*half)),
            Self::Seconds(s) if *s < 0.995 => format!("{s:.3}s"),
            Self::Seconds(s) => format!("{}s", fixed(*s, 2)),
            Self::Success(share) if *share >= 1.0 => "100%".to_owned(),
            Self::Success(share) => format!("{:.2}%", (share * 1e4).floor() / 1e2),
            Self::Percent { share, decimals } => format!("{}%", fixed(share * 1e2, *decimals)),
            Self::Change { share, test } => {
                let number = fixed(share * 1e2, 1);
                let sign = if number.starts_with('-') { "" } else { "+" };
                let gap = if test.is_empty() { "" } else { " " };
                format!("{sign}{number}%{gap}{test}")
            }
            Self::Factor(factor) => format!("{}×", fixed(*factor, 2)),
            Self::Gib(gib) => format!("{} GiB", fixed(*gib, 1)),
        }
    }

    /// As programs read it: in full, without unit; empty for what is not there.
    pub fn raw(&self) -> String {
        match self {
            Self::Missing | Self::NotStated => String::new(),
            Self::Word(word) => word.clone(),
            Self::Count(count) => count.to_string(),
            Self::Number(value)
            | Self::Rate(value)
            | Self::PerBillion(value)
            | Self::Mean { mean: value, half: None }
            | Self::Half(value)
            | Self::Seconds(value)
            | Self::Factor(value)
            | Self::Gib(value) => six_digits(*value),
            Self::Mean { mean, half: Some(half) } => {
                format!("{} ± {}", six_digits(*mean), six_digits(*half))
            }
            Self::Success(share) | Self::Percent { share, .. } | Self::Change { share, .. } => {
                six_digits(share * 1e2)
            }
        }
    }

    /// The unit of [`Value::raw`].
    pub fn unit(&self) -> &'static str {
        match self {
            Self::Missing
            | Self::NotStated
            | Self::Word(_)
            | Self::Count(_)
            | Self::Number(_)
            | Self::Factor(_) => "",
            Self::PerBillion(_) => "tok/s per B",
            Self::Rate(_) | Self::Mean { .. } | Self::Half(_) => "tok/s",
            Self::Seconds(_) => "s",
            Self::Gib(_) => "GiB",
            Self::Success(_) | Self::Percent { .. } | Self::Change { .. } => "%",
        }
    }
}

impl Cell {
    /// What has one value only.
    pub(super) fn plain(paper: Value) -> Self {
        Self { paper, own: None }
    }

    /// Both values; they count as the same if they are printed alike.
    pub(super) fn both(paper: Value, own: Value, reason: impl Into<String>) -> Self {
        let differs = paper.shown() != own.shown();
        let own = differs.then(|| Own { value: own, reason: reason.into() });
        Self { paper, own }
    }

    /// Words.
    pub(super) fn word(text: impl Into<String>) -> Self {
        Self::plain(Value::Word(text.into()))
    }
}

/// A whole number with separators, as the paper prints rates; of small ones three digits.
fn rounded(value: f64) -> String {
    if value.abs() < 9.95 { short(value) } else { fixed(value, 0) }
}

/// Half of an interval: a whole number, unless that would be 0.
fn whole(value: f64) -> String {
    if value.abs() < 0.5 { short(value) } else { fixed(value, 0) }
}

/// Three digits or so.
pub(super) fn short(value: f64) -> String {
    let decimals = match value.abs() {
        v if v < 0.995 => 3,
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    let text = fixed(value, decimals);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// A number with so many decimals, separators between thousands, and no sign before a zero. What is
/// too long to be read is written with an exponent.
fn fixed(value: f64, decimals: usize) -> String {
    if value.abs() >= 1e15 {
        return format!("{value:.3e}");
    }
    let text = format!("{:.decimals$}", value.abs());
    let (whole, part) = text.split_at(text.find('.').unwrap_or(text.len()));
    let is_zero = text.chars().all(|c| c == '0' || c == '.');
    let sign = if value < 0.0 && !is_zero { "-" } else { "" };
    format!("{sign}{}{part}", grouped(whole))
}

fn six_digits(value: f64) -> String {
    let rounded: f64 = format!("{value:.5e}").parse().unwrap_or(value);
    rounded.to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::paper_cases;

    #[test]
    fn values_as_the_paper_prints_them() {
        let mean = |mean, half| Value::Mean { mean, half: Some(half) };
        let percent = |share, decimals| Value::Percent { share, decimals };
        let change = |share| Value::Change { share, test: String::new() };
        for (value, shown, raw) in [
            (Value::Rate(15_943.6), "15,944", "15943.6"),
            (Value::Rate(37.04), "37", "37.04"),
            (Value::Count(1_000), "1,000", "1000"),
            (Value::Seconds(103.336), "103.34s", "103.336"),
            (Value::Seconds(0.1376), "0.138s", "0.1376"),
            (mean(1_084.2, 23.3), "1,084 ± 23", "1084.2 ± 23.3"),
            (mean(6_955.0, 136.2), "6,955 ± 136", "6955 ± 136.2"),
            (percent(0.0469, 2), "4.69%", "4.69"),
            (percent(0.117, 1), "11.7%", "11.7"),
            (Value::Success(1.0), "100%", "100"),
            (Value::Success(0.999_99), "99.99%", "99.999"),
            (change(0.041), "+4.1%", "4.1"),
            (change(-0.0091), "-0.9%", "-0.91"),
            (change(-0.0001), "+0.0%", "-0.01"),
            (Value::Missing, "-", ""),
            (Value::NotStated, "not stated", ""),
        ] {
            assert_eq!((value.shown().as_str(), value.raw().as_str()), (shown, raw));
        }
    }

    #[test]
    fn ratios_are_rounded_once_and_from_the_unrounded() {
        let cases = paper_cases();
        let case = |id: &str| {
            let mut cases = cases["ratio_cases"].as_array().unwrap().iter();
            let case = cases.find(|case| case["id"] == id).unwrap();
            let input = |place: usize| case["inputs"][place].as_f64().unwrap();
            (input(0) / input(1), case["printed"].as_str().unwrap().to_owned())
        };
        for id in ["T18-ratio", "T19-ratio"] {
            let (ratio, printed) = case(id);
            assert_eq!(Value::Factor(ratio).shown(), printed.replace('x', "×"), "{id}");
        }
        for id in ["T20-Llama", "T20-DeepSeek", "T21-Qwen", "T21-Kimi"] {
            let (ratio, printed) = case(id);
            assert_eq!(format!("{} tok/s/B", Value::PerBillion(ratio).shown()), printed, "{id}");
        }
    }

    #[test]
    fn a_cell_has_a_second_value_where_that_is_printed_otherwise() {
        let alike = Cell::both(Value::Rate(1_000.2), Value::Rate(1_000.4), "never");
        assert_eq!(alike, Cell::plain(Value::Rate(1_000.2)));
        let other = Cell::both(Value::Rate(1_000.2), Value::Rate(1_001.4), "why");
        assert_eq!(other.own.unwrap().reason, "why");
    }

    proptest! {
        #[test]
        fn every_number_is_short_and_keeps_its_digits(value in any::<f64>()) {
            prop_assume!(value.is_finite());
            for decimals in 0..4 {
                let text = fixed(value, decimals);
                prop_assert!(text.len() < 32, "{text}");
                let back: f64 = text.replace(',', "").parse().unwrap();
                let off = (back - value).abs();
                prop_assert!(off <= value.abs() * 1e-3 || off <= 1.0, "{text} for {value}");
            }
        }
    }
}
