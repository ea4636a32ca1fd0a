//! How the target is asked: its base URLs, what is added to requests, what is proven to it, and where
//! the secrets among that are found. Read, and written back as TOML.

use std::collections::BTreeSet;
use std::path::PathBuf;

use common::extra::{ExtraBody, HEADERS_MAX, Header, HeaderName, VALUE_BYTES_MAX, is_header_value};
use common::target::{BaseUrl, Connection, Endpoint, Http, Target, UrlError};
use serde_json::{Map, Number, Value as Json};

use super::raw::{Collector, Node, Origin, Value};
use super::read::{Field, Section};
use super::text::quoted;
use super::{Campaign, KeyRef};

/// Bytes of a path, at most.
pub(super) const PATH_BYTES_MAX: usize = 4096;
/// Bytes of an environment variable's name, at most.
const VARIABLE_BYTES_MAX: usize = 128;

/// The files with the certificate that answers a target which asks for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFiles {
    /// The certificate and those between it and its authority.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What the table of the target says of how it is asked.
pub(super) struct Asked {
    pub(super) http: Http,
    pub(super) extra_body: ExtraBody,
    pub(super) headers: Vec<Header>,
    pub(super) secret_headers: Vec<(HeaderName, KeyRef)>,
    pub(super) api_key: Option<KeyRef>,
    pub(super) key_header: Option<HeaderName>,
    pub(super) ca: Option<PathBuf>,
    pub(super) client: Option<ClientFiles>,
}

/// The keys that [`read_asked`] knows.
pub(super) const KEYS: [&str; 5] = ["http", "extra_body", "headers", "api_key", "tls"];

/// Reads them; `None` if there was a problem.
pub(super) fn read_asked(
    section: &Section<'_>,
    urls: Option<&[BaseUrl]>,
    endpoint: Endpoint,
    c: &mut Collector<'_>,
) -> Option<Asked> {
    let http = match section.get("http") {
        Some(field) => field.word(&Http::ALL.map(|http| (http.name(), http)), c),
        None => Some(Http::V1),
    };
    let extra_body = match section.get("extra_body") {
        Some(field) => read_extra_body(&field, c),
        None => Some(ExtraBody::default()),
    };
    let key = match section.get("api_key") {
        Some(field) => read_key(&field, c).map(Some),
        None => Some(None),
    };
    let headers = match section.get("headers") {
        Some(field) => read_headers(&field, key.as_ref(), endpoint, c),
        None => Some((Vec::new(), Vec::new())),
    };
    let tls = match section.get("tls") {
        Some(field) => read_tls(&field, urls, c),
        None => Some((None, None)),
    };
    let (headers, secret_headers) = headers?;
    let (ca, client) = tls?;
    let (api_key, key_header) = match key? {
        Some(Key { found, header, .. }) => (Some(found), header),
        None => (None, None),
    };
    Some(Asked {
        http: http?,
        extra_body: extra_body?,
        headers,
        secret_headers,
        api_key,
        key_header,
        ca,
        client,
    })
}

/// The base URLs, at least one, all different.
pub(super) fn read_base_urls(field: &Field<'_>, c: &mut Collector<'_>) -> Option<Vec<BaseUrl>> {
    let Value::List(_) = &field.node.value else {
        // A URL may hold a password.
        let what = "must be a list of URLs: [\"http://HOST:PORT\"]";
        return field.refuse_unseen(c, what);
    };
    let items = field.items();
    if items.is_empty() || items.len() > Target::URLS_MAX {
        let what = format!("has {} URLs; give 1 to {}", items.len(), Target::URLS_MAX);
        return field.refuse(c, what);
    }
    let mut seen = BTreeSet::new();
    let urls = items.iter().map(|item| {
        let url = read_base_url(item, c)?;
        if seen.insert(url.to_string()) {
            Some(url)
        } else {
            item.refuse(c, "is there already: name each server once")
        }
    });
    // All are read, so that each problem is told.
    let urls: Vec<Option<BaseUrl>> = urls.collect();
    urls.into_iter().collect()
}

