//! Heads whose policy fails, and heads that have too many connections.

#![allow(clippy::unwrap_used, reason = "this is a test")]

use hydra_integration_tests::node::{Head, Node};
use hydra_integration_tests::peer::{Peer, parted};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use std::net::{TcpListener, UdpSocket};
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

/// Waits until a figure of the heads is 1.
async fn one(node: &Node, name: &str, state: &str) {
    for _ in 0..600 {
        if node.metrics().await.unwrap().sum(name, &[("state", state)]) == 1.0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{name} is not 1 for {state}; the log:\n{}", node.home().log());
}

/// The addresses that the head tells of itself.
async fn advertised(head: &Head) -> Vec<Multiaddr> {
    let client = Peer::client(PROTOCOL);
    let answer = client.find_node(head.tcp(), &head.peer.to_bytes()).await.unwrap();
    answer.closer.into_iter().find(|peer| peer.peer == head.peer).unwrap().addresses
}

/// As long as something holds the UDP port, be it the connections of the head that is gone, the head does without QUIC, says so
/// and does not advertise it. Then it has it again.
#[tokio::test]
async fn a_head_that_panics_with_a_connection_over_quic_gets_quic_back() {
    let node = Node::start(&["heads.count=1", "admission=[{kind=\"fatal\"}]"]).await.unwrap();
    let head = &node.heads()[0];
    let (_, quic) = parted(head.quic());
    let port =
        quic.iter().find_map(|part| if let Protocol::Udp(port) = part { Some(port) } else { None }).unwrap();
    assert!(advertised(head).await.contains(&quic));
    let live = Peer::client(PROTOCOL);
    live.find_node(head.quic(), TARGET).await.unwrap();
    let key = [&[0x12, 0x20][..], &[7; 32]].concat();
    assert!(Peer::client(PROTOCOL).providers(head.tcp(), &key).await.is_err(), "the head ends");
    let held = async {
        loop {
            match UdpSocket::bind(("127.0.0.1", port)) {
                Ok(held) => return held,
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    };
    let held =
        tokio::time::timeout(Duration::from_secs(60), held).await.expect("the socket is closed in the end");
    one(&node, "hydra_heads", "partial").await;
    let told = node.metrics().await.unwrap();
    assert_eq!(told.sum("hydra_head_restarts_total", &[]), 1.0);
    assert_eq!(told.sum("hydra_listeners", &[("state", "down")]), 1.0);
    answers_again(head.tcp()).await;
    assert!(!advertised(head).await.contains(&quic), "what is not served is not advertised");

    drop(held);
    one(&node, "hydra_heads", "listening").await;
    assert_eq!(node.metrics().await.unwrap().sum("hydra_listeners", &[("state", "up")]), 2.0);
    assert!(advertised(head).await.contains(&quic));
    answers_again(head.quic()).await;
    live.find_node(head.quic(), TARGET).await.unwrap();
    assert!(node.stop().await.unwrap().success());
}

/// The addresses under which one head makes another known.
async fn told_of(by: &Head, head: &Head) -> Vec<Multiaddr> {
    let answer = Peer::client(PROTOCOL).find_node(by.tcp(), &head.peer.to_bytes()).await.unwrap();
    answer.closer.into_iter().filter(|peer| peer.peer == head.peer).flat_map(|peer| peer.addresses).collect()
}

/// Waits until the heads were started again so often.
async fn restarted(node: &Node, times: f64) {
    for _ in 0..600 {
        if node.metrics().await.unwrap().sum("hydra_head_restarts_total", &[]) >= times {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the heads were not started again {times} times; the log:\n{}", node.home().log());
}

/// Its port is taken when it is started again: as long as it is down, no other head sends anybody there.
#[tokio::test]
async fn a_head_that_cannot_listen_again_is_not_made_known_until_it_can() {
    let settings = ["heads.count=2", "heads.transports=[\"tcp\"]", "admission=[{kind=\"fatal\"}]"];
    let node = Node::start(&settings).await.unwrap();
    let (down, other) = (&node.heads()[0], &node.heads()[1]);
    let (_, tcp) = parted(down.tcp());
    let port =
        tcp.iter().find_map(|part| if let Protocol::Tcp(port) = part { Some(port) } else { None }).unwrap();
    assert_eq!(told_of(other, down).await, std::slice::from_ref(&tcp));
    let ways = [("transport", "tcp"), ("family", "ip4")];
    assert_eq!(node.metrics().await.unwrap().sum("hydra_heads_reachable", &ways), 2.0);
    let key = [&[0x12, 0x20][..], &[7; 32]].concat();
    assert!(Peer::client(PROTOCOL).providers(down.tcp(), &key).await.is_err(), "the head ends");
    let held = async {
        loop {
            match TcpListener::bind(("127.0.0.1", port)) {
                Ok(held) => return held,
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    };
    let held = tokio::time::timeout(Duration::from_secs(60), held).await.expect("the head has ended");
    restarted(&node, 1.0).await;
    assert_eq!(told_of(other, down).await, [], "it is about to be started again");
    restarted(&node, 2.0).await;
    one(&node, "hydra_heads", "failed").await;
    assert_eq!(told_of(other, down).await, [], "its port is taken");
    assert_eq!(node.metrics().await.unwrap().sum("hydra_heads_reachable", &ways), 1.0);
    assert_eq!(node.metrics().await.unwrap().sum("hydra_listeners", &[("state", "up")]), 1.0);

    drop(held);
    answers_again(down.tcp()).await;
    assert_eq!(told_of(other, down).await, [tcp]);
    assert_eq!(node.metrics().await.unwrap().sum("hydra_heads_reachable", &ways), 2.0);
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
