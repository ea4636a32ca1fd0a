//! JPEG out of parts. Between two restart markers a decoder starts anew (ITU-T T.81, section
//! E.1.4), so what lies between them can be any part of the right number of blocks.

use common::images::{Cut, Images};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use super::MakeError;

/// What photographs are commonly saved with; with the noise it makes files of their size.
const QUALITY: u8 = 88;

/// Restart markers count to eight and begin again.
pub(super) const MARKERS: usize = 8;

/// Lengths of parts leave this rest of three: with the marker after them they are whole groups of
/// base64, so that encoded parts can be put one after the other.
pub(super) const PART_REST: usize = 1;

/// The marker after part number `place` of `parts`.
pub(super) fn marker(place: usize, parts: usize) -> [u8; 2] {
    let end_of_image = place + 1 == parts;
    [0xff, if end_of_image { 0xd9 } else { 0xd0 + (place % MARKERS) as u8 }]
}

/// A part of these pixels: its blocks, encoded.
pub(super) fn part(cut: Cut, pixels: &[u8], (w, h): (u32, u32)) -> Result<Vec<u8>, MakeError> {
    encode(cut, pixels, (w, h)).map(|(_, blocks)| blocks)
}

/// What comes before the first part, a multiple of three bytes.
pub(super) fn head(images: &Images, cut: Cut) -> Result<Vec<u8>, MakeError> {
    let (width, height) = cut.size;
    let grey = vec![128; width as usize * height as usize * 3];
    let (whole, _) = encode(cut, &grey, cut.size)?;
    let side = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX).to_be_bytes();
    let ([h0, h1], [w0, w1]) = (side(images.height), side(images.width));
    let blocks = (width / cut.block) * (height / cut.block);
    let [r0, r1] = side(blocks);
    let mut head = vec![0xff, 0xd8];
    for segment in Segments(whole.get(2..).unwrap_or_default()) {
        match segment {
            // The frame: precision, height, width.
            [0xff, 0xc0, l0, l1, precision, _, _, _, _, rest @ ..] => {
                head.extend([0xff, 0xc0, *l0, *l1, *precision, h0, h1, w0, w1]);
                head.extend(rest);
            }
            // Before the scan: blocks between restarts, and a comment that fills the last group.
            [0xff, 0xda, ..] => {
                head.extend([0xff, 0xdd, 0, 4, r0, r1]);
                let fill = 3 - (head.len() + segment.len() + 4) % 3;
                head.extend([0xff, 0xfe, 0, 2 + fill as u8]);
                head.extend(std::iter::repeat_n(b' ', fill));
                head.extend(segment);
            }
            other => head.extend(other),
        }
    }
    Ok(head)
}

/// Encodes pixels; gives the head, up to the blocks, and the blocks.
fn encode(
    cut: Cut,
    pixels: &[u8],
    (width, height): (u32, u32),
) -> Result<(Vec<u8>, Vec<u8>), MakeError> {
    let side = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, QUALITY);
    let colour = if cut.block == 8 { SamplingFactor::F_1_1 } else { SamplingFactor::F_2_2 };
    encoder.set_sampling_factor(colour);
    let encoded = encoder.encode(pixels, side(width), side(height), ColorType::Rgb);
    encoded.map_err(|error| MakeError::Encode(error.to_string()))?;
    let head = 2 + Segments(file.get(2..).unwrap_or_default()).map(<[u8]>::len).sum::<usize>();
    let blocks = file.get(head..file.len().saturating_sub(2));
    let blocks = blocks.filter(|blocks| !blocks.is_empty());
    let blocks = blocks.ok_or_else(|| MakeError::Encode("no blocks were written".to_owned()))?;
    Ok((file.get(..head).unwrap_or_default().to_vec(), blocks.to_vec()))
}

/// The segments of a head, up to and with that which begins the scan.
struct Segments<'a>(&'a [u8]);

impl<'a> Iterator for Segments<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let &[0xff, kind, l0, l1, ..] = self.0 else { return None };
        let length = 2 + usize::from(u16::from_be_bytes([l0, l1]));
        let (segment, rest) = self.0.split_at_checked(length)?;
        self.0 = if kind == 0xda { &[] } else { rest };
        Some(segment)
    }
}
