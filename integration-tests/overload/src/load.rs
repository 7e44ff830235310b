//! The load: what clients send to the heads, and what is written down of each second of it.

use crate::sample::{Sample, Sampler};
use hydra_integration_tests::node::Node;
use hydra_load::{Head, Pace, Plan, Presence, Progress, Report, Second, Step, run};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Enough that their limit of requests in flight does not slow the load down: 16 each.
pub(crate) const CLIENTS: u32 = 200;
/// Of the keys that are looked for, those that nobody provides.
pub(crate) const ABSENT_SHARE: f64 = 0.6;
/// The exponent of the popularity of keys.
pub(crate) const ZIPF: f64 = 1.0;
/// Requests that may be outstanding: none stays unsent before its time limit of 10 seconds at the highest rates.
const OUTSTANDING_MAX: u32 = 200_000;

/// A second of the load, and the latest sample at its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row {
    pub(crate) second: Second,
    pub(crate) sample: Sample,
}

/// A run of the load.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) report: Report,
    pub(crate) rows: Vec<Row>,
}

/// What is sent to a node whose store holds the keys.
pub(crate) fn plan(heads: Vec<Head>, keys: u64, steps: Vec<Step>) -> Plan {
    Plan {
        clients: CLIENTS,
        ids: u64::from(CLIENTS),
        keys,
        zipf: ZIPF,
        absent_share: ABSENT_SHARE,
        presence: Presence::Held,
        outstanding_max: OUTSTANDING_MAX,
        ..Plan::new(heads, steps)
    }
}

/// Each rate twice: for a time that is not measured, and for one that is.
pub(crate) fn steps(rates: impl IntoIterator<Item = f64>, times: [Duration; 2]) -> Vec<Step> {
    let step = |per_second, duration| Step { pace: Pace::Open { per_second }, duration };
    rates.into_iter().flat_map(|rate| times.map(|time| step(rate, time))).collect()
}

/// Sends a load to a node. `go_on` sees the rows so far when a step has ended, and says whether the next one is to follow.
///
/// # Errors
/// If no client can connect.
pub(crate) async fn send(
    node: &Node,
    sampler: &Sampler,
    keys: u64,
    steps: Vec<Step>,
    mut go_on: impl FnMut(&[Row]) -> bool,
) -> io::Result<Ran> {
    let heads = node.heads().iter().map(|head| head.tcp().to_string().parse::<Head>());
    let heads = heads.collect::<Result<_, _>>().map_err(io::Error::other)?;
    let plan = Plan { server_pid: Some(node.pid()), ..plan(heads, keys, steps) };
    let stop = Arc::new(Notify::new());
    let stopped = Arc::clone(&stop);
    let mut rows: Vec<Row> = Vec::new();
    let observe = |progress: Progress<'_>| {
        let Progress::Second(second) = progress else { return };
        let has_stepped = rows.last().is_some_and(|row| row.second.step != second.step);
        if has_stepped && !go_on(&rows) {
            stop.notify_one();
        }
        rows.push(Row { second: second.clone(), sample: sampler.latest() });
    };
    let report =
        run(plan, observe, async move { stopped.notified().await }).await.map_err(io::Error::other)?;
    Ok(Ran { report, rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rate_is_sent_twice() {
        let times = [Duration::from_secs(1), Duration::from_secs(2)];
        let steps = steps([10.0, 20.0], times);
        let rates: Vec<_> = steps.iter().map(|step| (step.pace, step.duration)).collect();
        let open = |per_second| Pace::Open { per_second };
        assert_eq!(rates[1..3], [(open(10.0), times[1]), (open(20.0), times[0])]);
    }
}
