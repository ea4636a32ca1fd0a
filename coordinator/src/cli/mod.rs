//! The command line: arguments and environment become values, values become exit codes.

pub mod args;
