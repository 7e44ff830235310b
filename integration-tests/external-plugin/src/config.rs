//! The table of the policy in TOML.

use hydra_api::{ConfigIssue, Rung};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Default of [`Config::opens_at_hour`].
pub const OPENS_AT_HOUR_DEFAULT: u8 = 9;
/// Default of [`Config::closes_at_hour`].
pub const CLOSES_AT_HOUR_DEFAULT: u8 = 17;
/// Default of [`Config::hourly_max`].
pub const HOURLY_MAX_DEFAULT: u32 = 1_000_000;

/// `[[admission]] kind = "office-hours"`: takes announcements during some hours of each day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The hour of the day, in UTC, at which the office opens.
    #[schemars(range(max = 23))]
    pub opens_at_hour: u8,
    /// The hour of the day, in UTC, at which the office closes. An hour before `opens_at_hour` is one of the next day.
    #[schemars(range(max = 24))]
    pub closes_at_hour: u8,
    /// What happens to announcements at other hours: `"decline"` drops them, `{ degrade = "stale" }` serves them as on
    /// that rung of the ladder.
    pub outside: Outside,
    /// The limit of announcements in one hour, which begins with the first of them. More are dropped.
    #[schemars(range(min = 1))]
    pub hourly_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            opens_at_hour: OPENS_AT_HOUR_DEFAULT,
            closes_at_hour: CLOSES_AT_HOUR_DEFAULT,
            outside: Outside::Decline,
            hourly_max: HOURLY_MAX_DEFAULT,
        }
    }
}

/// What happens to announcements outside of the hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outside {
    /// They are dropped.
    Decline,
    /// They are served as on this rung of the ladder.
    Degrade(Rung),
}

impl Config {
    /// Checks what the schema cannot say, because it spans two keys.
    pub(crate) fn check(&self) -> Result<(), ConfigIssue> {
        if self.opens_at_hour == self.closes_at_hour {
            let message = "it opens at that hour; the whole day is from 0 to 24".to_owned();
            return Err(ConfigIssue { key: "closes_at_hour".to_owned(), message });
        }
        Ok(())
    }
}
