//! When a level's host is read: where its measured time begins, once a second, and where it ends.

use common::health::Health;
use common::time::Tick;

use super::{HealthMeter, Host};
use crate::load::worker::WorkerOrder;

/// How often.
const EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// Watches the host of a running level.
#[derive(Debug)]
pub(crate) struct Watch {
    host: Host,
    meter: HealthMeter,
    /// Where the measured time begins, if that is known.
    from: Option<Tick>,
    /// Where it ends, if it ends before the level does.
    until: Option<Tick>,
    looked: Option<Tick>,
}

impl Watch {
    /// For a level that is measured whole from `fire` on; `None` for one that is told when its
    /// window begins.
    pub(crate) fn start(host: Host, fire: Option<Tick>) -> Self {
        let meter = HealthMeter::new(host.bound(), host.links());
        Self { host, meter, from: fire, until: None, looked: None }
    }

    /// Takes in what workers are told of the window.
    pub(crate) fn told(&mut self, order: &WorkerOrder) {
        match order {
            WorkerOrder::Measure { from } => self.from = Some(*from),
            WorkerOrder::Release { at } => self.until = Some(*at),
            WorkerOrder::Run { .. } | WorkerOrder::EndLevel | WorkerOrder::Stop { .. } => {}
        }
    }

    /// When to look next, if ever.
    pub(crate) fn due(&self) -> Option<Tick> {
        let from = self.from?;
        let Some(looked) = self.looked else {
            return Some(from);
        };
        let next = looked + EVERY;
        match self.until {
            Some(until) => (looked < until).then(|| next.min(until)),
            None => Some(next),
        }
    }

    /// Looks.
    pub(crate) fn look(&mut self) {
        let reading = self.host.read();
        self.looked = Some(reading.at);
        self.meter.add(reading);
    }

    /// The level is over: looks once more unless its measured time has ended, or never began.
    pub(crate) fn end(&mut self) {
        if self.looked.is_some() && self.due().is_some() {
            self.look();
        }
    }

    /// What is known so far.
    pub(crate) fn health(&self) -> Option<Health> {
        self.meter.health()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;

    fn watch(fire: Option<Tick>) -> Watch {
        let host = Host::new(Clock::start(), Vec::new(), std::iter::empty());
        Watch::start(host, fire)
    }

    #[test]
    fn a_level_that_is_measured_whole_is_looked_at_from_its_start_to_its_end() {
        let mut watch = watch(Some(Tick(7)));
        assert_eq!(watch.due(), Some(Tick(7)));
        watch.end();
        assert_eq!(watch.health(), None);
        watch.look();
        let looked = watch.looked.unwrap();
        assert_eq!(watch.due(), Some(looked + EVERY));
        watch.end();
        assert!(watch.looked.unwrap() > looked);
        assert!(watch.health().is_some());
    }

    #[test]
    fn a_window_is_looked_at_where_it_begins_and_where_it_ends() {
        let mut watch = watch(None);
        assert_eq!(watch.due(), None);
        watch.told(&WorkerOrder::Measure { from: Tick(1) });
        assert_eq!(watch.due(), Some(Tick(1)));
        watch.look();
        let until = watch.looked.unwrap() + Duration::from_millis(300);
        watch.told(&WorkerOrder::Release { at: until });
        assert_eq!(watch.due(), Some(until));
        watch.looked = Some(until);
        assert_eq!(watch.due(), None);
        watch.end();
        assert_eq!(watch.looked, Some(until));
    }
}
