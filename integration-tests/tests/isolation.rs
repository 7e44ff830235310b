//! What a bad store does to the rest: next to nothing.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is a test, and what it measured is of interest"
)]

use hydra_integration_tests::node::{Home, Node};
use hydra_integration_tests::peer::Peer;
use libp2p::Multiaddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const PROTOCOL: &str = "/ipfs/kad/1.0.0";
const DELAY: Duration = Duration::from_millis(300);
const SOFT: Duration = Duration::from_millis(100);
/// Keys from here on are asked by no load.
const UNASKED: u64 = 1000;
/// What one test does to the machine is no part of what the other measures.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The key of this number: a multihash as far as anybody can tell.
fn key(number: u64) -> Vec<u8> {
    let mut key = vec![0x12, 0x20];
    key.extend(number.to_be_bytes().repeat(4));
    key
}

/// Asks and announces at one head, at an even pace, until told to stop. Returns how long each read took.
async fn load(head: Multiaddr, stop: Arc<AtomicBool>, first: u64) -> Vec<Duration> {
    let peer = Peer::listening(PROTOCOL).await;
    let mut took = Vec::new();
    let mut reads = JoinSet::new();
    let peer = Arc::new(peer);
    let mut number = first;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        peer.provide(&head, &key(number % 200), &peer.addresses).await.unwrap();
        if reads.len() >= 16 {
            took.push(reads.join_next().await.unwrap().unwrap());
        }
        let (peer, head) = (Arc::clone(&peer), head.clone());
        reads.spawn(async move {
            let asked = Instant::now();
            let answer = peer.providers(&head, &key(number % 200)).await.unwrap();
            assert!(!answer.closer.is_empty(), "closer peers come in any case");
            asked.elapsed()
        });
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    while let Some(read) = reads.join_next().await {
        took.push(read.unwrap());
    }
    took
}

