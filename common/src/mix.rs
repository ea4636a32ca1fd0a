//! Weighted choices: the models that a workload names, the workloads that a mix is made of.

use std::collections::BTreeSet;

use crate::digest::DigestWriter;
use crate::ids::Name;
use crate::length::Length;
use crate::seed::Generator;
use crate::workload::{CacheMode, Workload};

/// Workloads of a mix, at most.
pub const MIX_MAX: usize = 32;

/// Models of a workload, at most.
pub const MODELS_MAX: usize = 64;

/// Largest weight.
pub const WEIGHT_MAX: u32 = 1_000_000;

/// One of several things, and how often it is drawn beside the others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Weighted<T> {
    /// The thing.
    pub item: T,
    /// How often, in proportion to the sum of the weights; 1 to [`WEIGHT_MAX`].
    pub weight: u32,
}

/// The things with their shares, which sum to 1.
pub fn shares<T>(of: &[Weighted<T>]) -> impl Iterator<Item = (&T, f64)> {
    let total = total(of) as f64;
    of.iter().map(move |one| (&one.item, f64::from(one.weight) / total))
}

/// The place of the thing that is drawn.
pub(crate) fn draw<T>(of: &[Weighted<T>], generator: &mut Generator) -> usize {
    // The high half of the product: 64 random bits spread evenly over the weights.
    let spread = u128::from(generator.next_u64()) * u128::from(total(of));
    let mut rest = (spread >> 64) as u64;
    for (place, one) in of.iter().enumerate() {
        match rest.checked_sub(one.weight.into()) {
            Some(beyond) => rest = beyond,
            None => return place,
        }
    }
    0
}

fn total<T>(of: &[Weighted<T>]) -> u64 {
    of.iter().map(|one| u64::from(one.weight)).sum()
}

/// Why several things are no choice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MixError {
    /// Too few or too many.
    #[error("{count} of them, where {least} to {most} are possible")]
    Count {
        /// How many there are.
        count: usize,
        /// How many there must be at least.
        least: usize,
        /// How many there may be.
        most: usize,
    },
    /// A weight out of range.
    #[error("the weight {0} is not from 1 to {WEIGHT_MAX}")]
    Weight(u32),
    /// The same thing twice.
    #[error("{0:?} is named twice")]
    Twice(String),
    /// A mix in a mix.
    #[error("{0:?} is a mix itself, and a mix is made of plain workloads")]
    Nested(String),
}

/// Checks the models of a workload; none is right, too.
///
/// # Errors
/// Where they are too many, named twice, or weighed out of range.
pub fn check_models(models: &[Weighted<String>]) -> Result<(), MixError> {
    check(models, 0, MODELS_MAX, String::as_str)
}

/// Checks the workloads of a mix.
///
/// # Errors
/// Where they are fewer than two or too many, named twice, weighed out of range, or a mix.
pub fn check_mix(mix: &[Weighted<Workload>]) -> Result<(), MixError> {
    check(mix, 2, MIX_MAX, |workload| workload.name.as_str())?;
    match mix.iter().find(|one| !one.item.mix.is_empty()) {
        Some(one) => Err(MixError::Nested(one.item.name.to_string())),
        None => Ok(()),
    }
}

fn check<T>(
    all: &[Weighted<T>],
    least: usize,
    most: usize,
    name: fn(&T) -> &str,
) -> Result<(), MixError> {
    if !(least..=most).contains(&all.len()) {
        return Err(MixError::Count { count: all.len(), least, most });
    }
    let mut names = BTreeSet::new();
    for Weighted { item, weight } in all {
        if !(1..=WEIGHT_MAX).contains(weight) {
            return Err(MixError::Weight(*weight));
        }
        if !names.insert(name(item)) {
            return Err(MixError::Twice(name(item).to_owned()));
        }
    }
    Ok(())
}

impl Workload {
    /// A mix of workloads: each request is one of them. What it has as a whole sums them up: its
    /// lengths are drawn as theirs are, its answers are forced if all of theirs are, and its cache
    /// mode is that of the first, while [`Workload::cache_words`] has all of them.
    ///
    /// # Errors
    /// As [`check_mix`] says.
    pub fn mixed(name: Name, mix: Vec<Weighted<Self>>) -> Result<Self, MixError> {
        check_mix(&mix)?;
        let lengths = |of: fn(&Self) -> &Length| {
            let parts =
                mix.iter().map(|one| Weighted { item: of(&one.item).clone(), weight: one.weight });
            Length::mixed(parts.collect())
        };
        let (input, output) = (lengths(|w| &w.input_tokens), lengths(|w| &w.output_tokens));
        Ok(Self {
            forced_length: mix.iter().all(|one| one.item.forced_length),
            cache: mix.first().map_or(CacheMode::Cold, |one| one.item.cache),
            mix,
            ..Self::new(name, input, output)
        })
    }

    /// The workloads that its requests are of, with their shares: itself, or those of the mix.
    pub fn components(&self) -> Vec<(&Self, f64)> {
        if self.mix.is_empty() { vec![(self, 1.0)] } else { shares(&self.mix).collect() }
    }

    /// The models that its requests name, with their shares, where `usual` is named by those that
    /// say nothing else. In the order in which they are first named.
    pub fn models_named<'a>(&'a self, usual: &'a str) -> Vec<(&'a str, f64)> {
        let mut named: Vec<(&str, f64)> = Vec::new();
        let mut add = |model: &'a str, share: f64| match named
            .iter_mut()
            .find(|(known, _)| *known == model)
        {
            Some((_, sum)) => *sum += share,
            None => named.push((model, share)),
        };
        for (component, share) in self.components() {
            if component.models.is_empty() {
                add(usual, share);
            }
            for (model, part) in shares(&component.models) {
                add(model, share * part);
            }
        }
        named
    }

    /// What a cache may see, in words.
    pub fn cache_words(&self) -> String {
        let components = self.components();
        if components.iter().all(|(one, _)| one.cache == self.cache) {
            return self.cache.to_string();
        }
        let each = components.iter().map(|(one, _)| format!("{} of {}", one.cache, one.name));
        each.collect::<Vec<_>>().join(", ")
    }

    /// The models that requests name, in words, where `usual` is named by those that say nothing
    /// else.
    pub fn models_words(&self, usual: &str) -> String {
        let named = self.models_named(usual).into_iter();
        let each = named.map(|(model, share)| format!("{model} ({:.1} %)", share * 100.0));
        each.collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn feed_choices(&self, digest: &mut DigestWriter) {
        if !self.models.is_empty() {
            digest.text("models").number(self.models.len() as u64);
            for Weighted { item, weight } in &self.models {
                digest.text(item).number((*weight).into());
            }
        }
        if !self.mix.is_empty() {
            digest.text("mix").number(self.mix.len() as u64);
            for Weighted { item, weight } in &self.mix {
                digest.number((*weight).into());
                item.feed(digest);
            }
        }
    }
}
