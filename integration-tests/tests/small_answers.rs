//! Answers to clients that refuse long frames (row V17 of the protocol's requirements): a key of many providers with many
//! addresses each, asked for by stock libp2p-kad and by others.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail as it does")]

use futures::StreamExt;
use futures::future::join_all;
use hydra_integration_tests::foreign::rust::{self, Asks};
use hydra_integration_tests::network::{PROTOCOL, enter};
use hydra_integration_tests::node::{Head, Node};
use hydra_integration_tests::peer::{Peer, Serves, Setup};
use hydra_integration_tests::raw::RawPeer;
use hydra_kad::{
    Answer, Behaviour as Kad, Config, EncodedPeer, Kind, Limits, Mode, Remote, Reply, Request, Response,
    Service,
};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol, SwarmBuilder, identify, noise, tcp, tls, yamux};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What stock libp2p-kad reads, in bytes without the length prefix.
const FRAME_MAX: usize = 16_384;
/// More than one answer holds.
const PROVIDERS: usize = 132;
const PROVIDERS_PER_ANSWER: usize = 128;
/// Of each provider, some 60 bytes each: a full answer has 50 KiB and more.
const ADDRESSES: u16 = 8;
/// Of each peer in an answer that is trimmed.
const BEST: usize = 4;
const SERVERS: usize = 24;

/// A sha2-256 multihash.
fn multihash() -> Vec<u8> {
    [&[0x12, 0x20], [17; 32].as_slice()].concat()
}

/// Addresses of one kind: they stay in their order.
fn told() -> Vec<Multiaddr> {
    (0..ADDRESSES).map(|nth| format!("/dns4/{nth:040}.example.com/tcp/4001").parse().unwrap()).collect()
}

/// Has as many peers announce the key as one answer holds, and some more, and asks as another agent until the answer
/// is as `wanted`.
async fn announced(head: &Head, wanted: impl Fn(&Answer) -> bool) {
    let providers: Vec<_> = (0..PROVIDERS).map(|_| Peer::client(PROTOCOL)).collect();
    let (key, told) = (multihash(), told());
    for some in providers.chunks(16) {
        let sent = join_all(some.iter().map(|peer| peer.provide(head.tcp(), &key, &told))).await;
        assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    }
    let client = Setup { agent: Some("hydra-test"), ..Setup::new(PROTOCOL) }.start().await;
    let answer = client.providers_until(head.tcp(), &key, &wanted).await.unwrap();
    assert!(wanted(&answer), "{} providers", answer.providers.len());
}

/// Whether nothing is left out. The first answers are small ones, until identify has told of the agent.
fn is_full(answer: &Answer) -> bool {
    let told = told();
    answer.providers.len() == PROVIDERS_PER_ANSWER
        && answer.providers.iter().all(|provider| provider.addresses == told)
}

/// What a stock client finds, told by its setup.
async fn found(head: &Multiaddr, agent: Option<&'static str>, asks: Asks) -> std::io::Result<rust::Found> {
    rust::find_by(rust::Setup { agent, asks }, head, PROTOCOL, &multihash()).await
}

fn is_trimmed(found: &rust::Found) {
    let told: Vec<_> = told().iter().map(ToString::to_string).take(BEST).collect();
    assert!(found.providers.len() >= 20, "{} providers", found.providers.len());
    assert!(found.providers.iter().all(|provider| provider.addrs == told), "each has its best addresses");
}

#[tokio::test]
async fn v17_a_stock_rust_client_gets_an_answer_that_fits_and_others_the_full_one() {
    let node = Node::start(&[]).await.unwrap();
    let head = &node.heads()[0];
    let at = |server: u16| (1..=6).map(move |nth| format!("/ip4/127.0.0.1/tcp/{}", 8 * server + nth));
    let servers = join_all((1..=SERVERS as u16).map(|server| {
        let announces = at(server).map(|address| address.parse().unwrap()).collect();
        Setup { serves: Serves::All, listens: true, announces, ..Setup::new(PROTOCOL) }.start()
    }));
    enter(&node, &servers.await).await;
    announced(head, is_full).await;

    for address in [head.tcp(), head.quic()] {
        for asks in [Asks::OnceKnown, Asks::AtOnce] {
            let found = found(address, None, asks).await.unwrap();
            is_trimmed(&found);
            let providers: BTreeSet<_> = found.providers.iter().map(|peer| &peer.id).collect();
            let closer = found.closer.iter().filter(|peer| !providers.contains(peer)).count();
            assert_eq!(closer, 20, "{asks:?}: closer peers go last");
        }
    }
    one_of_no_known_agent_gets_a_small_answer(head).await;
    assert!(trimmed(&node).await >= 5.0, "the node counts them");
}

