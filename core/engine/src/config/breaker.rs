//! The table of the breaker.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The pause of a store that fails: instead of every request, one probe at a time asks whether it answers again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Breaker {
    /// The number of failures with "unavailable", less the successes between them, at which the store is paused.
    #[schemars(range(min = 1, max = 1_000))]
    pub failures: u32,

    /// The time from one probe of a paused store to the next, in milliseconds, give or take a quarter. A store that asks
    /// for a longer pause gets up to 30 seconds.
    #[schemars(range(min = 10, max = 60_000))]
    pub probe_interval_ms: u32,
}

impl Breaker {
    /// The default of [`Self::failures`].
    pub const FAILURES: u32 = 3;
    /// The default of [`Self::probe_interval_ms`].
    pub const PROBE_INTERVAL_MS: u32 = 300;
}

impl Default for Breaker {
    fn default() -> Self {
        Self { failures: Self::FAILURES, probe_interval_ms: Self::PROBE_INTERVAL_MS }
    }
}
