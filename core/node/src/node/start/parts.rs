//! The parts of a node that its tasks share, and how each task is made of them.

use super::{StartError, settings};
use crate::config::{Config, Reachability};
use crate::memory::guard::{self, Guard};
use crate::memory::view::MemoryView;
use crate::net::autonat::Servers;
use crate::net::dial_gate::DialGate;
use crate::net::ebb;
use crate::net::head::connection_limits::{Marks, NodeConnections, PlaceLimits};
use crate::net::heads::{HeadList, Status};
use crate::net::peer_addresses::PeerAddresses;
use crate::net::reachability::{self, Report};
use crate::net::requests::nearness::TableNearness;
use crate::net::requests::request_handler::Shared;
use crate::net::routing::advertiser;
use crate::net::routing::network::{Pacer, Wire};
use crate::net::routing::rounds::AllRounds;
use crate::net::routing::scout::{self, Scout};
use crate::net::routing::table::Table;
use crate::net::routing::table_maintenance;
use crate::net::routing::table_maintenance::Candidate;
use crate::node::leases::{BeginError, HeadError, HeadParts, LeaseKeeper, NodeHeads};
use crate::node::running::Running;
use crate::node::{PEERS_FILE, heads_file};
use crate::observe::lease_view::LeaseView;
use crate::observe::node_view::NodeView;
use hydra_api::HeadCount;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Peers whose addresses are remembered, over all heads.
const PEER_ADDRESSES_LEN_MAX: usize = 16_384;

/// The parts of a node that its tasks share.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) kad: hydra_kad::Config,
    pub(super) table: Arc<Table>,
    peer_addresses: Arc<PeerAddresses>,
    pub(super) connections: Arc<NodeConnections>,
    memory: Arc<MemoryView>,
    pub(super) heads: Arc<HeadList>,
    lease_view: Arc<LeaseView>,
    dials: Arc<DialGate>,
    testers: Arc<Servers>,
    rounds: Arc<AllRounds>,
    pub(super) report: Arc<Report>,
    scout: Scout,
}

impl Parts {
    /// Opens the parts that no head is needed for, and starts the scout.
    pub(super) fn open(running: &mut Running, kad: hydra_kad::Config) -> Self {
        let config = &running.config;
        let peer_addresses = Arc::new(PeerAddresses::new(PEER_ADDRESSES_LEN_MAX));
        let sockets_max = config.connections.pending_per_node_max;
        let gate = DialGate::with_sockets(config.network.addresses, sockets_max);
        let bootstrap = settings::bootstrap(&config.network).into_iter();
        let dials =
            Arc::new(gate.with_configured(bootstrap.map(|contact| (contact.peer, contact.addresses))));
        let testers = Arc::<Servers>::default();
        let (scout, task) = scout::spawn(
            kad.clone(),
            (Arc::clone(&peer_addresses), Arc::clone(&testers)),
            Arc::clone(&dials),
            running.phase.subscribe(),
        );
        running.tasks.scout = Some(task);
        let table = Arc::new(Table::new(config.network.addresses, settings::table_limits(config)));
        let heads = Arc::<HeadList>::default();
        running.engine.set_nearness(Arc::new(TableNearness::new(Arc::clone(&table), Arc::clone(&heads))));
        Self {
            table,
            connections: Arc::new(NodeConnections::new(
                Marks::of_node(&config.connections),
                PlaceLimits::of_node(&config.connections),
            )),
            memory: Arc::new(MemoryView::new(Arc::clone(&running.profiles))),
            heads,
            lease_view: Arc::default(),
            kad,
            peer_addresses,
            dials,
            testers,
            rounds: Arc::default(),
            report: Arc::default(),
            scout,
        }
    }

    /// Starts the guard of the memory: heads that are started have connections.
    pub(super) fn start_memory_guard(&self, running: &mut Running) -> Result<(), StartError> {
        let parts = guard::Parts {
            engine: Arc::clone(&running.engine),
            connections: Arc::clone(&self.connections),
            view: Arc::clone(&self.memory),
        };
        running.guard = Guard::start(&running.config.memory, parts)
            .map_err(|cause| StartError::System { what: "cannot start the memory guard", cause })?;
        Ok(())
    }

    /// Starts the lease keeper, which owns the heads. Servers that they meet go to `candidates`; the receiver is told how the
    /// beginning went.
    pub(super) fn spawn_lease_keeper(
        &self,
        running: &mut Running,
        candidates: mpsc::Sender<Candidate>,
    ) -> oneshot::Receiver<Result<(), BeginError<HeadError>>> {
        let keeper = self.lease_keeper(running, candidates);
        let (begun, told) = oneshot::channel();
        running.tasks.leases = Some(tokio::spawn(keeper.run(running.phase.subscribe(), begun)));
        told
    }

    fn lease_keeper(&self, running: &Running, candidates: mpsc::Sender<Candidate>) -> LeaseKeeper<NodeHeads> {
        let config = &running.config;
        let shared = Arc::new(Shared {
            engine: Arc::clone(&running.engine),
            table: Arc::clone(&self.table),
            peer_addresses: Arc::clone(&self.peer_addresses),
            dials: Arc::clone(&self.dials),
            testers: Arc::clone(&self.testers),
            policy: config.network.addresses,
            small_answers: config.kad.small_answers,
        });
        let heads = NodeHeads::new(HeadParts {
            config: Arc::clone(config),
            kad: self.kad.clone(),
            shared,
            connections: Arc::clone(&self.connections),
            candidates,
            list: Arc::clone(&self.heads),
        });
        let wanted = HeadCount::new(config.heads.count).unwrap_or(HeadCount::MIN);
        LeaseKeeper::new(Arc::clone(&running.ids), wanted, heads, Arc::clone(&self.lease_view))
    }

