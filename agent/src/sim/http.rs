//! HTTP/1.1 requests out of bytes: heads by httparse, bodies by length or in chunks, all of it
//! bounded. No socket.

use std::str::FromStr;

/// The largest head.
pub(super) const HEAD_MAX: usize = 32 * 1024;
/// The largest body: requests carry images.
pub(super) const BODY_MAX: usize = 64 * 1024 * 1024;
const HEADERS_MAX: usize = 64;
/// The largest size line of a chunk, and the largest trailer.
const CHUNK_LINE_MAX: usize = 8 * 1024;

/// A request's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub(super) expects_continue: bool,
    pub(super) body: BodyLength,
    /// Bytes of the head itself.
    pub(super) length: usize,
}

/// The methods that mean something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
    Other,
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyLength {
    Known(usize),
    Chunked,
}

/// What is wrong with a request; the connection cannot go on after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HttpError {
    #[error("the request is not HTTP/1.1")]
    Malformed,
    #[error("the head is larger than {HEAD_MAX} bytes or has more than {HEADERS_MAX} fields")]
    HeadTooLarge,
    #[error("the body is larger than {BODY_MAX} bytes")]
    BodyTooLarge,
}

impl HttpError {
    /// The status that tells the client.
    pub(super) fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::HeadTooLarge => 431,
            Self::BodyTooLarge => 413,
        }
    }
}

impl Head {
    /// The head at the start of `input`; `None` if it has not ended yet.
    pub(super) fn parse(input: &[u8]) -> Result<Option<Self>, HttpError> {
        let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut fields);
        let length = match request.parse(input) {
            Ok(httparse::Status::Complete(length)) if length <= HEAD_MAX => length,
            Ok(httparse::Status::Partial) if input.len() < HEAD_MAX => return Ok(None),
            Ok(httparse::Status::Complete(_) | httparse::Status::Partial)
            | Err(httparse::Error::TooManyHeaders) => return Err(HttpError::HeadTooLarge),
            Err(_) => return Err(HttpError::Malformed),
        };
        let path = request.path.unwrap_or_default();
        let mut head = Self {
            method: match request.method {
                Some("GET") => Method::Get,
                Some("POST") => Method::Post,
                Some(_) | None => Method::Other,
            },
            path: path.split('?').next().unwrap_or(path).to_owned(),
            keep_alive: request.version == Some(1),
            expects_continue: false,
            body: BodyLength::Known(0),
            length,
        };
        let mut known = None;
        for field in request.headers.iter() {
            head.take(field, &mut known)?;
        }
        if let Some(known) = known {
            // A message with both is how requests are smuggled (RFC 9112, section 6.3).
            if head.body == BodyLength::Chunked {
                return Err(HttpError::Malformed);
            }
            head.body = BodyLength::Known(known);
        }
        Ok(Some(head))
    }

    fn take(
        &mut self,
        field: &httparse::Header<'_>,
        known: &mut Option<usize>,
    ) -> Result<(), HttpError> {
        let named = |name: &str| field.name.eq_ignore_ascii_case(name);
        let value = std::str::from_utf8(field.value).map_or("", str::trim);
        if named("content-length") {
            let length = length(value)?;
            if known.replace(length).is_some_and(|other| other != length) {
                return Err(HttpError::Malformed);
            }
        } else if named("transfer-encoding") {
            if !value.eq_ignore_ascii_case("chunked") {
                return Err(HttpError::Malformed);
            }
            self.body = BodyLength::Chunked;
        } else if named("connection") {
            self.keep_alive &=
                !value.split(',').any(|option| option.trim().eq_ignore_ascii_case("close"));
        } else if named("expect") {
            self.expects_continue = value.eq_ignore_ascii_case("100-continue");
        }
        Ok(())
    }
}

fn length(value: &str) -> Result<usize, HttpError> {
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
        return Err(HttpError::Malformed);
    }
    usize::from_str(value).ok().filter(|&length| length <= BODY_MAX).ok_or(HttpError::BodyTooLarge)
}

/// A body in chunks, as far as it has come.
#[derive(Debug, Default)]
pub(super) struct ChunkedBody {
    body: Vec<u8>,
    /// Bytes of input that are understood.
    at: usize,
    /// The last chunk has come; only the trailer is missing.
    in_trailer: bool,
}

impl ChunkedBody {
    /// Goes on with `input`, which starts where the body starts and only ever grows. Gives the
    /// body and its length in `input` once it is whole.
    pub(super) fn advance(&mut self, input: &[u8]) -> Result<Option<(Vec<u8>, usize)>, HttpError> {
        loop {
            let rest = input.get(self.at..).unwrap_or_default();
            let step = if self.in_trailer { trailer_line(rest)? } else { self.chunk(rest)? };
            let Some(length) = step else {
                return Ok(None);
            };
            self.at += length;
            if self.in_trailer && rest.starts_with(b"\r\n") {
                return Ok(Some((std::mem::take(&mut self.body), self.at)));
            }
        }
    }

