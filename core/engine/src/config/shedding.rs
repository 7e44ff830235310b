//! Which announcements a degraded node drops first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which announcements are dropped on the rungs on which writes are degraded, and while the write queue fills: the least valuable
/// first. A lost refresh costs nothing, as the record lives on; a record of a key to which the head that was asked is far is
/// seldom looked for there. Of a share, the peers that lose change from hour to hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Shedding {
    /// The fill level of the write queue above which announcements are dropped by their value, in percent:
    /// first refreshes of far keys, then those of near keys, then new announcements of far keys, each within
    /// a quarter of the way to the full queue. The last quarter is left to new announcements of near keys.
    /// 100 switches this off.
    #[schemars(range(min = 0, max = 100))]
    pub write_queue_percent: u32,

    /// What is dropped on the rung "short".
    pub short: Shares,

    /// What is dropped on the rung "stale".
    pub stale: Shares,

    /// What is dropped on the rung "near_only". All announcements of far keys are dropped there, so its
    /// shares of far keys have no effect.
    pub near_only: Shares,

    /// What is dropped on the rung "cache_only".
    pub cache_only: Shares,
}

/// The shares of announcements that are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Shares {
    /// The share of refreshes of far keys that is dropped, in percent.
    #[schemars(range(min = 0, max = 100))]
    pub far_refresh_percent: u32,

    /// The share of refreshes of near keys that is dropped, in percent.
    #[schemars(range(min = 0, max = 100))]
    pub near_refresh_percent: u32,

    /// The share of announcements of new records of far keys that is dropped, in percent.
    #[schemars(range(min = 0, max = 100))]
    pub far_new_percent: u32,

    /// The share of announcements of new records of near keys that is dropped, in percent.
    #[schemars(range(min = 0, max = 100))]
    pub near_new_percent: u32,
}

impl Shares {
    /// Nothing is dropped: on the rung "short", where records that live long enough are not written again in any case.
    pub const NONE: Self =
        Self { far_refresh_percent: 0, near_refresh_percent: 0, far_new_percent: 0, near_new_percent: 0 };
    /// Every refresh is dropped: on the rung "stale".
    pub const REFRESHES: Self = Self { far_refresh_percent: 100, near_refresh_percent: 100, ..Self::NONE };
    /// All but new announcements of near keys are dropped: on the rungs above.
    pub const ALL_BUT_NEAR_NEW: Self = Self { far_new_percent: 100, ..Self::REFRESHES };

    /// In the order of their value, the least first.
    pub(crate) const fn by_rank(&self) -> [u32; 4] {
        [self.far_refresh_percent, self.near_refresh_percent, self.far_new_percent, self.near_new_percent]
    }
}

impl Shedding {
    /// The default of [`Self::write_queue_percent`].
    pub const WRITE_QUEUE_PERCENT: u32 = 70;
}

impl Default for Shedding {
    fn default() -> Self {
        Self {
            write_queue_percent: Self::WRITE_QUEUE_PERCENT,
            short: Shares::NONE,
            stale: Shares::REFRESHES,
            near_only: Shares::ALL_BUT_NEAR_NEW,
            cache_only: Shares::ALL_BUT_NEAR_NEW,
        }
    }
}
