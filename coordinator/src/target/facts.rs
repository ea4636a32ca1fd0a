//! Facts of the server that only its operator's commands can tell, such as the memory that its log
//! says the weights take: what a command printed, searched by a pattern.
//!
//! A command that fails, or prints nothing that matches, leaves a fact that is not known, and why.
//! It never ends a run.

use std::time::Duration;

use common::ids::Name;
use proto::secrets::Secrets;
use regex::{Regex, RegexBuilder};

use super::hook::{CommandLine, HookError, Printed};

/// Bytes that are searched of each of a command's two outputs: the end of a server's log.
const SEARCHED: usize = 1 << 20;
/// Bytes that a compiled pattern may take.
const PATTERN_SIZE_MAX: usize = 1 << 20;
/// Characters of a value.
const VALUE_CHARS_MAX: usize = 300;
/// Characters of a reason: a command's words and what it printed.
const REASON_CHARS_MAX: usize = 500;

/// A fact, and how it is found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactCommand {
    /// Its name.
    pub name: Name,
    /// What prints it.
    pub command: CommandLine,
    /// Where it stands in what is printed.
    pub pattern: FactPattern,
}

/// A regular expression whose first group is a fact's value.
#[derive(Clone, Debug)]
pub struct FactPattern(Regex);

/// Why a text is no pattern of a fact.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum PatternError {
    /// It is no regular expression.
    #[error("is no regular expression: {0}")]
    Syntax(String),
    /// It has no group.
    #[error("has no group: put what is wanted into parentheses, such as 'took ([0-9.]+) GiB'")]
    NoGroup,
}

/// What was told of a fact, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Its value.
    Value(String),
    /// It is not known, and why.
    NotKnown(String),
}

impl FactPattern {
    /// The pattern in `text`.
    ///
    /// # Errors
    /// If it is no regular expression with a group.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let built = RegexBuilder::new(text).size_limit(PATTERN_SIZE_MAX).build();
        // The library draws a picture of several lines; its last one says what is wrong.
        let regex = built.map_err(|error| {
            let picture = error.to_string();
            let last = picture.lines().last().unwrap_or_default();
            PatternError::Syntax(last.trim_start_matches("error: ").to_owned())
        })?;
        if regex.captures_len() < 2 { Err(PatternError::NoGroup) } else { Ok(Self(regex)) }
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The first group of the last match: of a log that tells of several starts, the newest.
    fn find<'t>(&self, text: &'t str) -> Option<&'t str> {
        let found = self.0.captures_iter(text).last()?.get(1)?.as_str().trim();
        (!found.is_empty()).then_some(found)
    }
}

impl PartialEq for FactPattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for FactPattern {}

/// Asks for all facts, one after the other, each for at most `timeout`.
pub async fn ask(facts: &[FactCommand], timeout: Duration, secrets: &Secrets) -> Vec<(Name, Told)> {
    let mut told = Vec::new();
    for FactCommand { name, command, pattern } in facts {
        let printed = command.output(timeout, SEARCHED).await;
        told.push((name.clone(), Told::of(pattern, printed, secrets)));
    }
    told
}

impl Told {
    fn of(pattern: &FactPattern, printed: Result<Printed, HookError>, secrets: &Secrets) -> Self {
        match printed {
            Ok(Printed { out, err }) => match pattern.find(&out).or_else(|| pattern.find(&err)) {
                Some(value) => Self::Value(fit(value, secrets, VALUE_CHARS_MAX)),
                None if out.trim().is_empty() && err.trim().is_empty() => {
                    Self::NotKnown("the command printed nothing".to_owned())
                }
                None => {
                    let bytes = out.len() + err.len();
                    let pattern = fit(pattern.as_str(), secrets, VALUE_CHARS_MAX);
                    let why = format!("nothing in the {bytes} bytes printed matches {pattern:?}");
                    Self::NotKnown(why)
                }
            },
            Err(error) => Self::NotKnown(fit(&error.to_string(), secrets, REASON_CHARS_MAX)),
        }
    }
}

/// On one line, of bounded length, without any secret.
fn fit(text: &str, secrets: &Secrets, chars: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = secrets.without(&line).chars().take(chars).collect();
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "INFO Model loading took 83.1 GiB and 71 s\n\
                       INFO restarted\nINFO Model loading took 83.4 GiB and 70 s\n";

    fn pattern(text: &str) -> FactPattern {
        FactPattern::new(text).unwrap()
    }

    fn told(script: &str, text: &str, secret: &str) -> Told {
        let words = ["sh", "-c", script].map(str::to_owned).to_vec();
        let fact = FactCommand {
            name: "weight_memory_gib".parse().unwrap(),
            command: CommandLine::new(words).unwrap(),
            pattern: pattern(text),
        };
        let secrets = Secrets { api_key: Some(secret.into()), ..Secrets::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let told = runtime.block_on(ask(&[fact], Duration::from_secs(20), &secrets));
        told.into_iter().next().unwrap().1
    }

    #[test]
    fn the_newest_match_in_a_log_is_the_fact_and_no_match_is_a_reason() {
        assert_eq!(pattern("took ([0-9.]+) GiB").find(LOG), Some("83.4"));
        assert_eq!(pattern("(?m)^INFO (.*)d$").find(LOG), Some("restarte"));
        // A group that took no part, or an empty one, is no value.
        assert_eq!(pattern("(x)?INFO").find(LOG), None);
        assert_eq!(pattern("INFO( *)").find(LOG), None);
        assert_eq!(FactPattern::new("took [0-9]+"), Err(PatternError::NoGroup));
        assert_eq!(
            FactPattern::new("took ([0-9.+ GiB").unwrap_err().to_string(),
            "is no regular expression: unclosed character class"
        );
        assert!(FactPattern::new("((a{1000}){1000})").is_err());
    }

    #[test]
    fn a_command_that_fails_or_prints_something_else_leaves_a_fact_that_is_not_known() {
        let number = "took ([0-9.]+) GiB";
        let value = |text: &str| Told::Value(text.to_owned());
        let unknown = |text: &str| Told::NotKnown(text.to_owned());
        assert_eq!(told("echo took 112.0 GiB >&2", number, ""), value("112.0"));
        assert_eq!(told("true", number, ""), unknown("the command printed nothing"));
        let nothing = "nothing in the 6 bytes printed matches \"took ([0-9.]+) GiB\"";
        assert_eq!(told("echo hello", number, ""), unknown(nothing));
        let failed = "sh -c echo no route; exit 255: exit status: 255; it printed: no route";
        assert_eq!(told("echo no route; exit 255", number, ""), unknown(failed));
        // A log of more than is searched: its end counts.
        let long = "echo took 1 GiB; head -c 3000000 /dev/zero | tr '\\0' x; echo took 2 GiB";
        assert_eq!(told(long, number, ""), value("2"));
        // The key that a log holds is in no fact and in no reason.
        assert_eq!(told("echo key sk-123", "key (.*)", "sk-123"), value("[API key]"));
        let Told::NotKnown(why) = told("echo sk-123; exit 1", number, "sk-123") else { panic!() };
        assert!(!why.contains("it printed: sk-123"), "{why}");
    }
}
