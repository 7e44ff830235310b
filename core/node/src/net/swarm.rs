//! Builds a swarm: its transports, its limits, and tasks whose panic ends only their head.

mod gated;
mod multiplex;
mod names;
mod prompt;
mod secure;
mod transport;

use crate::net::dial_gate::Dials;
use futures::FutureExt;
use libp2p::core::transport::Transport;
use libp2p::core::transport::timeout::TransportTimeout;
use libp2p::identity::Keypair;
use libp2p::swarm::{Config, NetworkBehaviour, Swarm};
use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// What the agents of others see.
pub(crate) const AGENT: &str = concat!("hydra/", env!("CARGO_PKG_VERSION"));
/// The protocol version that the peers of the IPFS network tell.
pub(crate) const PROTOCOL_VERSION: &str = "ipfs/0.1.0";

/// Streams of a connection beside those of the Kademlia protocol: identify, ping, and those that this side opens.
const OTHER_STREAMS_MAX: usize = 32;
/// From the dial, or the accept, to the multiplexer: a peer that says nothing does not hold a pending connection longer.
const SETUP_MAX: Duration = Duration::from_secs(10);
/// The maximum number of unread bytes of a QUIC stream and of a QUIC connection.
const QUIC_STREAM_BYTES_MAX: u32 = 256 << 10;
const QUIC_CONNECTION_BYTES_MAX: u32 = 4 << 20;

/// How names in addresses are resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// As the scout does: by the system's resolver, `/dnsaddr` too. While its config cannot be used, a dial that needs it is
    /// [not made](hydra_kad::NotDialed).
    Resolve,
    /// By the system's resolver, `/dnsaddr` too. While its config cannot be used, a dial that needs it fails.
    ResolveOrFail,
    /// Not at all: addresses with names are not dialed.
    Ignore,
}

/// A swarm over TCP (Noise and TLS, Yamux) and QUIC version 1 (requirement N3).
///
/// Every dial passes the gate of `dials`. A panic in one of its tasks notifies `panicked`. A connection has up to `streams_max` inbound
/// streams of the Kademlia protocol, and some more of others.
///
/// # Errors
/// When the key does not yield a certificate.
pub(crate) fn build<B: NetworkBehaviour>(
    key: Keypair,
    behaviour: B,
    names: Names,
    dials: impl Into<Dials>,
    (idle, streams_max): (Duration, usize),
    panicked: Arc<Notify>,
) -> Result<Swarm<B>, io::Error> {
    let streams_max = streams_max + OTHER_STREAMS_MAX;
    let peer = key.public().to_peer_id();
    let transport =
        TransportTimeout::new(transport::of(&key, names, dials.into(), streams_max)?, SETUP_MAX).boxed();
    let config = Config::with_executor(move |task| watched(task, Arc::clone(&panicked)))
        .with_idle_connection_timeout(idle)
        .with_max_negotiating_inbound_streams(streams_max);
    Ok(Swarm::new(transport, behaviour, peer, config))
}

/// Runs one of the swarm's tasks, such as that of a connection.
fn watched(task: Pin<Box<dyn Future<Output = ()> + Send>>, panicked: Arc<Notify>) {
    tokio::spawn(async move {
        if AssertUnwindSafe(task).catch_unwind().await.is_err() {
            panicked.notify_one();
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::address::AddressPolicy;
    use crate::net::dial_budget::Share;
    use crate::net::dial_gate::DialGate;
    use futures::StreamExt;
    use libp2p::PeerId;
    use libp2p::swarm::SwarmEvent;
    use std::time::Instant;

    #[tokio::test]
    async fn a_name_that_leads_to_a_forbidden_host_is_not_dialed() {
        let victim = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        victim.set_nonblocking(true).unwrap();
        let address = format!("/dns4/localhost/tcp/{}", victim.local_addr().unwrap().port());
        let gate = Arc::new(DialGate::new(AddressPolicy::Public));
        let (key, idle) = (Keypair::generate_ed25519(), Duration::from_secs(1));
        let (behaviour, panicked) = (libp2p::swarm::dummy::Behaviour, Arc::default());
        let mut swarm =
            build(key, behaviour, Names::Resolve, Arc::clone(&gate), (idle, 32), panicked).unwrap();
        swarm.dial(address.parse::<libp2p::Multiaddr>().unwrap()).unwrap();
        while !matches!(swarm.select_next_some().await, SwarmEvent::OutgoingConnectionError { .. }) {}
        assert_eq!((gate.admitted(), gate.refused()), (0, [1, 0, 0]));
        assert_eq!(victim.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[tokio::test]
    async fn what_no_transport_can_dial_takes_nothing_from_the_budget() {
        let gate = Arc::new(DialGate::new(AddressPolicy::Any));
        let (key, idle) = (Keypair::generate_ed25519(), Duration::from_secs(1));
        let (behaviour, panicked) = (libp2p::swarm::dummy::Behaviour, Arc::default());
        let mut swarm =
            build(key, behaviour, Names::Resolve, Arc::clone(&gate), (idle, 32), panicked).unwrap();
        for address in ["/ip4/10.0.0.1/tcp/1/ws", "/ip4/10.0.0.1/udp/1/quic", "/ip4/10.0.0.1/tcp/0"] {
            for _ in 0..8 {
                swarm.dial(address.parse::<libp2p::Multiaddr>().unwrap()).unwrap();
                while !matches!(swarm.select_next_some().await, SwarmEvent::OutgoingConnectionError { .. }) {}
            }
        }
        assert_eq!((gate.admitted(), gate.refused()), (0, [0, 0, 0]));
        let ip = "10.0.0.1".parse().unwrap();
        assert_eq!((0..100).filter(|_| gate.admit(ip, Share::Whole, Instant::now()).is_ok()).count(), 16);
    }

    #[tokio::test]
    async fn a_dial_that_the_budget_refuses_is_held_against_nobody() {
        let gate = Arc::new(DialGate::new(AddressPolicy::Any));
        let ip = "10.0.0.1".parse().unwrap();
        let open: Vec<_> = (0..8).map(|_| gate.admit(ip, Share::Whole, Instant::now()).unwrap()).collect();
        let kad = hydra_kad::Config::new([libp2p::StreamProtocol::new("/test/kad/1.0.0")]);
        let behaviour = hydra_kad::Behaviour::client_only(kad);
        let client = behaviour.client();
        let (key, idle) = (Keypair::generate_ed25519(), Duration::from_secs(1));
        let mut swarm =
            build(key, behaviour, Names::Resolve, Arc::clone(&gate), (idle, 32), Arc::default()).unwrap();
        let driven = tokio::spawn(async move {
            loop {
                swarm.select_next_some().await;
            }
        });
        let request = hydra_kad::Request::FindNode { key: b"anything".as_slice().into() };
        let addresses = vec!["/ip4/10.0.0.1/tcp/1".parse().unwrap()];
        let answer = client.ask(PeerId::random(), addresses, request, Duration::from_secs(30)).await;
        assert_eq!(answer, Err(hydra_kad::AskError::Busy));
        assert_eq!(gate.refused(), [0, 1, 0]);
        driven.abort();
        drop(open);
    }

    #[tokio::test]
    async fn the_panic_of_a_task_notifies() {
        let panicked = Arc::new(Notify::new());
        watched(Box::pin(async { panic!("in a connection") }), Arc::clone(&panicked));
        panicked.notified().await;
    }
}
