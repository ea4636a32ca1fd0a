//! What each request of a level asks for.

use crate::digest::DigestWriter;
use crate::ids::Name;

/// The shape of a level's requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Workload {
    /// Its name in the campaign.
    pub name: Name,
    /// Prompt length asked for, in tokens at [`CHARS_PER_TOKEN`] characters each; at least 1.
    pub input_tokens: u32,
    /// Output length asked for, in tokens; at least 1 where answers have tokens, else 0.
    pub output_tokens: u32,
    /// Answers have exactly `output_tokens`: the server is asked for that many and no fewer, or the
    /// endpoint generates none.
    pub forced_length: bool,
    /// What a server's prefix cache may see.
    pub cache: CacheMode,
}

/// Characters of prompt per token asked for: the heuristic of the paper, section 5.1.
pub const CHARS_PER_TOKEN: u32 = 4;

/// Longest prompt and longest answer that can be asked for, in tokens.
pub const TOKENS_MAX: u32 = 10_000_000;

/// What a server's prefix cache may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheMode {
    /// Every prompt begins with a nonce of its own: no prefix is shared.
    Cold,
    /// Every prompt of a workload is the same text, as in the paper.
    Replay,
}

impl CacheMode {
    /// All modes.
    pub const ALL: [Self; 2] = [Self::Cold, Self::Replay];

    /// The name in campaign files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Replay => "replay",
        }
    }
}

impl Workload {
    pub(crate) fn feed(&self, digest: &mut DigestWriter) {
        digest
            .text(self.name.as_str())
            .number(self.input_tokens.into())
            .number(self.output_tokens.into())
            .number(self.forced_length.into())
            .text(self.cache.name());
    }
}
