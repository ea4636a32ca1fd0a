//! The server under test: where it is and how it is spoken to.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use crate::digest::DigestWriter;
use crate::extra::{ExtraBody, Header, HeaderName};
use crate::ids::UserId;
use crate::time::duration_ns;
use crate::trust::Authorities;

/// The server under test, as every agent of a level addresses it. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where it listens.
    pub base_url: BaseUrl,
    /// Where it listens as well: requests take turns over all of these.
    pub more_base_urls: Vec<BaseUrl>,
    /// The model to name in each request.
    pub model: String,
    /// The API that is called.
    pub endpoint: Endpoint,
    /// Ask for a stream of events, not one body.
    pub stream: bool,
    /// How many requests a connection carries.
    pub connection: Connection,
    /// The version of HTTP.
    pub http: Http,
    /// Fields of the body that a campaign adds.
    pub extra_body: ExtraBody,
    /// Fields of the head that it adds and that are no secret.
    pub headers: Vec<Header>,
    /// The field of the head that carries the API key, bare; `None` for what the endpoint does.
    pub key_header: Option<HeaderName>,
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

/// The version of HTTP that requests are made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Http {
    /// HTTP/1.1.
    V1,
    /// HTTP/2: by ALPN over TLS, by prior knowledge without it. One request at a time has the
    /// connection.
    V2,
}

impl Http {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::V1, Self::V2];

    /// The name in campaign files.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1 => "1.1",
            Self::V2 => "2",
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

    /// As a text that reads back to the same URL: `/v1` at the end is read as part of the API's
    /// path, so one that belongs to the server's own is written twice.
    pub fn written(&self) -> String {
        let text = self.to_string();
        if text.parse().as_ref() == Ok(self) { text } else { text + "/v1" }
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
            more_base_urls: Vec::new(),
            model,
            endpoint: Endpoint::Chat,
            stream: true,
            connection: Connection::KeepAlive,
            http: Http::V1,
            extra_body: ExtraBody::default(),
            headers: Vec::new(),
            key_header: None,
            authorities: None,
            timeouts: Timeouts::DEFAULT,
        }
    }

    /// The most base URLs: a user has a connection to each.
    pub const URLS_MAX: usize = 64;

    /// All base URLs, in the order of the campaign.
    pub fn base_urls(&self) -> impl Iterator<Item = &BaseUrl> {
        std::iter::once(&self.base_url).chain(&self.more_base_urls)
    }

    /// All base URLs in words.
    pub fn urls(&self) -> String {
        self.base_urls().map(BaseUrl::to_string).collect::<Vec<_>>().join(", ")
    }

    /// The place among the base URLs of the one that a request goes to. A user's requests go to one
    /// after the other, and users begin at different ones. An arrival of an open loop is of no user,
    /// which is to say of user 0, and its number is its place in the sequence of the fleet.
    pub fn url_of(&self, user: UserId, number: u64) -> usize {
        let urls = 1 + self.more_base_urls.len();
        // Below `urls`.
        (u64::from(user.0).wrapping_add(number) % urls as u64) as usize
    }

    /// The same target at each of its base URLs alone.
    pub fn each(&self) -> impl Iterator<Item = Self> {
        self.base_urls().map(|base_url| Self {
            base_url: base_url.clone(),
            more_base_urls: Vec::new(),
            ..self.clone()
        })
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
        self.feed_more(digest);
    }

    /// What is not as it always was, so that agents of an older version agree on what they know.
    fn feed_more(&self, digest: &mut DigestWriter) {
        for url in &self.more_base_urls {
            digest.text("url").text(&url.to_string());
        }
        match self.http {
            Http::V1 => {}
            Http::V2 => {
                digest.text("http").text(self.http.name());
            }
        }
        if !self.extra_body.is_empty() {
            digest.text("body").text(&self.extra_body.to_string());
        }
        for Header { name, value } in &self.headers {
            digest.text("header").text(name.as_str()).text(value);
        }
        if let Some(name) = &self.key_header {
            digest.text("key").text(name.as_str());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn several(urls: usize) -> Target {
        let url = |port: usize| format!("http://h:{port}").parse::<BaseUrl>().unwrap();
        Target {
            more_base_urls: (2..=urls).map(url).collect(),
            ..Target::new(url(1), "m".to_owned())
        }
    }

    proptest! {
        #[test]
        fn requests_take_turns_over_the_base_urls(
            urls in 1usize..9, users in 1u32..20, rounds in 0u64..9
        ) {
            let target = several(urls);
            let mut per_url = vec![0u64; urls];
            for user in 0..users {
                let turns: Vec<usize> =
                    (0..rounds).map(|n| target.url_of(UserId(user), n)).collect();
                prop_assert!(turns.windows(2).all(|two| two[1] == (two[0] + 1) % urls));
                turns.iter().for_each(|turn| per_url[*turn] += 1);
            }
            // Of one request each, too, when there are as many users as it takes.
            let most = per_url.iter().max().unwrap() - per_url.iter().min().unwrap();
            prop_assert!(most <= u64::from(users).min(rounds));
            prop_assert_eq!(target.each().count(), urls);
        }
    }

    #[test]
    fn only_what_is_not_as_always_changes_a_digest() {
        let digest = |target: &Target| {
            let mut digest = DigestWriter::default();
            target.feed(&mut digest);
            digest.finish()
        };
        let plain = several(1);
        let headers = vec![Header { name: "x".parse().unwrap(), value: "y".to_owned() }];
        let others = [
            several(2),
            several(3),
            Target { http: Http::V2, ..plain.clone() },
            Target { extra_body: r#"{"a":1}"#.parse().unwrap(), ..plain.clone() },
            Target { headers, ..plain.clone() },
            Target { key_header: Some("x".parse().unwrap()), ..plain.clone() },
        ];
        let mut digests: Vec<_> = others.iter().chain([&plain]).map(digest).collect();
        digests.sort_by_key(|digest| digest.0);
        digests.dedup();
        assert_eq!(digests.len(), others.len() + 1);
    }

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
    fn urls_are_written_so_that_they_read_back() {
        for text in ["http://a", "https://b/proxy/v1", "http://c/v1/v1", "http://[::1]:9/x/v1/v1"] {
            let url: BaseUrl = text.parse().unwrap();
            assert_eq!(url.written().parse(), Ok(url), "{text}");
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
