//! Names and numbers that identify things, each a type of its own.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// One execution of a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(pub Uuid);

/// One start of an agent process: a restarted agent is another boot and has forgotten everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BootId(pub Uuid);

/// Counts the acquisitions of one boot of an agent; with the boot id it is the fencing token that
/// every order carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// A level of a run: its place in the plan and how often it has been tried before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LevelId {
    /// Position in the plan, from 0; repeats of a level have positions of their own.
    pub ordinal: u32,
    /// 0 for the first try, one more after each quarantine.
    pub attempt: u32,
}

/// A virtual user, numbered from 0 over the whole fleet, never per agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(pub u32);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for LevelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.ordinal)?;
        if self.attempt > 0 {
            write!(f, " (attempt {})", u64::from(self.attempt) + 1)?;
        }
        Ok(())
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A name that people give to an agent, a coordinator or a workload.
///
/// 1 to 64 characters out of `A-Z a-z 0-9 . _ -`, the first a letter or a digit, so that it can
/// stand in a log, a certificate, a file name and a terminal without escaping.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

/// Why a text is not a [`Name`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to 64 characters of A-Z a-z 0-9 . _ - and starts with a letter or a digit")]
pub struct NameError;

impl Name {
    /// The longest name, in bytes.
    pub const LEN_MAX: usize = 64;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let starts_well = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if starts_well && text.len() <= Self::LEN_MAX && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError)
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_everywhere() {
        for good in ["a", "gpu-1.rack_2", "7", &"x".repeat(64)] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in ["", ".hidden", "-rf", "a b", "a/b", "é", "a\n", "\u{1b}[31m", &"x".repeat(65)]
        {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
    }
}
