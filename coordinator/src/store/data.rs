//! The data set of a workload, as a part of a text in a column.

use common::digest::Digest;
use common::records::DataSet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A data set as it is stored.
#[derive(PartialEq)]
pub(super) struct StoredData(pub(super) DataSet);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    file: String,
    format: String,
    sha256: String,
    bytes: u64,
    conversations: u32,
    turns: u32,
    shuffled: bool,
}

impl Serialize for StoredData {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let DataSet { file, format, digest, bytes, conversations, turns, shuffled } = &self.0;
        let written = Written {
            file: file.clone(),
            format: format.name().to_owned(),
            sha256: digest.to_string(),
            bytes: *bytes,
            conversations: *conversations,
            turns: *turns,
            shuffled: *shuffled,
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for StoredData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let Written { file, format, sha256, bytes, conversations, turns, shuffled } = written;
        let data = DataSet {
            file,
            format: format.parse().map_err(de::Error::custom)?,
            digest: digest(&sha256).ok_or_else(|| de::Error::custom("no SHA-256"))?,
            bytes,
            conversations,
            turns,
            shuffled,
        };
        if data.is_plausible() { Ok(Self(data)) } else { Err(de::Error::custom("no such counts")) }
    }
}

/// A digest from its sixty-four digits.
fn digest(text: &str) -> Option<Digest> {
    let mut digest = [0; 32];
    let is_hex = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    for (place, byte) in digest.iter_mut().enumerate().filter(|_| is_hex) {
        *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    is_hex.then_some(Digest(digest))
}

#[cfg(test)]
mod tests {
    use common::length::Length;
    use common::records::Format;
    use common::workload::Workload;

    use super::super::more;
    use super::*;

    #[test]
    fn a_data_set_comes_back_as_it_was_stored_and_damage_is_seen() {
        let plain = Workload::new("chat".parse().unwrap(), 5.into(), 6.into());
        assert_eq!(more::text(&plain), None);
        let data = DataSet {
            file: "chat \"1\".jsonl".to_owned(),
            format: Format::ShareGpt,
            digest: Digest::of(b"x"),
            bytes: 99,
            conversations: 3,
            turns: 7,
            shuffled: true,
        };
        let think_ms = Some(Length::Uniform { least: 1000, most: 5000 });
        let replay_milli = Some(2500);
        let workload = Workload { data: Some(data), think_ms, replay_milli, ..plain.clone() };
        let text = more::text(&workload).unwrap();
        assert_eq!(more::of(&text, &plain), Some(workload));
        for (good, bad) in [
            ("sharegpt", "shared"),
            ("\"turns\":7", "\"turns\":2"),
            ("\"sha256\":\"", "\"sha256\":\"é"),
            ("\"bytes\"", "\"more\""),
            ("5000", "3600001"),
        ] {
            let damaged = text.replacen(good, bad, 1);
            assert_ne!(damaged, text);
            assert_eq!(more::of(&damaged, &plain), None, "{damaged}");
        }
    }
}
