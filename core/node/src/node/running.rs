//! What of a node runs, from the first step of its start to the last of its stop.

use crate::config::Config;
use crate::memory::guard::Guard;
use crate::memory::profiles::Profiles;
use crate::net::supervise::Phase;
use crate::node::backends::{Backends, StoreOpening};
use crate::node::presence::Presence;
use crate::observe::http;
use crate::observe::otlp::Exporter;
use crate::observe::traces::Traces;
use hydra_api::{HeldSlot, IdAllocator, ProviderStore};
use hydra_engine::{Clock, Engine, NamedStore, Watch};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};

/// What of a node runs. Each part is here as soon as it is started, so that one way of stopping does for a node that serves and
/// for a start that ends before its end.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) config: Arc<Config>,
    pub(super) engine: Arc<Engine>,
    /// The store of the engine.
    pub(super) store: Arc<dyn ProviderStore>,
    pub(super) opening: StoreOpening,
    pub(super) ids: Arc<dyn IdAllocator>,
    pub(super) traces: Option<Arc<Traces>>,
    pub(super) exporter: Exporter,
    pub(super) phase: watch::Sender<Phase>,
    pub(super) http: Option<http::Server>,
    /// Held until everything else has stopped.
    pub(super) presence: Option<Presence>,
    pub(super) tasks: Tasks,
    pub(super) profiles: Arc<Profiles>,
    /// Once the node has connections.
    pub(super) guard: Option<Guard>,
}

/// The tasks that run from the start to the stop.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    /// Returns the leases that are to be released.
    pub(super) leases: Option<JoinHandle<Vec<HeldSlot>>>,
    pub(super) scout: Option<JoinHandle<()>>,
    pub(super) table_maintenance: Option<JoinHandle<()>>,
    pub(super) advertiser: Option<JoinHandle<()>>,
    pub(super) reachability: Option<JoinHandle<()>>,
    pub(super) ebb: Option<JoinHandle<()>>,
    /// Runs once the file is written.
    pub(super) heads_file: Option<JoinHandle<()>>,
}

impl Running {
    /// Opens the engine; nothing else runs yet.
    pub(super) fn new(config: Config, backends: Backends) -> Self {
        let config = Arc::new(config);
        let Backends { store, opening, ids, admission, exporter, heap } = backends;
        let profiles = Arc::new(Profiles::new(&config, heap));
        let traces = exporter.tracer().map(|tracer| Traces::start(&config.telemetry.traces, tracer.clone()));
        let watch = traces.clone().map(|traces| -> Arc<dyn Watch> { traces });
        let named = NamedStore { name: config.store.kind.clone(), store: Arc::clone(&store) };
        let engine = Engine::open(named, admission, config.engine.clone(), Clock::system(), watch);
        let (phase, http, tasks) = (watch::Sender::new(Phase::Serving), None, Tasks::default());
        Self {
            config,
            engine,
            store,
            opening,
            ids,
            traces,
            exporter,
            phase,
            http,
            presence: None,
            tasks,
            profiles,
            guard: None,
        }
    }
}

impl Tasks {
    /// Each that runs, with its name.
    pub(super) fn abort_handles(&self) -> Vec<(&'static str, AbortHandle)> {
        let leases = self.leases.as_ref().map(|task| ("leases", task.abort_handle()));
        let others = [
            ("scout", &self.scout),
            ("table_maintenance", &self.table_maintenance),
            ("advertiser", &self.advertiser),
            ("reachability", &self.reachability),
            ("ebb", &self.ebb),
            ("heads_file", &self.heads_file),
        ];
        let others =
            others.into_iter().filter_map(|(name, task)| Some((name, task.as_ref()?.abort_handle())));
        leases.into_iter().chain(others).collect()
    }
}
