//! The whole node: what is opened, what starts in which order, who owns the heads, and how it ends.

pub mod backends;
mod heads_file;
mod late_store;
mod leases;
mod opening;
pub(crate) mod presence;
mod running;
mod start;
mod stop;

pub use crate::net::heads::HeadLine;
pub use start::StartError;

use crate::config::Config;
use crate::memory::guard;
use crate::memory::profiles::Busy;
use crate::net::head::connection_limits::NodeConnections;
use crate::net::heads::HeadList;
use crate::net::routing::table::Table;
use crate::observe::http;
use crate::observe::otlp::Exporter;
use backends::Backends;
use hydra_engine::Engine;
use running::Running;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The file in the data directory that tells where the heads of a running node are.
pub const HEADS_FILE: &str = "heads.json";
/// The file in the data directory that keeps the peer table over restarts.
pub const PEERS_FILE: &str = "peers.json";

/// A node that serves.
#[derive(Debug)]
pub struct Node {
    running: Running,
    heads: Arc<HeadList>,
    table: Arc<Table>,
    connections: Arc<NodeConnections>,
    kad: hydra_kad::Config,
}

impl Node {
    /// Starts a node and returns when every head can be reached.
    ///
    /// # Errors
    /// [`StartError`]; whatever was started is stopped again as [`Self::stop`] does, and the store is closed.
    ///
    /// # Cancel safety
    /// A dropped future releases no lease and leaves the store open: use [`Self::start_until`].
    pub async fn start(config: Config, backends: Backends) -> Result<Self, StartError> {
        Self::start_until(config, backends, std::future::pending()).await
    }

    /// As [`Self::start`], unless `stop` ends before the start is complete.
    ///
    /// # Errors
    /// As there; [`StartError::Stopped`] if `stop` has ended.
    pub async fn start_until(
        config: Config,
        backends: Backends,
        stop: impl Future<Output = ()>,
    ) -> Result<Self, StartError> {
        start::start(config, backends, stop).await
    }

    /// Where the heads listen now.
    pub fn heads(&self) -> Vec<HeadLine> {
        self.heads.lines()
    }

    /// Where the operator pages are, unless `telemetry.http` is switched off.
    pub fn http(&self) -> Option<SocketAddr> {
        self.running.http.as_ref().map(http::Server::address)
    }

    /// How often heads were started again, after a panic or because they could not listen.
    pub fn restarts(&self) -> u64 {
        self.heads.restarts()
    }

    /// The requests and the store, counted.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.running.engine
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
        &self.running.exporter
    }

    /// Writes a heap profile to a file, and logs which or why not. `why` is a part of its name.
    pub(crate) async fn write_heap_profile(&self, why: &'static str) {
        let profiles = Arc::clone(&self.running.profiles);
        // A panic is logged as one.
        let _has_ended =
            tokio::task::spawn_blocking(move || guard::write(&profiles, why, Busy::Refuse)).await.is_ok();
    }

    /// Stops in stages: leave server mode, answer what is under way, write what was taken, close the store, give the
    /// identities back, send the last spans.
    ///
    /// # Errors
    /// What could not be written, or did not end in time.
    pub async fn stop(self) -> Result<(), StopError> {
        stop::stop(self.running, Some(&self.kad.stats)).await
    }
}

/// A node that did not stop as it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// Records that were taken could not be written.
    #[error("cannot write {records} queued records: {why}")]
    Unwritten {
        /// How many.
        records: u64,
        /// Why not.
        why: String,
    },
    /// The store could not be closed.
    #[error("cannot close the store: {0}")]
    Store(String),
    /// It took too long.
    #[error("the node did not stop within {0:?} (shutdown.deadline_ms)")]
    Deadline(Duration),
}
