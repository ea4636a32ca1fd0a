//! The prepared parts of a level's images, and images made of them: each named by one number, which
//! says for every place which part stands there.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::digest::Digest;
use common::images::{Cut, Deliver, ImageFormat, Images};
use common::seed::Generator;

use super::png::Sum;
use super::{MakeError, jpeg, pixels, png};

/// How often a part is drawn anew that has not the length wanted, or is there already.
const TRIES_MAX: u32 = 10_000;

/// The prepared parts of a level's images, as they are sent.
pub(crate) struct Gallery {
    images: Images,
    cut: Cut,
    head: Vec<u8>,
    close: Vec<u8>,
    parts: Vec<Part>,
    /// Parts for the last place, where they are smaller.
    last: Vec<Part>,
    /// Of JPEG: what a part ends with and the marker after it, by both.
    joints: Vec<Vec<u8>>,
}

struct Part {
    bytes: Vec<u8>,
    /// The last byte, where it shares a group of base64 with what follows.
    ends: u8,
    sum: Sum,
}

/// An image: its name, and what has to be made for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Picture {
    name: u64,
    end: [u8; END_MAX],
    /// Bytes as it is sent.
    len: usize,
}

/// Bytes that are made for one image, in base64.
const END_MAX: usize = png::END_BYTES / 3 * 4;

impl Gallery {
    /// Makes the parts.
    ///
    /// # Errors
    /// If they cannot be made.
    pub(crate) fn make(images: &Images, generator: &mut Generator) -> Result<Self, MakeError> {
        let cut = images.cut();
        let (head, close, joints) = match images.format {
            ImageFormat::Jpeg => (jpeg::head(images, cut)?, Vec::new(), joints(images, cut)),
            ImageFormat::Png => (png::head(images, cut), png::CLOSE.to_vec(), Vec::new()),
        };
        let parts = make_parts(images, cut, cut.size, generator)?;
        let last = if cut.last == cut.size {
            Vec::new()
        } else {
            make_parts(images, cut, cut.last, generator)?
        };
        let (head, close) = (sent(images, &head), sent(images, &close));
        Ok(Self { images: images.clone(), cut, head, close, parts, last, joints })
    }

    /// Bytes held.
    pub(crate) fn size(&self) -> usize {
        let parts = self.parts.iter().chain(&self.last);
        self.head.len() + parts.map(|part| part.bytes.len()).sum::<usize>()
    }

    /// The image that 64 drawn bits make.
    pub(crate) fn drawn(&self, bits: u64) -> Picture {
        self.picture(bits & self.names())
    }

    /// The image of a name; `None` if there is none.
    pub(crate) fn named(&self, name: u64) -> Option<Picture> {
        (name & self.names() == name).then(|| self.picture(name))
    }

    /// Hands over an image's bytes, in order.
    pub(crate) fn put<'s>(&'s self, picture: &'s Picture, put: &mut impl FnMut(&'s [u8])) {
        put(&self.head);
        for (place, part) in self.parts_of(picture.name).enumerate() {
            put(&part.bytes);
            if let Some(joint) = self.joint(place, part) {
                put(joint);
            }
        }
        if self.images.format == ImageFormat::Png {
            put(picture.end.get(..self.end_len()).unwrap_or_default());
        }
        put(&self.close);
    }

    /// Pieces that [`Gallery::put`] hands over, at most.
    pub(crate) fn pieces(&self) -> usize {
        3 + 2 * self.cut.parts as usize
    }

    fn picture(&self, name: u64) -> Picture {
        let mut sum = Sum::NOTHING;
        let mut len = self.head.len() + self.close.len() + self.end_len();
        for (place, part) in self.parts_of(name).enumerate() {
            sum = sum.then(part.sum);
            len += part.bytes.len() + self.joint(place, part).map_or(0, <[u8]>::len);
        }
        let mut picture = Picture { name, end: [0; END_MAX], len };
        if self.images.format == ImageFormat::Png {
            let end = png::end(sum);
            match self.images.deliver {
                Deliver::Url => {
                    picture.end.iter_mut().zip(end).for_each(|(place, byte)| *place = byte);
                }
                Deliver::Inline => {
                    // The place is as long as it has to be.
                    let written = STANDARD.encode_slice(end, &mut picture.end);
                    debug_assert_eq!(written, Ok(END_MAX));
                }
            }
        }
        picture
    }

    /// All bits that a name may have.
    fn names(&self) -> u64 {
        u64::MAX >> (64 - (self.cut.parts * self.cut.bits).clamp(1, 64))
    }

    fn parts_of(&self, name: u64) -> impl Iterator<Item = &Part> {
        (0..self.cut.parts).filter_map(move |place| {
            let choice = (name >> (place * self.cut.bits)) & ((1 << self.cut.bits) - 1);
            let is_last = place + 1 == self.cut.parts && !self.last.is_empty();
            let from = if is_last { &self.last } else { &self.parts };
            from.get(choice as usize)
        })
    }

    fn joint(&self, place: usize, part: &Part) -> Option<&[u8]> {
        let is_last = place + 1 == self.cut.parts as usize;
        let marker = if is_last { jpeg::MARKERS } else { place % jpeg::MARKERS };
        self.joints.get(marker * 256 + usize::from(part.ends)).map(Vec::as_slice)
    }

    fn end_len(&self) -> usize {
        match (self.images.format, self.images.deliver) {
            (ImageFormat::Jpeg, _) => 0,
            (ImageFormat::Png, Deliver::Inline) => END_MAX,
            (ImageFormat::Png, Deliver::Url) => png::END_BYTES,
        }
    }
}

