//! What requests to one base URL go through: a connection of HTTP/1.1 or of HTTP/2, made ahead and
//! kept, one request at a time.

use std::task::{Context, Poll};
use std::time::Duration;

use common::outcome::Failure;
use common::target::Http;

use crate::load::Route;
use crate::load::conn::Conn;
use crate::load::frames::Frames;

/// A connection to the target with its protocol.
pub(super) enum Channel {
    /// HTTP/1.1.
    Lines(Conn),
    /// HTTP/2.
    Frames(Box<Frames>),
}

impl Channel {
    /// Connects to the first address that answers, all that comes before a request included, within
    /// `timeout`; `turn` decides from which of the host's addresses.
    pub(super) async fn open(
        route: &Route,
        turn: u32,
        http: Http,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let open = async {
            let conn = Conn::open(route, turn).await?;
            match http {
                Http::V1 => Ok(Self::Lines(conn)),
                Http::V2 => Ok(Self::Frames(Box::new(Frames::open(conn).await?))),
            }
        };
        match tokio::time::timeout(timeout, open).await {
            Ok(result) => result,
            Err(_) => Err(Failure::ConnectTimeout),
        }
    }

    /// No further request may be put on it.
    pub(super) async fn is_stale(&mut self) -> bool {
        std::future::poll_fn(|cx| Poll::Ready(self.poll_stale(cx).is_ready())).await
    }

    /// Ready once no further request may be put on it.
    pub(super) fn poll_stale(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Lines(conn) => conn.poll_stale(cx),
            Self::Frames(frames) => frames.poll_stale(cx),
        }
    }
}
