//! Swarms on loopback, and a peer that opens and accepts bare streams.

#![allow(dead_code, reason = "each test file uses its part")]

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use hydra_kad::{Behaviour, Client, Config, Limits, Mode, Service};
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound, StreamUpgradeError,
};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    NotifyHandler, SubstreamProtocol, SwarmEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{PeerId, Stream, StreamProtocol, Swarm, SwarmBuilder, identify, noise, tcp, yamux};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

pub(crate) const KAD: StreamProtocol = StreamProtocol::new("/test/kad/1.0.0");

/// Long enough for anything that is to happen; a test that waits so long has failed.
pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) fn config() -> Config {
    Config::new([KAD])
}

pub(crate) fn limited(change: impl FnOnce(&mut Limits)) -> Config {
    let mut config = config();
    change(&mut config.limits);
    config
}

pub(crate) fn swarm<B: NetworkBehaviour + Send>(
    behaviour: impl FnOnce(&libp2p::identity::Keypair) -> B,
) -> Swarm<B> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|key| behaviour(key))
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(LONG))
        .build()
}

pub(crate) async fn listen<B: NetworkBehaviour>(swarm: &mut Swarm<B>) -> Multiaddr {
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            return address;
        }
    }
}

/// A head that serves and asks, with identify beside it.
pub(crate) struct Head {
    pub(crate) peer: PeerId,
    pub(crate) address: Multiaddr,
    pub(crate) client: Client,
    pub(crate) config: Config,
    pub(crate) mode: watch::Sender<Mode>,
}

#[derive(NetworkBehaviour)]
struct HeadBehaviour<S: Service> {
    kad: Behaviour<S>,
    identify: identify::Behaviour,
}

pub(crate) async fn head<S: Service>(config: Config, service: S) -> Head {
    let kad = Behaviour::new(config.clone(), Arc::new(service), Mode::Server);
    let client = kad.client();
    let mut swarm = swarm(|key| HeadBehaviour {
        kad,
        identify: identify::Behaviour::new(identify::Config::new("/test".to_owned(), key.public())),
    });
    let address = listen(&mut swarm).await;
    let peer = *swarm.local_peer_id();
    let (mode, mut modes) = watch::channel(Mode::Server);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = swarm.select_next_some() => {}
                Ok(()) = modes.changed() => swarm.behaviour_mut().kad.set_mode(*modes.borrow_and_update()),
            }
        }
    });
    Head { peer, address, client, config, mode }
}

/// Whether the remote resets the stream without having sent anything.
///
/// Yamux shows a reset as an end; but unlike after a half-close, nothing can be written then.
pub(crate) async fn is_reset(stream: &mut Stream) -> bool {
    let mut rest = Vec::new();
    let ended = timeout(LONG, stream.read_to_end(&mut rest)).await.expect("it ends in time");
    rest.is_empty() && (ended.is_err() || stream.write_all(&[0]).await.is_err())
}

/// A peer that opens bare streams, accepts them, and tells what identify says.
pub(crate) struct RawPeer {
    pub(crate) peer: PeerId,
    pub(crate) address: Multiaddr,
    pub(crate) accepted: mpsc::Receiver<Stream>,
    /// The protocols that a remote told last.
    pub(crate) protocols: watch::Receiver<Vec<StreamProtocol>>,
    opens: mpsc::Sender<(PeerId, Multiaddr, Opened)>,
}

type Opened = oneshot::Sender<Result<Stream, String>>;

impl RawPeer {
    /// Opens a stream, over the connection there is or a new one.
    pub(crate) async fn open(&self, head: &Head) -> Result<Stream, String> {
        let (opened, stream) = oneshot::channel();
        self.opens.send((head.peer, head.address.clone(), opened)).await.unwrap();
        stream.await.unwrap_or(Err("not connected".to_owned()))
    }
}

