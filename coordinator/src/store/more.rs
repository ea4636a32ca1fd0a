//! What a workload has beside lengths and a cache mode, as a text in a column.

use common::length::Length;
use common::workload::{THINK_MS_MAX, Workload};
use serde::{Deserialize, Serialize};

use super::data::StoredData;
use super::images::StoredImages;
use super::lengths::StoredLength;
use super::mixes::{self, StoredModel, StoredPart};
use super::states;
use super::text::StoredText;

/// What a workload has beside lengths and a cache mode; each part absent where it has none.
#[derive(Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct More {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<StoredText>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    models: Vec<StoredModel>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mix: Vec<StoredPart>,
    /// What prompts are taken from.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<StoredData>,
    /// How long users wait after an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    think_ms: Option<StoredLength>,
    /// How fast a trace is replayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    replay_milli: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<StoredImages>,
}

impl More {
    /// What this workload has.
    pub(super) fn of(workload: &Workload) -> Self {
        Self {
            text: StoredText::of(&workload.text),
            models: mixes::models(workload),
            mix: mixes::mix(workload),
            data: workload.data.clone().map(StoredData),
            think_ms: workload.think_ms.as_ref().and_then(StoredLength::of),
            replay_milli: workload.replay_milli,
            images: StoredImages::of(workload),
        }
    }

    /// There is nothing more.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The workload with all of this; `None` if it makes no sense.
    pub(super) fn on(self, plain: Workload) -> Option<Workload> {
        let Self { text, models, mix, data, think_ms, replay_milli, images } = self;
        if !mix.is_empty() {
            return mixes::mix_of(&plain, mix);
        }
        let text = match text {
            Some(text) => text.read()?,
            None => plain.text.clone(),
        };
        let think_ms = think_ms.map(Length::from);
        if think_ms.as_ref().is_some_and(|think_ms| !think_ms.is_within(THINK_MS_MAX)) {
            return None;
        }
        let images = match images {
            Some(images) => Some(images.images()?),
            None => None,
        };
        let (models, data) = (mixes::models_of(models)?, data.map(|data| data.0));
        Some(Workload { text, models, data, think_ms, replay_milli, images, ..plain })
    }
}

/// As text; `None` where there is nothing more.
pub(super) fn text(workload: &Workload) -> Option<String> {
    let more = More::of(workload);
    (!more.is_empty()).then(|| states::text(&more))
}

/// A workload with what stands in its text.
pub(super) fn of(text: &str, plain: &Workload) -> Option<Workload> {
    serde_json::from_str::<More>(text).ok()?.on(plain.clone())
}
