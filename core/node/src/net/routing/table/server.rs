//! One server of the table.

use crate::net::address::IpGroup;
use crate::net::routing::kad_id::KadId;
use hydra_kad::EncodedPeer;
use libp2p::{Multiaddr, PeerId};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// One DHT server that answered a probe, or one of our own heads. Encoded once, when it enters.
#[derive(Debug)]
pub struct Server {
    /// Its id.
    pub peer: PeerId,
    /// Its place in the key space.
    pub id: KadId,
    /// Its addresses, as far as the address policy permits, the best ones first.
    pub addresses: Vec<Multiaddr>,
    /// Id and addresses as they stand in answers.
    pub encoded: EncodedPeer,
    /// The groups that its addresses are in, by which clients judge an answer, and the one it was reached in.
    pub(super) groups: Vec<IpGroup>,
    /// The group in which it was reached, which decides whether there is room for it.
    pub(super) group: Option<IpGroup>,
    pub(super) origin: Origin,
    /// Live connections to it, over all heads.
    pub(super) connections: Arc<AtomicU32>,
    /// Milliseconds since the table was made.
    pub(super) seen_ms: AtomicU64,
}

/// Whether a server is one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A head of this node.
    Own,
    /// Somebody else's.
    Foreign,
}

impl Server {
    /// Whether it is a head of this node.
    pub fn is_own(&self) -> bool {
        self.origin == Origin::Own
    }

    /// Whether a connection to it is open (requirement Q10).
    pub fn is_connected(&self) -> bool {
        self.connections.load(Ordering::Relaxed) > 0
    }
}
