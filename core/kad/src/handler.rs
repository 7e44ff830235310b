//! One connection: its inbound streams are served here, its outbound ones ask.

use crate::client::{Ask, AskError, carry};
use crate::mode::Mode;
use crate::server::serve;
use crate::stats::add;
use crate::upgrade::Upgrade;
use crate::{Budget, Config, Remote, Service};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use futures::{AsyncRead, AsyncWrite, FutureExt};
use libp2p::swarm::handler::{
    ConnectionEvent, ConnectionHandler, ConnectionHandlerEvent, DialUpgradeError, FullyNegotiatedInbound,
    FullyNegotiatedOutbound, StreamUpgradeError,
};
use libp2p::swarm::{Stream, SubstreamProtocol};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// How long the negotiation of a stream may take.
const NEGOTIATION_WAIT: Duration = Duration::from_secs(10);

/// Serves the inbound streams of one connection and carries its requests. It is polled in the connection's own task,
/// and holds no buffer while nothing is under way.
pub struct Handler<S> {
    config: Arc<Config>,
    service: Arc<S>,
    remote: Arc<Remote>,
    mode: Mode,
    /// Its part of the memory for unfinished frames.
    frames: Budget,
    /// Every stream that is open, inbound and outbound.
    streams: FuturesUnordered<BoxFuture<'static, Direction>>,
    inbound_len: usize,
    /// Requests that wait for a stream.
    asks: VecDeque<Box<Ask>>,
    /// Streams asked for and not there yet.
    opening_len: usize,
}

/// Which way a stream went that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    In,
    Out,
}

/// What the behaviour tells a connection.
#[derive(Debug)]
pub enum Order {
    /// Serve, or stop serving.
    SetMode(Mode),
    /// Carry this request.
    Ask(Box<Ask>),
}

impl<S: Service> Handler<S> {
    pub(crate) fn new(config: Arc<Config>, service: Arc<S>, remote: Remote, mode: Mode) -> Self {
        Self {
            frames: config.frames_of_connection(),
            config,
            service,
            remote: Arc::new(remote),
            mode,
            streams: FuturesUnordered::new(),
            inbound_len: 0,
            asks: VecDeque::new(),
            opening_len: 0,
        }
    }

    fn accept<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&mut self, stream: IO) {
        if self.inbound_len >= self.config.limits.streams_max {
            // Dropping the stream resets it; the connection stays (F9).
            add(&self.config.stats.streams_refused, 1);
            return;
        }
        self.inbound_len += 1;
        let frames = self.frames.clone();
        let served = serve(stream, self.config.clone(), frames, self.service.clone(), self.remote.clone());
        self.streams.push(served.map(|()| Direction::In).boxed());
    }

    fn opened(&mut self, stream: Stream, ask: Box<Ask>) {
        self.opening_len = self.opening_len.saturating_sub(1);
        self.streams.push(
            carry(stream, ask, self.config.clone(), self.frames.clone()).map(|()| Direction::Out).boxed(),
        );
    }

    fn not_opened(&mut self, ask: Ask, error: &StreamUpgradeError<Infallible>) {
        self.opening_len = self.opening_len.saturating_sub(1);
        ask.fail(match error {
            StreamUpgradeError::NegotiationFailed => AskError::Unsupported,
            StreamUpgradeError::Timeout => AskError::Deadline,
            StreamUpgradeError::Io(_) => AskError::Reset,
            StreamUpgradeError::Apply(never) => match *never {},
        });
    }
}

impl<S: Service> ConnectionHandler for Handler<S> {
    type FromBehaviour = Order;
    type ToBehaviour = Infallible;
    type InboundProtocol = Upgrade;
    type OutboundProtocol = Upgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Box<Ask>;

    fn listen_protocol(&self) -> SubstreamProtocol<Upgrade> {
        let upgrade = match self.mode {
            Mode::Server => Upgrade::all(&self.config.protocols),
            Mode::Client => Upgrade::none(&self.config.protocols),
        };
        SubstreamProtocol::new(upgrade, ()).with_timeout(NEGOTIATION_WAIT)
    }

    fn connection_keep_alive(&self) -> bool {
        !self.streams.is_empty() || !self.asks.is_empty() || self.opening_len > 0
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Upgrade, Box<Ask>, Infallible>> {
        while let Poll::Ready(Some(ended)) = self.streams.poll_next_unpin(cx) {
            if ended == Direction::In {
                self.inbound_len -= 1;
            }
        }
        while let Some(ask) = self.asks.pop_front() {
            if ask.is_given_up() {
                continue;
            }
            self.opening_len += 1;
            // Who asks waits until the deadline of the ask and no longer, whatever comes of the stream.
            let protocol = SubstreamProtocol::new(Upgrade::all(&self.config.protocols), ask)
                .with_timeout(NEGOTIATION_WAIT);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, order: Order) {
        match order {
            Order::SetMode(mode) => self.mode = mode,
            Order::Ask(ask) => self.asks.push_back(ask),
        }
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Upgrade, Upgrade, (), Box<Ask>>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) => {
                self.accept(protocol);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                self.opened(protocol, info);
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                self.not_opened(*info, &error);
            }
            ConnectionEvent::AddressChange(change) => {
                let address = change.new_address.clone();
                self.remote = Arc::new(Remote { address, ..Remote::clone(&self.remote) });
            }
            // The rest concerns nothing that is kept here; the enum is open.
            _ => {}
        }
    }
}

impl<S> fmt::Debug for Handler<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler")
            .field("peer", &self.remote.peer)
            .field("mode", &self.mode)
            .field("inbound", &self.inbound_len)
            .field("streams", &self.streams.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NoService;

    #[test]
    fn an_idle_connection_costs_little() {
        assert!(size_of::<Handler<NoService>>() <= 128, "{} bytes", size_of::<Handler<NoService>>());
        assert!(size_of::<Order>() <= 16, "orders are queued, so they are small");
    }
}
