//! New files, all of a set or none, keys for their owner only. Nothing is ever overwritten.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::PkiError;

/// A file to be made.
pub(super) struct NewFile {
    path: PathBuf,
    text: String,
    secret: bool,
}

impl NewFile {
    pub(super) fn secret(path: PathBuf, text: String) -> Self {
        Self { path, text, secret: true }
    }

    pub(super) fn public(path: PathBuf, text: String) -> Self {
        Self { path, text, secret: false }
    }

    fn create(&self) -> Result<(), PkiError> {
        let mut file = self.open().map_err(|source| {
            if source.kind() == io::ErrorKind::AlreadyExists {
                PkiError::Exists { path: self.path.clone() }
            } else {
                cannot("write", &self.path, source)
            }
        })?;
        let written = file.write_all(self.text.as_bytes()).and_then(|()| file.sync_all());
        written.map_err(|source| {
            // Half a key is worse than none; the error that matters is already at hand.
            let _ = fs::remove_file(&self.path);
            cannot("write", &self.path, source)
        })
    }

    fn open(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(if self.secret { 0o600 } else { 0o644 });
        }
        options.open(&self.path)
    }
}

/// Makes all files, and their directories; after a failure none of them is left. Returns their
/// paths.
pub(super) fn create_all(files: &[NewFile]) -> Result<Vec<PathBuf>, PkiError> {
    let mut created = Vec::new();
    for file in files {
        let directory = file.path.parent().unwrap_or(Path::new("."));
        let outcome = fs::create_dir_all(directory)
            .map_err(|source| cannot("write", directory, source))
            .and_then(|()| file.create());
        if let Err(error) = outcome {
            for path in &created {
                let _ = fs::remove_file(path);
            }
            return Err(error);
        }
        created.push(file.path.clone());
    }
    Ok(created)
}

/// Whether the file is there and holds exactly this; another content is an error.
pub(super) fn holds(path: &Path, text: &str) -> Result<bool, PkiError> {
    match fs::read(path) {
        Ok(found) if found == text.as_bytes() => Ok(true),
        Ok(_) => Err(PkiError::Exists { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(cannot("read", path, source)),
    }
}

fn cannot(doing: &'static str, path: &Path, source: io::Error) -> PkiError {
    PkiError::File { doing, path: path.to_owned(), source }
}
