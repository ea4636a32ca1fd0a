//! How a simulated server behaves: its pace, its capacity, and the faults it is to have.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::count::Counting;

/// The behaviour of a simulated server.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Median time from a slot to the first token.
    pub ttft: Duration,
    /// Median gap between two tokens of a request that has the server for itself.
    pub itl: Duration,
    /// Spread of both.
    pub jitter: Jitter,
    /// Requests served at once, the rest wait in line; 0 is no limit.
    pub slots: u32,
    /// A gap is longer by the factor `1 + active / slowdown`, `active` being all requests that
    /// hold a slot: the rate of one request falls as the load grows. 0 is no slowdown.
    pub slowdown: u32,
    /// The most tokens of a prompt and its answer; a request for more is refused. 0 is no limit.
    pub context: u64,
    /// Decides every delay and every fault, together with a request's sequence number.
    pub seed: u64,
    /// The name of the model that is served.
    pub model: String,
    /// Adapters that are served beside it, by name. With any, a request for another name is
    /// answered 404.
    pub adapters: Vec<String>,
    /// Images in one request, at most; more are refused.
    pub images_max: u32,
    /// Faults, and how often each happens.
    pub faults: Faults,
    /// How many tokens prompts have.
    pub counting: Counting,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            ttft: Duration::from_millis(200),
            itl: Duration::from_millis(20),
            jitter: Jitter::NONE,
            slots: 0,
            slowdown: 0,
            context: 0,
            seed: 0,
            model: "sim".to_owned(),
            adapters: Vec::new(),
            images_max: 64,
            faults: Faults::default(),
            counting: Counting::default(),
        }
    }
}

/// The sigma of a lognormal factor on every delay; its median is 1. From 0 (none) to 3.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Jitter(f64);

impl Jitter {
    /// Every delay is exactly its median.
    pub const NONE: Self = Self(0.0);

    /// The standard deviation of the delay's logarithm.
    pub fn sigma(self) -> f64 {
        self.0
    }
}

impl FromStr for Jitter {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, ProfileError> {
        text.parse()
            .ok()
            .filter(|sigma| (0.0..=3.0).contains(sigma))
            .map(Self)
            .ok_or_else(|| ProfileError::Jitter(text.to_owned()))
    }
}

/// Something that a simulated server does wrong on purpose. What breaks off does so after half of
/// the tokens that were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Answers 500 at once.
    Error,
    /// Answers 503 at once.
    Busy,
    /// Answers 429 at once.
    RateLimit,
    /// Falls silent half way; the connection stays open, and the slot taken, until the client
    /// leaves.
    Stall,
    /// Closes the connection half way, the body unfinished.
    Truncate,
    /// Status 200, then an error object half way instead of the rest.
    ErrorInStream,
    /// Status 200, a finish reason and usage, but no token.
    Empty,
    /// Writes the body byte by byte, one a second.
    Drip,
    /// Resets the connection half way.
    Reset,
    /// Never states its usage.
    NoUsage,
    /// Stops by itself after half of the tokens, at least one.
    Short,
}

impl Fault {
    /// All faults.
    pub const ALL: [Self; 11] = [
        Self::Error,
        Self::Busy,
        Self::RateLimit,
        Self::Stall,
        Self::Truncate,
        Self::ErrorInStream,
        Self::Empty,
        Self::Drip,
        Self::Reset,
        Self::NoUsage,
        Self::Short,
    ];

    /// The name on the command line and in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Busy => "busy",
            Self::RateLimit => "rate-limit",
            Self::Stall => "stall",
            Self::Truncate => "truncate",
            Self::ErrorInStream => "error-in-stream",
            Self::Empty => "empty",
            Self::Drip => "drip",
            Self::Reset => "reset",
            Self::NoUsage => "no-usage",
            Self::Short => "short",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Fault {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, ProfileError> {
        Self::ALL
            .into_iter()
            .find(|fault| fault.name() == text)
            .ok_or_else(|| ProfileError::Fault(text.to_owned()))
    }
}

/// A fault and the share of requests that have it, written `NAME=RATE`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FaultRate {
    /// The fault.
    pub fault: Fault,
    rate: f64,
}

impl FromStr for FaultRate {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, ProfileError> {
        let Some((name, rate)) = text.split_once('=') else {
            return Err(ProfileError::NoRate(text.to_owned()));
        };
        let fault = name.parse()?;
        rate.parse()
            .ok()
            .filter(|rate| (0.0..=1.0).contains(rate))
            .map(|rate| Self { fault, rate })
            .ok_or_else(|| ProfileError::Rate { fault, rate: rate.to_owned() })
    }
}

