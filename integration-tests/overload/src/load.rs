//! The load: what clients send to the heads, and what is written down of each second of it.

use crate::sample::{Sample, Sampler};
use hydra_integration_tests::node::Node;
use hydra_load::{Head, Mix, Operation, Pace, Plan, Presence, Progress, Report, Second, Step, run};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Enough that their limit of requests in flight does not slow the load down: 16 each.
pub(crate) const CLIENTS: u32 = 200;
/// Of the keys that are looked for, those that nobody provides.
pub(crate) const ABSENT_SHARE: f64 = 0.6;
/// The exponent of the popularity of keys.
pub(crate) const ZIPF: f64 = 1.0;
/// Requests that may be outstanding: none stays unsent before its time limit of 10 seconds at the highest rates.
const OUTSTANDING_MAX: u32 = 200_000;

/// Its keys are others.
const HOT_SEED: u64 = 77;
/// The networks of one block of loopback addresses.
const NETWORKS_MAX: u32 = 256;

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

/// What is sent to heads whose store holds the keys.
pub(crate) fn plan(heads: Vec<Head>, keys: u64, steps: Vec<Step>) -> Plan {
    Plan {
        clients: CLIENTS,
        ids: u64::from(CLIENTS),
        keys,
        zipf: ZIPF,
        absent_share: ABSENT_SHARE,
        presence: Presence::Held,
        outstanding_max: OUTSTANDING_MAX,
        sources: networks(1, CLIENTS),
        ..Plan::new(heads, steps)
    }
}

/// What is sent for the hot key alone.
pub(crate) fn hot_key(heads: Vec<Head>, steps: Vec<Step>) -> Plan {
    Plan {
        seed: HOT_SEED,
        keys: 1,
        absent_share: 0.0,
        mix: only(Operation::Get),
        first_id: HOT_SEED << 20,
        sources: networks(2, CLIENTS),
        ..plan(heads, 1, steps)
    }
}

/// This operation alone.
pub(crate) fn only(operation: Operation) -> Mix {
    // The name of an operation is always a mix.
    format!("{operation}=1").parse().unwrap_or_default()
}

/// The share of GET_PROVIDERS in the mix of the steady load.
pub(crate) fn get_share() -> f64 {
    let mix = Mix::default();
    let all: u32 = Operation::ALL.iter().map(|operation| mix.weight(*operation)).sum();
    f64::from(mix.weight(Operation::Get)) / f64::from(all)
}

/// So many addresses of loopback, each in a network of its own (/24), as those of clients all over the internet are. `block` tells
/// those of several runs apart.
pub(crate) fn networks(block: u8, len: u32) -> Vec<IpAddr> {
    (0..len.min(NETWORKS_MAX)).map(|nth| Ipv4Addr::new(127, block, nth as u8, 1).into()).collect()
}

/// The heads of these nodes over TCP.
///
/// # Errors
/// None with the nodes of this program.
pub(crate) fn heads<'n>(nodes: impl IntoIterator<Item = &'n Node>) -> io::Result<Vec<Head>> {
    let heads = nodes.into_iter().flat_map(Node::heads).map(|head| head.tcp().to_string().parse::<Head>());
    heads.collect::<Result<_, _>>().map_err(io::Error::other)
}

/// A step at this rate.
pub(crate) fn step(per_second: f64, duration: Duration) -> Step {
    Step { pace: Pace::Open { per_second }, duration }
}

/// Each rate twice: for a time that is not measured, and for one that is.
pub(crate) fn steps(rates: impl IntoIterator<Item = f64>, times: [Duration; 2]) -> Vec<Step> {
    rates.into_iter().flat_map(|rate| times.map(|time| step(rate, time))).collect()
}

/// Sends a load. `go_on` sees the rows so far when a step has ended, and says whether the next one is to follow. `begun` is told the
/// time at which the first step begins.
///
/// # Errors
/// If no client can connect.
pub(crate) async fn send(
    plan: Plan,
    sampler: &Sampler,
    begun: impl FnOnce(Instant),
    mut go_on: impl FnMut(&[Row]) -> bool,
) -> io::Result<Ran> {
    let stop = Arc::new(Notify::new());
    let stopped = Arc::clone(&stop);
    let mut begun = Some(begun);
    let mut rows: Vec<Row> = Vec::new();
    let observe = |progress: Progress<'_>| match progress {
        // The first step follows at once.
        Progress::Connected { .. } => {
            if let Some(begun) = begun.take() {
                begun(Instant::now());
            }
        }
        Progress::Preloaded(_) => {}
        Progress::Second(second) => {
            let has_stepped = rows.last().is_some_and(|row| row.second.step != second.step);
            if has_stepped && !go_on(&rows) {
                stop.notify_one();
            }
            rows.push(Row { second: second.clone(), sample: sampler.latest() });
        }
    };
    let report =
        run(plan, observe, async move { stopped.notified().await }).await.map_err(io::Error::other)?;
    Ok(Ran { report, rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_come_from_networks_of_their_own() {
        let all = networks(1, CLIENTS);
        assert_eq!(all.len(), CLIENTS as usize);
        assert_eq!((all[0].to_string(), all[199].to_string()), ("127.1.0.1".into(), "127.1.199.1".into()));
        assert!(networks(2, CLIENTS).iter().all(|address| !all.contains(address)));
    }

    #[test]
    fn each_rate_is_sent_twice() {
        let times = [Duration::from_secs(1), Duration::from_secs(2)];
        let steps = steps([10.0, 20.0], times);
        let rates: Vec<_> = steps.iter().map(|step| (step.pace, step.duration)).collect();
        let open = |per_second| Pace::Open { per_second };
        assert_eq!(rates[1..3], [(open(10.0), times[1]), (open(20.0), times[0])]);
    }
}
