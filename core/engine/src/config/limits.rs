//! The config as the engine works with it.

use super::{AnnouncedKeys, Config, PermitMode, Permits, Shedding};
use hydra_api::StoreProfile;
use std::num::NonZeroU32;
use std::thread::available_parallelism;
use std::time::Duration;

/// The most records or keys of one store call, whatever the store says.
const BATCH_LEN_MAX: usize = 65_536;

/// What a value record takes in the queue on the average, in bytes, several times what names have; and the least that the queue
/// has room for.
const VALUE_BYTES_MEAN: usize = 4_096;
const VALUE_BYTES_MIN: usize = 64 << 10;

/// The most store calls at a time, whatever the store says.
const PERMITS_MAX: usize = 4_096;

/// The config in the types that the engine works with. A zero that the schema forbids counts as one.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) soft_deadline: Duration,
    pub(crate) permits_wanted: usize,
    /// What the controller of the permits goes by; none if they are fixed.
    pub(crate) permits: Option<Permits>,
    pub(crate) waiting: Duration,
    pub(crate) waiting_len: usize,
    pub(crate) answer_len: NonZeroU32,
    pub(crate) short_answer_len: NonZeroU32,
    pub(crate) record_ttl: Duration,
    pub(crate) announced_keys: AnnouncedKeys,
    pub(crate) write_queue_len: usize,
    pub(crate) write_queue_bytes: usize,
    pub(crate) flush_interval: Duration,
    pub(crate) flush_interval_min: Duration,
    pub(crate) window_len: usize,
    pub(crate) write_retries: u32,
    pub(crate) purge_interval: Duration,
    pub(crate) purge_len: NonZeroU32,
    pub(crate) estimate_interval: Duration,
    pub(crate) short_deadline: Duration,
    pub(crate) refresh_left: Duration,
    pub(crate) fresh: Life,
    pub(crate) stale: Life,
    pub(crate) cache_bytes: u64,
    pub(crate) recent_writes: usize,
    pub(crate) shedding: Shedding,
    /// The most providers of a key; nothing if there is no limit.
    pub(crate) providers_per_key: Option<u32>,
    /// As this, on the rung near_only and above.
    pub(crate) providers_per_key_degraded: Option<u32>,
    pub(crate) breaker_failures: u32,
    pub(crate) probe_interval: Duration,
    pub(crate) keeps_values: bool,
    pub(crate) value_ttl: Duration,
    pub(crate) values_bytes: u64,
    pub(crate) values_cache_bytes: u64,
    pub(crate) values_queue_len: usize,
    pub(crate) values_queue_bytes: usize,
    pub(crate) checks_per_prefix: u32,
    pub(crate) checks: u32,
}

/// For how long an answer may be given again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Life {
    pub(crate) present: Duration,
    pub(crate) absent: Duration,
    /// While a record of it waits to be written of which the store may know more then.
    pub(crate) waiting: Duration,
}

/// What the store serves at a time, within the bounds of the config and of reason. It may change while the store is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capacity {
    pub(crate) permits: u32,
    pub(crate) reads: u32,
    pub(crate) writes: u32,
    pub(crate) read_batch_len: usize,
    pub(crate) write_batch_len: usize,
}

impl Limits {
    pub(crate) fn new(config: &Config) -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        let (soft_deadline, cache, values) = (ms(config.soft_deadline_ms), &config.cache, &config.values);
        let flush_interval = ms(config.flush_interval_ms.max(1));
        let fresh = Life {
            present: seconds(cache.fresh_s),
            absent: seconds(cache.fresh_absent_s),
            waiting: flush_interval,
        };
        Self {
            soft_deadline,
            permits_wanted: config.permits_max.map_or(2 * cores + 1, |permits| permits as usize),
            permits: (config.permits.mode == PermitMode::Adaptive).then(|| config.permits.clone()),
            waiting: ms(config.waiting_ms_max),
            waiting_len: len(config.waiting_len_max),
            answer_len: positive(config.providers_per_answer_max),
            short_answer_len: positive(
                config.providers_per_short_answer_max.min(config.providers_per_answer_max),
            ),
            record_ttl: hours(config.record_ttl_hours),
            announced_keys: config.announced_keys,
            write_queue_len: len(config.write_queue_len_max),
            write_queue_bytes: len(config.write_queue_mib_max) << 20,
            flush_interval,
            flush_interval_min: ms(config.flush_interval_min_ms).min(flush_interval),
            window_len: len(config.window_len_max),
            write_retries: config.write_retries_max,
            purge_interval: seconds(config.purge_interval_s.max(1)),
            purge_len: positive(config.purge_len_max),
            estimate_interval: seconds(config.estimate_interval_s.max(1)),
            short_deadline: ms(config.short.soft_deadline_ms).min(soft_deadline),
            refresh_left: hours(config.short.refresh_left_hours),
            fresh,
            stale: Life {
                present: seconds(cache.stale_s).max(fresh.present),
                absent: seconds(cache.stale_absent_s).max(fresh.absent),
                waiting: fresh.waiting,
            },
            cache_bytes: u64::from(cache.mib_max) << 20,
            recent_writes: config.recent_writes_max as usize,
            shedding: config.shedding.clone(),
            providers_per_key: some(config.providers_per_key_max),
            providers_per_key_degraded: [
                config.providers_per_key_max,
                config.near_only.providers_per_key_max,
            ]
            .into_iter()
            .filter_map(some)
            .min(),
            breaker_failures: config.breaker.failures.max(1),
            probe_interval: ms(config.breaker.probe_interval_ms.max(1)),
            keeps_values: values.enabled,
            value_ttl: hours(values.ttl_hours.max(1)),
            values_bytes: u64::from(values.mib_max) << 20,
            values_cache_bytes: u64::from(values.cache_mib_max) << 20,
            values_queue_len: len(values.queue_len_max),
            // Of the longest ones fewer fit.
            values_queue_bytes: len(values.queue_len_max)
                .saturating_mul(VALUE_BYTES_MEAN)
                .max(VALUE_BYTES_MIN),
            checks_per_prefix: values.checks_per_prefix_per_second.max(1),
            checks: values.checks_per_second.max(1),
        }
    }

    /// What this store serves at a time.
    pub(crate) fn capacity(&self, store: &StoreProfile) -> Capacity {
        let permits = self.permits_wanted.clamp(1, store.concurrency_max.get()).min(PERMITS_MAX);
        // What is fixed is what each node gets.
        let sharers = if self.permits.is_some() { store.sharers.get() as usize } else { 1 };
        let permits = (permits / sharers).max(1);
        let calls = |calls: usize| calls.clamp(1, permits) as u32;
        Capacity {
            permits: permits as u32,
            reads: calls(store.reads.concurrency_max.get()),
            writes: calls(store.writes.concurrency_max.get()),
            read_batch_len: store.reads.batch_len_max.get().min(BATCH_LEN_MAX),
            write_batch_len: store.writes.batch_len_max.get().min(BATCH_LEN_MAX),
        }
    }
}

fn ms(ms: u32) -> Duration {
    Duration::from_millis(u64::from(ms))
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds))
}

fn hours(hours: u32) -> Duration {
    Duration::from_secs(u64::from(hours) * 3_600)
}

fn len(len: u32) -> usize {
    len.max(1) as usize
}

/// Nothing for a limit that is switched off.
fn some(limit: u32) -> Option<u32> {
    (limit > 0).then_some(limit)
}

fn positive(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}
