//! The swarm of a peer whose streams are bare.

use super::PATIENCE;
use futures::StreamExt;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{DeniedUpgrade, ReadyUpgrade};
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedOutbound, StreamUpgradeError,
};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    NotifyHandler, SubstreamProtocol, SwarmEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{PeerId, Stream, StreamProtocol, Swarm, SwarmBuilder, noise, tcp, yamux};
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::task::{Context, Poll};
use tokio::sync::{mpsc, oneshot};

pub(super) type Opened = oneshot::Sender<io::Result<Stream>>;
pub(super) type Connected = oneshot::Sender<io::Result<ConnectionId>>;

/// What the swarm is to do, and whom it tells.
pub(super) enum Order {
    Connect(PeerId, Multiaddr, Connected),
    Open(PeerId, ConnectionId, Opened),
}

pub(super) fn build(protocol: &'static str) -> Swarm<Raw> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .expect("the key makes a certificate")
        .with_quic()
        .with_behaviour(|_| Raw { protocol: StreamProtocol::new(protocol), orders: VecDeque::new() })
        .expect("the behaviour is made")
        .build()
}

pub(super) async fn drive(mut swarm: Swarm<Raw>, mut to_do: mpsc::Receiver<Order>) {
    let mut dialing: HashMap<ConnectionId, Connected> = HashMap::new();
    loop {
        tokio::select! {
            event = swarm.select_next_some() => match event {
                SwarmEvent::ConnectionEstablished { connection_id, .. } => {
                    if let Some(told) = dialing.remove(&connection_id) {
                        drop(told.send(Ok(connection_id)));
                    }
                }
                SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                    if let Some(told) = dialing.remove(&connection_id) {
                        drop(told.send(Err(io::Error::other(error))));
                    }
                }
                _ => {}
            },
            Some(order) = to_do.recv() => match order {
                Order::Connect(peer, address, told) => {
                    let dial = DialOpts::peer_id(peer)
                        .addresses(vec![address])
                        .condition(PeerCondition::Always)
                        .build();
                    dialing.insert(dial.connection_id(), told);
                    // An error comes as an event, too.
                    let _told = swarm.dial(dial);
                }
                Order::Open(peer, connection, told) => {
                    swarm.behaviour_mut().orders.push_back((peer, connection, told));
                }
            },
        }
    }
}

pub(super) struct Raw {
    protocol: StreamProtocol,
    orders: VecDeque<(PeerId, ConnectionId, Opened)>,
}

pub(super) struct RawHandler {
    protocol: StreamProtocol,
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
        Ok(RawHandler { protocol: self.protocol.clone(), orders: VecDeque::new() })
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<RawHandler, ConnectionDenied> {
        Ok(RawHandler { protocol: self.protocol.clone(), orders: VecDeque::new() })
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, never: THandlerOutEvent<Self>) {
        match never {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, Opened>> {
        // Whoever fills the queue polls the swarm afterwards: no waker is needed.
        match self.orders.pop_front() {
            Some((peer_id, connection, event)) => Poll::Ready(ToSwarm::NotifyHandler {
                peer_id,
                handler: NotifyHandler::One(connection),
                event,
            }),
            None => Poll::Pending,
        }
    }
}

impl ConnectionHandler for RawHandler {
    type FromBehaviour = Opened;
    type ToBehaviour = Infallible;
    type InboundProtocol = DeniedUpgrade;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Opened;

    fn listen_protocol(&self) -> SubstreamProtocol<DeniedUpgrade> {
        SubstreamProtocol::new(DeniedUpgrade, ())
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
                let upgrade = ReadyUpgrade::new(self.protocol.clone());
                let protocol = SubstreamProtocol::new(upgrade, opened).with_timeout(PATIENCE);
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
        event: ConnectionEvent<'_, DeniedUpgrade, ReadyUpgrade<StreamProtocol>, (), Opened>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                drop(info.send(Ok(protocol)));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                let kind = match error {
                    StreamUpgradeError::NegotiationFailed => io::ErrorKind::Unsupported,
                    _ => io::ErrorKind::ConnectionReset,
                };
                drop(info.send(Err(io::Error::new(kind, error.to_string()))));
            }
            _ => {}
        }
    }
}
