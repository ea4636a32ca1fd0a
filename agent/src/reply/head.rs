//! The head of a response: status, where the body ends, and whether the connection lives on.
//!
//! Everything that would let two readers disagree about where a body ends is refused.

use httparse::{EMPTY_HEADER, Header, Response, Status};

use common::outcome::Failure;

use super::body::{Chunked, Framing};

/// Header lines accepted in one head.
const HEADERS_MAX: usize = 100;

/// What the head of a response says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) framing: Framing,
    /// The connection may carry another request after this response.
    pub(super) keep_alive: bool,
    pub(super) content: Content,
    /// The body is compressed, although nobody asked for that.
    pub(super) encoded: bool,
}

/// What the body is declared to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    EventStream,
    Json,
    Other,
}

/// Whether these first bytes can be the start of an HTTP/1 response.
pub(super) fn plausible(bytes: &[u8]) -> bool {
    bytes.iter().zip(b"HTTP/1.").all(|(got, want)| got == want)
}

/// Length of the head that `bytes` start with, its empty line included; the first `scanned` bytes
/// are known to hold no end.
pub(super) fn end(bytes: &[u8], scanned: usize) -> Option<usize> {
    // An end that straddles the mark begins at most two bytes before it.
    let from = scanned.saturating_sub(2);
    memchr::memchr_iter(b'\n', bytes.get(from..)?).find_map(|at| {
        let next = from + at + 1;
        match bytes.get(next..)? {
            [b'\n', ..] => Some(next + 1),
            [b'\r', b'\n', ..] => Some(next + 2),
            _ => None,
        }
    })
}

impl Head {
    /// Parses one complete head.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Failure> {
        let mut headers = [EMPTY_HEADER; HEADERS_MAX];
        let mut response = Response::new(&mut headers);
        match response.parse(bytes) {
            Ok(Status::Complete(_)) => {}
            Ok(Status::Partial) => return Err(Failure::HttpMalformed),
            Err(httparse::Error::TooManyHeaders) => return Err(Failure::TooLarge),
            Err(_) => return Err(Failure::HttpMalformed),
        }
        let (Some(status), Some(minor)) = (response.code, response.version) else {
            return Err(Failure::HttpMalformed);
        };
        Fields::read(response.headers)
            .and_then(|fields| fields.head(status, minor))
            .ok_or(Failure::HttpMalformed)
    }

    /// The head of a response that comes in frames.
    pub(super) fn of_frames(status: u16, fields: &http::HeaderMap) -> Self {
        let value = |name| fields.get(name).map_or(&[] as &[u8], http::HeaderValue::as_bytes);
        Self {
            status,
            framing: Framing::Framed,
            keep_alive: true,
            content: content(value(http::header::CONTENT_TYPE)),
            encoded: fields
                .get_all(http::header::CONTENT_ENCODING)
                .iter()
                .any(|value| is_encoded(value.as_bytes())),
        }
    }
}

/// The header lines that matter, each read strictly.
struct Fields {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    content: Content,
    encoded: bool,
}

impl Fields {
    fn read(headers: &[Header<'_>]) -> Option<Self> {
        let mut fields = Self {
            length: None,
            chunked: false,
            close: false,
            keep_alive: false,
            content: Content::Other,
            encoded: false,
        };
        for header in headers {
            fields.take(header)?;
        }
        Some(fields)
    }

    /// Takes one line; `None` where it makes the message ambiguous.
    fn take(&mut self, header: &Header<'_>) -> Option<()> {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            for item in items(header.value) {
                let length = decimal(item)?;
                if self.length.is_some_and(|known| known != length) {
                    return None;
                }
                self.length = Some(length);
            }
        } else if is("transfer-encoding") {
            if self.chunked || !header.value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return None;
            }
            self.chunked = true;
        } else if is("connection") {
            for item in items(header.value) {
                self.close |= item.eq_ignore_ascii_case(b"close");
                self.keep_alive |= item.eq_ignore_ascii_case(b"keep-alive");
            }
        } else if is("content-type") {
            self.content = content(header.value);
        } else if is("content-encoding") {
            self.encoded |= is_encoded(header.value);
        }
        Some(())
    }

    fn head(self, status: u16, minor: u8) -> Option<Head> {
        let framing = match (status, self.chunked, self.length) {
            (_, true, Some(_)) => return None,
            // Chunked coding does not exist in HTTP/1.0; a response that claims it went through
            // something that does not understand its own framing.
            (_, true, None) if minor == 0 => return None,
            (100..=199 | 204 | 304, _, _) => Framing::Length(0),
            (_, true, None) => Framing::Chunked(Chunked::Start),
            (_, false, Some(length)) => Framing::Length(length),
            (_, false, None) => Framing::UntilClose,
        };
        Some(Head {
            status,
            framing,
            keep_alive: !self.close
                && (minor >= 1 || self.keep_alive)
                && framing != Framing::UntilClose,
            content: self.content,
            encoded: self.encoded,
        })
    }
}

