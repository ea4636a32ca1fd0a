//! Durations as people write them: `200ms`, `1.5s`, `5m`, `2h`. Exact to the nanosecond in both
//! directions; a number without a unit is never guessed at.

use std::time::Duration;

use crate::time::duration_ns;

/// The longest duration that is accepted.
pub const DURATION_MAX: Duration = Duration::from_secs(1000 * 3600);

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// A number without a unit.
    #[error("{0:?} has no unit; write {0}s for seconds or {0}ms for milliseconds")]
    NoUnit(String),
    /// A unit other than the four.
    #[error("{text:?} has the unit {unit:?}; use ms, s, m or h")]
    Unit {
        /// The whole text.
        text: String,
        /// What stands where the unit should.
        unit: String,
    },
    /// No decimal number before the unit.
    #[error("{0:?} is not a duration; write a number and a unit, such as 200ms, 1.5s, 5m or 2h")]
    Number(String),
    /// More decimals than nanoseconds can hold.
    #[error("{0:?} is finer than a nanosecond; use fewer decimals")]
    TooFine(String),
    /// Above [`DURATION_MAX`].
    #[error("{0:?} is longer than 1000h")]
    TooLong(String),
}

/// Reads a duration: a decimal number and one of `ms`, `s`, `m`, `h`, up to [`DURATION_MAX`].
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let pointed = number.contains('.');
    if whole.is_empty() || decimals.contains('.') || (pointed && decimals.is_empty()) {
        return Err(DurationError::Number(text.to_owned()));
    }
    if unit.is_empty() {
        return Err(DurationError::NoUnit(text.to_owned()));
    }
    let Some(unit) = Unit::ALL.into_iter().find(|u| u.suffix() == unit) else {
        return Err(DurationError::Unit { text: text.to_owned(), unit: unit.to_owned() });
    };
    let decimals = decimals.trim_end_matches('0');
    let whole = whole.trim_start_matches('0');
    if decimals.len() > DECIMALS_MAX {
        return Err(DurationError::TooFine(text.to_owned()));
    }
    if whole.len() > WHOLE_MAX {
        return Err(DurationError::TooLong(text.to_owned()));
    }
    let scale = 10u128.pow(decimals.len() as u32);
    // Both parts are at most a few digits by now, and an empty one is zero.
    let digits = |part: &str| part.parse::<u128>().unwrap_or(0);
    let scaled = (digits(whole) * scale + digits(decimals)) * u128::from(unit.ns());
    if scaled > DURATION_MAX.as_nanos() * scale {
        return Err(DurationError::TooLong(text.to_owned()));
    }
    if !scaled.is_multiple_of(scale) {
        return Err(DurationError::TooFine(text.to_owned()));
    }
    u64::try_from(scaled / scale)
        .map(Duration::from_nanos)
        .map_err(|_| DurationError::TooLong(text.to_owned()))
}

/// Writes a duration so that [`parse_duration`] reads the same one: the shortest exact text whose
/// number is at least 1, and of equally short ones the larger unit.
pub fn format_duration(duration: Duration) -> String {
    let ns = duration_ns(duration);
    if ns == 0 {
        return "0s".to_owned();
    }
    // Milliseconds have six decimals at most, so there is always a text.
    Unit::ALL
        .into_iter()
        .filter(|unit| ns >= unit.ns() || matches!(unit, Unit::Millisecond))
        .filter_map(|unit| Some(exact(ns, unit.ns())? + unit.suffix()))
        .min_by_key(String::len)
        .unwrap_or_default()
}

/// Decimals that are read and written: a nanosecond is the ninth of a second.
const DECIMALS_MAX: usize = 9;
/// Digits before the point of the longest duration in the smallest unit.
const WHOLE_MAX: usize = 10;
const SECOND_NS: u64 = 1_000_000_000;

#[derive(Clone, Copy)]
enum Unit {
    Hour,
    Minute,
    Second,
    Millisecond,
}

impl Unit {
    /// The larger first.
    const ALL: [Self; 4] = [Self::Hour, Self::Minute, Self::Second, Self::Millisecond];

    fn suffix(self) -> &'static str {
        match self {
            Self::Hour => "h",
            Self::Minute => "m",
            Self::Second => "s",
            Self::Millisecond => "ms",
        }
    }

    fn ns(self) -> u64 {
        match self {
            Self::Hour => 3600 * SECOND_NS,
            Self::Minute => 60 * SECOND_NS,
            Self::Second => SECOND_NS,
            Self::Millisecond => 1_000_000,
        }
    }
}

/// `ns / unit` as a decimal number; `None` if it does not end within [`DECIMALS_MAX`] places.
fn exact(ns: u64, unit: u64) -> Option<String> {
    let mut text = (ns / unit).to_string();
    let mut rest = ns % unit;
    if rest > 0 {
        text.push('.');
    }
    for _ in 0..DECIMALS_MAX {
        if rest == 0 {
            break;
        }
        // Both factors are below 2^42 and 2^4.
        rest *= 10;
        text += &(rest / unit).to_string();
        rest %= unit;
    }
    (rest == 0).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            ns in prop_oneof![
                0..=3_600_000_000_000_000u64,
                (0..=3_600_000_000u64).prop_map(|ms| ms * 1_000_000),
                (0..=60_000u64).prop_map(|m| m * 60_000_000_000),
                0..=10_000_000u64,
            ]
        ) {
            let duration = Duration::from_nanos(ns);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn any_text_is_answered(text in "[0-9.]{0,24}[a-z0-9. µ-]{0,4}") {
            if let Ok(duration) = parse_duration(&text) {
                prop_assert!(duration <= DURATION_MAX);
                prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
            }
        }
    }

    #[test]
    fn durations_are_read_exactly_and_written_shortest() {
        for (text, ns, written) in [
            ("200ms", 200_000_000, "200ms"),
            ("1.5s", 1_500_000_000, "1.5s"),
            ("1500ms", 1_500_000_000, "1.5s"),
            ("0.2s", 200_000_000, "200ms"),
            ("300s", 300_000_000_000, "5m"),
            ("90s", 90_000_000_000, "90s"),
            ("1.50m", 90_000_000_000, "90s"),
            ("2h", 7_200_000_000_000, "2h"),
            ("0s", 0, "0s"),
            ("0ms", 0, "0s"),
            ("007s", 7_000_000_000, "7s"),
            ("0.000001ms", 1, "0.000001ms"),
            ("1.000000001s", 1_000_000_001, "1.000000001s"),
            ("1000h", 3_600_000_000_000_000, "1000h"),
        ] {
            let duration = Duration::from_nanos(ns);
            assert_eq!(parse_duration(text), Ok(duration), "{text}");
            assert_eq!(format_duration(duration), written, "{text}");
        }
    }

    #[test]
    fn refusals_say_what_to_write() {
        for (text, message) in [
            ("5", r#""5" has no unit; write 5s for seconds or 5ms for milliseconds"#),
            ("5d", r#""5d" has the unit "d"; use ms, s, m or h"#),
            ("5 s", r#""5 s" has the unit " s"; use ms, s, m or h"#),
            ("1000.1h", r#""1000.1h" is longer than 1000h"#),
            ("99999999999999999999s", r#""99999999999999999999s" is longer than 1000h"#),
            ("0.0000001ms", r#""0.0000001ms" is finer than a nanosecond; use fewer decimals"#),
        ] {
            assert_eq!(parse_duration(text).map_err(|e| e.to_string()), Err(message.to_owned()));
        }
        for text in ["", "s", "-1s", "+1s", ".5s", "1.s", "1.2.3s", ".", "1e3s"] {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
    }
}
