//! Results apart by what requests share, and what they are drawn of, on the wire, both ways.

use common::choice::check_slices;
use common::mix::{Weighted, check_models};
use common::slice::{SLICES_MAX, Slice, SliceBy};
use common::tally::{Arrived, SliceTally, Slices, Tokens};
use common::target::Target;
use common::workload::Workload;

use super::from::{COUNT_MAX, name, plausible, required, text};
use crate::generated as pb;
use crate::wire::WireError;

impl From<&SliceTally> for pb::SliceTally {
    fn from(slice: &SliceTally) -> Self {
        let Arrived { requests, output, prompt, cached_prompt, wasted } = slice.arrived;
        Self {
            by: slice.slice.by.name().to_owned(),
            name: slice.slice.name.clone(),
            counts: Some((&slice.measured).into()),
            good: slice.good,
            tokens: Some((&slice.tokens).into()),
            arrived: Some(pb::Arrived { requests, output, prompt, cached_prompt, wasted }),
            ttft: (!slice.ttft.is_empty()).then(|| (&slice.ttft).into()),
            e2e: (!slice.e2e.is_empty()).then(|| (&slice.e2e).into()),
            tpot: (!slice.tpot.is_empty()).then(|| (&slice.tpot).into()),
        }
    }
}

impl From<&Tokens> for pb::Tokens {
    fn from(tokens: &Tokens) -> Self {
        Self {
            prompt: tokens.prompt,
            completion: tokens.completion,
            reasoning: tokens.reasoning,
            cached_prompt: tokens.cached_prompt,
            wasted: tokens.wasted,
            events: tokens.events,
            without_usage: tokens.without_usage,
        }
    }
}

/// The slices of a tally.
pub(super) fn slices(messages: Vec<pb::SliceTally>) -> Result<Slices, WireError> {
    const FIELD: &str = "tally.slices";
    if messages.len() > SLICES_MAX {
        return Err(WireError::new(FIELD, format!("more than {SLICES_MAX}")));
    }
    let mut slices: Vec<SliceTally> = Vec::with_capacity(messages.len());
    for message in messages {
        let slice = SliceTally::try_from(message)?;
        if slices.iter().any(|known| known.slice == slice.slice) {
            return Err(WireError::new(FIELD, "a slice comes twice"));
        }
        slices.push(slice);
    }
    Ok(Slices::from_parts(slices))
}

impl TryFrom<pb::SliceTally> for SliceTally {
    type Error = WireError;

    fn try_from(message: pb::SliceTally) -> Result<Self, WireError> {
        const FIELD: &str = "tally.slices";
        let by = SliceBy::ALL.into_iter().find(|by| by.name() == message.by);
        let by = by.ok_or_else(|| WireError::new(FIELD, "unknown kind"))?;
        let arrived = required("tally.slices.arrived", message.arrived)?;
        let pb::Arrived { requests, output, prompt, cached_prompt, wasted } = arrived;
        plausible(FIELD, &[requests, output, prompt, cached_prompt, wasted], COUNT_MAX)?;
        plausible(FIELD, &[message.good], COUNT_MAX)?;
        let hist = |hist: Option<pb::Histogram>| {
            hist.map(TryInto::try_into).transpose().map(Option::unwrap_or_default)
        };
        Ok(Self {
            slice: Slice { by, name: text("tally.slices.name", message.name)? },
            measured: required("tally.slices.counts", message.counts)?.try_into()?,
            good: message.good,
            tokens: required("tally.slices.tokens", message.tokens)?.try_into()?,
            arrived: Arrived { requests, output, prompt, cached_prompt, wasted },
            ttft: hist(message.ttft)?,
            e2e: hist(message.e2e)?,
            tpot: hist(message.tpot)?,
        })
    }
}

impl TryFrom<pb::Tokens> for Tokens {
    type Error = WireError;

    fn try_from(message: pb::Tokens) -> Result<Self, WireError> {
        let tokens = Self {
            prompt: message.prompt,
            completion: message.completion,
            reasoning: message.reasoning,
            cached_prompt: message.cached_prompt,
            wasted: message.wasted,
            events: message.events,
            without_usage: message.without_usage,
        };
        let sums = [tokens.prompt, tokens.completion, tokens.reasoning, tokens.cached_prompt];
        plausible("tally.tokens", &sums, COUNT_MAX)?;
        let sums = [tokens.wasted, tokens.events, tokens.without_usage];
        plausible("tally.tokens", &sums, COUNT_MAX)?;
        Ok(tokens)
    }
}

/// The models of a workload.
pub(super) fn models_from(workload: &Workload) -> Vec<pb::WeightedModel> {
    let models = workload.models.iter();
    models.map(|one| pb::WeightedModel { model: one.item.clone(), weight: one.weight }).collect()
}

/// Those that came.
pub(super) fn models(messages: Vec<pb::WeightedModel>) -> Result<Vec<Weighted<String>>, WireError> {
    const FIELD: &str = "workload.models";
    let models = messages.into_iter().map(|one| {
        let item = text(FIELD, one.model)?;
        Ok(Weighted { item, weight: one.weight })
    });
    let models = models.collect::<Result<Vec<_>, WireError>>()?;
    check_models(&models).map_err(|error| WireError::new(FIELD, error))?;
    Ok(models)
}

/// A mix of workloads: what it has as a whole follows from them, and is not sent.
pub(super) fn mix_from(mixed: &Workload) -> pb::Workload {
    let mix = mixed.mix.iter();
    pb::Workload {
        name: mixed.name.to_string(),
        mix: mix
            .map(|one| pb::WeightedWorkload {
                workload: Some((&one.item).into()),
                weight: one.weight,
            })
            .collect(),
        ..Default::default()
    }
}

