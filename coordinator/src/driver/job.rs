//! What takes its time beside the loop: the loop goes on answering renewals meanwhile. There is at
//! most one job, and dropping it ends it.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;

use common::ids::{LevelId, Name};
use proto::secrets::Secrets;

use super::Setup;
use crate::campaign::ServerPlan;
use crate::clock::{Clock, wall_now};
use crate::plan::{Arm, Preparation};
use crate::record::{Asked, FactRecord, IdentityRecord};
use crate::report::ReportModel;
use crate::store::{Store, StoreError};
use crate::target::facts::{self, Told};
use crate::target::identity::Identity;
use crate::target::prepare::Server;
use crate::target::several;

/// A job under way.
pub(super) struct Job(Pin<Box<dyn Future<Output = JobDone> + Send>>);

/// What a job gave.
pub(super) enum JobDone {
    /// The target is as the level wants it.
    Prepared {
        /// The level.
        level: LevelId,
        /// What the server is now, if it was restarted.
        restarted: Option<Said>,
    },
    /// It is not.
    NotPrepared {
        /// The level.
        level: LevelId,
        /// What failed, and what it printed.
        why: String,
    },
    /// What was measured so far.
    Measured(Result<Box<ReportModel>, StoreError>),
    /// What the server is when the run has ended.
    Left(Said),
}

/// What the server is.
pub(super) struct Said {
    /// As it says itself.
    pub(super) identity: Identity,
    /// As commands tell it.
    facts: Vec<(Name, Told)>,
}

impl Said {
    async fn ask(identity: Identity, plan: &ServerPlan, secrets: &Secrets) -> Self {
        let facts = facts::ask(&plan.facts, plan.hook_timeout, secrets).await;
        Self { identity, facts }
    }

    /// Stores it.
    pub(super) fn put(self, asked: Asked, store: &mut Store) -> Result<(), StoreError> {
        let Self { identity, facts } = self;
        let at = wall_now();
        store.put_identity(&IdentityRecord { asked, at, identity })?;
        store.put_facts(&FactRecord::all(facts, asked, at))
    }
}

/// Waits for the end of a job and takes it away; waits for ever if there is none.
pub(super) async fn next(job: &mut Option<Job>) -> JobDone {
    let done = match job {
        Some(Job(work)) => work.await,
        None => std::future::pending().await,
    };
    *job = None;
    done
}

impl Job {
    fn new(work: impl Future<Output = JobDone> + Send + 'static) -> Self {
        Self(Box::pin(work))
    }

    /// Does what is to be done before a level of `arm`. `known` is what the server last said it is.
    pub(super) fn prepare(
        level: LevelId,
        what: Preparation,
        arm: Option<Arm>,
        server: Server,
        known: Identity,
        clock: Clock,
    ) -> Self {
        Self::new(async move {
            match server.prepare(what, arm, &known, clock).await {
                Ok(None) => JobDone::Prepared { level, restarted: None },
                Ok(Some(identity)) => {
                    let said = Said::ask(identity, &server.plan, &server.secrets).await;
                    JobDone::Prepared { level, restarted: Some(said) }
                }
                Err(error) => JobDone::NotPrepared { level, why: error.to_string() },
            }
        })
    }

    /// Reads what was measured so far. Histograms of many levels take longer than a turn of the
    /// loop may.
    pub(super) fn measured(dir: &Path) -> Self {
        let dir = dir.to_owned();
        Self::new(async move {
            let read = move || {
                let loaded = Store::open(&dir)?.load()?;
                Ok(Box::new(ReportModel::new(&loaded.record, &loaded.damage)))
            };
            let read = tokio::task::spawn_blocking(read).await;
            // A reader that panics has read nothing: its panic goes on.
            JobDone::Measured(
                read.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())),
            )
        })
    }

    /// Asks once more what the server is.
    pub(super) fn left(setup: &Setup) -> Self {
        let Setup { target, secrets, server, .. } = setup;
        let (target, secrets) = (target.clone(), secrets.clone());
        let server = server.clone();
        Self::new(async move {
            let identity = several::identity(&target, &secrets).await;
            JobDone::Left(Said::ask(identity, &server, &secrets).await)
        })
    }
}
