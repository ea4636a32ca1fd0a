//! Whether a window has lasted long enough.

use std::time::Duration;

use common::time::duration_ns;

use super::live::Live;
use super::{MARGIN, Progress, align};
use crate::campaign::WindowPlan;
use crate::stats::{BatchMeans, Look, Stopping};

/// How long an open window will last.
#[derive(Debug)]
pub(super) struct Length {
    plan: WindowPlan,
    from: Duration,
    grain: Duration,
    /// Half the time that a request lasts: the shortest batch.
    batch: Duration,
    /// Where it ends at the earliest.
    least: Duration,
    stopping: Stopping,
    /// The throughput is known as well as it is wanted.
    is_precise: bool,
}

impl Length {
    /// A window that begins at `from`, of requests that last `turn`.
    pub(super) fn new(
        plan: WindowPlan,
        from: Duration,
        turn: Option<Duration>,
        grain: Duration,
    ) -> Self {
        let turns = match turn {
            Some(turn) => turn.saturating_mul(plan.turns),
            None if plan.turns == 0 => Duration::ZERO,
            // Nothing was ever begun: as long as may be.
            None => plan.most,
        };
        let least = from.saturating_add(plan.least.max(turns).min(plan.most));
        Self {
            plan,
            from,
            grain,
            batch: turn.unwrap_or_default() / 2,
            least: align(least, grain),
            stopping: Stopping::default(),
            is_precise: !plan.precise,
        }
    }

    /// Looks at the throughput so far, if that matters.
    pub(super) fn look(&mut self, live: &Live) {
        if self.is_precise {
            return;
        }
        let output = live.output(self.from);
        let size = duration_ns(self.batch).div_ceil(duration_ns(output.slot).max(1)).max(1);
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let means = BatchMeans::of(&output.slots, size);
        self.is_precise = means.is_some_and(|means| self.stopping.look(&means) == Look::Stop);
    }

    /// Where the window ends, once that has to be ordered.
    pub(super) fn end(&self, live: &Live, at: Duration, ahead: Duration) -> Option<Duration> {
        let has_all = self.is_precise && live.measured() >= self.plan.requests;
        let end = if has_all { self.least } else { self.most() };
        let soonest = at + ahead;
        (soonest + MARGIN >= end).then(|| end.max(align(soonest, self.grain)))
    }

    pub(super) fn progress(&self, live: &Live, at: Duration) -> Progress {
        let measured = live.measured();
        let end = if at < self.least { self.least } else { self.most() };
        Progress::Measuring {
            gone: at.saturating_sub(self.from),
            of: end.saturating_sub(self.from),
            requests: (measured < self.plan.requests).then_some((measured, self.plan.requests)),
        }
    }

    fn most(&self) -> Duration {
        align(self.from.saturating_add(self.plan.most), self.grain)
    }
}
