//! What prompts are made of on the wire, both ways. Every word is checked: a prompt is written into
//! requests as it stands.

use common::text::{PromptText, Rate, Words};

use super::from::required;
use crate::generated as pb;
use crate::wire::WireError;

/// Nothing for what was the only kind once.
pub(super) fn message(text: &PromptText) -> Option<pb::PromptText> {
    use pb::prompt_text::Kind;
    let kind = match text {
        PromptText::Characters => return None,
        PromptText::Measured(rate) => Kind::Measured(pb::prompt_text::Rate {
            chars_per_million: rate.chars_per_million(),
            less_chars: rate.less_chars(),
        }),
        PromptText::Words(words) => Kind::Words(pb::prompt_text::Words {
            opening: words.opening().to_owned(),
            pool: words.pool().to_owned(),
            text: words.text().to_owned(),
            overhead: words.overhead(),
        }),
    };
    Some(pb::PromptText { kind: Some(kind) })
}

pub(super) fn read(message: Option<pb::PromptText>) -> Result<PromptText, WireError> {
    use pb::prompt_text::Kind;
    let Some(message) = message else { return Ok(PromptText::Characters) };
    match required("workload.text", message.kind)? {
        Kind::Measured(pb::prompt_text::Rate { chars_per_million, less_chars }) => {
            let rate = Rate::new(chars_per_million, less_chars);
            let wrong = || WireError::new("workload.text.measured", "out of range");
            rate.map(PromptText::Measured).ok_or_else(wrong)
        }
        Kind::Words(pb::prompt_text::Words { opening, pool, text, overhead }) => {
            let words = Words::new(&opening, &pool, &text, overhead);
            let wrong = |error| WireError::new("workload.text.words", format!("{error}"));
            words.map(PromptText::Words).map_err(wrong)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Words {
        let letter = |at: u32| char::from_u32(u32::from(b'a') + at % 26).unwrap();
        let word = |at: u32| format!("{}{}", letter(at / 26), letter(at));
        let pool: Vec<String> = (0..300).map(word).collect();
        Words::new("A", &pool.join(" "), "network learns", 17).unwrap()
    }

    #[test]
    fn every_text_survives_the_way() {
        let rate = Rate::new(4_610_000, -60).unwrap();
        for text in [PromptText::Characters, PromptText::Measured(rate), PromptText::Words(words())]
        {
            assert_eq!(read(message(&text)), Ok(text));
        }
    }

    #[test]
    fn a_text_that_no_prompt_can_be_made_of_is_refused() {
        use pb::prompt_text::Kind;
        let refused = |kind| read(Some(pb::PromptText { kind })).unwrap_err().field;
        assert_eq!(refused(None), "workload.text");
        let rate = pb::prompt_text::Rate { chars_per_million: u32::MAX, less_chars: 0 };
        assert_eq!(refused(Some(Kind::Measured(rate))), "workload.text.measured");
        let Some(pb::PromptText { kind: Some(Kind::Words(sound)) }) =
            message(&PromptText::Words(words()))
        else {
            panic!("words")
        };
        for (opening, pool) in [("A\"", sound.pool.as_str()), ("A", "too few"), ("A", "")] {
            let words = pb::prompt_text::Words {
                opening: opening.to_owned(),
                pool: pool.to_owned(),
                ..sound.clone()
            };
            assert_eq!(refused(Some(Kind::Words(words))), "workload.text.words");
        }
    }
}
