//! What kind of request each one of a level is: which workload of a mix, which of its models, and
//! so in which slices. A function of the level, the user and the request's number alone: it is the
//! same on every agent, and known before a request is composed.

use crate::assignment::Assignment;
use crate::ids::UserId;
use crate::mix::{self, Weighted};
use crate::phase::Phase;
use crate::seed::Seed;
use crate::slice::{InSlices, SLICES_MAX, Slice, SliceBy};
use crate::target::Target;
use crate::workload::Workload;

/// What the requests of a level are drawn of.
#[derive(Clone, Debug)]
pub struct Choices {
    seed: Seed,
    phase: Phase,
    place: u32,
    components: Vec<Weighted<Component>>,
    /// Which base URL is whose turn, and the slices of these.
    target: Target,
    urls: Vec<InSlices>,
    slices: Vec<Slice>,
}

/// A workload of which requests are.
#[derive(Clone, Debug)]
struct Component {
    slice: InSlices,
    /// The slices of the models that it names.
    models: Vec<Weighted<InSlices>>,
}

/// What one request is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Choice {
    /// Which of [`Workload::components`].
    pub component: u8,
    /// Which of its [`Workload::models`]; 0 where it has none.
    pub model: u8,
    /// Where its results belong, beside the level's.
    pub slices: InSlices,
}

impl Choices {
    /// Those of a level.
    pub fn of(assignment: &Assignment) -> Self {
        let Assignment { seed, phase, place, workload, target, .. } = assignment;
        let slices = slices(workload, target);
        let in_slice = |by: SliceBy, name: &str| {
            let found = slices.iter().position(|slice| slice.by == by && slice.name == name);
            let place = found.and_then(|place| u8::try_from(place).ok());
            place.map_or(InSlices::NONE, |place| InSlices::NONE.and(by, place))
        };
        let component = |workload: &Workload, weight: u32| {
            let of_model = |model: &str| in_slice(SliceBy::Model, model);
            let usual = || Weighted { item: of_model(&target.model), weight: 1 };
            let named = workload.models.iter();
            let mut models: Vec<_> = named
                .map(|one| Weighted { item: of_model(&one.item), weight: one.weight })
                .collect();
            if models.is_empty() {
                models.push(usual());
            }
            let slice = in_slice(SliceBy::Workload, workload.name.as_str());
            Weighted { item: Component { slice, models }, weight }
        };
        let mut components: Vec<_> =
            workload.mix.iter().map(|one| component(&one.item, one.weight)).collect();
        if components.is_empty() {
            components.push(component(workload, 1));
        }
        let urls = target.base_urls().map(|url| in_slice(SliceBy::BaseUrl, &url.to_string()));
        let urls = urls.collect();
        let target = target.clone();
        Self { seed: *seed, phase: *phase, place: *place, components, target, urls, slices }
    }

    /// The slices of the level, in the order of their places; empty where all requests are alike.
    pub fn slices(&self) -> &[Slice] {
        &self.slices
    }

    /// What a user's request with this number is.
    pub fn of_request(&self, user: UserId, number: u64) -> Choice {
        if self.slices.is_empty() {
            return Choice::default();
        }
        let mut generator = self.seed.choice(self.phase, self.place, user, number);
        let place = mix::draw(&self.components, &mut generator);
        let Some(Component { slice, models }) = self.components.get(place).map(|one| &one.item)
        else {
            return Choice::default();
        };
        let model = mix::draw(models, &mut generator);
        let of_model = models.get(model).map_or(InSlices::NONE, |one| one.item);
        let of_url = self.urls.get(self.target.url_of(user, number)).copied().unwrap_or_default();
        let slices = slice.joined(of_model).joined(of_url);
        Choice { component: place as u8, model: model as u8, slices }
    }
}

/// The slices of a level; none of a kind of which there is only one.
fn slices(workload: &Workload, target: &Target) -> Vec<Slice> {
    let workloads = workload.mix.iter().map(|one| one.item.name.to_string());
    let models = workload.models_named(&target.model);
    let models = models.into_iter().map(|(model, _)| model.to_owned());
    let urls = target.base_urls().map(ToString::to_string);
    let kinds = [
        (SliceBy::Workload, workloads.collect()),
        (SliceBy::Model, models.collect()),
        (SliceBy::BaseUrl, urls.collect()),
    ];
    let several = kinds.into_iter().filter(|(_, names): &(_, Vec<String>)| names.len() > 1);
    several.flat_map(|(by, names)| names.into_iter().map(move |name| Slice { by, name })).collect()
}

/// More slices than a level may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} results would be told apart, by workload, model and base URL, where {SLICES_MAX} are \
     possible"
)]
pub struct TooManySlices(pub usize);

/// Checks that the requests of a workload do not differ in more ways than can be told apart.
///
/// # Errors
/// If they do.
pub fn check_slices(workload: &Workload, target: &Target) -> Result<(), TooManySlices> {
    match slices(workload, target).len() {
        count if count > SLICES_MAX => Err(TooManySlices(count)),
        _ => Ok(()),
    }
}
