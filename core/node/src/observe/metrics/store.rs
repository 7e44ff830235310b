//! The store: its calls, the permits for them, and what it holds.

use super::page::Page;
use hydra_api::StoreErrorKind;
use hydra_engine::{PermitState, Snapshot, StoreCall};
use std::fmt;

/// `kind` is what the config calls the store.
pub(super) fn write(engine: &Snapshot, kind: &str, page: &mut Page<'_>) -> fmt::Result {
    page.histograms(
        "hydra_store_call_duration_seconds",
        "Duration of the store calls that have ended.",
        engine
            .latencies
            .iter()
            .map(|(call, latency)| ([("store", kind), ("operation", call.as_str())], latency.clone())),
    )?;
    page.counters(
        "hydra_store_calls_failed_total",
        "Store calls that failed, by the kind of the error; \"panic\" also stands for answers that break the contract.",
        failures(engine).map(|(call, error, failed)| {
            ([("store", kind), ("operation", call.as_str()), ("error", error)], failed)
        }),
    )?;
    permits(engine, page)?;
    page.gauges(
        "hydra_store_paused",
        "1 while the calls of this lane are paused because the store is unavailable: it gets single probes only.",
        engine.lanes.iter().map(|lane| ([("lane", lane.name)], u32::from(lane.is_paused))),
    )?;
    page.counters(
        "hydra_store_pauses_total",
        "Times that the calls of this lane were paused because the store was unavailable.",
        engine.lanes.iter().map(|lane| ([("lane", lane.name)], lane.pauses)),
    )?;
    records(engine, page)?;
    page.counter("hydra_records_purged_total", "Expired records removed.", engine.background.purged)?;
    page.counter(
        "hydra_background_panics_total",
        "Background tasks of the engine that panicked and were started again.",
        engine.background.panics,
    )
}

/// How many calls may run at a time, and why.
fn permits(engine: &Snapshot, page: &mut Page<'_>) -> fmt::Result {
    let gauge = &engine.gauge;
    page.gauge("hydra_store_permits_used", "Store calls in flight.", gauge.in_flight.used)?;
    page.gauge("hydra_store_permits_max", "Limit of the store calls in flight.", gauge.in_flight.max)?;
    page.gauge(
        "hydra_store_permits_bound",
        "Upper bound of the limit of the store calls in flight: `engine.permits_max`, or what the store serves if that is less.",
        gauge.permits_bound,
    )?;
    page.gauges(
        "hydra_store_permits_state",
        "1 for the reason of the limit of the store calls in flight, 0 for the others: held, growing, shrinking, braked, stalled.",
        PermitState::ALL.map(|state| ([("state", state.as_str())], u32::from(state == gauge.permit_state))),
    )
}

/// The failures of each call: those that occurred, and "unavailable" from the start.
fn failures(engine: &Snapshot) -> impl Iterator<Item = (StoreCall, &'static str, u64)> {
    const ALWAYS: &str = StoreErrorKind::Unavailable.as_str();
    let seen = |call| engine.failures.iter().any(|(failed, error, _)| (*failed, *error) == (call, ALWAYS));
    let unseen = StoreCall::ALL.into_iter().filter(move |call| !seen(*call)).map(|call| (call, ALWAYS, 0));
    engine.failures.iter().copied().chain(unseen)
}

/// How many records there are; nothing until the store was asked.
fn records(engine: &Snapshot, page: &mut Page<'_>) -> fmt::Result {
    let known = engine.estimate.as_ref();
    page.gauges(
        "hydra_records",
        "Approximate number of records in the store, expired ones that are not purged yet included, by the method of the estimate.",
        known.map(|known| ([("method", known.estimate.method.as_str())], known.estimate.records)),
    )?;
    page.gauges(
        "hydra_records_age_seconds",
        "Age of the estimate of the number of records.",
        known.map(|known| ([], known.age.as_secs_f64())),
    )
}
