//! Supplying the agents of a run with the data sets that its levels name, before its first level.
//!
//! Every agent has a queue for this that yields to its orders, with room for one piece: a renewal
//! never waits for more than a piece that is on its way. Renewals are answered here meanwhile, since
//! the loop that answers them later has not begun.

use std::sync::Arc;
use std::time::Duration;

use common::ids::Epoch;
use proto::message::{CHUNK_MAX, Order, PROTOCOL, Report, SUPPLY_MINOR};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Fleet, FleetError, Heard};
use crate::dataset::Supply;
use crate::machine::AgentIx;

/// How long an agent may take to take in one piece.
const PIECE_TIMEOUT: Duration = Duration::from_secs(30);

impl Fleet {
    /// Supplies every agent with every data set; when this ends well, they have been sent before
    /// any order that follows.
    ///
    /// # Errors
    /// Agents that cannot take them, or are lost meanwhile.
    pub async fn supply(&mut self, supplies: Vec<Supply>) -> Result<(), FleetError> {
        if supplies.is_empty() {
            return Ok(());
        }
        self.refuse_older()?;
        let supplies = Arc::new(supplies);
        let mut feeding = JoinSet::new();
        for (agent, member) in (0..).map(AgentIx).zip(&self.members) {
            let (bulk, epoch) = (member.bulk.clone(), member.epoch);
            let supplies = Arc::clone(&supplies);
            feeding.spawn(async move { (agent, feed(&bulk, epoch, &supplies).await) });
        }
        loop {
            tokio::select! {
                biased;
                heard = self.next() => match heard {
                    Some((agent, Heard::Report(report))) => {
                        if let Report::Renew { nonce, .. } = *report {
                            self.order(agent, |epoch| Order::RenewEcho { epoch, nonce });
                        }
                    }
                    Some((agent, Heard::Probe(sample))) => self.note_probe(agent, sample),
                    Some((agent, Heard::Lost(why))) => return Err(self.unfit(agent, why)),
                    None => return Err(FleetError(Vec::new())),
                },
                fed = feeding.join_next() => match fed {
                    Some(Ok((_, Ok(())))) => {}
                    Some(Ok((agent, Err(why)))) => return Err(self.unfit(agent, why)),
                    Some(Err(error)) => return Err(self.unfit(AgentIx(0), error.to_string())),
                    None => return Ok(()),
                },
            }
        }
    }

    /// An agent of an older version would end the run at the first piece.
    fn refuse_older(&self) -> Result<(), FleetError> {
        let older = self.members.iter().filter(|member| member.protocol.minor < SUPPLY_MINOR);
        let problems: Vec<_> = older
            .map(|member| {
                let why = format!(
                    "it speaks protocol {}, and data sets need {}.{SUPPLY_MINOR}; update floodmark \
                     there",
                    member.protocol, PROTOCOL.major
                );
                (member.address.text.clone(), why)
            })
            .collect();
        if problems.is_empty() { Ok(()) } else { Err(FleetError(problems)) }
    }

    fn unfit(&self, agent: AgentIx, why: String) -> FleetError {
        let member = self.members.get(agent.0 as usize);
        let name = member.map_or_else(|| "?".to_owned(), |member| member.address.text.clone());
        FleetError(vec![(name, format!("it could not be supplied with data: {why}"))])
    }
}

/// Sends everything to one agent, piece by piece.
async fn feed(bulk: &mpsc::Sender<Order>, epoch: Epoch, supplies: &[Supply]) -> Result<(), String> {
    let gone = || "its session has ended".to_owned();
    let slow = |_| format!("it took nothing for {} s", PIECE_TIMEOUT.as_secs());
    for Supply { digest, bytes } in supplies {
        let total = bytes.len() as u64;
        let mut offset = 0;
        for chunk in bytes.chunks(CHUNK_MAX) {
            let (digest, chunk) = (*digest, chunk.to_vec());
            let after = offset + chunk.len() as u64;
            let piece = Order::Supply { epoch, digest, total, offset, chunk };
            let sent = tokio::time::timeout(PIECE_TIMEOUT, bulk.send(piece)).await;
            sent.map_err(slow)?.map_err(|_| gone())?;
            offset = after;
        }
    }
    // Orders overtake what waits here: nothing may be left when this ends.
    let empty = tokio::time::timeout(PIECE_TIMEOUT, bulk.reserve()).await;
    empty.map_err(slow)?.map(drop).map_err(|_| gone())
}
