//! The composers of a level: one for each workload that its requests are of and each model that
//! they name. What a request is of is decided here, and how it is written is not.

use std::sync::Arc;
use std::time::Duration;

use common::assignment::Assignment;
use common::choice::{Choice, Choices};
use common::ids::UserId;
use common::slice::Slice;
use common::target::Target;
use common::trace::Trace;
use common::workload::Workload;
use proto::secrets::Secrets;

use super::{Composer, Course, Request};
use crate::images::Illustration;
use crate::shelf::Supplied;

/// The bytes of a level's requests, of every kind.
pub struct Composers {
    choices: Choices,
    /// The composer of the first model of the first workload: the only one of most levels.
    first: Composer,
    /// Those of the other models and workloads, in order.
    more: Vec<Composer>,
    /// How many composers come before a workload's first.
    before: Vec<usize>,
    /// Bytes held for images.
    images: usize,
}

impl Composers {
    /// Prepares the bytes of a level's requests.
    pub fn new(assignment: &Assignment, secrets: &Secrets) -> Self {
        Self::each(assignment, |assignment| Composer::new(assignment, secrets))
    }

    /// The same, for requests that carry the workload's data set.
    pub(crate) fn supplied(
        assignment: &Assignment,
        secrets: &Secrets,
        supplied: &Supplied,
    ) -> Self {
        Self::each(assignment, |assignment| match supplied {
            Supplied::Records(records) => {
                Composer::of_records(assignment, secrets, Arc::clone(records))
            }
            Supplied::Trace(trace) => Composer::of_trace(assignment, secrets, Arc::clone(trace)),
        })
    }

    /// The trace whose instants are those of the level's arrivals, if one is replayed.
    pub(crate) fn trace(&self) -> Option<Arc<Trace>> {
        self.first.trace.clone()
    }

    fn each(assignment: &Assignment, compose: impl Fn(&Assignment) -> Composer) -> Self {
        let mut kinds = Vec::new();
        let mut before = Vec::new();
        for (component, _) in assignment.workload.components() {
            before.push(kinds.len());
            kinds.extend(of_each_model(component, &assignment.target));
        }
        let mut composers = kinds.into_iter().map(|(workload, target)| {
            compose(&Assignment { workload, target, ..assignment.clone() })
        });
        let first = composers.next();
        Self {
            choices: Choices::of(assignment),
            first: first.unwrap_or_else(|| compose(assignment)),
            more: composers.collect(),
            before,
            images: 0,
        }
    }

    /// The same, with the images that its workloads ask for, in their order.
    pub(crate) fn illustrated(self, illustrations: Vec<Option<Arc<Illustration>>>) -> Self {
        let images = illustrations.iter().flatten().map(|one| one.size()).sum();
        let of = |place: usize| {
            // The last workload whose composers begin at this place or before it.
            let component = self.before.partition_point(|before| *before <= place);
            illustrations.get(component.saturating_sub(1)).cloned().flatten()
        };
        let more = self.more.into_iter().zip(1..);
        Self {
            first: self.first.illustrated(of(0)),
            more: more.map(|(composer, place)| composer.illustrated(of(place))).collect(),
            images,
            before: self.before.clone(),
            choices: self.choices,
        }
    }

    /// What a user's request with this number is.
    pub fn choose(&self, user: UserId, number: u64) -> Choice {
        self.choices.of_request(user, number)
    }

    /// Where results belong, beside the level's.
    pub fn slices(&self) -> &[Slice] {
        self.choices.slices()
    }

    /// The request of a user with this number, which is of this kind.
    pub fn request(&self, choice: Choice, user: UserId, number: u64) -> Request<'_> {
        self.composer(choice).request(user, number)
    }

    /// The same, of a user who is in the midst of conversations.
    pub(crate) fn turn(
        &self,
        choice: Choice,
        user: UserId,
        number: u64,
        course: &Course,
    ) -> Request<'_> {
        self.composer(choice).turn(user, number, course)
    }

    /// Where a user begins that carries records; `None` if none are carried.
    pub(crate) fn course(&self, user: UserId, users: u32) -> Option<Course> {
        self.first.course(user, users)
    }

    /// How long a user waits after the answer to a request; nothing where users do not.
    pub(crate) fn think(&self, user: UserId, number: u64) -> Duration {
        self.first.think(user, number)
    }

    fn composer(&self, choice: Choice) -> &Composer {
        let before = self.before.get(usize::from(choice.component)).copied().unwrap_or_default();
        let place = before + usize::from(choice.model);
        let composer = place.checked_sub(1).and_then(|place| self.more.get(place));
        composer.unwrap_or(&self.first)
    }

    /// A server's words without the secrets that were sent to it.
    pub fn without_secrets(&self, words: &str) -> String {
        self.first.without_secrets(words)
    }

    /// Bytes held for the level.
    pub fn size(&self) -> usize {
        self.first.size() + self.more.iter().map(Composer::size).sum::<usize>() + self.images
    }
}

