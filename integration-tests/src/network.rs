//! Servers around a node, and what its heads tell of them.

use crate::node::Node;
use crate::peer::Peer;
use futures::future::join_all;
use hydra_kad::{Answer, AnswerPeer, Request};
use libp2p::{Multiaddr, PeerId};
use sha2::{Digest, Sha256};
use std::collections::HashSet;

/// The protocol of the nodes under test, unless they are told another one.
pub const PROTOCOL: &str = "/ipfs/kad/1.0.0";

/// Servers on loopback that nobody knows yet.
pub async fn servers(count: usize) -> Vec<Peer> {
    join_all((0..count).map(|_| Peer::server(PROTOCOL))).await
}

/// Lets the node meet these servers, each at one of its heads, and waits until all are in its table.
///
/// # Panics
/// When one does not enter.
pub async fn enter(node: &Node, peers: &[Peer]) {
    let heads = node.heads().iter().cycle();
    join_all(peers.iter().zip(heads).map(|(peer, head)| async {
        peer.find_node(head.tcp(), b"anything").await.expect("the head answers");
    }))
    .await;
    let client = Peer::client(PROTOCOL);
    let head = node.heads()[0].tcp();
    for peer in peers {
        let listed = listed_until(&client, head, &peer.id, |listed| listed.is_some()).await;
        assert!(listed.is_some(), "{} has not entered; the log:\n{}", peer.id, node.home().log());
    }
}

/// Asks a head for peers near `peer` until what it lists of the peer is as `wanted`, and returns what it listed last.
///
/// The key is none that names the peer: only a peer of the table is listed.
///
/// # Panics
/// When the head does not answer.
pub async fn listed_until(
    client: &Peer,
    head: &Multiaddr,
    peer: &PeerId,
    wanted: impl Fn(Option<&AnswerPeer>) -> bool,
) -> Option<AnswerPeer> {
    let request = Request::FindNode { key: near(peer).into() };
    let answer = client.ask_until(head, &request, |answer| wanted(of(answer, peer))).await;
    of(&answer.expect("the head answers"), peer).cloned()
}

/// Everybody that a head lists for this key.
///
/// # Panics
/// When the head does not answer.
pub async fn listed(client: &Peer, head: &Multiaddr, key: &[u8]) -> HashSet<PeerId> {
    let answer = client.find_node(head, key).await.expect("the head answers");
    answer.closer.iter().map(|peer| peer.peer).collect()
}

/// How far the Kademlia ids of two keys are apart.
#[must_use]
pub fn distance(one: &[u8], other: &[u8]) -> [u8; 32] {
    let (one, other) = (Sha256::digest(one), Sha256::digest(other));
    std::array::from_fn(|at| one[at] ^ other[at])
}

/// A key that is close to a peer and does not name it: closer than any of some hundred random ones.
#[must_use]
pub fn near(peer: &PeerId) -> Vec<u8> {
    let keys = (0u32..4096).map(|number| number.to_be_bytes());
    let nearest = keys.min_by_key(|key| distance(key, &peer.to_bytes()));
    nearest.map_or_else(Vec::new, |key| key.to_vec())
}

fn of<'a>(answer: &'a Answer, peer: &PeerId) -> Option<&'a AnswerPeer> {
    answer.closer.iter().find(|listed| listed.peer == *peer)
}