pub(crate) async fn raw_peer() -> RawPeer {
    let (to_accepted, accepted) = mpsc::channel(1000);
    let (opens, mut to_open) = mpsc::channel::<(PeerId, Multiaddr, Opened)>(1000);
    let (told, protocols) = watch::channel(Vec::new());
    let mut swarm = swarm(|key| RawBehaviour {
        raw: Raw { accepted: to_accepted, orders: VecDeque::new() },
        identify: identify::Behaviour::new(identify::Config::new("/test".to_owned(), key.public())),
    });
    let address = listen(&mut swarm).await;
    let peer = *swarm.local_peer_id();
    tokio::spawn(async move {
        let mut waiting: Vec<(PeerId, Opened)> = Vec::new();
        loop {
            tokio::select! {
                event = swarm.select_next_some() => match event {
                    SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                        for (peer, opened) in std::mem::take(&mut waiting) {
                            assert_eq!(peer, peer_id, "one remote at a time");
                            swarm.behaviour_mut().raw.orders.push_back((peer, opened));
                        }
                    }
                    SwarmEvent::Behaviour(RawBehaviourEvent::Identify(identify::Event::Received { info, .. })) => {
                        told.send_replace(info.protocols);
                    }
                    _ => {}
                },
                Some((peer, address, opened)) = to_open.recv() => {
                    if swarm.is_connected(&peer) {
                        swarm.behaviour_mut().raw.orders.push_back((peer, opened));
                    } else {
                        if waiting.is_empty() {
                            swarm.dial(address).unwrap();
                        }
                        waiting.push((peer, opened));
                    }
                }
            }
        }
    });
    RawPeer { peer, address, accepted, protocols, opens }
}

#[derive(NetworkBehaviour)]
struct RawBehaviour {
    raw: Raw,
    identify: identify::Behaviour,
}

struct Raw {
    accepted: mpsc::Sender<Stream>,
    orders: VecDeque<(PeerId, Opened)>,
}

struct RawHandler {
    accepted: mpsc::Sender<Stream>,
    orders: VecDeque<Opened>,
}

impl NetworkBehaviour for Raw {
    type ConnectionHandler = RawHandler;
    type ToSwarm = Infallible;
    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<RawHandler, ConnectionDenied> {
        Ok(RawHandler { accepted: self.accepted.clone(), orders: VecDeque::new() })
    }
    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<RawHandler, ConnectionDenied> {
        Ok(RawHandler { accepted: self.accepted.clone(), orders: VecDeque::new() })
    }
    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}
    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, never: THandlerOutEvent<Self>) {
        match never {}
    }
    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, Opened>> {
        match self.orders.pop_front() {
            Some((peer_id, event)) => {
                Poll::Ready(ToSwarm::NotifyHandler { peer_id, handler: NotifyHandler::Any, event })
            }
            None => Poll::Pending,
        }
    }
}

impl ConnectionHandler for RawHandler {
    type FromBehaviour = Opened;
    type ToBehaviour = Infallible;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Opened;
    fn listen_protocol(&self) -> SubstreamProtocol<ReadyUpgrade<StreamProtocol>> {
        SubstreamProtocol::new(ReadyUpgrade::new(KAD), ())
    }
    fn connection_keep_alive(&self) -> bool {
        true
    }
    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<ReadyUpgrade<StreamProtocol>, Opened, Infallible>> {
        match self.orders.pop_front() {
            Some(opened) => {
                let protocol = SubstreamProtocol::new(ReadyUpgrade::new(KAD), opened);
                Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol })
            }
            None => Poll::Pending,
        }
    }
    fn on_behaviour_event(&mut self, opened: Opened) {
        self.orders.push_back(opened);
    }
    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, ReadyUpgrade<StreamProtocol>, ReadyUpgrade<StreamProtocol>, (), Opened>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) => {
                self.accepted.try_send(protocol).unwrap();
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                drop(info.send(Ok(protocol)));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                let error = match error {
                    StreamUpgradeError::NegotiationFailed => "refused".to_owned(),
                    other => other.to_string(),
                };
                drop(info.send(Err(error)));
            }
            _ => {}
        }
    }
}
