//! The table of the read cache.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Answers kept in memory, one cache for all heads. What this node accepts is in them at once; the times bound how late a
/// write of another node on the same store is seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReadCache {
    /// The maximum memory of the cache, in MiB. 0 switches it off. Raise it if only reads of the store are slow.
    #[schemars(range(min = 0, max = 65_536))]
    pub mib_max: u32,

    /// The time that the providers of a key are answered without asking the store again, in seconds. A record that
    /// another node writes to the same store can be missing for this long. Raise it to spare the store.
    #[schemars(range(min = 0, max = 3_600))]
    pub fresh_s: u32,

    /// The time that a key without providers is answered without asking the store again, in seconds. The first record
    /// that another node writes can be missing for this long.
    #[schemars(range(min = 0, max = 3_600))]
    pub fresh_absent_s: u32,

    /// As `fresh_s`, on the rung "stale" and above, and whenever the store does not answer.
    #[schemars(range(min = 0, max = 86_400))]
    pub stale_s: u32,

    /// As `fresh_absent_s`, on the rung "stale" and above, and whenever the store does not answer.
    #[schemars(range(min = 0, max = 86_400))]
    pub stale_absent_s: u32,
}

impl ReadCache {
    /// The default of [`Self::mib_max`].
    pub const MIB_MAX: u32 = 64;
    /// The default of [`Self::fresh_s`].
    pub const FRESH_S: u32 = 30;
    /// The default of [`Self::fresh_absent_s`].
    pub const FRESH_ABSENT_S: u32 = 10;
    /// The default of [`Self::stale_s`].
    pub const STALE_S: u32 = 600;
    /// The default of [`Self::stale_absent_s`].
    pub const STALE_ABSENT_S: u32 = 60;
}

impl Default for ReadCache {
    fn default() -> Self {
        Self {
            mib_max: Self::MIB_MAX,
            fresh_s: Self::FRESH_S,
            fresh_absent_s: Self::FRESH_ABSENT_S,
            stale_s: Self::STALE_S,
            stale_absent_s: Self::STALE_ABSENT_S,
        }
    }
}
