//! The open connections to peers, in the table or not.

use libp2p::PeerId;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Connections by peer; holds peers that are connected or in the table, no others.
#[derive(Debug, Default)]
pub(super) struct Connections {
    pub(super) by_peer: HashMap<PeerId, Arc<AtomicU32>>,
}

impl Connections {
    /// The count of a peer, for its entry in the table.
    pub(super) fn of(&mut self, peer: PeerId) -> Arc<AtomicU32> {
        Arc::clone(self.by_peer.entry(peer).or_default())
    }

    /// Notes a new connection to a peer.
    pub(super) fn connected(&mut self, peer: PeerId) {
        self.by_peer.entry(peer).or_default().fetch_add(1, Ordering::Relaxed);
    }

    /// Notes the end of a connection to a peer.
    pub(super) fn disconnected(&mut self, peer: &PeerId) {
        if let Some(open) = self.by_peer.get(peer) {
            open.fetch_sub(1, Ordering::Relaxed);
        }
        self.forget_unused(peer);
    }

    /// Whether a connection to a peer is open.
    pub(super) fn is_connected(&self, peer: &PeerId) -> bool {
        self.by_peer.get(peer).is_some_and(|open| open.load(Ordering::Relaxed) > 0)
    }

    /// Forgets a peer that has no connection and is not in the table.
    pub(super) fn forget_unused(&mut self, peer: &PeerId) {
        let unused =
            |open: &Arc<AtomicU32>| open.load(Ordering::Relaxed) == 0 && Arc::strong_count(open) == 1;
        if self.by_peer.get(peer).is_some_and(unused) {
            self.by_peer.remove(peer);
        }
    }
}
