//! The server under test: where it is and how it is spoken to.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use crate::digest::DigestWriter;
use crate::time::duration_ns;
use crate::trust::Authorities;

/// The server under test, as every agent of a level addresses it. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where it listens.
    pub base_url: BaseUrl,
    /// The model to name in each request.
    pub model: String,
    /// The API that is called.
    pub endpoint: Endpoint,
    /// Ask for a stream of events, not one body.
    pub stream: bool,
    /// How many requests a connection carries.
    pub connection: Connection,
    /// Whom its certificate is checked against, if not the public authorities.
    pub authorities: Option<Authorities>,
    /// Limits on waiting.
    pub timeouts: Timeouts,
}

/// How many requests a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Connection {
    /// As many as the target allows, one after the other.
    KeepAlive,
    /// One; the request says so.
    PerRequest,
}

impl Connection {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::KeepAlive, Self::PerRequest];

    /// The name in campaign files.
    pub fn name(self) -> &'static str {
        match self {
            Self::KeepAlive => "keep-alive",
            Self::PerRequest => "per-request",
        }
    }
}

/// The API that is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completions,
    /// `/v1/responses`, the Responses API of OpenAI.
    Responses,
    /// `/v1/messages`, the Messages API of Anthropic.
    Messages,
    /// `/v1/embeddings`: an answer is a vector and has no tokens.
    Embeddings,
}

impl Endpoint {
    /// All endpoints.
    pub const ALL: [Self; 5] =
        [Self::Chat, Self::Completions, Self::Responses, Self::Messages, Self::Embeddings];

    /// The name in campaign files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "completions",
            Self::Responses => "responses",
            Self::Messages => "messages",
            Self::Embeddings => "embeddings",
        }
    }

    /// The path below the server's root.
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
            Self::Embeddings => "/v1/embeddings",
        }
    }

    /// What its requests say in their head beside what every request says, as names and values.
    pub fn head_fields(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Messages => &[("anthropic-version", "2023-06-01")],
            Self::Chat | Self::Completions | Self::Responses | Self::Embeddings => &[],
        }
    }

    /// Where its requests carry an API key: names, and what stands before the key. Of the servers
    /// that offer the Messages API some read a key where it puts it, some where the other APIs do.
    pub fn key_fields(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Messages => &[("authorization", "Bearer "), ("x-api-key", "")],
            Self::Chat | Self::Completions | Self::Responses | Self::Embeddings => {
                &[("authorization", "Bearer ")]
            }
        }
    }

    /// Answers are made of tokens, one after the other, and can be streamed.
    pub fn generates(self) -> bool {
        match self {
            Self::Chat | Self::Completions | Self::Responses | Self::Messages => true,
            Self::Embeddings => false,
        }
    }

    /// Its prompts have a place for images.
    pub fn takes_images(self) -> bool {
        match self {
            Self::Chat | Self::Responses | Self::Messages => true,
            Self::Completions | Self::Embeddings => false,
        }
    }

    /// Servers know a field of its requests that makes an answer as long as it may be. The Messages
    /// API has none, and the servers that offer it take none beside it.
    pub fn can_force_length(self) -> bool {
        match self {
            Self::Chat | Self::Completions | Self::Responses => true,
            Self::Messages | Self::Embeddings => false,
        }
    }
}

/// How long a request may wait, each wait with a limit and an ending of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timeouts {
    /// To a usable connection, TLS included.
    pub connect: Duration,
    /// From the first request byte sent to the first byte of the response's body.
    pub first_byte: Duration,
    /// Between two reads of a response.
    pub idle: Duration,
    /// From the first request byte sent to the end of the response.
    pub total: Duration,
}

impl Timeouts {
    /// The defaults: 10 s, 300 s, 60 s, 300 s (the paper's client waits 300 s).
    pub const DEFAULT: Self = Self {
        connect: Duration::from_secs(10),
        first_byte: Duration::from_secs(300),
        idle: Duration::from_secs(60),
        total: Duration::from_secs(300),
    };
}

/// Where a server listens: scheme, host, port and an optional path before the API's own.
///
/// Parsed strictly: no user information, query or fragment, no numeric short forms of an address
/// (`127.1`, `0x7f000001`, `2130706433`), so that what is checked is what is connected to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BaseUrl {
    /// `https`.
    pub tls: bool,
    /// A DNS name or an address.
    pub host: Host,
    /// TCP port.
    pub port: u16,
    /// Path prefix without a trailing slash; often empty.
    pub path: String,
}

/// The host part of a URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A DNS name, lower case.
    Name(String),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address.
    V6(Ipv6Addr),
}

/// Why a text is not a [`BaseUrl`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// No or another scheme.
    #[error("a base URL starts with http:// or https://")]
    Scheme,
    /// `user:password@`.
    #[error("user information in a URL is refused; give the key with api_key")]
    UserInfo,
    /// A query, a fragment, a space, a control character, or text that is not ASCII.
    #[error("a base URL has no query, fragment, space or character outside ASCII")]
    Character,
    /// No host or a malformed one.
    #[error("{0:?} is not a host: use a DNS name, a dotted IPv4 address or [IPv6]")]
    Host(String),
    /// Port not in 1 to 65535.
    #[error("{0:?} is not a port: use 1 to 65535")]
    Port(String),
}

