//! The head of every request to one base URL: as lines of HTTP/1.1, up to the length of the body,
//! or as the fields of HTTP/2.

use common::target::{BaseUrl, Connection, Http, Target};
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use proto::secrets::Secrets;

const USER_AGENT: &str = concat!("floodmark/", env!("CARGO_PKG_VERSION"));

/// The head of every request to one base URL.
pub(super) enum Head {
    /// Lines, the last of which ends in the length of the body.
    Lines(Vec<u8>),
    /// Fields, but for the length of the body.
    Fields(Box<http::Request<()>>),
}

impl Head {
    /// The heads for all base URLs, in their order.
    pub(super) fn all(target: &Target, secrets: &Secrets) -> Vec<Self> {
        let head = |url| match target.http {
            Http::V1 => Self::Lines(lines(target, url, secrets).into_bytes()),
            Http::V2 => Self::Fields(Box::new(fields(target, url, secrets))),
        };
        target.base_urls().map(head).collect()
    }

    /// The lines; empty of HTTP/2.
    pub(super) fn lines(&self) -> &[u8] {
        match self {
            Self::Lines(lines) => lines,
            Self::Fields(_) => &[],
        }
    }

    /// The fields of a request whose body has so many bytes; `None` of HTTP/1.1.
    pub(super) fn fields(&self, length: u64) -> Option<http::Request<()>> {
        match self {
            Self::Lines(_) => None,
            Self::Fields(fields) => {
                let mut fields = http::Request::clone(fields);
                fields.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
                Some(fields)
            }
        }
    }
}

/// What every request says of itself.
fn own(target: &Target) -> [(&'static str, &'static str); 4] {
    let accept = if target.stream { "text/event-stream" } else { "application/json" };
    [
        ("user-agent", USER_AGENT),
        ("accept", accept),
        ("accept-encoding", "identity"),
        ("content-type", "application/json"),
    ]
}

fn lines(target: &Target, url: &BaseUrl, secrets: &Secrets) -> String {
    let mut head = format!(
        "POST {}{} HTTP/1.1\r\nhost: {}\r\n",
        url.path,
        target.endpoint.path(),
        url.authority(),
    );
    let mut field = |name: &str, value: &str| head.extend([name, ": ", value, "\r\n"]);
    for (name, value) in own(target) {
        field(name, value);
    }
    match target.connection {
        Connection::KeepAlive => {}
        Connection::PerRequest => field("connection", "close"),
    }
    for (name, value) in secrets.fields(target) {
        field(&name, &value);
    }
    head.push_str("content-length: ");
    head
}

#[expect(clippy::expect_used, reason = "every part was checked for what HTTP allows there")]
fn fields(target: &Target, url: &BaseUrl, secrets: &Secrets) -> http::Request<()> {
    let path = escaped(&format!("{}{}", url.path, target.endpoint.path()));
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(if url.tls { Scheme::HTTPS } else { Scheme::HTTP });
    uri.authority = Some(Authority::try_from(url.authority()).expect("a host and a port"));
    uri.path_and_query = Some(PathAndQuery::try_from(path).expect("an escaped path"));
    let mut request = http::Request::new(());
    *request.method_mut() = http::Method::POST;
    *request.version_mut() = http::Version::HTTP_2;
    *request.uri_mut() = http::Uri::from_parts(uri).expect("all parts");
    for (name, value) in own(target) {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    for (name, value) in secrets.fields(target) {
        let name = HeaderName::try_from(name).expect("a token");
        let mut value = HeaderValue::try_from(value).expect("visible ASCII");
        // No table of the connection keeps what may be a key.
        value.set_sensitive(true);
        request.headers_mut().insert(name, value);
    }
    request
}

/// A path with what no path may hold (RFC 3986) in percents.
fn escaped(path: &str) -> String {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~/%!$&'()*+,;=:@".contains(&b);
    let byte = |b: u8| {
        if allowed(b) { char::from(b).to_string() } else { format!("%{b:02X}") }
    };
    path.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn two(http: Http, first: &str) -> Target {
        let second = "https://b.example/v1".parse().unwrap();
        Target {
            http,
            more_base_urls: vec![second],
            ..Target::new(first.parse().unwrap(), "m".to_owned())
        }
    }

    proptest! {
        #[test]
        fn every_base_url_can_be_asked_in_both_versions(
            host in "[a-z0-9_]([a-z0-9_-]{0,9}[a-z0-9_])?", path in "(/[!-~&&[^?#\\\\/]]{1,9}){0,3}",
            port in 1u16..
        ) {
            let Ok(url) = format!("http://{host}:{port}{path}").parse::<BaseUrl>() else {
                return Ok(());
            };
            for http in Http::ALL {
                let target = Target { http, ..Target::new(url.clone(), "m".to_owned()) };
                prop_assert_eq!(Head::all(&target, &Secrets::default()).len(), 1);
            }
        }
    }

    #[test]
    fn the_versions_say_the_same() {
        let secrets = Secrets { api_key: Some("sk-x".into()), ..Secrets::default() };
        let lines = Head::all(&two(Http::V1, "http://a:8000/x{}"), &secrets);
        let fields = Head::all(&two(Http::V2, "http://a:8000/x{}"), &secrets);
        let first = String::from_utf8(lines[0].lines().to_vec()).unwrap();
        assert!(first.starts_with("POST /x{}/v1/chat/completions HTTP/1.1\r\nhost: a:8000\r\n"));
        assert!(lines[1].fields(7).is_none() && fields[0].lines().is_empty());
        let got = fields[0].fields(7).unwrap();
        assert_eq!(got.uri(), "http://a:8000/x%7B%7D/v1/chat/completions");
        assert_eq!(fields[1].fields(7).unwrap().uri(), "https://b.example/v1/chat/completions");
        let mut told: Vec<String> = got
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap()))
            .collect();
        told.retain(|field| field != "content-length: 7\r\n");
        assert_eq!(told.len(), 5);
        assert!(told.iter().all(|field| first.contains(field)), "{told:?}");
        assert!(got.headers()["authorization"].is_sensitive());
    }
}
