//! Conversions between domain types and protobuf. What arrives may come from anyone: every field
//! is checked here, once, and a bad one is named.

mod asked;
mod ceiling;
mod from;
mod health;
mod images;
mod load;
mod slices;
mod supply;
mod tally;
mod text;
mod to;
mod workload;

use common::snapshot::Seal;
use prost::Message as _;

use crate::generated as pb;

/// Largest message that either side accepts, in bytes.
///
/// The largest legal one is a seal: thirteen histograms of at most 23,552 buckets and 8,192 slots of
/// eight numbers each, below 3 MiB even if every bucket is used; and three histograms for each of 64
/// slices, which would need as many requests in every bucket to reach the rest.
pub const MESSAGE_MAX: usize = 24 << 20;

/// A message that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct WireError {
    /// The field, as the schema names it.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

impl WireError {
    pub(crate) fn new(field: &'static str, reason: impl ToString) -> Self {
        Self { field, reason: reason.to_string() }
    }
}

/// A seal as bytes, for storing.
pub fn encode_seal(seal: &Seal) -> Vec<u8> {
    pb::Seal::from(seal).encode_to_vec()
}

/// A seal from bytes made by [`encode_seal`], checked like one from the wire.
pub fn decode_seal(bytes: &[u8]) -> Result<Seal, WireError> {
    let message = pb::Seal::decode(bytes).map_err(|error| WireError::new("seal", error))?;
    Seal::try_from(message)
}

#[cfg(test)]
mod tests;
