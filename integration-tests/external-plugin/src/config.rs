//! The table of the policy in TOML.

use hydra_api::Rung;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Default of [`Config::opens_at_hour`].
pub const OPENS_AT_HOUR_DEFAULT: u8 = 9;
/// Default of [`Config::closes_at_hour`].
pub const CLOSES_AT_HOUR_DEFAULT: u8 = 17;

/// `[[admission]] kind = "office-hours"`: takes announcements during some hours of each day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The hour of the day, in UTC, from which on announcements are taken.
    #[schemars(range(max = 23))]
    pub opens_at_hour: u8,
    /// The hour of the day, in UTC, from which on announcements are taken no more. When it comes before `opens_at_hour`,
    /// it is that of the next day.
    #[schemars(range(max = 24))]
    pub closes_at_hour: u8,
    /// What becomes of announcements at other hours: `"decline"` drops them, `{ degrade = "stale" }` takes them as on
    /// that rung of the ladder.
    pub outside: Outside,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            opens_at_hour: OPENS_AT_HOUR_DEFAULT,
            closes_at_hour: CLOSES_AT_HOUR_DEFAULT,
            outside: Outside::Decline,
        }
    }
}

/// What becomes of announcements outside of the hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outside {
    /// They are dropped.
    Decline,
    /// They are taken as on this rung of the ladder.
    Degrade(Rung),
}