/// Whether a body is compressed, by its `content-encoding`.
fn is_encoded(value: &[u8]) -> bool {
    items(value).any(|item| !item.is_empty() && !item.eq_ignore_ascii_case(b"identity"))
}

fn items(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn content(value: &[u8]) -> Content {
    let media = value.split(|byte| *byte == b';').next().unwrap_or_default();
    let media = media.trim_ascii().to_ascii_lowercase();
    if media == b"text/event-stream" {
        Content::EventStream
    } else if media == b"application/json" || media.ends_with(b"+json") {
        Content::Json
    } else {
        Content::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_wherever_the_scan_stopped() {
        for head in ["HTTP/1.1 200 OK\r\na: b\r\n\r\n", "HTTP/1.1 200 OK\na: b\n\n"] {
            let bytes = [head, "rest\r\n\r\n"].concat();
            for cut in 0..head.len() {
                assert_eq!(end(&bytes.as_bytes()[..cut], 0), None, "{cut}");
                assert_eq!(end(bytes.as_bytes(), cut), Some(head.len()), "{cut}");
            }
        }
    }

    /// Rendered head of a response with this version and these header lines.
    fn check(version: &str, lines: &[&str]) -> String {
        let text = format!("HTTP/{version} 200 OK\r\n{}\r\n\r\n", lines.join("\r\n"));
        match Head::parse(text.as_bytes()) {
            Err(failure) => failure.to_string(),
            Ok(head) => {
                let framing = match head.framing {
                    Framing::Chunked(_) => "chunked".to_owned(),
                    Framing::Length(length) => length.to_string(),
                    Framing::UntilClose => "until close".to_owned(),
                    Framing::Framed => "in frames".to_owned(),
                };
                let kept = if head.keep_alive { "kept" } else { "closed" };
                format!("{framing}, {kept}")
            }
        }
    }

    #[test]
    fn framing_and_reuse() {
        for (version, lines, want) in [
            ("1.1", &["Transfer-Encoding: Chunked"][..], "chunked, kept"),
            ("1.1", &["content-length: 7"], "7, kept"),
            ("1.1", &["content-length: 7", "Content-Length: 7"], "7, kept"),
            ("1.1", &["content-length: 7, 7"], "7, kept"),
            ("1.1", &["content-length: 7", "connection: Upgrade, CLOSE"], "7, closed"),
            ("1.1", &["x: y"], "until close, closed"),
            ("1.0", &["content-length: 7"], "7, closed"),
            ("1.0", &["content-length: 7", "connection: keep-alive"], "7, kept"),
            ("1.1", &["content-length: 7", "content-length: 8"], "http_malformed"),
            ("1.1", &["content-length: 7, 8"], "http_malformed"),
            ("1.1", &["content-length: "], "http_malformed"),
            ("1.1", &["content-length: +7"], "http_malformed"),
            ("1.1", &["content-length: -7"], "http_malformed"),
            ("1.1", &["content-length: 99999999999999999999"], "http_malformed"),
            ("1.1", &["content-length: 7", "transfer-encoding: chunked"], "http_malformed"),
            ("1.1", &["transfer-encoding: gzip, chunked"], "http_malformed"),
            (
                "1.1",
                &["transfer-encoding: chunked", "transfer-encoding: chunked"],
                "http_malformed",
            ),
            ("1.0", &["transfer-encoding: chunked"], "http_malformed"),
            ("2.0", &["content-length: 7"], "http_malformed"),
            ("1.1", &["content-length : 7"], "http_malformed"),
            ("1.1", &["no colon"], "http_malformed"),
            ("1.1", &["a: b"; 101], "too_large"),
        ] {
            assert_eq!(check(version, lines), want, "{version} {lines:?}");
        }
    }

    #[test]
    fn media_types() {
        assert_eq!(content(b"Text/Event-Stream; charset=utf-8"), Content::EventStream);
        assert_eq!(content(b"application/problem+json"), Content::Json);
        assert_eq!(content(b"application/json"), Content::Json);
        assert_eq!(content(b"text/html"), Content::Other);
        assert_eq!(content(b""), Content::Other);
    }
}
