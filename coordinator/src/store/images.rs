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

#[cfg(test)]
mod tests {
    use common::length::Length;

    use super::*;
    use crate::store::more;

    #[test]
    fn images_come_back_and_impossible_ones_do_not() {
        let plain = Workload::new("w".parse().unwrap(), 10.into(), 4.into());
        for format in ImageFormat::ALL {
            for deliver in Deliver::ALL {
                let count = Length::Uniform { least: 1, most: 5 };
                let images = Images { count, width: 16, height: 4096, format, deliver };
                let workload = Workload { images: Some(images), ..plain.clone() };
                let text = more::text(&workload).unwrap();
                assert_eq!(more::of(&text, &plain), Some(workload));
                for (good, bad) in [
                    ("\"width\":16", "\"width\":15"),
                    ("\"most\":5", "\"most\":6"),
                    (format.name(), "webp"),
                    (deliver.name(), "by post"),
                ] {
                    assert!(text.contains(good), "{text}");
                    assert_eq!(more::of(&text.replacen(good, bad, 1), &plain), None, "{bad}");
                }
            }
        }
    }
}
