//! What a target said about its failures: one text per class, for a reader who wonders why.
//!
//! Of several texts the one that sorts first is kept, not the earliest: so any split of the same
//! outcomes over agents, merged in any order, keeps the same one.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::outcome::Failure;

/// Characters of a text that are kept.
pub const CHARS_MAX: usize = 300;

/// The target's own words, one text per class of failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details(BTreeMap<Failure, String>);

impl Details {
    /// A failure was explained in these words.
    pub fn note(&mut self, failure: Failure, words: &str) {
        let words = words.char_indices().nth(CHARS_MAX).map_or(words, |(end, _)| {
            // A char's own index is a boundary.
            words.get(..end).unwrap_or(words)
        });
        if words.is_empty() {
            return;
        }
        match self.0.get_mut(&failure) {
            None => {
                self.0.insert(failure, words.to_owned());
            }
            Some(kept) if words < kept.as_str() => words.clone_into(kept),
            Some(_) => {}
        }
    }

    /// Takes over what `other` holds.
    pub fn merge(&mut self, other: &Self) {
        for (failure, words) in other.iter() {
            self.note(failure, words);
        }
    }

    /// The classes with their words.
    pub fn iter(&self) -> impl Iterator<Item = (Failure, &str)> {
        self.0.iter().map(|(failure, words)| (*failure, words.as_str()))
    }
}

/// `words` without the secrets that a careless server repeats, even where the end of `words` was
/// cut off in the middle of one.
pub fn without_secrets(words: &str, secrets: &[&str]) -> String {
    const SHOWN: &str = "[API key]";
    let was_cut = words.chars().count() >= CHARS_MAX;
    let mut hidden: Vec<Range<usize>> = Vec::new();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        hidden.extend(words.match_indices(secret).map(|(at, _)| at..at + secret.len()));
        if was_cut && let Some(begun) = longest_begun(words, secret) {
            hidden.push(words.len() - begun..words.len());
        }
    }
    hidden.sort_by_key(|range| range.start);
    let mut gaps: Vec<Range<usize>> = Vec::new();
    for range in hidden {
        match gaps.last_mut() {
            Some(gap) if range.start <= gap.end => gap.end = gap.end.max(range.end),
            Some(_) | None => gaps.push(range),
        }
    }
    let (mut clean, mut shown) = (String::new(), 0);
    for gap in gaps {
        clean.push_str(words.get(shown..gap.start).unwrap_or_default());
        clean.push_str(SHOWN);
        shown = gap.end;
    }
    clean.push_str(words.get(shown..).unwrap_or_default());
    clean
}

/// The bytes of the longest beginning of `secret` in which `words` ends.
fn longest_begun(words: &str, secret: &str) -> Option<usize> {
    let lengths = secret.char_indices().map(|(at, _)| at).skip(1);
    lengths.filter(|&at| secret.get(..at).is_some_and(|begun| words.ends_with(begun))).last()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_order_and_any_split_keep_the_same_words(
            mut told in prop::collection::vec((0usize..4, "[a-zé]{0,320}"), 0..20),
            split in 0usize..20,
        ) {
            let all = |told: &[(usize, String)]| {
                let mut details = Details::default();
                told.iter().for_each(|(class, words)| details.note(Failure::ALL[*class], words));
                details
            };
            let want = all(&told);
            for (_, words) in want.iter() {
                prop_assert!((1..=CHARS_MAX).contains(&words.chars().count()));
            }
            let (a, b) = told.split_at(split.min(told.len()));
            let mut merged = all(b);
            merged.merge(&all(a));
            prop_assert_eq!(&merged, &want);
            told.reverse();
            prop_assert_eq!(all(&told), want);
        }

        #[test]
        fn no_more_than_a_few_letters_of_a_secret_are_left(
            before in "[x ]{0,310}", secret in "sk-[a-z0-9]{16}", after in "[y ]{0,40}",
        ) {
            let words: String = format!("{before}{secret}{after}").chars().take(CHARS_MAX).collect();
            let clean = without_secrets(&words, &[&secret]);
            prop_assert!(!clean.contains("sk-"), "{}", clean);
            // Another one that stands before it in full makes the words shorter.
            let other = "x".repeat(40);
            let words: String =
                format!("{other}{before}{secret}").chars().take(CHARS_MAX).collect();
            let clean = without_secrets(&words, &[&other, &secret]);
            prop_assert!(!clean.contains("sk-"), "{}", clean);
        }

        /// Secrets that hold, begin and overlap each other: whatever is left of the words has no
        /// whole one, and does not end in a beginning that a cut has left.
        #[test]
        fn secrets_that_share_letters_hide_each_other(
            words in "[ab]{0,12}c?[ab]{0,12}", secrets in prop::collection::vec("[ab]{1,5}", 1..4),
        ) {
            let words = format!("{}{words}", "x".repeat(CHARS_MAX - words.len()));
            let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
            let clean = without_secrets(&words, &secrets);
            for piece in clean.split("[API key]") {
                prop_assert!(secrets.iter().all(|secret| !piece.contains(secret)), "{}", clean);
            }
            for secret in &secrets {
                let begun = secret.get(..1).unwrap_or_default();
                prop_assert!(!clean.ends_with(begun), "{clean}");
            }
        }
    }

    #[test]
    fn words_without_a_secret_stay() {
        assert_eq!(without_secrets("tasks", &["sk-1"]), "tasks");
        assert_eq!(without_secrets("bad key sk-1!", &["sk-1"]), "bad key [API key]!");
        assert_eq!(without_secrets("anything", &[""]), "anything");
    }
}
