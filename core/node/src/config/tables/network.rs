//! The network that the heads are part of.

use super::PeerAddress;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The network that the heads are part of: its protocol, addresses, bootstrap peers and peer table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// The name of the Kademlia protocol. Peers that speak another name are not part of the network, so a private
    /// network uses a name of its own. `/ipfs/kad/1.0.0` is the public IPFS DHT.
    #[schemars(length(min = 2, max = 140), regex(pattern = r"^/\S*$"))]
    pub protocol: String,
    /// The kinds of addresses that the node stores, returns and advertises. Others are dropped. Set `public` on the
    /// internet, where clients cannot reach private addresses.
    pub addresses: AddressPolicy,
    /// Peers through which the node joins the network, each as a multiaddr that ends in `/p2p/<peer id>`. If the list
    /// is empty, the node dials no bootstrap peer and waits for inbound connections. List several, so that the node can
    /// join while one is down.
    #[schemars(length(max = 256))]
    pub bootstrap: Vec<PeerAddress>,
    /// The interval at which each head dials its nearest neighbours and a few peers of every bucket, so that they add
    /// it to their routing tables, in seconds. A shorter interval makes new heads known sooner and dials more.
    #[schemars(range(min = 10, max = 86_400))]
    pub advertise_interval_s: u32,
    /// The interval at which the peer table probes silent peers, removes those that do not answer and looks for new
    /// ones, in seconds. A shorter interval removes dead peers sooner and sends more probes.
    #[schemars(range(min = 10, max = 86_400))]
    pub refresh_interval_s: u32,
    /// Tests whether other peers can reach each head: peers of the table that serve AutoNAT v2 are asked to dial the
    /// addresses that the head advertises. The results are metrics, and a warning in the log. Switch it off in networks
    /// whose peers must not be asked.
    pub reachability: Reachability,
    /// The interval at which the addresses of the heads are tested, in seconds. A shorter interval finds a closed port
    /// sooner and asks more of other peers. No effect if `reachability` is "off".
    #[schemars(range(min = 10, max = 86_400))]
    pub reachability_interval_s: u32,
    /// The time limit for the answer to a probe or to one step of a lookup, in milliseconds. A peer that exceeds it
    /// counts as failed. Raise it in networks with high latency.
    #[schemars(range(min = 100, max = 120_000))]
    pub probe_timeout_ms: u32,
    /// The maximum number of peers in the peer table. When it is full, new peers are not added until others are
    /// removed. Lower it to save memory. If unset: 10000, or 60 for each head of `heads.count` if that is more, which
    /// is room for the neighbours of every head and for its buckets.
    #[schemars(range(min = 20, max = 1_000_000))]
    pub table_len_max: Option<u32>,
    /// Limits the peers of one address group (IPv4 /16, IPv6 /32) in the table and in answers: public clients discard
    /// all peers of a group that appears too often in an answer. Loopback addresses are never limited. Switch it off
    /// in a private network whose peers share an address group.
    pub diversity: Diversity,
    /// The maximum number of peers of one address group in the table, and in one answer. Further ones are left out.
    /// Raise it in networks with few address groups. No effect if `diversity` is "off".
    #[schemars(range(min = 1, max = 1_000_000))]
    pub group_peers_max: u32,
    /// The maximum number of peers of one address group in one bucket of the table. Further ones are not added. Raise
    /// it in networks with few address groups. No effect if `diversity` is "off".
    #[schemars(range(min = 1, max = 1_000_000))]
    pub group_bucket_peers_max: u32,
    /// The maximum number of this node's own heads of one address group in an answer. Further ones are left out. Raise
    /// it if clients accept more. No effect if `diversity` is "off".
    #[schemars(range(min = 1, max = 20))]
    pub group_own_heads_max: u32,
    /// The number of peers that a lookup queries concurrently. A higher number ends lookups sooner and sends more
    /// requests at a time.
    #[schemars(range(min = 1, max = 100))]
    pub lookup_alpha: u32,
    /// The number of closest peers that must have answered before a lookup ends. A higher number finds the closest
    /// peers more reliably and takes longer.
    #[schemars(range(min = 1, max = 20))]
    pub lookup_beta: u32,
}

