//! The proof of the client: a simulator of the agent's own, which a level loads in place of the
//! target, and whose ledger the level is held against. It never judges how fast either was.

use std::net::{Ipv4Addr, SocketAddr};

use common::assignment::{Assignment, Pace};
use common::snapshot::LevelEnd;
use common::tally::Tally;
use common::target::{BaseUrl, Host};

use crate::load::Route;
use crate::policy::Policy;
use crate::preflight;
use crate::sim::{self, Ending, Profile, SimThread, Totals};

/// The simulator of one level.
#[derive(Debug)]
pub(crate) struct Proof {
    sim: SimThread,
    output_tokens: u32,
}

impl Proof {
    /// Checks this host, starts a simulator that answers at `pace`, and points the assignment at
    /// it: whatever target the assignment names, nothing else is loaded, and no policy of targets
    /// applies.
    ///
    /// # Errors
    /// Every reason why the level cannot be run here, each with what to do.
    pub(crate) fn arm(
        pace: Pace,
        assignment: &mut Assignment,
        policy: &Policy,
        workers: u32,
    ) -> Result<(Route, Self), Vec<String>> {
        let reasons = preflight::check_host(assignment, policy, workers, 1);
        if !reasons.is_empty() {
            return Err(reasons);
        }
        let target = &mut assignment.target;
        let profile = Profile {
            ttft: pace.ttft,
            itl: pace.itl,
            model: target.model.clone(),
            #[cfg(test)]
            faults: crate::testing::faults(target),
            ..Profile::default()
        };
        let sim = sim::spawn(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), profile)
            .map_err(|error| vec![format!("the client proof has no simulator: {error}")])?;
        let address = sim.address();
        let (host, port) = (Host::V4(Ipv4Addr::LOCALHOST), address.port());
        target.more_base_urls.clear();
        target.base_url = BaseUrl { tls: false, host, port, path: String::new() };
        let route = Route { addresses: vec![address], sources: Vec::new(), tls: None };
        Ok((route, Self { sim, output_tokens: assignment.workload.output_tokens.most() }))
    }

    /// Stops the simulator and holds what the agent recorded of the whole level against what the
    /// simulator did: how a level ends that was completed.
    pub(crate) async fn end_of(self, tally: &Tally) -> LevelEnd {
        let Self { sim, output_tokens } = self;
        let ledger = sim.ledger();
        // Joining a thread must not hold up this one's other work.
        if tokio::task::spawn_blocking(move || sim.stop()).await.is_err() {
            return LevelEnd::Faulted("the simulator of a client proof did not stop".to_owned());
        }
        match account(tally, &ledger.totals(), output_tokens) {
            Ok(()) => LevelEnd::Completed,
            Err(why) => LevelEnd::Faulted(why),
        }
    }
}

/// Whether a ledger accounts for a tally. A request that the agent cut, or gave up, may have
/// reached the simulator or not, and may have been answered in full before the agent knew.
fn account(tally: &Tally, ledger: &Totals, output_tokens: u32) -> Result<(), String> {
    let counts = &tally.counts;
    let unsure = counts.started.saturating_sub(counts.succeeded);
    let wrote = ledger.by_ending.get(&Ending::Completed).copied().unwrap_or_default();
    let (got, answers) = (tally.paper.completion, tally.paper.succeeded);
    let unread = wrote.requests.saturating_sub(answers).saturating_mul(output_tokens.into());
    let events = tally.flow.slots().fold(0, |sum: u64, slot| sum.saturating_add(slot.events));
    for (what, ours, theirs, most) in [
        ("requests received", counts.succeeded, ledger.received, unsure),
        ("requests answered in full", counts.succeeded, wrote.requests, unsure),
        ("tokens of full answers", got, wrote.completion_tokens, unread),
        ("token events", events, ledger.completion_tokens, u64::MAX),
    ] {
        let until = ours.saturating_add(most);
        if theirs < ours || theirs > until {
            let ours = match most {
                0 => ours.to_string(),
                u64::MAX => format!("{ours} or more"),
                _ => format!("{ours} to {until}"),
            };
            return Err(format!(
                "the client proof's simulator does not account for the load: {what}: {theirs} by \
                 its ledger, {ours} by the agent's record"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use common::outcome::Censor;

    use super::*;
    use crate::sim::ledger::Sum;

    /// A hundred requests of four tokens, three of which the agent cut: the simulator had not
    /// received one of these and had answered another one in full.
    fn sound() -> (Tally, Totals) {
        let mut tally = Tally::default();
        tally.counts.started = 100;
        tally.counts.succeeded = 97;
        tally.counts.censored[Censor::CancelledPlan.index()] = 3;
        tally.paper.succeeded = 97;
        tally.paper.completion = 97 * 4;
        tally.events(1_000_000, 97 * 4 + 5);
        let mut ledger = Totals { received: 99, ..Totals::default() };
        answered(&mut ledger, 98, 98 * 4);
        ledger.completion_tokens = 98 * 4 + 2;
        (tally, ledger)
    }

    #[test]
    fn what_is_cut_may_be_missing_and_nothing_else() {
        let (tally, ledger) = sound();
        assert_eq!(account(&tally, &ledger, 4), Ok(()));
        type Bend = fn(&mut Tally, &mut Totals);
        let bends: [(Bend, [&str; 2]); 8] = [
            // Requests that nobody sent, or that never came.
            (|_, ledger| ledger.received = 101, ["received: 101", "97 to 100"]),
            (|_, ledger| ledger.received = 96, ["received: 96", "97 to 100"]),
            // Answers that were not given, or that the agent lost.
            (|_, ledger| answered(ledger, 96, 96 * 4), ["in full: 96", "97 to 100"]),
            (|_, ledger| answered(ledger, 101, 101 * 4), ["in full: 101", "97 to 100"]),
            (|_, ledger| ledger.by_ending.clear(), ["in full: 0", "97 to 100"]),
            // Tokens that were not written, or not read.
            (|_, ledger| answered(ledger, 98, 387), ["answers: 387", "388 to 392"]),
            (|_, ledger| answered(ledger, 98, 393), ["answers: 393", "388 to 392"]),
            (|tally, _| tally.events(2_000_000, 2), ["events: 394", "395 or more"]),
        ];
        for (bend, numbers) in bends {
            let (mut tally, mut ledger) = sound();
            bend(&mut tally, &mut ledger);
            let why = account(&tally, &ledger, 4).unwrap_err();
            assert!(numbers.iter().all(|number| why.contains(number)), "{why}");
        }
    }

    fn answered(ledger: &mut Totals, requests: u64, completion_tokens: u64) {
        let sum = Sum { requests, prompt_tokens: 0, completion_tokens };
        ledger.by_ending.insert(Ending::Completed, sum);
    }
}