    /// What operators read of the node.
    pub(super) fn node_view(&self, running: &Running) -> Arc<NodeView> {
        Arc::new(NodeView {
            config: Arc::clone(&running.config),
            engine: Arc::clone(&running.engine),
            store: Arc::clone(&running.store),
            opening: running.opening.clone(),
            wire: Arc::clone(&self.kad.stats),
            table: Arc::clone(&self.table),
            dials: Arc::clone(&self.dials),
            scout_restarts: Arc::clone(&self.scout.restarts),
            rounds: Arc::clone(&self.rounds),
            report: Arc::clone(&self.report),
            connections: Arc::clone(&self.connections),
            memory: Arc::clone(&self.memory),
            heads: Arc::clone(&self.heads),
            leases: Arc::clone(&self.lease_view),
            traces: running.traces.clone(),
            exporter: running.exporter.clone(),
            phase: running.phase.subscribe(),
            tasks: OnceLock::new(),
        })
    }

    /// Waits until every head listens, and writes where they are.
    pub(super) async fn heads_listen(&self, config: &Config) -> Result<(), StartError> {
        for head in self.heads.now().iter() {
            reachable(head.slot, &config.heads.listen, head.status.clone()).await?;
        }
        heads_file::write(&config.data_dir, &self.heads.lines())
            .map_err(|cause| StartError::System { what: "cannot write the addresses of the heads", cause })
    }

    /// Spawns the tasks that need heads with addresses.
    pub(super) fn spawn_tasks(&self, running: &mut Running, met: mpsc::Receiver<Candidate>) {
        let config = &running.config;
        let heads_file =
            heads_file::keep(config.data_dir.clone(), Arc::clone(&self.heads), self.heads.lines());
        let network = Arc::new(Wire {
            scout: self.scout.clone(),
            dials: Arc::clone(&self.dials),
            peer_addresses: Arc::clone(&self.peer_addresses),
            timeout: settings::probe_timeout(config),
        });
        let pacer = Arc::<Pacer>::default();
        let parts = self.table_maintenance(running, &network, &pacer);
        let table_maintenance = async move { table_maintenance::run(&parts, met).await };
        let advertiser = advertiser::run(advertiser::Parts {
            heads: Arc::clone(&self.heads),
            table: Arc::clone(&self.table),
            network: Arc::clone(&network),
            pacer,
            rounds: Arc::clone(&self.rounds),
            interval: Duration::from_secs(config.network.advertise_interval_s.into()),
            phase: running.phase.subscribe(),
        });
        let ebb = ebb::run(ebb::Parts {
            engine: Arc::clone(&running.engine),
            heads: Arc::clone(&self.heads),
            config: config.heads.ebb.clone(),
            phase: running.phase.subscribe(),
        });
        let reachability = self.reachability(running, network);
        let tasks = &mut running.tasks;
        tasks.reachability = reachability.map(tokio::spawn);
        tasks.ebb = Some(tokio::spawn(ebb));
        tasks.heads_file = Some(tokio::spawn(heads_file));
        tasks.table_maintenance = Some(tokio::spawn(table_maintenance));
        tasks.advertiser = Some(tokio::spawn(advertiser));
    }

    fn reachability(
        &self,
        running: &Running,
        asks: Arc<Wire>,
    ) -> Option<impl Future<Output = ()> + Send + 'static> {
        let network = &running.config.network;
        let parts = reachability::Parts {
            heads: Arc::clone(&self.heads),
            table: Arc::clone(&self.table),
            testers: Arc::clone(&self.testers),
            asks,
            report: Arc::clone(&self.report),
            every: Duration::from_secs(network.reachability_interval_s.into()),
            phase: running.phase.subscribe(),
        };
        (network.reachability == Reachability::On).then(|| reachability::run(parts))
    }

    fn table_maintenance(
        &self,
        running: &Running,
        network: &Arc<Wire>,
        pacer: &Arc<Pacer>,
    ) -> table_maintenance::Parts<Wire> {
        let config = &running.config;
        table_maintenance::Parts {
            table: Arc::clone(&self.table),
            network: Arc::clone(network),
            pacer: Arc::clone(pacer),
            rounds: Arc::clone(&self.rounds),
            heads: Arc::clone(&self.heads),
            bootstrap: settings::bootstrap(&config.network),
            interval: Duration::from_secs(config.network.refresh_interval_s.into()),
            pace: settings::pace(&config.network),
            saved: config.data_dir.join(PEERS_FILE),
            phase: running.phase.subscribe(),
        }
    }
}

/// Waits until a head listens.
async fn reachable(
    slot: u32,
    listen: &[IpAddr],
    mut status: watch::Receiver<Status>,
) -> Result<(), StartError> {
    let on = || listen.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let failed = |cause: &str| {
        // Some errors of transports have no words.
        let cause = if cause.trim().is_empty() { "the log names each listener and its error" } else { cause };
        StartError::Listen { slot, on: on(), cause: cause.to_owned() }
    };
    let status = status
        .wait_for(|status| status.ready || status.failure.is_some())
        .await
        .map_err(|_| failed("its task ended"))?;
    match &status.failure {
        Some(cause) => Err(failed(cause)),
        None if status.addresses.is_empty() => Err(failed(
            "no interface has an address to listen on: bring one up, or list addresses of this machine in `heads.listen`",
        )),
        None => Ok(()),
    }
}
