//! Keeping the connections of a head, and of the whole node, between two marks.

mod rounds;

pub use crate::answer_size::Agent;

use crate::config::Connections;
use crate::kad_id::KadId;
use crate::table::Table;
use crate::unique_peers::UniquePeers;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    CloseConnection, ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};
use rounds::{Member, Rounds};
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

/// The limits of the number of connections, of one head or of the node.
#[derive(Debug, Clone, Copy)]
pub struct Marks {
    /// At this number new connections are refused.
    pub max: u32,
    /// Above this number the least useful connections are closed …
    pub high: u32,
    /// … until this number is left.
    pub low: u32,
}

impl Marks {
    /// The limits of one head.
    pub(crate) fn of_head(connections: &Connections) -> Self {
        Self { max: connections.per_head_max, high: connections.per_head_high, low: connections.per_head_low }
    }

    /// The limits of the node.
    pub(crate) fn of_node(connections: &Connections) -> Self {
        Self { max: connections.per_node_max, high: connections.per_node_high, low: connections.per_node_low }
    }
}

/// What all heads share: how many connections the node has.
#[derive(Debug)]
pub struct NodeConnections {
    marks: Marks,
    held: AtomicU32,
    /// Of those held, the ones that are about to be closed.
    closing: AtomicU32,
    refused: AtomicU64,
    trimmed: AtomicU64,
    unique_peers: UniquePeers,
    rounds: Rounds,
}

impl NodeConnections {
    /// A node without connections.
    pub fn new(marks: Marks) -> Self {
        Self {
            marks,
            held: AtomicU32::new(0),
            closing: AtomicU32::new(0),
            refused: AtomicU64::new(0),
            trimmed: AtomicU64::new(0),
            unique_peers: UniquePeers::new(Instant::now()),
            rounds: Rounds::default(),
        }
    }

    /// How many there may be.
    pub fn marks(&self) -> Marks {
        self.marks
    }

    /// The peers with which a connection was made. One that lasts counts when it begins.
    pub fn unique_peers(&self) -> &UniquePeers {
        &self.unique_peers
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

/// When each connection of a head was last of use, and who is at its other end. Written by the service, read when
/// connections are to be closed.
#[derive(Debug, Default)]
pub struct Activity(Mutex<HashMap<ConnectionId, Use>>);

#[derive(Debug)]
struct Use {
    peer: PeerId,
    last: Instant,
    closing: bool,
    agent: Agent,
}

impl Activity {
    /// Notes that a request came by this connection, and says who is at its other end.
    pub fn record(&self, connection: ConnectionId, now: Instant) -> Agent {
        self.held().get_mut(&connection).map_or(Agent::Unknown, |held| {
            held.last = now;
            held.agent
        })
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<ConnectionId, Use>> {
        lock(&self.0)
    }
}

/// Nothing that a panic could leave half done is kept behind these locks.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Refuses connections beyond the maximum, and closes the least useful ones above the high mark: first those of peers
/// that are not in the table, the longest unused first.
#[derive(Debug)]
pub struct ConnectionLimits {
    head: Marks,
    node: Arc<NodeConnections>,
    activity: Arc<Activity>,
    table: Arc<Table>,
    /// Each was held when it was put here, so there are no more of them than connections.
    to_close: VecDeque<(PeerId, ConnectionId)>,
    /// How many of those held are about to be closed.
    closing: usize,
    member: Member,
}

/// The connection limit of the node or of the head is reached.
#[derive(Debug, thiserror::Error)]
#[error("connection limit reached")]
pub struct TooMany;

impl ConnectionLimits {
    /// The connections of a new head.
    pub fn new(head: Marks, node: Arc<NodeConnections>, activity: Arc<Activity>, table: Arc<Table>) -> Self {
        activity.held().clear();
        let member = node.rounds.join();
        Self { head, node, activity, table, to_close: VecDeque::new(), closing: 0, member }
    }

    /// Notes what identify told of the agent at the other end of a connection.
    pub fn identified(&self, connection: ConnectionId, agent_version: &str) {
        if let Some(held) = self.activity.held().get_mut(&connection) {
            held.agent = Agent::of(agent_version);
        }
    }

    fn admit(&self) -> Result<(), ConnectionDenied> {
        let here = self.activity.held().len();
        if here >= self.head.max as usize || self.node.held() >= self.node.marks.max {
            self.node.refused.fetch_add(1, Ordering::Relaxed);
            return Err(ConnectionDenied::new(TooMany));
        }
        Ok(())
    }

    /// Connections of the head that are to stay.
    fn staying(&self) -> usize {
        self.activity.held().len().saturating_sub(self.closing)
    }

    /// Closes what is too much after a new connection.
    fn grown(&mut self) {
        if self.staying() > self.head.high as usize {
            self.trim(self.head.low as usize);
        }
        if self.node.staying() > self.node.marks.high {
            self.node.rounds.begin();
            self.take_part();
        }
    }

    /// Closes this head's part of what the node has too much: what all heads keep adds up to the low mark.
    fn take_part(&mut self) {
        if self.node.rounds.is_due(&mut self.member) {
            let marks = self.node.marks;
            let part = self.staying() as u64 * u64::from(marks.low) / u64::from(marks.high.max(1));
            self.trim(part as usize);
        }
    }

    /// Chooses which to close so that `keep` are left.
    fn trim(&mut self, keep: usize) {
        let surplus = self.staying().saturating_sub(keep);
        if surplus == 0 {
            return;
        }
        let mut held = self.activity.held();
        let snapshot = self.table.snapshot();
        let mut ranked: Vec<_> = held
            .iter()
            .filter(|(_, held)| !held.closing)
            .map(|(connection, held)| {
                (snapshot.find(&KadId::of_peer(&held.peer)).is_some(), held.last, *connection)
            })
            .collect();
        ranked.sort_unstable_by_key(|(in_table, last, _)| (*in_table, *last));
        ranked.truncate(surplus);
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
impl Drop for ConnectionLimits {
    fn drop(&mut self) {
        self.node.rounds.leave(&self.member);
        let mut held = self.activity.held();
        self.node.held.fetch_sub(held.len() as u32, Ordering::Relaxed);
        self.node.closing.fetch_sub(self.closing as u32, Ordering::Relaxed);
        for (_, held) in held.drain() {
            self.table.disconnected(&held.peer);
        }
    }
}

impl NetworkBehaviour for ConnectionLimits {
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
                let now = Instant::now();
                let agent = Agent::default();
                let held = Use { peer: established.peer_id, last: now, closing: false, agent };
                self.activity.held().insert(established.connection_id, held);
                self.node.unique_peers.record(&established.peer_id, now);
                self.node.held.fetch_add(1, Ordering::Relaxed);
                self.table.connected(established.peer_id);
                self.grown();
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

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        // A swarm event fills `to_close`, after which the swarm polls again, or a round that another head begins.
        self.member.listen(cx);
        self.take_part();
        match self.to_close.pop_front() {
            Some((peer_id, connection)) => Poll::Ready(ToSwarm::CloseConnection {
                peer_id,
                connection: CloseConnection::One(connection),
            }),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests;
