//! Value records.

use super::page::Page;
use hydra_engine::{Snapshot, ValueCounts};
use std::fmt;

pub(super) fn write(engine: &Snapshot, page: &mut Page<'_>) -> fmt::Result {
    requests(&engine.values, page)?;
    writes(&engine.values, page)?;
    levels(engine, page)
}

/// Reads and puts.
fn requests(values: &ValueCounts, page: &mut Page<'_>) -> fmt::Result {
    page.counters(
        "hydra_value_reads_total",
        "Reads of value records that the cache answered (hit) or did not answer (miss).",
        [("hit", values.hits), ("miss", values.misses)].map(|(cache, reads)| ([("cache", cache)], reads)),
    )?;
    page.counter(
        "hydra_value_reads_denied_total",
        "Keys of value records that got no permit in time.",
        values.denied,
    )?;
    page.counters(
        "hydra_value_puts_total",
        "Value records that were put: taken, equal to the one that is held, outdated (a better one is held), not valid, or not \
         taken because enough signatures had been checked.",
        [
            ("taken", values.taken),
            ("equal", values.equal),
            ("outdated", values.outdated),
            ("invalid", values.refused),
            ("checks_used_up", values.checks_declined),
        ]
        .map(|(result, puts)| ([("result", result)], puts)),
    )?;
    page.counters(
        "hydra_value_signature_checks_total",
        "Signatures of value records that were checked, by their result.",
        [("valid", values.checks.saturating_sub(values.checks_failed)), ("wrong", values.checks_failed)]
            .map(|(result, checks)| ([("result", result)], checks)),
    )
}

/// On the way to the store.
fn writes(values: &ValueCounts, page: &mut Page<'_>) -> fmt::Result {
    page.counter("hydra_value_statements_total", "Store calls for value records.", values.statements)?;
    page.counter(
        "hydra_value_records_written_total",
        "Value records that the store has taken.",
        values.written,
    )?;
    page.counters(
        "hydra_value_conflicts_total",
        "Value records whose key another node had written meanwhile: tried again over what it wrote (retried), or given up for \
         it (superseded).",
        [
            ("retried", values.changed.saturating_sub(values.superseded)),
            ("superseded", values.superseded),
        ]
        .map(|(result, conflicts)| ([("result", result)], conflicts)),
    )?;
    page.counter(
        "hydra_value_records_retried_total",
        "Value records that wait for another attempt because the store failed.",
        values.retried,
    )?;
    page.counters(
        "hydra_value_records_dropped_total",
        "Value records that were not taken or not written: too many waited, the store was full, the store refuses the record, or \
         writing it failed too often.",
        [
            ("queue_full", values.dropped_queue_full),
            ("store_full", values.dropped_no_room),
            ("refused", values.dropped_refused),
            ("store_failed", values.dropped_after_retries),
        ]
        .map(|(cause, dropped)| ([("cause", cause)], dropped)),
    )
}

/// How much there is.
fn levels(engine: &Snapshot, page: &mut Page<'_>) -> fmt::Result {
    let gauge = &engine.gauge;
    page.gauge(
        "hydra_value_queue_records",
        "Value records that wait to be written.",
        gauge.value_queue.used,
    )?;
    page.gauge(
        "hydra_value_queue_records_max",
        "Limit of the value records that wait to be written.",
        gauge.value_queue.max,
    )?;
    page.gauge("hydra_value_cache_entries", "Keys of value records in the cache.", gauge.value_cache_len)?;
    page.gauge(
        "hydra_value_cache_bytes",
        "Approximate size of the cache of value records in bytes.",
        gauge.value_cache_bytes,
    )?;
    let estimate = engine.value_estimate;
    page.gauge(
        "hydra_store_value_records",
        "Estimate of the value records in the store.",
        estimate.map_or(0, |estimate| estimate.records),
    )?;
    page.gauge(
        "hydra_store_value_bytes",
        "Estimate of the size of the keys and values of all value records in the store, in bytes.",
        estimate.map_or(0, |estimate| estimate.bytes),
    )
}
