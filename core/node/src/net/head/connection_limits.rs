//! Keeping the connections of a head, and of the whole node, between two marks.

mod marks;
mod node;
mod places;
mod refusal;
mod rounds;

pub use crate::net::requests::activity::Activity;
pub use crate::net::requests::answer_size::Agent;
pub use marks::Marks;
pub use node::{Inbound, NodeConnections};
pub use places::PlaceLimits;
pub use refusal::Refusal;

use crate::net::address::ip_of;
use crate::net::requests::activity::Use;
use crate::net::routing::kad_id::KadId;
use crate::net::routing::table::Table;
use libp2p::connection_limits::Exceeded;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    CloseConnection, ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, ListenError, ListenFailure,
    NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};
use places::{Pending, Place, Prefix, Source};
use rounds::{Cause, Member};
use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Instant;

/// Of eight connections, so many stay when some are closed for want of memory.
const MEMORY_KEEPS: u32 = 7;

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
    /// The maximum of `pending`.
    pending_max: u32,
    /// Inbound connections that are being established.
    pending: HashMap<ConnectionId, (Source, Place)>,
    pending_count: Pending,
    /// Inbound connections that are established.
    inbound: HashMap<ConnectionId, Place>,
}

impl ConnectionLimits {
    /// The connections of a new head.
    pub fn new(
        (head, pending_max): (Marks, u32),
        node: Arc<NodeConnections>,
        activity: Arc<Activity>,
        table: Arc<Table>,
    ) -> Self {
        activity.held().clear();
        let member = node.rounds.join();
        let (pending, inbound) = (HashMap::new(), HashMap::new());
        let (to_close, pending_count) = (VecDeque::new(), Pending::default());
        Self {
            head,
            node,
            activity,
            table,
            to_close,
            closing: 0,
            member,
            pending_max,
            pending,
            pending_count,
            inbound,
        }
    }

    /// Notes what identify told of the agent at the other end of a connection.
    pub fn identified(&self, connection: ConnectionId, agent_version: &str) {
        if let Some(held) = self.activity.held().get_mut(&connection) {
            held.agent = Agent::of(agent_version);
        }
    }

    /// The host that opened a connection; none of loopback, which has no limits.
    pub fn host(&self, connection: ConnectionId) -> Option<IpAddr> {
        self.inbound.get(&connection).and_then(Place::host).map(Prefix::ip)
    }

    /// Whether inbound connections are admitted at all.
    fn memory(&self) -> Result<(), Refusal> {
        match self.node.inbound() {
            Inbound::Admitted => Ok(()),
            Inbound::Refused => Err(Refusal::Memory),
        }
    }

    /// Whether there is room for one more established connection.
    fn room(&self) -> Result<(), Refusal> {
        if self.activity.held().len() >= self.head.max as usize {
            return Err(Refusal::Head);
        }
        if self.node.held() >= self.node.marks.max { Err(Refusal::Node) } else { Ok(()) }
    }

    fn begin(&mut self, connection: ConnectionId, from: &Multiaddr) -> Result<(), Refusal> {
        self.memory()?;
        self.room()?;
        let source = Source::of(from);
        if !self.pending_count.has_room(source, self.pending_max) {
            return Err(Refusal::PendingHead);
        }
        let place = self.node.places.take(ip_of(from), source)?;
        self.pending_count.add(source);
        self.pending.insert(connection, (source, place));
        Ok(())
    }

    fn establish(&mut self, connection: ConnectionId) -> Result<(), Refusal> {
        let place = self.end_pending(connection);
        self.room()?;
        if let Some(mut place) = place {
            self.memory()?;
            place.establish()?;
            self.inbound.insert(connection, place);
        }
        Ok(())
    }

    /// A connection is not being established any more.
    fn end_pending(&mut self, connection: ConnectionId) -> Option<Place> {
        let (source, place) = self.pending.remove(&connection)?;
        self.pending_count.remove(source);
        Some(place)
    }

