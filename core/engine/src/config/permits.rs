//! The table of the permits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The number of permits: the limit of the store calls at a time, from 1 to the bound. The bound is `permits_max`, or what the
/// store serves at a time if that is less.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Permits {
    /// How the limit is set: "fixed" sets it to the bound, "adaptive" searches below the bound for the lowest
    /// limit with the full throughput of the store. "adaptive" is experimental: it is tested with models of a
    /// store, not with a real server.
    pub mode: PermitMode,

    /// The limit at the start, if the bound is not lower. Lower it for a store that many calls at a time slow down.
    #[schemars(range(min = 1, max = 4_096))]
    pub start: u32,

    /// The time that a tenth of the reads may exceed, in milliseconds. Above it the limit is lowered at once; if the
    /// throughput falls with it, the limit is raised again. 0 switches this off.
    #[schemars(range(min = 0, max = 60_000))]
    pub read_p90_ms_max: u32,

    /// As `read_p90_ms_max`, for writes: one store call writes up to some hundred records.
    #[schemars(range(min = 0, max = 60_000))]
    pub write_p90_ms_max: u32,

    /// The time during which no store call ends after which the limit is 1, in milliseconds, in steps of 100. A slow store
    /// has the time of eight calls. When calls end again, the limit doubles every 100 milliseconds up to its former value.
    /// 0 switches this off.
    #[schemars(range(min = 0, max = 60_000))]
    pub stall_ms: u32,

    /// The time after which one more call is started while none ends, in milliseconds, up to the bound.
    #[schemars(range(min = 100, max = 60_000))]
    pub probe_interval_ms: u32,

    /// The rise of the throughput below which a higher limit is not worth it, in percent of the rise of the limit. With 10, a
    /// limit that is higher by a fifth must bring 2 % more. Raise it for less load on the store, lower it for more throughput.
    #[schemars(range(min = 1, max = 90))]
    pub rise_percent: u32,

    /// The time for which each of two limits is used in turn while they are compared, in milliseconds. Raise
    /// it for a store whose speed changes from second to second.
    #[schemars(range(min = 100, max = 10_000))]
    pub turn_ms: u32,

    /// The pause after neither a higher nor a lower limit was better, in seconds. It doubles up to `rest_s_max`.
    #[schemars(range(min = 1, max = 3_600))]
    pub rest_s_min: u32,

    /// The longest pause after neither a higher nor a lower limit was better, in seconds. Lower it to follow changes of the
    /// store sooner. A store call that takes half as long again, or a third less, ends the pause.
    #[schemars(range(min = 1, max = 86_400))]
    pub rest_s_max: u32,
}

/// How the limit of the store calls is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PermitMode {
    /// By the throughput of the store.
    Adaptive,
    /// To the bound.
    #[default]
    Fixed,
}

impl Permits {
    /// The default of [`Self::start`].
    pub const START: u32 = 64;
    /// The default of [`Self::read_p90_ms_max`]: a hundredth of exponential times is then above 50.
    pub const READ_P90_MS_MAX: u32 = 25;
    /// The default of [`Self::write_p90_ms_max`].
    pub const WRITE_P90_MS_MAX: u32 = 500;
    /// The default of [`Self::stall_ms`].
    pub const STALL_MS: u32 = 250;
    /// The default of [`Self::probe_interval_ms`].
    pub const PROBE_INTERVAL_MS: u32 = 300;
    /// The default of [`Self::rise_percent`].
    pub const RISE_PERCENT: u32 = 10;
    /// The default of [`Self::turn_ms`].
    pub const TURN_MS: u32 = 500;
    /// The default of [`Self::rest_s_min`].
    pub const REST_S_MIN: u32 = 2;
    /// The default of [`Self::rest_s_max`].
    pub const REST_S_MAX: u32 = 60;
}

impl Default for Permits {
    fn default() -> Self {
        Self {
            mode: PermitMode::Fixed,
            start: Self::START,
            read_p90_ms_max: Self::READ_P90_MS_MAX,
            write_p90_ms_max: Self::WRITE_P90_MS_MAX,
            stall_ms: Self::STALL_MS,
            probe_interval_ms: Self::PROBE_INTERVAL_MS,
            rise_percent: Self::RISE_PERCENT,
            turn_ms: Self::TURN_MS,
            rest_s_min: Self::REST_S_MIN,
            rest_s_max: Self::REST_S_MAX,
        }
    }
}
