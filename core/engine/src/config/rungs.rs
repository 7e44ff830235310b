//! When the node enters a rung of the ladder, and what it does there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When reads and writes are served on the rung "short", and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Short {
    /// Lets the node enter this rung by itself. A policy may degrade requests to it in any case.
    pub enabled: bool,

    /// The share of keys that get no permit in time at which reads enter this rung, in percent. 0 switches this signal
    /// off.
    #[schemars(range(min = 0, max = 100))]
    pub denied_percent: u32,

    /// The fill level of the line of waiting keys at which reads enter this rung, in percent. 0 switches this
    /// signal off.
    #[schemars(range(min = 0, max = 100))]
    pub waiting_percent: u32,

    /// The fill level of the write queue at which writes enter this rung, in percent of its announcements or
    /// of its memory, whichever is higher. 0 switches this signal off.
    #[schemars(range(min = 0, max = 100))]
    pub write_queue_percent: u32,

    /// The 90th percentile of the duration of store reads at which reads enter this rung, in milliseconds. 0 switches
    /// this signal off.
    #[schemars(range(min = 0, max = 60_000))]
    pub read_p90_ms: u32,

    /// The soft deadline on this rung and above, in milliseconds, if it is shorter than `engine.soft_deadline_ms`.
    #[schemars(range(min = 1, max = 5_000))]
    pub soft_deadline_ms: u32,

    /// The life that a known record must have left for its announcement not to be written again on this rung, in hours.
    /// On a lower rung every announcement is written.
    #[schemars(range(min = 0, max = 720))]
    pub refresh_left_hours: u32,
}

/// When reads and writes are served on the rung "stale".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Stale {
    /// Lets the node enter this rung by itself. A policy may degrade requests to it in any case.
    pub enabled: bool,

    /// The share of keys that get no permit in time at which reads enter this rung, in percent. 0 switches this signal
    /// off.
    #[schemars(range(min = 0, max = 100))]
    pub denied_percent: u32,

    /// The fill level of the line of waiting keys at which reads enter this rung, in percent. 0 switches this
    /// signal off.
    #[schemars(range(min = 0, max = 100))]
    pub waiting_percent: u32,

    /// The fill level of the write queue at which writes enter this rung, in percent of its announcements or
    /// of its memory, whichever is higher. 0 switches this signal off.
    #[schemars(range(min = 0, max = 100))]
    pub write_queue_percent: u32,

    /// The 90th percentile of the duration of store reads at which reads enter this rung, in milliseconds. 0 switches
    /// this signal off.
    #[schemars(range(min = 0, max = 60_000))]
    pub read_p90_ms: u32,
}

/// When reads and writes are served on the rung "near_only": the store is asked only for keys to which the head that was
/// asked is near, that is among the 20 servers closest to the key that the peer table knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NearOnly {
    /// Lets the node enter this rung by itself. A policy may degrade requests to it in any case.
    pub enabled: bool,

    /// The time for which a signal of this rung must last before reads or writes enter it, in milliseconds, less the times
    /// of calm between: until then the rung "stale" may suffice. A node that has just left this rung enters it again after a second.
    #[schemars(range(min = 100, max = 600_000))]
    pub after_ms: u32,

    /// The share of keys that the store is not asked for because the line has no room for them at which reads enter this
    /// rung, in percent. 0 switches this signal off.
    #[schemars(range(min = 0, max = 100))]
    pub lost_percent: u32,

    /// The 90th percentile of the duration of store reads at which reads enter this rung, in milliseconds, while
    /// the line has no room for some keys: a store that is slow although it reads every key is not made faster by fewer
    /// of them. 0 switches this signal off.
    #[schemars(range(min = 0, max = 60_000))]
    pub read_p90_ms: u32,

    /// The fill level of the write queue at which writes enter this rung, in percent of its announcements or
    /// of its memory, whichever is higher. 0 switches this signal off.
    #[schemars(range(min = 0, max = 100))]
    pub write_queue_percent: u32,

    /// As `engine.providers_per_key_max` on this rung and above, if that is more or 0. 0 sets no limit of its own.
    #[schemars(range(min = 0, max = 65_535))]
    pub providers_per_key_max: u32,
}

