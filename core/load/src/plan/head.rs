//! The address of a server.

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use std::fmt;
use std::str::FromStr;

/// A server: a multiaddr over TCP or QUIC version 1 that ends in `/p2p/<peer id>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    peer: PeerId,
    address: Multiaddr,
    transport: Transport,
    names: Names,
}

/// What carries the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Quic,
}

/// Whether the address has a host name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    None,
    Some,
}

impl Head {
    /// The peer id.
    pub const fn peer(&self) -> PeerId {
        self.peer
    }

    /// The address without the peer id.
    pub const fn address(&self) -> &Multiaddr {
        &self.address
    }

    pub(crate) const fn transport(&self) -> Transport {
        self.transport
    }

    pub(crate) fn has_name(&self) -> bool {
        self.names == Names::Some
    }
}

impl FromStr for Head {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut address: Multiaddr = text.parse().map_err(|cause| format!("not a multiaddr: {cause}"))?;
        let Some(Protocol::P2p(peer)) = address.pop() else {
            return Err("expected a multiaddr that ends in /p2p/<peer id>".to_owned());
        };
        let protocols: Vec<_> = address.iter().collect();
        let (host, transport) = match protocols.as_slice() {
            [host, Protocol::Tcp(_)] => (host, Transport::Tcp),
            [host, Protocol::Udp(_), Protocol::QuicV1] => (host, Transport::Quic),
            _ => return Err("expected /tcp/<port> or /udp/<port>/quic-v1 after the host".to_owned()),
        };
        let names = match host {
            Protocol::Ip4(_) | Protocol::Ip6(_) => Names::None,
            Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_) => Names::Some,
            _ => return Err("expected /ip4, /ip6, /dns, /dns4 or /dns6 as the host".to_owned()),
        };
        Ok(Self { peer, transport, names, address })
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/p2p/{}", self.address, self.peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_a_peer_over_tcp_or_quic() {
        let peer = "12D3KooWAkDQ1fUrsXHKBbQ6gQoCKFLtNkCmmqsHAcFLSRWnkxFv";
        let peer = peer.parse::<PeerId>().unwrap_or_else(|_| PeerId::random());
        for (address, transport) in
            [("/ip4/127.0.0.1/tcp/1", Transport::Tcp), ("/dns4/a.example/udp/1/quic-v1", Transport::Quic)]
        {
            let text = format!("{address}/p2p/{peer}");
            let head: Head = text.parse().unwrap();
            assert_eq!((head.to_string(), head.transport(), head.peer()), (text, transport, peer));
        }
        for wrong in ["", "/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/udp/1/p2p/", "/memory/1"] {
            assert!(wrong.parse::<Head>().is_err(), "{wrong}");
        }
        assert!(format!("/ip4/1.2.3.4/tcp/1/ws/p2p/{peer}").parse::<Head>().is_err());
    }
}
