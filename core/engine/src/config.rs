//! The table `[engine]` of the config file.

mod breaker;
mod cache;
mod limits;
mod permits;
mod rungs;
mod shedding;
mod values;

pub use breaker::Breaker;
pub use cache::ReadCache;
pub(crate) use limits::{Capacity, Life, Limits};
pub use permits::{PermitMode, Permits};
pub use rungs::{NearOnly, Peak, Short, Stale};
pub use shedding::{Shares, Shedding};
pub use values::ValueRecords;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How requests are answered and how the store is protected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The time after which a read that still waits for the store is answered without it, in milliseconds: with an old
    /// answer of the cache (`cache.stale_s`), or else with closer peers alone. The store call itself goes on, and its
    /// result fills the cache. Raise it if complete answers matter more than fast ones.
    #[schemars(range(min = 1, max = 5_000))]
    pub soft_deadline_ms: u32,

    /// The maximum number of store calls at a time. If unset: two for each core of this machine and one more.
    /// Never more than the store serves at a time, whatever is set here. `permits` sets the limit below this
    /// bound. Raise it if the node is degraded while the store has capacity left and the limit is at this
    /// bound.
    #[schemars(range(min = 1, max = 4_096))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permits_max: Option<u32>,

    /// The time that a read waits for a permit, in milliseconds; then it is answered as after the soft deadline, and its
    /// key stays in line for the next store call.
    #[schemars(range(min = 0, max = 100))]
    pub waiting_ms_max: u32,

    /// The maximum number of keys in line for a permit. The newest is served first; when the line is full, the oldest
    /// is evicted.
    #[schemars(range(min = 1, max = 65_536))]
    pub waiting_len_max: u32,

    /// The maximum number of providers in one answer.
    #[schemars(range(min = 1, max = 1_024))]
    pub providers_per_answer_max: u32,

    /// The maximum number of providers in one answer while requests are served degraded.
    #[schemars(range(min = 1, max = 1_024))]
    pub providers_per_short_answer_max: u32,

    /// The maximum number of providers that are taken for one key within half of `record_ttl_hours`, as far as this node
    /// knows: those that it took itself, or that the last answer from the store has. Announcements of further providers
    /// are dropped and counted; those of providers that it remembers are always taken. After a restart it counts anew. Set
    /// it if a few keys with tens of thousands of providers fill the store. 0 sets no limit.
    #[schemars(range(min = 0, max = 65_535))]
    pub providers_per_key_max: u32,

    /// The time that an announcement is kept, in hours. Lower it to keep fewer records, but not below 22 hours, after
    /// which providers typically announce again.
    #[schemars(range(min = 1, max = 720))]
    pub record_ttl_hours: u32,

    /// The keys that may be announced: "multihash" refuses everything else, "any" accepts every key of 1 to 80 bytes.
    /// Identity multihashes are refused in both cases. Set "any" in a network whose keys are not multihashes.
    pub announced_keys: AnnouncedKeys,

    /// The maximum number of announcements in the write queue, those that are being written included. When it is full,
    /// new ones are dropped and counted. Raise it to bridge longer outages of the store, with `write_queue_mib_max`.
    #[schemars(range(min = 1, max = 16_777_216))]
    pub write_queue_len_max: u32,

    /// The maximum memory of the write queue, in MiB. When it is used up, new announcements are dropped and counted.
    #[schemars(range(min = 1, max = 65_536))]
    pub write_queue_mib_max: u32,

    /// The time that an announcement waits until it is written, in milliseconds, while the store keeps up. A crash of
    /// the node loses the announcements of this time; a longer time makes fewer and larger store calls.
    #[schemars(range(min = 10, max = 60_000))]
    pub flush_interval_ms: u32,

    /// The shortest time from one window of writes to the next, in milliseconds. Together with `window_len_max` it
    /// sets the highest rate of writes: lower it if the write queue fills while the store is not slow.
    #[schemars(range(min = 1, max = 60_000))]
    pub flush_interval_min_ms: u32,

    /// The maximum number of announcements in a window of writes, which is deduplicated, sorted by key and cut into
    /// batches. A full window does not wait for `flush_interval_ms`. Raise it if the write queue fills while the store
    /// is not slow.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub window_len_max: u32,

    /// The maximum number of times that an announcement is tried again after the store failed; then it is dropped and
    /// counted. Attempts while the store is unavailable do not count.
    #[schemars(range(min = 0, max = 100))]
    pub write_retries_max: u32,

    /// The time from one purge of expired records to the next, in seconds.
    #[schemars(range(min = 1, max = 86_400))]
    pub purge_interval_s: u32,

    /// The maximum number of expired records that one store call removes. A purge makes such calls until none is left.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub purge_len_max: u32,

    /// The time from one estimate of the number of records to the next, in seconds, on the rung "full"; a degraded
    /// node makes none. Lower it so that an idle node notices sooner that its store is unavailable.
    #[schemars(range(min = 1, max = 86_400))]
    pub estimate_interval_s: u32,

    /// The maximum number of recently written records that the node remembers, 8 bytes each, rounded up to a power of
    /// two. On the rung "short" (`short.refresh_left_hours`) and above these are not written again. 0 remembers none.
    #[schemars(range(min = 0, max = 268_435_456))]
    pub recent_writes_max: u32,

    /// The number of permits: the limit of the store calls at a time, from 1 to the bound.
    pub permits: Permits,

    /// Answers kept in memory, so that the store is not asked for them again.
    pub cache: ReadCache,

    /// Value records (`/pk` and `/ipns`).
    pub values: ValueRecords,

    /// The pause of a store that fails.
    pub breaker: Breaker,

    /// The rung "short": answers are shorter, and records that live long enough are not written again.
    pub short: Short,

    /// The rung "stale": answers may be some minutes old, and a read waits only for one of the next store calls.
    pub stale: Stale,

    /// The rung "near_only": the store is asked only for keys to which the head that was asked is near.
    pub near_only: NearOnly,

    /// Which announcements are dropped first while writes are degraded or the write queue fills. A key is
    /// near if the head that was asked is among the 20 closest servers that the peer table knows, else far.
    pub shedding: Shedding,

    /// The rungs on which the store is not read: full decline above a rate of requests, and a store that has stalled.
    pub peak: Peak,
}