    /// Takes the whole chunk at the start of `rest`, and gives its length.
    fn chunk(&mut self, rest: &[u8]) -> Result<Option<usize>, HttpError> {
        let (line, size) = match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete(found)) => found,
            Ok(httparse::Status::Partial) if rest.len() < CHUNK_LINE_MAX => return Ok(None),
            Ok(httparse::Status::Partial) | Err(_) => return Err(HttpError::Malformed),
        };
        let size = usize::try_from(size)
            .ok()
            .filter(|&size| size <= BODY_MAX - self.body.len().min(BODY_MAX))
            .ok_or(HttpError::BodyTooLarge)?;
        if size == 0 {
            self.in_trailer = true;
            return Ok(Some(line));
        }
        let end = line + size;
        let Some(data) = rest.get(line..end) else {
            return Ok(None);
        };
        match rest.get(end..end + 2) {
            None => Ok(None),
            Some(b"\r\n") => {
                self.body.extend_from_slice(data);
                Ok(Some(end + 2))
            }
            Some(_) => Err(HttpError::Malformed),
        }
    }
}

/// The length of the line at the start of `rest`, its end included.
fn trailer_line(rest: &[u8]) -> Result<Option<usize>, HttpError> {
    match rest.windows(2).position(|pair| pair == b"\r\n") {
        Some(end) => Ok(Some(end + 2)),
        None if rest.len() < CHUNK_LINE_MAX => Ok(None),
        None => Err(HttpError::HeadTooLarge),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str) -> Result<Head, HttpError> {
        Head::parse(text.as_bytes()).map(|head| head.expect("a whole head"))
    }

    #[test]
    fn heads_say_how_to_go_on() {
        let head = check("GET /truth?x=1 HTTP/1.1\r\nHost: a\r\n\r\nrest").unwrap();
        assert_eq!((head.method, head.path.as_str()), (Method::Get, "/truth"));
        assert!(head.keep_alive && head.length == 36);
        for (text, keep_alive) in [
            ("GET / HTTP/1.0\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nConnection: Close\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nConnection: keep-alive, close\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nConnection: keep-alive\r\n\r\n", true),
        ] {
            assert_eq!(check(text).unwrap().keep_alive, keep_alive, "{text}");
        }
        let post = "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n";
        let head = check(post).unwrap();
        assert!(head.expects_continue);
        assert_eq!(head.body, BodyLength::Known(7));
        let post = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(check(post).unwrap().body, BodyLength::Chunked);
    }

    #[test]
    fn heads_that_cannot_be_followed_are_refused() {
        let many = "a: b\r\n".repeat(HEADERS_MAX + 1);
        for (text, error) in [
            ("hello\r\n\r\n", HttpError::Malformed),
            ("POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", HttpError::Malformed),
            (
                "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                HttpError::Malformed,
            ),
            (
                "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                HttpError::Malformed,
            ),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", HttpError::Malformed),
            (
                "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
                HttpError::BodyTooLarge,
            ),
            (&format!("GET / HTTP/1.1\r\n{many}\r\n"), HttpError::HeadTooLarge),
            (&format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(HEAD_MAX)), HttpError::HeadTooLarge),
        ] {
            assert_eq!(check(text), Err(error), "{text:.60}");
        }
    }

    proptest! {
        #[test]
        fn a_chunked_body_is_the_same_however_it_arrives(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
            trailer: bool,
        ) {
            let mut sent = Vec::new();
            for chunk in &chunks {
                sent.extend_from_slice(format!("{:x};ext=1\r\n", chunk.len()).as_bytes());
                sent.extend_from_slice(chunk);
                sent.extend_from_slice(b"\r\n");
            }
            sent.extend_from_slice(if trailer { b"0\r\nsum: 1\r\n\r\n" } else { b"0\r\n\r\n" });
            let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(sent.len())).collect();
            ends.sort_unstable();
            let mut body = ChunkedBody::default();
            for end in ends {
                prop_assert_eq!(body.advance(&sent[..end]), Ok(None));
            }
            let length = sent.len();
            sent.extend_from_slice(b"GET / HTTP/1.1");
            prop_assert_eq!(body.advance(&sent), Ok(Some((chunks.concat(), length))));
        }

        #[test]
        fn any_bytes_are_answered(input in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Head::parse(&input);
            let _ = ChunkedBody::default().advance(&input);
        }
    }

    #[test]
    fn chunks_beyond_the_limit_are_refused_before_they_come() {
        let mut body = ChunkedBody::default();
        assert_eq!(body.advance(b"fffffffff\r\n"), Err(HttpError::BodyTooLarge));
    }
}
