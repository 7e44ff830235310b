//! Starting: identities, ports, heads, scout, table.

use super::{Node, Tasks, heads_file};
use crate::advertiser;
use crate::backends::Backends;
use crate::config::{Config, Diversity, Network};
use crate::connection_limits::{Marks, NodeConnections};
use crate::head::{HeadList, Status};
use crate::http;
use crate::leases::{self, HeadError, HeadParts, LeaseKeeper, LeaseView, NodeHeads};
use crate::lookup::{Contact, Pace};
use crate::node::PEERS_FILE;
use crate::node_view::NodeView;
use crate::peer_addresses::{PeerAddresses, without_id};
use crate::request_handler::Shared;
use crate::scout::{self, Scout};
use crate::supervise::Phase;
use crate::table::{Limits, Table};
use crate::table_maintenance::{self, CANDIDATES_MAX};
use crate::telemetry::Exporter;
use crate::traces::Traces;
use hydra_api::{Causes, HeadCount, HeldSlot, IdAllocator, IdError, ProviderStore};
use hydra_engine::{Clock, Engine, NamedPolicy, NamedStore, Watch};
use libp2p::StreamProtocol;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Peers whose addresses are remembered, over all heads.
const PEER_ADDRESSES_LEN_MAX: usize = 16_384;
/// How long leases may take to be released after a start that failed.
const RELEASE_WAIT: Duration = Duration::from_secs(1);
/// Closer peers in answers and peers in a bucket (k).
const BUCKET_LEN_MAX: usize = 20;

/// A node that could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The allocator gave no identities.
    #[error("cannot acquire identities: {0}")]
    Ids(#[from] IdError),
    /// An identity is not what it should be.
    #[error("the private key of slot {slot} does not belong to its peer id")]
    Identity {
        /// The slot.
        slot: u32,
    },
    /// No port can be listened on.
    #[error("head {slot} cannot listen: {cause}")]
    Listen {
        /// The slot.
        slot: u32,
        /// Why not.
        cause: String,
    },
    /// The address of the operator pages cannot be listened on.
    #[error("telemetry.http.listen: cannot listen on {listen}: {cause}")]
    Http {
        /// The address.
        listen: SocketAddr,
        /// Why not.
        cause: io::Error,
    },
    /// The protocol's name begins with no slash.
    #[error("`{0}` is not a protocol name: it does not begin with a slash")]
    Protocol(String),
    /// The system refused something.
    #[error("{what}: {cause}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        cause: io::Error,
    },
}

impl From<HeadError> for StartError {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::Identity { slot } => Self::Identity { slot },
            HeadError::Listen { slot, cause } => Self::Listen { slot, cause: cause.to_string() },
        }
    }
}

pub(super) async fn start(config: Config, backends: Backends) -> Result<Node, StartError> {
    raise_descriptors();
    let kad = kad_config(&config)?;
    let listen = config.telemetry.http.listen;
    let http =
        http::bind(&config.telemetry.http).await.map_err(|cause| StartError::Http { listen, cause })?;
    let wanted = HeadCount::new(config.heads.count).unwrap_or(HeadCount::MIN);
    let first_leases = leases::acquire(&backends.ids, wanted).await?;
    let ids = Arc::clone(&backends.ids);
    let (phase, phase_seen) = watch::channel(Phase::Serving);
    let (core, scout) = Core::open(config, kad, backends, phase_seen);
    let (candidates, met) = mpsc::channel(CANDIDATES_MAX);

    let mut keeper = core.lease_keeper(Arc::clone(&ids), wanted, candidates);
    let begun = match keeper.start_all(first_leases) {
        Ok(()) => keeper.report_ports().await.map_err(StartError::from),
        Err(cause) => Err(cause.into()),
    };
    let leases = tokio::spawn(keeper.run(core.phase.clone()));
    let node_view = core.node_view();
    // From here on probes are told how far the start is.
    let http = http.map(|bound| bound.serve(Arc::clone(&node_view)));
    let ready = match begun {
        Ok(()) => core.heads_listen().await,
        failed => failed,
    };
    if let Err(cause) = ready {
        phase.send_replace(Phase::Stopping);
        release(&*ids, leases).await;
        return Err(cause);
    }
    let tasks = core.spawn_tasks(leases, scout, met);
    node_view.started(tasks.abort_handles().into());
    Ok(Node {
        config: core.config,
        engine: core.engine,
        ids,
        heads: core.heads,
        tasks,
        phase,
        table: core.table,
        connections: core.connections,
        kad: core.kad,
        http,
        exporter: core.exporter,
    })
}

