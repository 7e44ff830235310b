//! The heads and their listen addresses.

use super::values::{Address, Ip};
use super::{Cidr, Ebb};
use multiaddr::Multiaddr;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The heads of this process and their listen addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Heads {
    /// The number of heads that this process serves. More heads cover more of the key space; all share one store, and
    /// each takes a port and connections of its own.
    #[schemars(range(min = 1, max = 10_000))]
    pub count: u32,
    /// The IP addresses to listen on; `0.0.0.0` and `::` stand for every interface. The port belongs to the identity,
    /// so each head keeps its own port across restarts. An address that is listed twice, or is included in another of the
    /// list, is refused. Set it on hosts with several networks.
    #[schemars(with = "Vec<Ip>", length(min = 1, max = 64))]
    pub listen: Vec<IpAddr>,
    /// The transports on which the heads listen and dial. Remove `quic` where the network blocks UDP.
    #[schemars(length(min = 1, max = 2))]
    pub transports: Vec<Transport>,
    /// What happens when the port of a head is in use by another process. Set `strict` where the port is part of a firewall
    /// rule, a port forwarding or an announced address.
    pub ports: Ports,
    /// External addresses that every head advertises in addition to its listen addresses, as multiaddrs without
    /// `/p2p/`. Set them for hosts behind a load balancer or port forwarding. Port 0 stands for the head's own port.
    /// Excludes `announce_only`.
    #[schemars(with = "Vec<Address>", length(max = 64))]
    pub announce: Vec<Multiaddr>,
    /// The only addresses that every head advertises, as multiaddrs without `/p2p/`: its listen addresses are not
    /// advertised. Set them for hosts behind a 1:1 NAT and for containers, whose listen addresses no peer can reach. Port 0
    /// stands for the head's own port. If the list is empty, a head advertises its listen addresses and those of
    /// `announce`. Excludes `announce`.
    #[schemars(with = "Vec<Address>", length(max = 64))]
    pub announce_only: Vec<Multiaddr>,
    /// Ranges of IP addresses that the heads never advertise, neither in identify nor in answers. They also apply to
    /// addresses of `announce` and `announce_only`. Set them for interfaces that no peer can reach, such as those of
    /// container networks and VPNs. Addresses with names are not affected.
    #[schemars(length(max = 64))]
    pub never_announce: Vec<Cidr>,
    /// When heads leave server mode because the node declines all reads for a long time.
    pub ebb: Ebb,
}

/// A way of carrying bytes between peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// TCP with Noise or TLS, and Yamux.
    Tcp,
    /// QUIC version 1.
    Quic,
}

/// What happens when the port of a head is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ports {
    /// The head listens on a free port and keeps it; the log has a warning.
    Move,
    /// The node does not start.
    Strict,
}

impl Transport {
    /// The word in TOML.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Quic => "quic",
        }
    }
}

impl Heads {
    /// [`Self::count`] by default.
    pub const COUNT: u32 = 3;
    /// [`Self::listen`] by default.
    pub const LISTEN: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    /// [`Self::transports`] by default.
    pub const TRANSPORTS: [Transport; 2] = [Transport::Tcp, Transport::Quic];

    /// The addresses to advertise besides the listen addresses or instead of them, and the key that lists them.
    pub(crate) fn announced(&self) -> (&'static str, &[Multiaddr]) {
        if self.announce_only.is_empty() {
            ("announce", &self.announce)
        } else {
            ("announce_only", &self.announce_only)
        }
    }
}

impl Default for Heads {
    fn default() -> Self {
        Self {
            count: Self::COUNT,
            listen: Self::LISTEN.into(),
            transports: Self::TRANSPORTS.into(),
            ports: Ports::Move,
            announce: Vec::new(),
            announce_only: Vec::new(),
            never_announce: Vec::new(),
            ebb: Ebb::default(),
        }
    }
}