fn read_base_url(item: &Field<'_>, c: &mut Collector<'_>) -> Option<BaseUrl> {
    let text = item.text(c)?;
    match text.parse::<BaseUrl>() {
        Ok(url) => Some(url),
        Err(error) if text.contains('@') => {
            let error = match error {
                UrlError::Host(_) | UrlError::Port(_) => UrlError::UserInfo,
                UrlError::Scheme | UrlError::UserInfo | UrlError::Character => error,
            };
            item.refuse_unseen(c, &error.to_string())
        }
        Err(error) => item.refuse(c, error.to_string()),
    }
}

fn read_extra_body(field: &Field<'_>, c: &mut Collector<'_>) -> Option<ExtraBody> {
    let read = match &field.node.value {
        Value::Text(text) => text.parse(),
        Value::Table(_) => match json(field, c)? {
            Json::Object(fields) => ExtraBody::new(fields),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => {
                return None;
            }
        },
        Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime
        | Value::List(_) => {
            let kind = field.node.value.kind();
            return field.refuse(c, format!("must be a table, or a string with JSON, not {kind}"));
        }
    };
    match read {
        Ok(extra) => Some(extra),
        Err(error) => field.refuse_unseen(c, &error.to_string()),
    }
}

/// A TOML value as JSON.
fn json(field: &Field<'_>, c: &mut Collector<'_>) -> Option<Json> {
    match &field.node.value {
        Value::Text(text) => Some(text.clone().into()),
        Value::Boolean(yes) => Some((*yes).into()),
        Value::Integer(number) => match i64::try_from(*number) {
            Ok(number) => Some(number.into()),
            Err(_) => field.refuse(c, "is too large; give extra_body as a string with JSON"),
        },
        Value::Float(number) => match Number::from_f64(*number) {
            Some(number) => Some(number.into()),
            None => field.refuse(c, "is no number that JSON knows"),
        },
        Value::Datetime => field.refuse(c, "JSON has no dates; write it as a string"),
        Value::List(items) => {
            let items = items.iter().enumerate();
            items.map(|(place, node)| json(&below(field, &place.to_string(), node), c)).collect()
        }
        Value::Table(table) => {
            let entry = |(key, (_, node)): (&String, &(Origin, Node))| {
                Some((key.clone(), json(&below(field, key, node), c)?))
            };
            table.iter().map(entry).collect::<Option<Map<_, _>>>().map(Json::Object)
        }
    }
}

fn below<'t>(field: &Field<'_>, step: &str, node: &'t Node) -> Field<'t> {
    Field { key: format!("{}.{step}", field.key), node }
}

/// The API key of a campaign.
struct Key {
    found: KeyRef,
    header: Option<HeaderName>,
    /// The campaign says so; no variable of the environment stands in.
    stated: bool,
}

fn read_key(field: &Field<'_>, c: &mut Collector<'_>) -> Option<Key> {
    if let Value::Text(_) | Value::Integer(_) = field.node.value {
        let what = "a literal key is refused; name where it is found: \
                    { env = \"OPENAI_API_KEY\" } or { file = \"PATH\" }";
        return field.refuse(c, what);
    }
    let section = Section::open(field, &["env", "file", "header"], c)?;
    let header = match section.get("header") {
        Some(field) => read_name(&field, field.line(HeaderName::LEN_MAX, c)?, c).map(Some),
        None => Some(None),
    };
    let named = section.get("env").or_else(|| section.get("file"));
    let stated = named.is_some_and(|field| field.node.origin != Origin::Implied);
    Some(Key { found: read_where(field, &section, c)?, header: header?, stated })
}

