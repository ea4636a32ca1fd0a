//! The images of a workload's requests: what is asked for, and the arithmetic of making them out of
//! prepared parts.
//!
//! An image is a sequence of parts, each one of a set of parts that all fit in any place. So a few
//! that are made before a level give more different images than a level has requests, and nothing is
//! encoded while requests are sent.

use std::fmt;

use crate::digest::DigestWriter;
use crate::length::Length;
use crate::workload::Workload;

/// Images in one request, at most.
pub const IMAGES_MAX: u32 = 5;

/// Smallest width and height.
pub const SIDE_MIN: u32 = 16;

/// Largest width and height.
pub const SIDE_MAX: u32 = 4096;

/// Bytes that an agent may hold for the images of a level.
pub const PREPARED_MAX: u64 = 256 << 20;

/// The images of a workload's requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Images {
    /// How many a request has; from 1 to [`IMAGES_MAX`].
    pub count: Length,
    /// Pixels; from [`SIDE_MIN`] to [`SIDE_MAX`].
    pub width: u32,
    /// Pixels; likewise.
    pub height: u32,
    /// How they are written.
    pub format: ImageFormat,
    /// How a server gets them.
    pub deliver: Deliver,
}

/// How an image is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ImageFormat {
    /// JPEG, baseline.
    Jpeg,
    /// PNG, 8 bits a channel.
    Png,
}

/// How a server gets an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deliver {
    /// In the request, in base64.
    Inline,
    /// From the agent that sent the request: the request has a URL.
    Url,
}

/// How an image is cut into parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Pixels on a side of what is never cut: a block of JPEG; 1 for PNG.
    pub block: u32,
    /// How many parts, 4 to [`PARTS_MAX`].
    pub parts: u32,
    /// Size of a part, in pixels; it may reach beyond the image's edge.
    pub size: (u32, u32),
    /// Size of the last part.
    pub last: (u32, u32),
    /// Each part is one of two to the power of this, and all parts together at most 64 bits.
    pub bits: u32,
}

/// Parts of an image, at most.
pub const PARTS_MAX: u32 = 16;

/// Bits by which images differ, at least.
const BITS_MIN: u32 = 48;

/// Bits that a part is chosen by, at least.
const PART_BITS_MIN: u32 = 4;

/// Bytes for a pixel of a JPEG at the quality that is used, at most; and for a part beside that.
const JPEG_BYTES_PER_PIXEL: f64 = 0.5;
const PART_BYTES: u64 = 128;

impl ImageFormat {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Jpeg, Self::Png];

    /// The name in campaign files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Png => "png",
        }
    }

    /// The media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
        }
    }
}

impl Deliver {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Inline, Self::Url];

    /// The name in campaign files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inline => "inline",
            Self::Url => "url",
        }
    }
}

impl Images {
    /// Whether they can be made.
    pub fn is_valid(&self) -> bool {
        let sides = SIDE_MIN..=SIDE_MAX;
        sides.contains(&self.width)
            && sides.contains(&self.height)
            && self.count.is_within(IMAGES_MAX)
    }

    /// Pixels of one.
    pub fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// How they are cut.
    pub fn cut(&self) -> Cut {
        let Self { width, height, .. } = *self;
        match self.format {
            ImageFormat::Png => by_rows(1, (width, height)),
            ImageFormat::Jpeg => {
                let grid = |block: u32| (width.div_ceil(block), height.div_ceil(block));
                // Photographs have half of the colour's resolution, and so blocks of 16. Where too
                // few of these would be left, colour is as fine as the light.
                let (columns, rows) = grid(16);
                let block = if columns * rows < 8 { 8 } else { 16 };
                let (columns, rows) = grid(block);
                if rows < 8 {
                    in_a_row(block, columns * rows)
                } else {
                    by_rows(block, (columns * block, rows))
                }
            }
        }
    }

