//! The two programs as the user gets them.
//!
//! They lie beside the directory of the test's own executable. A test package cannot make cargo
//! build the programs of another package, so cargo is asked once in each test process; where they
//! are up to date that takes a moment. A test executable that is run without cargo takes the
//! programs as they are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The coordinator.
pub fn floodmark() -> PathBuf {
    directory().join("floodmark")
}

/// The agent.
pub fn floodmark_agent() -> PathBuf {
    directory().join("floodmark-agent")
}

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a package in a workspace").to_owned()
}

fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let test = std::env::current_exe().expect("the path of this test");
        let deps = test.parent().expect("a directory");
        let directory = deps.parent().expect("the directory of a profile").to_owned();
        if let Some(cargo) = std::env::var_os("CARGO") {
            build(Path::new(&cargo), &directory);
        }
        for name in ["floodmark", "floodmark-agent"] {
            let path = directory.join(name);
            assert!(path.is_file(), "{} is missing; run cargo build --bins", path.display());
        }
        directory
    })
}

fn build(cargo: &Path, directory: &Path) {
    let profile = match directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--workspace", "--bins", "--profile", profile]);
    command.current_dir(root());
    // What cargo says of this package is news to the build scripts of others, which would run
    // again.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if OF_THIS_PACKAGE.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    let status = command.status().expect("cargo can be run");
    assert!(status.success(), "cargo build --bins: {status}");
}

/// Beginnings of the variables that cargo sets for a test.
const OF_THIS_PACKAGE: [&str; 5] = [
    "CARGO_PKG_",
    "CARGO_MANIFEST_",
    "CARGO_CRATE_NAME",
    "CARGO_PRIMARY_PACKAGE",
    "CARGO_TARGET_TMPDIR",
];