/// Where a secret is found.
fn read_where(field: &Field<'_>, section: &Section<'_>, c: &mut Collector<'_>) -> Option<KeyRef> {
    match (section.get("env"), section.get("file")) {
        (Some(field), None) => {
            let name = field.line(VARIABLE_BYTES_MAX, c)?;
            let starts_well = !name.starts_with(|c: char| c.is_ascii_digit());
            let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if starts_well && name.chars().all(allowed) {
                Some(KeyRef::Env(name.to_owned()))
            } else {
                let what = "must be the name of an environment variable: \
                            letters, digits and _, the first no digit";
                field.refuse(c, what)
            }
        }
        (None, Some(field)) => Some(KeyRef::File(field.line(PATH_BYTES_MAX, c)?.into())),
        (None, None) | (Some(_), Some(_)) => {
            field.refuse(c, "must have exactly one of env and file")
        }
    }
}

type Headers = (Vec<Header>, Vec<(HeaderName, KeyRef)>);

fn read_headers(
    field: &Field<'_>,
    key: Option<&Option<Key>>,
    endpoint: Endpoint,
    c: &mut Collector<'_>,
) -> Option<Headers> {
    let section = Section::open_any(field, c)?;
    let taken: Vec<&str> = match key {
        Some(Some(Key { header: Some(header), stated: true, .. })) => vec![header.as_str()],
        Some(Some(Key { header: None, stated: true, .. })) => {
            endpoint.key_fields().iter().map(|(name, _)| *name).collect()
        }
        Some(Some(Key { stated: false, .. }) | None) | None => Vec::new(),
    };
    let (mut plain, mut secret) = (Vec::new(), Vec::new());
    let mut names = BTreeSet::new();
    let mut sound = true;
    for (name, _, field) in section.entries() {
        let Some(name) = read_name(&field, name, c) else {
            sound = false;
            continue;
        };
        let read = if taken.contains(&name.as_str()) {
            field.refuse_unseen(c, "the API key goes there; leave one of the two out")
        } else if !names.insert(name.clone()) {
            field.refuse_unseen(c, "is there already, in other letters")
        } else if names.len() > HEADERS_MAX {
            field.refuse_unseen(c, &format!("is one more than the {HEADERS_MAX} that there may be"))
        } else {
            read_header(&field, name, c)
        };
        match read {
            Some(Read::Plain(header)) => plain.push(header),
            Some(Read::Secret(name, found)) => secret.push((name, found)),
            None => sound = false,
        }
    }
    sound.then_some((plain, secret))
}

enum Read {
    Plain(Header),
    Secret(HeaderName, KeyRef),
}

fn read_header(field: &Field<'_>, name: HeaderName, c: &mut Collector<'_>) -> Option<Read> {
    if field.node.table().is_some() {
        let section = Section::open(field, &["env", "file"], c)?;
        return Some(Read::Secret(name, read_where(field, &section, c)?));
    }
    if name.is_secret() {
        let what = "carries a secret, and a literal one is refused; name where it is found: \
                    { env = \"VARIABLE\" } or { file = \"PATH\" }";
        return field.refuse_unseen(c, what);
    }
    let value = field.text(c)?;
    if is_header_value(value) {
        return Some(Read::Plain(Header { name, value: value.to_owned() }));
    }
    let what = format!("must have 1 to {VALUE_BYTES_MAX} visible ASCII characters");
    field.refuse_unseen(c, &what)
}

fn read_name(field: &Field<'_>, text: &str, c: &mut Collector<'_>) -> Option<HeaderName> {
    match text.parse() {
        Ok(name) => Some(name),
        Err(error) => field.refuse_unseen(c, &format!("{error}")),
    }
}

type Tls = (Option<PathBuf>, Option<ClientFiles>);

fn read_tls(field: &Field<'_>, urls: Option<&[BaseUrl]>, c: &mut Collector<'_>) -> Option<Tls> {
    let section = Section::open(field, &["ca", "cert", "key"], c)?;
    let mut path = |key: &str| match section.get(key) {
        Some(field) => field.line(PATH_BYTES_MAX, c).map(|path| Some(PathBuf::from(path))),
        None => Some(None),
    };
    let (ca, cert, key) = (path("ca"), path("cert"), path("key"));
    let (ca, cert, key) = (ca?, cert?, key?);
    let client = match (cert, key) {
        (Some(cert), Some(key)) => Some(ClientFiles { cert, key }),
        (None, None) if ca.is_none() => {
            let hint = "name the file of the authority's certificate: { ca = \"PATH\" }";
            section.need("ca", hint, c)?;
            None
        }
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            let what = "cert and key belong together: name the files of both";
            return field.refuse_unseen(c, what);
        }
    };
    if urls.is_some_and(|urls| urls.iter().all(|url| !url.tls)) {
        let what = "the target has no certificate to check: base_urls would have to be https";
        return field.refuse_unseen(c, what);
    }
    Some((ca, client))
}