fn median(took: &mut [Duration]) -> Duration {
    took.sort_unstable();
    took[took.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_store_slows_nothing_but_its_own_answers() {
    let _alone = ALONE.lock().await;
    let soft = "engine.soft_deadline_ms=100";
    let slow = Node::start(&[soft, "store.kind=\"slow\"", "store.delay_ms=300"]).await.unwrap();
    let quick = Node::start(&[soft, "store.kind=\"memory\""]).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let busy = |node: &Node| -> Vec<_> {
        let heads = node.heads()[1..].iter().enumerate();
        heads
            .map(|(at, head)| tokio::spawn(load(head.tcp().clone(), Arc::clone(&stop), 100 * at as u64)))
            .collect()
    };
    let (slow_load, quick_load) = (busy(&slow), busy(&quick));
    let client = Peer::client(PROTOCOL);
    let (mut at_slow, mut at_quick) = (Vec::new(), Vec::new());
    // In turns, so that whatever else the machine does weighs on both alike. The first round connects.
    for round in 0..=800 {
        for (node, took) in [(&slow, &mut at_slow), (&quick, &mut at_quick)] {
            let head = &node.heads()[round % 3];
            let asked = Instant::now();
            let answer = client.find_node(head.tcp(), &key(round as u64)).await.unwrap();
            assert!(!answer.closer.is_empty());
            if round >= 3 {
                took.push(asked.elapsed());
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    let (typical, baseline) = (median(&mut at_slow), median(&mut at_quick));
    println!("FIND_NODE {typical:?}, with a quick store {baseline:?}");
    assert!(typical <= 3 * baseline, "{typical:?} beside {baseline:?}");
    // A request that waited for the store would take as long as one of its calls. Other load on the machine delays a few at
    // both nodes.
    let late = |took: &[Duration]| took.iter().filter(|took| **took >= DELAY).count();
    let (late, baseline_late) = (late(&at_slow), late(&at_quick));
    assert!(late <= 3 * baseline_late + 3, "{late} took as long as a store call, beside {baseline_late}");

    let mut reads = Vec::new();
    for loaded in slow_load {
        reads.extend(loaded.await.unwrap());
    }
    for loaded in quick_load {
        loaded.await.unwrap();
    }
    let median = median(&mut reads);
    println!("{} GET_PROVIDERS of the slow store, median {median:?}", reads.len());
    assert!(median < DELAY, "before the store would have answered: {median:?}");
    answered_at_the_soft_deadline(&slow, &client).await;
}

/// A read that has the store to itself is answered once the soft deadline is over, and before the store answers.
async fn answered_at_the_soft_deadline(slow: &Node, client: &Peer) {
    let mut reads = Vec::new();
    // What the load has left is written meanwhile.
    for number in UNASKED..UNASKED + 40 {
        let asked = Instant::now();
        let answer = client.providers(slow.heads()[0].tcp(), &key(number)).await.unwrap();
        assert!(!answer.closer.is_empty());
        reads.push(asked.elapsed());
        tokio::time::sleep(DELAY / 3).await;
    }
    let median = median(&mut reads[20..]);
    println!("GET_PROVIDERS with the store to itself, median {median:?}");
    assert!(SOFT <= median && median < DELAY, "{median:?}");
}

/// So many requests of each kind at all heads, each of which must be answered.
async fn rounds(node: &Node, peers: &[Arc<Peer>], requests: u64) {
    let mut running = JoinSet::new();
    for (index, peer) in peers.iter().enumerate() {
        let (peer, heads) = (Arc::clone(peer), node.heads().to_vec());
        running.spawn(async move {
            for number in 0..requests / 3 {
                let head = heads[(index + number as usize) % heads.len()].tcp();
                let key = key(1 + number % 500);
                peer.provide(head, &key, &peer.addresses).await.unwrap();
                assert!(!peer.find_node(head, &key).await.unwrap().closer.is_empty());
                assert!(!peer.providers(head, &key).await.unwrap().closer.is_empty());
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_frozen_store_all_is_answered_and_nothing_grows_until_it_thaws() {
    let _alone = ALONE.lock().await;
    let home = Home::new().unwrap();
    let frozen = home.path().join("frozen");
    let store = format!("store.while_exists=\"{}\"", frozen.display());
    // The ring is full soon: what it holds is not what this is about.
    let settings = ["store.kind=\"freezing\"", &store, "engine.write_queue_len_max=256"];
    let node = Node::start_in(&home, &settings).await.unwrap();
    let mut peers = Vec::new();
    for _ in 0..6 {
        peers.push(Arc::new(Peer::listening(PROTOCOL).await));
    }
    let head = node.heads()[0].tcp();
    let there = |answer: &hydra_kad::Answer| answer.providers.iter().any(|one| one.peer == peers[0].id);
    peers[0].provide(head, &key(0), &peers[0].addresses).await.unwrap();
    assert!(there(&peers[1].providers_until(head, &key(0), there).await.unwrap()));

    std::fs::write(&frozen, "").unwrap();
    rounds(&node, &peers, 600).await;
    let (memory, descriptors) = (node.memory_bytes().unwrap(), node.descriptors().unwrap());
    rounds(&node, &peers, 1_500).await;
    let (memory_after, descriptors_after) = (node.memory_bytes().unwrap(), node.descriptors().unwrap());
    println!("memory {memory} -> {memory_after}, descriptors {descriptors} -> {descriptors_after}");
    assert!(memory_after < memory + (4 << 20), "{memory} -> {memory_after}");
    assert!(descriptors_after <= descriptors, "{descriptors} -> {descriptors_after}");

    std::fs::remove_file(&frozen).unwrap();
    assert!(there(&peers[1].providers_until(head, &key(0), there).await.unwrap()), "records are found again");
    let fresh = key(10_000);
    // The ring may still be full for a moment.
    let mut written = false;
    for _ in 0..20 {
        peers[0].provide(head, &fresh, &peers[0].addresses).await.unwrap();
        tokio::time::sleep(Duration::from_millis(250)).await;
        written = there(&peers[1].providers(head, &fresh).await.unwrap());
        if written {
            break;
        }
    }
    assert!(written, "new ones are written again");
    assert!(node.stop().await.unwrap().success(), "{}", home.log());
}
