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
    tool_version    TEXT    NOT NULL
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
    label         TEXT    NOT NULL,
    users         INTEGER NOT NULL,
    requests      INTEGER NOT NULL,
    allow_capped  INTEGER NOT NULL,
    workload      TEXT    NOT NULL,
    input_tokens  INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    forced_length INTEGER NOT NULL,
    cache         TEXT    NOT NULL,
    cooldown_ns   INTEGER NOT NULL,
    fired_at_ms   INTEGER,
    fate          TEXT,
    fate_because  TEXT,
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
