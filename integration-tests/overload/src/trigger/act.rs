//! Does what a trigger is.

use super::{Trigger, extra::extra};
use crate::ground::Ground;
use crate::memory::MemoryLimit;
use crate::quota::{Quota, Speed};
use crate::sample::{Sampler, node_sample, unread};
use crate::server::Slot;
use hydra_integration_tests::node::Node;
use hydra_load::{Head, Plan, Report};
use nix::sys::signal::Signal;
use std::io;
use std::time::{Duration, Instant};
use tokio::time::{sleep, sleep_until};

/// The connections of a node that a foreign client leaves.
const LEFT: u32 = 2;
/// The memory of a node that has little, and how much slower its server is.
const MEMORY_MIB: u64 = 128;
const SLOWER: u32 = 10;
/// How long the probe has to find a server again that was restarted.
const PROBE: Duration = Duration::from_secs(3);
/// How long the server may take to end the sessions of a foreign client.
const FAREWELL: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(20);

/// What was seen while a trigger was under way.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The store calls that were started while the server was frozen, and the connections with statements that it had not read at the end.
    pub(super) started: Option<f64>,
    pub(super) unread: Option<f64>,
    /// Logins that were refused for want of a place.
    pub(super) refused: f64,
    /// How long the server was away, in seconds.
    pub(super) away_s: f64,
    /// How long a node lived that had little memory, in seconds; none if it lives.
    pub(super) killed_s: Option<f64>,
    /// What came of the load on top.
    pub(super) extra: Option<Report>,
}

/// What a trigger happens to, beside the steady load.
pub(super) struct Scene<'a> {
    pub(super) server: &'a mut Slot,
    pub(super) nodes: &'a mut Vec<Node>,
    pub(super) quota: &'a Quota,
    pub(super) sampler: &'a Sampler,
    pub(super) keys: u64,
    /// The rate of the steady load.
    pub(super) rate: f64,
    pub(super) lasts: Duration,
    /// What the clients of a killed node send afterwards, and where.
    pub(super) moved: Option<Plan>,
}

impl<'a> Scene<'a> {
    pub(super) fn of(ground: &'a mut Ground, server: &'a mut Slot) -> Self {
        let Ground { nodes, quota, sampler } = ground;
        let (keys, rate, lasts, moved) = (0, 0.0, Duration::ZERO, None);
        Self { server, nodes, quota, sampler, keys, rate, lasts, moved }
    }

    /// Does it at this time, and undoes it when it has lasted.
    ///
    /// # Errors
    /// If it cannot be done.
    pub(super) async fn act(&mut self, trigger: Trigger, heads: Vec<Head>, at: Instant) -> io::Result<Seen> {
        sleep_until(at.into()).await;
        match trigger {
            Trigger::Freeze(_) => self.freeze().await,
            Trigger::Slow(times) => {
                self.quota.set(Speed::Slower(times))?;
                sleep(self.lasts).await;
                self.quota.set(Speed::Usual)?;
                Ok(Seen::default())
            }
            Trigger::Restart => self.restart().await,
            Trigger::Connections => self.take_connections().await,
            Trigger::KillNode => self.kill().await,
            Trigger::Memory => self.limit_memory(heads).await,
            Trigger::HotKey
            | Trigger::AbusivePeer
            | Trigger::Network
            | Trigger::Reprovide
            | Trigger::Burst => match extra(trigger, heads, self.keys, self.rate, self.lasts) {
                Some(plan) => send(plan).await,
                None => Ok(Seen::default()),
            },
        }
    }

    async fn freeze(&self) -> io::Result<Seen> {
        let before = self.started().await?;
        let frozen = Frozen::new(self.quota)?;
        sleep(self.lasts).await;
        let started = self.started().await? - before;
        let unread = unread(self.server.get()?.port());
        drop(frozen);
        Ok(Seen { started: Some(started), unread: Some(unread), ..Seen::default() })
    }

    /// The store calls that all nodes have started.
    async fn started(&self) -> io::Result<f64> {
        let mut started = 0.0;
        for http in self.nodes.iter().filter_map(Node::http) {
            started += node_sample(http).await?.started();
        }
        Ok(started)
    }

    async fn restart(&mut self) -> io::Result<Seen> {
        let since = Instant::now();
        self.quota.set(Speed::Lifted)?;
        self.server.restart().await?;
        let away_s = since.elapsed().as_secs_f64();
        // The process that serves the probe is not held, so it has to be known.
        let accepts = Instant::now();
        sleep(LOOK).await;
        while self.sampler.probe_pid().is_none() && accepts.elapsed() < PROBE {
            sleep(LOOK).await;
        }
        self.quota.hold_again(self.server.get()?.pid()?, self.sampler.probe_pid())?;
        self.quota.set(Speed::Usual)?;
        Ok(Seen { away_s, ..Seen::default() })
    }

    async fn take_connections(&self) -> io::Result<Seen> {
        let before = self.server.get()?.refused();
        // To log in and out costs the server more than its share gives in seconds.
        self.quota.set(Speed::Lifted)?;
        let foreigner = self.server.get()?.foreigner(LEFT).await;
        self.quota.set(Speed::Usual)?;
        let foreigner = foreigner?;
        sleep(self.lasts).await;
        let refused = self.server.get()?.refused() - before;
        eprintln!("a foreign client had {} connections", foreigner.len());
        self.quota.set(Speed::Lifted)?;
        drop(foreigner);
        sleep(FAREWELL).await;
        self.quota.set(Speed::Usual)?;
        Ok(Seen { refused, ..Seen::default() })
    }

    async fn limit_memory(&mut self, heads: Vec<Head>) -> io::Result<Seen> {
        let plan = extra(Trigger::Memory, heads, self.keys, self.rate, self.lasts);
        let (Some(node), Some(plan)) = (self.nodes.first_mut(), plan) else { return Ok(Seen::default()) };
        let _limit = MemoryLimit::of(node.pid(), MEMORY_MIB)?;
        self.quota.set(Speed::Slower(SLOWER))?;
        let (since, lasts) = (Instant::now(), self.lasts);
        let watch = async {
            while since.elapsed() < lasts {
                if !node.is_running()? {
                    return Ok(Some(since.elapsed().as_secs_f64()));
                }
                sleep(LOOK).await;
            }
            Ok::<_, io::Error>(None)
        };
        let (seen, killed_s) = tokio::join!(send(plan), watch);
        self.quota.set(Speed::Usual)?;
        Ok(Seen { killed_s: killed_s?, ..seen? })
    }

    async fn kill(&mut self) -> io::Result<Seen> {
        if !self.nodes.is_empty() {
            self.nodes.remove(0).kill().await?;
        }
        match self.moved.take() {
            Some(plan) => send(plan).await,
            None => Ok(Seen::default()),
        }
    }
}

async fn send(plan: Plan) -> io::Result<Seen> {
    let report = hydra_load::run(plan, |_| {}, std::future::pending()).await.map_err(io::Error::other)?;
    Ok(Seen { extra: Some(report), ..Seen::default() })
}

/// A server that is stopped until this is dropped.
struct Frozen<'a>(&'a Quota);

impl<'a> Frozen<'a> {
    fn new(quota: &'a Quota) -> io::Result<Self> {
        quota.set(Speed::Frozen)?;
        let frozen = Self(quota);
        quota.signal(Signal::SIGSTOP)?;
        Ok(frozen)
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        let continued = self.0.signal(Signal::SIGCONT).and_then(|()| self.0.set(Speed::Usual));
        if let Err(cause) = continued {
            eprintln!("the server stays frozen: {cause}");
        }
    }
}
