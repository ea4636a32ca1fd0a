//! The proof of the client after the last level: it is asked for what the levels reached, so it is
//! decided like any level that is not known beforehand.

use super::Decider;
use crate::campaign::Campaign;
use crate::plan::proof::{self, Demand};
use crate::plan::{Plan, PlannedLevel};
use crate::report::{LevelReport, LevelState, Real, ReportModel};

/// The proof that follows, if one is wanted.
#[derive(Debug, Default)]
pub struct ProofAfter {
    /// As far as the plan tells; taken once it is run.
    planned: Option<PlannedLevel>,
    headroom: f64,
    /// Why nothing else follows, once that is decided.
    ended: Option<String>,
}

impl ProofAfter {
    /// The proof that follows the levels of a campaign.
    pub fn of(campaign: &Campaign) -> Self {
        let headroom = campaign.client_proof.headroom;
        Self { planned: Plan::proof_after(campaign), headroom, ended: None }
    }

    /// What follows what was measured so far, and why: what `decider` says; once it says that
    /// nothing does, the proof; then nothing.
    pub fn follow(
        &mut self,
        decider: &mut Decider,
        so_far: &ReportModel,
    ) -> (Vec<PlannedLevel>, String) {
        if let Some(because) = &self.ended {
            return (Vec::new(), because.clone());
        }
        let (next, because) = decider.decide(so_far);
        if !next.is_empty() {
            return (next, because);
        }
        let Some(planned) = self.planned.take() else {
            return (next, because);
        };
        self.ended = Some(because.clone());
        (vec![proof::after(&planned, reached(&so_far.levels), self.headroom)], because)
    }
}

/// The most of everything that a completed level reached.
fn reached(levels: &[LevelReport]) -> Demand {
    let complete = levels.iter().filter(|level| level.state == LevelState::Complete);
    let more = |most: f64, value: Option<Real>| most.max(value.map_or(0.0, Real::value));
    complete.fold(Demand::default(), |most, level| Demand {
        in_flight: more(most.in_flight, level.in_flight_mean),
        requests_per_s: more(most.requests_per_s, level.rates.requests_per_s),
        events_per_s: more(most.events_per_s, level.rates.events_per_s),
    })
}

#[cfg(test)]
mod tests {
    use common::phase::Phase;

    use super::*;
    use crate::campaign::{self, Overlay, Source};
    use crate::report::ReportModel;
    use crate::testdata::{self, Windowed};

    fn campaign(more: &str) -> Campaign {
        let text = format!(
            "mode = \"floodmark\"\n[target]\nbase_urls = [\"http://h\"]\nmodel = \"m\"\n\
             [workloads.w]\ninput_tokens = 9\noutput_tokens = 20\n[phases]\n\
             scaling = {{ users = 10, workload = \"w\" }}\n{more}"
        );
        let source = Source { name: "c.toml", text: &text };
        campaign::resolve(Some(source), &Overlay::default()).unwrap()
    }

    fn so_far() -> ReportModel {
        let levels = vec![Windowed { phase: Phase::Scaling, ..Windowed::USUAL }.level()];
        let record = crate::record::RunRecord { levels, ..testdata::run() };
        ReportModel::new(&record, &[])
    }

    #[test]
    fn a_proof_follows_what_else_is_decided_once_and_for_what_was_reached() {
        let campaign = campaign("[client_proof]\nafter = true\nheadroom = 3\n");
        assert!(Plan::of(&campaign).open, "something follows the levels that are known");
        let mut decider = Decider::of(&campaign);
        let mut after = ProofAfter::of(&campaign);
        let so_far = so_far();
        let (next, because) = after.follow(&mut decider, &so_far);
        let [proof] = next.as_slice() else { panic!("{next:?}") };
        assert_eq!(proof.title(), "client proof after");
        assert!(proof.load.users >= 30, "{proof:?}");
        let answer = proof::answer(proof.proof.unwrap(), proof.workload.output_tokens.most());
        let requests_per_s = f64::from(proof.load.users) / answer.as_secs_f64();
        assert!(requests_per_s >= 3.0 * so_far.levels[0].rates.requests_per_s.unwrap().value());
        assert_eq!(after.follow(&mut decider, &so_far), (Vec::new(), because));
    }

    #[test]
    fn nothing_follows_where_no_proof_is_wanted() {
        let campaign = campaign("");
        assert!(!Plan::of(&campaign).open);
        let mut decider = Decider::of(&campaign);
        let decided = decider.decide(&so_far());
        assert_eq!(ProofAfter::of(&campaign).follow(&mut decider, &so_far()), decided);
        assert_eq!(decided.0, []);
    }

    #[test]
    fn repeats_come_before_the_proof() {
        let more = "[repeats]\ncount = 4\nuntil = { half_width = \"1%\", least = 3 }\n\
                    [client_proof]\nbefore = true\nafter = true\n";
        let campaign = campaign(more);
        assert_eq!(Plan::of(&campaign).levels.len(), 4, "a proof and three repeats");
        let (mut decider, mut after) = (Decider::of(&campaign), ProofAfter::of(&campaign));
        let proofs = std::iter::from_fn(|| Some(after.follow(&mut decider, &so_far()).0));
        let is_proof = |next: Vec<PlannedLevel>| -> Vec<bool> {
            next.iter().map(|level| level.proof.is_some()).collect()
        };
        let asked: Vec<Vec<bool>> = proofs.take(3).map(is_proof).collect();
        assert_eq!(asked, [vec![false], vec![true], vec![]]);
    }
}
