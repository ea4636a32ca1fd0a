//! Traces: requests with the instants at which they came, as Mooncake and others publish them.

use common::records::Format;
use common::trace::Traced;
use common::workload::TOKENS_MAX;
use serde::Deserialize;
use serde_json::Number;

use super::fault::{Fault, LINES_SHOWN, json};
use super::items::Item;

/// Blocks of one prompt, at most.
const BLOCKS_MAX: usize = 1 << 20;
/// Seconds between the first request and the last, at most: a year.
const SPAN_MAX_S: f64 = 366.0 * 86_400.0;

/// The requests of a trace, in the order in which they came, the first one at 0.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(items: &[Item<'_>], format: Format) -> Result<Vec<Traced>, Fault> {
    let (columns, rows) = match format {
        Format::Csv => {
            let (header, rows) = items.split_first().ok_or(Fault::Empty)?;
            let columns = Columns::of(header.text).map_err(|why| Fault::line(header.line, why))?;
            (Some(columns), rows)
        }
        Format::Mooncake | Format::OpenAi | Format::Prompts | Format::ShareGpt => (None, items),
    };
    let (mut found, mut lines, mut wrong) = (Vec::new(), Vec::new(), 0);
    for item in rows {
        let read = match &columns {
            Some(columns) => columns.row(item.text),
            None => mooncake(item.text).map(Some),
        };
        match read {
            Ok(row) => found.extend(row),
            Err(why) => {
                wrong += 1;
                if lines.len() < LINES_SHOWN {
                    lines.push((item.line, why));
                }
            }
        }
    }
    if wrong > 0 {
        return Err(Fault::Lines { lines, all: wrong });
    }
    found.sort_by(|a: &Came, b| a.at_s.total_cmp(&b.at_s));
    let first = found.first().ok_or(Fault::Empty)?.at_s;
    let last = found.last().map_or(first, |last| last.at_s);
    if last - first > SPAN_MAX_S {
        return Err(Fault::Long);
    }
    let traced = found.into_iter().map(|Came { at_s, input_tokens, output_tokens, blocks }| {
        let offset_us = ((at_s - first) * 1e6).round() as u64;
        Traced { offset_us, input_tokens, output_tokens: Some(output_tokens), blocks }
    });
    Ok(traced.collect())
}

/// Whether a line is the heading of a table that is a trace.
pub(super) fn is_heading(line: &str) -> bool {
    Columns::of(line).is_ok()
}

/// One request as it came.
struct Came {
    at_s: f64,
    input_tokens: u32,
    output_tokens: u32,
    blocks: Vec<u64>,
}

#[derive(Deserialize)]
struct Mooncake {
    timestamp: Number,
    input_length: u64,
    output_length: u64,
    hash_ids: Option<Vec<u64>>,
}

fn mooncake(text: &str) -> Result<Came, String> {
    if !text.starts_with('{') {
        return Err("no JSON object".to_owned());
    }
    let line: Mooncake = serde_json::from_str(text).map_err(|error| json(&error))?;
    let at_ms = line.timestamp.as_f64().filter(|ms| ms.is_finite());
    let at_ms = at_ms.ok_or_else(|| "timestamp is no number of milliseconds".to_owned())?;
    let blocks = line.hash_ids.unwrap_or_default();
    if blocks.len() > BLOCKS_MAX {
        return Err(format!("hash_ids has more than {BLOCKS_MAX} of them"));
    }
    Ok(Came {
        at_s: at_ms / 1e3,
        input_tokens: tokens("input_length", line.input_length)?,
        output_tokens: tokens("output_length", line.output_length)?,
        blocks,
    })
}

fn tokens(name: &str, count: u64) -> Result<u32, String> {
    let tokens = u32::try_from(count).ok().filter(|count| (1..=TOKENS_MAX).contains(count));
    tokens.ok_or_else(|| format!("{name} is {count}, not 1 to {TOKENS_MAX}"))
}

/// Where a table has what is needed.
struct Columns {
    at: usize,
    input: usize,
    output: usize,
}