    /// Bytes that an agent holds for them, at most.
    pub fn prepared_max(&self) -> u64 {
        let cut = self.cut();
        let choices = 1u64 << cut.bits;
        let all = if cut.last == cut.size { vec![cut.size] } else { vec![cut.size, cut.last] };
        let of = |(width, height): (u32, u32)| {
            let (width, height) = (u64::from(width), u64::from(height));
            let bytes = match self.format {
                ImageFormat::Jpeg => ((width * height) as f64 * JPEG_BYTES_PER_PIXEL) as u64,
                // What cannot be made smaller is kept as it is, with a mark every 31 kB or so.
                ImageFormat::Png => (3 * width + 1) * height * 513 / 512,
            };
            let bytes = bytes + PART_BYTES;
            match self.deliver {
                Deliver::Inline => bytes.div_ceil(3) * 4,
                Deliver::Url => bytes,
            }
        };
        all.into_iter().map(of).sum::<u64>() * choices
    }

    pub(crate) fn feed(&self, digest: &mut DigestWriter) {
        digest.text("images");
        self.count.feed(digest);
        digest.number(self.width.into()).number(self.height.into());
        digest.text(self.format.name()).text(self.deliver.name());
    }
}

impl Workload {
    /// Those of the workloads that its requests are of which have images.
    pub fn illustrated(&self) -> impl Iterator<Item = (&Self, &Images)> {
        let components = self.components().into_iter();
        components.filter_map(|(workload, _)| Some((workload, workload.images.as_ref()?)))
    }
}

/// Whole rows of blocks, `rows` of them, in about sixteen parts.
fn by_rows(block: u32, (width, rows): (u32, u32)) -> Cut {
    let each = rows.div_ceil(PARTS_MAX);
    let parts = rows.div_ceil(each);
    let size = |rows: u32| (width, rows * block);
    let last = rows - (parts - 1) * each;
    Cut { block, parts, size: size(each), last: size(last), bits: bits(parts) }
}

/// Blocks as they follow each other, row by row, in about sixteen parts.
fn in_a_row(block: u32, blocks: u32) -> Cut {
    let each = blocks.div_ceil(PARTS_MAX);
    let parts = blocks.div_ceil(each);
    let size = |blocks: u32| (blocks * block, block);
    let last = blocks - (parts - 1) * each;
    Cut { block, parts, size: size(each), last: size(last), bits: bits(parts) }
}

fn bits(parts: u32) -> u32 {
    BITS_MIN.div_ceil(parts).max(PART_BITS_MIN)
}

impl fmt::Display for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, width, height, format, deliver } = self;
        let how = match deliver {
            Deliver::Inline => "inline",
            Deliver::Url => "by URL",
        };
        write!(f, "{count} of {width} x {height}, {}, {how}", format.name())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_images() -> impl Strategy<Value = Images> {
        let side = || prop_oneof![SIDE_MIN..=SIDE_MAX, SIDE_MIN..300, Just(SIDE_MAX)];
        let format = prop::sample::select(&ImageFormat::ALL[..]);
        let deliver = prop::sample::select(&Deliver::ALL[..]);
        (side(), side(), format, deliver).prop_map(|(width, height, format, deliver)| Images {
            count: 1.into(),
            width,
            height,
            format,
            deliver,
        })
    }

    proptest! {
        #[test]
        fn every_size_is_cut_whole_into_parts_that_make_48_bits_and_fit_in_memory(
            images in any_images()
        ) {
            let Cut { block, parts, size, last, bits } = images.cut();
            prop_assert!((4..=PARTS_MAX).contains(&parts), "{parts}");
            prop_assert!((48..=64).contains(&(parts * bits)), "{parts} of {bits}");
            let blocks = |(width, height): (u32, u32)| {
                u64::from(width.div_ceil(block)) * u64::from(height.div_ceil(block))
            };
            let all = u64::from(parts - 1) * blocks(size) + blocks(last);
            let area = match images.format {
                ImageFormat::Jpeg => blocks((images.width, images.height)),
                ImageFormat::Png => images.pixels(),
            };
            prop_assert_eq!(all, area);
            prop_assert!(blocks(last) > 0 && blocks(last) <= blocks(size));
            // JPEG counts the blocks of a part in 16 bits.
            prop_assert!(images.format == ImageFormat::Png || blocks(size) <= 0xffff);
            prop_assert!(images.prepared_max() <= PREPARED_MAX, "{}", images.prepared_max());
        }
    }
}
