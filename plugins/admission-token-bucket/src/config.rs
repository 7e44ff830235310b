//! The table of a token bucket policy in TOML.

use hydra_api::{OpenError, Rung};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Default of [`Config::peer`]: a lookup client asks some ten times in a second; a large provider announces up to
/// 3,600 keys a second, but to all heads of the network together.
pub const PEER_DEFAULT: (u32, u32) = (200, 4_000);
/// Default of [`Config::prefix`]: five busy peers behind one router.
pub const PREFIX_DEFAULT: (u32, u32) = (1_000, 20_000);
/// Default of [`Config::node`]: twice the engine's peak (`engine.peak.requests_per_second`), above which announcements are dropped
/// first and reads are still answered with closer peers. A lower budget would decline before the ladder degrades.
pub const NODE_DEFAULT: (u32, u32) = (200_000, 400_000);
/// Default of [`Config::read_cost`] and [`Config::write_cost`].
pub const COST_DEFAULT: u32 = 1;
/// Default of [`Config::peers_max`]: 1 MiB.
pub const PEERS_MAX_DEFAULT: u32 = 65_536;
/// Default of [`Config::prefixes_max`]: 1 MiB.
pub const PREFIXES_MAX_DEFAULT: u32 = 65_536;
/// Default of [`Config::ipv4_prefix_bits`].
pub const IPV4_PREFIX_BITS_DEFAULT: u8 = 24;
/// Default of [`Config::ipv6_prefix_bits`]: what one customer of a provider gets at most.
pub const IPV6_PREFIX_BITS_DEFAULT: u8 = 48;

/// `[[admission]] kind = "token-bucket"`: limits the request rate per peer, per address prefix and for the node.
///
/// Only requests that may reach the store are limited. All keys but `peers_max` and `prefixes_max` can change while the node
/// runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The budget of each peer.
    pub peer: Peer,
    /// The budget of each address prefix, shared by all peers that connect from it. Relayed connections have no known
    /// address and share one budget.
    pub prefix: Prefix,
    /// The budget of the whole node. Below `engine.peak.requests_per_second` it declines requests that the node would still serve
    /// degraded.
    pub node: Node,
    /// How much a read (GET_PROVIDERS, GET_VALUE) takes from each budget; 0 lets every read pass.
    #[schemars(range(max = 1_000_000))]
    pub read_cost: u32,
    /// How much a write (ADD_PROVIDER, PUT_VALUE) takes from each budget; 0 lets every write pass.
    #[schemars(range(max = 1_000_000))]
    pub write_cost: u32,
    /// What happens to a request that exceeds a budget: `"decline"` answers with closer peers alone and drops a write;
    /// `{ degrade = "short" }` serves it as on that rung of the ladder.
    pub then: Then,
    /// Exempts connections from this machine (127.0.0.0/8, ::1). Turn it off behind a proxy on the same machine.
    pub loopback_exempt: bool,
    /// The length of an IPv4 prefix in bits. Fewer bits limit larger networks as one.
    #[schemars(range(min = 1, max = 32))]
    pub ipv4_prefix_bits: u8,
    /// The length of an IPv6 prefix in bits. Fewer bits limit larger networks as one.
    #[schemars(range(min = 1, max = 128))]
    pub ipv6_prefix_bits: u8,
    /// The number of peers with a budget of their own at a time, 16 bytes each, rounded up to a power of two. A peer
    /// beyond it takes over the budget of the peer that has used the least.
    #[schemars(range(min = 64, max = 16_777_216))]
    pub peers_max: u32,
    /// The number of address prefixes with a budget of their own at a time, 16 bytes each, rounded up to a power of
    /// two. A prefix beyond it takes over the budget of the one that has used the least.
    #[schemars(range(min = 64, max = 16_777_216))]
    pub prefixes_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            peer: Peer::default(),
            prefix: Prefix::default(),
            node: Node::default(),
            read_cost: COST_DEFAULT,
            write_cost: COST_DEFAULT,
            then: Then::Decline,
            loopback_exempt: true,
            ipv4_prefix_bits: IPV4_PREFIX_BITS_DEFAULT,
            ipv6_prefix_bits: IPV6_PREFIX_BITS_DEFAULT,
            peers_max: PEERS_MAX_DEFAULT,
            prefixes_max: PREFIXES_MAX_DEFAULT,
        }
    }
}

/// What happens to a request that exceeds a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// It is answered with closer peers alone; a write is dropped.
    Decline,
    /// It is served as on this rung.
    Degrade(Rung),
}

/// One type per budget, because each has defaults of its own.
macro_rules! budget {
    ($(#[$doc:meta])* $budget:ident, $default:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct $budget {
            /// Enables this budget.
            pub enabled: bool,
            /// How fast the budget fills up, in requests of cost 1 per second.
            #[schemars(range(min = 1, max = 1_000_000))]
            pub rate_per_s: u32,
            /// How many requests of cost 1 the budget holds when it is full. At least the higher of the two costs.
            #[schemars(range(min = 1, max = 1_000_000))]
            pub burst: u32,
        }

        impl Default for $budget {
            fn default() -> Self {
                Self { enabled: true, rate_per_s: $default.0, burst: $default.1 }
            }
        }

        impl $budget {
            fn check(self, key: &str, cost_max: u32) -> Result<(), OpenError> {
                within(&format!("{key}.rate_per_s"), self.rate_per_s, 1, UNITS_MAX)?;
                within(&format!("{key}.burst"), self.burst, 1, UNITS_MAX)?;
                if self.enabled && self.burst < cost_max {
                    let message = format!("a request that costs {cost_max} never fits into a burst of {}", self.burst);
                    return Err(OpenError::config(format!("{key}.burst"), message));
                }
                Ok(())
            }
        }
    };
}
budget!(
    /// The budget of each peer.
    Peer, PEER_DEFAULT
);
budget!(
    /// The budget of each address prefix.
    Prefix, PREFIX_DEFAULT
);
budget!(
    /// The budget of the whole node.
    Node, NODE_DEFAULT
);

const UNITS_MAX: u32 = 1_000_000;

impl Config {
    /// The bounds of the schema once more, for those who open the policy without one, and what spans several keys.
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        within("read_cost", self.read_cost, 0, UNITS_MAX)?;
        within("write_cost", self.write_cost, 0, UNITS_MAX)?;
        within("ipv4_prefix_bits", self.ipv4_prefix_bits.into(), 1, 32)?;
        within("ipv6_prefix_bits", self.ipv6_prefix_bits.into(), 1, 128)?;
        within("peers_max", self.peers_max, 64, 1 << 24)?;
        within("prefixes_max", self.prefixes_max, 64, 1 << 24)?;
        let cost_max = self.read_cost.max(self.write_cost);
        OpenError::all([
            self.peer.check("peer", cost_max),
            self.prefix.check("prefix", cost_max),
            self.node.check("node", cost_max),
        ])
    }
}

fn within(key: &str, value: u32, min: u32, max: u32) -> Result<(), OpenError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(OpenError::config(key, format!("{value} is not within {min} to {max}")))
}
