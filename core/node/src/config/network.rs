//! The network that the heads are part of.

use super::PeerAddress;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The network that the heads are part of: which protocol, which addresses, whom to join, how its peers are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// The protocol name that makes the network: peers of another name are not part of it. `/ipfs/kad/1.0.0` is the
    /// public IPFS DHT's.
    #[schemars(length(min = 2, max = 140), regex(pattern = "^/"))]
    pub protocol: String,
    /// Which addresses are kept and answered.
    pub addresses: AddressPolicy,
    /// Peers to join through, each as a multiaddr that ends in `/p2p/<peer id>`. With none the node joins nobody and
    /// waits to be found.
    #[schemars(length(max = 256))]
    pub bootstrap: Vec<PeerAddress>,
    /// How often each head dials its nearest neighbours and a few peers of every distance, so that they learn of it, in
    /// seconds.
    #[schemars(range(min = 10, max = 86_400))]
    pub advertise_interval_s: u32,
    /// How often the peer table probes peers that were silent, drops the dead and looks for new ones, in seconds.
    #[schemars(range(min = 10, max = 86_400))]
    pub refresh_interval_s: u32,
    /// How long a peer has to answer a probe or a step of a lookup, in milliseconds.
    #[schemars(range(min = 100, max = 120_000))]
    pub probe_timeout_ms: u32,
    /// How many peers the table holds at most.
    #[schemars(range(min = 20, max = 1_000_000))]
    pub table_len_max: u32,
    /// Whether peers of one network (IPv4 /16, IPv6 /32) are limited in the table and in answers. Public clients drop
    /// answers that lean on one network; loopback addresses are never limited.
    pub diversity: Diversity,
    /// How many peers of one network the table holds at most.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub group_peers_max: u32,
    /// How many peers of one network and one distance (bucket) the table holds at most.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub group_bucket_peers_max: u32,
    /// How many heads of this node that are of one network an answer carries at most.
    #[schemars(range(min = 1, max = 20))]
    pub group_own_heads_max: u32,
    /// How many peers a lookup asks at a time.
    #[schemars(range(min = 1, max = 100))]
    pub lookup_alpha: u32,
    /// How many of the closest peers must have answered before a lookup ends.
    #[schemars(range(min = 1, max = 20))]
    pub lookup_beta: u32,
}

/// Which addresses are kept and answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AddressPolicy {
    /// Those that are reached from the whole internet.
    Public,
    /// Those of private networks, loopback and link-local ones.
    Lan,
    /// Every one.
    Any,
}

/// Whether peers of one network are limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Diversity {
    /// They are.
    On,
    /// They are not.
    Off,
}

impl AddressPolicy {
    /// The word in TOML.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Lan => "lan",
            Self::Any => "any",
        }
    }
}

impl Network {
    /// [`Self::protocol`] unless told otherwise.
    pub const PROTOCOL: &'static str = "/ipfs/kad/1.0.0";
    /// [`Self::advertise_interval_s`] unless told otherwise.
    pub const ADVERTISE_INTERVAL_S: u32 = 300;
    /// [`Self::refresh_interval_s`] unless told otherwise (requirement T4).
    pub const REFRESH_INTERVAL_S: u32 = 600;
    /// [`Self::probe_timeout_ms`] unless told otherwise (requirements T2 and T7).
    pub const PROBE_TIMEOUT_MS: u32 = 10_000;
    /// [`Self::table_len_max`] unless told otherwise.
    pub const TABLE_LEN_MAX: u32 = 10_000;
    /// [`Self::group_peers_max`] unless told otherwise (requirement T5).
    pub const GROUP_PEERS_MAX: u32 = 3;
    /// [`Self::group_bucket_peers_max`] unless told otherwise (requirement T5).
    pub const GROUP_BUCKET_PEERS_MAX: u32 = 2;
    /// [`Self::group_own_heads_max`] unless told otherwise (requirement Q11).
    pub const GROUP_OWN_HEADS_MAX: u32 = 2;
    /// [`Self::lookup_alpha`] unless told otherwise (requirement T7).
    pub const LOOKUP_ALPHA: u32 = 10;
    /// [`Self::lookup_beta`] unless told otherwise (requirement T7).
    pub const LOOKUP_BETA: u32 = 3;
}

impl Default for Network {
    fn default() -> Self {
        Self {
            protocol: Self::PROTOCOL.to_owned(),
            addresses: AddressPolicy::Any,
            bootstrap: Vec::new(),
            advertise_interval_s: Self::ADVERTISE_INTERVAL_S,
            refresh_interval_s: Self::REFRESH_INTERVAL_S,
            probe_timeout_ms: Self::PROBE_TIMEOUT_MS,
            table_len_max: Self::TABLE_LEN_MAX,
            diversity: Diversity::On,
            group_peers_max: Self::GROUP_PEERS_MAX,
            group_bucket_peers_max: Self::GROUP_BUCKET_PEERS_MAX,
            group_own_heads_max: Self::GROUP_OWN_HEADS_MAX,
            lookup_alpha: Self::LOOKUP_ALPHA,
            lookup_beta: Self::LOOKUP_BETA,
        }
    }
}