/// The kinds of addresses that the node stores, returns and advertises. Others are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AddressPolicy {
    /// Addresses that are reachable from the whole internet.
    Public,
    /// Private, loopback and link-local addresses.
    Lan,
    /// All addresses.
    Any,
}

/// Tests whether other peers can reach the heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reachability {
    /// Other peers are asked.
    On,
    /// Nobody is asked.
    Off,
}

/// Limits on the peers of one address group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Diversity {
    /// Limits apply.
    On,
    /// No limits.
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
    /// [`Self::protocol`] by default.
    pub const PROTOCOL: &'static str = "/ipfs/kad/1.0.0";
    /// [`Self::advertise_interval_s`] by default.
    pub const ADVERTISE_INTERVAL_S: u32 = 300;
    /// [`Self::refresh_interval_s`] by default (requirement T4).
    pub const REFRESH_INTERVAL_S: u32 = 600;
    /// [`Self::reachability_interval_s`] by default.
    pub const REACHABILITY_INTERVAL_S: u32 = 3600;
    /// [`Self::probe_timeout_ms`] by default (requirements T2 and T7).
    pub const PROBE_TIMEOUT_MS: u32 = 10_000;
    /// [`Self::table_len_max`] by default, for few heads.
    pub const TABLE_LEN_MAX: u32 = 10_000;
    /// [`Self::table_len_max`] by default, for each of many heads: its 20 neighbours, and twice as many in the buckets
    /// that it shares with others.
    pub const TABLE_LEN_MAX_PER_HEAD: u32 = 60;
    /// [`Self::group_peers_max`] by default (requirement T5).
    pub const GROUP_PEERS_MAX: u32 = 3;
    /// [`Self::group_bucket_peers_max`] by default (requirement T5).
    pub const GROUP_BUCKET_PEERS_MAX: u32 = 2;
    /// [`Self::group_own_heads_max`] by default (requirement Q11).
    pub const GROUP_OWN_HEADS_MAX: u32 = 2;
    /// [`Self::lookup_alpha`] by default (requirement T7).
    pub const LOOKUP_ALPHA: u32 = 10;
    /// [`Self::lookup_beta`] by default (requirement T7).
    pub const LOOKUP_BETA: u32 = 3;
}

impl Network {
    /// The maximum number of peers in the table of a node with so many heads.
    pub fn table_len_max(&self, heads: u32) -> u32 {
        let default = Self::TABLE_LEN_MAX.max(heads.saturating_mul(Self::TABLE_LEN_MAX_PER_HEAD));
        self.table_len_max.unwrap_or(default)
    }
}

impl Default for Network {
    fn default() -> Self {
        Self {
            protocol: Self::PROTOCOL.to_owned(),
            addresses: AddressPolicy::Any,
            bootstrap: Vec::new(),
            advertise_interval_s: Self::ADVERTISE_INTERVAL_S,
            refresh_interval_s: Self::REFRESH_INTERVAL_S,
            reachability: Reachability::On,
            reachability_interval_s: Self::REACHABILITY_INTERVAL_S,
            probe_timeout_ms: Self::PROBE_TIMEOUT_MS,
            table_len_max: None,
            diversity: Diversity::On,
            group_peers_max: Self::GROUP_PEERS_MAX,
            group_bucket_peers_max: Self::GROUP_BUCKET_PEERS_MAX,
            group_own_heads_max: Self::GROUP_OWN_HEADS_MAX,
            lookup_alpha: Self::LOOKUP_ALPHA,
            lookup_beta: Self::LOOKUP_BETA,
        }
    }
}
