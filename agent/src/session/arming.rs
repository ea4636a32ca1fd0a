//! A level that is being checked: names may take seconds to resolve, images seconds to make, and
//! neither renewals nor an abort wait for them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use common::assignment::Assignment;
use common::digest::Digest;
use common::ids::LevelId;
use proto::secrets::Secrets;

use crate::images::{Illustration, ImageOrigin, Prepared};
use crate::load::Route;
use crate::preflight;
use crate::proof::Proof;
use crate::service::Inner;

/// A level that is being checked.
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
    pub(super) ready: Result<Ready, Vec<String>>,
}

/// What a level needs, ready.
pub(super) struct Ready {
    pub(super) routes: Vec<Route>,
    pub(super) proof: Option<Proof>,
    pub(super) origin: Option<ImageOrigin>,
    /// One for each workload that requests are of, if it has images.
    pub(super) illustrations: Vec<Option<Arc<Illustration>>>,
}

impl Arming {
    pub(super) fn start(inner: Arc<Inner>, assignment: Assignment, secrets: Secrets) -> Self {
        let level = assignment.level;
        let checked = Box::pin(async move {
            let digest = assignment.digest();
            let (policy, workers) = (&inner.identity.policy, inner.identity.workers);
            let mut assignment = assignment;
            let (routes, secrets) = match assignment.proof {
                None => {
                    let client = secrets.client.as_ref();
                    let routes = preflight::check(&assignment, client, policy, workers).await;
                    (routes.map(|routes| (routes, None)), secrets)
                }
                Some(pace) => {
                    let route = Proof::arm(pace, &mut assignment, policy, workers);
                    let routes = route.map(|(route, proof)| (vec![route], Some(proof)));
                    (routes, Secrets::default())
                }
            };
            let ready = match routes {
                Ok((routes, proof)) => illustrated(&inner, &assignment, routes, proof).await,
                Err(reasons) => Err(reasons),
            };
            Checked { assignment, digest, secrets, ready }
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

/// Makes the images that requests have, if any.
async fn illustrated(
    inner: &Inner,
    assignment: &Assignment,
    routes: Vec<Route>,
    proof: Option<Proof>,
) -> Result<Ready, Vec<String>> {
    if assignment.workload.illustrated().next().is_none() {
        return Ok(Ready { routes, proof, origin: None, illustrations: Vec::new() });
    }
    let listen = inner.identity.policy.images_listen;
    let addresses: Vec<_> = routes.iter().flat_map(|route| route.addresses.clone()).collect();
    let sample = assignment.clone();
    // Encoding takes the processor for a while; this thread has renewals to send.
    let made = tokio::task::spawn_blocking(move || {
        let prepared = Prepared::of(&sample).map_err(|error| error.to_string())?;
        let origin = prepared.origin(listen, &addresses)?;
        let illustrations = prepared.for_requests(&sample, origin.as_ref());
        Ok((origin, illustrations))
    });
    match made.await {
        Ok(Ok((origin, illustrations))) => Ok(Ready { routes, proof, origin, illustrations }),
        Ok(Err(reason)) => Err(vec![reason]),
        Err(error) => Err(vec![format!("its images were not made: {error}")]),
    }
}
