//! Service-level objectives: what a request must meet to be good.

use std::time::Duration;

use crate::digest::DigestWriter;
use crate::time::duration_ns;

/// The objectives of a campaign. A request is good if it succeeded and meets every one that is set;
/// without any, every success is good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Slo {
    /// Longest time from the intended instant to the first token.
    pub ttft: Option<Duration>,
    /// Longest time per output token after the first. A request of one token meets it.
    pub tpot: Option<Duration>,
    /// Longest time from the intended instant to the last token.
    pub e2e: Option<Duration>,
}

/// The latencies of one success, in nanoseconds; `None` where it has no such latency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Intended instant to first token.
    pub ttft_ns: Option<u64>,
    /// Per output token after the first.
    pub tpot_ns: Option<u64>,
    /// Intended instant to last token.
    pub e2e_ns: u64,
}

impl Slo {
    /// No objective is set.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Whether a success meets every objective. A first token that was never seen misses its
    /// objective; so a campaign with one needs a stream.
    pub fn is_met(self, served: Served) -> bool {
        let within = |objective: Option<Duration>, ns: u64| {
            objective.is_none_or(|objective| ns <= duration_ns(objective))
        };
        (self.ttft.is_none() || served.ttft_ns.is_some_and(|ns| within(self.ttft, ns)))
            && served.tpot_ns.is_none_or(|ns| within(self.tpot, ns))
            && within(self.e2e, served.e2e_ns)
    }

    pub(crate) fn feed(&self, digest: &mut DigestWriter) {
        for objective in [self.ttft, self.tpot, self.e2e] {
            // Zero is no objective that anything could meet, so it can stand for none.
            digest.number(objective.map_or(0, duration_ns));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_good_if_it_meets_all_and_what_it_has_not_counts_by_its_kind() {
        let ms = Duration::from_millis;
        let slo = Slo { ttft: Some(ms(200)), tpot: Some(ms(20)), e2e: Some(ms(900)) };
        let good =
            Served { ttft_ns: Some(200_000_000), tpot_ns: Some(20_000_000), e2e_ns: 900_000_000 };
        assert!(slo.is_met(good));
        assert!(slo.is_met(Served { tpot_ns: None, ..good }));
        for bad in [
            Served { ttft_ns: None, ..good },
            Served { ttft_ns: Some(200_000_001), ..good },
            Served { tpot_ns: Some(20_000_001), ..good },
            Served { e2e_ns: 900_000_001, ..good },
        ] {
            assert!(!slo.is_met(bad), "{bad:?}");
            assert!(Slo::default().is_met(bad));
        }
    }
}
