//! When heads leave server mode.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When heads leave server mode because the node declines all reads (rung "routing_only"), and come back: peers look for servers
/// that answer instead. Neither happens to many heads at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ebb {
    /// Lets heads leave server mode. Switch it off if an answer without providers is always better than none.
    pub enabled: bool,
    /// The time for which the node must decline all reads before the first head leaves, in seconds.
    /// Interruptions are subtracted, and one of `calm_s` resets it.
    #[schemars(range(min = 1, max = 86_400))]
    pub after_s: u32,
    /// The time for which the node must decline no read before the first head comes back, in seconds.
    /// Interruptions are subtracted.
    #[schemars(range(min = 1, max = 86_400))]
    pub calm_s: u32,
    /// The maximum share of heads that leave within `interval_s`, in percent, one after the other and in random order. They
    /// come back as slowly, each with a random delay of up to as much again.
    #[schemars(range(min = 1, max = 100))]
    pub heads_percent: u32,
    /// The interval to which `heads_percent` applies, in seconds.
    #[schemars(range(min = 1, max = 3_600))]
    pub interval_s: u32,
}

impl Ebb {
    /// [`Self::after_s`] by default.
    pub const AFTER_S: u32 = 600;
    /// [`Self::calm_s`] by default.
    pub const CALM_S: u32 = 60;
    /// [`Self::heads_percent`] by default.
    pub const HEADS_PERCENT: u32 = 10;
    /// [`Self::interval_s`] by default.
    pub const INTERVAL_S: u32 = 60;
}

impl Default for Ebb {
    fn default() -> Self {
        Self {
            enabled: true,
            after_s: Self::AFTER_S,
            calm_s: Self::CALM_S,
            heads_percent: Self::HEADS_PERCENT,
            interval_s: Self::INTERVAL_S,
        }
    }
}
