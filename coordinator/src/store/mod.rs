//! The store of a run: one SQLite file, `run.sqlite`, in the result directory.
//!
//! Everything that a report or a resumption needs is in it, durably, before any consequence of it
//! leaves the process: a call that returned has reached the disk. The first failed write ends the
//! use of a store, because after a failed sync nobody can say what the disk holds; what was stored
//! before it stays readable. The store never judges and never merges. Its tables are described in
//! `docs/store.md`.

mod data;
mod error;
mod file;
mod images;
mod lengths;
mod load;
mod mixes;
mod more;
mod schema;
mod serving;
mod states;
mod text;
mod words;

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use common::digest::Digest;
use common::ids::{LevelId, Name};
use common::snapshot::Seal;
use common::time::Tick;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, params};

use crate::plan::Arm;
use crate::record::{
    AgentRecord, FactRecord, IdentityRecord, LevelFate, LevelRecord, RunEnd, RunHeader, UnixMs,
};

pub use error::StoreError;
pub(crate) use file::write_whole;
pub use load::{Damage, Loaded};
use schema::Schema;
pub(crate) use states::planned_json;
pub(crate) use words::{asked_words, mode_word, outcome_word, tier_word};

/// The store's file in a result directory.
pub const FILE: &str = "run.sqlite";

/// The campaign's file in a result directory.
pub const CAMPAIGN_FILE: &str = "campaign.toml";

/// The store of one run.
#[derive(Debug)]
pub struct Store {
    db: Connection,
    path: PathBuf,
    schema: Schema,
    ended: bool,
}

/// One input of the run's state machine, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredInput {
    /// Counts up from 0 over the run.
    pub seq: u64,
    /// When it came, on the coordinator's clock.
    pub tick: Tick,
    /// Its kind in one word.
    pub kind: String,
    /// The whole input, in JSON.
    pub body: String,
}

impl Store {
    /// Makes the store of a new run, and the directory if it is not there, and writes the
    /// campaign beside it. A directory that already holds a run is refused.
    pub fn create(dir: &Path, header: &RunHeader) -> Result<Self, StoreError> {
        let path = dir.join(FILE);
        std::fs::create_dir_all(dir).map_err(|source| StoreError::file(dir, source))?;
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(StoreError::Exists { path });
            }
            Err(source) => return Err(StoreError::file(&path, source)),
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(&path, flags).and_then(|db| {
            db.pragma_update(None, "journal_mode", "WAL")?;
            db.pragma_update(None, "synchronous", "FULL")?;
            db.pragma_update(None, "foreign_keys", true)?;
            Ok(db)
        });
        let db = opened.map_err(|source| StoreError::Open { path: path.clone(), source })?;
        let mut store = Self { db, path, schema: Schema::Four, ended: false };
        store.write("the run's header", |tx| {
            schema::create(tx)?;
            put_header(tx, header)?;
            serving::put_stated(tx, &header.serving)
        })?;
        write_whole(&dir.join(CAMPAIGN_FILE), header.campaign_toml.as_bytes())?;
        Ok(store)
    }

    /// Opens the store of a run, finished or not, for reading.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(FILE);
        if !path.exists() {
            return Err(StoreError::Missing { path });
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened =
            Connection::open_with_flags(&path, flags).and_then(|db| Ok((schema::mark(&db)?, db)));
        let (mark, db) =
            opened.map_err(|source| StoreError::Open { path: path.clone(), source })?;
        if mark.application != schema::APPLICATION {
            return Err(StoreError::NotARun { path });
        }
        let Some(schema) = Schema::of(mark.version) else {
            return Err(StoreError::Version { path, found: mark.version, known: schema::VERSION });
        };
        Ok(Self { db, path, schema, ended: false })
    }

    /// Stores the fleet, in place of what was stored of it before.
    pub fn put_agents(&mut self, agents: &[AgentRecord]) -> Result<(), StoreError> {
        self.write("the fleet", |tx| {
            tx.execute("DELETE FROM agents", [])?;
            let sql = "INSERT INTO agents VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
            let mut insert = tx.prepare(sql)?;
            for (position, agent) in agents.iter().enumerate() {
                insert.execute(params![
                    position as u64,
                    agent.name.as_str(),
                    agent.boot.to_string(),
                    agent.address,
                    agent.version,
                    agent.workers,
                    agent.clock_offset_us,
                    agent.clock_error_us,
                ])?;
            }
            Ok(())
        })
    }

    /// The result directory.
    pub(crate) fn dir(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// Stores what the target said it is.
    pub fn put_identity(&mut self, record: &IdentityRecord) -> Result<(), StoreError> {
        let (asked, ordinal) = asked_words(record.asked);
        // Words and numbers only: writing cannot fail.
        let identity = serde_json::to_string(&record.identity).unwrap_or_default();
        self.write("what the target is", |tx| {
            let sql = "INSERT INTO target_identities (asked, ordinal, at_ms, identity) \
                       VALUES (?1, ?2, ?3, ?4)";
            exactly_one(tx.execute(sql, params![asked, ordinal, record.at.0, identity])?)
        })
    }

    /// Stores what commands told of the server, all or none.
    pub fn put_facts(&mut self, facts: &[FactRecord]) -> Result<(), StoreError> {
        self.write("facts of the server", |tx| serving::put_facts(tx, facts))
    }

    /// Stores inputs of the state machine, all or none.
    pub fn append_inputs(&mut self, inputs: &[StoredInput]) -> Result<(), StoreError> {
        self.write("the state machine's inputs", |tx| {
            let mut insert = tx.prepare_cached("INSERT INTO inputs VALUES (?1, ?2, ?3, ?4)")?;
            for input in inputs {
                insert.execute(params![input.seq, input.tick.0, input.kind, input.body])?;
            }
            Ok(())
        })
    }

    /// Stores a level that is begun, with its shares. Seals, the instant of firing and the fate
    /// have calls of their own.
    pub fn begin_level(&mut self, level: &LevelRecord) -> Result<(), StoreError> {
        self.write("a level", |tx| put_level(tx, level))
    }

    /// Stores when a level fired.
    pub fn set_fired(&mut self, level: LevelId, at: UnixMs) -> Result<(), StoreError> {
        self.write("the start of a level", |tx| {
            let sql = "UPDATE levels SET fired_at_ms = ?3 WHERE ordinal = ?1 AND attempt = ?2";
            exactly_one(tx.execute(sql, params![level.ordinal, level.attempt, at.0])?)
        })
    }

    /// Stores agents' seals of levels, all or none. When this returns, the agents may forget them.
    /// A seal that is already there stays as it is, so an agent that repeats itself changes
    /// nothing.
    pub fn put_seals<'a>(
        &mut self,
        seals: impl IntoIterator<Item = (LevelId, &'a Name, &'a Seal)>,
    ) -> Result<(), StoreError> {
        self.write("seals", |tx| {
            let mut insert = tx.prepare_cached(
                "INSERT INTO seals VALUES (?1, ?2, ?3, ?4, ?5) \
                 ON CONFLICT (ordinal, attempt, agent) DO NOTHING",
            )?;
            for (level, agent, seal) in seals {
                let body = proto::wire::encode_seal(seal);
                let sha256 = Digest::of(&body).to_string();
                let values = params![level.ordinal, level.attempt, agent.as_str(), sha256, body];
                insert.execute(values)?;
            }
            Ok(())
        })
    }

    /// Stores how a level ended.
    pub fn set_fate(&mut self, level: LevelId, fate: &LevelFate) -> Result<(), StoreError> {
        let (word, because) = words::fate_words(fate);
        self.write("the end of a level", |tx| {
            let sql = "UPDATE levels SET fate = ?3, fate_because = ?4 \
                       WHERE ordinal = ?1 AND attempt = ?2";
            let values = params![level.ordinal, level.attempt, word, because];
            exactly_one(tx.execute(sql, values)?)
        })
    }

    /// Stores how the run ended, and folds the file's write-ahead log into it, so that the file
    /// can be copied alone.
    pub fn finish(&mut self, end: &RunEnd) -> Result<(), StoreError> {
        self.write("the end of the run", |tx| {
            tx.execute(
                "INSERT INTO run_end VALUES (1, ?1, ?2, ?3, ?4)",
                params![outcome_word(end.outcome), end.exit_code, end.because, end.finished_at.0],
            )?;
            Ok(())
        })?;
        // The end is stored. Somebody reading the file at this moment keeps the log alive, which
        // costs nothing but a second file.
        let _folded = self.db.pragma_update(None, "journal_mode", "DELETE");
        Ok(())
    }

    fn write<T>(
        &mut self,
        what: &'static str,
        act: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        if self.ended {
            let path = self.path.clone();
            return Err(StoreError::Ended { path, what });
        }
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate);
        let done = transaction.and_then(|tx| {
            let value = act(&tx)?;
            tx.commit()?;
            Ok(value)
        });
        done.map_err(|source| {
            self.ended = true;
            StoreError::Write { path: self.path.clone(), what, source }
        })
    }
}

