//! What each request of a level asks for.

use std::fmt;
use std::time::Duration;

use crate::digest::DigestWriter;
use crate::ids::Name;
use crate::images::Images;
use crate::length::Length;
use crate::mix::Weighted;
use crate::records::DataSet;
use crate::text::PromptText;

/// The shape of a level's requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Workload {
    /// Its name in the campaign.
    pub name: Name,
    /// Prompt length asked for, in tokens.
    pub input_tokens: Length,
    /// Output length asked for, in tokens; [`Length::NONE`] where answers have none.
    pub output_tokens: Length,
    /// Answers have exactly `output_tokens`: the server is asked for that many and no fewer, or the
    /// endpoint generates none.
    pub forced_length: bool,
    /// What a server's prefix cache may see.
    pub cache: CacheMode,
    /// The models that requests name, one drawn for each; empty where all name the target's.
    pub models: Vec<Weighted<String>>,
    /// The workloads of which each request is one, if it is a mix of them; see [`Workload::mixed`].
    pub mix: Vec<Weighted<Workload>>,
    /// Images beside the prompt; `None` for text alone.
    pub images: Option<Images>,
    /// What prompts are made of, and what of it is a token.
    pub text: PromptText,
    /// What prompts are taken from in place of passages; they are sent as they are recorded, and
    /// the lengths above are those that it has.
    pub data: Option<DataSet>,
    /// How long a user waits after an answer before its next request is intended, in milliseconds,
    /// at most [`THINK_MS_MAX`]; `None`: not at all. Closed loop only.
    pub think_ms: Option<Length>,
    /// Requests come when those of the trace in `data` came, so many thousandths as fast; open loop
    /// only.
    pub replay_milli: Option<u32>,
}

/// Longest prompt and longest answer that can be asked for, in tokens.
pub const TOKENS_MAX: u32 = 10_000_000;

/// Longest that a user waits after an answer, in milliseconds: an hour.
pub const THINK_MS_MAX: u32 = 3_600_000;

/// Fastest that a trace is replayed, in thousandths of its own speed.
pub const REPLAY_MILLI_MAX: u32 = 1_000_000;

/// Most groups of prompts that each share a prefix.
pub const GROUPS_MAX: u32 = 1_000_000;

/// Tokens that a prompt has at least beside a shared prefix: room for what makes it its own.
pub const OWN_TOKENS_MIN: u32 = 10;

/// What a server's prefix cache may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheMode {
    /// Every prompt begins with a nonce of its own: no prefix is shared.
    Cold,
    /// Prompts begin with a prefix that they share with others, such as a system prompt, and are
    /// their own after it.
    SharedPrefix(SharedPrefix),
    /// Every prompt of a workload is the same text, as in the paper; where lengths differ, the
    /// shorter one begins the longer one.
    Replay,
}

/// A prefix that prompts share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SharedPrefix {
    /// Its length, in tokens; at least 1, and [`OWN_TOKENS_MIN`] less than the shortest prompt.
    pub tokens: u32,
    /// How many different ones there are; each prompt draws one. 1 to [`GROUPS_MAX`].
    pub groups: u32,
    /// How many of a thousand prompts have one; 1 to 1,000. The others are cold.
    pub share_permille: u32,
}

impl SharedPrefix {
    /// Whether it is one for prompts of these lengths.
    pub fn fits(self, input_tokens: &Length) -> bool {
        let Self { tokens, groups, share_permille } = self;
        let within = (1..=GROUPS_MAX).contains(&groups) && (1..=1000).contains(&share_permille);
        let room =
            tokens.checked_add(OWN_TOKENS_MIN).is_some_and(|all| all <= input_tokens.least());
        tokens > 0 && room && within
    }
}

impl CacheMode {
    /// The name in campaign files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::SharedPrefix(_) => "shared-prefix",
            Self::Replay => "replay",
        }
    }
}

impl fmt::Display for CacheMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::SharedPrefix(SharedPrefix { tokens, groups, share_permille }) => {
                let share = f64::from(*share_permille) / 10.0;
                write!(f, " ({tokens} tokens, {groups} of them, in {share} % of prompts)")
            }
            Self::Cold | Self::Replay => Ok(()),
        }
    }
}

impl Workload {
    /// Prompts and answers of these lengths, not forced, and each prompt its own.
    pub fn new(name: Name, input_tokens: Length, output_tokens: Length) -> Self {
        Self {
            name,
            input_tokens,
            output_tokens,
            forced_length: false,
            cache: CacheMode::Cold,
            models: Vec::new(),
            mix: Vec::new(),
            images: None,
            text: PromptText::Characters,
            data: None,
            think_ms: None,
            replay_milli: None,
        }
    }

    /// The share of prompt tokens that a cache can hold at most, 0 to 1, as far as the workload
    /// says, which is no mix; `None` where prompts are repeated whole.
    pub fn cached_share(&self) -> Option<f64> {
        match self.cache {
            CacheMode::Cold => Some(0.0),
            CacheMode::SharedPrefix(SharedPrefix { tokens, share_permille, .. }) => {
                let of_all = f64::from(tokens) * f64::from(share_permille) / 1e3;
                Some(of_all / self.input_tokens.mean())
            }
            CacheMode::Replay => None,
        }
    }

    /// What may be added to [`Workload::cached_share`] by chance, of so many prompts: three standard
    /// errors, since which prompts share and how long they are is drawn.
    pub fn cached_share_by_chance(&self, prompts: f64) -> f64 {
        match self.cache {
            CacheMode::SharedPrefix(SharedPrefix { tokens, share_permille, .. }) => {
                let share = f64::from(share_permille) / 1e3;
                let part = f64::from(tokens) / self.input_tokens.mean();
                let length_cov = self.input_tokens.sd() / self.input_tokens.mean();
                let variance = share * (1.0 - share) + (share * length_cov).powi(2);
                3.0 * part * (variance / prompts.max(1.0)).sqrt()
            }
            CacheMode::Cold | CacheMode::Replay => 0.0,
        }
    }

    /// The trace that prompts are made by, if that is what the data set is.
    pub fn trace(&self) -> Option<&DataSet> {
        self.data.as_ref().filter(|data| data.format.is_trace())
    }

    /// Whether requests ask for the same, however fast a trace is replayed.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        let plain = |workload: &Self| Self { replay_milli: None, ..workload.clone() };
        self == other || plain(self) == plain(other)
    }

    /// The longest that a user waits after an answer; `None` if users do not wait.
    pub fn think_most(&self) -> Option<Duration> {
        self.think_ms.as_ref().map(|ms| Duration::from_millis(ms.most().into()))
    }

    pub(crate) fn feed(&self, digest: &mut DigestWriter) {
        digest.text(self.name.as_str());
        self.input_tokens.feed(digest);
        self.output_tokens.feed(digest);
        digest.number(self.forced_length.into()).text(self.cache.name());
        match self.cache {
            CacheMode::SharedPrefix(SharedPrefix { tokens, groups, share_permille }) => {
                digest.number(tokens.into()).number(groups.into()).number(share_permille.into());
            }
            CacheMode::Cold | CacheMode::Replay => {}
        }
        self.feed_choices(digest);
        if let Some(images) = &self.images {
            images.feed(digest);
        }
        self.text.feed(digest);
        if let Some(data) = &self.data {
            data.feed(digest);
        }
        if let Some(think_ms) = &self.think_ms {
            think_ms.feed(digest.text("think"));
        }
        if let Some(replay_milli) = self.replay_milli {
            digest.text("replay").number(replay_milli.into());
        }
    }
}
