//! Identify messages that are longer than libp2p-identify reads: go nodes with many addresses and protocols send them.
//!
//! Asked for once per connection, after libp2p-identify has failed at the message.

mod message;

use futures::future::{BoxFuture, FutureExt};
use hydra_kad::framing::FrameReader;
use hydra_kad::{Budget, Limits};
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{DeniedUpgrade, ReadyUpgrade};
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::handler::{ConnectionEvent, ConnectionHandlerEvent, FullyNegotiatedOutbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, Stream,
    SubstreamProtocol, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{PeerId, StreamProtocol, identify};
pub(super) use message::Message;
use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::Duration;

/// The longest message that is read, in bytes.
const BYTES_MAX: usize = 64 << 10;
/// How long a message may take.
const WAIT: Duration = Duration::from_secs(10);
/// Connections that wait to be asked; a further one is asked when its peer is met again.
const WAITING_MAX: usize = 256;

/// Reads the identify messages that libp2p-identify does not.
#[derive(Debug)]
pub(super) struct LongIdentify {
    orders: VecDeque<ToSwarm<Identified, Ask>>,
    /// What the messages of all connections of the head may take.
    budget: Budget,
}

/// What a peer says of itself.
#[derive(Debug)]
pub(super) struct Identified {
    pub(super) peer: PeerId,
    pub(super) connection: ConnectionId,
    pub(super) message: Message,
}

/// Tells a connection to read a message.
#[derive(Debug)]
pub(super) struct Ask;

impl Default for LongIdentify {
    fn default() -> Self {
        Self { orders: VecDeque::new(), budget: Budget::new(16 * BYTES_MAX) }
    }
}

impl LongIdentify {
    /// Reads the message of this connection's peer, if a message that cannot be read is what libp2p-identify failed at.
    pub(super) fn on_event(&mut self, event: &identify::Event) {
        let identify::Event::Error { peer_id, connection_id, error } = event else { return };
        if matches!(error, libp2p::swarm::StreamUpgradeError::Apply(_)) && self.orders.len() < WAITING_MAX {
            let handler = NotifyHandler::One(*connection_id);
            self.orders.push_back(ToSwarm::NotifyHandler { peer_id: *peer_id, handler, event: Ask });
        }
    }
}

impl NetworkBehaviour for LongIdentify {
    type ConnectionHandler = Handler;
    type ToSwarm = Identified;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(Handler { state: State::Unasked, budget: self.budget.clone() })
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(Handler { state: State::Unasked, budget: self.budget.clone() })
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        message: THandlerOutEvent<Self>,
    ) {
        self.orders.push_back(ToSwarm::GenerateEvent(Identified { peer, connection, message: *message }));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Identified, THandlerInEvent<Self>>> {
        // Orders are given between two polls of the swarm, which polls again after each.
        self.orders.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// One connection.
pub(super) struct Handler {
    state: State,
    budget: Budget,
}

enum State {
    Unasked,
    Asked,
    Opening,
    Reading(BoxFuture<'static, Option<Message>>),
    /// A connection is asked once: its peer cannot have it asked for ever.
    Done,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Ask;
    type ToBehaviour = Box<Message>;
    type InboundProtocol = DeniedUpgrade;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<DeniedUpgrade> {
        SubstreamProtocol::new(DeniedUpgrade, ())
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<ReadyUpgrade<StreamProtocol>, (), Box<Message>>> {
        match &mut self.state {
            State::Asked => {
                self.state = State::Opening;
                let protocol = SubstreamProtocol::new(ReadyUpgrade::new(identify::PROTOCOL_NAME), ());
                Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol })
            }
            State::Reading(reading) => match reading.poll_unpin(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(message) => {
                    self.state = State::Done;
                    let told = |message| ConnectionHandlerEvent::NotifyBehaviour(Box::new(message));
                    message.map_or(Poll::Pending, |message| Poll::Ready(told(message)))
                }
            },
            State::Unasked | State::Opening | State::Done => Poll::Pending,
        }
    }

    fn on_behaviour_event(&mut self, _: Ask) {
        if matches!(self.state, State::Unasked) {
            self.state = State::Asked;
        }
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, DeniedUpgrade, ReadyUpgrade<StreamProtocol>>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, .. }) => {
                self.state = State::Reading(read(protocol, self.budget.clone()).boxed());
            }
            ConnectionEvent::DialUpgradeError(_) => self.state = State::Done,
            // The rest concerns inbound streams, of which there are none; the enum is open.
            _ => {}
        }
    }
}

async fn read(mut stream: Stream, budget: Budget) -> Option<Message> {
    let limits = Limits { frame_bytes_max: BYTES_MAX, ..Limits::default() };
    let mut reader = FrameReader::new(&limits, &budget);
    let frame = tokio::time::timeout(WAIT, reader.next(&mut stream)).await.ok()?.ok()??;
    Message::decode(&frame)
}
