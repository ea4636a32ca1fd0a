//! The agent's side of the wire: a trait in domain types, and the adapter that serves it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use common::ceiling::HostCeiling;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::Server;
pub use tonic::transport::server::Connected;
use tonic::{Request, Response, Status, Streaming};

use crate::generated as pb;
use crate::generated::agent_server::{Agent, AgentServer};
use crate::message::{Greeting, Hello, Order, Peer, Refusal, Report};
use crate::wire::{MESSAGE_MAX, WireError};

/// Clears away connections that died in silence. The load is stopped by the lease, long before:
/// a coordinator whose host is too busy to answer for a moment must not lose its agent by this.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// What an agent does. Every call carries the peer as the link proved it.
pub trait AgentApi: Send + Sync + 'static {
    /// Says who the agent is and whether it is free.
    fn hello(&self, peer: &Peer, hello: &Hello) -> Result<Greeting, Refusal>;

    /// Begins a session: takes the orders, gives the channel that its reports come from. The
    /// session ends when that channel closes; a refusal sent through it is the last word.
    fn session(
        &self,
        peer: Peer,
        orders: Orders,
    ) -> Result<mpsc::Receiver<Result<Report, Refusal>>, Refusal>;

    /// Begins to find what the agent's host can carry. It is given up when the receiver goes.
    fn calibrate(
        &self,
        peer: &Peer,
        quick: bool,
    ) -> Result<oneshot::Receiver<Result<HostCeiling, Refusal>>, Refusal>;

    /// Stops whatever runs. Gives the run that was stopped.
    fn abort(&self, peer: &Peer, reason: &str) -> Result<Option<common::ids::RunId>, Refusal>;
}

/// The orders of a session.
pub struct Orders(Streaming<pb::Order>);

/// Why there are no more orders. The end of the stream alone is never a farewell: a dead
/// connection can look the same.
#[derive(Debug, thiserror::Error)]
pub enum OrdersEnd {
    /// The stream ended or the connection is gone.
    #[error("the coordinator's connection is gone: {0}")]
    Lost(String),
    /// An order that cannot be understood.
    #[error("bad order: {0}")]
    Bad(#[from] WireError),
}

impl Orders {
    /// The next order.
    pub async fn next(&mut self) -> Result<Order, OrdersEnd> {
        match self.0.message().await {
            Ok(Some(message)) => Ok(Order::try_from(message)?),
            Ok(None) => Err(OrdersEnd::Lost("end of stream".to_owned())),
            Err(status) => Err(OrdersEnd::Lost(status.message().to_owned())),
        }
    }
}

struct Adapter<A>(Arc<A>);

fn peer<T>(request: &Request<T>) -> Result<Peer, Status> {
    let peer = request.extensions().get::<Peer>().cloned();
    peer.ok_or_else(|| Status::internal("the link did not say who calls"))
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            Refusal::Protocol { .. } | Refusal::Fenced { .. } => Self::failed_precondition(text),
            Refusal::Busy { .. } => Self::resource_exhausted(text),
            Refusal::NotAllowed(_) => Self::permission_denied(text),
            Refusal::Invalid(_) => Self::invalid_argument(text),
        }
    }
}

fn invalid(error: WireError) -> Status {
    Status::invalid_argument(error.to_string())
}

#[tonic::async_trait]
impl<A: AgentApi> Agent for Adapter<A> {
    async fn hello(
        &self,
        request: Request<pb::HelloRequest>,
    ) -> Result<Response<pb::HelloReply>, Status> {
        let peer = peer(&request)?;
        let hello = Hello::try_from(request.into_inner()).map_err(invalid)?;
        let greeting = self.0.hello(&peer, &hello)?;
        Ok(Response::new((&greeting).into()))
    }

    type SessionStream = std::pin::Pin<Box<dyn Stream<Item = Result<pb::Report, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<pb::Order>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let peer = peer(&request)?;
        let reports = self.0.session(peer, Orders(request.into_inner()))?;
        let stream = ReceiverStream::new(reports).map(|report| match report {
            Ok(report) => Ok(pb::Report::from(&report)),
            Err(refusal) => Err(refusal.into()),
        });
        Ok(Response::new(Box::pin(stream)))
    }

    async fn calibrate(
        &self,
        request: Request<pb::CalibrateRequest>,
    ) -> Result<Response<pb::CalibrateReply>, Status> {
        let peer = peer(&request)?;
        let found = self.0.calibrate(&peer, request.into_inner().quick)?.await;
        let gone = |_| Status::internal("the agent gave up finding its ceiling");
        Ok(Response::new((&found.map_err(gone)??).into()))
    }

    async fn abort(
        &self,
        request: Request<pb::AbortRequest>,
    ) -> Result<Response<pb::AbortReply>, Status> {
        let peer = peer(&request)?;
        let reason: String =
            request.into_inner().reason.chars().filter(|c| !c.is_control()).take(200).collect();
        let run = self.0.abort(&peer, &reason)?;
        Ok(Response::new(pb::AbortReply { run: run.map(|run| run.0.as_bytes().to_vec()) }))
    }
}

/// Serves an agent on the connections of `incoming` until `shutdown` resolves.
///
/// # Errors
/// If the transport fails as a whole; a failing connection only ends itself.
pub async fn serve<A, I, C>(
    api: Arc<A>,
    incoming: I,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError>
where
    A: AgentApi,
    I: Stream<Item = std::io::Result<C>>,
    C: tokio::io::AsyncRead + tokio::io::AsyncWrite + Connected<ConnectInfo = Peer>,
    C: Unpin + Send + 'static,
{
    let service = AgentServer::new(Adapter(api))
        .max_decoding_message_size(MESSAGE_MAX)
        .max_encoding_message_size(MESSAGE_MAX);
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(16)
        .add_service(service)
        .serve_with_incoming_shutdown(incoming, shutdown)
        .await
        .map_err(|error| ServeError(error.to_string()))
}

/// The transport failed as a whole.
#[derive(Debug, thiserror::Error)]
#[error("the gRPC server failed: {0}")]
pub struct ServeError(String);
