//! What the server and the node say of themselves, once a second.

use crate::quota::Quota;
use crate::server::{Counts, Probe};
use hydra_integration_tests::exposition::{Exposition, Format};
use hydra_integration_tests::http;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

const SECOND: Duration = Duration::from_secs(1);
/// The statements that run are counted more often than the rest: they change from one moment to the next.
const LOOKS: u32 = 5;

/// One look at everything.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Sample {
    /// In seconds from the first sample.
    pub(crate) at_s: f64,
    /// What the server says; of its active statements the most of this second.
    pub(crate) store: Counts,
    /// The CPU that the server has used, in seconds.
    pub(crate) store_cpu_s: f64,
    pub(crate) node: NodeSample,
    /// The load average of the machine over a minute.
    pub(crate) load_average: f64,
    /// Samples that could not be taken so far.
    pub(crate) failed: u32,
}

/// What the node's metrics say.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct NodeSample {
    pub(crate) read_rung: String,
    pub(crate) write_rung: String,
    pub(crate) reads_wanted: f64,
    pub(crate) reads_denied: f64,
    pub(crate) permits_used: f64,
    pub(crate) permits_max: f64,
    pub(crate) cache_hits: f64,
    pub(crate) cache_misses: f64,
    pub(crate) store_reads: f64,
    pub(crate) store_writes: f64,
    pub(crate) store_failures: f64,
    pub(crate) records_written: f64,
    pub(crate) records_dropped: f64,
    pub(crate) write_queue: f64,
}

impl NodeSample {
    /// What a scrape says.
    pub(crate) fn of(scrape: &Exposition) -> Self {
        let sum = |name: &str, labels: &[(&str, &str)]| scrape.sum(name, labels);
        let calls = |operation| sum("hydra_store_call_duration_seconds_count", &[("operation", operation)]);
        Self {
            read_rung: rung(scrape, "reads"),
            write_rung: rung(scrape, "writes"),
            reads_wanted: sum("hydra_store_reads_wanted_total", &[]),
            reads_denied: sum("hydra_store_reads_denied_total", &[]),
            permits_used: sum("hydra_store_permits_used", &[]),
            permits_max: sum("hydra_store_permits_max", &[]),
            cache_hits: sum("hydra_cache_hits_total", &[]),
            cache_misses: sum("hydra_cache_misses_total", &[]),
            store_reads: calls("providers"),
            store_writes: calls("insert"),
            store_failures: sum("hydra_store_calls_failed_total", &[]),
            records_written: sum("hydra_records_written_total", &[]),
            records_dropped: sum("hydra_records_dropped_total", &[]),
            write_queue: sum("hydra_write_queue_records", &[]),
        }
    }
}

/// The rung on which a lane stands.
fn rung(scrape: &Exposition, lane: &str) -> String {
    let is_on =
        |labels: &std::collections::BTreeMap<String, String>| labels.get("lane").is_some_and(|of| of == lane);
    let found = scrape
        .samples()
        .find(|(name, labels, value)| name == "hydra_lane_rung" && *value == 1.0 && is_on(labels));
    found.and_then(|(_, labels, _)| labels.get("rung").cloned()).unwrap_or_default()
}

/// Takes samples until it is dropped.
#[derive(Debug)]
pub(crate) struct Sampler {
    latest: Arc<Mutex<Sample>>,
    task: AbortHandle,
}

impl Sampler {
    /// Samples the server by this probe, and the node at this address.
    pub(crate) fn start(probe: Probe, quota: Arc<Quota>, node: SocketAddr) -> Self {
        let latest = Arc::new(Mutex::new(Sample::default()));
        let task = tokio::spawn(sample(probe, quota, node, Arc::clone(&latest))).abort_handle();
        Self { latest, task }
    }

    /// The latest sample; one whose time is 0 if there is none yet.
    pub(crate) fn latest(&self) -> Sample {
        lock(&self.latest).clone()
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn sample(mut probe: Probe, quota: Arc<Quota>, node: SocketAddr, latest: Arc<Mutex<Sample>>) {
    let start = Instant::now();
    let mut ticks = interval(SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match take(&mut probe, &quota, node, start).await {
            Ok(sample) => {
                let failed = lock(&latest).failed;
                *lock(&latest) = Sample { failed, ..sample };
            }
            Err(cause) => {
                lock(&latest).failed += 1;
                eprintln!("no sample: {cause}");
            }
        }
    }
}

async fn take(probe: &mut Probe, quota: &Quota, node: SocketAddr, start: Instant) -> io::Result<Sample> {
    let mut active: f64 = 0.0;
    for _ in 1..LOOKS {
        active = active.max(probe.active().await?.unwrap_or_default());
        sleep(SECOND / (LOOKS + 1)).await;
    }
    let mut store = probe.counts().await?;
    store.active = store.active.max(active);
    // The counts belong to this moment.
    let (at_s, store_cpu_s) = (start.elapsed().as_secs_f64(), quota.cpu_time()?.as_secs_f64());
    let node = node_sample(node).await?;
    Ok(Sample { at_s, store, store_cpu_s, node, load_average: load_average(), failed: 0 })
}

/// What the node at this address says.
///
/// # Errors
/// If it does not answer, or what it says cannot be read.
pub(crate) async fn node_sample(node: SocketAddr) -> io::Result<NodeSample> {
    let page = http::get(node, "/metrics", &[]).await?;
    Ok(NodeSample::of(&Exposition::parse(&page.body, Format::Text).map_err(io::Error::other)?))
}

/// The load average over a minute; 0 where it cannot be read.
fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or_default()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_of_the_node_is_read() {
        let page = "\
# HELP hydra_lane_rung The rung.
# TYPE hydra_lane_rung gauge
hydra_lane_rung{lane=\"reads\",rung=\"full\"} 0
hydra_lane_rung{lane=\"reads\",rung=\"short\"} 1
hydra_lane_rung{lane=\"writes\",rung=\"full\"} 1
# HELP hydra_cache_hits_total Hits.
# TYPE hydra_cache_hits_total counter
hydra_cache_hits_total{kind=\"present\"} 3
hydra_cache_hits_total{kind=\"absent\"} 4
# HELP hydra_store_permits_max The limit.
# TYPE hydra_store_permits_max gauge
hydra_store_permits_max 5
";
        let sample = NodeSample::of(&Exposition::parse(page, Format::Text).unwrap());
        assert_eq!((sample.read_rung.as_str(), sample.write_rung.as_str()), ("short", "full"));
        assert_eq!((sample.cache_hits, sample.permits_max), (7.0, 5.0));
    }
}
