//! What is wrong with a campaign: every problem with its place, key, value and what would be
//! right. A secret never becomes part of a problem.

use std::fmt;

/// Everything that is wrong, in the order of the places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    list: Vec<Problem>,
    /// Problems beyond [`Problems::KEPT_MAX`].
    left_out: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it was written.
    pub place: Place,
    /// The dotted key, as `--set` takes it; empty where no key is to blame.
    pub key: String,
    /// The value as written, where it is short, single and no secret.
    pub value: Option<String>,
    /// What is wrong and what would be right.
    pub what: String,
}

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a file, as a whole or at a line and a column, both from 1.
    File {
        /// The file as the user named it.
        name: String,
        /// Line and column.
        at: Option<(usize, usize)>,
    },
    /// On the command line.
    Flag(String),
    /// In an environment variable.
    Environment(String),
    /// Nowhere: something is missing that no file is to blame for.
    Nowhere,
}

impl Problems {
    /// How many problems are kept; further ones are counted.
    pub const KEPT_MAX: usize = 100;

    /// Only this problem.
    pub fn one(problem: Problem) -> Self {
        let mut problems = Self::default();
        problems.add(problem);
        problems
    }

    /// Adds a problem.
    pub fn add(&mut self, problem: Problem) {
        if !self.count_if_full() {
            let after = self.list.partition_point(|p| p.place <= problem.place);
            self.list.insert(after, problem);
        }
    }

    /// Counts a problem without making it if it would not be kept.
    pub(super) fn count_if_full(&mut self) -> bool {
        let full = self.list.len() >= Self::KEPT_MAX;
        self.left_out += usize::from(full);
        full
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Both values, or the problems of both.
    pub fn both<A, B>(a: Result<A, Self>, b: Result<B, Self>) -> Result<(A, B), Self> {
        match (a, b) {
            (Ok(a), Ok(b)) => Ok((a, b)),
            (Ok(_), Err(problems)) | (Err(problems), Ok(_)) => Err(problems),
            (Err(mut problems), Err(others)) => {
                problems.left_out += others.left_out;
                others.list.into_iter().for_each(|p| problems.add(p));
                Err(problems)
            }
        }
    }
}

impl fmt::Display for Problems {
    /// One line for each problem, then their number if there are several.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            problem.fmt(f)?;
        }
        let all = self.list.len() + self.left_out;
        if self.left_out > 0 {
            write!(f, "\n{all} problems, {} of them not shown", self.left_out)?;
        } else if all > 1 {
            write!(f, "\n{all} problems")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File { name, at: None } => write!(f, "{name}: ")?,
            Place::File { name, at: Some((line, column)) } => {
                write!(f, "{name}:{line}:{column}: ")?
            }
            Place::Flag(flag) => write!(f, "{flag}: ")?,
            Place::Environment(variable) => write!(f, "environment variable {variable}: ")?,
            Place::Nowhere => {}
        }
        match (&*self.key, &self.value) {
            ("", None) => {}
            ("", Some(value)) => write!(f, "{value}: ")?,
            (key, None) => write!(f, "{key}: ")?,
            (key, Some(value)) => write!(f, "{key} = {value}: ")?,
        }
        f.write_str(&self.what)
    }
}

/// Text from a file or a flag, short enough and safe to be shown on a terminal.
pub(crate) fn clip(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let mut shown = String::new();
    for c in text.chars().take(CHARS_MAX) {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    if text.chars().nth(CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// The one of `valid` that `word` was most likely meant to be, if any is near.
pub(crate) fn nearest<'v>(word: &str, valid: impl IntoIterator<Item = &'v str>) -> Option<&'v str> {
    const CHARS_MAX: usize = 64;
    let word: Vec<char> = word.chars().take(CHARS_MAX + 1).collect();
    valid
        .into_iter()
        .map(|candidate| (candidate, candidate.chars().collect::<Vec<char>>()))
        .filter(|(_, letters)| letters.len().max(word.len()) <= CHARS_MAX)
        .map(|(candidate, letters)| {
            let length = letters.len().max(word.len());
            (edits(&word, &letters), length, candidate)
        })
        .filter(|(edits, length, _)| 2 * edits < *length)
        .min_by_key(|(edits, _, _)| *edits)
        .map(|(_, _, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b` (the optimal
/// string alignment distance).
fn edits(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut swapped_with = None;
    for (row, &x) in a.iter().enumerate() {
        let mut current = vec![row + 1];
        let mut left = row + 1;
        let mut previous_y = None;
        for (column, &y) in b.iter().enumerate() {
            let cell =
                |cells: &[usize], at: usize| cells.get(at).copied().unwrap_or(usize::MAX / 2);
            let mut best = (cell(&last, column) + usize::from(x != y))
                .min(cell(&last, column + 1) + 1)
                .min(left + 1);
            if swapped_with == Some(y) && previous_y == Some(x) && column > 0 {
                best = best.min(cell(&before_last, column - 1) + 1);
            }
            current.push(best);
            left = best;
            previous_y = Some(y);
        }
        before_last = std::mem::replace(&mut last, current);
        swapped_with = Some(x);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_offered_only_if_it_is_near() {
        let keys = ["base_urls", "model", "tier", "name", "seed"];
        for (word, near) in [
            ("modle", Some("model")),
            ("Model", Some("model")),
            ("base_url", Some("base_urls")),
            ("tire", Some("tier")),
            ("gate", None),
            ("server", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, keys), near, "{word}");
        }
    }

    #[test]
    fn edits_are_counted() {
        for (a, b, count) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("ab", "ba", 1),
            ("abcd", "acbd", 1),
            ("same", "same", 0),
        ] {
            let letters = |text: &str| text.chars().collect::<Vec<char>>();
            assert_eq!(edits(&letters(a), &letters(b)), count, "{a} {b}");
        }
    }

    #[test]
    fn a_flood_of_problems_is_counted_not_kept() {
        let mut problems = Problems::default();
        for line in 1..=130 {
            problems.add(Problem {
                place: Place::File { name: "c.toml".to_owned(), at: Some((line, 1)) },
                key: String::new(),
                value: None,
                what: "bad".to_owned(),
            });
        }
        assert_eq!(problems.list.len(), Problems::KEPT_MAX);
        assert!(problems.to_string().ends_with("\n130 problems, 30 of them not shown"));
    }
}
