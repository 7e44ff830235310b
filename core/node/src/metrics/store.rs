//! The store: its calls, the permits for them, and what it holds.

use super::page::Page;
use hydra_engine::Snapshot;
use std::fmt;

/// `kind` is what the config calls the store.
pub(super) fn write(engine: &Snapshot, kind: &str, page: &mut Page<'_>) -> fmt::Result {
    let gauge = &engine.gauge;
    page.histograms(
        "hydra_store_call_duration_seconds",
        "How long the calls of the store took that have ended.",
        engine
            .latencies
            .iter()
            .map(|(call, latency)| ([("store", kind), ("operation", call.as_str())], latency.clone())),
    )?;
    page.counters(
        "hydra_store_calls_failed_total",
        "Calls of the store that failed or panicked.",
        engine
            .failures
            .iter()
            .map(|(call, failed)| ([("store", kind), ("operation", call.as_str())], *failed)),
    )?;
    page.gauge("hydra_store_permits_used", "Store calls that are running.", gauge.in_flight.used)?;
    page.gauge("hydra_store_permits_max", "How many store calls may run at a time.", gauge.in_flight.max)?;
    records(engine, page)?;
    page.counter("hydra_records_purged_total", "Expired records removed.", engine.background.purged)?;
    page.counter(
        "hydra_chore_panics_total",
        "Chores of the engine that panicked and were started again.",
        engine.background.panics,
    )
}

/// How many records there are; nothing until the store was asked.
fn records(engine: &Snapshot, page: &mut Page<'_>) -> fmt::Result {
    let told = engine.estimate.as_ref();
    page.gauges(
        "hydra_records",
        "About how many records the store holds, expired ones that are not purged yet included, and how that is known.",
        told.map(|told| ([("method", told.estimate.method.as_str())], told.estimate.records)),
    )?;
    page.gauges(
        "hydra_records_age_seconds",
        "How long ago the number of records was true.",
        told.map(|told| ([], told.age.as_secs_f64())),
    )
}
