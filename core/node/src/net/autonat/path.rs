//! On which path a connection comes in: what a firewall may let through, or not.

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

/// The IP version and the transport of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Path {
    is_ip6: bool,
    is_udp: bool,
}

impl Path {
    /// The path of an address, if it names both.
    pub(super) fn of(address: &Multiaddr) -> Option<Self> {
        let mut parts = address.iter();
        let is_ip6 = match parts.next()? {
            Protocol::Ip4(_) | Protocol::Dns4(_) => false,
            Protocol::Ip6(ip) => ip.to_ipv4_mapped().is_none(),
            Protocol::Dns6(_) => true,
            _ => return None,
        };
        match parts.next()? {
            Protocol::Tcp(_) => Some(Self { is_ip6, is_udp: false }),
            Protocol::Udp(_) => Some(Self { is_ip6, is_udp: true }),
            _ => None,
        }
    }
}
