//! What is checked before a level is armed, beside the session's other work.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use common::assignment::Assignment;
use common::digest::Digest;
use common::ids::LevelId;
use proto::secrets::Secrets;

use crate::load::Route;
use crate::preflight;
use crate::proof::Proof;
use crate::service::Inner;

/// A level that is being checked: names may take seconds to resolve, and neither renewals nor an
/// abort wait for them.
pub(super) struct Arming {
    pub(super) level: LevelId,
    checked: Pin<Box<dyn Future<Output = Checked> + Send>>,
}

/// What a check led to.
pub(super) struct Checked {
    pub(super) assignment: Assignment,
    /// Of the assignment as it came.
    pub(super) digest: Digest,
    pub(super) secrets: Secrets,
    pub(super) routes: Result<(Vec<Route>, Option<Proof>), Vec<String>>,
}

impl Arming {
    pub(super) fn start(inner: Arc<Inner>, assignment: Assignment, secrets: Secrets) -> Self {
        let level = assignment.level;
        let checked = Box::pin(async move {
            let digest = assignment.digest();
            let (policy, workers) = (&inner.identity.policy, inner.identity.workers);
            match assignment.proof {
                None => {
                    let client = secrets.client.as_ref();
                    let routes = preflight::check(&assignment, client, policy, workers).await;
                    let routes = routes.map(|routes| (routes, None));
                    Checked { assignment, digest, secrets, routes }
                }
                Some(pace) => {
                    let mut assignment = assignment;
                    let routes = Proof::arm(pace, &mut assignment, policy, workers)
                        .map(|(route, proof)| (vec![route], Some(proof)));
                    Checked { assignment, digest, secrets: Secrets::default(), routes }
                }
            }
        });
        Self { level, checked }
    }

    /// The end of what is being checked; never if nothing is.
    pub(super) async fn end(arming: &mut Option<Self>) -> Checked {
        let checked = match arming {
            Some(arming) => arming.checked.as_mut().await,
            None => std::future::pending().await,
        };
        *arming = None;
        checked
    }
}
