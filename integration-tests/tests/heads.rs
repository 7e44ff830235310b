//! Heads that fail, and heads that have too many connections.

#![allow(clippy::unwrap_used, reason = "this is a test")]

use hydra_integration_tests::node::{Home, Node};
use hydra_integration_tests::peer::Peer;
use libp2p::Multiaddr;
use std::time::Duration;

const PROTOCOL: &str = "/ipfs/kad/1.0.0";
const PANICS: &str = "admission=[{kind=\"panicking\",key=\"panic now\"}]";
const TARGET: &[u8] = b"any target";

/// Waits until the head answers; generously, for it pauses before it starts again.
async fn answers_again(head: &Multiaddr) {
    for _ in 0..600 {
        // A new peer each time: none has a connection from before.
        if Peer::client(PROTOCOL).find_node(head, TARGET).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{head} does not answer again");
}

#[tokio::test]
async fn a_panic_ends_its_head_alone_and_the_head_comes_back_where_it_was() {
    let node = Node::start(&[PANICS]).await.unwrap();
    let [first, second, third] = node.heads() else { panic!("not three heads") };
    let others = Peer::client(PROTOCOL);
    for head in [second, third] {
        others.find_node(head.tcp(), TARGET).await.unwrap();
    }
    let count = |head: &str| {
        node.home().log().matches(&format!("\"swarm\":\"head {head}\",\"cause\":\"a panic\"")).count()
    };
    for restarts in 1..=2 {
        let client = Peer::client(PROTOCOL);
        assert!(client.find_node(first.tcp(), b"panic now").await.is_err());
        // Over the connections that they had: they have noticed nothing.
        for head in [second, third] {
            assert!(!others.find_node(head.quic(), TARGET).await.unwrap().closer.is_empty());
            assert!(!others.find_node(head.tcp(), TARGET).await.unwrap().closer.is_empty());
        }
        for address in [first.tcp(), first.quic()] {
            answers_again(address).await;
        }
        assert!(node.home().log().contains(&format!("\"restarts\":{restarts}")), "{}", node.home().log());
    }
    assert_eq!(count("0"), 2, "{}", node.home().log());
    let told = node.metrics().await.unwrap();
    assert_eq!(told.value("hydra_head_restarts_total", &[]), Some(2.0));
    assert_eq!(told.value("hydra_heads", &[("state", "listening")]), Some(3.0));
    assert!(node.stop().await.unwrap().success());
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_head_that_pauses() {
    let home = Home::new().unwrap();
    let settings = [PANICS, "store.kind=\"memory\"", "shutdown.deadline_ms=5000", "shutdown.drain_ms=0"];
    let node = Node::start_in(&home, &settings).await.unwrap();
    let head = node.heads()[0].tcp().clone();
    // Pauses of 1, 2, 4 and 8 seconds: the last is longer than the stop may take.
    for time in 0..4 {
        answers_again(&head).await;
        assert!(Peer::client(PROTOCOL).find_node(&head, b"panic now").await.is_err(), "{time}");
    }
    assert_eq!(node.stop().await.unwrap().code(), Some(0), "{}", home.log());
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
