//! The negotiation of the protocol name, which yields the bare stream.

use libp2p::core::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::swarm::StreamProtocol;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::ops::Range;
use std::sync::Arc;

/// Offers some of the protocol names: all, or none while a peer does not serve.
#[derive(Debug, Clone)]
pub struct Upgrade {
    names: Names,
}

impl Upgrade {
    pub(crate) fn all(names: &Arc<[StreamProtocol]>) -> Self {
        Self { names: Names { left: 0..names.len(), all: names.clone() } }
    }

    pub(crate) fn none(names: &Arc<[StreamProtocol]>) -> Self {
        Self { names: Names { left: 0..0, all: names.clone() } }
    }
}

/// Yields the names without copying the list.
#[derive(Debug, Clone)]
pub struct Names {
    all: Arc<[StreamProtocol]>,
    left: Range<usize>,
}

impl Iterator for Names {
    type Item = StreamProtocol;
    fn next(&mut self) -> Option<StreamProtocol> {
        self.left.next().and_then(|nth| self.all.get(nth).cloned())
    }
}

impl UpgradeInfo for Upgrade {
    type Info = StreamProtocol;
    type InfoIter = Names;
    fn protocol_info(&self) -> Names {
        self.names.clone()
    }
}

impl<S: Send + 'static> InboundUpgrade<S> for Upgrade {
    type Output = S;
    type Error = Infallible;
    type Future = Ready<Result<S, Infallible>>;
    fn upgrade_inbound(self, stream: S, _: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}

impl<S: Send + 'static> OutboundUpgrade<S> for Upgrade {
    type Output = S;
    type Error = Infallible;
    type Future = Ready<Result<S, Infallible>>;
    fn upgrade_outbound(self, stream: S, _: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}
