//! The behaviour of one head, or of the scout.

use crate::client::{Ask, AskError, Client};
use crate::handler::{Handler, Order};
use crate::mode::SharedMode;
use crate::{Config, Mode, NoService, Remote, Service};
use libp2p::PeerId;
use libp2p::core::transport::PortUse;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{
    ConnectionClosed, ConnectionDenied, ConnectionId, DialFailure, FromSwarm, NetworkBehaviour,
    NotifyHandler, THandlerInEvent, ToSwarm,
};
use smallvec::{SmallVec, smallvec};
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::sync::mpsc;

/// Serves the protocol, and asks other peers for its [`Client`]s. It reports no events to the swarm.
pub struct Behaviour<S = NoService> {
    config: Arc<Config>,
    service: Arc<S>,
    mode: Mode,
    /// The same for the streams.
    shared_mode: Arc<SharedMode>,
    connections: HashMap<PeerId, SmallVec<[ConnectionId; 1]>>,
    client: Client,
    asked: mpsc::Receiver<Box<Ask>>,
    /// The dials under way. Each has a request that holds a permit, so there are no more of them than permits.
    dialing: HashMap<PeerId, Dialing>,
    /// At most one order to each connection, and requests, which are bounded by their permits.
    orders: VecDeque<ToSwarm<Infallible, Order>>,
    waker: Option<Waker>,
}

/// A dial of ours, and the requests that wait for it; those that were given up stay until it has ended.
struct Dialing {
    dial: ConnectionId,
    asks: SmallVec<[Box<Ask>; 1]>,
}

impl<S: Service> Behaviour<S> {
    /// A behaviour that answers by `service` while it is in [`Mode::Server`].
    pub fn new(config: Config, service: Arc<S>, mode: Mode) -> Self {
        let config = Arc::new(config);
        let (client, asked) = Client::new(config.clone());
        Self {
            config,
            service,
            mode,
            shared_mode: Arc::new(SharedMode::new(mode)),
            connections: HashMap::new(),
            client,
            asked,
            dialing: HashMap::new(),
            orders: VecDeque::new(),
            waker: None,
        }
    }

    /// A handle to ask other peers with. All handles share [`Limits::requests_max`](crate::Limits::requests_max).
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The settings and the counters.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The current mode.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Switches between serving and not serving, on all connections. Identify tells the remotes.
    pub fn set_mode(&mut self, mode: Mode) {
        if self.mode == mode {
            return;
        }
        self.mode = mode;
        self.shared_mode.set(mode);
        // What is still queued of an earlier switch is out of date.
        self.orders.retain(|order| !matches!(order, ToSwarm::NotifyHandler { event: Order::SetMode(_), .. }));
        for (peer, connections) in &self.connections {
            for connection in connections {
                self.orders.push_back(order(*peer, *connection, Order::SetMode(mode)));
            }
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn handler(&self, peer: PeerId, connection: ConnectionId, address: &Multiaddr) -> Handler<S> {
        let remote = Remote { peer, address: address.clone(), connection };
        Handler::new(self.config.clone(), self.service.clone(), remote, self.shared_mode.clone())
    }

    /// Sends a request on its way; a peer without a connection is dialed, once for all that wait for it.
    fn route(&mut self, ask: Box<Ask>) {
        if ask.is_given_up() {
            return;
        }
        if let Some(connection) = self.connections.get(&ask.peer).and_then(|all| all.first()) {
            self.orders.push_back(order(ask.peer, *connection, Order::Ask(ask)));
            return;
        }
        if let Some(dialing) = self.dialing.get_mut(&ask.peer) {
            dialing.asks.retain(|earlier| !earlier.is_given_up());
            dialing.asks.push(ask);
            return;
        }
        let opts = DialOpts::peer_id(ask.peer)
            .condition(PeerCondition::Disconnected)
            .addresses(ask.addresses.clone());
        let opts =
            if ask.addresses.is_empty() { opts.extend_addresses_through_behaviour() } else { opts }.build();
        self.dialing.insert(ask.peer, Dialing { dial: opts.connection_id(), asks: smallvec![ask] });
        self.orders.push_back(ToSwarm::Dial { opts });
    }

    fn connected(&mut self, peer: PeerId, connection: ConnectionId) {
        self.connections.entry(peer).or_default().push(connection);
        for ask in self.dialing.remove(&peer).map(|dialing| dialing.asks).unwrap_or_default() {
            self.orders.push_back(order(peer, connection, Order::Ask(ask)));
        }
    }

    fn disconnected(&mut self, closed: &ConnectionClosed<'_>) {
        if let Some(connections) = self.connections.get_mut(&closed.peer_id) {
            connections.retain(|one| *one != closed.connection_id);
            if connections.is_empty() {
                self.connections.remove(&closed.peer_id);
            }
        }
    }

    fn dial_failed(&mut self, failure: &DialFailure<'_>) {
        let Some(peer) = failure.peer_id else { return };
        // Other behaviours dial too; their failures are not ours.
        if self.dialing.get(&peer).is_none_or(|dialing| dialing.dial != failure.connection_id) {
            return;
        }
        for ask in self.dialing.remove(&peer).map(|dialing| dialing.asks).unwrap_or_default() {
            ask.fail(AskError::of_dial(failure.error));
        }
    }
}

fn order(peer_id: PeerId, connection: ConnectionId, event: Order) -> ToSwarm<Infallible, Order> {
    ToSwarm::NotifyHandler { peer_id, handler: NotifyHandler::One(connection), event }
}

impl<S: Service> NetworkBehaviour for Behaviour<S> {
    type ConnectionHandler = Handler<S>;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<Handler<S>, ConnectionDenied> {
        Ok(self.handler(peer, connection, remote))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        _role: Endpoint,
        _port: PortUse,
    ) -> Result<Handler<S>, ConnectionDenied> {
        Ok(self.handler(peer, connection, address))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(made) => self.connected(made.peer_id, made.connection_id),
            FromSwarm::ConnectionClosed(closed) => self.disconnected(&closed),
            FromSwarm::DialFailure(failure) => self.dial_failed(&failure),
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
                Poll::Ready(Some(ask)) => self.route(ask),
                // The channel never closes: a sender is kept here.
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl<S> fmt::Debug for Behaviour<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behaviour")
            .field("mode", &self.mode)
            .field("peers", &self.connections.len())
            .field("dialing", &self.dialing.len())
            .finish_non_exhaustive()
    }
}

impl Behaviour<NoService> {
    /// A behaviour that only asks, and serves nobody.
    pub fn client_only(config: Config) -> Self {
        Self::new(config, Arc::new(NoService), Mode::Client)
    }
}