/// What the tasks of a node share.
#[derive(Debug)]
struct Core {
    config: Arc<Config>,
    kad: hydra_kad::Config,
    table: Arc<Table>,
    peer_addresses: Arc<PeerAddresses>,
    connections: Arc<NodeConnections>,
    engine: Arc<Engine>,
    heads: Arc<HeadList>,
    lease_view: Arc<LeaseView>,
    scout: Scout,
    traces: Option<Arc<Traces>>,
    exporter: Exporter,
    phase: watch::Receiver<Phase>,
}

impl Core {
    /// Opens the parts that no head is needed for. The scout runs already.
    fn open(
        config: Config,
        kad: hydra_kad::Config,
        backends: Backends,
        phase: watch::Receiver<Phase>,
    ) -> (Self, JoinHandle<()>) {
        let config = Arc::new(config);
        let peer_addresses = Arc::new(PeerAddresses::new(PEER_ADDRESSES_LEN_MAX));
        let (scout, scout_task) = scout::spawn(kad.clone(), Arc::clone(&peer_addresses), phase.clone());
        let exporter = backends.exporter;
        let traces = exporter.tracer().map(|tracer| Traces::start(&config.telemetry.traces, tracer.clone()));
        let core = Self {
            table: Arc::new(Table::new(config.network.addresses, table_limits(&config.network))),
            connections: Arc::new(NodeConnections::new(Marks::of_node(&config.connections))),
            engine: open_engine(&config, backends.store, backends.admission, traces.clone()),
            heads: Arc::default(),
            lease_view: Arc::default(),
            config,
            kad,
            peer_addresses,
            scout,
            traces,
            exporter,
            phase,
        };
        (core, scout_task)
    }

    fn lease_keeper(
        &self,
        ids: Arc<dyn IdAllocator>,
        wanted: HeadCount,
        candidates: mpsc::Sender<Contact>,
    ) -> LeaseKeeper<NodeHeads> {
        let shared = Arc::new(Shared {
            engine: Arc::clone(&self.engine),
            table: Arc::clone(&self.table),
            peer_addresses: Arc::clone(&self.peer_addresses),
            policy: self.config.network.addresses,
            small_answers: self.config.kad.small_answers,
        });
        let heads = NodeHeads::new(HeadParts {
            config: Arc::clone(&self.config),
            kad: self.kad.clone(),
            shared,
            connections: Arc::clone(&self.connections),
            candidates,
            list: Arc::clone(&self.heads),
        });
        LeaseKeeper::new(ids, wanted, heads, Arc::clone(&self.lease_view))
    }

    fn node_view(&self) -> Arc<NodeView> {
        Arc::new(NodeView {
            config: Arc::clone(&self.config),
            engine: Arc::clone(&self.engine),
            wire: Arc::clone(&self.kad.stats),
            table: Arc::clone(&self.table),
            connections: Arc::clone(&self.connections),
            heads: Arc::clone(&self.heads),
            leases: Arc::clone(&self.lease_view),
            traces: self.traces.clone(),
            exporter: self.exporter.clone(),
            phase: self.phase.clone(),
            tasks: OnceLock::new(),
        })
    }

    /// Waits until every head listens, and writes where they are.
    async fn heads_listen(&self) -> Result<(), StartError> {
        for head in self.heads.now().iter() {
            reachable(head.slot, head.status.clone()).await?;
        }
        heads_file::write(&self.config.data_dir, &self.heads.lines())
            .map_err(|cause| StartError::System { what: "cannot write where the heads are", cause })
    }

    /// Spawns the tasks that need heads with addresses.
    fn spawn_tasks(
        &self,
        leases: JoinHandle<Vec<HeldSlot>>,
        scout: JoinHandle<()>,
        met: mpsc::Receiver<Contact>,
    ) -> Tasks {
        let (data_dir, lines) = (self.config.data_dir.clone(), self.heads.lines());
        let heads_file = tokio::spawn(heads_file::keep(data_dir, Arc::clone(&self.heads), lines));
        let parts = self.table_maintenance();
        let table_maintenance = tokio::spawn(async move { table_maintenance::run(&parts, met).await });
        let advertiser = tokio::spawn(advertiser::run(
            Arc::clone(&self.heads),
            Arc::clone(&self.table),
            Duration::from_secs(self.config.network.advertise_interval_s.into()),
            probe_timeout(&self.config),
            self.phase.clone(),
        ));
        Tasks { leases, scout, table_maintenance, advertiser, heads_file }
    }

