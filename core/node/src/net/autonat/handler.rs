//! One connection: asks its peer for a test, or takes a number from it.

use super::exchange;
use super::nonces::Nonces;
use super::path::Path;
use super::{Check, CheckError, DIAL_BACK, DIAL_REQUEST, Verdict};
use futures::future::{BoxFuture, FutureExt};
use libp2p::core::upgrade::{InboundUpgrade, ReadyUpgrade, UpgradeInfo};
use libp2p::swarm::handler::{ConnectionEvent, ConnectionHandlerEvent};
use libp2p::swarm::handler::{FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{ConnectionHandler, StreamProtocol, SubstreamProtocol};
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

/// One connection.
pub(crate) struct Handler {
    offer: Offer,
    /// The path on which it came in.
    over: Option<Path>,
    nonces: Arc<Nonces>,
    request: Request,
    dial_back: Option<BoxFuture<'static, ()>>,
}

/// Whether a connection takes numbers. What it offers never changes: identify would tell its peer of every change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    /// It was opened by a peer while a test was under way.
    DialBack,
    /// No test has to do with it.
    Nothing,
}

enum Request {
    None,
    Asked(Box<Check>),
    Opening(Box<Check>),
    /// The test, and what it is asked for by.
    Sent(BoxFuture<'static, Result<Verdict, CheckError>>, Box<Check>),
}

impl Handler {
    pub(super) fn new(offer: Offer, over: Option<Path>, nonces: Arc<Nonces>) -> Self {
        Self { offer, over, nonces, request: Request::None, dial_back: None }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Box<Check>;
    type ToBehaviour = Infallible;
    type InboundProtocol = Offer;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Offer> {
        SubstreamProtocol::new(self.offer, ())
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<ReadyUpgrade<StreamProtocol>, (), Infallible>> {
        if let Some(dial_back) = &mut self.dial_back
            && dial_back.poll_unpin(cx).is_ready()
        {
            self.dial_back = None;
        }
        match std::mem::replace(&mut self.request, Request::None) {
            Request::Asked(check) => {
                self.request = Request::Opening(check);
                let protocol = SubstreamProtocol::new(ReadyUpgrade::new(DIAL_REQUEST), ());
                return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
            }
            Request::Sent(mut test, check) => match test.poll_unpin(cx) {
                Poll::Ready(outcome) => check.end(outcome),
                Poll::Pending => self.request = Request::Sent(test, check),
            },
            other @ (Request::None | Request::Opening(_)) => self.request = other,
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, check: Box<Check>) {
        match self.request {
            Request::None => self.request = Request::Asked(check),
            Request::Asked(_) | Request::Opening(_) | Request::Sent(..) => {
                check.end(Err(CheckError::NotAsked))
            }
        }
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Offer, ReadyUpgrade<StreamProtocol>>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) => {
                // A further stream takes the place of an earlier one: its peer has one number to hand over.
                let (nonces, over) = (Arc::clone(&self.nonces), self.over);
                let dial_back = async move { exchange::dial_back(protocol, &nonces, over).await };
                self.dial_back = Some(dial_back.boxed());
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, .. }) => {
                if let Request::Opening(check) = std::mem::replace(&mut self.request, Request::None) {
                    let tested = check.tested.clone();
                    let test = exchange::request(protocol, tested, self.nonces.begin(&check.tested));
                    self.request = Request::Sent(test.boxed(), check);
                }
            }
            ConnectionEvent::DialUpgradeError(_) => {
                if let Request::Opening(check) = std::mem::replace(&mut self.request, Request::None) {
                    check.end(Err(CheckError::Failed));
                }
            }
            // The rest concerns addresses and protocols; the enum is open.
            _ => {}
        }
    }
}

impl UpgradeInfo for Offer {
    type Info = StreamProtocol;
    type InfoIter = std::option::IntoIter<StreamProtocol>;
    fn protocol_info(&self) -> Self::InfoIter {
        match self {
            Self::DialBack => Some(DIAL_BACK).into_iter(),
            Self::Nothing => None.into_iter(),
        }
    }
}

impl<S: Send + 'static> InboundUpgrade<S> for Offer {
    type Output = S;
    type Error = Infallible;
    type Future = Ready<Result<S, Infallible>>;
    fn upgrade_inbound(self, stream: S, _: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}
