//! The server under test as the coordinator meets it, apart from the load: whether it is there,
//! what it says it is, and what may be done to it between levels.

mod ask;
pub mod facts;
pub mod hook;
pub mod identity;
pub mod prepare;
pub mod ready;
pub mod several;
pub(crate) mod usage;

#[cfg(test)]
mod tests;
