//! What is ordered of the agents, and of the server between levels.

use std::time::Duration;

use common::assignment::Assignment;
use common::ids::{Epoch, LevelId};
use common::slo::Slo;
use common::time::Tick;
use proto::message::Order;
use proto::secrets::Secrets;

use super::given::Window;
use super::job::Job;
use super::{Driver, Setup};
use crate::clock::wall_now;
use crate::machine::AgentIx;
use crate::plan::{self, Preparation};
use crate::record::{LevelRecord, ShareRecord};
use crate::store::StoreError;
use crate::target::prepare::Server;
use crate::ui::LevelView;
use crate::window::{Longest, Watch};

impl Driver<'_> {
    /// Orders something of every agent at the same time since it fired.
    pub(super) fn order_at(&self, offset: Duration, order: impl Fn(Epoch, Tick) -> Order) {
        for (agent, fired) in &self.fired {
            self.fleet.order(*agent, |epoch| order(epoch, *fired + offset));
        }
    }

    pub(super) fn agents(&self) -> impl Iterator<Item = AgentIx> + use<> {
        (0..self.fleet.len()).map(AgentIx)
    }

    pub(super) fn prepare(&mut self, level: LevelId, what: Preparation) {
        let Setup { target, secrets, server, identity, .. } = &*self.setup;
        let arm = self.machine.planned_of(level).and_then(|planned| planned.arm);
        if what.restart_server {
            let arm = arm.map_or_else(String::new, |arm| format!(" for {}", arm.title()));
            self.ui.say(&format!("restarting the server{arm}"));
        }
        let server =
            Server { target: target.clone(), secrets: secrets.clone(), plan: server.clone() };
        self.job = Some(Job::prepare(level, what, arm, server, identity.clone(), self.clock));
    }

    pub(super) async fn arm(&mut self, level: LevelId) -> Result<(), StoreError> {
        let Some(planned) = self.machine.planned_of(level).cloned() else {
            return Ok(());
        };
        let names = self.fleet.records();
        let shares = self.agents().map(|agent| planned.load.share(agent.0, self.fleet.len()));
        let shares: Vec<_> = shares.collect();
        let begun = LevelRecord {
            id: level,
            planned: planned.clone(),
            shares: names
                .iter()
                .zip(&shares)
                .map(|(record, share)| ShareRecord {
                    agent: record.name.clone(),
                    users: share.count,
                    seal: None,
                })
                .collect(),
            fired_at: None,
            fate: None,
        };
        self.stored(move |store| store.begin_level(&begun)).await?;
        self.expected.clear();
        self.acknowledged.clear();
        self.fired.clear();
        self.window = Window::default();
        self.view.place = level.ordinal + 1;
        self.view.level = None;
        for (agent, share) in self.agents().zip(shares) {
            let (target, slo, secrets) = match planned.proof {
                None => {
                    let secrets = self.setup.secrets.clone();
                    (self.setup.target.clone(), self.setup.slo, secrets)
                }
                Some(_) => (plan::proof::target(), Slo::default(), Secrets::default()),
            };
            let assignment = Assignment {
                run: self.setup.run,
                level,
                phase: planned.phase,
                place: planned.place,
                seed: self.setup.seed.of_repeat(planned.repeat),
                share,
                load: planned.load,
                slo,
                workload: planned.workload.clone(),
                target,
                proof: planned.proof,
            };
            self.expected.insert(agent, (level, assignment.digest()));
            // An agent that takes no order is silent, and the machine's deadline finds it out.
            self.fleet.order(agent, |epoch| Order::Arm {
                epoch,
                assignment: Box::new(assignment),
                secrets,
            });
        }
        Ok(())
    }

    pub(super) async fn fire(&mut self, level: LevelId, ahead: Duration) -> Result<(), StoreError> {
        let ahead = ahead.max(self.fleet.round_trip_max() * 5);
        self.stored(move |store| store.set_fired(level, wall_now())).await?;
        // A slow disk must not eat the time that the orders need.
        let at = self.clock.now() + ahead;
        for agent in self.agents() {
            let theirs = self.fleet.instant_on(agent, at);
            self.at_work.insert(agent);
            self.fired.insert(agent, theirs);
            self.fleet.order(agent, |epoch| Order::Fire { epoch, level, at: theirs });
        }
        if let Some(planned) = self.machine.planned_of(level) {
            self.view.level = Some(LevelView::new(planned, at));
            let load = planned.load;
            let has_part = |agent: AgentIx| load.share(agent.0, self.fleet.len()).count > 0;
            let mut fired = self.fired.clone();
            fired.retain(|agent, _| has_part(*agent));
            let longest = Longest::of(self.setup.request_max(), &planned.workload);
            self.watch = planned.window.map(|window| Watch::new(load, window, longest, at, fired));
        }
        Ok(())
    }
}