/// The names of columns, in small letters: Azure's first, BurstGPT's second.
const AT: [&str; 1] = ["timestamp"];
const INPUT: [&str; 2] = ["contexttokens", "request tokens"];
const OUTPUT: [&str; 2] = ["generatedtokens", "response tokens"];

impl Columns {
    fn of(heading: &str) -> Result<Self, String> {
        let names: Vec<String> = cells(heading).map(str::to_ascii_lowercase).collect();
        let find = |wanted: &[&str]| {
            let place = names.iter().position(|name| wanted.contains(&name.as_str()));
            place.ok_or_else(|| format!("no column {}", wanted.join(" or ")))
        };
        Ok(Self { at: find(&AT)?, input: find(&INPUT)?, output: find(&OUTPUT)? })
    }

    /// A row; `None` if nothing was asked or answered in it.
    fn row(&self, text: &str) -> Result<Option<Came>, String> {
        let row: Vec<&str> = cells(text).collect();
        let cell = |place: usize, name: &str| {
            row.get(place).copied().ok_or_else(|| format!("has no {name}"))
        };
        let count = |place: usize, name: &str| {
            let text = cell(place, name)?;
            let shown: String = text.chars().filter(|c| !c.is_control()).take(40).collect();
            text.parse::<u64>().map_err(|_| format!("{name} is no number: {shown:?}"))
        };
        let at = cell(self.at, "timestamp")?;
        let shown: String = at.chars().filter(|c| !c.is_control()).take(40).collect();
        let at_s = seconds(at).ok_or_else(|| {
            format!("timestamp is neither seconds nor a date and a time: {shown:?}")
        })?;
        let (input, output) = (count(self.input, "input")?, count(self.output, "output")?);
        if input == 0 || output == 0 {
            return Ok(None);
        }
        Ok(Some(Came {
            at_s,
            input_tokens: tokens("input", input)?,
            output_tokens: tokens("output", output)?,
            blocks: Vec::new(),
        }))
    }
}

fn cells(line: &str) -> impl Iterator<Item = &str> {
    line.split(',').map(|cell| cell.trim().trim_matches('"'))
}

/// Seconds: a number of them, or a date and a time as `2023-11-16 18:15:46.680590`, of which only
/// differences matter.
fn seconds(text: &str) -> Option<f64> {
    if let Ok(number) = text.parse::<f64>() {
        return (number.is_finite() && number.abs() < 1e12).then_some(number);
    }
    let (date, time) = text.split_once([' ', 'T'])?;
    let mut date = date.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let within = (1..=9999).contains(&year) && (1..=12).contains(&month);
    if date.next().is_some() || !within || !(1..=31).contains(&day) {
        return None;
    }
    let time = time.trim_end_matches('Z').trim_end_matches("+00:00");
    let mut time = time.splitn(3, ':');
    let (hours, minutes) = (time.next()?.parse::<u8>().ok()?, time.next()?.parse::<u8>().ok()?);
    let seconds = time.next()?.parse::<f64>().ok().filter(|s| (0.0..61.0).contains(s))?;
    if hours > 23 || minutes > 59 {
        return None;
    }
    let within_day = f64::from(hours) * 3600.0 + f64::from(minutes) * 60.0 + seconds;
    Some(days(year, month, day) as f64 * 86_400.0 + within_day)
}

/// Days since 1 January 1970 (Hinnant, days from civil).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_in_seconds_and_as_dates() {
        assert_eq!(seconds("5"), Some(5.0));
        assert_eq!(seconds("1970-01-02 00:00:01.5"), Some(86_401.5));
        assert_eq!(seconds("2000-03-01T00:00:00Z"), Some(951_868_800.0));
        let [a, b] = ["2023-11-16 18:15:46.6805900", "2023-11-16 18:17:03.9799600+00:00"];
        let gap = seconds(b).unwrap() - seconds(a).unwrap();
        assert!((gap - 77.29937).abs() < 1e-4, "{gap}");
        for bad in ["", "x", "nan", "2023-13-01 00:00:00", "2023-01-01", "2023-01-01 24:00:00"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
