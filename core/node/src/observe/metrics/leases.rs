//! The leases of the heads.

use super::page::Page;
use crate::observe::lease_view::OUTCOMES;
use crate::observe::node_view::NodeView;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::time::Instant;

pub(super) fn write(node_view: &NodeView, page: &mut Page<'_>) -> fmt::Result {
    let leases = &node_view.leases;
    let read = |value: &AtomicU64| value.load(Ordering::Relaxed);
    let (proven, unproven) = (read(&leases.proven), read(&leases.unproven));
    let missing = read(&leases.wanted).saturating_sub(proven + unproven);
    page.gauges(
        "hydra_leases",
        "Leases of head slots: known to be held (proven), past their end without proof of a renewal, so that their heads \
         have stopped (unproven), and wanted but not held (missing).",
        [("proven", proven), ("unproven", unproven), ("missing", missing)]
            .map(|(state, leases)| ([("state", state)], leases)),
    )?;
    if let Some(remaining) = leases.remaining(Instant::now()) {
        page.gauge(
            "hydra_lease_remaining_seconds",
            "Time until the first lease ends unless it is renewed; absent while no lease has an end.",
            remaining.as_secs_f64(),
        )?;
    }
    page.counter(
        "hydra_leases_lost_total",
        "Leases that the allocator of identities reported lost.",
        read(&leases.lost),
    )?;
    page.counter(
        "hydra_leases_expired_total",
        "Leases whose end was reached without proof of a renewal.",
        read(&leases.expired),
    )?;
    let calls = [("renew", &leases.renewals), ("acquire", &leases.acquisitions)];
    page.counters(
        "hydra_lease_calls_total",
        "Calls of the allocator of identities, by call and outcome.",
        calls.into_iter().flat_map(|(call, counters)| {
            let outcomes = OUTCOMES.into_iter().zip(counters);
            outcomes.map(move |(outcome, calls)| ([("call", call), ("outcome", outcome)], read(calls)))
        }),
    )
}