    fn table_maintenance(&self) -> table_maintenance::Parts {
        let config = &self.config;
        table_maintenance::Parts {
            table: Arc::clone(&self.table),
            peer_addresses: Arc::clone(&self.peer_addresses),
            scout: self.scout.clone(),
            heads: Arc::clone(&self.heads),
            bootstrap: bootstrap(&config.network),
            interval: Duration::from_secs(config.network.refresh_interval_s.into()),
            timeout: probe_timeout(config),
            pace: pace(&config.network),
            saved: config.data_dir.join(PEERS_FILE),
            phase: self.phase.clone(),
        }
    }
}

fn open_engine(
    config: &Config,
    store: Arc<dyn ProviderStore>,
    policies: Vec<NamedPolicy>,
    traces: Option<Arc<Traces>>,
) -> Arc<Engine> {
    let store = NamedStore { name: config.store.kind.clone(), store };
    let watch = traces.map(|traces| -> Arc<dyn Watch> { traces });
    Engine::open(store, policies, config.engine.clone(), Clock::system(), watch)
}

fn probe_timeout(config: &Config) -> Duration {
    Duration::from_millis(config.network.probe_timeout_ms.into())
}

/// Gives the leases of a start that failed back, when their heads have ended.
async fn release(ids: &dyn IdAllocator, leases: JoinHandle<Vec<HeldSlot>>) {
    let Ok(held) = leases.await else { return };
    match timeout(RELEASE_WAIT, ids.release(&held)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(error = %Causes(&error), "cannot release the identities"),
        Err(_) => tracing::warn!("cannot release the identities in time"),
    }
}

async fn reachable(slot: u32, mut status: watch::Receiver<Status>) -> Result<(), StartError> {
    let failed = |cause: &str| StartError::Listen { slot, cause: cause.to_owned() };
    let status = status
        .wait_for(|status| status.ready || status.failure.is_some())
        .await
        .map_err(|_| failed("its task ended"))?;
    match &status.failure {
        Some(cause) => Err(failed(cause)),
        None if status.addresses.is_empty() => Err(failed("no address to listen on")),
        None => Ok(()),
    }
}

fn kad_config(config: &Config) -> Result<hydra_kad::Config, StartError> {
    let name = &config.network.protocol;
    let protocol =
        StreamProtocol::try_from_owned(name.clone()).map_err(|_| StartError::Protocol(name.clone()))?;
    let mut kad = hydra_kad::Config::new([protocol]);
    kad.limits.frame_bytes_max = config.kad.frame_bytes_max as usize;
    kad.limits.streams_max = config.kad.streams_per_connection_max as usize;
    kad.limits.frame_wait = Duration::from_secs(config.kad.stream_idle_s.into());
    let budget = usize::try_from(config.kad.frames_bytes_max).unwrap_or(usize::MAX);
    kad.frames = hydra_kad::Budget::new(budget);
    kad.answers = hydra_kad::Budget::new(budget);
    Ok(kad)
}

fn table_limits(network: &Network) -> Limits {
    let of = |max: u32| match network.diversity {
        Diversity::On => max as usize,
        Diversity::Off => usize::MAX,
    };
    Limits {
        len_max: network.table_len_max as usize,
        bucket_len_max: BUCKET_LEN_MAX,
        bucket_group_len_max: of(network.group_bucket_peers_max),
        group_len_max: of(network.group_peers_max),
        group_own_max: of(network.group_own_heads_max),
    }
}

fn pace(network: &Network) -> Pace {
    Pace {
        parallel_max: network.lookup_alpha as usize,
        settled_min: network.lookup_beta as usize,
        ..Pace::AMINO
    }
}

fn bootstrap(network: &Network) -> Vec<Contact> {
    let mut contacts: Vec<Contact> = Vec::new();
    for told in &network.bootstrap {
        match contacts.iter_mut().find(|contact| contact.peer == told.peer()) {
            Some(contact) => contact.addresses.push(without_id(&told.peer(), told.address().clone())),
            None => contacts.push(Contact {
                peer: told.peer(),
                addresses: vec![without_id(&told.peer(), told.address().clone())],
            }),
        }
    }
    contacts
}

/// A head takes a few descriptors and a TCP connection takes one, so the limit is raised as far as the system permits.
fn raise_descriptors() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => tracing::debug!(limit, "file descriptors"),
        Err(cause) => tracing::warn!(error = %cause, "cannot raise the limit of open files"),
    }
}
