//! The connections of the whole node.

use super::marks::Marks;
use super::rounds::Rounds;
use crate::net::unique_peers::UniquePeers;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

/// What all heads share: how many connections the node has.
#[derive(Debug)]
pub struct NodeConnections {
    pub(super) marks: Marks,
    pub(super) held: AtomicU32,
    /// Of those held, the ones that are about to be closed.
    pub(super) closing: AtomicU32,
    pub(super) refused: AtomicU64,
    pub(super) trimmed: AtomicU64,
    pub(super) unique_peers: UniquePeers,
    pub(super) rounds: Rounds,
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
    pub(super) fn staying(&self) -> u32 {
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
