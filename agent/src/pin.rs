//! Binding workers to processors: what the configuration asks for, and which worker gets which.

use std::str::FromStr;

use common::processors::{Processors, ProcessorsError};

use crate::load::seat;

/// Which processors workers are bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// Each to one of those that the agent may run on, in their order.
    Auto,
    /// Each to one of these, in this order.
    These(Processors),
}

impl FromStr for Pin {
    type Err = ProcessorsError;

    fn from_str(text: &str) -> Result<Self, ProcessorsError> {
        if text == "auto" { Ok(Self::Auto) } else { text.parse().map(Self::These) }
    }
}

impl Pin {
    /// Deals out processors of this host.
    ///
    /// # Errors
    /// If there are fewer than workers, or one that the agent may not run on.
    pub fn deal(&self, workers: u32) -> Result<Processors, String> {
        let allowed = seat::allowed().ok_or("pin: this system binds no threads; leave it out")?;
        self.of(workers, &allowed)
    }

    fn of(&self, workers: u32, allowed: &[u32]) -> Result<Processors, String> {
        let list = match self {
            Self::Auto => allowed,
            Self::These(processors) => processors.list(),
        };
        if let Some(other) = list.iter().find(|processor| !allowed.contains(processor)) {
            let allowed =
                Processors::new(allowed.to_vec()).map_or_else(String::new, |p| p.to_string());
            return Err(format!(
                "pin: the agent may not run on processor {other}, only on {allowed}; name others, \
                 or allow it (AllowedCPUs= in the unit)"
            ));
        }
        let dealt = list.get(..workers as usize).map(<[u32]>::to_vec).and_then(Processors::new);
        dealt.ok_or_else(|| {
            format!(
                "pin: {workers} workers need a processor each, and there are {}; name more, or have \
                 fewer `workers`",
                list.len()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_worker_gets_a_processor_of_its_own_that_the_agent_may_run_on() {
        let dealt = |pin: &str, workers| pin.parse::<Pin>().unwrap().of(workers, &[0, 2, 3, 6]);
        assert_eq!(dealt("auto", 3).unwrap().list(), [0, 2, 3]);
        assert_eq!(dealt("6,2-3", 2).unwrap().to_string(), "6,2");
        let error = dealt("2-4", 2).unwrap_err();
        assert!(error.contains("processor 4, only on 0,2-3,6"), "{error}");
        let error = dealt("2-3", 3).unwrap_err();
        assert!(error.contains("3 workers") && error.contains("there are 2"), "{error}");
        assert!(dealt("auto", 5).unwrap_err().contains("there are 4"));
        assert!("all".parse::<Pin>().is_err());
    }
}
