//! Hostile input: whatever peers send, a node keeps its size and goes on serving others.
//!
//! Each kind comes in rounds. What the first one takes is warming up: caches, tables and pools reach their size. After
//! it, nothing may be left of a round.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail as it does")]

use futures::StreamExt;
use futures::future::join_all;
use hydra_integration_tests::network::PROTOCOL;
use hydra_integration_tests::node::Node;
use hydra_integration_tests::peer::Peer;
use hydra_integration_tests::raw::{RawPeer, RawStream, declared, framed};
use hydra_kad::Request;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{SwarmEvent, dummy};
use libp2p::{PeerId, SwarmBuilder};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Streams that a connection may have open.
const PER_CONNECTION: usize = 32;
/// Connections that a peer may have to one head.
const PER_PEER: usize = 8;
/// More than this may a round not leave behind.
const SLACK_PERCENT: u64 = 20;
const SLACK_BYTES: u64 = 8 << 20;
/// How long what a round has used may take to be given back.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a node holds.
#[derive(Debug, Clone, Copy)]
struct Size {
    memory: u64,
    descriptors: usize,
    threads: u64,
}

impl Size {
    fn of(node: &Node) -> Self {
        Self {
            memory: node.memory_bytes().unwrap(),
            descriptors: node.descriptors().unwrap(),
            threads: node.threads().unwrap(),
        }
    }

    /// Whether a node that had this size has not grown: its descriptors and threads may come and go by a few.
    fn holds(self, now: Self) -> bool {
        now.memory <= self.memory + self.memory * SLACK_PERCENT / 100 + SLACK_BYTES
            && now.descriptors <= self.descriptors + 8
            && now.threads <= self.threads + 4
    }
}

/// Another client, which asks all the time and is answered every time.
struct Bystander {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU32>,
    task: JoinHandle<()>,
}