/// One that came.
pub(super) fn mix(message: pb::Workload) -> Result<Workload, WireError> {
    const FIELD: &str = "workload.mix";
    let components = message.mix.into_iter().map(|one| {
        let workload = required(FIELD, one.workload)?;
        // A mix in a mix is refused before it is looked into: a message cannot ask for depth.
        if !workload.mix.is_empty() {
            return Err(WireError::new(FIELD, "a mix in a mix"));
        }
        Ok(Weighted { item: workload.try_into()?, weight: one.weight })
    });
    let components = components.collect::<Result<Vec<_>, WireError>>()?;
    Workload::mixed(name("workload.name", &message.name)?, components)
        .map_err(|error| WireError::new(FIELD, error))
}

/// The requests of a level must not differ in more ways than can be told apart.
pub(super) fn check(workload: &Workload, target: &Target) -> Result<(), WireError> {
    check_slices(workload, target).map_err(|error| WireError::new("workload", error))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use common::ids::UserId;
    use common::outcome::{Ending, Failure, Marks, Outcome, Usage};
    use common::slice::InSlices;
    use common::slo::Slo;
    use common::tally::Tally;
    use common::time::Tick;

    use super::*;

    fn workload(name: &str, models: &[(&str, u32)]) -> Workload {
        let models =
            models.iter().map(|&(name, weight)| Weighted { item: name.to_owned(), weight });
        Workload {
            models: models.collect(),
            ..Workload::new(name.parse().unwrap(), 50.into(), 9.into())
        }
    }

    fn mixed() -> Workload {
        let mix = [workload("a", &[("base", 3), ("lora", 1)]), workload("b", &[])];
        let mix = mix.into_iter().map(|item| Weighted { item, weight: 2 }).collect();
        Workload::mixed("m".parse().unwrap(), mix).unwrap()
    }

    #[test]
    fn models_and_mixes_survive_the_way() {
        for sent in [workload("a", &[("base", 3), ("lora", 1)]), mixed()] {
            assert_eq!(Workload::try_from(pb::Workload::from(&sent)), Ok(sent));
        }
    }

    #[test]
    fn what_is_no_choice_is_refused_by_name() {
        let field = |change: fn(&mut pb::Workload)| {
            let mut message = pb::Workload::from(&mixed());
            change(&mut message);
            Workload::try_from(message).unwrap_err().field
        };
        assert_eq!(field(|w| w.mix.truncate(1)), "workload.mix");
        assert_eq!(field(|w| w.mix[0].weight = 0), "workload.mix");
        assert_eq!(field(|w| w.mix[1] = w.mix[0].clone()), "workload.mix");
        assert_eq!(field(|w| w.mix[0].workload = None), "workload.mix");
        let nested: fn(&mut pb::Workload) = |w| w.mix[0].workload = Some(w.clone());
        assert_eq!(field(nested), "workload.mix");
        let models = |w: &mut pb::Workload| w.mix[0].workload.as_mut().unwrap().models.clone();
        assert_eq!(models(&mut pb::Workload::from(&mixed())).len(), 2);
        assert_eq!(
            field(|w| w.mix[0].workload.as_mut().unwrap().models[0].weight = 0),
            "workload.models"
        );
        assert_eq!(
            field(|w| w.mix[0].workload.as_mut().unwrap().models[1].model = "base".to_owned()),
            "workload.models"
        );
    }

    /// A success and a failure of one of two models, in a window.
    fn tally() -> Tally {
        let slices = ["base", "lora"].map(|name| Slice { by: SliceBy::Model, name: name.into() });
        let mut tally = Tally::windowed().sliced(&slices);
        tally.measure(0);
        tally.release(1_000_000_000);
        for (model, ending) in [(0, Ending::Succeeded), (1, Failure::Http4xx.into())] {
            let slices = InSlices::NONE.and(SliceBy::Model, model);
            tally.start(5, slices);
            let at = |ms| Tick::ZERO + Duration::from_millis(ms);
            let outcome = Outcome {
                user: UserId(0),
                request: 0,
                slices,
                ending,
                status: Some(200),
                paper_success: false,
                marks: Marks {
                    intended: Tick(5),
                    sent: Some(Tick(5)),
                    head: None,
                    first_token: Some(at(20)),
                    first_answer: None,
                    last_token: Some(at(50)),
                    done: at(50),
                },
                usage: Some(Usage { prompt: 3, completion: 9, ..Usage::default() }),
                events: 2,
                gaps_us: vec![30_000],
                detail: None,
                images: None,
            };
            tally.end(&outcome, Tick::ZERO, Slo::default(), None);
        }
        tally
    }

    #[test]
    fn slices_survive_the_way_and_those_that_do_not_add_up_are_refused() {
        let sent = tally();
        assert_eq!(Tally::try_from(pb::Tally::from(&sent)).as_ref(), Ok(&sent));
        let field = |change: fn(&mut pb::Tally)| {
            let mut message = pb::Tally::from(&tally());
            change(&mut message);
            Tally::try_from(message).unwrap_err().field
        };
        assert_eq!(field(|t| t.slices.truncate(1)), "tally");
        assert_eq!(field(|t| t.slices[0].good = 0), "tally");
        assert_eq!(field(|t| t.slices[0].e2e = None), "tally");
        assert_eq!(field(|t| t.slices[0].arrived.as_mut().unwrap().output += 1), "tally");
        assert_eq!(field(|t| t.slices[1] = t.slices[0].clone()), "tally.slices");
        assert_eq!(field(|t| t.slices[0].by = "mood".to_owned()), "tally.slices");
        assert_eq!(field(|t| t.slices[0].name = "\u{1b}".to_owned()), "tally.slices.name");
        assert_eq!(field(|t| t.slices = vec![t.slices[0].clone(); 65]), "tally.slices");
    }
}