/// A workload for each of its models, with a target that names it.
fn of_each_model(workload: &Workload, target: &Target) -> Vec<(Workload, Target)> {
    let of = |model: String| (workload.clone(), Target { model, ..target.clone() });
    if workload.models.is_empty() {
        return vec![of(target.model.clone())];
    }
    workload.models.iter().map(|one| of(one.item.clone())).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::IoSlice;

    use common::mix::Weighted;

    use super::*;
    use crate::compose::PARTS_MAX;
    use crate::testing::assignment;

    fn bytes(request: &Request<'_>) -> String {
        let mut slices = [IoSlice::new(&[]); PARTS_MAX];
        let used = request.parts(&mut slices);
        let all: Vec<u8> = slices[..used].iter().flat_map(|slice| slice.to_vec()).collect();
        String::from_utf8(all).unwrap()
    }

    fn model(item: &str, weight: u32) -> Weighted<String> {
        Weighted { item: item.to_owned(), weight }
    }

    /// Three quarters short, of two models; one quarter long, of the target's.
    fn mixed() -> Assignment {
        let mut assignment = assignment("http://127.0.0.1:8000");
        let of = |name: &str, input: u32, output: u32| {
            Workload::new(name.parse().unwrap(), input.into(), output.into())
        };
        let models = vec![model("lora-a", 2), model("lora-b", 1)];
        let short = Workload { models, forced_length: true, ..of("short", 20, 7) };
        let mix = vec![
            Weighted { item: short, weight: 3 },
            Weighted { item: of("long", 90, 8), weight: 1 },
        ];
        assignment.workload = Workload::mixed("both".parse().unwrap(), mix).unwrap();
        assignment
    }

    #[test]
    fn requests_are_of_each_workload_and_name_each_model_as_often_as_its_weight_says() {
        let composers = Composers::new(&mixed(), &Secrets::default());
        let mut seen = BTreeMap::new();
        for user in 0..40 {
            for number in 0..50 {
                let choice = composers.choose(UserId(user), number);
                let request = composers.request(choice, UserId(user), number);
                let body = bytes(&request).split_once("\r\n\r\n").unwrap().1.to_owned();
                let body: serde_json::Value = serde_json::from_str(&body).unwrap();
                let text = body["messages"][0]["content"].as_str().unwrap().len();
                let forced = body.get("ignore_eos").is_some();
                assert_eq!(request.forced_tokens(), forced.then_some(7));
                let model = body["model"].as_str().unwrap().to_owned();
                *seen.entry((text, forced, model)).or_insert(0u32) += 1;
            }
        }
        let kinds: Vec<_> = seen.keys().map(|(text, forced, m)| (*text, *forced, &**m)).collect();
        assert_eq!(kinds, [(80, true, "lora-a"), (80, true, "lora-b"), (360, false, "mock")]);
        // Of 2,000 draws five standard deviations are at most 112.
        for (count, expected) in seen.values().zip([1000u32, 500, 500]) {
            assert!(count.abs_diff(expected) < 112, "{count} of {expected}");
        }
    }

    #[test]
    fn what_a_workload_sends_does_not_depend_on_there_being_others() {
        let both = mixed();
        let long = both.workload.mix[1].item.clone();
        let alone =
            Composers::new(&Assignment { workload: long, ..both.clone() }, &Secrets::default());
        assert!(alone.slices().is_empty());
        let composers = Composers::new(&both, &Secrets::default());
        let longs = (0..100).filter(|number| composers.choose(UserId(1), *number).component == 1);
        let mut compared = 0;
        for number in longs {
            let choice = composers.choose(UserId(1), number);
            let mine = bytes(&composers.request(choice, UserId(1), number));
            let other = alone.choose(UserId(1), number);
            assert_eq!(mine, bytes(&alone.request(other, UserId(1), number)));
            compared += 1;
        }
        assert!(compared > 5, "{compared}");
    }
}
