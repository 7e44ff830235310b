//! What the server and the nodes say of themselves, once a second.

mod node;
mod sockets;

pub(crate) use node::{NodeSample, rung_of};
pub(crate) use sockets::unread;

use crate::quota::Quota;
use crate::server::{Address, Counts, Probe};
use hydra_integration_tests::exposition::{Exposition, Format};
use hydra_integration_tests::{http, measure};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);
/// The statements that run are counted more often than the rest: they change from one moment to the next.
const LOOKS: u32 = 5;
/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// One look at everything.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Sample {
    /// When the server was asked, in seconds from the first sample.
    pub(crate) at_s: f64,
    /// What the server says; of its active statements the most of this second.
    pub(crate) store: Counts,
    /// The CPU that the server has used, in seconds.
    pub(crate) store_cpu_s: f64,
    /// Connections to the server with bytes that it has not read: statements that wait for it.
    pub(crate) unread: f64,
    /// When the nodes were asked.
    pub(crate) node_at_s: f64,
    /// All nodes together.
    pub(crate) node: NodeSample,
    /// The CPU that the nodes have used, in seconds, and their memory.
    pub(crate) node_cpu_s: f64,
    pub(crate) node_rss_mib: f64,
    /// The load average of the machine over a minute.
    pub(crate) load_average: f64,
    /// Samples of the server that could not be taken so far.
    pub(crate) failed: u32,
}

/// A node to be sampled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sampled {
    pub(crate) http: SocketAddr,
    pub(crate) pid: u32,
}

/// Takes samples until it is dropped.
#[derive(Debug)]
pub(crate) struct Sampler {
    shared: Arc<Shared>,
    tasks: [AbortHandle; 2],
}

#[derive(Debug)]
struct Shared {
    start: Instant,
    latest: Mutex<Sample>,
    /// The process that serves the probe.
    probe: Mutex<Option<u32>>,
}

impl Sampler {
    /// Samples the server by this probe, and the nodes. Each has a task of its own: neither waits for the other.
    pub(crate) fn start(at: Address, probe: Probe, quota: Arc<Quota>, nodes: Vec<Sampled>) -> Self {
        let shared =
            Shared { start: Instant::now(), latest: Mutex::default(), probe: Mutex::new(probe.pid()) };
        let shared = Arc::new(shared);
        let server = tokio::spawn(sample_server(Arc::clone(&shared), at, probe, quota)).abort_handle();
        let nodes = tokio::spawn(sample_nodes(Arc::clone(&shared), nodes)).abort_handle();
        Self { shared, tasks: [server, nodes] }
    }

    /// The latest sample; one whose times are 0 if there is none yet.
    pub(crate) fn latest(&self) -> Sample {
        lock(&self.shared.latest).clone()
    }

    /// The process of the server that serves the probe now.
    pub(crate) fn probe_pid(&self) -> Option<u32> {
        *lock(&self.shared.probe)
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

async fn sample_server(shared: Arc<Shared>, at: Address, probe: Probe, quota: Arc<Quota>) {
    let mut probe = Some(probe);
    let mut ticks = interval(SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let looked = match probe.as_mut() {
            Some(probe) => look(probe).await,
            None => match at.probe().await {
                Ok(fresh) => {
                    *lock(&shared.probe) = fresh.pid();
                    probe = Some(fresh);
                    Ok(None)
                }
                Err(cause) => Err(cause),
            },
        };
        let cpu = quota.cpu_time();
        let unread = unread(at.port);
        let mut latest = lock(&shared.latest);
        match (looked, cpu) {
            (Ok(Some(store)), Ok(cpu)) => {
                latest.store = store;
                latest.store_cpu_s = cpu.as_secs_f64();
                latest.at_s = shared.start.elapsed().as_secs_f64();
            }
            (Ok(None), _) => {}
            (Err(_), _) | (_, Err(_)) => {
                latest.failed += 1;
                probe = None;
                *lock(&shared.probe) = None;
            }
        }
        latest.unread = unread;
        latest.load_average = load_average();
    }
}

/// A look at the server, over most of a second.
async fn look(probe: &mut Probe) -> io::Result<Option<Counts>> {
    let mut active: f64 = 0.0;
    for _ in 1..LOOKS {
        active = active.max(probe.active().await?.unwrap_or_default());
        sleep(SECOND / (LOOKS + 1)).await;
    }
    let mut store = probe.counts().await?;
    store.active = store.active.max(active);
    Ok(Some(store))
}

async fn sample_nodes(shared: Arc<Shared>, nodes: Vec<Sampled>) {
    let mut last = vec![NodeSample::default(); nodes.len()];
    let mut cpu_s = vec![0.0; nodes.len()];
    let mut ticks = interval(SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let mut rss_mib = 0.0;
        for ((node, last), cpu_s) in nodes.iter().zip(&mut last).zip(&mut cpu_s) {
            match timeout(PATIENCE, node_sample(node.http)).await {
                Ok(Ok(sample)) => *last = sample,
                // What it has counted stays, so that the sum does not fall.
                Ok(Err(_)) | Err(_) => last.stop(),
            }
            if let Ok(cpu) = measure::cpu_time(node.pid) {
                *cpu_s = cpu.as_secs_f64();
            }
            rss_mib += measure::memory_bytes(node.pid).unwrap_or_default() as f64 / f64::from(1 << 20);
        }
        let mut latest = lock(&shared.latest);
        latest.node = last.iter().fold(NodeSample::default(), NodeSample::with);
        latest.node_cpu_s = cpu_s.iter().sum();
        latest.node_rss_mib = rss_mib;
        latest.node_at_s = shared.start.elapsed().as_secs_f64();
    }
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
