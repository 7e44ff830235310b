//! Reads: the cache, and the ways to ask the store less.

use super::page::Page;
use hydra_engine::Snapshot;
use std::fmt;

pub(super) fn write(engine: &Snapshot, page: &mut Page<'_>) -> fmt::Result {
    let (reads, gauge) = (&engine.reads, &engine.gauge);
    page.counters(
        "hydra_cache_hits_total",
        "Reads answered from the cache: with providers (present), without any (absent), or with an old answer (stale).",
        [("present", reads.hits), ("absent", reads.absent_hits), ("stale", reads.stale_hits)]
            .map(|(kind, hits)| ([("kind", kind)], hits)),
    )?;
    page.counter(
        "hydra_cache_misses_total",
        "Reads that the cache did not answer; a stale hit may have followed.",
        reads.misses,
    )?;
    page.gauge("hydra_cache_entries", "Answers in the cache.", gauge.cache_len)?;
    page.gauge("hydra_cache_bytes", "Approximate size of the cache in bytes.", gauge.cache_bytes)?;
    page.gauge("hydra_cache_max_bytes", "Limit of the size of the cache in bytes.", gauge.cache_bytes_max)?;
    page.counter(
        "hydra_reads_coalesced_total",
        "Reads that shared the store read of another request for the same key.",
        reads.coalesced,
    )?;
    page.counter(
        "hydra_reads_batched_total",
        "Keys read together with others in one store call.",
        reads.batched,
    )?;
    page.counter("hydra_store_reads_wanted_total", "Keys that needed a permit to be read.", reads.wanted)?;
    page.counter("hydra_store_reads_denied_total", "Keys that got no permit in time.", reads.denied)?;
    page.counter(
        "hydra_store_reads_lost_total",
        "Keys that were never read because the line had no room for them.",
        reads.lost,
    )?;
    page.counter(
        "hydra_store_reads_far_total",
        "Reads on the rung near_only whose key was not read because the head that was asked is not near to it.",
        reads.far,
    )?;
    page.counter(
        "hydra_store_reads_unknown_total",
        "Keys without a result in a store call that succeeded, for example because one of several servers is down.",
        reads.unknown,
    )?;
    page.gauge("hydra_flights", "Keys that are being read or wait to be read.", gauge.flights)?;
    page.gauge("hydra_waiting_reads", "Keys that wait for a permit.", gauge.waiting.used)?;
    page.gauge("hydra_waiting_reads_max", "Limit of the keys that wait for a permit.", gauge.waiting.max)?;
    page.counter(
        "hydra_store_reads_evicted_total",
        "Keys that newer ones evicted from the full line.",
        gauge.evicted,
    )
}
