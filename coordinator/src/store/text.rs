//! What prompts are made of, as it is stored.

use common::text::{PromptText, Rate, Words};
use serde::{Deserialize, Serialize};

/// What prompts are made of, where that is more than the passage at four characters a token.
#[derive(PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum StoredText {
    /// The passage, at a rate that was measured.
    Measured {
        /// Characters for a million tokens.
        chars_per_million: u32,
        /// Characters less, whatever the length.
        less_chars: i32,
    },
    /// Words of one token each, separated by spaces.
    Words {
        /// What every prompt begins with.
        opening: String,
        /// What tells prompts apart.
        pool: String,
        /// What fills them.
        text: String,
        /// Tokens of every prompt beside them.
        overhead: u32,
    },
}

impl StoredText {
    /// Nothing for the passage as the paper has it.
    pub(super) fn of(text: &PromptText) -> Option<Self> {
        match text {
            PromptText::Characters => None,
            PromptText::Measured(rate) => Some(Self::Measured {
                chars_per_million: rate.chars_per_million(),
                less_chars: rate.less_chars(),
            }),
            PromptText::Words(words) => Some(Self::Words {
                opening: words.opening().to_owned(),
                pool: words.pool().to_owned(),
                text: words.text().to_owned(),
                overhead: words.overhead(),
            }),
        }
    }

    /// As it was; `None` if it is of no prompt.
    pub(super) fn read(self) -> Option<PromptText> {
        match self {
            Self::Measured { chars_per_million, less_chars } => {
                Rate::new(chars_per_million, less_chars).map(PromptText::Measured)
            }
            Self::Words { opening, pool, text, overhead } => {
                Words::new(&opening, &pool, &text, overhead).ok().map(PromptText::Words)
            }
        }
    }
}
