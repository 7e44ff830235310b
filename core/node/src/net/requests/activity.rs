//! The use of each connection of a head, and the program at its other end.

use super::answer_size::Agent;
use libp2p::PeerId;
use libp2p::swarm::ConnectionId;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// When each connection of a head was last of use, and who is at its other end. Written by the service, read when
/// connections are to be closed.
#[derive(Debug, Default)]
pub struct Activity {
    held: Mutex<HashMap<ConnectionId, Use>>,
    requests: AtomicU64,
}

/// The use of one connection.
#[derive(Debug)]
pub(crate) struct Use {
    /// The peer at its other end.
    pub(crate) peer: PeerId,
    /// When it was last of use.
    pub(crate) last: Instant,
    /// True once it was chosen to be closed.
    pub(crate) closing: bool,
    /// The program at its other end.
    pub(crate) agent: Agent,
}

impl Activity {
    /// Notes that a request came by this connection, and says who is at its other end.
    pub fn record(&self, connection: ConnectionId, now: Instant) -> Agent {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.held().get_mut(&connection).map_or(Agent::Unknown, |held| {
            held.last = now;
            held.agent
        })
    }

    /// How many requests came, over all connections.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// The connections that are held. Nothing that a panic could leave half done is kept behind this lock.
    pub(crate) fn held(&self) -> MutexGuard<'_, HashMap<ConnectionId, Use>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
