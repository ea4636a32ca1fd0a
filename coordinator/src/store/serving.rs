//! What serves the model, as stated and as commands told it: two tables of names and values.

use rusqlite::{Row, Transaction, params};

use super::load::parsed;
use super::words;
use crate::record::{FactRecord, UnixMs};
use crate::serving::Serving;
use crate::target::facts::Told;

pub(super) fn put_stated(tx: &Transaction<'_>, serving: &Serving) -> rusqlite::Result<()> {
    let mut insert = tx.prepare("INSERT INTO serving_stated VALUES (?1, ?2)")?;
    for (key, value) in serving.entries() {
        insert.execute(params![key, value.to_string()])?;
    }
    Ok(())
}

/// One entry of what is stated.
pub(super) fn read_entry(row: &Row<'_>) -> rusqlite::Result<(String, serde_json::Value)> {
    let value = parsed(row, "value", |text| serde_json::from_str(text).ok())?;
    Ok((row.get("key")?, value))
}

pub(super) fn put_facts(tx: &Transaction<'_>, facts: &[FactRecord]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO serving_facts (name, asked, ordinal, at_ms, value, unknown) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let mut insert = tx.prepare(sql)?;
    for FactRecord { name, asked, at, told } in facts {
        let (asked, ordinal) = words::asked_words(*asked);
        let (value, unknown) = match told {
            Told::Value(value) => (Some(value), None),
            Told::NotKnown(why) => (None, Some(why)),
        };
        insert.execute(params![name.as_str(), asked, ordinal, at.0, value, unknown])?;
    }
    Ok(())
}

pub(super) fn read_fact(row: &Row<'_>) -> rusqlite::Result<FactRecord> {
    let value: Option<String> = row.get("value")?;
    let unknown: Option<String> = row.get("unknown")?;
    let ordinal: Option<u32> = row.get("ordinal")?;
    Ok(FactRecord {
        name: parsed(row, "name", |text| text.parse().ok())?,
        asked: parsed(row, "asked", |word| words::asked_of(word, ordinal))?,
        at: UnixMs(row.get("at_ms")?),
        told: value.map_or_else(|| Told::NotKnown(unknown.unwrap_or_default()), Told::Value),
    })
}
