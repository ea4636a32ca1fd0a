//! The wire of floodmark: the only crate that knows protobuf and gRPC.

pub mod link;
pub mod message;
