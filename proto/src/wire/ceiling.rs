//! What a host can carry, to and from protobuf.

use common::ceiling::{Held, HostCeiling};

use crate::generated as pb;
use crate::wire::WireError;

/// Longest text of it, in bytes; longer ones are refused.
const TEXT_MAX: usize = 1024;

pub(super) fn to(ceiling: &HostCeiling) -> pb::HostCeiling {
    let HostCeiling { found_at_ms, version, workers, shared, .. } = ceiling;
    pb::HostCeiling {
        found_at_ms: *found_at_ms,
        version: version.clone(),
        workers: *workers,
        shared: *shared,
        streams: Some(held_to(&ceiling.streams)),
        requests_per_s: Some(held_to(&ceiling.requests_per_s)),
        chunks_per_s: Some(held_to(&ceiling.chunks_per_s)),
    }
}

fn held_to(held: &Held) -> pb::Held {
    let Held { most, send_lag_us, receive_lag_us, loop_lag_us, limit } = held.clone();
    pb::Held { most, send_lag_us, receive_lag_us, loop_lag_us, limit }
}

pub(super) fn from(message: pb::HostCeiling) -> Result<HostCeiling, WireError> {
    Ok(HostCeiling {
        found_at_ms: message.found_at_ms,
        version: text("ceiling.version", message.version)?,
        workers: message.workers,
        shared: message.shared,
        streams: held_from("ceiling.streams", message.streams)?,
        requests_per_s: held_from("ceiling.requests_per_s", message.requests_per_s)?,
        chunks_per_s: held_from("ceiling.chunks_per_s", message.chunks_per_s)?,
    })
}

fn held_from(field: &'static str, message: Option<pb::Held>) -> Result<Held, WireError> {
    let held = message.ok_or_else(|| WireError::new(field, "missing"))?;
    let pb::Held { most, send_lag_us, receive_lag_us, loop_lag_us, limit } = held;
    Ok(Held { most, send_lag_us, receive_lag_us, loop_lag_us, limit: text(field, limit)? })
}

fn text(field: &'static str, text: String) -> Result<String, WireError> {
    if text.len() > TEXT_MAX || text.chars().any(char::is_control) {
        return Err(WireError::new(field, "too long, or with control characters"));
    }
    Ok(text)
}

impl TryFrom<pb::CalibrateReply> for HostCeiling {
    type Error = WireError;

    fn try_from(message: pb::CalibrateReply) -> Result<Self, WireError> {
        from(message.ceiling.ok_or_else(|| WireError::new("ceiling", "missing"))?)
    }
}

impl From<&HostCeiling> for pb::CalibrateReply {
    fn from(ceiling: &HostCeiling) -> Self {
        Self { ceiling: Some(to(ceiling)) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn held() -> impl Strategy<Value = Held> {
        let lag = || proptest::option::of(any::<u64>());
        (any::<u64>(), lag(), lag(), lag(), "[ -~]{0,80}").prop_map(
            |(most, send_lag_us, receive_lag_us, loop_lag_us, limit)| Held {
                most,
                send_lag_us,
                receive_lag_us,
                loop_lag_us,
                limit,
            },
        )
    }

    proptest! {
        #[test]
        fn a_ceiling_crosses_the_wire_whole(
            found_at_ms: u64, workers: u32, shared: bool, held in [held(), held(), held()]
        ) {
            let [streams, requests_per_s, chunks_per_s] = held;
            let version = "1.2.3".to_owned();
            let ceiling = HostCeiling {
                found_at_ms, version, workers, shared, streams, requests_per_s, chunks_per_s,
            };
            prop_assert_eq!(from(to(&ceiling)).ok(), Some(ceiling));
        }
    }

    #[test]
    fn what_could_disturb_a_terminal_is_refused() {
        let whole = pb::HostCeiling {
            streams: Some(pb::Held::default()),
            requests_per_s: Some(pb::Held::default()),
            chunks_per_s: Some(pb::Held::default()),
            ..pb::HostCeiling::default()
        };
        assert!(from(whole.clone()).is_ok());
        let limit = "\u{1b}[2J".to_owned();
        let streams = Some(pb::Held { limit, ..pb::Held::default() });
        let error = from(pb::HostCeiling { streams, ..whole.clone() }).unwrap_err();
        assert!(error.to_string().contains("ceiling.streams"), "{error}");
        assert!(from(pb::HostCeiling { chunks_per_s: None, ..whole }).is_err());
        assert!(HostCeiling::try_from(pb::CalibrateReply::default()).is_err());
    }
}