impl Bystander {
    fn start(node: &Node) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let heads: Vec<_> = node.heads().iter().map(|head| head.tcp().clone()).collect();
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&answered));
        let task = tokio::spawn(async move {
            let client = Peer::client(PROTOCOL);
            for head in heads.iter().cycle() {
                let found = client.find_node(head, b"anything").await.expect("FIND_NODE is answered");
                assert_eq!(found.closer.len(), heads.len() - 1);
                let providers = client.providers(head, &key(0)).await.expect("GET_PROVIDERS is answered");
                assert_eq!(providers.closer.len(), heads.len() - 1);
                counted.fetch_add(1, Ordering::Relaxed);
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { stop, answered, task }
    }

    /// Waits until it is answered once more, then ends it; fails when it was left without an answer.
    async fn end(self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("every request was answered");
        self.answered.load(Ordering::Relaxed)
    }
}

fn key(number: u8) -> Vec<u8> {
    [&[0x12, 0x20], [number; 32].as_slice()].concat()
}

/// A provider record of `peer` at one address, as it stands in a message: field 9.
fn provider(peer: &[u8], address: &[u8]) -> Vec<u8> {
    let inner = [&[0x0a], &framed(peer)[..], &[0x12], &framed(address)[..]].concat();
    [&[0x4a], &framed(&inner)[..]].concat()
}

/// ADD_PROVIDER of these records.
fn announcement(key: &[u8], providers: &[u8]) -> Vec<u8> {
    framed(&[&[0x08, 0x02, 0x12], &framed(key)[..], providers].concat())
}

/// Runs `round` one time to warm up and `rounds` times to be judged.
async fn judged<F: Future<Output = ()>>(node: &Node, rounds: usize, round: impl Fn() -> F) {
    let bystander = Bystander::start(node);
    round().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let warm = Size::of(node);
    for number in 0..rounds {
        round().await;
        let given_back = async {
            while !warm.holds(Size::of(node)) {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let settled = timeout(PATIENCE, given_back).await.is_ok();
        assert!(settled, "round {number} left {:?} of {warm:?}", Size::of(node));
    }
    assert!(bystander.end().await > 0);
}

/// What one peer sends on many streams: for each of these, it writes, and looks what becomes of the stream.
async fn thrown(node: &Node, inputs: &[Vec<u8>], then: Then) {
    let raw = RawPeer::new(PROTOCOL);
    for head in node.heads() {
        let connection = raw.connect(head.tcp()).await.unwrap();
        for some in inputs.chunks(PER_CONNECTION) {
            let opened = join_all(some.iter().map(|_| raw.open(connection))).await;
            let sent = opened.into_iter().zip(some).map(|(stream, input)| send(stream, input, then));
            join_all(sent).await;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// The stream must be reset, with nothing sent.
    Reset,
    /// The stream is dropped.
    Dropped,
}

async fn send(stream: io::Result<RawStream>, input: &[u8], then: Then) {
    let mut stream = stream.unwrap();
    // A node that resets at the first wrong byte does not read the last one.
    let written = stream.write(input).await;
    match then {
        Then::Reset => assert!(stream.is_reset().await.unwrap(), "{:?}", &input[..input.len().min(32)]),
        Then::Dropped => drop((stream, written)),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f10_ten_thousand_slow_streams_hold_nothing_up() {
    let node = Node::start(&[]).await.unwrap();
    judged(&node, 1, || slow_streams(&node, 10_000)).await;
}

/// Opens so many streams, sends two bytes on each, one after the other, and lets them all go at once.
async fn slow_streams(node: &Node, count: usize) {
    let before = Size::of(node);
    let mut streams = Vec::new();
    while streams.len() < count {
        let raw = RawPeer::new(PROTOCOL);
        for head in node.heads() {
            for _ in 0..PER_PEER {
                let connection = raw.connect(head.tcp()).await.unwrap();
                let opened = join_all((0..PER_CONNECTION).map(|_| raw.open(connection))).await;
                streams.extend(opened.into_iter().map(Result::unwrap));
            }
        }
    }
    // A byte of a frame that never comes, and another one.
    for byte in [0x7f, 0x08] {
        for stream in &mut streams {
            // Those that were opened first may have had their time by now.
            drop(stream.write(&[byte]).await);
        }
    }
    let during = Size::of(node);
    let per_stream = during.memory.saturating_sub(before.memory) / streams.len() as u64;
    assert!(per_stream < 16 << 10, "{per_stream} bytes for each of {} streams", streams.len());
    assert!(during.threads <= before.threads + 4, "no thread serves one stream: {during:?}, {before:?}");
}

#[tokio::test]
async fn f9_a_burst_of_streams_costs_those_beyond_the_limit_alone() {
    let node = Node::start(&[]).await.unwrap();
    let request = Request::FindNode { key: key(1).into() };
    let raw = RawPeer::new(PROTOCOL);
    let connection = raw.connect(node.heads()[0].tcp()).await.unwrap();
    // All are open before the first one asks.
    let asked = async |burst: usize| {
        let opened: Vec<_> = join_all((0..burst).map(|_| raw.open(connection))).await;
        let asking = opened.into_iter().map(async |stream| stream?.ask(&request).await);
        join_all(asking).await.into_iter().filter(io::Result::is_ok).count()
    };
    for burst in [70, 300] {
        let answered = asked(burst).await;
        assert!(answered >= PER_CONNECTION, "{answered} of {burst}");
        assert_eq!(asked(PER_CONNECTION).await, PER_CONNECTION, "the connection is as good as before");
    }
    let log = node.home().log();
    assert!(!log.contains("yamux") && !log.contains("libp2p"), "{log}");
}

/// Who connects and says nothing holds a place for the time of a handshake, and no longer.
#[tokio::test]
async fn silent_connections_are_given_up_and_others_get_in() {
    let node = Node::start(&["connections.pending_max=32"]).await.unwrap();
    let head = node.heads()[0].tcp();
    let port = head.iter().find_map(|part| if let Protocol::Tcp(port) = part { Some(port) } else { None });
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(TcpStream::connect(("127.0.0.1", port.unwrap())).await.unwrap());
    }
    let client = Peer::client(PROTOCOL);
    let gets_in = async {
        while client.find_node(head, &key(1)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    timeout(PATIENCE, gets_in).await.expect("silent connections keep everybody else out");
    drop(silent);
}

#[tokio::test]
async fn f2_frames_declared_too_long_take_no_memory() {
    let node = Node::start(&[]).await.unwrap();
    let mut too_long = Vec::new();
    for len in [(4 << 20) + 1, 5 << 20, u64::from(u32::MAX), u64::MAX] {
        too_long.extend(vec![declared(len); 16]);
    }
    judged(&node, 3, || thrown(&node, &too_long, Then::Reset)).await;
    // As long as is allowed, and then nothing comes: what is not there is not reserved.
    let just_so = vec![[declared(4 << 20), vec![0x0a; 100]].concat(); PER_CONNECTION];
    judged(&node, 3, || thrown(&node, &just_so, Then::Dropped)).await;
}

#[tokio::test]
async fn f5_garbage_and_wrong_keys_are_reset() {
    let node = Node::start(&[]).await.unwrap();
    let mut garbage: Vec<_> = (1..=60u8).map(|seed| framed(&noise(seed, usize::from(seed) * 8))).collect();
    // A type that is unknown, a length that is none, a field that ends early.
    garbage.extend([framed(&[0x08, 0x63]), vec![0xff; 12], framed(&[0x12, 0x7f, 1])]);
    for key in [Vec::new(), vec![7; 81], vec![7; 4096]] {
        let key: bytes::Bytes = key.into();
        garbage.push(framed(&Request::GetProviders { key: key.clone() }.encode()));
        garbage.push(framed(&Request::AddProvider { key, providers: Vec::new() }.encode()));
    }
    garbage.push(framed(&Request::FindNode { key: bytes::Bytes::new() }.encode()));
    judged(&node, 3, || thrown(&node, &garbage, Then::Reset)).await;
}

/// Bytes that no message begins with: the field of the first one does not exist in protobuf.
fn noise(seed: u8, len: usize) -> Vec<u8> {
    let mut state = u32::from(seed) | 0x100;
    let mut bytes = vec![0x07];
    bytes.resize_with(len, || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    bytes
}

#[tokio::test]
async fn truncated_frames_and_streams_dropped_at_once_leave_nothing_behind() {
    let node = Node::start(&[]).await.unwrap();
    let whole = framed(&Request::FindNode { key: key(1).into() }.encode());
    let mut parts: Vec<_> = (0..whole.len()).map(|len| whole[..len].to_vec()).collect();
    parts.extend(vec![Vec::new(); 200]);
    parts.extend(vec![[declared(1 << 20), vec![0; 1000]].concat(); 20]);
    judged(&node, 3, || thrown(&node, &parts, Then::Dropped)).await;
}

#[tokio::test]
async fn announcements_of_thousands_and_for_others_are_reset_and_not_kept() {
    let node = Node::start(&[]).await.unwrap();
    let address = [4, 1, 2, 3, 4, 6, 0x0f, 0xa1];
    let strangers: Vec<_> =
        (0..5_000).flat_map(|_| provider(&PeerId::random().to_bytes(), &address)).collect();
    let no_ids: Vec<_> = (0..5_000u32).flat_map(|number| provider(&number.to_be_bytes(), &address)).collect();
    let nothing = [0x4a, 0].repeat(100_000);
    let inputs = [strangers, no_ids, nothing].map(|providers| announcement(&key(1), &providers));
    let inputs = vec![inputs; 4].concat();
    judged(&node, 3, || thrown(&node, &inputs, Then::Reset)).await;
    let answer = Peer::client(PROTOCOL).providers(node.heads()[0].tcp(), &key(1)).await.unwrap();
    assert!(answer.providers.is_empty());
}

#[tokio::test]
async fn addresses_that_do_not_parse_are_not_kept() {
    let node = Node::start(&["heads.count=1"]).await.unwrap();
    let head = node.heads()[0].tcp();
    let unreadable: [&[u8]; 4] = [&[0xff; 9], &[4, 1, 2], &[], &[0x06]];
    let round = || async {
        let raw = RawPeer::new(PROTOCOL);
        let connection = raw.connect(head).await.unwrap();
        for address in unreadable {
            let record = provider(&raw.id.to_bytes(), address);
            let mut stream = raw.open(connection).await.unwrap();
            drop(stream.write(&announcement(&key(2), &record.repeat(1_000))).await);
            assert!(stream.is_reset().await.unwrap(), "{address:?}");
        }
    };
    judged(&node, 3, round).await;
    let answer = Peer::client(PROTOCOL).providers(head, &key(2)).await.unwrap();
    assert!(answer.providers.is_empty());
}

/// Over QUIC a client says how many streams the head may open. Requests for streams that wait until they time out have made
/// libp2p-swarm panic, and the head restart.
#[tokio::test]
async fn a_client_that_permits_the_head_no_stream_loses_its_connection_alone() {
    let node = Node::start(&["heads.count=1"]).await.unwrap();
    let bystander = Bystander::start(&node);
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_quic_config(|mut config| {
            config.max_concurrent_stream_limit = 0;
            config
        })
        .with_behaviour(|_| dummy::Behaviour)
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(2 * PATIENCE))
        .build();
    swarm.dial(node.heads()[0].quic().clone()).unwrap();
    let mut was_there = false;
    let closed = async {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::ConnectionEstablished { .. } => was_there = true,
                SwarmEvent::ConnectionClosed { .. } => return,
                SwarmEvent::OutgoingConnectionError { error, .. } => panic!("{error}"),
                _ => {}
            }
        }
    };
    timeout(PATIENCE, closed).await.expect("the head closes it");
    assert!(was_there && bystander.end().await > 0);
}
