//! Announcements on their way to the store.

use super::page::Page;
use hydra_engine::Snapshot;
use std::fmt;

pub(super) fn write(engine: &Snapshot, page: &mut Page<'_>) -> fmt::Result {
    let (writes, gauge) = (&engine.writes, &engine.gauge);
    page.gauge("hydra_write_queue_records", "Announcements in the write queue.", gauge.write_queue.used)?;
    page.gauge(
        "hydra_write_queue_records_max",
        "Limit of the announcements in the write queue.",
        gauge.write_queue.max,
    )?;
    page.gauge(
        "hydra_write_queue_away_records",
        "Announcements in the write queue that wait for a part of the store that is unavailable.",
        gauge.write_queue_away,
    )?;
    page.gauge(
        "hydra_write_queue_bytes",
        "Approximate size of the write queue in bytes.",
        gauge.write_queue_bytes,
    )?;
    page.gauge(
        "hydra_write_queue_max_bytes",
        "Limit of the size of the write queue in bytes.",
        gauge.write_queue_bytes_max,
    )?;
    page.counters(
        "hydra_records_dropped_total",
        "Announcements that were not written: the write queue was full, or its half for records of an unavailable part \
         of the store, the key has as many providers as it may have, the store was full, the store refuses the record, or \
         writing it failed too often.",
        [
            ("queue_full", writes.dropped_queue_full),
            ("key_full", writes.dropped_key_full),
            ("part_away", writes.dropped_part_away),
            ("store_full", writes.dropped_no_room),
            ("refused", writes.dropped_refused),
            ("store_failed", writes.dropped_after_retries),
        ]
        .map(|(cause, dropped)| ([("cause", cause)], dropped)),
    )?;
    page.counters(
        "hydra_announcements_shed_total",
        "Announcements that were dropped because others are worth more, by rank: refreshes and new announcements of far and \
         near keys, and all announcements of far keys on the rung near_only (far).",
        writes.shed.map(|(rank, shed)| ([("rank", rank)], shed)),
    )?;
    page.counter(
        "hydra_announcements_merged_total",
        "Announcements that replaced a waiting one of the same key and provider.",
        writes.merged,
    )?;
    page.counter(
        "hydra_refreshes_skipped_total",
        "Announcements that were not written because the record was written recently.",
        writes.refreshes_skipped,
    )?;
    page.counter(
        "hydra_write_windows_total",
        "Windows of records taken from the write queue.",
        writes.windows,
    )?;
    page.counter("hydra_records_written_total", "Records that the store has taken.", writes.written)?;
    page.counter(
        "hydra_records_retried_total",
        "Records that wait for another attempt because the store failed.",
        writes.retried,
    )
}
