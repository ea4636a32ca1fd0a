//! All servers of a target, which must be one and the same to a client: each is waited for, and asked
//! what it is.

use std::time::Duration;

use common::target::{BaseUrl, Target};
use proto::secrets::Secrets;

use super::identity::Identity;
use super::ready::{self, NotReady, Question};
use crate::campaign::ServerPlan;
use crate::clock::Clock;

/// The target cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// One of its servers does not answer.
    #[error("{0}")]
    NotReady(#[from] NotReady),
    /// Two of them are not the same.
    #[error(
        "SERVER_CHANGED: {first} and {second} are not the same server: {how}; load one kind at a time"
    )]
    Differ {
        /// The first of all.
        first: Box<BaseUrl>,
        /// One that differs.
        second: Box<BaseUrl>,
        /// In what.
        how: String,
    },
}

/// Waits until every server answers, and gives what they all say they are.
///
/// # Errors
/// As [`Unfit`] says.
pub async fn meet(
    target: &Target,
    plan: &ServerPlan,
    secrets: &Secrets,
    timeout: Duration,
    clock: Clock,
    progress: impl FnMut(&BaseUrl, &str),
) -> Result<Identity, Unfit> {
    wait(target, plan, secrets, timeout, clock, progress).await?;
    let said = ask(target, secrets).await;
    if let Some((first, known)) = said.first() {
        for (second, told) in said.iter().skip(1) {
            let how = known.differences(told);
            if !how.is_empty() {
                let (first, second) = (Box::new(first.clone()), Box::new(second.clone()));
                return Err(Unfit::Differ { first, second, how: how.join("; ") });
            }
        }
    }
    Ok(Identity::of_all(said.into_iter().map(|(_, identity)| identity)))
}

/// Waits until every server answers, for each up to `timeout`.
///
/// # Errors
/// The first one that does not.
pub async fn wait(
    target: &Target,
    plan: &ServerPlan,
    secrets: &Secrets,
    timeout: Duration,
    clock: Clock,
    mut progress: impl FnMut(&BaseUrl, &str),
) -> Result<(), NotReady> {
    for one in target.each() {
        let question = Question::of(&one, plan);
        let said = |why: &str| progress(&one.base_url, why);
        ready::wait(&question, secrets, timeout, clock, said).await?;
    }
    Ok(())
}

/// What the servers say they are together.
pub async fn identity(target: &Target, secrets: &Secrets) -> Identity {
    Identity::of_all(ask(target, secrets).await.into_iter().map(|(_, identity)| identity))
}

async fn ask(target: &Target, secrets: &Secrets) -> Vec<(BaseUrl, Identity)> {
    let mut said = Vec::new();
    for one in target.each() {
        let identity = Identity::ask(&one, secrets).await;
        said.push((one.base_url, identity));
    }
    said
}