/// Faults with their rates. A request has at most one fault, so the rates add up to at most 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults(Vec<FaultRate>);

impl Faults {
    /// The faults of `rates`.
    pub fn new(rates: Vec<FaultRate>) -> Result<Self, ProfileError> {
        for (place, one) in rates.iter().enumerate() {
            if rates.iter().skip(place + 1).any(|r| r.fault == one.fault) {
                return Err(ProfileError::Twice(one.fault));
            }
        }
        let sum: f64 = rates.iter().map(|r| r.rate).sum();
        // Rates such as 0.7 + 0.2 + 0.1 may miss 1 by their rounding.
        if sum > 1.0 + 1e-9 {
            return Err(ProfileError::Sum(sum));
        }
        Ok(Self(rates))
    }

    /// Every request has `fault`.
    pub fn always(fault: Fault) -> Self {
        Self(vec![FaultRate { fault, rate: 1.0 }])
    }

    /// The fault of a request that drew `unit`, a number in [0, 1).
    pub fn pick(&self, unit: f64) -> Option<Fault> {
        let mut below = 0.0;
        self.0.iter().find_map(|one| {
            below += one.rate;
            (unit < below).then_some(one.fault)
        })
    }
}

/// Why a text does not describe a behaviour.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ProfileError {
    /// Not a jitter.
    #[error("{0:?} is not a jitter; use a number from 0 (none) to 3")]
    Jitter(String),
    /// No number of characters.
    #[error("{0:?} characters are no token; use a number from 0.1 to 100")]
    CharsPerToken(String),
    /// No such fault.
    #[error("{0:?} is not a fault; use {names}", names = names())]
    Fault(String),
    /// A fault without its rate.
    #[error("{0:?} has no rate; write NAME=RATE, such as error=0.01")]
    NoRate(String),
    /// A rate that is none.
    #[error("{rate:?} is not a rate of {fault}; use a number from 0 to 1")]
    Rate {
        /// The fault.
        fault: Fault,
        /// What stands for its rate.
        rate: String,
    },
    /// The same fault again.
    #[error("the fault {0} is given twice; give it once")]
    Twice(Fault),
    /// More faults than requests.
    #[error(
        "the rates of all faults add up to {0}; a request has one fault at most, so stay at or below 1"
    )]
    Sum(f64),
}

fn names() -> String {
    Fault::ALL.map(Fault::name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(texts: &[&str]) -> Result<Faults, String> {
        texts
            .iter()
            .map(|text| text.parse())
            .collect::<Result<Vec<FaultRate>, _>>()
            .and_then(Faults::new)
            .map_err(|e| e.to_string())
    }

    #[test]
    fn every_fault_is_known_by_its_name() {
        for fault in Fault::ALL {
            assert_eq!(fault.name().parse(), Ok(fault));
            assert_eq!(faults(&[&format!("{fault}=1")]), Ok(Faults::always(fault)));
        }
    }

    #[test]
    fn a_request_has_one_fault_at_its_rate() {
        let faults = faults(&["error=0.25", "stall=0.5"]).unwrap();
        assert_eq!(faults.pick(0.0), Some(Fault::Error));
        assert_eq!(faults.pick(0.2499), Some(Fault::Error));
        assert_eq!(faults.pick(0.25), Some(Fault::Stall));
        assert_eq!(faults.pick(0.7499), Some(Fault::Stall));
        assert_eq!(faults.pick(0.75), None);
        assert_eq!(Faults::default().pick(0.0), None);
    }

    #[test]
    fn what_is_no_behaviour_is_refused() {
        assert!(faults(&["error=0.7", "stall=0.2", "busy=0.1"]).is_ok());
        for texts in [
            &["error"][..],
            &["eror=0.1"],
            &["error=1.5"],
            &["error=-0.1"],
            &["error=NaN"],
            &["error="],
            &["error=0.1", "error=0.1"],
            &["error=0.6", "stall=0.6"],
        ] {
            assert!(faults(texts).is_err(), "{texts:?}");
        }
        for text in ["", "-0.1", "3.1", "NaN", "inf", "x"] {
            assert!(text.parse::<Jitter>().is_err(), "{text:?}");
        }
    }
}
