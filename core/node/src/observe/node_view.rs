//! What the operator pages read of a node, at the moment in which they are asked for.

use crate::config::Config;
use crate::memory::view::MemoryView;
use crate::net::dial_gate::DialGate;
use crate::net::head::connection_limits::NodeConnections;
use crate::net::heads::HeadList;
use crate::net::reachability::Report;
use crate::net::routing::rounds::AllRounds;
use crate::net::routing::table::Table;
use crate::net::supervise::Phase;
use crate::observe::lease_view::LeaseView;
use crate::observe::otlp::Exporter;
use crate::observe::store_opening::StoreOpening;
use crate::observe::traces::Traces;
use hydra_api::{ProviderStore, Sharing};
use hydra_engine::Engine;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// What the operator pages read of a node. Everything is counted where it happens; nothing is counted again here.
#[derive(Debug)]
pub(crate) struct NodeView {
    /// The config of the node.
    pub(crate) config: Arc<Config>,
    /// Requests and the store.
    pub(crate) engine: Arc<Engine>,
    /// The store of the engine.
    pub(crate) store: Arc<dyn ProviderStore>,
    /// How far its opening is.
    pub(crate) opening: StoreOpening,
    /// The wire.
    pub(crate) wire: Arc<hydra_kad::Stats>,
    /// Verified servers.
    pub(crate) table: Arc<Table>,
    /// Outbound dials.
    pub(crate) dials: Arc<DialGate>,
    /// Restarts of the scout.
    pub(crate) scout_restarts: Arc<AtomicU64>,
    /// Refreshes of the table and rounds of the advertiser.
    pub(crate) rounds: Arc<AllRounds>,
    /// Tests of the heads' addresses.
    pub(crate) report: Arc<Report>,
    /// Connections.
    pub(crate) connections: Arc<NodeConnections>,
    /// The memory, its guard and the heap profiles.
    pub(crate) memory: Arc<MemoryView>,
    /// The heads.
    pub(crate) heads: Arc<HeadList>,
    /// Their leases.
    pub(crate) leases: Arc<LeaseView>,
    /// Which requests are traced, if any are.
    pub(crate) traces: Option<Arc<Traces>>,
    /// Where their spans go.
    pub(crate) exporter: Exporter,
    /// How far the node is, once it has started.
    pub(crate) phase: watch::Receiver<Phase>,
    /// The tasks that run from the start to the stop, once it has started.
    pub(crate) tasks: OnceLock<Vec<(&'static str, AbortHandle)>>,
}

impl NodeView {
    /// Tells that the node has started, and which tasks are to run as long as it serves.
    pub(crate) fn started(&self, tasks: Vec<(&'static str, AbortHandle)>) {
        // A node starts once.
        let _told = self.tasks.set(tasks);
    }

    /// Whether all heads could be reached once.
    pub(crate) fn has_started(&self) -> bool {
        self.tasks.get().is_some()
    }

    /// Who else uses the store. One that panics instead of saying so is taken to be of this process alone.
    pub(crate) fn sharing(&self) -> Sharing {
        let sharing = catch_unwind(AssertUnwindSafe(|| self.store.profile().sharing));
        sharing.unwrap_or(Sharing::OneProcess)
    }

    /// How far the node is.
    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }
}

#[cfg(test)]
pub(crate) mod sample;
