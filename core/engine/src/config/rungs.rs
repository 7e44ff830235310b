//! When the node goes onto a rung of the ladder, and what it does there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When answers become shorter, and known records are not written again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Short {
    /// Whether the node goes onto this rung by itself. A policy may degrade requests to it in any case.
    pub enabled: bool,

    /// The part of the store reads that find no turn in time from which on the node stands here, in percent. 0 switches
    /// this signal off.
    #[schemars(range(min = 0, max = 100))]
    pub denied_percent: u32,

    /// How full the line of waiting reads is when the node comes here, in percent. 0 switches this signal off.
    #[schemars(range(min = 0, max = 100))]
    pub waiting_percent: u32,

    /// How full the ring of waiting announcements is when the node comes here, in percent. 0 switches this signal off.
    #[schemars(range(min = 0, max = 100))]
    pub ring_percent: u32,

    /// The node comes here when one of ten store reads takes this long, in milliseconds. 0 switches this signal off.
    #[schemars(range(min = 0, max = 60_000))]
    pub read_p90_ms: u32,

    /// After how long a request is answered with closer peers alone on this rung and below, in milliseconds, if that is
    /// less than the soft deadline.
    #[schemars(range(min = 1, max = 5_000))]
    pub soft_deadline_ms: u32,

    /// How much of its life a known record must have left for its announcement not to be written again on this rung, in
    /// hours. Below this rung no known record is.
    #[schemars(range(min = 0, max = 720))]
    pub refresh_left_hours: u32,
}

/// When answers may be some minutes old, and no read waits for its turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Stale {
    /// Whether the node goes onto this rung by itself. A policy may degrade requests to it in any case.
    pub enabled: bool,

    /// The part of the store reads that find no turn in time from which on the node stands here, in percent. 0 switches
    /// this signal off.
    #[schemars(range(min = 0, max = 100))]
    pub denied_percent: u32,

    /// How full the line of waiting reads is when the node comes here, in percent. 0 switches this signal off.
    #[schemars(range(min = 0, max = 100))]
    pub waiting_percent: u32,

    /// How full the ring of waiting announcements is when the node comes here, in percent. 0 switches this signal off.
    #[schemars(range(min = 0, max = 100))]
    pub ring_percent: u32,

    /// The node comes here when one of ten store reads takes this long, in milliseconds. 0 switches this signal off.
    #[schemars(range(min = 0, max = 60_000))]
    pub read_p90_ms: u32,
}

/// When the node stops asking the store altogether, and when it starts again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Peak {
    /// The peak, in GET_PROVIDERS and ADD_PROVIDER a second over all heads. Above it reads are answered with closer
    /// peers alone and announcements are dropped (rung "routing_only"). 0 switches the peak off.
    #[schemars(range(min = 0, max = 100_000_000))]
    pub requests_per_second: u32,

    /// Down to which part of the peak, or of what else has brought the node onto its rung, the load must fall before the
    /// node steps down a rung, in percent.
    #[schemars(range(min = 1, max = 100))]
    pub calm_percent: u32,

    /// For how long it must have fallen, in milliseconds. A rung to which the node comes back soon after it has left it
    /// needs twice as long each time, up to sixteen times.
    #[schemars(range(min = 100, max = 60_000))]
    pub calm_ms: u32,

    /// After how long without the end of any store call, all permits in use, the store counts as stalled, in
    /// milliseconds. Nothing is read until it moves again (rung "cache_only"). 0 switches this off.
    #[schemars(range(min = 0, max = 60_000))]
    pub stall_ms: u32,
}

impl Short {
    /// The default of [`Self::denied_percent`].
    pub const DENIED_PERCENT: u32 = 10;
    /// The default of [`Self::waiting_percent`].
    pub const WAITING_PERCENT: u32 = 50;
    /// The default of [`Self::ring_percent`].
    pub const RING_PERCENT: u32 = 50;
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
            ring_percent: Self::RING_PERCENT,
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
    /// The default of [`Self::ring_percent`].
    pub const RING_PERCENT: u32 = 85;
    /// The default of [`Self::read_p90_ms`]: as long as the soft deadline, so that most answers would come too late.
    pub const READ_P90_MS: u32 = 250;
}

impl Default for Stale {
    fn default() -> Self {
        Self {
            enabled: true,
            denied_percent: Self::DENIED_PERCENT,
            waiting_percent: Self::WAITING_PERCENT,
            ring_percent: Self::RING_PERCENT,
            read_p90_ms: Self::READ_P90_MS,
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
