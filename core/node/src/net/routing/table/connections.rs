//! The open connections to peers, in the table or not.

use libp2p::PeerId;
use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// So many locks share the peers, so that heads rarely wait for one another, and nobody for a change of the table.
const SHARDS: usize = 64;

/// Connections by peer; holds peers that are connected or in the table, no others.
#[derive(Debug)]
pub(super) struct Connections {
    shards: [RwLock<HashMap<PeerId, Known>>; SHARDS],
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Known {
    open: Arc<AtomicU32>,
    /// Whether the peer is in the table.
    listed: bool,
}

impl Default for Connections {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| RwLock::default()), hasher: RandomState::new() }
    }
}

impl Connections {
    /// The count of a peer that enters the table.
    pub(super) fn listed(&self, peer: PeerId) -> Arc<AtomicU32> {
        let mut shard = self.write(&peer);
        let known = shard.entry(peer).or_default();
        known.listed = true;
        Arc::clone(&known.open)
    }

    /// Notes that a peer has left the table.
    pub(super) fn unlisted(&self, peer: &PeerId) {
        self.change(peer, |known| known.listed = false);
    }

    /// Notes a new connection to a peer.
    pub(super) fn connected(&self, peer: PeerId) {
        self.write(&peer).entry(peer).or_default().open.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes the end of a connection to a peer.
    pub(super) fn disconnected(&self, peer: &PeerId) {
        self.change(peer, |known| {
            let less = |open: u32| open.checked_sub(1);
            // A connection that was never noted ends without a trace.
            let _none = known.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_err();
        });
    }

    /// Whether a connection to a peer is open.
    pub(super) fn is_connected(&self, peer: &PeerId) -> bool {
        self.read(peer).get(peer).is_some_and(|known| known.open.load(Ordering::Relaxed) > 0)
    }

    /// How many peers are held.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    /// Changes what is known of a peer, and forgets one that has no connection and is not in the table.
    fn change(&self, peer: &PeerId, change: impl FnOnce(&mut Known)) {
        if let Entry::Occupied(mut known) = self.write(peer).entry(*peer) {
            change(known.get_mut());
            if !known.get().listed && known.get().open.load(Ordering::Relaxed) == 0 {
                known.remove();
            }
        }
    }

    fn shard(&self, peer: &PeerId) -> &RwLock<HashMap<PeerId, Known>> {
        &self.shards[self.hasher.hash_one(peer) as usize % SHARDS]
    }

    fn read(&self, peer: &PeerId) -> RwLockReadGuard<'_, HashMap<PeerId, Known>> {
        self.shard(peer).read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, peer: &PeerId) -> RwLockWriteGuard<'_, HashMap<PeerId, Known>> {
        self.shard(peer).write().unwrap_or_else(PoisonError::into_inner)
    }
}