    fn counted<T>(&self, admitted: Result<T, Refusal>) -> Result<T, ConnectionDenied> {
        admitted.map_err(|refusal| {
            self.node.refusals.count(refusal);
            ConnectionDenied::new(refusal)
        })
    }

    /// An inbound connection was not established, or was refused by the limit of its peer.
    fn not_established(&mut self, connection: ConnectionId, error: &ListenError) {
        drop(self.end_pending(connection));
        self.inbound.remove(&connection);
        if let ListenError::Denied { cause } = error
            && cause.downcast_ref::<Exceeded>().is_some()
        {
            self.node.refusals.count(Refusal::Peer);
        }
    }

    /// Connections of the head that are to stay.
    fn staying(&self) -> usize {
        self.activity.held().len().saturating_sub(self.closing)
    }

    /// Closes what is too much after a new connection.
    fn grown(&mut self) {
        if self.staying() > self.head.high as usize {
            self.trim(self.head.low as usize, Cause::HighMark);
        }
        if self.node.staying() > self.node.marks.high {
            self.node.rounds.begin(Cause::HighMark);
            self.take_part();
        }
    }

    /// Closes this head's part of what the node has too much: what all heads keep adds up to the low mark, or, for want of memory,
    /// to all but an eighth.
    fn take_part(&mut self) {
        let Some(cause) = self.node.rounds.due(&mut self.member) else { return };
        let marks = self.node.marks;
        let (keep, of) = match cause {
            Cause::HighMark => (marks.low, marks.high.max(1)),
            Cause::Memory => (MEMORY_KEEPS, MEMORY_KEEPS + 1),
        };
        let staying = self.staying();
        self.trim(staying.saturating_sub(self.node.surplus(staying, of - keep.min(of), of)), cause);
    }

    /// Chooses which to close so that `keep` are left.
    fn trim(&mut self, keep: usize, cause: Cause) {
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
        let ranked = self.largest_hosts_first(ranked, surplus);
        for connection in &ranked {
            if let Some(least) = held.get_mut(connection) {
                least.closing = true;
                self.to_close.push_back((least.peer, *connection));
            }
        }
        self.closing += ranked.len();
        self.node.closing.fetch_add(ranked.len() as u32, Ordering::Relaxed);
        let counter = match cause {
            Cause::HighMark => &self.node.trimmed,
            Cause::Memory => &self.node.closed_for_memory,
        };
        counter.fetch_add(ranked.len() as u64, Ordering::Relaxed);
    }

    /// The first of these, once the connections of each host beyond its most recent are ahead of those of others: many
    /// identities on one host push out each other, and nobody else.
    fn largest_hosts_first(
        &self,
        ranked: Vec<(bool, Instant, ConnectionId)>,
        surplus: usize,
    ) -> Vec<ConnectionId> {
        let mut of_host: HashMap<Prefix, usize> = HashMap::new();
        let mut weighed: Vec<_> = ranked
            .into_iter()
            .rev()
            .map(|(in_table, last, connection)| {
                let host = self.inbound.get(&connection).and_then(Place::host);
                let newer = host.map_or(0, |host| {
                    let newer = of_host.entry(host).or_default();
                    *newer += 1;
                    *newer - 1
                });
                (in_table, Reverse(newer), last, connection)
            })
            .collect();
        weighed.sort_by_key(|(in_table, newer, last, _)| (*in_table, *newer, *last));
        weighed.truncate(surplus);
        weighed.into_iter().map(|(.., connection)| connection).collect()
    }

    fn closed(&mut self, connection: ConnectionId) {
        self.inbound.remove(&connection);
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
        connection: ConnectionId,
        _: &Multiaddr,
        from: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let begun = self.begin(connection, from);
        self.counted(begun)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let established = self.establish(connection);
        self.counted(established).map(|()| dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.counted(self.room()).map(|()| dummy::ConnectionHandler)
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
            FromSwarm::ListenFailure(ListenFailure { connection_id, error, .. }) => {
                self.not_established(connection_id, error);
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
