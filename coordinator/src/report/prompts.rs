//! What the prompts of a level were made of, so that they were as long as asked for.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use common::text::{PromptText, Rate};
use common::workload::Workload;
use serde::Serialize;

use super::model::{LevelReport, Real};
use super::plain::wrap;
use super::text::WIDTH;

/// What prompts of one workload were made of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prompts {
    /// The name of the workload.
    pub workload: String,
    /// Tokens asked for, the mean where lengths are drawn.
    pub tokens_asked: Option<Real>,
    /// What was taken for a token: `characters`, what was `measured` of the target's usage, or what
    /// a `tokenizer` says.
    pub lengths: &'static str,
    /// Characters for each token; `None` of words.
    pub characters_per_token: Option<Real>,
    /// Tokens taken off for what the target counts beside the text.
    pub tokens_beside: Option<Real>,
}

impl Prompts {
    /// Those of a workload, or of those of a mix.
    pub(super) fn all(workload: &Workload) -> Vec<Self> {
        workload.components().into_iter().map(|(component, _)| Self::of(component)).collect()
    }

    fn of(workload: &Workload) -> Self {
        let (characters, beside) = match &workload.text {
            PromptText::Characters => (Some(Rate::PAPER.chars_per_token()), 0.0),
            PromptText::Measured(rate) => (Some(rate.chars_per_token()), rate.tokens(0.0)),
            PromptText::Words(words) => (None, f64::from(words.overhead())),
        };
        Self {
            workload: workload.name.to_string(),
            tokens_asked: Real::new(workload.input_tokens.mean()),
            lengths: workload.text.name(),
            characters_per_token: characters.and_then(Real::new),
            tokens_beside: Real::new(beside),
        }
    }
}

/// How prompts got their lengths, by workload; nothing where four characters were a token.
pub(super) fn prompts_text(levels: &[LevelReport]) -> String {
    let prompts = levels.iter().flat_map(|level| &level.prompts);
    let prompts: BTreeMap<&str, &Prompts> =
        prompts.map(|prompts| (prompts.workload.as_str(), prompts)).collect();
    let mut out = String::new();
    for (workload, prompts) in prompts {
        let value = |number: Option<Real>| number.map_or(0.0, Real::value);
        let asked = value(prompts.tokens_asked);
        let mut text = match (prompts.lengths, prompts.characters_per_token) {
            ("characters", _) => continue,
            (_, Some(characters)) => format!(
                "{workload}: asked for {asked} tokens, measured as {:.2} characters each",
                characters.value()
            ),
            (_, None) => format!(
                "{workload}: asked for {asked} tokens, words of the tokenizer that are one each"
            ),
        };
        let beside = value(prompts.tokens_beside);
        if beside.abs() >= 0.5 {
            let _written = write!(text, ", less {beside:.0} beside the text");
        }
        out.push_str(&wrap("prompts   ", &text, WIDTH));
    }
    out
}
