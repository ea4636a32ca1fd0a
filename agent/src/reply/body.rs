//! Where a body ends: chunked, by its length, or with the connection.
//!
//! Hands out the payload as slices of the read it came in and keeps nothing of it. Chunk
//! extensions and trailers are skipped; what they say is never used.

use super::Malformed;

/// How the body of one response is delimited, and how far it has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// `Transfer-Encoding: chunked`.
    Chunked(Chunked),
    /// `Content-Length`: payload bytes still to come.
    Length(u64),
    /// Neither: everything until the peer closes.
    UntilClose,
    /// The frames of HTTP/2 say where it ends, and whoever takes them says so.
    Framed,
}

/// Where in the chunked coding the next byte falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunked {
    /// First digit of a chunk's size.
    Start,
    /// Further digits.
    Size(u64),
    /// Blanks between a size and its extension or line end.
    Blank(u64),
    /// Inside an extension.
    Extension(u64),
    /// The line feed that ends a size line.
    SizeEnd(u64),
    /// Payload: bytes still to come in this chunk.
    Payload(u64),
    /// The carriage return after a chunk's payload.
    PayloadCr,
    /// The line feed after a chunk's payload.
    PayloadLf,
    /// First byte of a trailer line, or of the empty line that ends the body.
    TrailerStart,
    /// Inside a trailer line.
    Trailer,
    /// The line feed that ends a trailer line.
    TrailerEnd,
    /// The very last line feed.
    Last,
    /// The body is complete.
    Complete,
}

/// What the next bytes of a read are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Payload; never empty.
    Payload(&'a [u8]),
    /// The body is complete; what is left of the read does not belong to it.
    End,
    /// The read is used up and the body is not complete.
    Starved,
}

impl Framing {
    /// Takes the next piece off the front of `rest`.
    pub(super) fn next<'a>(&mut self, rest: &mut &'a [u8]) -> Result<Piece<'a>, Malformed> {
        match self {
            Self::Chunked(state) => state.next(rest),
            Self::Length(0) => Ok(Piece::End),
            Self::Length(left) => Ok(payload(left, rest)),
            Self::UntilClose | Self::Framed if rest.is_empty() => Ok(Piece::Starved),
            Self::UntilClose | Self::Framed => Ok(Piece::Payload(std::mem::take(rest))),
        }
    }

    /// The payload is known to be complete without reading on.
    pub(super) fn is_exhausted(&self) -> bool {
        *self == Self::Length(0)
    }
}

impl Chunked {
    fn next<'a>(&mut self, rest: &mut &'a [u8]) -> Result<Piece<'a>, Malformed> {
        loop {
            match self {
                Self::Complete => return Ok(Piece::End),
                Self::Payload(0) => *self = Self::PayloadCr,
                Self::Payload(left) => return Ok(payload(left, rest)),
                Self::Start
                | Self::Size(_)
                | Self::Blank(_)
                | Self::Extension(_)
                | Self::SizeEnd(_)
                | Self::PayloadCr
                | Self::PayloadLf
                | Self::TrailerStart
                | Self::Trailer
                | Self::TrailerEnd
                | Self::Last => {
                    let Some((&byte, tail)) = rest.split_first() else {
                        return Ok(Piece::Starved);
                    };
                    *rest = tail;
                    *self = self.after(byte)?;
                }
            }
        }
    }

    /// The state after one byte of the coding itself.
    fn after(self, byte: u8) -> Result<Self, Malformed> {
        match (self, byte) {
            (Self::Start, _) => Ok(Self::Size(hex_digit(byte)?)),
            (Self::Size(size), b' ' | b'\t') => Ok(Self::Blank(size)),
            (Self::Size(size) | Self::Blank(size), b';') => Ok(Self::Extension(size)),
            (Self::Size(size) | Self::Blank(size) | Self::Extension(size), b'\r') => {
                Ok(Self::SizeEnd(size))
            }
            (Self::Size(size), _) => {
                let size = size.checked_mul(16).ok_or(Malformed)?;
                Ok(Self::Size(size + hex_digit(byte)?))
            }
            (Self::Blank(size), b' ' | b'\t') => Ok(Self::Blank(size)),
            (Self::Extension(size), _) if byte != b'\n' => Ok(Self::Extension(size)),
            (Self::SizeEnd(0), b'\n') => Ok(Self::TrailerStart),
            (Self::SizeEnd(size), b'\n') => Ok(Self::Payload(size)),
            (Self::PayloadCr, b'\r') => Ok(Self::PayloadLf),
            (Self::PayloadLf, b'\n') => Ok(Self::Start),
            (Self::TrailerStart, b'\r') => Ok(Self::Last),
            (Self::Trailer, b'\r') => Ok(Self::TrailerEnd),
            (Self::TrailerStart | Self::Trailer, _) if byte != b'\n' => Ok(Self::Trailer),
            (Self::TrailerEnd, b'\n') => Ok(Self::TrailerStart),
            (Self::Last, b'\n') => Ok(Self::Complete),
            (
                Self::Blank(_)
                | Self::Extension(_)
                | Self::SizeEnd(_)
                | Self::PayloadCr
                | Self::PayloadLf
                | Self::TrailerStart
                | Self::Trailer
                | Self::TrailerEnd
                | Self::Last
                | Self::Payload(_)
                | Self::Complete,
                _,
            ) => Err(Malformed),
        }
    }
}