/// When the node stops asking the store altogether, and when it starts again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Peak {
    /// The peak, in requests per second that the policies admit, over all heads: GET_PROVIDERS, ADD_PROVIDER, GET_VALUE
    /// and PUT_VALUE. While more come, all writes are dropped; while reads alone are more, all reads are answered with
    /// closer peers alone, too (rung "routing_only"). The node leaves this rung when no request came above the peak for
    /// `calm_ms`. Bursts of a quarter of a second pass. 0 switches the peak off.
    #[schemars(range(min = 0, max = 100_000_000))]
    pub requests_per_second: u32,

    /// The share of a rung's thresholds below which that rung is calm, in percent.
    #[schemars(range(min = 1, max = 100))]
    pub calm_percent: u32,

    /// The time for which a rung must be calm until the node recovers to the next lower one, in milliseconds. A rung
    /// that is entered again soon after the node left it needs up to four times as long.
    #[schemars(range(min = 100, max = 60_000))]
    pub calm_ms: u32,

    /// The time during which no store call ends after which the store counts as stalled, in milliseconds. If all
    /// permits are in use, it is not read until a call ends (rung "cache_only"). If some are free and a read is under way,
    /// no request waits for it; if a write is under way, no known record is written again (rung "stale" of reads, or of
    /// writes). Until then writes stay on their rung: announcements wait in the write queue. 0 switches this off.
    #[schemars(range(min = 0, max = 60_000))]
    pub stall_ms: u32,
}

impl Short {
    /// The default of [`Self::denied_percent`].
    pub const DENIED_PERCENT: u32 = 10;
    /// The default of [`Self::waiting_percent`].
    pub const WAITING_PERCENT: u32 = 50;
    /// The default of [`Self::write_queue_percent`].
    pub const WRITE_QUEUE_PERCENT: u32 = 50;
    /// The default of [`Self::read_p90_ms`].
    pub const READ_P90_MS: u32 = 100;
    /// The default of [`Self::soft_deadline_ms`].
    pub const SOFT_DEADLINE_MS: u32 = 250;
    /// The default of [`Self::refresh_left_hours`]: a record lives 48 h and is announced again every 22 h, so that the
    /// next announcement still comes in time.
    pub const REFRESH_LEFT_HOURS: u32 = 24;
}

impl Default for Short {
    fn default() -> Self {
        Self {
            enabled: true,
            denied_percent: Self::DENIED_PERCENT,
            waiting_percent: Self::WAITING_PERCENT,
            write_queue_percent: Self::WRITE_QUEUE_PERCENT,
            read_p90_ms: Self::READ_P90_MS,
            soft_deadline_ms: Self::SOFT_DEADLINE_MS,
            refresh_left_hours: Self::REFRESH_LEFT_HOURS,
        }
    }
}

impl Stale {
    /// The default of [`Self::denied_percent`].
    pub const DENIED_PERCENT: u32 = 50;
    /// The default of [`Self::waiting_percent`].
    pub const WAITING_PERCENT: u32 = 90;
    /// The default of [`Self::write_queue_percent`].
    pub const WRITE_QUEUE_PERCENT: u32 = 85;
    /// The default of [`Self::read_p90_ms`]: as long as the soft deadline, so that most answers would come too late.
    pub const READ_P90_MS: u32 = 250;
}

impl Default for Stale {
    fn default() -> Self {
        Self {
            enabled: true,
            denied_percent: Self::DENIED_PERCENT,
            waiting_percent: Self::WAITING_PERCENT,
            write_queue_percent: Self::WRITE_QUEUE_PERCENT,
            read_p90_ms: Self::READ_P90_MS,
        }
    }
}

impl NearOnly {
    /// The default of [`Self::after_ms`].
    pub const AFTER_MS: u32 = 10_000;
    /// The default of [`Self::lost_percent`]: twice as many keys as the store can read.
    pub const LOST_PERCENT: u32 = 50;
    /// The default of [`Self::read_p90_ms`]: twice the soft deadline.
    pub const READ_P90_MS: u32 = 500;
    /// The default of [`Self::write_queue_percent`].
    pub const WRITE_QUEUE_PERCENT: u32 = 95;
    /// The default of [`Self::providers_per_key_max`]: as many as a short answer has.
    pub const PROVIDERS_PER_KEY_MAX: u32 = 32;
}

impl Default for NearOnly {
    fn default() -> Self {
        Self {
            enabled: true,
            after_ms: Self::AFTER_MS,
            lost_percent: Self::LOST_PERCENT,
            read_p90_ms: Self::READ_P90_MS,
            write_queue_percent: Self::WRITE_QUEUE_PERCENT,
            providers_per_key_max: Self::PROVIDERS_PER_KEY_MAX,
        }
    }
}

impl Peak {
    /// The default of [`Self::requests_per_second`]: more than two cores can answer.
    pub const REQUESTS_PER_SECOND: u32 = 100_000;
    /// The default of [`Self::calm_percent`].
    pub const CALM_PERCENT: u32 = 80;
    /// The default of [`Self::calm_ms`].
    pub const CALM_MS: u32 = 1_000;
    /// The default of [`Self::stall_ms`].
    pub const STALL_MS: u32 = 1_000;
}

impl Default for Peak {
    fn default() -> Self {
        Self {
            requests_per_second: Self::REQUESTS_PER_SECOND,
            calm_percent: Self::CALM_PERCENT,
            calm_ms: Self::CALM_MS,
            stall_ms: Self::STALL_MS,
        }
    }
}
