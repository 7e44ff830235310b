//! The behaviour of one head: dials servers, and hands tests to their connections.

use super::handler::{Handler, Offer};
use super::nonces::Nonces;
use super::path::Path;
use super::{Check, CheckError, Client};
use libp2p::PeerId;
use libp2p::core::transport::PortUse;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, DialError, FromSwarm, NetworkBehaviour, NotifyHandler, THandlerInEvent,
    ToSwarm,
};
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Asks servers for the [`Client`] that comes with it. It reports no events to the swarm.
#[derive(Debug)]
pub(crate) struct Behaviour {
    asked: mpsc::Receiver<Box<Check>>,
    nonces: Arc<Nonces>,
    /// The last connection that the head opened to each peer: servers accept requests on those that they accepted.
    opened: HashMap<PeerId, ConnectionId>,
    /// The dials under way. Each has a test that holds a permit.
    dialing: HashMap<ConnectionId, Box<Check>>,
    orders: VecDeque<ToSwarm<Infallible, Box<Check>>>,
}

impl Behaviour {
    /// A behaviour, and what it is used by.
    pub(crate) fn new() -> (Self, Client) {
        let (client, asked) = Client::new();
        let behaviour = Self {
            asked,
            nonces: Arc::default(),
            opened: HashMap::new(),
            dialing: HashMap::new(),
            orders: VecDeque::new(),
        };
        (behaviour, client)
    }

    fn route(&mut self, check: Box<Check>) {
        if check.outcome.is_closed() {
            return;
        }
        if let Some(connection) = self.opened.get(&check.server) {
            return self.orders.push_back(order(*connection, check));
        }
        let opts = DialOpts::peer_id(check.server)
            .condition(PeerCondition::Always)
            .addresses(check.addresses.clone())
            .build();
        self.dialing.insert(opts.connection_id(), check);
        self.orders.push_back(ToSwarm::Dial { opts });
    }
}

fn order(connection: ConnectionId, check: Box<Check>) -> ToSwarm<Infallible, Box<Check>> {
    ToSwarm::NotifyHandler { peer_id: check.server, handler: NotifyHandler::One(connection), event: check }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        local: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        let offer = if self.nonces.are_awaited() { Offer::DialBack } else { Offer::Nothing };
        Ok(Handler::new(offer, Path::of(local), Arc::clone(&self.nonces)))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(Handler::new(Offer::Nothing, None, Arc::clone(&self.nonces)))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(made) => {
                if made.endpoint.is_dialer() {
                    self.opened.insert(made.peer_id, made.connection_id);
                }
                if let Some(check) = self.dialing.remove(&made.connection_id) {
                    self.orders.push_back(order(made.connection_id, check));
                }
            }
            FromSwarm::ConnectionClosed(closed)
                if self.opened.get(&closed.peer_id) == Some(&closed.connection_id) =>
            {
                self.opened.remove(&closed.peer_id);
            }
            FromSwarm::DialFailure(failure) => {
                if let Some(check) = self.dialing.remove(&failure.connection_id) {
                    check.end(Err(match failure.error {
                        DialError::Denied { .. }
                        | DialError::Aborted
                        | DialError::DialPeerConditionFalse(_) => CheckError::NotAsked,
                        _ => CheckError::Failed,
                    }));
                }
            }
            // The rest concerns addresses, which are not kept here; the enum is open.
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, never: Infallible) {
        match never {}
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        loop {
            if let Some(order) = self.orders.pop_front() {
                return Poll::Ready(order);
            }
            match self.asked.poll_recv(cx) {
                Poll::Ready(Some(check)) => self.route(check),
                // A head whose client is gone is asked for nothing.
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}
