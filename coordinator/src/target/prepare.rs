//! What is done to the target before a level: the server restarted, waited for and asked again
//! what it is; its cache emptied.

use std::time::Duration;

use common::detail::CHARS_MAX;
use common::target::Target;
use proto::secrets::Secrets;

use super::ask::{self, Asker, Method};
use super::hook::{CommandLine, HookError};
use super::identity::Identity;
use super::ready::NotReady;
use super::several;
use crate::campaign::{CacheReset, ServerPlan};
use crate::clock::Clock;
use crate::plan::{Arm, Preparation};

/// How long a server that answers may still be the one that is about to be stopped: some commands
/// only ask for a restart.
const OLD_FOR: Duration = Duration::from_secs(10);
/// How often it is asked meanwhile.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// The server under test, and what may be done to it.
#[derive(Clone, Debug)]
pub struct Server {
    /// The server.
    pub target: Target,
    /// What is for it alone.
    pub secrets: Secrets,
    /// What may be done to it.
    pub plan: ServerPlan,
}

/// Why the target is not as a level wants it.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The command that restarts it failed.
    #[error("the restart of the server failed: {0}")]
    Restart(HookError),
    /// It did not come back.
    #[error("after its restart {0}")]
    NotReady(#[from] NotReady),
    /// The command that empties its cache failed.
    #[error("its cache could not be emptied: {0}")]
    Reset(HookError),
    /// The page that empties its cache failed.
    #[error("its cache could not be emptied: POST {url}: {why}")]
    ResetPage {
        /// The page.
        url: String,
        /// What it answered.
        why: String,
    },
}

impl Server {
    /// Does what is to be done before a level of `arm`. `known` is what the server said it is
    /// before; gives what it says after a restart.
    ///
    /// # Errors
    /// As [`PrepareError`] says, with what a command printed.
    pub async fn prepare(
        &self,
        what: Preparation,
        arm: Option<Arm>,
        known: &Identity,
        clock: Clock,
    ) -> Result<Option<Identity>, PrepareError> {
        let mut identity = None;
        if let Some(command) = self.plan.restart.command(arm).filter(|_| what.restart_server) {
            identity = Some(self.restart(command, known, clock).await?);
        }
        if let Some(reset) = self.plan.reset_cache.as_ref().filter(|_| what.reset_cache) {
            match reset {
                CacheReset::Command(command) => {
                    command.run(self.plan.hook_timeout).await.map_err(PrepareError::Reset)?;
                }
                CacheReset::Page(page) => {
                    for target in self.target.each() {
                        self.post(&target, page).await?;
                    }
                }
            }
        }
        Ok(identity)
    }

    async fn restart(
        &self,
        command: &CommandLine,
        known: &Identity,
        clock: Clock,
    ) -> Result<Identity, PrepareError> {
        command.run(self.plan.hook_timeout).await.map_err(PrepareError::Restart)?;
        self.back(known, OLD_FOR, clock).await
    }

    /// Waits until the server is there, and is not the one that is `known`; that one is taken for
    /// the new one if it has not left after `old_for`.
    pub(super) async fn back(
        &self,
        known: &Identity,
        old_for: Duration,
        clock: Clock,
    ) -> Result<Identity, PrepareError> {
        let ended = clock.now();
        loop {
            let timeout = self.plan.ready_timeout;
            several::wait(&self.target, &self.plan, &self.secrets, timeout, clock, |_, _| {})
                .await?;
            let identity = several::identity(&self.target, &self.secrets).await;
            let is_old = identity.restarted(known) == Some(false);
            if !is_old || clock.now().since(ended) > old_for {
                return Ok(identity);
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    async fn post(&self, target: &Target, page: &str) -> Result<(), PrepareError> {
        let url = format!("{}{page}", target.base_url);
        let (asked, secrets, timeout) = (url.clone(), self.secrets.clone(), self.plan.hook_timeout);
        let target = target.clone();
        let said = tokio::task::spawn_blocking(move || {
            let asker = Asker { target: &target, secrets: &secrets };
            ask::ask(Method::Post, &asked, asker, 4096, timeout)
        });
        let why = match said.await {
            Ok(Ok(said)) if (200..300).contains(&said.status) => return Ok(()),
            Ok(Ok(said)) => {
                let clean = said.body.chars().map(|c| if c.is_control() { ' ' } else { c });
                let body: String = clean.take(CHARS_MAX).collect();
                format!("HTTP {} {}", said.status, self.secrets.without(body.trim()))
            }
            Ok(Err(why)) => why,
            Err(error) => error.to_string(),
        };
        Err(PrepareError::ResetPage { url, why })
    }
}
