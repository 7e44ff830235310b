//! The connection limits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The connection limits of each head and of the whole node. Above a high-water mark the least useful connections are
/// closed until the low-water mark is reached; at a maximum new connections are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Connections {
    /// The maximum number of established connections of one head. At this number new connections are refused. Raise it
    /// for heads that serve many clients; `per_node_max` still limits all heads together.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub per_head_max: u32,
    /// The high-water mark of one head: above this number of connections the least useful are closed until
    /// `per_head_low` are left. Lower it to keep more room for new connections.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub per_head_high: u32,
    /// The low-water mark of one head: the number of connections that are left after closing. A larger distance to
    /// `per_head_high` closes more connections at a time, but less often.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub per_head_low: u32,
    /// The maximum number of established connections of the whole node. At this number new connections are refused. A
    /// connection takes about 50 kB of memory and, over TCP, one file descriptor: raise it with the memory and the
    /// file limit of the process.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub per_node_max: u32,
    /// The high-water mark of the whole node: above this number of connections the least useful are closed until
    /// `per_node_low` are left. Lower it to keep more room for new connections.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub per_node_high: u32,
    /// The low-water mark of the whole node: the number of connections that are left after closing. A larger distance
    /// to `per_node_high` closes more connections at a time, but less often.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub per_node_low: u32,
    /// The maximum number of connections between one peer and one head. At this number new ones are refused. Raise it
    /// for clients that open several connections at a time.
    #[schemars(range(min = 1, max = 1_000))]
    pub per_peer_max: u32,
    /// The maximum number of connections of one head that are being established, for inbound and outbound separately.
    /// At this number new ones are refused. As the sender of a first QUIC packet is not proven, inbound QUIC connections
    /// take half of it at most; this also applies to the other limits of connections that are being established. Raise it if clients are refused while many connect at a time.
    #[schemars(range(min = 1, max = 100_000))]
    pub pending_max: u32,
    /// The maximum number of inbound connections of the whole node that are being established. At this number new ones
    /// are refused. Each takes, over TCP, one file descriptor. As many more are the sockets of dials over TCP, half of them
    /// for heads and half for the requests that fill the peer table. Raise it if clients are refused while many connect at
    /// a time.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub pending_per_node_max: u32,
    /// The maximum number of inbound connections of the whole node from one host: one IPv4 address, or one /56 of IPv6.
    /// At this number new ones from there are refused, so that one host cannot take the room of all others. Loopback
    /// addresses are exempt. The default is the 8 that go-libp2p permits one identity, for 32 heads. Raise it if many clients share an
    /// address behind a NAT.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub per_host_max: u32,
    /// The maximum number of inbound connections of the whole node from one network: one /24 of IPv4, or one /48 of IPv6.
    /// At this number new ones from there are refused. Loopback addresses are exempt. The default is four full hosts. Raise it if many
    /// clients come from one network.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub per_network_max: u32,
    /// The maximum number of inbound connections from one host that are being established, over the whole node. At this
    /// number new ones from there are refused. Loopback addresses are exempt. Raise it if many clients behind one NAT
    /// connect at a time.
    #[schemars(range(min = 1, max = 100_000))]
    pub pending_per_host_max: u32,
    /// The maximum number of inbound connections from one network that are being established, over the whole node. At
    /// this number new ones from there are refused. Loopback addresses are exempt. Raise it if many clients of one
    /// network connect at a time.
    #[schemars(range(min = 1, max = 100_000))]
    pub pending_per_network_max: u32,
    /// The time after which a connection without a stream is closed, in seconds. Lower it to free connections sooner;
    /// raise it for clients that return often, so that they need no new handshake.
    #[schemars(range(min = 1, max = 86_400))]
    pub idle_timeout_s: u32,
}

impl Connections {
    /// [`Self::per_head_max`] by default.
    pub const PER_HEAD_MAX: u32 = 4_000;
    /// [`Self::per_head_high`] by default.
    pub const PER_HEAD_HIGH: u32 = 3_600;
    /// [`Self::per_head_low`] by default.
    pub const PER_HEAD_LOW: u32 = 3_000;
    /// [`Self::per_node_max`] by default.
    pub const PER_NODE_MAX: u32 = 20_000;
    /// [`Self::per_node_high`] by default.
    pub const PER_NODE_HIGH: u32 = 18_000;
    /// [`Self::per_node_low`] by default.
    pub const PER_NODE_LOW: u32 = 15_000;
    /// [`Self::per_peer_max`] by default.
    pub const PER_PEER_MAX: u32 = 8;
    /// [`Self::pending_max`] by default.
    pub const PENDING_MAX: u32 = 256;
    /// [`Self::pending_per_node_max`] by default.
    pub const PENDING_PER_NODE_MAX: u32 = 1_024;
    /// [`Self::per_host_max`] by default: go-libp2p permits 8 (`conn_limiter.go` of its resource manager), for one identity and not
    /// for many; a client near to a part of the heads has a connection to each of these, and clients behind one NAT share an address.
    pub const PER_HOST_MAX: u32 = 256;
    /// [`Self::per_network_max`] by default.
    pub const PER_NETWORK_MAX: u32 = 1_024;
    /// [`Self::pending_per_host_max`] by default.
    pub const PENDING_PER_HOST_MAX: u32 = 32;
    /// [`Self::pending_per_network_max`] by default.
    pub const PENDING_PER_NETWORK_MAX: u32 = 128;
    /// [`Self::idle_timeout_s`] by default.
    pub const IDLE_TIMEOUT_S: u32 = 120;
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            per_head_max: Self::PER_HEAD_MAX,
            per_head_high: Self::PER_HEAD_HIGH,
            per_head_low: Self::PER_HEAD_LOW,
            per_node_max: Self::PER_NODE_MAX,
            per_node_high: Self::PER_NODE_HIGH,
            per_node_low: Self::PER_NODE_LOW,
            per_peer_max: Self::PER_PEER_MAX,
            pending_max: Self::PENDING_MAX,
            pending_per_node_max: Self::PENDING_PER_NODE_MAX,
            per_host_max: Self::PER_HOST_MAX,
            per_network_max: Self::PER_NETWORK_MAX,
            pending_per_host_max: Self::PENDING_PER_HOST_MAX,
            pending_per_network_max: Self::PENDING_PER_NETWORK_MAX,
            idle_timeout_s: Self::IDLE_TIMEOUT_S,
        }
    }
}
