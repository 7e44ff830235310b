//! The addresses of peers that were met, servers or not.

use crate::net::address::{best_first, of_peer};
use hydra_kad::EncodedPeer;
use libp2p::{Multiaddr, PeerId};
use quick_cache::sync::Cache;
use std::sync::Arc;

/// Addresses kept of one peer.
pub(crate) const ADDRESSES_PER_PEER_MAX: usize = 16;

/// What identify told of peers: at most as many as it was made for, the least asked for are forgotten first.
///
/// It answers who asks for a peer by its very id (requirement Q5), whether that peer is a server or not.
#[derive(Debug)]
pub(crate) struct PeerAddresses {
    met: Cache<PeerId, Arc<Identified>>,
}

/// A peer that was met.
#[derive(Debug)]
pub(crate) struct Identified {
    /// Id and addresses as they stand in answers, private addresses too.
    pub(crate) encoded: EncodedPeer,
    /// Its addresses, the best ones first.
    pub(crate) addresses: Vec<Multiaddr>,
}

impl PeerAddresses {
    /// The addresses of at most `peers_max` peers.
    pub(crate) fn new(peers_max: usize) -> Self {
        Self { met: Cache::new(peers_max) }
    }

    /// Notes where a peer can be reached. A peer without an address is not noted.
    pub(crate) fn record(&self, peer: PeerId, addresses: Vec<Multiaddr>) {
        let addresses = best_first(of_peer(&peer, addresses));
        if !addresses.is_empty() {
            let encoded = EncodedPeer::new(&peer.to_bytes(), &addresses);
            self.met.insert(peer, Arc::new(Identified { encoded, addresses }));
        }
    }

    /// Removes a peer.
    pub(crate) fn forget(&self, peer: &PeerId) {
        self.met.remove(peer);
    }

    /// What is known of a peer.
    pub(crate) fn find(&self, peer: &PeerId) -> Option<Arc<Identified>> {
        self.met.get(peer)
    }
}

/// The addresses [of a peer](of_peer) in an identify message that are worth keeping: at most `max`, the best ones first.
pub(crate) fn worth_keeping(peer: &PeerId, told: Vec<Multiaddr>, max: usize) -> Vec<Multiaddr> {
    let mut kept = best_first(of_peer(peer, told.into_iter().take(4 * max)));
    kept.truncate(max);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_only_the_own_id_is_not_kept() {
        let peer = PeerId::random();
        let direct: Multiaddr = "/ip4/1.1.1.1/tcp/1".parse().unwrap();
        let own: Multiaddr = format!("/p2p/{peer}").parse().unwrap();
        let told = vec![own, Multiaddr::empty(), direct.clone()];
        assert_eq!(worth_keeping(&peer, told, ADDRESSES_PER_PEER_MAX), [direct]);
    }

    #[test]
    fn the_best_addresses_are_kept_and_none_twice() {
        let peer = PeerId::random();
        let [public, private]: [Multiaddr; 2] =
            ["/ip4/1.1.1.1/tcp/1", "/ip4/10.0.0.1/tcp/1"].map(|text| text.parse().unwrap());
        let told = vec![private.clone(), public.clone(), private.clone(), public.clone()];
        assert_eq!(worth_keeping(&peer, told.clone(), 2), [public.clone(), private.clone()]);
        assert_eq!(worth_keeping(&peer, told, 1), [public]);
    }
}
