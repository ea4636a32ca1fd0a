//! The tables of a store. `docs/store.md` describes them for people who query them.

use rusqlite::{Connection, Transaction};

/// The `application_id` of a store: `flmk` in ASCII.
pub(super) const APPLICATION: i32 = 0x666c_6d6b;

/// The `user_version` of the tables below. It rises with every change to them.
pub(super) const VERSION: i32 = 5;

/// A schema that this build reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Schema {
    /// Every level was a closed loop that ended by a count, and no objective was known.
    One,
    /// No level belonged to an arm of an ablation.
    Two,
    /// Nothing was known of what serves the model.
    Three,
    /// Requests were passages of text and nothing more, and facts were not asked after restarts.
    Four,
    /// The tables below.
    Five,
}

impl Schema {
    /// The schema of a `user_version`.
    pub(super) fn of(version: i32) -> Option<Self> {
        match version {
            1 => Some(Self::One),
            2 => Some(Self::Two),
            3 => Some(Self::Three),
            4 => Some(Self::Four),
            VERSION => Some(Self::Five),
            _ => None,
        }
    }

    /// The run, with every column of [`TABLES`].
    pub(super) fn run(self) -> &'static str {
        match self {
            Self::One => "SELECT *, NULL AS judging FROM run",
            Self::Two | Self::Three | Self::Four | Self::Five => "SELECT * FROM run",
        }
    }

    /// The levels in order, with every column of [`TABLES`].
    pub(super) fn levels(self) -> &'static str {
        match self {
            Self::One => {
                "SELECT *, NULL AS arrivals, NULL AS window, NULL AS before, NULL AS proof, \
                 NULL AS arm, NULL AS lengths, NULL AS shared_prefix, NULL AS more FROM levels \
                 ORDER BY begun"
            }
            Self::Two => {
                "SELECT *, NULL AS arm, NULL AS lengths, NULL AS shared_prefix, NULL AS more \
                 FROM levels ORDER BY begun"
            }
            Self::Three | Self::Four => "SELECT *, NULL AS more FROM levels ORDER BY begun",
            Self::Five => "SELECT * FROM levels ORDER BY begun",
        }
    }

    /// What the target said it is, in order; `None` where nobody asked.
    pub(super) fn identities(self) -> Option<&'static str> {
        match self {
            Self::One => None,
            Self::Two | Self::Three | Self::Four | Self::Five => {
                Some("SELECT * FROM target_identities ORDER BY position")
            }
        }
    }

    /// What is known of what serves the model: as stated, and as commands told it, in order.
    pub(super) fn serving(self) -> Option<[&'static str; 2]> {
        match self {
            Self::One | Self::Two | Self::Three => None,
            Self::Four => Some([
                "SELECT * FROM serving_stated",
                "SELECT *, NULL AS ordinal FROM serving_facts ORDER BY position",
            ]),
            Self::Five => Some([
                "SELECT * FROM serving_stated",
                "SELECT * FROM serving_facts ORDER BY position",
            ]),
        }
    }
}

const TABLES: &str = "
CREATE TABLE run (
    id              INTEGER PRIMARY KEY CHECK (id = 1),
    run_id          TEXT    NOT NULL,
    name            TEXT    NOT NULL,
    mode            TEXT    NOT NULL,
    tier            TEXT    NOT NULL,
    seed            TEXT    NOT NULL,
    target          TEXT    NOT NULL,
    model           TEXT    NOT NULL,
    stream          INTEGER NOT NULL,
    campaign_toml   TEXT    NOT NULL,
    campaign_sha256 TEXT    NOT NULL,
    levels_planned  INTEGER NOT NULL,
    started_at_ms   INTEGER NOT NULL,
    tool_version    TEXT    NOT NULL,
    judging         TEXT    NOT NULL
) STRICT;

CREATE TABLE run_end (
    id             INTEGER PRIMARY KEY CHECK (id = 1),
    outcome        TEXT    NOT NULL,
    exit_code      INTEGER NOT NULL,
    because        TEXT    NOT NULL,
    finished_at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE agents (
    position        INTEGER PRIMARY KEY,
    name            TEXT    NOT NULL UNIQUE,
    boot            TEXT    NOT NULL,
    address         TEXT    NOT NULL,
    version         TEXT    NOT NULL,
    workers         INTEGER NOT NULL,
    clock_offset_us REAL,
    clock_error_us  REAL
) STRICT;

CREATE TABLE target_identities (
    position INTEGER PRIMARY KEY,
    asked    TEXT    NOT NULL,
    ordinal  INTEGER,
    at_ms    INTEGER NOT NULL,
    identity TEXT    NOT NULL
) STRICT;

CREATE TABLE serving_stated (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE serving_facts (
    position INTEGER PRIMARY KEY,
    name     TEXT    NOT NULL,
    asked    TEXT    NOT NULL,
    ordinal  INTEGER,
    at_ms    INTEGER NOT NULL,
    value    TEXT,
    unknown  TEXT
) STRICT;

CREATE TABLE inputs (
    seq     INTEGER PRIMARY KEY,
    tick_ns INTEGER NOT NULL,
    kind    TEXT    NOT NULL,
    body    TEXT    NOT NULL
) STRICT;

CREATE TABLE levels (
    begun         INTEGER PRIMARY KEY,
    ordinal       INTEGER NOT NULL,
    attempt       INTEGER NOT NULL,
    phase         TEXT    NOT NULL,
    place         INTEGER NOT NULL,
    repeat        INTEGER NOT NULL,
    arm           TEXT,
    label         TEXT    NOT NULL,
    users         INTEGER NOT NULL,
    arrivals      TEXT    NOT NULL,
    requests      INTEGER,
    window        TEXT,
    allow_capped  INTEGER NOT NULL,
    workload      TEXT    NOT NULL,
    input_tokens  INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    lengths       TEXT,
    forced_length INTEGER NOT NULL,
    cache         TEXT    NOT NULL,
    shared_prefix TEXT,
    more          TEXT,
    before        TEXT,
    cooldown_ns   INTEGER NOT NULL,
    fired_at_ms   INTEGER,
    fate          TEXT,
    fate_because  TEXT,
    proof         TEXT,
    UNIQUE (ordinal, attempt)
) STRICT;

CREATE TABLE shares (
    ordinal  INTEGER NOT NULL,
    attempt  INTEGER NOT NULL,
    position INTEGER NOT NULL,
    agent    TEXT    NOT NULL,
    users    INTEGER NOT NULL,
    PRIMARY KEY (ordinal, attempt, agent),
    FOREIGN KEY (ordinal, attempt) REFERENCES levels (ordinal, attempt)
) STRICT;

CREATE TABLE seals (
    ordinal INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    agent   TEXT    NOT NULL,
    sha256  TEXT    NOT NULL,
    body    BLOB    NOT NULL,
    PRIMARY KEY (ordinal, attempt, agent),
    FOREIGN KEY (ordinal, attempt, agent) REFERENCES shares (ordinal, attempt, agent)
) STRICT;
";

/// What a database says it is.
pub(super) struct Mark {
    pub(super) application: i32,
    pub(super) version: i32,
}

/// Makes the tables of a new store.
pub(super) fn create(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    tx.execute_batch(TABLES)?;
    tx.pragma_update(None, "application_id", APPLICATION)?;
    tx.pragma_update(None, "user_version", VERSION)
}

/// Reads what a database says it is.
pub(super) fn mark(db: &Connection) -> rusqlite::Result<Mark> {
    let number = |name: &str| db.pragma_query_value(None, name, |row| row.get(0));
    Ok(Mark { application: number("application_id")?, version: number("user_version")? })
}
