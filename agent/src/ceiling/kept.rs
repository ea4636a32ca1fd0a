//! The newest ceiling of this host, in a file of the agent's state directory.

use std::io;
use std::path::Path;

use common::ceiling::{Held, HostCeiling};
use serde::{Deserialize, Serialize};

const FILE: &str = "ceiling.json";
/// Of the file's form: another is taken for none.
const FORM: u32 = 1;
/// A longer file is none of ours.
const BYTES_MAX: u64 = 64 << 10;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    form: u32,
    found_at_ms: u64,
    version: String,
    workers: u32,
    shared: bool,
    streams: KeptHeld,
    requests_per_s: KeptHeld,
    chunks_per_s: KeptHeld,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptHeld {
    most: u64,
    send_lag_us: Option<u64>,
    receive_lag_us: Option<u64>,
    loop_lag_us: Option<u64>,
    limit: String,
}

/// A ceiling as JSON.
pub fn json(ceiling: &HostCeiling) -> String {
    // Plain values under plain names: there is nothing to fail on.
    let text = serde_json::to_string_pretty(&Kept::from(ceiling)).unwrap_or_default();
    text + "\n"
}

/// Keeps a ceiling in `dir`, in place of an older one.
///
/// # Errors
/// What the system says; an older one is left whole.
pub fn keep(dir: &Path, ceiling: &HostCeiling) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let new = dir.join(format!("{FILE}.new"));
    std::fs::write(&new, json(ceiling))?;
    std::fs::rename(new, dir.join(FILE))
}

/// The ceiling that `dir` keeps, if any that can be read.
pub fn kept(dir: &Path) -> Option<HostCeiling> {
    let path = dir.join(FILE);
    if std::fs::metadata(&path).ok()?.len() > BYTES_MAX {
        return None;
    }
    let kept: Kept = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    (kept.form == FORM).then(|| kept.into())
}

impl From<&HostCeiling> for Kept {
    fn from(ceiling: &HostCeiling) -> Self {
        let HostCeiling {
            found_at_ms,
            version,
            workers,
            shared,
            streams,
            requests_per_s,
            chunks_per_s,
        } = ceiling;
        Self {
            form: FORM,
            found_at_ms: *found_at_ms,
            version: version.clone(),
            workers: *workers,
            shared: *shared,
            streams: streams.into(),
            requests_per_s: requests_per_s.into(),
            chunks_per_s: chunks_per_s.into(),
        }
    }
}

impl From<Kept> for HostCeiling {
    fn from(kept: Kept) -> Self {
        Self {
            found_at_ms: kept.found_at_ms,
            version: kept.version,
            workers: kept.workers,
            shared: kept.shared,
            streams: kept.streams.into(),
            requests_per_s: kept.requests_per_s.into(),
            chunks_per_s: kept.chunks_per_s.into(),
        }
    }
}

impl From<&Held> for KeptHeld {
    fn from(held: &Held) -> Self {
        let Held { most, send_lag_us, receive_lag_us, loop_lag_us, limit } = held.clone();
        Self { most, send_lag_us, receive_lag_us, loop_lag_us, limit }
    }
}

impl From<KeptHeld> for Held {
    fn from(kept: KeptHeld) -> Self {
        let KeptHeld { most, send_lag_us, receive_lag_us, loop_lag_us, limit } = kept;
        Self { most, send_lag_us, receive_lag_us, loop_lag_us, limit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_the_newest_and_comes_back_whole() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        assert_eq!(kept(&state), None);
        let held = |most| Held {
            most,
            send_lag_us: Some(1900),
            receive_lag_us: None,
            loop_lag_us: Some(200),
            limit: "send lag of 2.1 ms".to_owned(),
        };
        let mut ceiling = HostCeiling {
            found_at_ms: 1_700_000_000_000,
            version: "1.2.3".to_owned(),
            workers: 3,
            shared: true,
            streams: held(10_000),
            requests_per_s: held(50_000),
            chunks_per_s: Held::default(),
        };
        for workers in [3, 4] {
            ceiling.workers = workers;
            keep(&state, &ceiling).unwrap();
            assert_eq!(kept(&state), Some(ceiling.clone()));
        }
        for bad in ["", "{}", &json(&ceiling).replace("\"form\": 1", "\"form\": 2")] {
            std::fs::write(state.join(FILE), bad).unwrap();
            assert_eq!(kept(&state), None, "{bad}");
        }
    }
}
