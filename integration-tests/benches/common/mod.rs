//! What the benchmarks share: connections of peers that do nothing but what they are told, and the lines printed.

use futures::StreamExt;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol, SwarmBuilder, identify, noise, tcp, yamux};
use std::io;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// The protocol that the heads serve.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/ipfs/kad/1.0.0");
/// How long one connection may take. Generous: nothing is judged by it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than any benchmark.
const IDLE: Duration = Duration::from_secs(3600);

/// One connection to a head, of a peer with an id of its own. It ends when it is dropped.
pub(crate) struct Link {
    /// The peer that asks.
    #[allow(dead_code, reason = "each benchmark is a program of its own, and uses what it needs")]
    pub(crate) peer: PeerId,
    /// The head.
    head: PeerId,
    streams: libp2p_stream::Control,
    task: AbortHandle,
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    streams: libp2p_stream::Behaviour,
}

impl Link {
    /// Connects to the head at `address`, which ends in its id, and waits until both sides know each other by identify.
    pub(crate) async fn connect(address: &Multiaddr) -> io::Result<Self> {
        let Some(Protocol::P2p(head)) = address.iter().last() else {
            return Err(io::Error::other(format!("no id in {address}")));
        };
        let mut swarm = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
            .map_err(io::Error::other)?
            .with_quic()
            .with_behaviour(|key| Behaviour {
                identify: identify::Behaviour::new(identify::Config::new(
                    "ipfs/0.1.0".to_owned(),
                    key.public(),
                )),
                streams: libp2p_stream::Behaviour::new(),
            })
            .map_err(io::Error::other)?
            .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE))
            .build();
        swarm.dial(address.clone()).map_err(io::Error::other)?;
        let (peer, streams) = (*swarm.local_peer_id(), swarm.behaviour().streams.new_control());
        let (known, ready) = oneshot::channel();
        let task = tokio::spawn(drive(swarm, known)).abort_handle();
        let link = Self { peer, head, streams, task };
        timeout(PATIENCE, ready).await?.map_err(|_| io::Error::other("the connection failed"))?;
        Ok(link)
    }

    /// Opens a stream of the protocol.
    #[allow(dead_code, reason = "each benchmark is a program of its own, and uses what it needs")]
    pub(crate) async fn open(&mut self) -> io::Result<libp2p::Stream> {
        self.streams.open_stream(self.head, PROTOCOL).await.map_err(io::Error::other)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn drive(mut swarm: libp2p::Swarm<Behaviour>, known: oneshot::Sender<()>) {
    let (mut known, mut told, mut heard) = (Some(known), false, false);
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::Behaviour(BehaviourEvent::Identify(event)) => match event {
                identify::Event::Received { .. } => heard = true,
                identify::Event::Sent { .. } => told = true,
                identify::Event::Pushed { .. } | identify::Event::Error { .. } => {}
            },
            SwarmEvent::OutgoingConnectionError { error, .. } => {
                eprintln!("no connection: {error}");
                return;
            }
            SwarmEvent::ConnectionClosed { cause, .. } => {
                eprintln!("the connection closed: {cause:?}");
                return;
            }
            _ => {}
        }
        if told
            && heard
            && let Some(known) = known.take()
        {
            // Who waits may have lost patience.
            let _gone = known.send(()).is_err();
        }
    }
}

/// Prints one figure; every benchmark prints its figures alike.
#[allow(clippy::print_stdout, reason = "a benchmark prints")]
pub(crate) fn figure(what: &str, value: impl std::fmt::Display) {
    println!("{what:<58} {value}");
}
