//! The images of a workload, as a part of what is stored beside lengths.

use common::images::{Deliver, ImageFormat, Images};
use common::workload::Workload;
use serde::{Deserialize, Serialize};

use super::lengths::StoredLength;

/// The images of a workload.
#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredImages {
    count: StoredLength,
    width: u32,
    height: u32,
    format: String,
    deliver: String,
}

impl StoredImages {
    /// Those of a workload; `None` if it has none.
    pub(super) fn of(workload: &Workload) -> Option<Self> {
        let images = workload.images.as_ref()?;
        Some(Self {
            count: StoredLength::of(&images.count)?,
            width: images.width,
            height: images.height,
            format: images.format.name().to_owned(),
            deliver: images.deliver.name().to_owned(),
        })
    }

    /// The images, if they are possible ones.
    pub(super) fn images(self) -> Option<Images> {
        let Self { count, width, height, format, deliver } = self;
        let images = Images {
            count: count.into(),
            width,
            height,
            format: ImageFormat::ALL.into_iter().find(|known| known.name() == format)?,
            deliver: Deliver::ALL.into_iter().find(|known| known.name() == deliver)?,
        };
        images.is_valid().then_some(images)
    }
}