fn put_header(tx: &Transaction<'_>, header: &RunHeader) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT INTO run VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, \
         ?14)",
        params![
            header.run.to_string(),
            header.name.as_str(),
            mode_word(header.mode),
            tier_word(header.tier),
            header.seed.to_string(),
            header.target,
            header.model,
            header.stream,
            header.campaign_toml,
            header.campaign_sha256.to_string(),
            header.levels_planned,
            header.started_at.0,
            header.tool_version,
            states::judging_text(&header.judging),
        ],
    )?;
    Ok(())
}

fn put_level(tx: &Transaction<'_>, level: &LevelRecord) -> rusqlite::Result<()> {
    let planned = &level.planned;
    let workload = &planned.workload;
    tx.execute(
        "INSERT INTO levels (ordinal, attempt, phase, place, repeat, label, users, requests, \
         allow_capped, workload, input_tokens, output_tokens, forced_length, cache, cooldown_ns, \
         arrivals, window, before, proof, arm, lengths, shared_prefix, more) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, \
         ?18, ?19, ?20, ?21, ?22, ?23)",
        params![
            level.id.ordinal,
            level.id.attempt,
            planned.phase.name(),
            planned.place,
            planned.repeat,
            planned.label,
            planned.load.users,
            planned.load.requests(),
            planned.allow_capped,
            workload.name.as_str(),
            workload.input_tokens.mean().round() as u32,
            workload.output_tokens.mean().round() as u32,
            workload.forced_length,
            workload.cache.name(),
            common::time::duration_ns(planned.cooldown),
            states::arrivals_text(planned.load.arrivals),
            planned.window.map(states::window_text),
            states::before_text(planned.before),
            planned.proof.map(states::proof_text),
            planned.arm.map(Arm::name),
            lengths::text(workload),
            lengths::prefix_text(workload.cache),
            more::text(workload),
        ],
    )?;
    let mut insert = tx.prepare("INSERT INTO shares VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for (position, share) in level.shares.iter().enumerate() {
        insert.execute(params![
            level.id.ordinal,
            level.id.attempt,
            position as u64,
            share.agent.as_str(),
            share.users,
        ])?;
    }
    Ok(())
}

fn exactly_one(changed: usize) -> rusqlite::Result<()> {
    if changed == 1 { Ok(()) } else { Err(rusqlite::Error::StatementChangedRows(changed)) }
}

#[cfg(test)]
mod tests;
