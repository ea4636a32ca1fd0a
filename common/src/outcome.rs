//! How one request ended, and when what happened.

use std::fmt;

use crate::ids::UserId;
use crate::slice::InSlices;
use crate::time::Tick;

macro_rules! closed_set {
    ($(#[$doc:meta])* $set:ident { $($(#[$vdoc:meta])* $variant:ident = $name:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $set { $($(#[$vdoc])* $variant),+ }

        impl $set {
            /// Every member, in the order of its code.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// The name in `summary.json`, in reports and in the store.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// Place in [`Self::ALL`].
            pub fn index(self) -> usize {
                self as usize
            }
        }

        impl fmt::Display for $set {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

closed_set! {
    /// Why a request failed. The set is closed: every request that is not a success and was not
    /// cut by floodmark itself is exactly one of these.
    Failure {
        /// The target's name did not resolve.
        Dns = "dns",
        /// The target refused the connection.
        ConnectRefused = "connect_refused",
        /// No route, network down, or another failure to connect.
        ConnectUnreachable = "connect_unreachable",
        /// No connection within the connect timeout.
        ConnectTimeout = "connect_timeout",
        /// The TLS handshake failed.
        Tls = "tls",
        /// This host ran out of file descriptors: the generator's failure, not the target's.
        ClientFd = "client_fd",
        /// This host ran out of local ports: the generator's failure, not the target's.
        ClientPort = "client_port",
        /// A kept connection was closed by the target just as the request was sent.
        StaleConnection = "stale_connection",
        /// The connection was reset, or broke while the request was being sent.
        Reset = "reset",
        /// The response was not HTTP/1.1.
        HttpMalformed = "http_malformed",
        /// Status 1xx or 3xx; redirects are never followed.
        Http3xx = "http_3xx",
        /// Status 429.
        Http429 = "http_429",
        /// Another status of 400 to 499.
        Http4xx = "http_4xx",
        /// Status 503.
        Http503 = "http_503",
        /// Another status of 500 and above.
        Http5xx = "http_5xx",
        /// Status 200, then an error object instead of an answer.
        ErrorInStream = "error_in_stream",
        /// An event or a body that is not what the API promises.
        BadEvent = "bad_event",
        /// The connection closed before the answer was finished, or the stream ended without a
        /// finish reason.
        Truncated = "truncated",
        /// Status 200 and no token.
        EmptyOutput = "empty_output",
        /// The length was forced, and the server delivered another.
        WrongLength = "wrong_length",
        /// A line, an event, the head or the whole response was over its limit.
        TooLarge = "too_large",
        /// No body byte within the first-byte timeout.
        TimeoutFirstByte = "timeout_first_byte",
        /// Nothing read for the idle timeout.
        TimeoutIdle = "timeout_idle",
        /// Not finished within the total timeout.
        TimeoutTotal = "timeout_total",
        /// The user's task panicked: a bug in the generator. The level is void.
        ClientPanic = "client_panic",
    }
}

closed_set! {
    /// Why a request was cut by floodmark itself. Such a request says nothing about the target.
    Censor {
        /// The level ended as planned while the request was in flight.
        CancelledPlan = "cancelled_plan",
        /// An operator, an abort or an expired lease stopped the level.
        CancelledAbort = "cancelled_abort",
        /// The agent was lost; how the request ended is unknown.
        AgentLost = "agent_lost",
    }
}

/// How one request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// Status 200, a well-formed answer with a finish reason, at least one token, no error object,
    /// and the length asked for where it was forced.
    Succeeded,
    /// Anything else that the target, the network or the generator did.
    Failed(Failure),
    /// Cut by floodmark.
    Censored(Censor),
}

impl Ending {
    /// The name in `summary.json`, in reports and in the store.
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed(failure) => failure.name(),
            Self::Censored(censor) => censor.name(),
        }
    }
}

impl From<Failure> for Ending {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// The instants of one request, all on the agent's monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// When the request was intended.
    pub intended: Tick,
    /// When its first byte was handed to the socket; `None` if that never happened.
    pub sent: Option<Tick>,
    /// When the response's head had been read.
    pub head: Option<Tick>,
    /// First event with content, reasoning, a refusal or a tool call.
    pub first_token: Option<Tick>,
    /// First such event that is not reasoning.
    pub first_answer: Option<Tick>,
    /// Last such event.
    pub last_token: Option<Tick>,
    /// The end: a clean end of the response, or the instant of the failure.
    pub done: Tick,
}

/// Token counts as the server reported them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Usage {
    /// Prompt tokens, cached ones included.
    pub prompt: u64,
    /// Completion tokens, reasoning included.
    pub completion: u64,
    /// Completion tokens that were reasoning.
    pub reasoning: u64,
    /// Prompt tokens served from a cache.
    pub cached_prompt: u64,
}

/// One request, ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The user that made it.
    pub user: UserId,
    /// Its number within the user, from 0.
    pub request: u64,
    /// Where its results belong, beside the level's.
    pub slices: InSlices,
    /// How it ended.
    pub ending: Ending,
    /// HTTP status, once known.
    pub status: Option<u16>,
    /// What the paper's client calls a success: status 200 and no exception; the content is not
    /// looked at.
    pub paper_success: bool,
    /// When what happened.
    pub marks: Marks,
    /// The server's own token counts, where it gave them.
    pub usage: Option<Usage>,
    /// Token-bearing events seen.
    pub events: u64,
    /// Gaps between token-bearing events, in whole microseconds; 0 for events of one read.
    pub gaps_us: Vec<u32>,
    /// The server's own words about a failure, fit to print.
    pub detail: Option<String>,
    /// Images that it had; `None` for text alone.
    pub images: Option<ImagesSent>,
}

/// Images of one request, and what is needed to tell them from its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImagesSent {
    /// How many.
    pub images: u64,
    /// Their pixels.
    pub pixels: u64,
    /// Their bytes, as files.
    pub bytes: u64,
    /// Tokens of text that were asked for.
    pub text_tokens: u64,
    /// From the first byte handed to the socket to the last; `None` if it never came to that.
    pub upload_ns: Option<u64>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn endings_have_distinct_names() {
        let mut names = BTreeSet::from([Ending::Succeeded.name()]);
        for failure in Failure::ALL {
            assert!(names.insert(failure.name()));
            assert_eq!(Failure::ALL[failure.index()], failure);
        }
        for censor in Censor::ALL {
            assert!(names.insert(censor.name()));
            assert_eq!(Censor::ALL[censor.index()], censor);
        }
    }
}
