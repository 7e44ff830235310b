//! What a collector that is gone, hangs or is slow does to a node: nothing that its clients or its memory would show.

use crate::collector::{Collector, Manner, PROTOCOLS, nowhere};
use futures::future::join_all;
use hydra_integration_tests::node::{Home, Node};
use hydra_integration_tests::raw::RawPeer;
use hydra_kad::Request;
use std::time::{Duration, Instant};

const PROTOCOL: &str = "/ipfs/kad/1.0.0";
/// The least that a config may say.
const QUEUE_LEN_MAX: f64 = 64.0;
const STREAMS: usize = 4;
/// Of each stream, in one round.
const REQUESTS: usize = 300;
const ROUNDS: usize = 5;
/// What a node may be slower by chance: two cores, shared with other tests. An export that is waited for takes
/// thousands of times as long as a request.
const SLOWER: u32 = 5;
/// What a process may grow by chance.
const GROWTH_BYTES: u64 = 12 << 20;

/// How a node fared under load.
#[derive(Debug)]
struct Fared {
    /// The fastest round.
    round: Duration,
    /// How much more memory it held after all rounds than after the first two.
    growth_bytes: u64,
    /// How long the stop took.
    stop: Duration,
    /// Spans that were dropped.
    dropped: f64,
}

async fn fares(settings: &[&str]) -> Fared {
    let home = Home::new().unwrap();
    let fixed = ["heads.count=1", "telemetry.traces.ratio=1.0", "telemetry.otlp.queue_len_max=64"];
    let node = Node::start_in(&home, &[&fixed, settings].concat()).await.unwrap();
    let (mut rounds, mut memory) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        rounds.push(answered(&node, round).await);
        memory.push(node.memory_bytes().unwrap());
    }
    let growth_bytes = memory[ROUNDS - 1].saturating_sub(memory[1]);
    let dropped = told(&node, "dropped").await;
    let stopping = Instant::now();
    assert!(node.stop().await.unwrap().success(), "{settings:?}: {}", home.log());
    Fared { round: rounds.into_iter().min().unwrap(), growth_bytes, stop: stopping.elapsed(), dropped }
}

/// How many spans the page of metrics says had this outcome.
async fn told(node: &Node, outcome: &str) -> f64 {
    let metrics = node.metrics().await.unwrap();
    metrics.value("hydra_spans_total", &[("outcome", outcome)]).unwrap()
}

/// How long a round of requests takes, each of which is answered.
async fn answered(node: &Node, round: usize) -> Duration {
    let streams = join_all((0..STREAMS).map(|_| async {
        let peer = RawPeer::new(PROTOCOL);
        (peer.stream(node.heads()[0].tcp()).await.unwrap(), peer)
    }))
    .await;
    let start = Instant::now();
    join_all(streams.into_iter().enumerate().map(async |(number, (mut stream, _peer))| {
        for request in 0..REQUESTS {
            let digest = format!("{round:8}{number:8}{request:16}");
            let key = [b"\x12\x20", digest.as_bytes()].concat().into();
            stream.ask(&Request::GetProviders { key }).await.unwrap();
        }
    }))
    .await;
    start.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_serves_as_fast_grows_no_more_and_stops_in_time() {
    let (slow, hanging) = (Manner::TakesLate(Duration::from_secs(1)), Manner::Hangs);
    let (slow, hanging) = (Collector::start(slow).await, Collector::start(hanging).await);
    let without = fares(&[]).await;
    for protocol in PROTOCOLS {
        let protocol = format!("telemetry.otlp.protocol={protocol}");
        for (how, endpoint) in
            [("gone", nowhere().await), ("slow", slow.endpoint()), ("hanging", hanging.endpoint())]
        {
            let endpoint = format!("telemetry.otlp.endpoint={endpoint}");
            let with = fares(&[&endpoint, &protocol, "telemetry.otlp.timeout_ms=60000"]).await;
            let seen = format!("{protocol}, {how}: {with:?} instead of {without:?}");
            assert!(with.round < SLOWER * without.round, "the rate: {seen}");
            assert!(with.growth_bytes < without.growth_bytes + GROWTH_BYTES, "the memory: {seen}");
            // One sending may take longer than that.
            assert!(with.stop < without.stop + Duration::from_secs(20), "the stop: {seen}");
            assert!(with.dropped > 100.0 * QUEUE_LEN_MAX, "what comes is not kept: {seen}");
        }
    }
}
