//! Keeping the connections of a head, and of the whole node, between two marks.

use crate::kad_id::KadId;
use crate::table::Table;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    CloseConnection, ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

/// How many connections there may be, of one head or of the node.
#[derive(Debug, Clone, Copy)]
pub struct Marks {
    /// New ones beyond are refused.
    pub max: u32,
    /// Above it the least useful ones are closed …
    pub high: u32,
    /// … until so many are left.
    pub low: u32,
}

/// What all heads share: how many connections the node has.
#[derive(Debug)]
pub struct NodeCrowd {
    marks: Marks,
    held: AtomicU32,
    /// Of those held, the ones that are about to be closed.
    closing: AtomicU32,
    refused: AtomicU64,
    trimmed: AtomicU64,
}

impl NodeCrowd {
    /// A node without connections.
    pub fn new(marks: Marks) -> Self {
        Self {
            marks,
            held: AtomicU32::new(0),
            closing: AtomicU32::new(0),
            refused: AtomicU64::new(0),
            trimmed: AtomicU64::new(0),
        }
    }

    /// Connections that are established.
    pub fn held(&self) -> u32 {
        self.held.load(Ordering::Relaxed)
    }

    /// Connections that are to stay.
    fn staying(&self) -> u32 {
        self.held().saturating_sub(self.closing.load(Ordering::Relaxed))
    }

    /// Connections refused so far because the node or a head had its maximum.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Connections closed so far because there were too many.
    pub fn trimmed(&self) -> u64 {
        self.trimmed.load(Ordering::Relaxed)
    }
}

/// When each connection of a head was last of use. Written by the service, read when connections are to be closed.
#[derive(Debug, Default)]
pub struct Activity(Mutex<HashMap<ConnectionId, Use>>);

#[derive(Debug)]
struct Use {
    peer: PeerId,
    last: Instant,
    closing: bool,
}

impl Activity {
    /// Notes that a request came by this connection.
    pub fn note(&self, connection: ConnectionId, now: Instant) {
        if let Some(held) = self.held().get_mut(&connection) {
            held.last = now;
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<ConnectionId, Use>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Refuses connections beyond the maximum, and closes the least useful ones above the high mark: first those of peers
/// that are not in the table, the longest unused first.
#[derive(Debug)]
pub struct Crowd {
    head: Marks,
    node: Arc<NodeCrowd>,
    activity: Arc<Activity>,
    table: Arc<Table>,
    /// Each was held when it was put here, so there are no more of them than connections.
    to_close: VecDeque<(PeerId, ConnectionId)>,
    /// How many of those held are about to be closed.
    closing: usize,
}

/// The node, or the head, has as many connections as it may.
#[derive(Debug, thiserror::Error)]
#[error("as many connections as there may be")]
pub struct TooMany;

impl Crowd {
    /// The connections of a new head.
    pub fn new(head: Marks, node: Arc<NodeCrowd>, activity: Arc<Activity>, table: Arc<Table>) -> Self {
        activity.held().clear();
        Self { head, node, activity, table, to_close: VecDeque::new(), closing: 0 }
    }

    fn admit(&self) -> Result<(), ConnectionDenied> {
        let here = self.activity.held().len();
        if here >= self.head.max as usize || self.node.held() >= self.node.marks.max {
            self.node.refused.fetch_add(1, Ordering::Relaxed);
            return Err(ConnectionDenied::new(TooMany));
        }
        Ok(())
    }

    /// Chooses which to close, once a mark is passed.
    fn trim(&mut self) {
        let mut held = self.activity.held();
        let here = held.len().saturating_sub(self.closing);
        let mut keep = here;
        if here > self.head.high as usize {
            keep = self.head.low as usize;
        }
        if self.node.staying() > self.node.marks.high {
            // Every head closes its part: what all of them keep adds up to the low mark.
            let part = here as u64 * u64::from(self.node.marks.low) / u64::from(self.node.marks.high.max(1));
            keep = keep.min(part as usize);
        }
        if keep >= here {
            return;
        }
        let snapshot = self.table.snapshot();
        let mut ranked: Vec<_> = held
            .iter()
            .filter(|(_, held)| !held.closing)
            .map(|(connection, held)| {
                (snapshot.find(&KadId::of_peer(&held.peer)).is_some(), held.last, *connection)
            })
            .collect();
        ranked.sort_unstable_by_key(|(in_table, last, _)| (*in_table, *last));
        ranked.truncate(here - keep);
        for (_, _, connection) in &ranked {
            if let Some(least) = held.get_mut(connection) {
                least.closing = true;
                self.to_close.push_back((least.peer, *connection));
            }
        }
        self.closing += ranked.len();
        self.node.closing.fetch_add(ranked.len() as u32, Ordering::Relaxed);
        self.node.trimmed.fetch_add(ranked.len() as u64, Ordering::Relaxed);
    }

    fn closed(&mut self, connection: ConnectionId) {
        let Some(closed) = self.activity.held().remove(&connection) else { return };
        if closed.closing {
            self.to_close.retain(|(_, waiting)| *waiting != connection);
            self.closing -= 1;
            self.node.closing.fetch_sub(1, Ordering::Relaxed);
        }
        self.node.held.fetch_sub(1, Ordering::Relaxed);
        self.table.disconnected(&closed.peer);
    }
}

/// A head that ends takes its connections with it.
impl Drop for Crowd {
    fn drop(&mut self) {
        let mut held = self.activity.held();
        self.node.held.fetch_sub(held.len() as u32, Ordering::Relaxed);
        self.node.closing.fetch_sub(self.closing as u32, Ordering::Relaxed);
        for (_, held) in held.drain() {
            self.table.disconnected(&held.peer);
        }
    }
}

impl NetworkBehaviour for Crowd {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    /// Before the handshake, which costs a thousand times what this does.
    fn handle_pending_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.admit()
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit().map(|()| dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit().map(|()| dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match event {
            FromSwarm::ConnectionEstablished(established) => {
                let held = Use { peer: established.peer_id, last: Instant::now(), closing: false };
                self.activity.held().insert(established.connection_id, held);
                self.node.held.fetch_add(1, Ordering::Relaxed);
                self.table.connected(established.peer_id);
                self.trim();
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. }) => {
                self.closed(connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        // Whatever fills `to_close` is a swarm event, after which the swarm polls again: no waker is needed.
        match self.to_close.pop_front() {
            Some((peer_id, connection)) => Poll::Ready(ToSwarm::CloseConnection {
                peer_id,
                connection: CloseConnection::One(connection),
            }),
            None => Poll::Pending,
        }
    }
}
