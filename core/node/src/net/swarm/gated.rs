//! A transport whose dials pass the gate. It lies below the resolution of names, so it judges what names lead to.

use crate::net::address::ip_of;
use crate::net::dial_gate::{Dial, Dials};
use futures::future::{BoxFuture, FutureExt};
use libp2p::core::Transport;
use libp2p::core::muxing::{StreamMuxer, StreamMuxerBox, StreamMuxerEvent, SubstreamBox};
use libp2p::core::transport::{Boxed, DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

type Connection = (PeerId, StreamMuxerBox);

/// Dials only what the gate admits; listens as before.
pub(super) struct Gated {
    pub(super) inner: Boxed<Connection>,
    pub(super) dials: Dials,
}

impl Transport for Gated {
    type Output = Connection;
    type Error = io::Error;
    type ListenerUpgrade = <Boxed<Connection> as Transport>::ListenerUpgrade;
    type Dial = BoxFuture<'static, io::Result<Connection>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(&mut self, address: Multiaddr, opts: DialOpts) -> Result<Self::Dial, TransportError<io::Error>> {
        let Some(ip) = ip_of(&address) else { return Err(TransportError::MultiaddrNotSupported(address)) };
        let refused = |refusal| TransportError::Other(io::Error::other(refusal));
        // Nothing is sent before it is polled. What no transport can dial takes nothing from the budget.
        let connecting = self.inner.dial(address.clone(), opts)?;
        let expected = match address.iter().last() {
            Some(Protocol::P2p(peer)) => Some(peer),
            _ => None,
        };
        let dial = self.dials.admit(expected.as_ref(), ip, Instant::now()).map_err(refused)?;
        Ok(async move {
            let (peer, inner) = connecting.await?;
            dial.succeeded(peer, address);
            Ok((peer, StreamMuxerBox::new(Held { inner, _dial: dial })))
        }
        .boxed())
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        Pin::new(&mut self.inner).poll(cx)
    }
}

/// A connection that counts for its destination as long as it is open.
struct Held {
    inner: StreamMuxerBox,
    _dial: Dial,
}

impl StreamMuxer for Held {
    type Substream = SubstreamBox;
    type Error = io::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<SubstreamBox>> {
        Pin::new(&mut self.inner).poll_inbound(cx)
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<SubstreamBox>> {
        Pin::new(&mut self.inner).poll_outbound(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        Pin::new(&mut self.inner).poll(cx)
    }
}
