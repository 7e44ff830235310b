//! Who answers the requests.

use crate::{Reply, Request};
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};
use std::future::Future;
use std::sync::Arc;

/// Where a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// The authenticated peer.
    pub peer: PeerId,
    /// The address at the other end of the connection.
    pub address: Multiaddr,
    /// The connection.
    pub connection: ConnectionId,
}

/// Answers requests. It is awaited in the task of the connection that the request came by.
pub trait Service: Send + Sync + 'static {
    /// Answers one request. The next request of the same stream is read only when this one is answered.
    ///
    /// The request shares the memory of the frame it came in, up to 4 MiB: copy what is to outlive the call. Taking
    /// longer than [`Limits::frame_wait`](crate::Limits::frame_wait) resets the stream. A panic ends the
    /// connection's task.
    ///
    /// # Cancel safety
    /// The future is dropped when the connection closes.
    fn handle(&self, from: &Remote, request: Request) -> impl Future<Output = Reply> + Send;
}

impl<S: Service> Service for Arc<S> {
    fn handle(&self, from: &Remote, request: Request) -> impl Future<Output = Reply> + Send {
        S::handle(self, from, request)
    }
}

/// Answers nobody: the service of a peer that only asks.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoService;

impl Service for NoService {
    async fn handle(&self, _from: &Remote, _request: Request) -> Reply {
        Reply::Reset
    }
}
