//! What the prompts of a campaign are made of, settled before its first level: words of a tokenizer,
//! or the passage at a rate that the target's own usage tells.
//!
//! | Module | What it does |
//! |---|---|
//! | `pieces` | finds the words of a tokenizer that are one token each |
//! | `rate` | how many characters are a token, from what a server counted |
//! | `ask` | asks the server |
//!
//! Agents get what was settled with the work, and need neither tokenizer nor answer. Nothing here
//! can stop a run that has begun: what cannot be measured stays as it was, and is told.

mod ask;
mod pieces;
mod rate;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use common::ids::Name;
use common::target::Endpoint;
use common::text::{PromptText, Words};
use common::workload::Workload;
use tokenizers::Tokenizer;

use crate::campaign::Campaign;

pub use ask::measure;

/// The largest file of a tokenizer that is read.
const TOKENIZER_BYTES_MAX: u64 = 64 << 20;

/// Why no prompts can be made of the words of a tokenizer.
#[derive(Debug, thiserror::Error)]
#[error("workloads.{workload}.tokenizer: {}: {why}", path.display())]
pub struct TokenizerError {
    workload: Name,
    path: PathBuf,
    why: Unusable,
}

/// What is wrong with a file of a tokenizer.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    #[error(
        "larger than {} MiB, which no tokenizer is",
        TOKENIZER_BYTES_MAX >> 20
    )]
    TooLarge,
    #[error("not a tokenizer.json of Hugging Face: {0}")]
    Format(String),
    #[error(
        "{found} of its words are one token each wherever they stand, and {} are needed to tell \
         prompts apart; leave tokenizer out, so that the target itself is asked for the lengths of \
         prompts (lengths = \"measured\")",
        Words::POOL_MIN
    )]
    TooFew { found: usize },
}

/// The words of the tokenizers that the campaign names, put into its levels.
///
/// # Errors
/// If one of them cannot be used.
pub fn load(campaign: &mut Campaign) -> Result<(), TokenizerError> {
    let mut read: BTreeMap<PathBuf, (Words, u32)> = BTreeMap::new();
    let mut texts = BTreeMap::new();
    for (workload, plan) in &campaign.prompts {
        let Some(path) = &plan.tokenizer else { continue };
        if !read.contains_key(path) {
            let (workload, path) = (workload.clone(), path.clone());
            let found =
                words(&path).map_err(|why| TokenizerError { workload, path: path.clone(), why })?;
            read.insert(path, found);
        }
        let Some((words, added)) = read.get(path) else { continue };
        // What a chat's template adds only the server knows; where there is none the tokenizer does.
        let words = match campaign.target.endpoint {
            Endpoint::Completions | Endpoint::Embeddings => words.with_overhead(*added),
            Endpoint::Chat | Endpoint::Responses | Endpoint::Messages => words.clone(),
        };
        texts.insert(workload.clone(), PromptText::Words(words));
    }
    put(campaign, &texts);
    Ok(())
}

fn words(path: &Path) -> Result<(Words, u32), Unusable> {
    let mut bytes = Vec::new();
    File::open(path)?.take(TOKENIZER_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > TOKENIZER_BYTES_MAX {
        return Err(Unusable::TooLarge);
    }
    let tokenizer = tokenizer(&bytes).map_err(Unusable::Format)?;
    let words = pieces::calibrate(&tokenizer)
        .map_err(|pieces::TooFew { found }| Unusable::TooFew { found })?;
    Ok((words, pieces::added(&tokenizer)))
}

/// As it encodes a prompt of any length: what a file says of cutting and padding is for batches.
fn tokenizer(bytes: &[u8]) -> Result<Tokenizer, String> {
    let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|error| error.to_string())?;
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(|error| error.to_string())?;
    Ok(tokenizer)
}

/// Texts put into the levels that have these workloads.
pub fn put(campaign: &mut Campaign, texts: &BTreeMap<Name, PromptText>) {
    let levels = campaign.phases.iter_mut().flat_map(|phase| &mut phase.levels);
    let searched = campaign.search.iter_mut().map(|search| &mut search.level);
    for level in levels.chain(searched) {
        let of_mix = level.workload.mix.iter_mut().map(|one| &mut one.item);
        of_mix.for_each(|workload| put_into(workload, texts));
        put_into(&mut level.workload, texts);
    }
}

fn put_into(workload: &mut Workload, texts: &BTreeMap<Name, PromptText>) {
    if let Some(text) = texts.get(&workload.name) {
        workload.text = text.clone();
    }
}
