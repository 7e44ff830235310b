//! Ebb: a node that declines all reads for long leaves server mode, and comes back when no read is declined any more.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use hydra_integration_tests::node::{Home, Node};
use hydra_integration_tests::peer::Peer;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};

const PROTOCOL: &str = "/ipfs/kad/1.0.0";

fn serves(told: &[String]) -> bool {
    told.iter().any(|protocol| protocol == PROTOCOL)
}

/// Asks for one key after the other, whatever comes of it, until `done` is: a head that has left answers none.
async fn asking(node: &Node, done: impl Future<Output = Vec<String>>) -> Vec<String> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let peer = Peer::listening(PROTOCOL).await;
    let head = node.heads()[0].tcp();
    let ask = async || {
        let mut key = vec![0x12, 0x20];
        key.extend(NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes().repeat(4));
        drop(peer.providers(head, &key).await);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    let mut under_way: FuturesUnordered<_> = (0..4).map(|_| ask()).collect();
    tokio::pin!(done);
    loop {
        tokio::select! {
            told = &mut done => return told,
            Some(()) = under_way.next() => under_way.push(ask()),
        }
    }
}

/// A node with a low peak, whose heads leave after two seconds and come back after one.
const EBBS: [&str; 6] = [
    "store.kind=\"memory\"",
    "engine.peak.requests_per_second=5",
    "heads.ebb.after_s=2",
    "heads.ebb.calm_s=1",
    "heads.ebb.heads_percent=100",
    "heads.ebb.interval_s=1",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_leaves_server_mode_under_lasting_decline_and_comes_back() {
    let node = Node::start(&[&EBBS[..], &["heads.count=1"]].concat()).await.unwrap();
    let head = node.heads()[0].clone();
    let client = Peer::client(PROTOCOL);
    client.find_node(head.tcp(), b"anything").await.unwrap();
    assert!(serves(&client.protocols_until(&head.peer, serves).await));
    let left = asking(&node, client.protocols_until(&head.peer, |told| !serves(told))).await;
    assert!(!serves(&left), "it tells by itself that it serves no more: {left:?}");
    let back = client.protocols_until(&head.peer, serves).await;
    assert!(serves(&back), "and that it serves again: {back:?}");
    client.find_node(head.tcp(), b"anything").await.unwrap();
    let metrics = node.metrics().await.unwrap();
    assert_eq!(metrics.value("hydra_heads_ebbed", &[]), Some(0.0));
    for change in ["left", "returned"] {
        assert!(metrics.value("hydra_head_ebbs_total", &[("change", change)]).unwrap() >= 1.0, "{change}");
    }
    let log = node.home().log();
    for line in ["heads leave server mode", "heads return to server mode"] {
        assert!(log.contains(line), "{line}: {log}");
    }
}

/// Pages say that a head is away; a node stops as cleanly then as ever, and starts as a server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_a_head_in_server_mode_says_so_stops_and_starts_again() {
    let home = Home::new().unwrap();
    // Once away, the head stays there for the time of this test.
    let stays = ["heads.count=1", "heads.ebb.calm_s=3600"];
    let node = Node::start_in(&home, &[&EBBS[..], &stays].concat()).await.unwrap();
    let head = node.heads()[0].clone();
    let client = Peer::client(PROTOCOL);
    client.find_node(head.tcp(), b"anything").await.unwrap();
    assert!(serves(&client.protocols_until(&head.peer, serves).await));
    asking(&node, client.protocols_until(&head.peer, |told| !serves(told))).await;
    let ready = node.page("/readyz?verbose").await.unwrap();
    assert_eq!(ready.status, 200, "{}", ready.body);
    assert!(ready.body.contains("[!]heads: 1 of 1 heads have left server mode"), "{}", ready.body);
    let status = node.page("/api/v1/status").await.unwrap().body;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["heads"]["ebbed"], 1, "{status}");
    assert!(node.stop().await.unwrap().success());
    let node = Node::start_in(&home, &[&EBBS[..], &stays].concat()).await.unwrap();
    let client = Peer::client(PROTOCOL);
    client.find_node(node.heads()[0].tcp(), b"anything").await.unwrap();
    assert_eq!(node.metrics().await.unwrap().value("hydra_heads_ebbed", &[]), Some(0.0));
    assert!(node.stop().await.unwrap().success());
}
