//! The peer table of a whole node (rows T1, T2, T4, T8, T9 and Q12 of the protocol's requirements).

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail as it does")]

use hydra_integration_tests::network::{PROTOCOL, enter, listed, listed_until, servers};
use hydra_integration_tests::node::{Home, Node};
use hydra_integration_tests::peer::{Peer, Serves, Setup};
use hydra_kad::Connection;
use libp2p::PeerId;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// As often as the config allows.
const OFTEN: &str = "network.refresh_interval_s=10";

#[tokio::test]
async fn t1_t2_clients_and_servers_that_do_not_answer_a_probe_stay_out() {
    let node = Node::start(&[]).await.unwrap();
    let head = node.heads()[0].tcp();
    let client = Peer::listening(PROTOCOL).await;
    let words = Setup { serves: Serves::WordsAlone, listens: true, ..Setup::new(PROTOCOL) }.start().await;
    for peer in [&client, &words] {
        peer.find_node(head, b"anything").await.unwrap();
        peer.protocols_until(&node.heads()[0].peer, |told| !told.is_empty()).await;
    }
    // Who comes later and does answer is in the table: the others have had their time.
    let peers = servers(8).await;
    enter(&node, &peers).await;
    let asker = Peer::client(PROTOCOL);
    let all = listed(&asker, head, b"anything").await;
    assert_eq!(all.len(), 10, "two other heads and the servers that answer");
    assert!(!all.contains(&client.id) && !all.contains(&words.id));
}

#[tokio::test]
async fn t1_a_server_that_becomes_a_client_leaves_the_table() {
    let node = Node::start(&["heads.count=1"]).await.unwrap();
    let head = node.heads()[0].tcp();
    let key = libp2p::identity::Keypair::generate_ed25519();
    let setup = Setup { key, serves: Serves::All, listens: true, ..Setup::new(PROTOCOL) };
    let server = setup.clone().start().await;
    let id = server.id;
    enter(&node, &[server]).await;
    let client = Setup { serves: Serves::Nobody, ..setup }.start().await;
    client.find_node(head, b"anything").await.unwrap();
    let asker = Peer::client(PROTOCOL);
    let left = listed_until(&asker, head, &id, |listed| listed.is_none()).await;
    assert_eq!(left, None);
}

#[tokio::test]
async fn q12_t4_a_dead_server_vanishes_with_a_refresh_and_the_living_stay() {
    let node = Node::start(&[OFTEN, "network.probe_timeout_ms=5000"]).await.unwrap();
    let head = node.heads()[0].tcp();
    let mut peers = servers(6).await;
    enter(&node, &peers).await;
    let dead = peers.remove(0);
    let id = dead.id;
    drop(dead);
    let asker = Peer::client(PROTOCOL);
    let left = listed_until(&asker, head, &id, |listed| listed.is_none()).await;
    assert_eq!(left, None);
    let all = listed(&asker, head, b"anything").await;
    assert!(peers.iter().all(|peer| all.contains(&peer.id)), "the living stay");
}

/// An operator reads why a node stays alone, and when it no longer is.
#[tokio::test]
async fn the_silence_of_the_bootstrap_peers_is_told_once_and_its_end() {
    const ALONE: &str = "no bootstrap peer answers";
    let nobody = format!("network.bootstrap=[\"/ip4/127.0.0.1/tcp/1/p2p/{}\"]", PeerId::random());
    let node = Node::start(&[&nobody]).await.unwrap();
    const ANSWERED: &str = "a server has answered";
    let told = |what: &str| node.home().log().matches(what).count();
    let is_told = async |what: &str| {
        let since = Instant::now();
        while told(what) == 0 {
            assert!(since.elapsed() < Duration::from_secs(60), "{}", node.home().log());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    is_told(ALONE).await;
    assert!(node.home().log().contains("Connection refused"), "{}", node.home().log());
    // It is asked a second time meanwhile.
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!((told(ALONE), told(ANSWERED)), (1, 0));
    enter(&node, &servers(1).await).await;
    is_told(ANSWERED).await;
    assert_eq!((told(ALONE), told(ANSWERED)), (1, 1));
}

#[tokio::test]
async fn t8_own_heads_know_each_other_without_a_connection() {
    let node = Node::start(&["heads.count=4"]).await.unwrap();
    let heads: HashSet<_> = node.heads().iter().map(|head| head.peer).collect();
    let client = Peer::client(PROTOCOL);
    for head in node.heads() {
        let answer = client.find_node(head.tcp(), b"anything").await.unwrap();
        let mut all: HashSet<_> = answer.closer.iter().map(|peer| peer.peer).collect();
        assert!(answer.closer.iter().all(|peer| peer.connection == Connection::NotConnected));
        assert!(answer.closer.iter().all(|peer| !peer.addresses.is_empty()));
        assert!(all.insert(head.peer), "without itself");
        assert_eq!(all, heads);
    }
}

#[tokio::test]
async fn t9_half_of_the_table_lives_again_after_a_restart_without_bootstrap_peers() {
    let home = Home::new().unwrap();
    // They dial nobody by themselves: only the saved table leads back to them.
    let peers = servers(16).await;
    let node = Node::start_in(&home, &[]).await.unwrap();
    enter(&node, &peers).await;
    assert!(node.stop().await.unwrap().success());
    // Started twice: one that ends before it has probed anybody forgets nobody.
    assert!(Node::start_in(&home, &[]).await.unwrap().stop().await.unwrap().success());

    let node = Node::start_in(&home, &[]).await.unwrap();
    let asker = Peer::client(PROTOCOL);
    let alive = |all: &HashSet<libp2p::PeerId>| peers.iter().filter(|peer| all.contains(&peer.id)).count();
    let mut all = HashSet::new();
    for _ in 0..300 {
        all = listed(&asker, node.heads()[0].tcp(), b"anything").await;
        if alive(&all) >= peers.len() / 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(alive(&all) >= peers.len() / 2, "{} of {}; the log:\n{}", alive(&all), peers.len(), home.log());
}