/// As much of the `left` payload bytes as the read holds.
fn payload<'a>(left: &mut u64, rest: &mut &'a [u8]) -> Piece<'a> {
    if rest.is_empty() {
        return Piece::Starved;
    }
    let wanted = usize::try_from(*left).unwrap_or(usize::MAX);
    let (taken, tail) = rest.split_at(wanted.min(rest.len()));
    *rest = tail;
    *left -= taken.len() as u64;
    Piece::Payload(taken)
}

fn hex_digit(byte: u8) -> Result<u64, Malformed> {
    char::from(byte).to_digit(16).map(u64::from).ok_or(Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The payload of `wire`, fed in reads of these sizes; what follows it; whether it ended.
    fn read(wire: &[u8], sizes: &[usize]) -> Result<(Vec<u8>, usize, bool), Malformed> {
        let mut framing = Framing::Chunked(Chunked::Start);
        let mut got = Vec::new();
        let mut sizes = sizes.iter().copied().cycle();
        let mut left = wire;
        while !left.is_empty() {
            let size = sizes.next().unwrap_or(usize::MAX).clamp(1, left.len());
            let (mut rest, tail) = left.split_at(size);
            left = tail;
            loop {
                match framing.next(&mut rest)? {
                    Piece::Payload(bytes) => got.extend_from_slice(bytes),
                    Piece::End => return Ok((got, rest.len() + left.len(), true)),
                    Piece::Starved => break,
                }
            }
        }
        Ok((got, 0, false))
    }

    proptest! {
        #[test]
        fn any_chunking_reads_back_whatever_the_reads(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
            extension in prop::sample::select(vec!["", ";a=b", " ; a=\"\t\"", "  "]),
            trailer in prop::sample::select(vec!["", "a: b\r\n", "a: b\r\nc: \r\n"]),
            sizes in prop::collection::vec(1usize..30, 1..8),
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend(format!("{:X}{extension}\r\n", chunk.len()).bytes());
                wire.extend_from_slice(chunk);
                wire.extend(b"\r\n");
            }
            wire.extend(format!("000{extension}\r\n{trailer}\r\n").bytes());
            let whole = wire.len();
            wire.extend(b"more");
            prop_assert_eq!(read(&wire, &sizes), Ok((chunks.concat(), 4, true)));
            prop_assert!(matches!(read(&wire[..whole - 1], &sizes), Ok((_, 0, false))));
        }

        #[test]
        fn any_bytes_are_taken_without_panic(
            wire in prop::collection::vec(
                prop_oneof![any::<u8>(), prop::sample::select(b"0123456789abcdefF\r\n; ".to_vec())],
                0..200,
            ),
            sizes in prop::collection::vec(1usize..30, 1..8),
        ) {
            prop_assert_eq!(read(&wire, &[usize::MAX]), read(&wire, &sizes));
        }
    }

    #[test]
    fn a_loose_coding_is_refused() {
        for wire in [
            "\r\n",
            "g\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\nx\r\n",
            "1\nx\n",
            "1\r\nxy\r\n",
            "1\r\nx\n",
            "1 1\r\nx",
            "1;a\nx",
            "0\r\na: b\n\r\n",
            "0\r\n\n",
            "0\r\n\rx",
            "ffffffffffffffff0\r\n",
        ] {
            assert_eq!(read(wire.as_bytes(), &[usize::MAX]), Err(Malformed), "{wire:?}");
        }
        assert!(read(b"ffffffffffffffff\r\nx", &[usize::MAX]).is_ok());
    }
}
