//! The table of a fair policy in TOML.

use hydra_api::OpenError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Default of [`Config::degrade_percent`]: below the 50 percent at which the node itself degrades everybody.
pub const DEGRADE_PERCENT_DEFAULT: u32 = 20;
/// Default of [`Config::decline_percent`].
pub const DECLINE_PERCENT_DEFAULT: u32 = 30;
/// Default of [`Config::share_per_s_min`]: what a lookup client asks in a second.
pub const SHARE_PER_S_MIN_DEFAULT: u32 = 10;
/// Default of [`Config::share_per_s_max`]: more than a node serves.
pub const SHARE_PER_S_MAX_DEFAULT: u32 = 100_000;
/// Default of [`Config::host_shares`].
pub const HOST_SHARES_DEFAULT: u32 = 2;
/// Default of [`Config::network_shares`].
pub const NETWORK_SHARES_DEFAULT: u32 = 4;
/// Default of [`Config::ipv4_host_bits`].
pub const IPV4_HOST_BITS_DEFAULT: u8 = 32;
/// Default of [`Config::ipv4_network_bits`].
pub const IPV4_NETWORK_BITS_DEFAULT: u8 = 24;
/// Default of [`Config::ipv6_host_bits`]: what one household gets.
pub const IPV6_HOST_BITS_DEFAULT: u8 = 56;
/// Default of [`Config::ipv6_network_bits`]: what one customer of a provider gets at most.
pub const IPV6_NETWORK_BITS_DEFAULT: u8 = 48;
/// Default of [`Config::sources_max`]: 3 MiB in all.
pub const SOURCES_MAX_DEFAULT: u32 = 65_536;

/// `[[admission]] kind = "fair"`: while the queues before the store fill up, degrades and declines requests of
/// sources above their fair share, and nobody else's.
///
/// A source is a peer at an address, then the host, then the network that it connects from. Reads and writes have
/// shares of their own. All keys but `sources_max` can change while the node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The fill level of the write queue (of the line of waiting reads), in percent, at which writes (reads)
    /// of sources above their share are served as on the rung "stale". Below it no writes are limited, and
    /// reads only while, or some seconds after, 3 percent of them get no answer of the store in time. At most
    /// `decline_percent`.
    #[schemars(range(min = 1, max = 100))]
    pub degrade_percent: u32,
    /// The fill level of the write queue (of the line of waiting reads), in percent, at which writes of
    /// sources above their share are dropped (their reads are answered from the cache alone). Keep it below
    /// the thresholds of `[engine.short]`, at which the node degrades the requests of all sources.
    #[schemars(range(min = 1, max = 100))]
    pub decline_percent: u32,
    /// The lowest share, in requests per second. A source below it is never limited by this policy, nor is a burst of
    /// one and a half times as many requests.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub share_per_s_min: u32,
    /// The highest share, in requests per second. A source above it is limited as soon as there is pressure. With
    /// `share_per_s_min` of the same value the share is fixed.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub share_per_s_max: u32,
    /// How many shares all peers of one host have together. Raise it if many peers connect through few addresses.
    /// Relayed connections have no address of their own and count as one host.
    #[schemars(range(min = 1, max = 1_000))]
    pub host_shares: u32,
    /// How many shares all hosts of one network have together. At least `host_shares`.
    #[schemars(range(min = 1, max = 1_000))]
    pub network_shares: u32,
    /// The length of the IPv4 prefix that counts as a host, in bits.
    #[schemars(range(min = 1, max = 32))]
    pub ipv4_host_bits: u8,
    /// The length of the IPv4 prefix that counts as a network, in bits. At most `ipv4_host_bits`.
    #[schemars(range(min = 1, max = 32))]
    pub ipv4_network_bits: u8,
    /// The length of the IPv6 prefix that counts as a host, in bits.
    #[schemars(range(min = 1, max = 128))]
    pub ipv6_host_bits: u8,
    /// The length of the IPv6 prefix that counts as a network, in bits. At most `ipv6_host_bits`.
    #[schemars(range(min = 1, max = 128))]
    pub ipv6_network_bits: u8,
    /// Exempts connections from this machine (127.0.0.0/8, ::1). Turn it off behind a proxy on the same machine.
    pub loopback_exempt: bool,
    /// The number of peers, of hosts and of networks with a count of their own at a time, 16 bytes for each of the
    /// three, rounded up to a power of two. A source beyond it takes over the lowest count.
    #[schemars(range(min = 64, max = 1_048_576))]
    pub sources_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            degrade_percent: DEGRADE_PERCENT_DEFAULT,
            decline_percent: DECLINE_PERCENT_DEFAULT,
            share_per_s_min: SHARE_PER_S_MIN_DEFAULT,
            share_per_s_max: SHARE_PER_S_MAX_DEFAULT,
            host_shares: HOST_SHARES_DEFAULT,
            network_shares: NETWORK_SHARES_DEFAULT,
            ipv4_host_bits: IPV4_HOST_BITS_DEFAULT,
            ipv4_network_bits: IPV4_NETWORK_BITS_DEFAULT,
            ipv6_host_bits: IPV6_HOST_BITS_DEFAULT,
            ipv6_network_bits: IPV6_NETWORK_BITS_DEFAULT,
            loopback_exempt: true,
            sources_max: SOURCES_MAX_DEFAULT,
        }
    }
}

impl Config {
    /// The bounds of the schema once more, for those who open the policy without one, and what spans several keys.
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let bits =
            |low: (&str, u8), high: (&str, u8)| ordered((low.0, low.1.into()), (high.0, high.1.into()));
        OpenError::all([
            within("degrade_percent", self.degrade_percent, 1, 100),
            within("decline_percent", self.decline_percent, 1, 100),
            within("share_per_s_min", self.share_per_s_min, 1, 1_000_000),
            within("share_per_s_max", self.share_per_s_max, 1, 1_000_000),
            within("host_shares", self.host_shares, 1, 1_000),
            within("network_shares", self.network_shares, 1, 1_000),
            within("ipv4_host_bits", self.ipv4_host_bits.into(), 1, 32),
            within("ipv4_network_bits", self.ipv4_network_bits.into(), 1, 32),
            within("ipv6_host_bits", self.ipv6_host_bits.into(), 1, 128),
            within("ipv6_network_bits", self.ipv6_network_bits.into(), 1, 128),
            within("sources_max", self.sources_max, 64, 1 << 20),
            ordered(("degrade_percent", self.degrade_percent), ("decline_percent", self.decline_percent)),
            ordered(("share_per_s_min", self.share_per_s_min), ("share_per_s_max", self.share_per_s_max)),
            ordered(("host_shares", self.host_shares), ("network_shares", self.network_shares)),
            bits(("ipv4_network_bits", self.ipv4_network_bits), ("ipv4_host_bits", self.ipv4_host_bits)),
            bits(("ipv6_network_bits", self.ipv6_network_bits), ("ipv6_host_bits", self.ipv6_host_bits)),
        ])
    }
}

fn within(key: &str, value: u32, min: u32, max: u32) -> Result<(), OpenError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(OpenError::config(key, format!("{value} is not within {min} to {max}")))
}

fn ordered((low_key, low): (&str, u32), (high_key, high): (&str, u32)) -> Result<(), OpenError> {
    if low <= high {
        return Ok(());
    }
    Err(OpenError::config(low_key, format!("{low} is more than {high}, the value of {high_key}")))
}
