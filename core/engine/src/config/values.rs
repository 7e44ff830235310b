//! The table of value records.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Value records: public keys (`/pk`) and names (`/ipns`), kept beside the provider records if the store keeps any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ValueRecords {
    /// Keeps value records. Without them PUT_VALUE is answered by a reset and GET_VALUE with closer peers alone.
    pub enabled: bool,

    /// The time that a record is kept after it was put last, in hours. Nodes on one store must agree.
    #[schemars(range(min = 1, max = 720))]
    pub ttl_hours: u32,

    /// The most that the keys and values of all records may take in the store, in MiB, as of its last estimate. Above it new keys
    /// are not taken; known ones still are. A record of a name has about 400 bytes.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub mib_max: u32,

    /// The maximum memory for the records that were read or put lately, in MiB. 0 keeps none.
    #[schemars(range(min = 0, max = 65_536))]
    pub cache_mib_max: u32,

    /// The maximum number of records that wait to be written. When it is reached new ones are not taken, and who puts them is
    /// told so.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub queue_len_max: u32,

    /// The maximum number of signatures that are checked each second for the peers of one address prefix (IPv4 /24, IPv6 /56).
    /// What goes beyond is not taken. A check takes some 50 to 300 microseconds.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub checks_per_prefix_per_second: u32,

    /// The maximum number of signatures that are checked each second for all peers.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub checks_per_second: u32,
}

impl ValueRecords {
    /// The default of [`Self::ttl_hours`] (go-libp2p-kad-dht: `MaxRecordAge`, 48 h).
    pub const TTL_HOURS: u32 = 48;
    /// The default of [`Self::mib_max`]: about 2.5 million names.
    pub const MIB_MAX: u32 = 1_024;
    /// The default of [`Self::cache_mib_max`].
    pub const CACHE_MIB_MAX: u32 = 16;
    /// The default of [`Self::queue_len_max`].
    pub const QUEUE_LEN_MAX: u32 = 4_096;
    /// The default of [`Self::checks_per_prefix_per_second`].
    pub const CHECKS_PER_PREFIX_PER_SECOND: u32 = 100;
    /// The default of [`Self::checks_per_second`]: at most about a fifth of a core.
    pub const CHECKS_PER_SECOND: u32 = 1_000;
}

impl Default for ValueRecords {
    fn default() -> Self {
        Self {
            enabled: true,
            ttl_hours: Self::TTL_HOURS,
            mib_max: Self::MIB_MAX,
            cache_mib_max: Self::CACHE_MIB_MAX,
            queue_len_max: Self::QUEUE_LEN_MAX,
            checks_per_prefix_per_second: Self::CHECKS_PER_PREFIX_PER_SECOND,
            checks_per_second: Self::CHECKS_PER_SECOND,
        }
    }
}
