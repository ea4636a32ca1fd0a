//! From the tables back to a run's record. The file may be damaged or written by anyone: every
//! value is parsed as if it came from outside.

use std::collections::BTreeMap;
use std::time::Duration;

use common::arrivals::Arrivals;
use common::assignment::{End, Load};
use common::digest::Digest;
use common::ids::{BootId, LevelId, Name, RunId};
use common::length::Length;
use common::snapshot::Seal;
use common::time::Tick;
use common::workload::Workload;
use rusqlite::types::Type;
use rusqlite::{Params, Row};
use uuid::Uuid;

use super::{Store, StoreError, StoredInput, lengths, more, serving, states, words};
use crate::plan::{Arm, PlannedLevel};
use crate::record::{
    AgentRecord, IdentityRecord, LevelFate, LevelRecord, RunEnd, RunHeader, RunRecord, ShareRecord,
    UnixMs,
};
use crate::serving::Serving;

/// What a store holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The run, without the seals that are damaged.
    pub record: RunRecord,
    /// The seals that are damaged.
    pub damage: Vec<Damage>,
}

/// A seal that is stored and cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored seal of agent {agent} for level {level} is damaged: {reason}")]
pub struct Damage {
    /// The level.
    pub level: LevelId,
    /// The agent.
    pub agent: Name,
    /// What is wrong with it.
    pub reason: String,
}

type Seals = BTreeMap<(LevelId, Name), Seal>;

impl Store {
    /// Reads the run, finished or not.
    pub fn load(&self) -> Result<Loaded, StoreError> {
        let mut damage = Vec::new();
        let mut seals = Seals::new();
        for stored in self.rows("seals", "SELECT * FROM seals", [], StoredSeal::read)? {
            match stored.open() {
                Ok(seal) => {
                    seals.insert((stored.level, stored.agent), seal);
                }
                Err(reason) => {
                    damage.push(Damage { level: stored.level, agent: stored.agent, reason })
                }
            }
        }
        let mut levels = self.rows("levels", self.schema.levels(), [], read_level)?;
        for level in &mut levels {
            level.shares = self.shares(level.id, &mut seals)?;
        }
        let mut header = self.one("run", self.schema.run(), read_header)?;
        let mut facts = Vec::new();
        if let Some([stated, told]) = self.schema.serving() {
            header.serving = self.serving(stated)?;
            facts = self.rows("serving_facts", told, [], serving::read_fact)?;
        }
        let record = RunRecord {
            header,
            agents: self.rows(
                "agents",
                "SELECT * FROM agents ORDER BY position",
                [],
                read_agent,
            )?,
            levels,
            identities: match self.schema.identities() {
                Some(sql) => self.rows("target_identities", sql, [], read_identity)?,
                None => Vec::new(),
            },
            facts,
            end: self.rows("run_end", "SELECT * FROM run_end", [], read_end)?.pop(),
        };
        Ok(Loaded { record, damage })
    }

    fn serving(&self, sql: &str) -> Result<Serving, StoreError> {
        let table = "serving_stated";
        let entries = self.rows(table, sql, [], serving::read_entry)?;
        Serving::of_entries(entries.into_iter().collect()).ok_or_else(|| StoreError::Read {
            path: self.path.clone(),
            table,
            source: rusqlite::Error::InvalidQuery,
        })
    }

    /// Reads the inputs of the state machine, in order.
    pub fn inputs(&self) -> Result<Vec<StoredInput>, StoreError> {
        self.rows("inputs", "SELECT * FROM inputs ORDER BY seq", [], |row| {
            Ok(StoredInput {
                seq: row.get("seq")?,
                tick: Tick(row.get("tick_ns")?),
                kind: row.get("kind")?,
                body: row.get("body")?,
            })
        })
    }

    fn shares(&self, level: LevelId, seals: &mut Seals) -> Result<Vec<ShareRecord>, StoreError> {
        let sql = "SELECT agent, users FROM shares WHERE ordinal = ?1 AND attempt = ?2 \
                   ORDER BY position";
        self.rows("shares", sql, [level.ordinal, level.attempt], |row| {
            let agent: Name = parsed(row, "agent", |text| text.parse().ok())?;
            let seal = seals.remove(&(level, agent.clone()));
            let users = row.get("users")?;
            Ok(ShareRecord { agent, users, seal })
        })
    }

    fn one<T>(
        &self,
        table: &'static str,
        sql: &str,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let last = self.rows(table, sql, [], read)?.pop();
        last.ok_or_else(|| StoreError::Read {
            path: self.path.clone(),
            table,
            source: rusqlite::Error::QueryReturnedNoRows,
        })
    }

    fn rows<T>(
        &self,
        table: &'static str,
        sql: &str,
        values: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let rows =
            self.db.prepare(sql).and_then(|mut query| query.query_map(values, read)?.collect());
        rows.map_err(|source| StoreError::Read { path: self.path.clone(), table, source })
    }
}

struct StoredSeal {
    level: LevelId,
    agent: Name,
    sha256: String,
    body: Vec<u8>,
}

impl StoredSeal {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            level: read_id(row)?,
            agent: parsed(row, "agent", |text| text.parse().ok())?,
            sha256: row.get("sha256")?,
            body: row.get("body")?,
        })
    }

    fn open(&self) -> Result<Seal, String> {
        if Digest::of(&self.body).to_string() != self.sha256 {
            return Err("its bytes are not those that were stored".into());
        }
        proto::wire::decode_seal(&self.body).map_err(|error| error.to_string())
    }
}

