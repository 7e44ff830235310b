//! The addresses of peers that were met, servers or not.

use crate::net::address::{best_first, of_peer};
use hydra_kad::EncodedPeer;
use libp2p::{Multiaddr, PeerId};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::sync::Arc;

/// Addresses kept of one peer.
pub(crate) const ADDRESSES_PER_PEER_MAX: usize = 16;

/// The longest address that is kept, and what all of one peer may take, in bytes. Honest addresses have less than a hundred.
const ADDRESS_BYTES_MAX: usize = 512;
const PEER_BYTES_MAX: usize = 2048;
/// What the addresses of a peer take on average, in bytes; with longer ones fewer peers are remembered.
const PEER_BYTES: usize = 512;

/// What identify told of peers: at most as many as it was made for, the least asked for are forgotten first.
///
/// It answers who asks for a peer by its very id (requirement Q5), whether that peer is a server or not.
#[derive(Debug)]
pub(crate) struct PeerAddresses {
    met: Cache<PeerId, Arc<Identified>, Bytes>,
}

/// A peer that was met.
#[derive(Debug)]
pub(crate) struct Identified {
    /// Id and addresses as they stand in answers, private addresses too.
    pub(crate) encoded: EncodedPeer,
    /// Its addresses, the best ones first.
    pub(crate) addresses: Vec<Multiaddr>,
}

/// Counts the addresses of a peer, and those in its answer.
#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<PeerId, Arc<Identified>> for Bytes {
    fn weight(&self, _: &PeerId, identified: &Arc<Identified>) -> u64 {
        let bytes: usize = identified.addresses.iter().map(Multiaddr::len).sum();
        (2 * bytes).max(PEER_BYTES) as u64
    }
}

impl PeerAddresses {
    /// The addresses of at most `peers_max` peers.
    pub(crate) fn new(peers_max: usize) -> Self {
        Self { met: Cache::with_weighter(peers_max, (peers_max * PEER_BYTES) as u64, Bytes) }
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

/// The addresses [of a peer](of_peer) that are worth keeping, of those that it or another peer tells: at most `max`, the best
/// ones first, and none that is so long that it is of use to nobody.
pub(crate) fn worth_keeping(peer: &PeerId, told: Vec<Multiaddr>, max: usize) -> Vec<Multiaddr> {
    let mut kept = best_first(of_peer(peer, told.into_iter().take(4 * max)));
    let mut room = PEER_BYTES_MAX;
    kept.retain(|address| {
        let left = room.checked_sub(address.len()).filter(|_| address.len() <= ADDRESS_BYTES_MAX);
        room = left.unwrap_or(room);
        left.is_some()
    });
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

    /// As much as a message of identify has room for.
    fn long(last: u8) -> Vec<Multiaddr> {
        let path = "a".repeat(4_000 - 100 * usize::from(last));
        (0..ADDRESSES_PER_PEER_MAX)
            .map(|nth| format!("/ip4/1.1.{nth}.{last}/tcp/1/http-path/{path}").parse().unwrap())
            .collect()
    }

    #[test]
    fn addresses_that_are_too_long_are_not_kept() {
        let peer = PeerId::random();
        let direct: Multiaddr = "/ip4/1.1.1.1/tcp/1".parse().unwrap();
        let mut told = long(0);
        told.push(direct.clone());
        assert_eq!(worth_keeping(&peer, told, ADDRESSES_PER_PEER_MAX), [direct]);
        let kept = worth_keeping(&peer, long(36), ADDRESSES_PER_PEER_MAX);
        let bytes: usize = kept.iter().map(Multiaddr::len).sum();
        assert!(bytes > 1024 && bytes <= 2048, "{bytes} bytes in {} addresses", kept.len());
    }

    #[test]
    fn what_all_peers_say_takes_no_more_bytes_than_honest_addresses_do() {
        let (all, peers) =
            (PeerAddresses::new(1_000), (0..2_000).map(|_| PeerId::random()).collect::<Vec<_>>());
        for peer in &peers {
            all.record(*peer, worth_keeping(peer, long(36), ADDRESSES_PER_PEER_MAX));
        }
        let known = peers.iter().filter_map(|peer| all.find(peer));
        let bytes: usize = known.flat_map(|known| known.addresses.clone()).map(|address| address.len()).sum();
        assert!(bytes > 0 && bytes <= 1_000 * 512, "{bytes} bytes");
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
