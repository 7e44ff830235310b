//! The table of the read cache.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Answers that are kept in memory, one cache for all heads. A write through this node changes them at once; the times
/// bound how late a write of another node is seen that shares the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReadCache {
    /// How many bytes they take at most, in MiB. 0 keeps none.
    #[schemars(range(min = 0, max = 65_536))]
    pub mib_max: u32,

    /// For how long the providers of a key are answered without asking the store again, in seconds.
    #[schemars(range(min = 0, max = 3_600))]
    pub fresh_s: u32,

    /// For how long it is answered that a key has no providers without asking the store again, in seconds.
    #[schemars(range(min = 0, max = 3_600))]
    pub fresh_absent_s: u32,

    /// As `fresh_s`, on the rung "stale" and below, and whenever the store does not answer.
    #[schemars(range(min = 0, max = 86_400))]
    pub stale_s: u32,

    /// As `fresh_absent_s`, on the rung "stale" and below, and whenever the store does not answer.
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
