//! The whole node: what starts in which order, and how it ends.

mod start;
mod stop;

pub use start::StartError;

use crate::backends::Backends;
use crate::config::Config;
use crate::connection_limits::NodeConnections;
use crate::head::Head;
use crate::http;
use crate::supervise::Phase;
use crate::table::Table;
use crate::telemetry::Exporter;
use hydra_api::{HeadLease, IdAllocator};
use hydra_engine::Engine;
use serde::Serialize;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// The file in the data directory that tells where the heads of a running node are.
pub const HEADS_FILE: &str = "heads.json";
/// The file in the data directory that keeps the peer table over restarts.
pub const PEERS_FILE: &str = "peers.json";

/// A node that serves.
#[derive(Debug)]
pub struct Node {
    config: Arc<Config>,
    engine: Arc<Engine>,
    ids: Arc<dyn IdAllocator>,
    leases: Vec<HeadLease>,
    heads: Arc<[Head]>,
    head_tasks: JoinSet<()>,
    scout: JoinHandle<()>,
    table_maintenance: JoinHandle<()>,
    advertiser: JoinHandle<()>,
    phase: watch::Sender<Phase>,
    table: Arc<Table>,
    connections: Arc<NodeConnections>,
    kad: hydra_kad::Config,
    http: Option<http::Server>,
    exporter: Exporter,
}

/// One head as [`HEADS_FILE`] tells it.
#[derive(Debug, Clone, Serialize)]
pub struct HeadLine {
    /// Its number in the fleet.
    pub slot: u32,
    /// Its id.
    pub peer: String,
    /// Where it listens, each with `/p2p/` and the id.
    pub addresses: Vec<String>,
}

impl Node {
    /// Starts a node and returns when every head can be reached.
    ///
    /// # Errors
    /// [`StartError`]; whatever was started is stopped again.
    pub async fn start(config: Config, backends: Backends) -> Result<Self, StartError> {
        start::start(config, backends).await
    }

    /// Where the heads listen now.
    pub fn heads(&self) -> Vec<HeadLine> {
        let line = |head: &Head| {
            let status = head.status.borrow();
            let mut addresses: Vec<_> =
                status.addresses.iter().map(|address| format!("{address}/p2p/{}", head.peer)).collect();
            // Interfaces are found in any order; who reads the lines of two starts wants the same ones.
            addresses.sort();
            HeadLine { slot: head.slot, peer: head.peer.to_string(), addresses }
        };
        self.heads.iter().map(line).collect()
    }

    /// Where the operator pages are, unless `telemetry.http` is switched off.
    pub fn http(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(http::Server::address)
    }

    /// How often heads were started again, after a panic or because they could not listen.
    pub fn restarts(&self) -> u64 {
        self.heads.iter().map(|head| head.restarts.load(Ordering::Relaxed)).sum()
    }

    /// The requests and the store, counted.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The wire, counted.
    pub fn wire(&self) -> &Arc<hydra_kad::Stats> {
        &self.kad.stats
    }

    /// The verified servers.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// The connections, counted.
    pub fn connections(&self) -> &Arc<NodeConnections> {
        &self.connections
    }

    /// Where the spans of traced requests go, and what became of them.
    pub fn exporter(&self) -> &Exporter {
        &self.exporter
    }

    /// Stops in stages: leave server mode, answer what is under way, write what was taken, close the store, give the
    /// identities back, send the last spans.
    ///
    /// # Errors
    /// What could not be written, or did not end in time.
    pub async fn stop(self) -> Result<(), StopError> {
        stop::stop(self).await
    }
}

/// A node that did not stop as it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// Records that were taken could not be written.
    #[error("{records} records could not be written: {why}")]
    Unwritten {
        /// How many.
        records: u64,
        /// Why not.
        why: String,
    },
    /// The store could not be closed.
    #[error("the store could not be closed: {0}")]
    Store(String),
    /// It took too long.
    #[error("the node did not stop within {0:?}")]
    Deadline(Duration),
}

/// Writes where the heads are, for other processes of this machine.
fn write_heads(data_dir: &Path, heads: &[HeadLine]) -> io::Result<()> {
    crate::files::replace(&data_dir.join(HEADS_FILE), &serde_json::to_vec_pretty(heads)?)
}
