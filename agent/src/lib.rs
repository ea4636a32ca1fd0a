//! The floodmark agent: generates load, times it on its own clock, and accounts for every request.

pub mod clock;
pub mod sim;
