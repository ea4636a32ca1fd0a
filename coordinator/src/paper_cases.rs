//! The reproduction cases of the paper, for tests.

use serde_json::Value;

/// All cases.
pub(crate) fn paper_cases() -> Value {
    serde_json::from_str(include_str!("../../tests/fixtures/paper/cases.json"))
        .expect("the fixture is JSON")
}
