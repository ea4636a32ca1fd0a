//! Rules of the source tree that no compiler checks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use common::outcome::{Censor, Failure};
use coordinator::classify::Code;
use coordinator::exit::Exit;
use harness::binaries::root;

const CRATES: [&str; 5] = ["common", "proto", "agent", "coordinator", "tests"];
/// The longest file, tests aside.
const LINES_MAX: usize = 600;

/// A source file: its path from the root, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn is_tests(&self) -> bool {
        let in_folder = self.path.split('/').any(|part| part == "tests" || part == "tests.rs");
        in_folder || self.path.ends_with("/testing.rs") || self.path.ends_with("/testdata.rs")
    }

    /// The text without comments, and without the unit tests at its end.
    fn code(&self) -> String {
        let before_tests = self.text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let code = |line: &str| line.split("//").next().unwrap().to_owned();
        before_tests.lines().map(code).collect::<Vec<_>>().join("\n")
    }
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    for name in CRATES {
        collect(&root().join(name), "rs", &mut found);
    }
    assert!(found.len() > 100, "{} sources", found.len());
    found
}

fn collect(dir: &Path, extension: &str, found: &mut Vec<Source>) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, extension, found);
        } else if path.extension().is_some_and(|e| e == extension) {
            let text = std::fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            found.push(Source { path, text });
        }
    }
}

/// The dependencies of a crate's manifest, those of its tests left out.
fn dependencies(name: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
    let section = text.split("\n[dependencies]\n").nth(1).unwrap();
    let section = section.split("\n[").next().unwrap();
    let key = |line: &str| line.split(['.', ' ', '=']).next().unwrap().to_owned();
    section.lines().filter(|line| !line.is_empty()).map(key).collect()
}

fn assert_none(what: &str, found: Vec<String>) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

#[test]
fn imports_point_downwards() {
    let layers = ["common", "proto", "agent", "coordinator"];
    for (place, name) in layers.iter().enumerate() {
        let above: BTreeSet<String> = layers[place..].iter().map(|s| (*s).to_owned()).collect();
        let used = dependencies(name);
        assert_none(name, used.intersection(&above).cloned().collect());
    }
    // Pure values: no runtime, wire, command line, socket, file or database.
    let pure = ["hdrhistogram", "serde", "serde_json", "sha2", "thiserror", "uuid"];
    let pure = pure.map(str::to_owned);
    let more: Vec<String> = dependencies("common").difference(&pure.into()).cloned().collect();
    assert_none("common depends on more than values", more);
    for source in sources().iter().filter(|s| s.path.starts_with("common/")) {
        for effect in ["std::fs", "std::net::Tcp", "std::net::Udp", "std::thread", "std::env"] {
            assert!(!source.code().contains(effect), "{}: {effect}", source.path);
        }
    }
    // The wire's own types stay with the wire.
    for wire in ["tonic", "tonic-prost", "prost"] {
        for name in ["common", "agent", "coordinator", "tests"] {
            assert!(!dependencies(name).contains(wire), "{name} depends on {wire}");
        }
    }
    let outside = |s: &Source| !s.path.starts_with("proto/") && !s.path.starts_with("tests/");
    let named = |s: &&Source| outside(s) && s.code().contains("generated::");
    assert_none(
        "generated types",
        sources().iter().filter(named).map(|s| s.path.clone()).collect(),
    );
}

#[test]
fn the_coordinator_reaches_agents_over_the_wire_alone() {
    let allowed = ["coordinator/src/fleet/embedded.rs", "coordinator/src/cli/demo.rs"];
    let uses = |line: &str| {
        let line = line.trim_start();
        line.starts_with("use agent::") || line.contains(" agent::") || line.contains("(agent::")
    };
    let found = sources().into_iter().filter(|s| s.path.starts_with("coordinator/src"));
    let found = found.filter(|s| s.code().lines().any(uses)).map(|s| s.path);
    assert_eq!(found.collect::<BTreeSet<_>>(), allowed.map(str::to_owned).into());
}

