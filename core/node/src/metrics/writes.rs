//! Announcements on their way to the store.

use super::page::Page;
use hydra_engine::{Config, Snapshot};
use std::fmt;

pub(super) fn write(engine: &Snapshot, config: &Config, page: &mut Page<'_>) -> fmt::Result {
    let (writes, gauge) = (&engine.writes, &engine.gauge);
    page.gauge("hydra_ring_records", "Announcements that wait to be written.", gauge.ring.used)?;
    page.gauge("hydra_ring_records_max", "How many announcements may wait.", gauge.ring.max)?;
    page.gauge("hydra_ring_bytes", "About how many bytes the waiting ones take.", gauge.ring_bytes)?;
    page.gauge(
        "hydra_ring_max_bytes",
        "How many bytes the waiting ones may take.",
        u64::from(config.ring_mib_max) << 20,
    )?;
    page.counters(
        "hydra_records_dropped_total",
        "Records that were taken or announced and not written: the ring was full, the store was full, or it failed too \
         often.",
        [
            ("ring_full", writes.dropped_ring_full),
            ("store_full", writes.dropped_by_store),
            ("store_failed", writes.dropped_after_retries),
        ]
        .map(|(cause, dropped)| ([("cause", cause)], dropped)),
    )?;
    page.counter(
        "hydra_announcements_merged_total",
        "Announcements that took the place of a waiting one of the same key and provider.",
        writes.merged,
    )?;
    page.counter(
        "hydra_refreshes_skipped_total",
        "Announcements that were not written because the record was not long ago.",
        writes.refreshes_skipped,
    )?;
    page.counter("hydra_write_windows_total", "Windows of records taken from the ring.", writes.windows)?;
    page.counter("hydra_records_written_total", "Records that the store has accepted.", writes.written)?;
    page.counter(
        "hydra_records_retried_total",
        "Records put back into the ring because the store failed.",
        writes.retried,
    )
}
