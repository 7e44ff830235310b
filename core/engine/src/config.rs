//! The table `[engine]` of the config file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::thread::available_parallelism;
use std::time::Duration;

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

/// When the node stops asking the store altogether, and when it starts again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Peak {
    /// The peak, in GET_PROVIDERS and ADD_PROVIDER a second over all heads. Above it reads are answered with closer
    /// peers alone and announcements are dropped (rung "routing_only"). 0 switches the peak off.
    #[schemars(range(min = 0, max = 100_000_000))]
    pub requests_per_second: u32,

    /// Down to which part of the peak the load must fall before the store is asked again, in percent.
    #[schemars(range(min = 1, max = 100))]
    pub calm_percent: u32,

    /// For how long it must have fallen, in milliseconds.
    #[schemars(range(min = 100, max = 60_000))]
    pub calm_ms: u32,

    /// After how long without the end of any store call, all permits in use, the store counts as stalled, in
    /// milliseconds. Nothing is read until it moves again (rung "cache_only"). 0 switches this off.
    #[schemars(range(min = 0, max = 60_000))]
    pub stall_ms: u32,
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
            peak: Peak::default(),
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

/// The config in the types that the engine works with. A zero that the schema forbids counts as one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) soft_deadline: Duration,
    pub(crate) permits: usize,
    pub(crate) waiting: Duration,
    pub(crate) waiting_len: usize,
    pub(crate) answer_len: NonZeroU32,
    pub(crate) short_answer_len: NonZeroU32,
    pub(crate) record_ttl: Duration,
    pub(crate) announced_keys: AnnouncedKeys,
    pub(crate) ring_len: usize,
    pub(crate) ring_bytes: usize,
    pub(crate) flush_interval: Duration,
    pub(crate) flush_interval_min: Duration,
    pub(crate) window_len: usize,
    pub(crate) batch_len: usize,
    pub(crate) write_retries: u32,
    pub(crate) purge_interval: Duration,
    pub(crate) purge_len: NonZeroU32,
    pub(crate) estimate_interval: Duration,
}

impl Limits {
    pub(crate) fn new(config: &Config, store: &hydra_api::StoreProfile) -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        let permits = config.permits_max.map_or(2 * cores + 1, |permits| permits as usize);
        let flush_interval = ms(config.flush_interval_ms.max(1));
        Self {
            soft_deadline: ms(config.soft_deadline_ms),
            permits: permits.clamp(1, store.concurrency_max.get()),
            waiting: ms(config.waiting_ms_max),
            waiting_len: len(config.waiting_len_max),
            answer_len: positive(config.providers_per_answer_max),
            short_answer_len: positive(
                config.providers_per_short_answer_max.min(config.providers_per_answer_max),
            ),
            record_ttl: Duration::from_secs(u64::from(config.record_ttl_hours) * 3_600),
            announced_keys: config.announced_keys,
            ring_len: len(config.ring_len_max),
            ring_bytes: len(config.ring_mib_max) << 20,
            flush_interval,
            flush_interval_min: ms(config.flush_interval_min_ms).min(flush_interval),
            window_len: len(config.window_len_max),
            batch_len: store.batch_len_max.get(),
            write_retries: config.write_retries_max,
            purge_interval: Duration::from_secs(u64::from(config.purge_interval_s.max(1))),
            purge_len: positive(config.purge_len_max),
            estimate_interval: Duration::from_secs(u64::from(config.estimate_interval_s.max(1))),
        }
    }
}

fn ms(ms: u32) -> Duration {
    Duration::from_millis(u64::from(ms))
}

fn len(len: u32) -> usize {
    len.max(1) as usize
}

fn positive(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}
