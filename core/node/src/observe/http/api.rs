//! The state of the node and of its heads as JSON: what `hydra status` shows. The fields are documented in docs/OPERATING.md.

use crate::memory::Step;
use crate::memory::view::MemoryView;
use crate::net::heads::Traffic;
use crate::observe::node_view::NodeView;
use hydra_api::admission::Level;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The time over which requests per second are measured: as long as an answer takes.
const MEASURED: Duration = Duration::from_secs(1);

/// Every head that runs, by slot. Takes a second, in which the requests are counted.
pub(super) async fn heads(node_view: &NodeView) -> Value {
    let (before, since) = (node_view.heads.traffic(), Instant::now());
    sleep(MEASURED).await;
    let (now, elapsed) = (node_view.heads.traffic(), since.elapsed());
    let rate = |slot: u32, after: Traffic| {
        // A head that was started again meanwhile counts from naught.
        let before = before.get(&slot).copied().unwrap_or_default().requests;
        per_second(after.requests.saturating_sub(before), elapsed)
    };
    let head = |head: &crate::net::heads::Head| {
        let traffic = now.get(&head.slot).copied().unwrap_or_default();
        let reach: BTreeMap<_, _> =
            head.reach().into_iter().map(|(way, reach)| (way.words(), reach.as_str())).collect();
        // A status is borrowed once at a time: whoever changes it would wait between the two.
        let state = head.state().as_str();
        let status = head.status.borrow();
        json!({
            "slot": head.slot,
            "peer": head.peer.to_string(),
            "state": state,
            "ebbed": head.mode() == hydra_kad::Mode::Client,
            "failure": status.failure,
            "listen": texts(&status.addresses),
            "advertised": texts(&status.advertised),
            "reach": reach,
            "connections": traffic.connections,
            "requests": traffic.requests,
            "requests_per_second": rate(head.slot, traffic),
            "restarts": head.restarts.load(Ordering::Relaxed),
        })
    };
    let heads: Vec<_> = node_view.heads.now().iter().map(|one| head(one)).collect();
    json!({ "heads": heads })
}

/// The node as a whole. Takes a second, in which the requests are counted.
pub(super) async fn status(node_view: &NodeView) -> Value {
    let requests = || node_view.heads.traffic().values().map(|head| head.requests).sum::<u64>();
    let (before, since) = (requests(), Instant::now());
    sleep(MEASURED).await;
    let rate = per_second(requests().saturating_sub(before), since.elapsed());
    let (stats, health, reasons) =
        (node_view.engine.stats(), node_view.engine.health(), node_view.engine.rung_reasons());
    let (gauge, effects) = (&stats.gauge, node_view.engine.rung_effects());
    let states: BTreeMap<_, _> = crate::net::heads::State::ALL
        .iter()
        .map(|state| state.as_str())
        .zip(node_view.heads.by_state())
        .collect();
    let (own, foreign): (Vec<bool>, Vec<bool>) =
        node_view.table.snapshot().servers().map(|server| server.is_own()).partition(|own| *own);
    let opening = node_view.opening.awaited();
    let state = match (&opening, &health) {
        (Some(_), _) => "opening",
        (None, health) if health.corrupt.is_some() => "damaged",
        (None, health) if health.paused.is_some() => "unavailable",
        (None, health) if health.stalled.is_some() => "stalled",
        (None, health) if health.values_paused.is_some() => "values_unavailable",
        (None, _) => "ok",
    };
    let paused = |calls: &str| health.paused.as_ref().is_some_and(|pause| pause.calls.contains(calls));
    let (reads_paused, writes_paused) = (paused("reads"), paused("writes"));
    let stalled = health.stalled.map(|since| format!("no call has ended for {} s", since.as_secs()));
    let why = opening.map(|(_, cause)| cause).or(health.corrupt);
    let why = why.or(health.paused.map(|pause| pause.because)).or(stalled);
    let why = why.or(health.values_paused.map(|pause| pause.because));
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "phase": format!("{:?}", node_view.phase()).to_lowercase(),
        "heads": { "wanted": node_view.leases.wanted.load(Ordering::Relaxed), "states": states,
            "ebbed": node_view.heads.ebb().1 },
        "connections": { "open": node_view.connections.held(), "max": node_view.connections.marks().max },
        "requests_per_second": rate,
        "reads": { "rung": gauge.read_rung.as_str(), "because": reasons[0], "effect": effects[0],
            "store_paused": reads_paused },
        "writes": { "rung": gauge.write_rung.as_str(), "because": reasons[1], "effect": effects[1],
            "store_paused": writes_paused },
        "store": {
            "kind": node_view.config.store.kind,
            "state": state,
            "why": why,
            "records": stats.estimate.map(|now| now.estimate.records),
            "calls_failed": stats.statements.failed,
            "permits": of(gauge.in_flight),
            "reads_waiting": of(gauge.waiting),
            "write_queue": of(gauge.write_queue),
        },
        "memory": memory(&node_view.memory),
        "table": { "own": own.len(), "foreign": foreign.len(), "max": node_view.table.len_max() },
    })
}

/// The memory use, and the steps in effect.
fn memory(memory: &MemoryView) -> Value {
    let usage = memory.usage();
    let steps: Vec<_> =
        Step::ALL.into_iter().filter(|step| memory.is_active(*step)).map(Step::as_str).collect();
    json!({
        "used_bytes": usage.map(|usage| usage.used),
        "limit_bytes": usage.map(|usage| usage.limit),
        "limit_source": memory.source(),
        "steps": steps,
    })
}

/// How much is used of what there is.
#[derive(Debug, Serialize)]
struct Used {
    used: u32,
    max: u32,
}

fn of(level: Level) -> Used {
    Used { used: level.used, max: level.max }
}

/// One digit after the point.
fn per_second(requests: u64, elapsed: Duration) -> f64 {
    (requests as f64 / elapsed.as_secs_f64().max(0.001) * 10.0).round() / 10.0
}

fn texts(addresses: &[libp2p::Multiaddr]) -> Vec<String> {
    let mut texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    texts.sort();
    texts
}
