//! Embeddings: one object with vectors. There is no token, no stream and no reason to stop.

use serde::Deserialize;
use serde::de::Deserializer;
use serde_json::value::RawValue;

use super::{Counts, Delta, Finish, error, filled, fold};

/// An answer of `/v1/embeddings`.
pub(super) fn decode(json: &str) -> serde_json::Result<Delta<'_>> {
    let object: Object<'_> = serde_json::from_str(json)?;
    let prompt = object.usage.and_then(|usage| usage.prompt_tokens);
    Ok(Delta {
        output: object.data.is_some(),
        content: object.data.is_some_and(|Vectors(any)| any),
        finish: object.data.map(|_| Finish::Regular),
        counts: Counts { prompt, completion: prompt.map(|_| 0), ..Counts::default() },
        error: error(json, object.error, object.object),
        ..Delta::default()
    })
}

#[derive(Deserialize)]
struct Object<'a> {
    data: Option<Vectors>,
    usage: Option<Stated>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Stated {
    prompt_tokens: Option<u32>,
}

/// Whether any vector has a number.
#[derive(Clone, Copy)]
struct Vectors(bool);

#[derive(Deserialize)]
struct Vector<'a> {
    /// Numbers, or their bytes in base64.
    #[serde(borrow)]
    embedding: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for Vectors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut any = false;
        fold(deserializer, |vector: Vector<'de>| {
            any |= filled(vector.embedding)?;
            Ok(())
        })?;
        Ok(Self(any))
    }
}

#[cfg(test)]
mod tests {
    use common::target::Endpoint;

    use super::super::tests;

    fn check(json: &str, want: &str) {
        tests::check(Endpoint::Embeddings, json, want);
    }

    #[test]
    fn an_answer_is_a_vector() {
        for (data, want) in [
            (r#"[{"index":0,"embedding":[0.5,-1e-3]}]"#, "output content Regular 3+0 r- c-"),
            (r#"[{"index":0,"embedding":"AACAPw=="}]"#, "output content Regular 3+0 r- c-"),
            (r#"[{"embedding":[]},{"embedding":[1]}]"#, "output content Regular 3+0 r- c-"),
            (r#"[{"index":0,"embedding":[]}]"#, "output Regular 3+0 r- c-"),
            (r#"[{"index":0}]"#, "output Regular 3+0 r- c-"),
            ("[]", "output Regular 3+0 r- c-"),
            ("null", "3+0 r- c-"),
            (r#"[{"embedding":[NaN]}]"#, "bad"),
            (r#"[{"embedding":7}]"#, "bad"),
            ("{}", "bad"),
        ] {
            let usage = r#"{"prompt_tokens":3,"total_tokens":3}"#;
            check(&format!(r#"{{"object":"list","data":{data},"usage":{usage}}}"#), want);
        }
        check(r#"{"data":[{"embedding":[1]}]}"#, "output content Regular");
        check(r#"{"object":"error","message":"a"}"#, r#"error {"object":"error","message":"a"}"#);
    }
}
