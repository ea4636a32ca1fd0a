//! What is heard from agents, and what it means to the machine.

use common::digest::Digest;
use common::ids::LevelId;
use common::snapshot::{Seal, Snapshot};
use proto::message::{Order, Report};

use super::Driver;
use super::given::{Examined, Given, Work};
use crate::fleet::Heard;
use crate::machine::{AgentIx, Event};

impl Driver<'_> {
    pub(super) fn answer_renewals(&self, heard: &[(AgentIx, Heard)]) {
        for (agent, one) in heard {
            if let Heard::Report(report) = one
                && let Report::Renew { nonce, .. } = **report
            {
                self.fleet.order(*agent, |epoch| Order::RenewEcho { epoch, nonce });
            }
        }
    }

    /// What something heard means to the machine, if anything. Seals that are to be stored first
    /// are put aside.
    pub(super) fn understand(
        &mut self,
        agent: AgentIx,
        heard: Heard,
        seals: &mut Vec<(AgentIx, Seal)>,
    ) -> Option<Event> {
        let report = match heard {
            Heard::Report(report) => *report,
            Heard::Probe(sample) => {
                self.fleet.note_probe(agent, sample);
                return None;
            }
            Heard::Lost(why) => {
                self.at_work.remove(&agent);
                return Some(Event::Lost { agent, why });
            }
        };
        match report {
            // Answered already.
            Report::Renew { .. } | Report::Acquired { .. } => None,
            Report::Snapshot(snapshot) => {
                self.show(agent, *snapshot);
                None
            }
            Report::Armed { level, digest } => Some(self.armed(agent, level, digest)),
            Report::NotArmed { level, reasons } => {
                Some(Event::NotArmed { agent, level, reason: reasons.join("; ") })
            }
            Report::Fired { level } => {
                if level == self.machine.level() {
                    self.acknowledged.insert(agent);
                }
                Some(Event::Fired { agent, level })
            }
            Report::TooLate { level } => {
                // Too late for its start it has not begun; too late for its window it goes on.
                if level == self.machine.level() && !self.acknowledged.contains(&agent) {
                    self.at_work.remove(&agent);
                }
                Some(Event::TooLate { agent, level })
            }
            Report::Sealed(seal) => match self.examine(agent, &seal) {
                Examined::New => {
                    self.at_work.remove(&agent);
                    seals.push((agent, *seal));
                    None
                }
                Examined::Known => {
                    let level = seal.snapshot.origin.level;
                    self.fleet.order(agent, |epoch| Order::SealStored { epoch, level });
                    None
                }
                Examined::Wrong(why) => Some(Event::Lost { agent, why }),
            },
        }
    }

    pub(super) fn armed(&self, agent: AgentIx, level: LevelId, digest: Digest) -> Event {
        match self.expected.get(&agent) {
            Some((expected, ours)) if *expected == level && *ours != digest => {
                let reason = "it understood another assignment; run the same version of \
                              floodmark on both sides";
                Event::NotArmed { agent, level, reason: reason.to_owned() }
            }
            Some(_) | None => Event::Armed { agent, level },
        }
    }

    /// Takes a snapshot past the machine.
    pub(super) fn show(&mut self, agent: AgentIx, snapshot: Snapshot) {
        let origin = snapshot.origin;
        if origin.level != self.machine.level() || !self.fleet.is_of(agent, origin) {
            return;
        }
        if let Some(level) = &mut self.view.level {
            level.absorb(agent, &snapshot);
        }
        if let Some(watch) = &mut self.watch {
            watch.absorb(agent, snapshot);
        }
    }

    pub(super) fn examine(&self, agent: AgentIx, seal: &Seal) -> Examined {
        let level = self.machine.level();
        let planned = self.machine.planned_of(level);
        let share = planned.and_then(|planned| {
            planned.load.share(agent.0, self.fleet.len()).requests(planned.load)
        });
        let ordered = share.map_or(Work::Window(self.window), Work::Requests);
        let given = Given {
            own: self.fleet.is_of(agent, seal.snapshot.origin),
            level,
            at_work: self.at_work.contains(&agent),
            ordered,
        };
        given.examine(seal)
    }
}
