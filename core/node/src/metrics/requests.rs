//! Requests, and the rung on which the node serves them.

use super::page::{Labels, Page};
use hydra_api::{Operation, Rung};
use hydra_engine::{Ending, Latency, Snapshot};
use std::collections::HashMap;
use std::fmt;

type Kind = (Operation, Ending, Rung);

pub(super) fn write(engine: &Snapshot, page: &mut Page<'_>) -> fmt::Result {
    let seen: HashMap<Kind, &Latency> = engine
        .requests
        .iter()
        .map(|told| ((told.operation, told.ending, told.rung), &told.latency))
        .collect();
    page.counters(
        "hydra_requests_total",
        "Requests by what was asked for, how it ended, and the rung on which it was served.",
        kinds()
            .filter(|kind| can_be(kind) || seen.contains_key(kind))
            .map(|kind| (labels(&kind), seen.get(&kind).map_or(0, |latency| latency.count()))),
    )?;
    page.histograms(
        "hydra_request_duration_seconds",
        "How long requests took that wanted something of the store and were not turned away at once.",
        kinds()
            .filter(is_timed)
            .filter(|kind| *kind == TIMED_ALWAYS || seen.contains_key(kind))
            .map(|kind| (labels(&kind), seen.get(&kind).copied().cloned().unwrap_or_default())),
    )?;
    page.gauges(
        "hydra_rung",
        "1 for the rung of the ladder of degradation on which the node stands, 0 for the others.",
        Rung::ALL.map(|rung| ([("rung", rung.as_str())], u32::from(rung == engine.gauge.rung))),
    )?;
    page.counters(
        "hydra_rung_entered_total",
        "How often the node came onto each rung, from above or below.",
        engine.rungs.iter().map(|(rung, entered)| ([("rung", rung.as_str())], *entered)),
    )
}

/// The histogram that is told also while it is empty.
const TIMED_ALWAYS: Kind = (Operation::GetProviders, Ending::Served, Rung::Full);

fn kinds() -> impl Iterator<Item = Kind> {
    Operation::ALL.into_iter().flat_map(|operation| {
        Ending::ALL.into_iter().flat_map(move |ending| Rung::ALL.map(|rung| (operation, ending, rung)))
    })
}

fn labels(&(operation, ending, rung): &Kind) -> Labels<'static, 3> {
    [("operation", operation.as_str()), ("outcome", ending.as_str()), ("rung", rung.as_str())]
}

/// Whether this is counted from 0 on. What comes nevertheless is told once it has come.
fn can_be(&(operation, ending, rung): &Kind) -> bool {
    let some_rung = match ending {
        Ending::Served | Ending::Known | Ending::Late | Ending::NoPermit | Ending::StoreFailed => {
            !matches!(rung, Rung::RoutingOnly)
        }
        Ending::Shed => matches!(rung, Rung::CacheOnly | Rung::RoutingOnly),
        Ending::Declined => rung == Rung::RoutingOnly,
        Ending::NotKept | Ending::RingFull | Ending::Refused | Ending::Abandoned => rung == Rung::Full,
    };
    let some_operation = match operation {
        Operation::GetProviders => !matches!(ending, Ending::Known | Ending::RingFull),
        Operation::AddProvider => matches!(
            ending,
            Ending::Served
                | Ending::Known
                | Ending::Declined
                | Ending::Shed
                | Ending::RingFull
                | Ending::Refused
        ),
        Operation::FindNode | Operation::GetValue | Operation::Ping => {
            matches!(ending, Ending::Served | Ending::Declined)
        }
        // Refused before it is counted.
        Operation::PutValue => false,
    };
    some_rung && some_operation
}

/// Whether such requests are measured, and waited for something.
fn is_timed((operation, ending, _): &Kind) -> bool {
    let waited = [Ending::Served, Ending::Late, Ending::NoPermit, Ending::StoreFailed];
    *operation == Operation::GetProviders && waited.contains(ending)
}