fn read_header(row: &Row<'_>) -> rusqlite::Result<RunHeader> {
    let campaign_toml: String = row.get("campaign_toml")?;
    let digest = Digest::of(campaign_toml.as_bytes());
    Ok(RunHeader {
        run: RunId(parsed(row, "run_id", uuid)?),
        name: parsed(row, "name", |text| text.parse().ok())?,
        mode: parsed(row, "mode", words::mode_of)?,
        tier: parsed(row, "tier", words::tier_of)?,
        seed: parsed(row, "seed", |text| text.parse().ok())?,
        target: row.get("target")?,
        model: row.get("model")?,
        stream: row.get("stream")?,
        judging: optional(row, "judging", states::judging_of)?.unwrap_or_default(),
        serving: Serving::default(),
        campaign_sha256: parsed(row, "campaign_sha256", |text| {
            (text == digest.to_string()).then_some(digest)
        })?,
        campaign_toml,
        levels_planned: row.get("levels_planned")?,
        started_at: UnixMs(row.get("started_at_ms")?),
        tool_version: row.get("tool_version")?,
    })
}

fn read_agent(row: &Row<'_>) -> rusqlite::Result<AgentRecord> {
    Ok(AgentRecord {
        name: parsed(row, "name", |text| text.parse().ok())?,
        boot: BootId(parsed(row, "boot", uuid)?),
        address: row.get("address")?,
        version: row.get("version")?,
        workers: row.get("workers")?,
        clock_offset_us: row.get("clock_offset_us")?,
        clock_error_us: row.get("clock_error_us")?,
    })
}

fn read_identity(row: &Row<'_>) -> rusqlite::Result<IdentityRecord> {
    let ordinal: Option<u32> = row.get("ordinal")?;
    Ok(IdentityRecord {
        asked: parsed(row, "asked", |word| words::asked_of(word, ordinal))?,
        at: UnixMs(row.get("at_ms")?),
        identity: parsed(row, "identity", |text| serde_json::from_str(text).ok())?,
    })
}

/// A level without its shares.
fn read_level(row: &Row<'_>) -> rusqlite::Result<LevelRecord> {
    Ok(LevelRecord {
        id: read_id(row)?,
        planned: PlannedLevel {
            phase: parsed(row, "phase", |text| text.parse().ok())?,
            place: row.get("place")?,
            repeat: row.get("repeat")?,
            arm: optional(row, "arm", |name| Arm::ALL.into_iter().find(|arm| arm.name() == name))?,
            label: row.get("label")?,
            load: Load {
                users: row.get("users")?,
                arrivals: optional(row, "arrivals", states::arrivals_of)?
                    .unwrap_or(Arrivals::Closed { ramp: Duration::ZERO }),
                end: row.get::<_, Option<u64>>("requests")?.map_or(End::Window, End::Requests),
            },
            window: optional(row, "window", states::window_of)?,
            allow_capped: row.get("allow_capped")?,
            workload: read_workload(row)?,
            before: optional(row, "before", states::before_of)?.unwrap_or_default(),
            cooldown: Duration::from_nanos(row.get("cooldown_ns")?),
            proof: optional(row, "proof", states::proof_of)?,
        },
        shares: Vec::new(),
        fired_at: row.get::<_, Option<u64>>("fired_at_ms")?.map(UnixMs),
        fate: read_fate(row)?,
    })
}

fn read_workload(row: &Row<'_>) -> rusqlite::Result<Workload> {
    let prefix = optional(row, "shared_prefix", lengths::prefix_of)?;
    let (input, output) = match optional(row, "lengths", lengths::of)? {
        Some(drawn) => drawn,
        None => (Length::Fixed(row.get("input_tokens")?), Length::Fixed(row.get("output_tokens")?)),
    };
    let cache = parsed(row, "cache", |name| lengths::cache_of(name, prefix, &input))?;
    let name = parsed(row, "workload", |text| text.parse().ok())?;
    let forced_length = row.get("forced_length")?;
    let plain = Workload { forced_length, cache, ..Workload::new(name, input, output) };
    Ok(optional(row, "more", |text| more::of(text, &plain))?.unwrap_or(plain))
}

fn read_fate(row: &Row<'_>) -> rusqlite::Result<Option<LevelFate>> {
    let because: Option<String> = row.get("fate_because")?;
    match row.get::<_, Option<String>>("fate")? {
        None => Ok(None),
        Some(_) => {
            parsed(row, "fate", |word| words::fate_of(word, because.unwrap_or_default())).map(Some)
        }
    }
}

fn read_end(row: &Row<'_>) -> rusqlite::Result<RunEnd> {
    Ok(RunEnd {
        outcome: parsed(row, "outcome", words::outcome_of)?,
        exit_code: row.get("exit_code")?,
        because: row.get("because")?,
        finished_at: UnixMs(row.get("finished_at_ms")?),
    })
}

fn read_id(row: &Row<'_>) -> rusqlite::Result<LevelId> {
    Ok(LevelId { ordinal: row.get("ordinal")?, attempt: row.get("attempt")? })
}

fn uuid(text: &str) -> Option<Uuid> {
    Uuid::parse_str(text).ok()
}

/// A column that is empty where there is nothing to say, or was not there yet.
fn optional<T>(
    row: &Row<'_>,
    column: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> rusqlite::Result<Option<T>> {
    match row.get::<_, Option<String>>(column)? {
        None => Ok(None),
        Some(_) => parsed(row, column, parse).map(Some),
    }
}

pub(super) fn parsed<T>(
    row: &Row<'_>,
    column: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    parse(&text).ok_or_else(|| {
        let place = row.as_ref().column_index(column).unwrap_or(0);
        let shown: String = text.chars().take(60).collect();
        let reason = format!("column {column} holds {shown:?}");
        rusqlite::Error::FromSqlConversionFailure(place, Type::Text, reason.into())
    })
}