#[test]
fn clocks_are_read_in_the_clock_modules() {
    let clocks = ["agent/src/clock.rs", "coordinator/src/clock.rs"];
    let calls = ["Instant::now(", "SystemTime::now(", ".elapsed()", "now_utc(", "now_local("];
    let sources = sources();
    let mut found = Vec::new();
    for source in sources.iter().filter(|s| !s.is_tests() && !clocks.contains(&&*s.path)) {
        let code = source.code();
        found.extend(calls.iter().filter(|c| code.contains(**c)).map(|c| (&source.path, *c)));
        // A thread's processor time is no clock.
        let times = code.matches("clock_gettime(").count();
        let processor = code.matches("clock_gettime(ClockId::ThreadCPUTime)").count();
        found.extend((times > processor).then_some((&source.path, "clock_gettime(")));
    }
    assert_none("clocks", found.iter().map(|(path, call)| format!("{path}: {call}")).collect());
    // Outside of them only identities are made in spite of the rule.
    for source in sources.iter().filter(|s| !clocks.contains(&&*s.path)) {
        let lines: Vec<&str> = source.text.lines().map(str::trim_start).collect();
        for (place, line) in lines.iter().enumerate() {
            if line.starts_with("#[expect(clippy::disallowed_methods") {
                assert!(line.contains("identity is made at the rim"), "{}:{place}", source.path);
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is_and_is_short() {
    let mut found = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if !source.path.ends_with("tests.rs") && !source.text.starts_with("//! ") {
            found.push(format!("{}: begins without a module doc", source.path));
        }
        if !source.is_tests() && lines > LINES_MAX {
            found.push(format!("{}: {lines} lines, more than {LINES_MAX}", source.path));
        }
        let name = Path::new(&source.path).with_extension("");
        let vague = ["util", "utils", "helper", "helpers", "misc"];
        if name.components().any(|c| vague.iter().any(|v| c.as_os_str() == *v)) {
            found.push(format!("{}: a name that says nothing", source.path));
        }
    }
    assert_none("files", found);
}

#[test]
fn nothing_is_left_for_later_and_nothing_tells_of_a_build_machine() {
    // Put together here, so that this file does not hold them.
    let unfinished = ["TO", "FIX", "XX", "HA"].iter().zip(["DO", "ME", "X", "CK"]);
    let mut words: Vec<String> = unfinished.map(|(a, b)| format!("{a}{b}")).collect();
    words.extend(["home", "Users", "work"].iter().map(|dir| format!("/{dir}/")));
    let mut files = sources();
    for dir in ["deploy", "docs", "proto"] {
        for extension in ["md", "toml", "proto", "service", "sh"] {
            collect(&root().join(dir), extension, &mut files);
        }
    }
    let mut found = Vec::new();
    for source in files {
        let places = source.text.lines().zip(1..);
        for (line, place) in places {
            let bad = words.iter().find(|word| holds_word(line, word));
            found.extend(bad.map(|word| format!("{}:{place}: {word}", source.path)));
        }
    }
    assert_none("words", found);
}

/// `word` stands in `line`, not as a part of a longer word or path.
fn holds_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '.')
            && (word.ends_with('/')
                || line[at + word.len()..].chars().next().is_none_or(|c| !c.is_alphanumeric()))
    })
}

#[test]
fn every_ending_exit_code_and_verdict_is_documented() {
    let mut pages = Vec::new();
    collect(&root().join("docs"), "md", &mut pages);
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap_or_default();
    let text = pages.iter().map(|page| &*page.text).chain([&*readme]).collect::<String>();
    let rows: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name))
        .collect();
    let exits = Exit::ALL.map(|exit| exit.code().to_string());
    let verdicts = Code::ALL.map(|code| serde_json::to_value(code).unwrap());
    let verdicts = verdicts.iter().map(|code| code.as_str().unwrap().to_owned());
    let failures = Failure::ALL.map(|failure| failure.name().to_owned());
    let censors = Censor::ALL.map(|censor| censor.name().to_owned());
    let all = failures.into_iter().chain(censors).chain(exits).chain(verdicts);
    let missing = all.filter(|name| !rows.contains(&**name)).collect();
    assert_none("not the first word of a row of a table in docs/*.md or README.md", missing);
}
