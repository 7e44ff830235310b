//! The table of value records.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Value records: public keys (`/pk`) and names (`/ipns`), kept beside the provider records if the store keeps any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ValueRecords {
    /// Keeps value records. If false, PUT_VALUE is refused with a reset and GET_VALUE is answered with closer peers
    /// alone.
    pub enabled: bool,

    /// The time that a record is kept after it was last put, in hours; a put within the first quarter of that time does
    /// not prolong it. All nodes on one store need the same value.
    #[schemars(range(min = 1, max = 720))]
    pub ttl_hours: u32,

    /// The maximum size of the keys and values of all records in the store, in MiB, by the store's last estimate.
    /// Above it, records of new keys are not taken, and known ones are not replaced by longer ones. A record of a
    /// name has about 400 bytes.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub mib_max: u32,

    /// The maximum memory for recently read and put records, in MiB. 0 switches the cache off.
    #[schemars(range(min = 0, max = 65_536))]
    pub cache_mib_max: u32,

    /// The maximum number of records that wait to be written. When it is reached, new records are not taken, and the
    /// answer says so. Raise it to bridge longer outages of the store.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub queue_len_max: u32,

    /// The maximum number of signature checks per second for the peers of one address prefix (IPv4 /24, IPv6 /48). A
    /// wrong signature counts as ten. Records beyond it are not taken. Raise it if many names are published from one
    /// network.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub checks_per_prefix_per_second: u32,

    /// The maximum number of signature checks per second for all peers. Records beyond it are not taken. A check
    /// takes 50 to 300 microseconds; lower it to spare CPU.
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
