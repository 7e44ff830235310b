//! A transport whose dials pass the gate. It lies below the resolution of names, so it judges what names lead to.

use crate::net::address::ip_of;
use crate::net::dial_gate::{Dial, Dialer, Dials};
use futures::future::{BoxFuture, FutureExt};
use libp2p::core::Transport;
use libp2p::core::muxing::{StreamMuxer, StreamMuxerBox, StreamMuxerEvent, SubstreamBox};
use libp2p::core::transport::{Boxed, DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use std::error::Error;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::sync::OwnedSemaphorePermit;

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
        let is_tcp = address.iter().any(|part| matches!(part, Protocol::Tcp(_)));
        // Nothing is sent before it is polled. What no transport can dial takes nothing from the budget.
        let connecting = self.inner.dial(address.clone(), opts)?;
        let dialer = self.dials.dialer();
        let socket = is_tcp.then(|| self.dials.gate().socket(dialer)).transpose().map_err(refused)?;
        let expected = match address.iter().last() {
            Some(Protocol::P2p(peer)) => Some(peer),
            _ => None,
        };
        let dial = self.dials.admit(expected.as_ref(), ip, Instant::now()).map_err(refused)?;
        Ok(async move {
            let (peer, inner) = connecting.await?;
            dial.succeeded(peer, address);
            // From here on the connection of a head is one of those that the node may have.
            let socket = socket.filter(|_| dialer == Dialer::Scout);
            Ok((peer, StreamMuxerBox::new(Held { inner, _dial: dial, _socket: socket })))
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

fn refused(refusal: impl Error + Send + Sync + 'static) -> TransportError<io::Error> {
    TransportError::Other(io::Error::other(refusal))
}

/// A connection that counts for its destination as long as it is open.
struct Held {
    inner: StreamMuxerBox,
    _dial: Dial,
    _socket: Option<OwnedSemaphorePermit>,
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
    use crate::net::dial_gate::DialGate;
    use libp2p::core::Endpoint;
    use libp2p::core::transport::PortUse;
    use std::future::{Pending, pending, ready};
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    /// A transport of which every address is that of one peer, or gets no answer.
    struct Stub(Option<PeerId>);

    impl Transport for Stub {
        type Output = Connection;
        type Error = io::Error;
        type ListenerUpgrade = Pending<io::Result<Connection>>;
        type Dial = BoxFuture<'static, io::Result<Connection>>;

        fn listen_on(&mut self, _: ListenerId, _: Multiaddr) -> Result<(), TransportError<io::Error>> {
            Ok(())
        }

        fn remove_listener(&mut self, _: ListenerId) -> bool {
            false
        }

        fn dial(&mut self, _: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<io::Error>> {
            Ok(match self.0 {
                Some(peer) => ready(Ok((peer, StreamMuxerBox::new(Silent)))).boxed(),
                None => pending().boxed(),
            })
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

    fn gated<T>(inner: T, gate: &Arc<DialGate>, dialer: Dialer) -> Gated
    where
        T: Transport<Output = Connection, Error = io::Error> + Send + Unpin + 'static,
        T::Dial: Send,
        T::ListenerUpgrade: Send,
    {
        let dials = match dialer {
            Dialer::Head => Dials::from(Arc::clone(gate)),
            Dialer::Scout => gate.for_checks(),
        };
        Gated { inner: inner.boxed(), dials }
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
        let peer = PeerId::random();
        let address = format!("/ip4/10.0.0.1/tcp/1/p2p/{peer}");
        let mut transport = gated(Stub(Some(peer)), &gate, Dialer::Head);
        let mut open = Vec::new();
        for _ in 0..6 {
            let dial = dial(&mut transport, &address).unwrap();
            open.push(dial.await.unwrap());
        }
        assert!(
            dial(&mut transport, &address).is_err(),
            "of eight at a time two are for the checks of the table"
        );
        drop(open.pop());
        assert!(dial(&mut transport, &address).is_ok());
    }

    #[tokio::test]
    async fn where_a_peer_was_reached_is_known_once_the_dial_has_succeeded() {
        let (gate, peer) = (Arc::new(DialGate::new(AddressPolicy::Any)), PeerId::random());
        let mut transport = gated(Stub(Some(peer)), &gate, Dialer::Head);
        let dial = dial(&mut transport, "/ip4/10.0.0.1/tcp/1").unwrap();
        assert_eq!(gate.reached(&peer), None);
        let closed = dial.await.unwrap();
        drop(closed);
        assert_eq!(gate.reached(&peer), Some("/ip4/10.0.0.1/tcp/1".parse().unwrap()));
    }

    fn address(nth: u32, rest: &str) -> String {
        format!("/ip4/{}/{rest}", Ipv4Addr::from(0x0a00_0000 + nth))
    }

    #[tokio::test]
    async fn dials_that_get_no_answer_are_bounded_wherever_they_lead() {
        let gate = Arc::new(DialGate::new(AddressPolicy::Any));
        let mut scout = gated(Stub(None), &gate, Dialer::Scout);
        let mut open: Vec<_> =
            (0..3_000).filter_map(|nth| dial(&mut scout, &address(nth, "tcp/1")).ok()).collect();
        assert_eq!((open.len(), gate.without_socket()), (512, 3_000 - 512));
        assert!(dial(&mut scout, &address(0, "udp/1/quic-v1")).is_ok(), "it needs no socket of its own");
        let mut head = gated(Stub(None), &gate, Dialer::Head);
        assert!(dial(&mut head, &address(0, "tcp/1")).is_ok(), "the scout leaves the heads theirs");
        open.pop();
        assert!(dial(&mut scout, &address(3_001, "tcp/1")).is_ok());
    }

    #[tokio::test]
    async fn the_connections_of_the_scout_keep_their_sockets_and_those_of_heads_are_counted_elsewhere() {
        let gate = Arc::new(DialGate::with_sockets(AddressPolicy::Any, 4));
        let peer = PeerId::random();
        for (dialer, most) in [(Dialer::Scout, 2), (Dialer::Head, 5)] {
            let mut transport = gated(Stub(Some(peer)), &gate, dialer);
            let mut open = Vec::new();
            for nth in 0..5 {
                if let Ok(dial) = dial(&mut transport, &address(nth, "tcp/1")) {
                    open.push(dial.await.unwrap());
                }
            }
            assert_eq!(open.len(), most, "{dialer:?}");
        }
    }
}
