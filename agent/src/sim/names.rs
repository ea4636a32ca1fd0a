//! The names under which a simulated server serves: its model, and adapters of it.

use serde::Deserialize;

/// What requests may name.
#[derive(Clone, Debug)]
pub(super) struct Names {
    model: String,
    adapters: Vec<String>,
}

/// A model that is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unknown(pub(super) String);

#[derive(Deserialize)]
struct Named {
    model: Option<String>,
}

impl Names {
    pub(super) fn new(model: String, adapters: Vec<String>) -> Self {
        Self { model, adapters }
    }

    /// The model.
    pub(super) fn model(&self) -> &str {
        &self.model
    }

    /// All names.
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.model).chain(&self.adapters).map(String::as_str)
    }

    /// Which name a request asks for, and which adapter that is, from 0. Without adapters any name
    /// is taken for the model's.
    pub(super) fn asked(&self, body: &[u8]) -> Result<(&str, Option<u16>), Unknown> {
        let of_model = Ok((self.model(), None));
        if self.adapters.is_empty() {
            return of_model;
        }
        let named = serde_json::from_slice::<Named>(body).ok().and_then(|named| named.model);
        let Some(name) = named.filter(|name| *name != self.model) else { return of_model };
        let mut adapters = (0..).zip(&self.adapters);
        match adapters.find(|(_, known)| **known == name) {
            Some((place, known)) => Ok((known, Some(place))),
            None => Err(Unknown(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_adapters_only_what_is_served_is_known() {
        let plain = Names::new("base".to_owned(), Vec::new());
        assert_eq!(plain.asked(br#"{"model":"other"}"#), Ok(("base", None)));
        let names = Names::new("base".to_owned(), vec!["lora-a".to_owned()]);
        assert_eq!(names.asked(br#"{"model":"lora-a","x":[{}]}"#), Ok(("lora-a", Some(0))));
        assert_eq!(names.asked(b"{}"), Ok(("base", None)));
        assert_eq!(names.asked(br#"{"model":"lora-z"}"#), Err(Unknown("lora-z".to_owned())));
    }
}
