//! The table `[engine]` of the config file.

mod cache;
mod limits;
mod rungs;

pub use cache::ReadCache;
pub(crate) use limits::{Life, Limits};
pub use rungs::{Peak, Short, Stale};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How requests are answered and how the store is spared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// After how long a request that still waits for the store is answered with closer peers alone, in milliseconds.
    /// The store's answer is not cut short by it.
    #[schemars(range(min = 1, max = 5_000))]
    pub soft_deadline_ms: u32,

    /// How many store calls run at a time. Without it: two for each core of this machine and one more. Never more than
    /// the store says it can serve.
    #[schemars(range(min = 1, max = 4_096))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permits_max: Option<u32>,

    /// How long a read may wait for its turn, in milliseconds; then it is answered with closer peers alone.
    #[schemars(range(min = 0, max = 100))]
    pub waiting_ms_max: u32,

    /// How many reads may wait for their turn. The newest is served first; when the line is full, the oldest leaves it.
    #[schemars(range(min = 1, max = 65_536))]
    pub waiting_len_max: u32,

    /// How many providers one answer holds at most.
    #[schemars(range(min = 1, max = 1_024))]
    pub providers_per_answer_max: u32,

    /// How many providers an answer holds at most while requests are served degraded.
    #[schemars(range(min = 1, max = 1_024))]
    pub providers_per_short_answer_max: u32,

    /// How long an announcement is kept, in hours.
    #[schemars(range(min = 1, max = 720))]
    pub record_ttl_hours: u32,

    /// Which keys may be announced: "multihash" refuses everything that is none, "any" takes every key of 1 to 80
    /// bytes. Identity multihashes are refused either way.
    pub announced_keys: AnnouncedKeys,

    /// How many announcements wait to be written at most; more are dropped and counted.
    #[schemars(range(min = 1, max = 16_777_216))]
    pub ring_len_max: u32,

    /// How many bytes the waiting announcements take at most, in MiB.
    #[schemars(range(min = 1, max = 65_536))]
    pub ring_mib_max: u32,

    /// How long an announcement waits until it is written, in milliseconds, while the store keeps up.
    #[schemars(range(min = 10, max = 60_000))]
    pub flush_interval_ms: u32,

    /// The shortest time from one window of writes to the next, in milliseconds. Together with window_len_max it is
    /// the pace that no load exceeds.
    #[schemars(range(min = 1, max = 60_000))]
    pub flush_interval_min_ms: u32,

    /// How many announcements are written as one window: deduplicated, sorted by key, cut into batches. When so many
    /// wait, the window does not wait for flush_interval_ms.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub window_len_max: u32,

    /// How often an announcement is tried again after the store failed, before it is dropped and counted.
    #[schemars(range(min = 0, max = 100))]
    pub write_retries_max: u32,

    /// The time from one search for expired records to the next, in seconds.
    #[schemars(range(min = 1, max = 86_400))]
    pub purge_interval_s: u32,

    /// How many expired records one store call removes at most.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub purge_len_max: u32,

    /// The time from one estimate of the number of records to the next, in seconds.
    #[schemars(range(min = 1, max = 86_400))]
    pub estimate_interval_s: u32,

    /// How many of the records that were written last are remembered, 8 bytes each, rounded up to a power of two. While
    /// the node is busy they are not written again (rungs "short" and "stale"). 0 remembers none.
    #[schemars(range(min = 0, max = 268_435_456))]
    pub recent_writes_max: u32,

    /// Answers that are kept in memory, so that the store is not asked for them again.
    pub cache: ReadCache,

    /// When answers become shorter, and known records are not written again (rung "short").
    pub short: Short,

    /// When answers may be some minutes old, and no read waits for the store's turn (rung "stale").
    pub stale: Stale,

    /// When the node stops asking the store altogether.
    pub peak: Peak,
}

/// Which keys may be announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AnnouncedKeys {
    /// Multihashes alone.
    #[default]
    Multihash,
    /// Every key of 1 to 80 bytes but identity multihashes.
    Any,
}

impl Config {
    /// The default of [`Self::soft_deadline_ms`].
    pub const SOFT_DEADLINE_MS: u32 = 250;
    /// The default of [`Self::waiting_ms_max`].
    pub const WAITING_MS_MAX: u32 = 20;
    /// The default of [`Self::waiting_len_max`].
    pub const WAITING_LEN_MAX: u32 = 1_024;
    /// The default of [`Self::providers_per_answer_max`].
    pub const PROVIDERS_PER_ANSWER_MAX: u32 = 128;
    /// The default of [`Self::providers_per_short_answer_max`].
    pub const PROVIDERS_PER_SHORT_ANSWER_MAX: u32 = 32;
    /// The default of [`Self::record_ttl_hours`] (ipfs/specs `kad-dht.md`: 48 h).
    pub const RECORD_TTL_HOURS: u32 = 48;
    /// The default of [`Self::ring_len_max`].
    pub const RING_LEN_MAX: u32 = 65_536;
    /// The default of [`Self::ring_mib_max`].
    pub const RING_MIB_MAX: u32 = 64;
    /// The default of [`Self::flush_interval_ms`].
    pub const FLUSH_INTERVAL_MS: u32 = 500;
    /// The default of [`Self::flush_interval_min_ms`]: with windows of 4,096 a pace of 40,960 records a second.
    pub const FLUSH_INTERVAL_MIN_MS: u32 = 100;
    /// The default of [`Self::window_len_max`].
    pub const WINDOW_LEN_MAX: u32 = 4_096;
    /// The default of [`Self::write_retries_max`]: with growing pauses, about half a minute.
    pub const WRITE_RETRIES_MAX: u32 = 8;
    /// The default of [`Self::purge_interval_s`].
    pub const PURGE_INTERVAL_S: u32 = 60;
    /// The default of [`Self::purge_len_max`].
    pub const PURGE_LEN_MAX: u32 = 1_024;
    /// The default of [`Self::estimate_interval_s`].
    pub const ESTIMATE_INTERVAL_S: u32 = 30;
    /// The default of [`Self::recent_writes_max`]: 8 MiB.
    pub const RECENT_WRITES_MAX: u32 = 1_048_576;
}

impl Default for Config {
    fn default() -> Self {
        Self {
            soft_deadline_ms: Self::SOFT_DEADLINE_MS,
            permits_max: None,
            waiting_ms_max: Self::WAITING_MS_MAX,
            waiting_len_max: Self::WAITING_LEN_MAX,
            providers_per_answer_max: Self::PROVIDERS_PER_ANSWER_MAX,
            providers_per_short_answer_max: Self::PROVIDERS_PER_SHORT_ANSWER_MAX,
            record_ttl_hours: Self::RECORD_TTL_HOURS,
            announced_keys: AnnouncedKeys::Multihash,
            ring_len_max: Self::RING_LEN_MAX,
            ring_mib_max: Self::RING_MIB_MAX,
            flush_interval_ms: Self::FLUSH_INTERVAL_MS,
            flush_interval_min_ms: Self::FLUSH_INTERVAL_MIN_MS,
            window_len_max: Self::WINDOW_LEN_MAX,
            write_retries_max: Self::WRITE_RETRIES_MAX,
            purge_interval_s: Self::PURGE_INTERVAL_S,
            purge_len_max: Self::PURGE_LEN_MAX,
            estimate_interval_s: Self::ESTIMATE_INTERVAL_S,
            recent_writes_max: Self::RECENT_WRITES_MAX,
            cache: ReadCache::default(),
            short: Short::default(),
            stale: Stale::default(),
            peak: Peak::default(),
        }
    }
}
