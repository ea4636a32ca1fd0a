//! What a campaign adds to the requests that floodmark makes: fields of the JSON body and of the
//! head. Holds no secret.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

/// Fields of a body that are floodmark's own to decide, and what decides them.
const DECIDED: [(&str, &str); 14] = [
    ("model", "target.model decides it"),
    ("messages", "the workload decides what is asked"),
    ("prompt", "the workload decides what is asked"),
    ("input", "the workload decides what is asked"),
    ("stream", "target.stream decides it"),
    ("stream_options", "token counts are asked for where answers are streamed"),
    ("max_tokens", "the workload's output_tokens decides it"),
    ("max_completion_tokens", "the workload's output_tokens decides how long an answer may be"),
    ("max_output_tokens", "the workload's output_tokens decides it"),
    ("min_tokens", "the workload's forced_length decides it"),
    ("ignore_eos", "the workload's forced_length decides it"),
    ("store", "a server that is measured is not asked to keep what it said"),
    ("encoding_format", "an embedding is read as numbers"),
    ("n", "one request has one answer"),
];

/// Fields that are put into the body of every request, over floodmark's own of that name where
/// those are a default (`temperature`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtraBody(Map<String, Value>);

/// Why fields are not an [`ExtraBody`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtraBodyError {
    /// No JSON.
    #[error("is no JSON: {0}")]
    Json(String),
    /// Another value than an object.
    #[error("must be a JSON object, such as {{\"top_p\": 0.9}}")]
    NoObject,
    /// More than [`ExtraBody::BYTES_MAX`].
    #[error("has more than {} bytes of JSON", ExtraBody::BYTES_MAX)]
    TooLarge,
    /// A field that is floodmark's own to decide.
    #[error("{field} cannot be set: {because}")]
    Decided {
        /// The field.
        field: &'static str,
        /// What decides it.
        because: &'static str,
    },
    /// A text with a control character other than a tab or an end of line.
    #[error("a text in it holds a control character")]
    Control,
}

impl ExtraBody {
    /// The largest: it goes with every order to load, and into every request.
    pub const BYTES_MAX: usize = 64 << 10;

    /// These fields.
    ///
    /// # Errors
    /// As [`ExtraBodyError`] says.
    pub fn new(fields: Map<String, Value>) -> Result<Self, ExtraBodyError> {
        if let Some((field, because)) = DECIDED.into_iter().find(|(f, _)| fields.contains_key(*f)) {
            return Err(ExtraBodyError::Decided { field, because });
        }
        if fields.iter().any(|(key, value)| !is_printable(key) || has_control(value)) {
            return Err(ExtraBodyError::Control);
        }
        let extra = Self(fields);
        if extra.to_string().len() > Self::BYTES_MAX {
            return Err(ExtraBodyError::TooLarge);
        }
        Ok(extra)
    }

    /// Without any field.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.0
    }
}

impl FromStr for ExtraBody {
    type Err = ExtraBodyError;

    fn from_str(text: &str) -> Result<Self, ExtraBodyError> {
        if text.len() > 2 * Self::BYTES_MAX {
            return Err(ExtraBodyError::TooLarge);
        }
        match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => Self::new(fields),
            Ok(_) => Err(ExtraBodyError::NoObject),
            Err(error) => Err(ExtraBodyError::Json(error.to_string())),
        }
    }
}

impl fmt::Display for ExtraBody {
    /// As JSON, keys in order.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(&self.0).map_err(|_| fmt::Error)?)
    }
}

/// What stands for the parts of a request that differ is written with control characters.
fn is_printable(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
}

fn has_control(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
        Value::String(text) => !is_printable(text),
        Value::Array(items) => items.iter().any(has_control),
        Value::Object(fields) => fields.iter().any(|(k, v)| !is_printable(k) || has_control(v)),
    }
}

/// Fields of a head that say how a request is transported, or who asks: floodmark's own.
const WRITTEN: [&str; 15] = [
    "host",
    "content-length",
    "content-type",
    "connection",
    "transfer-encoding",
    "accept",
    "accept-encoding",
    "user-agent",
    "te",
    "trailer",
    "upgrade",
    "keep-alive",
    "proxy-connection",
    "expect",
    "http2-settings",
];

/// Fields whose value is a secret by what they are for.
const SECRET: [&str; 5] =
    ["authorization", "proxy-authorization", "x-api-key", "api-key", "cookie"];

