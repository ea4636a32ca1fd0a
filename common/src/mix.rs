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
    /// mode is theirs, or cold where they differ: [`Workload::cache_words`] tells each.
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
            cache: one_cache(&mix).unwrap_or(CacheMode::Cold),
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

/// The cache mode of workloads that have the same.
fn one_cache(mix: &[Weighted<Workload>]) -> Option<CacheMode> {
    let first = mix.first()?.item.cache;
    mix.iter().all(|one| one.item.cache == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn weighted(weights: &[u32]) -> Vec<Weighted<usize>> {
        (0..).zip(weights).map(|(item, &weight)| Weighted { item, weight }).collect()
    }

    fn workload(name: &str, input: u32) -> Workload {
        Workload::new(name.parse().unwrap(), input.into(), 9.into())
    }

    proptest! {
        #[test]
        fn each_thing_is_drawn_as_often_as_its_weight_says(
            weights in prop::collection::vec(1u32..=WEIGHT_MAX, 1..9), seed: u64,
        ) {
            const DRAWS: u32 = 2_000;
            let things = weighted(&weights);
            let mut generator = Generator::new(seed);
            let mut counts = vec![0u32; things.len()];
            (0..DRAWS).for_each(|_| counts[draw(&things, &mut generator)] += 1);
            let mut sum = 0.0;
            for ((_, share), count) in shares(&things).zip(counts) {
                sum += share;
                let (n, expected) = (f64::from(DRAWS), f64::from(DRAWS) * share);
                // Six standard deviations, and one for counts that are few.
                let off = (f64::from(count) - expected).abs();
                prop_assert!(off <= 6.0 * (n * share * (1.0 - share)).sqrt() + 6.0, "{off}");
            }
            prop_assert!((sum - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn the_length_of_a_mix_has_the_moments_of_what_is_drawn() {
        let law = |item, weight| Weighted { item, weight };
        let mixed = Length::mixed(vec![
            law(Length::Fixed(100), 3),
            law(Length::Uniform { least: 1_000, most: 2_000 }, 1),
        ]);
        let mut generator = Generator::new(9);
        let drawn: Vec<f64> = (0..40_000).map(|_| f64::from(mixed.draw(&mut generator))).collect();
        let mean = drawn.iter().sum::<f64>() / 4e4;
        let sd = (drawn.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / 4e4).sqrt();
        assert!((mean - mixed.mean()).abs() < 6.0 * sd / 200.0, "{mean} {}", mixed.mean());
        assert!((sd - mixed.sd()).abs() < 0.03 * sd, "{sd} {}", mixed.sd());
        assert_eq!((mixed.least(), mixed.most(), mixed.fixed()), (100, 2_000, None));
        assert_eq!(mixed.to_string(), "75.0 %: 100; 25.0 %: 1000 to 2000, each as likely");
        let same = Length::mixed(vec![law(Length::Fixed(7), 3), law(Length::Fixed(7), 1)]);
        assert_eq!(same, Length::Fixed(7));
    }

    #[test]
    fn what_is_no_mix_is_refused_and_its_digest_is_its_own() {
        let part = |item: Workload, weight| Weighted { item, weight };
        let mixed = |parts| Workload::mixed("m".parse().unwrap(), parts);
        let (a, b) = (|| workload("a", 10), || workload("b", 20));
        assert_eq!(
            mixed(vec![part(a(), 1)]),
            Err(MixError::Count { count: 1, least: 2, most: MIX_MAX })
        );
        assert_eq!(mixed(vec![part(a(), 0), part(b(), 1)]), Err(MixError::Weight(0)));
        assert_eq!(mixed(vec![part(a(), 1), part(a(), 1)]), Err(MixError::Twice("a".into())));
        let whole = mixed(vec![part(a(), 1), part(b(), 1)]).unwrap();
        let nested = vec![part(whole.clone(), 1), part(workload("c", 3), 1)];
        assert_eq!(mixed(nested), Err(MixError::Nested("m".into())));
        let digest = |workload: &Workload| {
            let mut digest = DigestWriter::default();
            workload.feed(&mut digest);
            digest.finish()
        };
        let heavier = mixed(vec![part(a(), 2), part(b(), 1)]).unwrap();
        assert_ne!(digest(&whole), digest(&heavier));
        let lora = Weighted { item: "lora".to_owned(), weight: 1 };
        assert_ne!(digest(&a()), digest(&Workload { models: vec![lora], ..a() }));
    }

    #[test]
    fn caches_that_differ_are_told_one_by_one() {
        let of = |cache| {
            let first = Workload { cache, ..workload("a", 10) };
            let parts = [first, workload("b", 20)].map(|item| Weighted { item, weight: 1 });
            Workload::mixed("m".parse().unwrap(), parts.into()).unwrap()
        };
        assert_eq!(of(CacheMode::Cold).cache_words(), "cold");
        assert_eq!(of(CacheMode::Replay).cache_words(), "replay of a, cold of b");
        assert_eq!(of(CacheMode::Cold).models_words("m"), "m (100.0 %)");
    }
}