/// How the target is asked where that is not as by default, each in a few words. The endpoint and
/// streaming are told apart from it.
pub(crate) fn unusual(campaign: &Campaign) -> Vec<String> {
    let Campaign { target, secret_headers, client, .. } = campaign;
    let connection = match target.connection {
        Connection::KeepAlive => None,
        Connection::PerRequest => Some("a connection per request".to_owned()),
    };
    let http = match target.http {
        Http::V1 => None,
        Http::V2 => Some("HTTP/2".to_owned()),
    };
    let body = Some(&target.extra_body).filter(|body| !body.is_empty());
    let fields = body.map(|body| body.fields().keys().map(String::as_str).collect::<Vec<_>>());
    let plain = target.headers.iter().map(|header| header.name.as_str());
    let names: Vec<&str> =
        plain.chain(secret_headers.iter().map(|(name, _)| name.as_str())).collect();
    let headers = (!names.is_empty()).then(|| format!("headers {}", names.join(" ")));
    [
        http,
        connection,
        fields.map(|fields| format!("extra body {}", fields.join(" "))),
        headers,
        client.as_ref().map(|_| "a client certificate".to_owned()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The base URLs as a line.
pub(super) fn base_urls_line(target: &Target) -> String {
    let urls: Vec<String> = target.base_urls().map(|url| quoted(&url.written())).collect();
    format!("base_urls = [{}]", urls.join(", "))
}

/// What else says how the target is asked, as lines.
pub(super) fn lines(campaign: &Campaign) -> Vec<String> {
    let Campaign { target, api_key, secret_headers, ca, client, .. } = campaign;
    let mut lines = Vec::new();
    match target.http {
        Http::V1 => {}
        Http::V2 => lines.push(format!("http = {}", quoted(target.http.name()))),
    }
    lines.extend(api_key.as_ref().map(|key| {
        let header = target.key_header.as_ref();
        let header = header.map(|name| format!(", header = {}", quoted(name.as_str())));
        format!("api_key = {{ {}{} }}", found(key), header.unwrap_or_default())
    }));
    // JSON has what TOML has not.
    if !target.extra_body.is_empty() {
        lines.push(format!("extra_body = {}", quoted(&target.extra_body.to_string())));
    }
    let plain = target.headers.iter();
    let plain = plain
        .map(|Header { name, value }| format!("{} = {}", quoted(name.as_str()), quoted(value)));
    let secret = secret_headers
        .iter()
        .map(|(name, key)| format!("{} = {{ {} }}", quoted(name.as_str()), found(key)));
    let headers: Vec<String> = plain.chain(secret).collect();
    if !headers.is_empty() {
        lines.push(format!("headers = {{ {} }}", headers.join(", ")));
    }
    let path = |path: &PathBuf| quoted(&path.to_string_lossy());
    let client = client.as_ref();
    let files = [
        ca.as_ref().map(|ca| format!("ca = {}", path(ca))),
        client.map(|client| format!("cert = {}", path(&client.cert))),
        client.map(|client| format!("key = {}", path(&client.key))),
    ];
    let files: Vec<String> = files.into_iter().flatten().collect();
    if !files.is_empty() {
        lines.push(format!("tls = {{ {} }}", files.join(", ")));
    }
    lines
}

fn found(key: &KeyRef) -> String {
    match key {
        KeyRef::Env(variable) => format!("env = {}", quoted(variable)),
        KeyRef::File(path) => format!("file = {}", quoted(&path.to_string_lossy())),
    }
}

#[cfg(test)]
mod tests;