/// The name of a field of a request's head: a token, in lower case, that floodmark does not write
/// itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HeaderName(String);

/// Why a text is not a [`HeaderName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderNameError {
    /// No token.
    #[error(
        "the name of a header has 1 to {} letters, digits and signs such as -",
        HeaderName::LEN_MAX
    )]
    Token,
    /// One that floodmark writes.
    #[error("floodmark writes {0} itself")]
    Written(&'static str),
}

impl HeaderName {
    /// The longest name, in bytes.
    pub const LEN_MAX: usize = 128;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its value is a secret, whoever sets it.
    pub fn is_secret(&self) -> bool {
        SECRET.contains(&self.as_str())
    }
}

impl FromStr for HeaderName {
    type Err = HeaderNameError;

    fn from_str(text: &str) -> Result<Self, HeaderNameError> {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if !(1..=Self::LEN_MAX).contains(&text.len()) || !text.bytes().all(token) {
            return Err(HeaderNameError::Token);
        }
        let name = text.to_ascii_lowercase();
        match WRITTEN.into_iter().find(|written| *written == name) {
            Some(written) => Err(HeaderNameError::Written(written)),
            None => Ok(Self(name)),
        }
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A field of a request's head that is no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: HeaderName,
    /// Its value, for which [`is_header_value`] holds.
    pub value: String,
}

/// The most headers of one target.
pub const HEADERS_MAX: usize = 32;
/// Bytes of a value, at most.
pub const VALUE_BYTES_MAX: usize = 4096;

/// Whether a text can be the value of a header: visible ASCII, with spaces or tabs inside.
pub fn is_header_value(text: &str) -> bool {
    let inside = |b: u8| b.is_ascii_graphic() || b == b' ' || b == b'\t';
    (1..=VALUE_BYTES_MAX).contains(&text.len())
        && text.trim_ascii().len() == text.len()
        && text.bytes().all(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_takes_what_is_not_decided_elsewhere() {
        let extra: ExtraBody = r#"{"top_p":0.9,"a":{"b":[null,"x\ny"]}}"#.parse().unwrap();
        assert_eq!(extra.to_string(), r#"{"a":{"b":[null,"x\ny"]},"top_p":0.9}"#);
        assert_eq!(extra.to_string().parse(), Ok(extra));
        for (field, because) in DECIDED {
            let fields = Map::from_iter([(field.to_owned(), Value::Null)]);
            assert_eq!(ExtraBody::new(fields), Err(ExtraBodyError::Decided { field, because }));
        }
        let refused = |text: &str| text.parse::<ExtraBody>().unwrap_err();
        assert_eq!(refused("[1]"), ExtraBodyError::NoObject);
        assert!(matches!(refused("{"), ExtraBodyError::Json(_)));
        assert_eq!(refused(r#"{"a":["\u0001"]}"#), ExtraBodyError::Control);
        assert_eq!(refused(r#"{"a":{"\u0002":1}}"#), ExtraBodyError::Control);
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(ExtraBody::BYTES_MAX));
        assert_eq!(refused(&long), ExtraBodyError::TooLarge);
    }

    #[test]
    fn names_are_tokens_in_lower_case_that_nobody_else_writes() {
        let name: HeaderName = "X-Team".parse().unwrap();
        assert_eq!((name.as_str(), name.is_secret()), ("x-team", false));
        assert!("Authorization".parse::<HeaderName>().unwrap().is_secret());
        let refused = |text: &str| text.parse::<HeaderName>().unwrap_err();
        for bad in ["", "a b", "a:", "é", "a\r\nb", &"x".repeat(129)] {
            assert_eq!(refused(bad), HeaderNameError::Token, "{bad:?}");
        }
        assert_eq!(refused("Host"), HeaderNameError::Written("host"));
    }

    #[test]
    fn values_cannot_end_a_line() {
        for good in ["a", "a b\tc", &"x".repeat(VALUE_BYTES_MAX)] {
            assert!(is_header_value(good), "{good:?}");
        }
        for bad in ["", " a", "a ", "a\r\nb: c", "a\0", "é", &"x".repeat(VALUE_BYTES_MAX + 1)] {
            assert!(!is_header_value(bad), "{bad:?}");
        }
    }
}
