//! The exit codes, in one table. They are relied on from outside: added to, never changed.

/// Why the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// A bug, or a failure of the generator.
    Internal,
    /// Bad usage or a bad campaign.
    Usage,
    /// The target is not ready.
    Target,
    /// An agent is unreachable, refuses, was lost, or is not good enough.
    Fleet,
    /// The result store failed.
    Store,
    /// A gate failed: what was judged is worse than was asked for.
    Gate,
    /// Interrupted; what was measured is kept.
    Interrupted,
}

impl Exit {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Done,
        Self::Internal,
        Self::Usage,
        Self::Target,
        Self::Fleet,
        Self::Store,
        Self::Gate,
        Self::Interrupted,
    ];

    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Target => 3,
            Self::Fleet => 4,
            Self::Store => 5,
            Self::Gate => 99,
            Self::Interrupted => 130,
        }
    }

    /// What it means, for help texts.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Internal => "internal error",
            Self::Usage => "bad usage or campaign",
            Self::Target => "target not ready",
            Self::Fleet => {
                "an agent is unreachable, refused, or was lost; or a client proof did not pass"
            }
            Self::Store => "the result store failed",
            Self::Gate => "a gate failed: compare found NEW worse",
            Self::Interrupted => "interrupted; the partial result is kept",
        }
    }
}
