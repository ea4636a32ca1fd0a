//! The wire of floodmark: the only crate that knows protobuf and gRPC.
//!
//! Generated code is private; everything outside this crate speaks the domain types of
//! [`message`] and of `common`. Every field that arrives is checked once, in [`wire`], and the bad
//! one is named. [`secrets`] is what no message but
//! one carries and nobody prints. [`link`] carries the bytes and proves who is at the other end.

pub mod client;
pub mod link;
pub mod message;
pub mod secrets;
pub mod server;
pub mod wire;

mod generated {
    //! What the schema compiles to.
    #![allow(
        missing_docs,
        unreachable_pub,
        unused_qualifications,
        clippy::all,
        clippy::pedantic,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::wildcard_enum_match_arm,
        reason = "generated code"
    )]
    tonic::include_proto!("floodmark.fleet.v1");
}