/// The keys that may be announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AnnouncedKeys {
    /// Only multihashes.
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
    /// The default of [`Self::write_queue_len_max`].
    pub const WRITE_QUEUE_LEN_MAX: u32 = 65_536;
    /// The default of [`Self::write_queue_mib_max`].
    pub const WRITE_QUEUE_MIB_MAX: u32 = 64;
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
            providers_per_key_max: 0,
            record_ttl_hours: Self::RECORD_TTL_HOURS,
            announced_keys: AnnouncedKeys::Multihash,
            write_queue_len_max: Self::WRITE_QUEUE_LEN_MAX,
            write_queue_mib_max: Self::WRITE_QUEUE_MIB_MAX,
            flush_interval_ms: Self::FLUSH_INTERVAL_MS,
            flush_interval_min_ms: Self::FLUSH_INTERVAL_MIN_MS,
            window_len_max: Self::WINDOW_LEN_MAX,
            write_retries_max: Self::WRITE_RETRIES_MAX,
            purge_interval_s: Self::PURGE_INTERVAL_S,
            purge_len_max: Self::PURGE_LEN_MAX,
            estimate_interval_s: Self::ESTIMATE_INTERVAL_S,
            recent_writes_max: Self::RECENT_WRITES_MAX,
            permits: Permits::default(),
            cache: ReadCache::default(),
            values: ValueRecords::default(),
            breaker: Breaker::default(),
            short: Short::default(),
            stale: Stale::default(),
            near_only: NearOnly::default(),
            shedding: Shedding::default(),
            peak: Peak::default(),
        }
    }
}
