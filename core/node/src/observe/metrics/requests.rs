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
        .map(|count| ((count.operation, count.ending, count.rung), &count.latency))
        .collect();
    page.counters(
        "hydra_requests_total",
        "Requests by operation, outcome, and the rung on which they were served.",
        kinds()
            .filter(|kind| can_be(kind) || seen.contains_key(kind))
            .map(|kind| (labels(&kind), seen.get(&kind).map_or(0, |latency| latency.count()))),
    )?;
    page.histograms(
        "hydra_request_duration_seconds",
        "Duration of GET_PROVIDERS, GET_VALUE and PUT_VALUE requests that may have waited for the store.",
        kinds()
            .filter(is_timed)
            .filter(|kind| *kind == TIMED_ALWAYS || seen.contains_key(kind))
            .map(|kind| (labels(&kind), seen.get(&kind).copied().cloned().unwrap_or_default())),
    )?;
    page.gauges(
        "hydra_rung",
        "1 for the current rung of the node, 0 for the others: the higher one of those of reads and writes.",
        Rung::ALL.map(|rung| ([("rung", rung.as_str())], u32::from(rung == engine.gauge.rung))),
    )?;
    let lanes = [("reads", engine.gauge.read_rung), ("writes", engine.gauge.write_rung)];
    page.gauges(
        "hydra_lane_rung",
        "1 for the current rung of reads and of writes, 0 for the others.",
        lanes.into_iter().flat_map(|(lane, current)| {
            Rung::ALL.map(|rung| ([("lane", lane), ("rung", rung.as_str())], u32::from(rung == current)))
        }),
    )?;
    page.counters(
        "hydra_rung_entered_total",
        "Times that reads and writes entered each rung, from above or below.",
        engine.rungs.iter().flat_map(|count| {
            [("reads", count.reads), ("writes", count.writes)]
                .map(|(lane, entered)| ([("lane", lane), ("rung", count.rung.as_str())], entered))
        }),
    )
}

/// The histogram that is shown also while it is empty.
const TIMED_ALWAYS: Kind = (Operation::GetProviders, Ending::Served, Rung::Full);

fn kinds() -> impl Iterator<Item = Kind> {
    Operation::ALL.into_iter().flat_map(|operation| {
        Ending::ALL.into_iter().flat_map(move |ending| Rung::ALL.map(|rung| (operation, ending, rung)))
    })
}

fn labels(&(operation, ending, rung): &Kind) -> Labels<'static, 3> {
    [("operation", operation.as_str()), ("outcome", ending.as_str()), ("rung", rung.as_str())]
}

/// Whether this is shown from 0 on. What occurs nevertheless is shown once it has occurred.
fn can_be(&(operation, ending, rung): &Kind) -> bool {
    let some_rung = match ending {
        Ending::Served | Ending::Known | Ending::Late | Ending::NoPermit | Ending::StoreFailed => {
            !matches!(rung, Rung::RoutingOnly)
        }
        Ending::Shed => matches!(rung, Rung::NearOnly | Rung::CacheOnly | Rung::RoutingOnly),
        Ending::Declined => rung == Rung::RoutingOnly,
        Ending::NotKept
        | Ending::QueueFull
        | Ending::KeyFull
        | Ending::NoRoom
        | Ending::Outdated
        | Ending::Refused
        | Ending::Abandoned => rung == Rung::Full,
    };
    let some_operation = match operation {
        Operation::GetProviders => !is_of_writes(ending),
        Operation::GetValue => !is_of_writes(ending) && !matches!(ending, Ending::NotKept | Ending::Refused),
        Operation::AddProvider => matches!(
            ending,
            Ending::Served
                | Ending::Known
                | Ending::Declined
                | Ending::Shed
                | Ending::QueueFull
                | Ending::KeyFull
                | Ending::Refused
        ),
        Operation::FindNode | Operation::Ping => ending == Ending::Served,
        Operation::PutValue => !matches!(ending, Ending::NotKept | Ending::KeyFull),
        _ => false,
    };
    some_rung && some_operation
}

const fn is_of_writes(ending: Ending) -> bool {
    matches!(ending, Ending::Known | Ending::QueueFull | Ending::KeyFull | Ending::NoRoom | Ending::Outdated)
}

/// Whether such requests are timed: those that may have waited for something.
fn is_timed((operation, ending, _): &Kind) -> bool {
    let waited = [Ending::Served, Ending::Late, Ending::NoPermit, Ending::StoreFailed];
    let may_wait = [Operation::GetProviders, Operation::GetValue, Operation::PutValue];
    may_wait.contains(operation) && waited.contains(ending)
}
