//! End-to-end tests of floodmark.
