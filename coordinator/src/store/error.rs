//! What can go wrong with a result directory.

use std::io;
use std::path::{Path, PathBuf};

/// A result directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory already holds a run.
    #[error("{} already holds a run; choose another result directory", path.display())]
    Exists {
        /// The store's file.
        path: PathBuf,
    },
    /// There is no store.
    #[error("{} does not exist; give the result directory of a run", path.display())]
    Missing {
        /// The store's file.
        path: PathBuf,
    },
    /// The file is a database of something else.
    #[error("{} is not the store of a floodmark run", path.display())]
    NotARun {
        /// The store's file.
        path: PathBuf,
    },
    /// The store was written by another version of floodmark.
    #[error(
        "{} has schema {found}, this floodmark reads schemas 1 to {known}; use the version that wrote it",
        path.display()
    )]
    Version {
        /// The store's file.
        path: PathBuf,
        /// Its schema.
        found: i32,
        /// The newest schema that this build reads.
        known: i32,
    },
    /// The store cannot be opened.
    #[error(
        "cannot open {}; it must be the store of a run, in a directory that can be written to",
        path.display()
    )]
    Open {
        /// The store's file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The store cannot be read.
    #[error(
        "cannot read {table} from {}; the file is damaged: use a copy of the result directory, or \
         read what is left of it with an SQLite client",
        path.display()
    )]
    Read {
        /// The store's file.
        path: PathBuf,
        /// What was read.
        table: &'static str,
        /// Why.
        source: rusqlite::Error,
    },
    /// The first write that failed; no other will be tried.
    #[error(
        "cannot store {what} in {}; what was stored before stays readable; \
         check the disk's space and state",
        path.display()
    )]
    Write {
        /// The store's file.
        path: PathBuf,
        /// What was to be stored.
        what: &'static str,
        /// Why.
        source: rusqlite::Error,
    },
    /// An earlier write failed.
    #[error("{what} is not stored in {}, because an earlier write failed", path.display())]
    Ended {
        /// The store's file.
        path: PathBuf,
        /// What was to be stored.
        what: &'static str,
    },
    /// A file or directory cannot be written.
    #[error("cannot write {}; check the directory's permissions and the disk's space", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl StoreError {
    pub(super) fn file(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Self::File { path, source }
    }
}
