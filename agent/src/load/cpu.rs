//! How much processor time a worker's thread uses.

use common::snapshot::BUSY_CPU;
use common::time::Tick;

/// How often processor time is sampled.
const SAMPLE_NS: u64 = 200_000_000;
/// The time over which the highest share is looked for.
const SPELL_NS: u64 = 1_000_000_000;

/// The processor time of one thread over a level.
pub(super) struct CpuMeter {
    reported: Reading,
    sampled: Reading,
    /// The last sample was taken in measured time.
    measured: bool,
    /// Measured samples that do not make a whole spell yet.
    spell: Use,
    /// The highest share of a whole spell.
    max: Option<f64>,
    busy_ns: u64,
    measured_ns: u64,
}

/// A worker's use of its core.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cpu {
    /// Share of a core since the last report, 0 to 1.
    pub(crate) share: f64,
    /// The highest share over a second of measured time.
    pub(crate) max: f64,
    /// Share of the measured time with more than [`BUSY_CPU`] of a core in use.
    pub(crate) busy: f64,
}

impl CpuMeter {
    /// A meter for a thread that has used `used_ns` at `now`, before anything is measured.
    pub(super) fn start(now: Tick, used_ns: u64) -> Self {
        let reading = Reading { at: now, used_ns };
        Self {
            reported: reading,
            sampled: reading,
            measured: false,
            spell: Use::default(),
            max: None,
            busy_ns: 0,
            measured_ns: 0,
        }
    }

    /// Samples if it is time to; `measured` says whether `now` lies in measured time.
    pub(super) fn look(&mut self, now: Tick, used_ns: u64, measured: bool) {
        if measured != self.measured || now.ns_since(self.sampled.at) >= SAMPLE_NS {
            self.sample(now, used_ns, measured);
        }
    }

    /// Sums up, and begins the next report's time.
    pub(super) fn report(&mut self, now: Tick, used_ns: u64) -> Cpu {
        let reading = Reading { at: now, used_ns };
        let share = reading.since(self.reported).share();
        self.reported = reading;
        let max = self.max.unwrap_or_else(|| self.spell.share());
        let busy = Use { wall_ns: self.measured_ns, used_ns: self.busy_ns }.share();
        Cpu { share, max, busy }
    }

    fn sample(&mut self, now: Tick, used_ns: u64, measured: bool) {
        let reading = Reading { at: now, used_ns };
        let used = reading.since(self.sampled);
        // A sample that an end of the measured time cuts is left out.
        if measured && self.measured {
            self.measured_ns += used.wall_ns;
            if used.share() > BUSY_CPU {
                self.busy_ns += used.wall_ns;
            }
            self.spell.wall_ns += used.wall_ns;
            self.spell.used_ns += used.used_ns;
            if self.spell.wall_ns >= SPELL_NS {
                self.max = Some(self.max.unwrap_or(0.0).max(self.spell.share()));
                self.spell = Use::default();
            }
        }
        (self.sampled, self.measured) = (reading, measured);
    }
}

/// Processor time used up to an instant.
#[derive(Clone, Copy)]
struct Reading {
    at: Tick,
    used_ns: u64,
}

/// Processor time used in some time.
#[derive(Clone, Copy, Default)]
struct Use {
    wall_ns: u64,
    used_ns: u64,
}

impl Reading {
    fn since(self, earlier: Self) -> Use {
        let used_ns = self.used_ns.saturating_sub(earlier.used_ns);
        Use { wall_ns: self.at.ns_since(earlier.at), used_ns }
    }
}

impl Use {
    /// Share of a core, 0 to 1; of no time none.
    fn share(self) -> f64 {
        match self.wall_ns {
            0 => 0.0,
            wall_ns => (self.used_ns as f64 / wall_ns as f64).min(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// A worker that looks every 20 ms, a window from 500 ms to 3 s, and a core that is used whole
    /// until 1 s and by half from then on.
    #[test]
    fn busy_is_the_part_of_the_measured_time_with_nothing_to_spare() {
        let used = |ms: u64| (ms.min(1000) + ms.saturating_sub(1000) / 2) * MS;
        let mut meter = CpuMeter::start(Tick(0), used(0));
        for ms in (0..=3200).step_by(20) {
            meter.look(Tick(ms * MS), used(ms), (500..3000).contains(&ms));
        }
        let cpu = meter.report(Tick(3200 * MS), used(3200));
        assert_eq!(cpu.share, 2100.0 / 3200.0);
        // Samples from 500 to 2900 ms; the third goes from 900 to 1100 ms with three quarters.
        assert_eq!(cpu.busy, 400.0 / 2400.0);
        // The first second: two whole samples, one of three quarters, two of a half.
        assert_eq!(cpu.max, 0.75);
        let cpu = meter.report(Tick(3300 * MS), used(3300));
        assert_eq!((cpu.share, cpu.max, cpu.busy), (0.5, 0.75, 400.0 / 2400.0));
    }

    #[test]
    fn a_level_of_less_than_a_second_has_a_share_too() {
        let mut meter = CpuMeter::start(Tick(0), 0);
        meter.look(Tick(20 * MS), 20 * MS, true);
        meter.look(Tick(220 * MS), 40 * MS, true);
        let cpu = meter.report(Tick(230 * MS), 50 * MS);
        assert_eq!((cpu.max, cpu.busy), (0.1, 0.0));
    }
}
