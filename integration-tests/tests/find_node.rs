//! FIND_NODE on a whole node (rows Q1 to Q10 of the protocol's requirements). The peers of its table are real servers
//! of this process, which enter by identify and a probe. Q7 and Q8 need public addresses: they are in public_network.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail as it does")]

use hydra_integration_tests::network::{PROTOCOL, distance, enter, listed_until, servers};
use hydra_integration_tests::node::Node;
use hydra_integration_tests::peer::{Peer, Serves, Setup, parted};
use hydra_integration_tests::raw::RawPeer;
use hydra_kad::{Answer, AnswerPeer, Connection, Request};
use libp2p::{Multiaddr, PeerId};
use std::collections::HashSet;
use std::time::Duration;

/// Enough for 20 others beside self, requester and target.
const SERVERS: usize = 26;

fn ids(answer: &Answer) -> Vec<PeerId> {
    answer.closer.iter().map(|peer| peer.peer).collect()
}

#[tokio::test]
async fn q1_an_empty_key_is_reset() {
    let node = Node::start(&["heads.count=1"]).await.unwrap();
    let mut stream = RawPeer::new(PROTOCOL).stream(node.heads()[0].tcp()).await.unwrap();
    stream.send(&Request::FindNode { key: Vec::new().into() }).await.unwrap();
    assert!(stream.is_reset().await.unwrap());
}

#[tokio::test]
async fn q2_q3_q4_the_20_closest_are_answered_in_xor_order_without_self_and_requester() {
    let node = Node::start(&[]).await.unwrap();
    let peers = servers(SERVERS).await;
    enter(&node, &peers).await;
    let all: HashSet<PeerId> =
        peers.iter().map(|peer| peer.id).chain(node.heads().iter().map(|head| head.peer)).collect();
    for (at, head) in node.heads().iter().enumerate() {
        // A client, and a server of the table, which may be among the closest itself.
        let client = Peer::client(PROTOCOL);
        for requester in [&client, &peers[at]] {
            let expected = |key: &[u8]| {
                let mut others: Vec<_> =
                    all.iter().copied().filter(|peer| ![head.peer, requester.id].contains(peer)).collect();
                others.sort_by_key(|peer| distance(&peer.to_bytes(), key));
                others.truncate(20);
                others
            };
            for key in std::iter::repeat_with(rand::random::<[u8; 32]>).take(8) {
                let answer = requester.find_node(head.tcp(), &key).await.unwrap();
                assert_eq!(ids(&answer), expected(&key));
            }
            // Nobody is closer to its own id than the head: the 20 are farther than it (Q4), and are told.
            let own = head.peer.to_bytes();
            let answer = requester.find_node(head.tcp(), &own).await.unwrap();
            assert_eq!(ids(&answer)[0], head.peer, "the target itself (Q5)");
            assert_eq!(ids(&answer)[1..], expected(&own));
        }
    }
}

#[tokio::test]
async fn q5_a_known_target_is_prepended_whoever_it_is() {
    let node = Node::start(&[]).await.unwrap();
    let peers = servers(SERVERS).await;
    enter(&node, &peers).await;
    let [head, other, _] = node.heads() else { panic!("three heads") };
    let requester = Peer::listening(PROTOCOL).await;
    let client = Peer::listening(PROTOCOL).await;
    client.find_node(other.tcp(), b"anything").await.unwrap();
    client.protocols_until(&other.peer, |told| !told.is_empty()).await;
    let targets = [
        ("a server", peers[0].id, peers[0].addresses.clone()),
        ("another head", other.peer, without_ids(&other.addresses)),
        ("self", head.peer, without_ids(&head.addresses)),
        ("the requester", requester.id, requester.addresses.clone()),
        ("a client", client.id, client.addresses.clone()),
    ];
    for (who, target, addresses) in targets {
        // A client is known as soon as identify has told of it.
        let request = Request::FindNode { key: target.to_bytes().into() };
        let first = |answer: &Answer| answer.closer.first().is_some_and(|peer| peer.peer == target);
        let answer = requester.ask_until(head.tcp(), &request, first).await.unwrap();
        assert!(first(&answer), "{who}");
        let told: HashSet<_> = answer.closer[0].addresses.iter().cloned().collect();
        assert_eq!(told, addresses.into_iter().collect(), "{who}");
        assert_eq!(answer.closer.len(), 21, "{who}: and the 20 closest others");
        assert_eq!(ids(&answer).into_iter().collect::<HashSet<_>>().len(), 21, "{who}: nobody twice");
    }
    let unknown = requester.find_node(head.tcp(), &PeerId::random().to_bytes()).await.unwrap();
    assert_eq!(unknown.closer.len(), 20);
}

fn without_ids(addresses: &[Multiaddr]) -> Vec<Multiaddr> {
    addresses.iter().map(|address| parted(address).1).collect()
}

#[tokio::test]
async fn q6_asked_for_its_own_id_a_head_names_others() {
    let node = Node::start(&[]).await.unwrap();
    let client = Peer::client(PROTOCOL);
    for head in node.heads() {
        let answer = client.find_node(head.tcp(), &head.peer.to_bytes()).await.unwrap();
        assert!(ids(&answer).iter().any(|peer| *peer != head.peer));
    }
}

#[tokio::test]
async fn q10_a_peer_with_a_live_connection_is_told_as_connected() {
    let node = Node::start(&["heads.count=2"]).await.unwrap();
    let [head, other] = node.heads() else { panic!("two heads") };
    let server = |idle| Setup { serves: Serves::All, listens: true, idle, ..Setup::new(PROTOCOL) }.start();
    let connected = server(Duration::from_secs(600)).await;
    let aloof = server(Duration::from_secs(2)).await;
    let peers = [connected, aloof];
    enter(&node, &peers).await;

    let client = Peer::listening(PROTOCOL).await;
    let flag = |peer: Option<&AnswerPeer>| peer.map(|peer| peer.connection);
    let (there, gone) = (Some(Connection::Connected), Some(Connection::NotConnected));
    for (peer, expected) in [(peers[0].id, there), (peers[1].id, gone), (other.peer, gone)] {
        let listed = listed_until(&client, head.tcp(), &peer, |peer| flag(peer) == expected).await;
        assert_eq!(flag(listed.as_ref()), expected, "{peer}");
    }
    // The same holds for a target that is no server.
    let target = Request::FindNode { key: client.id.to_bytes().into() };
    let first = |answer: &Answer| answer.closer.first().is_some_and(|peer| peer.peer == client.id);
    let answer = peers[0].ask_until(head.tcp(), &target, first).await.unwrap();
    assert_eq!((answer.closer[0].peer, answer.closer[0].connection), (client.id, Connection::Connected));
}
