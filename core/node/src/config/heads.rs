//! The identities and where they listen.

use multiaddr::Multiaddr;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The identities that this process serves, and where they listen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Heads {
    /// How many heads this process serves.
    #[schemars(range(min = 1, max = 10_000))]
    pub count: u32,
    /// The IP addresses to listen on; `0.0.0.0` and `::` mean every interface. The ports come from the identities: each
    /// head keeps its own over restarts.
    #[schemars(with = "Vec<String>", length(min = 1, max = 64))]
    pub listen: Vec<IpAddr>,
    /// What the heads listen with and dial over.
    #[schemars(length(min = 1, max = 2))]
    pub transports: Vec<Transport>,
    /// Addresses that are announced beside those that are found out, for hosts behind a load balancer or a port
    /// forwarding, as multiaddrs without `/p2p/`. A port 0 in them stands for the head's own port.
    #[schemars(with = "Vec<String>", length(max = 64))]
    pub announce: Vec<Multiaddr>,
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
    /// [`Self::count`] unless told otherwise.
    pub const COUNT: u32 = 3;
    /// [`Self::listen`] unless told otherwise.
    pub const LISTEN: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    /// [`Self::transports`] unless told otherwise.
    pub const TRANSPORTS: [Transport; 2] = [Transport::Tcp, Transport::Quic];
}

impl Default for Heads {
    fn default() -> Self {
        Self {
            count: Self::COUNT,
            listen: Self::LISTEN.into(),
            transports: Self::TRANSPORTS.into(),
            announce: Vec::new(),
        }
    }
}
