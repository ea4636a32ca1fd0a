//! How many tokens a simulated server takes a prompt for.

use std::str::FromStr;

use common::text::CHARS_PER_TOKEN;

use super::profile::ProfileError;

/// Thousandths of a character.
const MILLI: u32 = 1_000;

/// So many for its characters, and so many beside, as the template of a chat has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counting {
    /// Characters of a token.
    pub rate: CharsPerToken,
    /// Tokens of every prompt beside its text.
    pub overhead: u32,
}

/// Characters of a token, from 0.1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CharsPerToken {
    milli: u32,
}

impl Default for Counting {
    fn default() -> Self {
        Self { rate: CharsPerToken { milli: CHARS_PER_TOKEN * MILLI }, overhead: 0 }
    }
}

impl Counting {
    /// The tokens of a prompt of so many characters.
    pub(super) fn tokens(self, characters: u64) -> u64 {
        let milli = characters.saturating_mul(MILLI.into());
        milli.div_ceil(self.rate.milli.into()).saturating_add(self.overhead.into())
    }
}

impl FromStr for CharsPerToken {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, ProfileError> {
        let characters = text.parse().ok().filter(|number| (0.1..=100.0).contains(number));
        let milli = characters.map(|number: f64| (number * f64::from(MILLI)).round() as u32);
        milli
            .map(|milli| Self { milli })
            .ok_or_else(|| ProfileError::CharsPerToken(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_has_tokens_for_its_characters_and_those_beside() {
        let counted = |rate: &str, overhead, characters| {
            Counting { rate: rate.parse().unwrap(), overhead }.tokens(characters)
        };
        assert_eq!(Counting::default().tokens(401), 101);
        assert_eq!(counted("4", 0, 400), 100);
        assert_eq!(counted("4.61", 17, 461), 117);
        assert_eq!(counted("0.1", 3, 0), 3);
        for text in ["", "0", "-1", "101", "NaN", "x"] {
            assert!(text.parse::<CharsPerToken>().is_err(), "{text}");
        }
    }
}
