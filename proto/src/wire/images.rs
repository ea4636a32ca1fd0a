//! Images on the wire: those that a workload asks for, and what a level did with them.

use common::hist::LatencyHist;
use common::images::{Deliver, ImageFormat, Images};
use common::tally::{Fetches, ImageTally};

use super::from::{COUNT_MAX, plausible};
use super::workload::length;
use crate::generated as pb;
use crate::wire::WireError;

impl From<&Images> for pb::Images {
    fn from(images: &Images) -> Self {
        let format = match images.format {
            ImageFormat::Jpeg => pb::ImageFormat::Jpeg,
            ImageFormat::Png => pb::ImageFormat::Png,
        };
        let deliver = match images.deliver {
            Deliver::Inline => pb::ImageDelivery::Inline,
            Deliver::Url => pb::ImageDelivery::Url,
        };
        Self {
            count: Some((&images.count).into()),
            width: images.width,
            height: images.height,
            format: format.into(),
            deliver: deliver.into(),
        }
    }
}

impl TryFrom<pb::Images> for Images {
    type Error = WireError;

    fn try_from(message: pb::Images) -> Result<Self, WireError> {
        let unknown = |field| WireError::new(field, "unknown");
        let images = Self {
            count: length("workload.images.count", message.count)?,
            width: message.width,
            height: message.height,
            format: match pb::ImageFormat::try_from(message.format) {
                Ok(pb::ImageFormat::Jpeg) => ImageFormat::Jpeg,
                Ok(pb::ImageFormat::Png) => ImageFormat::Png,
                Ok(pb::ImageFormat::Unspecified) | Err(_) => {
                    return Err(unknown("workload.images.format"));
                }
            },
            deliver: match pb::ImageDelivery::try_from(message.deliver) {
                Ok(pb::ImageDelivery::Inline) => Deliver::Inline,
                Ok(pb::ImageDelivery::Url) => Deliver::Url,
                Ok(pb::ImageDelivery::Unspecified) | Err(_) => {
                    return Err(unknown("workload.images.deliver"));
                }
            },
        };
        if images.is_valid() {
            Ok(images)
        } else {
            Err(WireError::new("workload.images", "too many, too small or too large"))
        }
    }
}

impl From<&ImageTally> for pb::ImageTally {
    fn from(tally: &ImageTally) -> Self {
        let histogram = |hist: &LatencyHist| (!hist.is_empty()).then(|| hist.into());
        Self {
            images: tally.images,
            pixels: tally.pixels,
            bytes: tally.bytes,
            prompt_tokens: tally.prompt_tokens,
            text_tokens: tally.text_tokens,
            upload: histogram(&tally.upload),
            fetched_bytes: tally.fetches.bytes,
            fetch: histogram(&tally.fetches.time),
        }
    }
}

impl TryFrom<pb::ImageTally> for ImageTally {
    type Error = WireError;

    fn try_from(message: pb::ImageTally) -> Result<Self, WireError> {
        let sums = [
            message.images,
            message.pixels,
            message.bytes,
            message.text_tokens,
            message.fetched_bytes,
        ];
        plausible("tally.images", &sums, BYTES_MAX)?;
        plausible(
            "tally.images",
            &[message.images, message.text_tokens, message.prompt_tokens],
            COUNT_MAX,
        )?;
        let histogram = |hist: Option<pb::Histogram>| {
            hist.map(LatencyHist::try_from).transpose().map(Option::unwrap_or_default)
        };
        Ok(Self {
            images: message.images,
            pixels: message.pixels,
            bytes: message.bytes,
            prompt_tokens: message.prompt_tokens,
            text_tokens: message.text_tokens,
            upload: histogram(message.upload)?,
            fetches: Fetches { bytes: message.fetched_bytes, time: histogram(message.fetch)? },
        })
    }
}

/// Most bytes and pixels of a level on one agent: sums over any fleet then stay within 64 bits.
const BYTES_MAX: u64 = 1 << 56;

/// The images of a workload, if it has any.
pub(super) fn images(message: Option<pb::Images>) -> Result<Option<Images>, WireError> {
    message.map(Images::try_from).transpose()
}

/// What a level did with images, if it had any.
pub(super) fn image_tally(
    message: Option<pb::ImageTally>,
) -> Result<Option<Box<ImageTally>>, WireError> {
    message.map(|message| ImageTally::try_from(message).map(Box::new)).transpose()
}

#[cfg(test)]
mod tests {
    use common::length::Length;

    use super::*;

    fn images() -> Images {
        Images {
            count: Length::Uniform { least: 1, most: 5 },
            width: 640,
            height: 16,
            format: ImageFormat::Png,
            deliver: Deliver::Url,
        }
    }

    #[test]
    fn images_survive_the_wire_and_impossible_ones_do_not() {
        for format in ImageFormat::ALL {
            for deliver in Deliver::ALL {
                let images = Images { format, deliver, ..images() };
                assert_eq!(Images::try_from(pb::Images::from(&images)), Ok(images));
            }
        }
        type Bend = fn(&mut pb::Images);
        let bends: [(Bend, &str); 7] = [
            (|images| images.count = None, "workload.images.count"),
            (|images| images.count = Some((&Length::Fixed(6)).into()), "workload.images"),
            (|images| images.width = 15, "workload.images"),
            (|images| images.height = 4097, "workload.images"),
            (|images| images.format = 0, "workload.images.format"),
            (|images| images.format = 9, "workload.images.format"),
            (|images| images.deliver = 0, "workload.images.deliver"),
        ];
        for (bend, field) in bends {
            let mut message = pb::Images::from(&images());
            bend(&mut message);
            assert_eq!(Images::try_from(message).unwrap_err().field, field);
        }
    }

    #[test]
    fn what_was_done_with_images_survives_the_wire() {
        let mut tally = ImageTally { images: 3, pixels: 48, bytes: 9000, ..ImageTally::default() };
        (tally.text_tokens, tally.prompt_tokens) = (7, 90);
        assert_eq!(ImageTally::try_from(pb::ImageTally::from(&tally)), Ok(tally.clone()));
        tally.upload.record_us(400);
        tally.fetches.add(3000, 5_000_000);
        assert_eq!(ImageTally::try_from(pb::ImageTally::from(&tally)), Ok(tally.clone()));
        let beyond = pb::ImageTally { pixels: u64::MAX, ..(&tally).into() };
        assert_eq!(ImageTally::try_from(beyond).unwrap_err().field, "tally.images");
    }
}
