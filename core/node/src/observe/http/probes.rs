//! Whether the node lives, and whether it serves.

use crate::net::reachability::in_words;
use crate::net::supervise::Phase;
use crate::observe::node_view::NodeView;
use hydra_api::{Rung, Sharing};
use hydra_engine::Pause;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The load of a node is looked at ten times a second: after this long without, its runtime does not get to its tasks.
const TICK_WAIT: Duration = Duration::from_secs(10);

/// One thing that was looked at, and what is wrong with it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) result: Result<(), String>,
    /// What an operator has to know although the check does not fail.
    pub(super) note: Option<String>,
}

/// Whether the process should be kept. Only a restart mends what fails here: heads and background tasks that
/// only failed are started again by themselves. A node that stops has tasks that ended, and is left to it.
pub(super) fn live(node_view: &NodeView) -> Vec<Check> {
    if node_view.phase() != Phase::Serving {
        return vec![check("node", None)];
    }
    let health = node_view.engine.health();
    let stuck = (health.ticked >= TICK_WAIT)
        .then(|| format!("the runtime has not run a timer for {} s", health.ticked.as_secs()));
    let background =
        (!health.background_runs).then(|| "a background task of the engine has ended".to_owned());
    // What several processes share is not mended by a restart of one of them, and all of them read the same damage.
    let corrupt = health.corrupt.filter(|_| node_view.sharing() == Sharing::OneProcess);
    let store = corrupt.map(|error| format!("the store is corrupt: {error}"));
    let leases = node_view.leases.is_corrupt();
    let leases = leases.then(|| "the state of the allocator of identities is damaged".to_owned());
    let mut tasks = node_view.tasks.get().into_iter().flatten();
    let task = tasks.find(|(_, task)| task.is_finished()).map(|(name, _)| format!("the {name} has ended"));
    vec![
        check("runtime", stuck),
        check("background", background),
        check("store", store),
        check("leases", leases),
        check("tasks", task),
    ]
}

/// Whether the node serves. It starts with all of its heads; later one that listens is enough: to take the node out of
/// service for a head that is being started again would take the others along.
pub(super) fn ready(node_view: &NodeView) -> Vec<Check> {
    let [_, listening, partial, ..] = node_view.heads.by_state();
    let listening = listening + partial;
    let all = node_view.leases.wanted.load(Ordering::Relaxed);
    let node = match node_view.phase() {
        Phase::Serving if node_view.has_started() => None,
        Phase::Serving => Some(format!("starting: {listening} of {all} heads listen")),
        Phase::Draining => Some("stopping".to_owned()),
        Phase::Stopping => Some("stopping".to_owned()),
    };
    let heads = (listening == 0).then(|| format!("none of {all} heads listens"));
    let (running, ebbed) = node_view.heads.ebb();
    let note = (ebbed > 0).then(|| {
        format!(
            "{ebbed} of {running} heads have left server mode, as all reads were declined for a long time"
        )
    });
    let heads = Check { note, ..check("heads", heads) };
    let leases = node_view.leases.proven.load(Ordering::Relaxed) == 0;
    let leases = leases.then(|| format!("none of {all} leases is proven"));
    let health = node_view.engine.health();
    let opening = node_view.opening.awaited().map(|(since, cause)| {
        let since = since.as_secs();
        format!("not open for {since} s: {cause}")
    });
    let stalled = health.stalled.map(|still| format!("no call has ended for {} s", still.as_secs()));
    let (paused, writes_paused) = pause(health.paused);
    let damaged =
        health.corrupt.map(|error| format!("it has reported damage since this node started: {error}"));
    // A node without value records answers everything else.
    let values = health.values_paused.map(|pause| {
        let since = pause.since.as_secs();
        format!("{} of value records unavailable for {since} s: {}", pause.calls, pause.because)
    });
    let note = damaged.or(writes_paused).or(values);
    let store = Check { note, ..check("store", opening.or(stalled).or(paused)) };
    // Others fill it; a node without them serves what it has.
    let is_alone = node_view.table.snapshot().servers().all(|server| server.is_own());
    let note = is_alone.then(|| "no other server is in the peer table".to_owned());
    let table = Check { note, ..check("table", None) };
    // What only a router or the config mends is no reason to take the node out of service.
    let reachability = Check { note: in_words(&node_view.heads), ..check("reachability", None) };
    // A node that gives up some of its work serves the rest.
    let memory = Check { note: node_view.memory.in_words(), ..check("memory", None) };
    vec![check("node", node), check("leases", leases), heads, reachability, memory, store, table]
}

/// Why calls for provider records are paused: what fails the probe, and what is only told. A node whose writes alone are paused
/// answers lookups, and keeps what it takes in its queue.
fn pause(paused: Option<Pause>) -> (Option<String>, Option<String>) {
    let Some(pause) = paused else { return (None, None) };
    let why = format!("{} unavailable for {} s: {}", pause.calls, pause.since.as_secs(), pause.because);
    if pause.reads { (Some(why), None) } else { (None, Some(why)) }
}

/// Reads and writes if they are degraded. The node serves all the same, and is left in service.
pub(super) fn degraded(node_view: &NodeView) -> Vec<Check> {
    let engine = &node_view.engine;
    let (reasons, effects) = (engine.rung_reasons(), engine.rung_effects());
    let lanes = [("reads", engine.read_rung()), ("writes", engine.write_rung())];
    let lanes = lanes.into_iter().zip(reasons.into_iter().zip(effects));
    let degraded = lanes.filter(|((_, rung), _)| *rung > Rung::Full);
    let told = degraded.map(|((name, rung), (because, effect))| {
        let note = Some(format!("on the rung {rung} ({because}): {effect}"));
        Check { note, ..check(name, None) }
    });
    told.collect()
}

fn check(name: &'static str, wrong: Option<String>) -> Check {
    Check { name, result: wrong.map_or(Ok(()), Err), note: None }
}

#[cfg(test)]
mod tests;
