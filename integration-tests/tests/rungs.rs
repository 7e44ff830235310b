//! The ladder as an operator sees it: each rung is reached, shown on the page of metrics, told in the log once per change,
//! and left again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use hydra_integration_tests::node::{Home, Node};
use hydra_integration_tests::peer::Peer;
use serde_json::Value;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const PROTOCOL: &str = "/ipfs/kad/1.0.0";
/// How long a node has to come onto a rung, or back. It takes seconds; many tests share two cores.
const PATIENCE: Duration = Duration::from_secs(90);
const RUNGS: [&str; 6] = ["full", "short", "stale", "near_only", "cache_only", "routing_only"];
const LANES: [&str; 2] = ["reads", "writes"];

/// The rung on which the node stands, as its page says: exactly one, the worse of those of reads and of writes.
async fn rung(node: &Node) -> &'static str {
    let metrics = node.metrics().await.unwrap();
    let standing = |name, lane: &[(&str, &str)]| {
        let stands = |rung: &&str| metrics.value(name, &[lane, &[("rung", *rung)]].concat()) == Some(1.0);
        let standing: Vec<_> = (0..RUNGS.len()).filter(|place| stands(&RUNGS[*place])).collect();
        assert_eq!(standing.len(), 1, "{name} {lane:?}: {standing:?}");
        standing[0]
    };
    let node = standing("hydra_rung", &[]);
    let worse = LANES.map(|lane| standing("hydra_lane_rung", &[("lane", lane)])).into_iter().max();
    assert_eq!(worse, Some(node), "the rung of the node");
    RUNGS[node]
}

/// Waits until the node stands on this rung.
async fn reached(node: &Node, wanted: &str) {
    let begun = Instant::now();
    let mut before = "";
    while begun.elapsed() < PATIENCE {
        before = rung(node).await;
        if before == wanted {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("the node stands on {before}, not on {wanted}; its log:\n{}", node.home().log());
}

/// Asks for so many keys at a time, each for the first time, until `done` is. Every request is answered with closer
/// peers, whatever the rung.
async fn asking(node: &Node, at_a_time: usize, done: impl Future<Output = ()>) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let peer = Peer::listening(PROTOCOL).await;
    let head = node.heads()[0].tcp();
    let ask = async || {
        let mut key = vec![0x12, 0x20];
        key.extend(NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes().repeat(4));
        assert!(!peer.providers(head, &key).await.unwrap().closer.is_empty());
    };
    let mut under_way: FuturesUnordered<_> = (0..at_a_time).map(|_| ask()).collect();
    tokio::pin!(done);
    loop {
        tokio::select! {
            () = &mut done => return,
            Some(()) = under_way.next() => under_way.push(ask()),
        }
    }
}

/// The changes of rung of one lane in the log, each as (before, after).
fn changes(home: &Home, lane: &str) -> Vec<(String, String)> {
    let lines = home.log();
    let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let word = |line: &Value, key: &str| line[key].as_str().map(str::to_owned);
    let is_change = |line: &Value| {
        let message = word(line, "message");
        let change =
            message.is_some_and(|message| matches!(&*message, "the node degrades" | "the node recovers"));
        change && word(line, "lane").as_deref() == Some(lane)
    };
    lines
        .filter(is_change)
        .map(|line| (word(&line, "before").unwrap(), word(&line, "rung").unwrap()))
        .collect()
}

/// The node entered the rung and is back: the log has every change once, each from where the last one led.
async fn told_once(node: &Node, wanted: &str) {
    let mut entered = false;
    for lane in LANES {
        let begun = Instant::now();
        let mut changes = changes(node.home(), lane);
        // A change is logged just after it has shown on the page.
        while changes.last().is_some_and(|(_, after)| after != "full") && begun.elapsed() < PATIENCE {
            sleep(Duration::from_millis(20)).await;
            changes = self::changes(node.home(), lane);
        }
        let mut at = "full";
        for (before, after) in &changes {
            assert_eq!(before, at, "{lane}: {changes:?}");
            at = after;
        }
        assert_eq!(at, "full", "{lane}: {changes:?}");
        let metrics = node.metrics().await.unwrap();
        for rung in RUNGS {
            let labels = [("lane", lane), ("rung", rung)];
            let counted = metrics.value("hydra_rung_entered_total", &labels).unwrap();
            let logged = changes.iter().filter(|(_, after)| after == rung).count();
            assert_eq!(logged as f64, counted, "{lane} {rung}: {changes:?}");
        }
        entered |= changes.iter().any(|(_, after)| after == wanted);
    }
    assert!(entered, "{wanted} was entered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_take_long_make_answers_shorter() {
    let settings = ["store.kind=\"slow\"", "store.delay_ms=130", "engine.stale.enabled=false"];
    let node = Node::start(&settings).await.unwrap();
    asking(&node, 3, reached(&node, "short")).await;
    reached(&node, "full").await;
    told_once(&node, "short").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_take_longer_make_old_answers_do() {
    let node = Node::start(&["store.kind=\"slow\"", "store.delay_ms=400"]).await.unwrap();
    asking(&node, 3, reached(&node, "stale")).await;
    reached(&node, "full").await;
    told_once(&node, "stale").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_stalls_is_not_asked() {
    let home = Home::new().unwrap();
    let frozen = home.path().join("frozen");
    let store = format!("store.while_exists=\"{}\"", frozen.display());
    let settings = ["store.kind=\"freezing\"", &store, "engine.peak.stall_ms=300"];
    let node = Node::start_in(&home, &settings).await.unwrap();
    assert_eq!(rung(&node).await, "full");
    std::fs::write(&frozen, "").unwrap();
    asking(&node, 8, reached(&node, "cache_only")).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(rung(&node).await, "cache_only", "as long as it is stalled");
    std::fs::remove_file(&frozen).unwrap();
    reached(&node, "full").await;
    told_once(&node, "cache_only").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn above_the_peak_closer_peers_alone_are_told() {
    let node = Node::start(&["store.kind=\"memory\"", "engine.peak.requests_per_second=20"]).await.unwrap();
    asking(&node, 8, reached(&node, "routing_only")).await;
    reached(&node, "full").await;
    told_once(&node, "routing_only").await;
    let metrics = node.metrics().await.unwrap();
    let shed = [("operation", "GET_PROVIDERS"), ("outcome", "shed"), ("rung", "routing_only")];
    assert!(metrics.sum("hydra_requests_total", &shed) > 0.0, "declines are counted as such");
}