impl Picture {
    /// What names it.
    pub(crate) fn name(&self) -> u64 {
        self.name
    }

    /// Bytes as it is sent.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

/// Bytes as they are sent.
fn sent(images: &Images, bytes: &[u8]) -> Vec<u8> {
    match images.deliver {
        Deliver::Inline => STANDARD.encode(bytes).into_bytes(),
        Deliver::Url => bytes.to_vec(),
    }
}

/// As many parts of a size as can be chosen from, no two alike.
fn make_parts(
    images: &Images,
    cut: Cut,
    size: (u32, u32),
    generator: &mut Generator,
) -> Result<Vec<Part>, MakeError> {
    let mut known: HashSet<Digest> = HashSet::new();
    let mut parts = Vec::new();
    while parts.len() < 1 << cut.bits {
        let mut pixels = pixels::picture(generator, size.0, size.1);
        let mut tries = 0;
        let part = loop {
            let (bytes, sum) = match images.format {
                ImageFormat::Jpeg => (jpeg::part(cut, &pixels, size)?, Sum::NOTHING),
                ImageFormat::Png => png::part(&pixels, size.0)?,
            };
            let fits = match images.format {
                ImageFormat::Jpeg => bytes.len() % 3 == jpeg::PART_REST,
                ImageFormat::Png => true,
            };
            if fits && known.insert(Digest::of(&bytes)) {
                break part(images, &bytes, sum);
            }
            tries += 1;
            if tries == TRIES_MAX {
                return Err(MakeError::Encode("no part has the length that is needed".to_owned()));
            }
            pixels::retouch(generator, &mut pixels);
        };
        parts.push(part);
    }
    Ok(parts)
}

fn part(images: &Images, bytes: &[u8], sum: Sum) -> Part {
    match (images.format, images.deliver, bytes.split_last()) {
        (ImageFormat::Jpeg, Deliver::Inline, Some((ends, bytes))) => {
            Part { bytes: sent(images, bytes), ends: *ends, sum }
        }
        (ImageFormat::Jpeg | ImageFormat::Png, Deliver::Inline | Deliver::Url, _) => {
            Part { bytes: sent(images, bytes), ends: 0, sum }
        }
    }
}

/// What stands between parts of JPEG, by the marker and the last byte of the part before it; the
/// last marker ends the image.
fn joints(images: &Images, cut: Cut) -> Vec<Vec<u8>> {
    let parts = cut.parts as usize;
    let last = parts.saturating_sub(1);
    let places = (0..jpeg::MARKERS).map(|place| jpeg::marker(place, usize::MAX));
    let markers = places.chain([jpeg::marker(last, parts)]);
    let joints = markers.flat_map(|marker| {
        (0..=u8::MAX).map(move |ends| match images.deliver {
            Deliver::Inline => sent(images, &[&[ends][..], &marker].concat()),
            Deliver::Url => marker.to_vec(),
        })
    });
    joints.collect()
}

#[cfg(test)]
mod tests;
