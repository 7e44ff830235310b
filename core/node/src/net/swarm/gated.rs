//! A transport whose dials pass the gate. It lies below the resolution of names, so it judges what names lead to.

use crate::net::address::ip_of;
use crate::net::dial_gate::{Dial, DialGate};
use futures::future::{BoxFuture, FutureExt};
use libp2p::core::Transport;
use libp2p::core::muxing::{StreamMuxer, StreamMuxerBox, StreamMuxerEvent, SubstreamBox};
use libp2p::core::transport::{Boxed, DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::{Multiaddr, PeerId};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

type Connection = (PeerId, StreamMuxerBox);

/// Dials only what the gate admits; listens as before.
pub(super) struct Gated {
    pub(super) inner: Boxed<Connection>,
    pub(super) gate: Arc<DialGate>,
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
        let connecting = self.inner.dial(address, opts)?;
        let dial = self.gate.admit(ip, Instant::now()).map_err(refused)?;
        Ok(async move {
            let (peer, inner) = connecting.await?;
            dial.succeeded(peer);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::address::AddressPolicy;
    use libp2p::core::Endpoint;
    use libp2p::core::transport::PortUse;
    use std::future::{Pending, Ready, ready};
    use std::net::Ipv4Addr;

    /// A transport of which every address is that of one peer.
    struct Reaches(PeerId);

    impl Transport for Reaches {
        type Output = Connection;
        type Error = io::Error;
        type ListenerUpgrade = Pending<io::Result<Connection>>;
        type Dial = Ready<io::Result<Connection>>;

        fn listen_on(&mut self, _: ListenerId, _: Multiaddr) -> Result<(), TransportError<io::Error>> {
            Ok(())
        }

        fn remove_listener(&mut self, _: ListenerId) -> bool {
            false
        }

        fn dial(&mut self, _: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<io::Error>> {
            Ok(ready(Ok((self.0, StreamMuxerBox::new(Silent)))))
        }

        fn poll(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
            Poll::Pending
        }
    }

    /// A connection on which nothing happens.
    struct Silent;

    impl StreamMuxer for Silent {
        type Substream = SubstreamBox;
        type Error = io::Error;

        fn poll_inbound(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<SubstreamBox>> {
            Poll::Pending
        }

        fn poll_outbound(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<SubstreamBox>> {
            Poll::Pending
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
            Poll::Pending
        }
    }

    fn dial(
        transport: &mut Gated,
        address: &str,
    ) -> Result<<Gated as Transport>::Dial, TransportError<io::Error>> {
        let opts = DialOpts { role: Endpoint::Dialer, port_use: PortUse::Reuse };
        transport.dial(address.parse().unwrap(), opts)
    }

    #[tokio::test]
    async fn a_connection_counts_for_its_destination_until_it_is_closed() {
        let gate = Arc::new(DialGate::new(AddressPolicy::Any));
        let mut transport = Gated { inner: Reaches(PeerId::random()).boxed(), gate: Arc::clone(&gate) };
        let mut open = Vec::new();
        for _ in 0..8 {
            let dial = dial(&mut transport, "/ip4/10.0.0.1/tcp/1").unwrap();
            open.push(dial.await.unwrap());
        }
        assert!(dial(&mut transport, "/ip4/10.0.0.1/tcp/1").is_err(), "eight at a time");
        drop(open.pop());
        assert!(dial(&mut transport, "/ip4/10.0.0.1/tcp/1").is_ok());
    }

    #[tokio::test]
    async fn where_a_peer_was_reached_is_known_once_the_dial_has_succeeded() {
        let (gate, peer) = (Arc::new(DialGate::new(AddressPolicy::Any)), PeerId::random());
        let mut transport = Gated { inner: Reaches(peer).boxed(), gate: Arc::clone(&gate) };
        let dial = dial(&mut transport, "/ip4/10.0.0.1/tcp/1").unwrap();
        assert_eq!(gate.reached(&peer), None);
        let closed = dial.await.unwrap();
        drop(closed);
        assert_eq!(gate.reached(&peer), Some(Ipv4Addr::new(10, 0, 0, 1).into()));
    }
}
