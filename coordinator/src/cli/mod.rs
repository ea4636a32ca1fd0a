//! The commands of `floodmark`, one verb per file: each turns arguments into a call and its outcome
//! into text.

pub mod pki;
