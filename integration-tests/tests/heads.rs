//! Heads whose policy fails, and heads that have too many connections.

#![allow(clippy::unwrap_used, reason = "this is a test")]

use hydra_integration_tests::node::Node;
use hydra_integration_tests::peer::Peer;
use libp2p::Multiaddr;
use std::time::Duration;

const PROTOCOL: &str = "/ipfs/kad/1.0.0";
const PANICS: &str = "admission=[{kind=\"panicking\"}]";
const TARGET: &[u8] = b"any target";

/// Waits until the head answers a peer that has no connection from before.
async fn answers_again(head: &Multiaddr) {
    for _ in 0..600 {
        if Peer::client(PROTOCOL).find_node(head, TARGET).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{head} does not answer again");
}

#[tokio::test]
async fn a_policy_that_panics_loses_its_say_and_nothing_else() {
    let node = Node::start(&[PANICS, "store.kind=\"memory\""]).await.unwrap();
    let head = node.heads()[0].tcp();
    let key = [&[0x12, 0x20][..], &[7; 32]].concat();
    for _ in 0..3 {
        // Over one connection: a head that had ended would have closed it.
        let client = Peer::listening(PROTOCOL).await;
        client.provide(head, &key, &client.addresses).await.unwrap();
        let found = client.providers(head, &key).await.unwrap();
        assert!(found.providers.iter().any(|provider| provider.peer == client.id));
    }
    let told = node.metrics().await.unwrap();
    assert_eq!(told.sum("hydra_head_restarts_total", &[]), 0.0);
    assert_eq!(
        told.sum("hydra_admission_verdicts_total", &[("policy", "panicking"), ("verdict", "panic")]),
        6.0
    );
    assert!(node.stop().await.unwrap().success());
}

#[tokio::test]
async fn a_head_with_all_connections_it_may_have_refuses_more_and_the_others_do_not() {
    let marks = ["connections.per_head_max=3", "connections.per_head_high=3", "connections.per_head_low=2"];
    let node = Node::start(&marks).await.unwrap();
    let full = node.heads()[0].tcp();
    let mut held = Vec::new();
    for _ in 0..3 {
        let client = Peer::client(PROTOCOL);
        client.find_node(full, TARGET).await.unwrap();
        held.push(client);
    }
    for address in [full, node.heads()[0].quic()] {
        assert!(Peer::client(PROTOCOL).find_node(address, TARGET).await.is_err(), "{address}");
    }
    Peer::client(PROTOCOL).find_node(node.heads()[1].tcp(), TARGET).await.unwrap();
    for client in &held {
        client.find_node(full, TARGET).await.unwrap();
    }
    drop(held.pop());
    answers_again(full).await;
}

/// So many peers ask this head and stay connected.
async fn connect(head: &Multiaddr, peers: usize) -> Vec<Peer> {
    let mut connected = Vec::new();
    for _ in 0..peers {
        let peer = Peer::client(PROTOCOL);
        peer.find_node(head, TARGET).await.expect("nobody is refused below the maximum");
        connected.push(peer);
    }
    connected
}

/// Waits until the node has at most so many descriptors, and says whether it has.
async fn falls_to(node: &Node, descriptors: usize) -> bool {
    for _ in 0..200 {
        if node.descriptors().unwrap() <= descriptors {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

#[tokio::test]
async fn above_the_high_mark_of_a_head_connections_are_closed_down_to_the_low_one() {
    let marks =
        ["connections.per_head_max=100", "connections.per_head_high=10", "connections.per_head_low=4"];
    let node = Node::start(&marks).await.unwrap();
    let idle = node.descriptors().unwrap();
    let peers = connect(node.heads()[0].tcp(), 10).await;
    assert!(node.descriptors().unwrap() >= idle + 10, "the mark is not passed");
    let more = connect(node.heads()[0].tcp(), 1).await;
    assert!(falls_to(&node, idle + 4).await, "{idle}, now {}", node.descriptors().unwrap());
    drop((peers, more));
}

#[tokio::test]
async fn above_the_high_mark_of_the_node_every_head_closes_its_part() {
    let marks =
        ["connections.per_node_max=100", "connections.per_node_high=16", "connections.per_node_low=8"];
    let node = Node::start(&marks).await.unwrap();
    let idle = node.descriptors().unwrap();
    let quiet = connect(node.heads()[0].tcp(), 14).await;
    assert!(node.descriptors().unwrap() >= idle + 14, "the mark is not passed");
    // The head that gets these has too few to make up for the other one's.
    let busy = connect(node.heads()[1].tcp(), 3).await;
    assert!(falls_to(&node, idle + 8).await, "{idle}, now {}", node.descriptors().unwrap());
    drop((quiet, busy));
}
