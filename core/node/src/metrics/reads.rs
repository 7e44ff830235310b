//! Reads: the cache, and the ways to ask the store less.

use super::page::Page;
use hydra_engine::Snapshot;
use std::fmt;

pub(super) fn write(engine: &Snapshot, page: &mut Page<'_>) -> fmt::Result {
    let (reads, gauge) = (&engine.reads, &engine.gauge);
    page.counters(
        "hydra_cache_hits_total",
        "Reads answered from the cache: with providers, that there are none, or with an answer past its time.",
        [("present", reads.hits), ("absent", reads.absent_hits), ("stale", reads.stale_hits)]
            .map(|(kind, hits)| ([("kind", kind)], hits)),
    )?;
    page.counter(
        "hydra_cache_misses_total",
        "Reads that the cache did not answer; a stale hit may have followed.",
        reads.misses,
    )?;
    page.gauge("hydra_cache_entries", "Answers in the cache.", gauge.cache_len)?;
    page.gauge("hydra_cache_bytes", "About how many bytes the cache takes.", gauge.cache_bytes)?;
    page.gauge("hydra_cache_max_bytes", "How many bytes the cache may take.", gauge.cache_bytes_max)?;
    page.counter(
        "hydra_reads_coalesced_total",
        "Reads that joined the reading of the same key by another one.",
        reads.coalesced,
    )?;
    page.counter(
        "hydra_reads_batched_total",
        "Keys that were read together with others in one store call.",
        reads.batched,
    )?;
    page.counter("hydra_readings_wanted_total", "Readings of a key that wanted a permit.", reads.wanted)?;
    page.counter("hydra_readings_denied_total", "Readings that got no permit in time.", reads.denied)?;
    page.gauge("hydra_readings", "Keys that are being read.", gauge.readings)?;
    page.gauge("hydra_waiting_reads", "Reads that wait for a permit.", gauge.waiting.used)?;
    page.gauge("hydra_waiting_reads_max", "How many reads may wait for a permit.", gauge.waiting.max)?;
    page.counter(
        "hydra_waiting_turned_away_total",
        "Reads that newer ones pushed out of the full line.",
        gauge.turned_away,
    )
}