async fn trimmed(node: &Node) -> f64 {
    node.metrics().await.unwrap().value("hydra_wire_answers_trimmed_total", &[]).unwrap()
}

async fn one_of_no_known_agent_gets_a_small_answer(head: &Head) {
    let mut stream = RawPeer::new(PROTOCOL).stream(head.tcp()).await.unwrap();
    stream.send(&Request::GetProviders { key: multihash().into() }).await.unwrap();
    let frame = stream.frame().await.unwrap();
    assert!((FRAME_MAX - 400..=FRAME_MAX).contains(&frame.len()), "as much as fits: {}", frame.len());
    let answer = Answer::decode(frame.into(), Kind::GetProviders, &Limits::default()).unwrap();
    assert_eq!(answer.closer.len(), 20);
    assert!(answer.providers.iter().all(|provider| provider.addresses == told()[..BEST]));
}

#[tokio::test]
async fn v17_without_small_answers_a_stock_rust_client_gets_none() {
    let node = Node::start(&["kad.small_answers=\"never\""]).await.unwrap();
    let head = &node.heads()[0];
    announced(head, is_full).await;
    for asks in [Asks::OnceKnown, Asks::AtOnce] {
        let lost = found(head.tcp(), None, asks).await.unwrap_err();
        assert!(lost.to_string().contains("no server answered"), "{lost}");
    }
    let short = rust::find(head.tcp(), PROTOCOL, b"another key").await.unwrap();
    assert!(short.providers.is_empty(), "it is the length of the answer, not the client");
    assert_eq!(trimmed(&node).await, 0.0);
}

#[tokio::test]
async fn v17_an_application_with_an_agent_of_its_own_needs_small_answers_for_all() {
    let node = Node::start(&["heads.count=1", "kad.small_answers=\"always\""]).await.unwrap();
    let head = &node.heads()[0];
    announced(head, |answer| answer.providers.len() >= 40 && !is_full(answer)).await;
    for asks in [Asks::OnceKnown, Asks::AtOnce] {
        is_trimmed(&found(head.tcp(), Some("my-application/1.0"), asks).await.unwrap());
    }
}

/// A server whose every answer has exactly so many bytes.
struct Long(usize);

#[derive(NetworkBehaviour)]
struct Server {
    identify: identify::Behaviour,
    kad: Kad<Long>,
}

impl Service for Long {
    async fn handle(&self, _: &Remote, request: Request) -> Reply {
        // What is no address is skipped by the client.
        let filled = |last: usize| {
            let provider = |len| EncodedPeer::new(&PeerId::random().to_bytes(), [vec![0xff; len]]).into();
            let providers = [5_000, 5_000, last].map(provider).to_vec();
            Response { providers: providers.into(), ..Response::default() }
        };
        let len = |response: &Response| response.encode(&request, 1 << 22).unwrap().len();
        Reply::Answer(filled(5_000 + self.0 - len(&filled(5_000))))
    }
}

/// Serves until the test ends, and returns where.
async fn serve(frame_bytes: usize) -> Multiaddr {
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), (tls::Config::new, noise::Config::new), yamux::Config::default)
        .unwrap()
        .with_behaviour(|key| Server {
            identify: identify::Behaviour::new(identify::Config::new("/ipfs/0.1.0".to_owned(), key.public())),
            kad: Kad::new(
                Config::new([StreamProtocol::new(PROTOCOL)]),
                Arc::new(Long(frame_bytes)),
                Mode::Server,
            ),
        })
        .unwrap()
        .build();
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            break address.with(Protocol::P2p(*swarm.local_peer_id()));
        }
    };
    tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    address
}

#[tokio::test]
async fn v17_the_limit_is_that_of_the_stock_client_to_the_byte() {
    let found = rust::find(&serve(FRAME_MAX).await, PROTOCOL, &multihash()).await.unwrap();
    assert_eq!(found.providers.len(), 3);
    let lost = rust::find(&serve(FRAME_MAX + 1).await, PROTOCOL, &multihash()).await.unwrap_err();
    assert!(lost.to_string().contains("no server answered"), "{lost}");
}