impl FromStr for BaseUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (tls, rest) = if let Some(rest) = text.strip_prefix("http://") {
            (false, rest)
        } else if let Some(rest) = text.strip_prefix("https://") {
            (true, rest)
        } else {
            return Err(UrlError::Scheme);
        };
        if rest.bytes().any(|b| !b.is_ascii_graphic() || matches!(b, b'?' | b'#' | b'\\')) {
            return Err(UrlError::Character);
        }
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        if authority.contains('@') {
            return Err(UrlError::UserInfo);
        }
        let (host, port) = split_port(authority)?;
        let path = path.trim_end_matches('/');
        // The API's own path starts with /v1: accept base URLs given with or without it.
        let path = path.strip_suffix("/v1").unwrap_or(path);
        Ok(Self {
            tls,
            host: parse_host(host)?,
            port: port.unwrap_or(if tls { 443 } else { 80 }),
            path: path.to_owned(),
        })
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), UrlError> {
    let after_host = authority.rfind(']').unwrap_or_default();
    let Some(colon) = authority.get(after_host..).and_then(|tail| tail.rfind(':')) else {
        return Ok((authority, None));
    };
    let (host, port) = authority.split_at(after_host + colon);
    let port = port.trim_start_matches(':');
    match port.parse::<u16>() {
        Ok(number) if number > 0 && port.bytes().all(|b| b.is_ascii_digit()) => {
            Ok((host, Some(number)))
        }
        Ok(_) | Err(_) => Err(UrlError::Port(port.to_owned())),
    }
}

fn parse_host(host: &str) -> Result<Host, UrlError> {
    let bad = || UrlError::Host(host.to_owned());
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or_else(bad)?;
        return inner.parse().map(Host::V6).map_err(|_| bad());
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Ok(Host::V4(address));
    }
    let label_ok = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A last label of digits (or 0x..) is a numeric address to many resolvers, not a name.
    let numeric = |label: &str| {
        label.bytes().all(|b| b.is_ascii_digit())
            || label.strip_prefix("0x").is_some_and(|h| h.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    if host.len() <= 253 && host.split('.').all(label_ok) && !numeric(last) {
        Ok(Host::Name(host.to_ascii_lowercase()))
    } else {
        Err(bad())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => address.fmt(f),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }
}

impl BaseUrl {
    /// Host and port as they stand in a `Host` header: the port is left out where it is the
    /// scheme's own.
    pub fn authority(&self) -> String {
        let own = if self.tls { 443 } else { 80 };
        if self.port == own {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

impl Target {
    /// A model's chat, streamed, on connections that are kept, with [`Timeouts::DEFAULT`].
    pub fn new(base_url: BaseUrl, model: String) -> Self {
        Self {
            base_url,
            model,
            endpoint: Endpoint::Chat,
            stream: true,
            connection: Connection::KeepAlive,
            authorities: None,
            timeouts: Timeouts::DEFAULT,
        }
    }

    pub(crate) fn feed(&self, digest: &mut DigestWriter) {
        let Timeouts { connect, first_byte, idle, total } = self.timeouts;
        digest
            .text(&self.base_url.to_string())
            .text(&self.model)
            .text(self.endpoint.name())
            .number(self.stream.into())
            .text(self.connection.name())
            .text(self.authorities.as_ref().map_or("", Authorities::pem));
        for wait in [connect, first_byte, idle, total] {
            digest.number(duration_ns(wait));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_print_as_they_are_understood() {
        for (text, printed) in [
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
            ("http://127.0.0.1:8000/v1/", "http://127.0.0.1:8000"),
            ("https://Example.com", "https://example.com"),
            ("https://example.com:443/proxy/v1", "https://example.com/proxy"),
            ("http://[::1]:9/x", "http://[::1]:9/x"),
            ("http://[::1]", "http://[::1]"),
            ("http://localhost:80", "http://localhost"),
        ] {
            assert_eq!(text.parse::<BaseUrl>().unwrap().to_string(), printed, "{text}");
        }
    }

    #[test]
    fn ambiguous_urls_are_refused() {
        for text in [
            "",
            "127.0.0.1:8000",
            "ftp://x",
            "http://",
            "http:///v1",
            "http://a@b",
            "http://a b",
            "http://127.1",
            "http://2130706433",
            "http://0x7f000001",
            "http://0x7f.1.1.1.0x1",
            "http://x:0",
            "http://x:65536",
            "http://x:+80",
            "http://x:",
            "http://a?b",
            "http://a#b",
            "http://[::1",
            "http://::1",
            "http://-a",
            "http://a..b",
            "http://a.",
            "http://bücher",
            "http://a\\b",
        ] {
            assert!(text.parse::<BaseUrl>().is_err(), "{text:?}");
        }
    }
}
