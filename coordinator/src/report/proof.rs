//! The proofs of the client in a report: what was asked of the agents' own simulators, what was
//! reached, and every check.

use common::assignment::Pace;
use serde::Serialize;

use super::model::Real;
use super::plain::{CLIP, plain, wrap};
use super::text::{EVIDENCE_CLIP, WIDTH, short};
use crate::classify::proof::{self, Check, Proof};
use crate::measure::Measured;
use crate::plan;

/// One proof of the client.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClientProof {
    /// `before` or `after` the levels of a run, or `calibration`.
    pub when: String,
    /// Which try, from 0.
    pub attempt: u32,
    /// What the simulators injected before the first token.
    pub ttft_ms: Option<Real>,
    /// What they injected between two tokens.
    pub itl_ms: Option<Real>,
    /// Tokens of their answers.
    pub output_tokens: u32,
    /// What the fleet reached.
    #[serde(flatten)]
    pub fleet: Proven,
    /// What each agent reached.
    pub per_agent: Vec<AgentProof>,
}

/// What was reached, and whether it can be relied on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proven {
    /// Users asked for.
    pub asked: u32,
    /// Mean in flight.
    pub in_flight: Option<Real>,
    /// Requests per second.
    pub requests_per_s: Option<Real>,
    /// Token-bearing events per second.
    pub events_per_s: Option<Real>,
    /// Every check held.
    pub passed: bool,
    /// What was checked.
    pub checks: Vec<ProofCheck>,
}

/// One agent's part.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AgentProof {
    /// The agent.
    pub agent: String,
    /// The highest share of a core that a worker of it used.
    pub worker_cpu_max: Option<Real>,
    /// What it reached.
    #[serde(flatten)]
    pub proven: Proven,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProofCheck {
    /// Its name.
    pub name: &'static str,
    /// It held.
    pub passed: bool,
    /// What was found, in the unit that the name ends with.
    pub value: Option<Real>,
    /// What it is held against.
    pub limit: Option<Real>,
    /// Both in words.
    pub evidence: String,
}

impl ClientProof {
    /// The proof that a level is, if it is one.
    pub(super) fn of(level: &Measured<'_>, fleet: &Proof) -> Option<Self> {
        let planned = &level.record.planned;
        let Pace { ttft, itl } = planned.proof?;
        let per_agent = proof::of_agents(level).map(|(agent, cpu, proof)| AgentProof {
            agent: agent.to_owned(),
            worker_cpu_max: cpu.and_then(Real::new),
            proven: proven(&proof),
        });
        Some(Self {
            when: plan::proof::when(planned).to_owned(),
            attempt: level.record.id.attempt,
            ttft_ms: Real::new(ttft.as_secs_f64() * 1e3),
            itl_ms: Real::new(itl.as_secs_f64() * 1e3),
            output_tokens: planned.workload.output_tokens.most(),
            fleet: proven(fleet),
            per_agent: per_agent.collect(),
        })
    }

    /// Every check held, over the fleet and for every agent.
    pub fn passed(&self) -> bool {
        self.fleet.passed
    }
}

impl Proven {
    /// The checks that did not hold, in words.
    pub fn failed(&self) -> Option<String> {
        let failed = self.checks.iter().filter(|check| !check.passed);
        let texts: Vec<&str> = failed.map(|check| check.evidence.as_str()).collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }

    /// What a check found.
    pub fn found(&self, name: &str) -> Option<Real> {
        self.checks.iter().find(|check| check.name == name)?.value
    }
}

fn proven(proof: &Proof) -> Proven {
    let real = |value: Option<f64>| value.and_then(Real::new);
    let check = |check: &Check| ProofCheck {
        name: check.name,
        passed: check.passed,
        value: real(check.value),
        limit: Real::new(check.limit),
        evidence: check.evidence.clone(),
    };
    Proven {
        asked: proof.asked,
        in_flight: real(proof.in_flight),
        requests_per_s: real(proof.requests_per_s),
        events_per_s: real(proof.events_per_s),
        passed: proof.passed,
        checks: proof.checks.iter().map(check).collect(),
    }
}

/// One line for each proof.
pub(super) fn proofs_text(proofs: &[ClientProof]) -> String {
    if proofs.is_empty() {
        return String::new();
    }
    let mut out = wrap(
        "client proof  ",
        "the agents' own simulators, which share their hosts: a lower bound of what the client can \
         do",
        WIDTH,
    );
    for proof in proofs {
        let first = format!("  {:<11} ", plain(&proof.when, CLIP));
        out.push_str(&wrap(&first, &outcome(&proof.fleet), WIDTH));
    }
    out
}

fn outcome(proven: &Proven) -> String {
    let number = |value: Option<Real>| short(value.map(Real::value));
    let rates = format!(
        "{} in flight of {}, {} requests/s, {} events/s",
        number(proven.in_flight),
        proven.asked,
        number(proven.requests_per_s),
        number(proven.events_per_s)
    );
    match proven.failed() {
        None => format!("passed: {rates}"),
        Some(why) => format!("NOT PASSED: {rates}; {}", plain(&why, EVIDENCE_CLIP)),
    }
}
