//! The scout against a server, and against a host that says nothing.

use super::*;
use crate::net::address::AddressPolicy;
use hydra_kad::{EncodedPeer, Mode, Remote, Reply, Response, Service};
use libp2p::StreamProtocol;
use std::pin::pin;
use tokio::net::TcpListener;

const PATIENCE: Duration = Duration::from_secs(60);

/// Answers each request with the peer that asks.
struct Echo;

impl Service for Echo {
    async fn handle(&self, from: &Remote, _: Request) -> Reply {
        let asker = EncodedPeer::new(&from.peer.to_bytes(), [from.address.to_vec()]);
        Reply::Answer(Response { closer: vec![asker.into()], ..Response::default() })
    }
}

fn kad() -> hydra_kad::Config {
    hydra_kad::Config::new([StreamProtocol::new("/test/kad/1.0.0")])
}

fn dials() -> Arc<DialGate> {
    Arc::new(DialGate::new(AddressPolicy::Any))
}

fn request() -> Request {
    Request::FindNode { key: b"anything".as_slice().into() }
}

/// A server that runs until the test ends, and where it listens.
async fn server() -> (PeerId, Multiaddr) {
    let key = Keypair::generate_ed25519();
    let peer = key.public().to_peer_id();
    let behaviour = hydra_kad::Behaviour::new(kad(), Arc::new(Echo), Mode::Server);
    let limits = (IDLE, STREAMS_MAX);
    let mut swarm = swarm::build(key, behaviour, Names::Ignore, dials(), limits, Arc::default()).unwrap();
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            break address;
        }
    };
    tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    (peer, address)
}

async fn is_up(scout: &Scout) {
    while scout.client.load().is_none() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_scout_asks_while_the_budget_of_the_heads_is_used_up() {
    let (peer, address) = server().await;
    let mut kad = kad();
    // Every byte of a frame counts.
    kad.limits.free_bytes = 0;
    let mut incomplete = kad.frames.charge();
    assert!(incomplete.grow_to(kad.frames.bytes_max()));
    let (_serving, phase) = watch::channel(Phase::Serving);
    let peers = (Arc::new(PeerAddresses::new(8)), Arc::default());
    let (scout, task) = spawn(kad, peers, dials(), phase);
    is_up(&scout).await;
    let answer = scout.ask(peer, vec![address], request(), PATIENCE).await.unwrap();
    assert_eq!(answer.closer.len(), 1);
    task.abort();
}

/// Runs the scout once, as its supervisor does.
async fn started(scout: &Scout) -> JoinHandle<io::Result<End>> {
    let own = scout.clone();
    let task = tokio::spawn(async move {
        let (_serving, phase) = watch::channel(Phase::Serving);
        run(&kad(), (&PeerAddresses::new(8), &Servers::default()), &own, phase).await
    });
    is_up(scout).await;
    task
}

#[tokio::test]
async fn a_scout_that_ends_or_restarts_during_a_request_holds_it_against_nobody() {
    for restarts in [false, true] {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = silent.local_addr().unwrap().port();
        let address = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
        let scout = Scout { client: Arc::default(), dials: dials(), restarts: Arc::default() };
        let first = started(&scout).await;
        let mut answer = pin!(scout.ask(PeerId::random(), vec![address], request(), PATIENCE));
        let _connection = tokio::select! {
            answer = &mut answer => panic!("{answer:?}"),
            accepted = silent.accept() => accepted.unwrap(),
        };
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        let second = if restarts { Some(started(&scout).await) } else { None };
        let error = answer.await.unwrap_err();
        assert!(error.is_local(), "restarts: {restarts}, {error:?}");
        if let Some(second) = second {
            second.abort();
        }
    }
}
