//! The processors that an agent's workers are bound to.

use std::fmt;
use std::str::FromStr;

/// A list of a host's processors without repetition, the first for worker 0. Written as ranges:
/// `2-5,8`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Processors(Vec<u32>);

/// A text is no list of processors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a list of processors such as 2-5,8, each once and below {max}", max = Processors::MAX)]
pub struct ProcessorsError(String);

impl Processors {
    /// Processors have numbers below this.
    pub const MAX: u32 = 1024;

    /// A list; `None` if it is empty, or one of them occurs twice or is too high.
    pub fn new(list: Vec<u32>) -> Option<Self> {
        let mut sorted = list.clone();
        sorted.sort_unstable();
        sorted.dedup();
        let high = sorted.last().copied()?;
        (high < Self::MAX && sorted.len() == list.len()).then_some(Self(list))
    }

    /// That of a worker.
    pub fn of_worker(&self, worker: u32) -> Option<u32> {
        self.0.get(worker as usize).copied()
    }

    /// All of them, in order.
    pub fn list(&self) -> &[u32] {
        &self.0
    }
}

impl FromStr for Processors {
    type Err = ProcessorsError;

    fn from_str(text: &str) -> Result<Self, ProcessorsError> {
        let bad = || ProcessorsError(text.chars().take(100).collect());
        let mut list = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| {
                let number: Option<u32> = text.trim().parse().ok();
                number.filter(|number| *number < Self::MAX).ok_or_else(bad)
            };
            let (first, last) = (number(first)?, number(last)?);
            if list.len() > Self::MAX as usize {
                return Err(bad());
            }
            list.extend(first..=last);
        }
        Self::new(list).ok_or_else(bad)
    }
}

impl fmt::Display for Processors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = self.0.chunk_by(|a, b| a.checked_add(1) == Some(*b));
        for (place, run) in runs.enumerate() {
            let comma = if place == 0 { "" } else { "," };
            match run {
                [first, .., last] => write!(f, "{comma}{first}-{last}")?,
                [only] => write!(f, "{comma}{only}")?,
                [] => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_are_lists_in_their_order() {
        for (text, list) in [
            ("0", vec![0]),
            ("2-5,8", vec![2, 3, 4, 5, 8]),
            ("9, 1-2", vec![9, 1, 2]),
            ("1023", vec![1023]),
        ] {
            assert_eq!(text.parse::<Processors>().unwrap().list(), list, "{text}");
        }
        for text in ["", ",", "1,", "a", "5-2", "-1", "1024", "0-4294967295", "1,1", "0-3,2", "1-"]
        {
            assert!(text.parse::<Processors>().is_err(), "{text:?}");
        }
        let many = "0-1023,".repeat(100_000);
        assert!(many.parse::<Processors>().unwrap_err().to_string().len() < 300);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_as_the_same(
            list in proptest::collection::btree_set(0..Processors::MAX, 1..20)
        ) {
            let mut list: Vec<u32> = list.into_iter().collect();
            let half = list.len() / 2;
            list.rotate_left(half);
            let processors = Processors::new(list).unwrap();
            prop_assert_eq!(processors.to_string().parse::<Processors>(), Ok(processors));
        }
    }
}
