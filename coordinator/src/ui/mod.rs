//! What a person sees while a run goes on. Read-only: views of the run, never its state.

mod plain;
mod view;

pub use plain::Plain;
pub use view::{LevelView, View};
