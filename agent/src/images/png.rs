//! PNG out of parts: each is some rows, compressed by themselves up to a full flush (RFC 1951), in a
//! chunk of its own. What ends the stream has the checksum of all rows, which follows from those of
//! the parts.

use common::images::{Cut, Images};
use miniz_oxide::deflate::core::{
    CompressorOxide, TDEFLFlush, TDEFLStatus, compress_to_output, create_comp_flags_from_zip_params,
};

use super::MakeError;

/// Bytes of the chunk that ends the stream.
pub(super) const END_BYTES: usize = 18;

/// The last chunk of a file.
pub(super) const CLOSE: [u8; 12] = [0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82];

/// A block of a compressed stream that holds nothing.
const NOTHING: [u8; 5] = [0, 0, 0, 0xff, 0xff];

/// The compression is that of the quick end: noise cannot be made smaller by trying harder.
const LEVEL: i32 = 1;

/// A part, and what it adds to the checksum.
pub(super) fn part(pixels: &[u8], width: u32) -> Result<(Vec<u8>, Sum), MakeError> {
    let mut rows = Vec::with_capacity(pixels.len() + pixels.len() / width.max(1) as usize);
    for row in pixels.chunks(3 * width.max(1) as usize) {
        // Every pixel but the first of its row is written as what differs from the one before.
        rows.push(1);
        rows.extend(row.iter().take(3));
        rows.extend(row.iter().skip(3).zip(row).map(|(own, left)| own.wrapping_sub(*left)));
    }
    let flags = create_comp_flags_from_zip_params(LEVEL, 0, 0);
    let mut compressor = CompressorOxide::new(flags);
    let mut stream = Vec::with_capacity(rows.len());
    let (status, read) = compress_to_output(&mut compressor, &rows, TDEFLFlush::Full, |bytes| {
        stream.extend_from_slice(bytes);
        true
    });
    if status != TDEFLStatus::Okay || read != rows.len() {
        return Err(MakeError::Encode(format!("rows were not compressed: {status:?}")));
    }
    while stream.len() % 3 != 0 {
        stream.extend(NOTHING);
    }
    Ok((chunk(*b"IDAT", &stream), Sum::of(&rows)))
}

/// What comes before the first part, a multiple of three bytes.
pub(super) fn head(images: &Images, _: Cut) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let (width, height) = (images.width.to_be_bytes(), images.height.to_be_bytes());
    // Eight bits, red, green and blue, and no choice of the rest.
    file.extend(chunk(*b"IHDR", &[&width[..], &height, &[8, 2, 0, 0, 0]].concat()));
    file.extend(chunk(*b"IDAT", &[&[0x78, 0x01][..], &NOTHING, &NOTHING].concat()));
    file
}

/// The chunk that ends the stream of rows with this checksum.
pub(super) fn end(sum: Sum) -> [u8; END_BYTES] {
    let [a, b, c, d] = sum.value().to_be_bytes();
    let whole = [0, 0, 0, 6, b'I', b'D', b'A', b'T', 3, 0, a, b, c, d, 0, 0, 0, 0];
    let mut whole: [u8; END_BYTES] = whole;
    let check = crc32fast::hash(whole.get(4..14).unwrap_or_default()).to_be_bytes();
    whole.iter_mut().skip(14).zip(check).for_each(|(place, byte)| *place = byte);
    whole
}

fn chunk(kind: [u8; 4], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes();
    let checked = [&kind[..], data].concat();
    [&length[..], &checked, &crc32fast::hash(&checked).to_be_bytes()].concat()
}

/// Adler's checksum (RFC 1950) of some bytes, so that it can be added to that of bytes before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    first: u32,
    second: u32,
    length: u64,
}

const MODULUS: u64 = 65_521;

impl Sum {
    pub(super) const NOTHING: Self = Self { first: 1, second: 0, length: 0 };

    fn of(bytes: &[u8]) -> Self {
        let (mut first, mut second) = (1u64, 0u64);
        // So few that neither sum leaves 64 bits.
        for bytes in bytes.chunks(1 << 20) {
            for byte in bytes {
                first += u64::from(*byte);
                second += first;
            }
            (first, second) = (first % MODULUS, second % MODULUS);
        }
        Self { first: first as u32, second: second as u32, length: bytes.len() as u64 }
    }

    /// The sum of these bytes and then others.
    pub(super) fn then(self, next: Self) -> Self {
        let (first, second) = (u64::from(self.first), u64::from(self.second));
        let (more_first, more_second) = (u64::from(next.first), u64::from(next.second));
        // The sum of what follows began at 1; here it begins at `first`.
        let ahead = (first + MODULUS - 1) % MODULUS;
        let carried = next.length % MODULUS * ahead % MODULUS;
        Self {
            first: ((ahead + more_first) % MODULUS) as u32,
            second: ((second + more_second + carried) % MODULUS) as u32,
            length: self.length + next.length,
        }
    }

    fn value(self) -> u32 {
        self.second << 16 | self.first
    }
}
