//! The coordinator's side of the wire, in domain types.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use common::ceiling::HostCeiling;
use common::ids::RunId;
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use uuid::Uuid;

use crate::generated as pb;
use crate::generated::agent_client::AgentClient;
use crate::message::{Greeting, Hello, Order, Report};
use crate::wire::{MESSAGE_MAX, WireError};

/// How long a unary call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an agent may take to find its ceiling.
const CALIBRATE_TIMEOUT: Duration = Duration::from_secs(120);

/// One agent, over one connection.
#[derive(Clone)]
pub struct AgentConn(AgentClient<Channel>);

/// Why a call to an agent failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The agent understood and said no.
    #[error("{0}")]
    Refused(String),
    /// The connection or the agent is gone.
    #[error("the connection is gone: {0}")]
    Lost(String),
    /// The agent said something that cannot be understood.
    #[error("it answered nonsense: {0}")]
    Nonsense(#[from] WireError),
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        let text: String = status.message().chars().map(visible).take(500).collect();
        #[expect(clippy::wildcard_enum_match_arm, reason = "gRPC codes are a foreign enum")]
        match status.code() {
            Code::FailedPrecondition
            | Code::ResourceExhausted
            | Code::PermissionDenied
            | Code::InvalidArgument
            | Code::Unimplemented => Self::Refused(text),
            // What HTTP/2 says of a connection that breaks off says nothing about why.
            _ if text.starts_with("h2 protocol error") => {
                Self::Lost("the agent's process or the network went away".to_owned())
            }
            code => Self::Lost(format!("{text} ({code:?})")),
        }
    }
}

fn visible(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

impl AgentConn {
    /// An agent on a connected channel.
    pub fn new(channel: Channel) -> Self {
        let client = AgentClient::new(channel)
            .max_decoding_message_size(MESSAGE_MAX)
            .max_encoding_message_size(MESSAGE_MAX);
        Self(client)
    }

    /// Asks who the agent is.
    ///
    /// # Errors
    /// As [`CallError`] says; no answer within five seconds counts as lost.
    pub async fn hello(&mut self, hello: &Hello) -> Result<Greeting, CallError> {
        let reply = within(CALL_TIMEOUT, self.0.hello(pb::HelloRequest::from(hello))).await?;
        Ok(Greeting::try_from(reply.into_inner())?)
    }

    /// Begins a session: orders are taken from the first channel, and while it is empty from the
    /// second one, so that no bulk goes before an order; reports come from the result.
    ///
    /// # Errors
    /// As [`CallError`] says.
    pub async fn session(
        &mut self,
        orders: mpsc::Receiver<Order>,
        bulk: mpsc::Receiver<Order>,
    ) -> Result<Reports, CallError> {
        let orders = UrgentFirst { orders, bulk }.map(|order| pb::Order::from(&order));
        let reports = within(CALL_TIMEOUT, self.0.session(orders)).await?;
        Ok(Reports(reports.into_inner()))
    }

    /// Has the agent find what its host can carry, which takes half a minute, or ten seconds if
    /// `quick`.
    ///
    /// # Errors
    /// As [`CallError`] says.
    pub async fn calibrate(&mut self, quick: bool) -> Result<HostCeiling, CallError> {
        let call = self.0.calibrate(pb::CalibrateRequest { quick });
        let reply = within(CALIBRATE_TIMEOUT, call).await?;
        Ok(HostCeiling::try_from(reply.into_inner())?)
    }

    /// Stops whatever the agent is doing; gives the run that was stopped.
    ///
    /// # Errors
    /// As [`CallError`] says.
    pub async fn abort(&mut self, reason: &str) -> Result<Option<RunId>, CallError> {
        let request = pb::AbortRequest { reason: reason.to_owned() };
        let reply = within(CALL_TIMEOUT, self.0.abort(request)).await?;
        let run = reply.into_inner().run.map(|bytes| Uuid::from_slice(&bytes)).transpose();
        run.map(|run| run.map(RunId))
            .map_err(|_| CallError::Nonsense(WireError::new("abort.run", "not 16 bytes")))
    }
}

/// Two queues in one stream; it ends with the first of them.
struct UrgentFirst {
    orders: mpsc::Receiver<Order>,
    bulk: mpsc::Receiver<Order>,
}

impl Stream for UrgentFirst {
    type Item = Order;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Order>> {
        match self.orders.poll_recv(cx) {
            Poll::Ready(order) => Poll::Ready(order),
            // Bulk that has ended is not the end of the orders, and wakes nobody any more.
            Poll::Pending => match self.bulk.poll_recv(cx) {
                Poll::Ready(Some(piece)) => Poll::Ready(Some(piece)),
                Poll::Ready(None) | Poll::Pending => Poll::Pending,
            },
        }
    }
}

async fn within<T>(
    time: Duration,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(time, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(CallError::Lost(format!("no answer for {} s", time.as_secs()))),
    }
}

/// The reports of a session.
pub struct Reports(Streaming<pb::Report>);

impl Reports {
    /// The next report.
    ///
    /// # Errors
    /// `Lost` also when the stream ends: an agent never says goodbye first.
    pub async fn next(&mut self) -> Result<Report, CallError> {
        match self.0.message().await? {
            Some(message) => Ok(Report::try_from(message)?),
            None => Err(CallError::Lost("the agent ended the session".to_owned())),
        }
    }
}
