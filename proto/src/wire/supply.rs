//! Data sets on the wire, both ways: their pieces, and what names them.

use common::digest::Digest;
use common::ids::Epoch;
use common::records::{BYTES_MAX, DataSet};
use common::workload::{REPLAY_MILLI_MAX, Workload};

use super::from::{digest, text};
use crate::generated as pb;
use crate::message::{CHUNK_MAX, Order};
use crate::wire::WireError;

/// A piece as a message.
pub(super) fn to(digest: Digest, total: u64, offset: u64, chunk: &[u8]) -> pb::Supply {
    pb::Supply { digest: digest.0.to_vec(), total, offset, chunk: chunk.to_vec() }
}

/// A piece from its message.
pub(super) fn from(epoch: Epoch, message: pb::Supply) -> Result<Order, WireError> {
    let pb::Supply { digest: name, total, offset, chunk } = message;
    if total > BYTES_MAX as u64 {
        return Err(WireError::new("supply.total", format!("above {BYTES_MAX}")));
    }
    if chunk.is_empty() || chunk.len() > CHUNK_MAX {
        return Err(WireError::new("supply.chunk", format!("not 1 to {CHUNK_MAX} bytes")));
    }
    if offset.checked_add(chunk.len() as u64).is_none_or(|end| end > total) {
        return Err(WireError::new("supply.offset", "beyond the end"));
    }
    let digest = digest("supply.digest", name)?;
    Ok(Order::Supply { epoch, digest, total, offset, chunk })
}

/// What users bring, as a message; `None` if that is nothing.
pub(super) fn records(workload: &Workload) -> Option<pb::Records> {
    let Workload { data, think_ms, replay_milli, .. } = workload;
    let brought = data.is_some() || think_ms.is_some() || replay_milli.is_some();
    brought.then(|| pb::Records {
        data: data.as_ref().map(Into::into),
        think_ms: think_ms.as_ref().map(Into::into),
        replay_milli: replay_milli.unwrap_or(0),
    })
}

/// How fast a trace is replayed, if one is.
pub(super) fn replay(milli: u32, data: Option<&DataSet>) -> Result<Option<u32>, WireError> {
    let is_trace = data.is_some_and(|data| data.format.is_trace());
    match milli {
        0 if !is_trace => Ok(None),
        1..=REPLAY_MILLI_MAX if is_trace => Ok(Some(milli)),
        _ => {
            let reason = "no speed of a trace, or no trace";
            Err(WireError::new("workload.records.replay_milli", reason))
        }
    }
}

impl From<&DataSet> for pb::DataSet {
    fn from(data: &DataSet) -> Self {
        Self {
            digest: data.digest.0.to_vec(),
            file: data.file.clone(),
            format: data.format.name().to_owned(),
            bytes: data.bytes,
            conversations: data.conversations,
            turns: data.turns,
            shuffled: data.shuffled,
        }
    }
}

impl TryFrom<pb::DataSet> for DataSet {
    type Error = WireError;

    fn try_from(message: pb::DataSet) -> Result<Self, WireError> {
        let data = Self {
            file: text("workload.records.file", message.file)?,
            format: message
                .format
                .parse()
                .map_err(|error| WireError::new("workload.records.format", error))?,
            digest: digest("workload.records.digest", message.digest)?,
            bytes: message.bytes,
            conversations: message.conversations,
            turns: message.turns,
            shuffled: message.shuffled,
        };
        if data.is_plausible() {
            Ok(data)
        } else {
            Err(WireError::new("workload.records", "no such counts"))
        }
    }
}

#[cfg(test)]
mod tests {
    use common::length::Length;
    use common::workload::THINK_MS_MAX;
    use prost::Message as _;

    use super::*;

    fn over(change: impl FnOnce(&mut pb::Supply)) -> Result<Order, WireError> {
        let chunk = vec![7; 3];
        let (digest, epoch) = (Digest::of(&chunk), Epoch(4));
        let order = Order::Supply { epoch, digest, total: 9, offset: 6, chunk };
        let mut message = pb::Order::from(&order);
        if let Some(pb::order::Order::Supply(supply)) = &mut message.order {
            change(supply);
        }
        Order::try_from(pb::Order::decode(message.encode_to_vec().as_slice()).unwrap())
    }

    #[test]
    fn a_piece_arrives_as_it_was_sent_and_a_bad_one_is_named() {
        let order = over(|_| {}).unwrap();
        let Order::Supply { epoch, digest, total, offset, chunk } = order else {
            panic!("{order:?}")
        };
        assert_eq!((epoch, digest, total, offset), (Epoch(4), Digest::of(&[7; 3]), 9, 6));
        assert_eq!(chunk, [7; 3]);
        let field = |change: fn(&mut pb::Supply)| over(change).unwrap_err().field;
        assert_eq!(field(|supply| supply.total = u64::MAX), "supply.total");
        assert_eq!(field(|supply| supply.offset = 7), "supply.offset");
        assert_eq!(field(|supply| supply.offset = u64::MAX), "supply.offset");
        assert_eq!(field(|supply| supply.chunk.clear()), "supply.chunk");
        assert_eq!(field(|supply| supply.chunk = vec![0; CHUNK_MAX + 1]), "supply.chunk");
        assert_eq!(field(|supply| supply.digest.clear()), "supply.digest");
    }

    #[test]
    fn a_workload_arrives_with_what_users_bring() {
        let plain = Workload::new("w".parse().unwrap(), 5.into(), 6.into());
        let over = |workload: &Workload| Workload::try_from(pb::Workload::from(workload));
        assert_eq!(pb::Workload::from(&plain).records, None);
        for think_ms in [Length::Fixed(2000), Length::Uniform { least: 1, most: THINK_MS_MAX }] {
            let thinking = Workload { think_ms: Some(think_ms), ..plain.clone() };
            assert_eq!(over(&thinking), Ok(thinking));
        }
        let endless = Workload { think_ms: Some(Length::Fixed(THINK_MS_MAX + 1)), ..plain };
        assert_eq!(over(&endless).unwrap_err().field, "workload.records.think_ms");
    }

    #[test]
    fn what_names_a_data_set_is_checked() {
        let data = DataSet {
            file: "chat.jsonl".to_owned(),
            format: common::records::Format::ShareGpt,
            digest: Digest::of(b"x"),
            bytes: 99,
            conversations: 3,
            turns: 7,
            shuffled: true,
        };
        let over = |change: &dyn Fn(&mut pb::DataSet)| {
            let mut message = pb::DataSet::from(&data);
            change(&mut message);
            DataSet::try_from(message)
        };
        assert_eq!(over(&|_| {}), Ok(data.clone()));
        let field = |change: &dyn Fn(&mut pb::DataSet)| over(change).unwrap_err().field;
        assert_eq!(field(&|message| message.format = "x".to_owned()), "workload.records.format");
        assert_eq!(field(&|message| message.file = "\u{1b}".to_owned()), "workload.records.file");
        assert_eq!(field(&|message| message.turns = 2), "workload.records");
        assert_eq!(field(&|message| message.conversations = 0), "workload.records");
        assert_eq!(field(&|message| message.bytes = u64::MAX), "workload.records");
    }
}
