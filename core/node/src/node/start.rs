//! Starting: identities, ports, heads, scout, table.

use super::running::Running;
use super::{Node, heads_file, stop};
use crate::advertiser;
use crate::backends::Backends;
use crate::config::{Config, Diversity, Network};
use crate::connection_limits::{Marks, NodeConnections};
use crate::http;
use crate::leases::{BeginError, HeadError, HeadParts, LeaseKeeper, LeaseView, NodeHeads};
use crate::lookup::{Contact, Pace};
use crate::net::head::{HeadList, Status};
use crate::node::PEERS_FILE;
use crate::node_view::NodeView;
use crate::peer_addresses::{PeerAddresses, without_id};
use crate::request_handler::Shared;
use crate::scout::{self, Scout};
use crate::table::{Limits, Table};
use crate::table_maintenance::{self, CANDIDATES_MAX};
use hydra_api::{HeadCount, IdError};
use libp2p::StreamProtocol;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Peers whose addresses are remembered, over all heads.
const PEER_ADDRESSES_LEN_MAX: usize = 16_384;
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
    /// The stop came first.
    #[error("stopped before the start was complete")]
    Stopped,
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

impl From<BeginError<HeadError>> for StartError {
    fn from(error: BeginError<HeadError>) -> Self {
        match error {
            BeginError::Ids(cause) => cause.into(),
            BeginError::Head(cause) => cause.into(),
        }
    }
}

/// Starts a node unless `stop` ends first. However the start ends, what it has started is stopped.
pub(super) async fn start(
    config: Config,
    backends: Backends,
    stop: impl Future<Output = ()>,
) -> Result<Node, StartError> {
    raise_descriptors();
    let mut running = Running::new(config, backends);
    let begun = tokio::select! {
        begun = begin(&mut running) => begun,
        () = stop => Err(StartError::Stopped),
    };
    match begun {
        Ok(Core { heads, table, connections, kad, .. }) => {
            Ok(Node { running, heads, table, connections, kad })
        }
        Err(cause) => {
            if let Err(error) = stop::stop(running, None).await {
                tracing::warn!(%error, "what the failed start had started did not stop cleanly");
            }
            Err(cause)
        }
    }
}

/// Starts one part after another. What runs is in `running` before the next wait.
async fn begin(running: &mut Running) -> Result<Core, StartError> {
    let config = Arc::clone(&running.config);
    let kad = kad_config(&config)?;
    let listen = config.telemetry.http.listen;
    let bound =
        http::bind(&config.telemetry.http).await.map_err(|cause| StartError::Http { listen, cause })?;
    let core = Core::open(running, kad);
    let (candidates, met) = mpsc::channel(CANDIDATES_MAX);
    let keeper = core.lease_keeper(running, candidates);
    let (begun, told) = oneshot::channel();
    running.tasks.leases = Some(tokio::spawn(keeper.run(running.phase.subscribe(), begun)));
    let node_view = core.node_view(running);
    // From here on probes are told how far the start is.
    running.http = bound.map(|bound| bound.serve(Arc::clone(&node_view)));
    told.await.map_err(|_| StartError::System {
        what: "the lease keeper has ended",
        cause: io::Error::other("its task panicked"),
    })??;
    core.heads_listen(&config).await?;
    core.spawn_tasks(running, met);
    node_view.started(running.tasks.abort_handles());
    Ok(core)
}

/// What the tasks of a node share.
#[derive(Debug)]
struct Core {
    kad: hydra_kad::Config,
    table: Arc<Table>,
    peer_addresses: Arc<PeerAddresses>,
    connections: Arc<NodeConnections>,
    heads: Arc<HeadList>,
    lease_view: Arc<LeaseView>,
    scout: Scout,
}

impl Core {
    /// Opens the parts that no head is needed for, and starts the scout.
    fn open(running: &mut Running, kad: hydra_kad::Config) -> Self {
        let config = &running.config;
        let peer_addresses = Arc::new(PeerAddresses::new(PEER_ADDRESSES_LEN_MAX));
        let (scout, task) = scout::spawn(kad.clone(), Arc::clone(&peer_addresses), running.phase.subscribe());
        running.tasks.scout = Some(task);
        Self {
            table: Arc::new(Table::new(config.network.addresses, table_limits(&config.network))),
            connections: Arc::new(NodeConnections::new(Marks::of_node(&config.connections))),
            heads: Arc::default(),
            lease_view: Arc::default(),
            kad,
            peer_addresses,
            scout,
        }
    }

    fn lease_keeper(&self, running: &Running, candidates: mpsc::Sender<Contact>) -> LeaseKeeper<NodeHeads> {
        let config = &running.config;
        let shared = Arc::new(Shared {
            engine: Arc::clone(&running.engine),
            table: Arc::clone(&self.table),
            peer_addresses: Arc::clone(&self.peer_addresses),
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

    fn node_view(&self, running: &Running) -> Arc<NodeView> {
        Arc::new(NodeView {
            config: Arc::clone(&running.config),
            engine: Arc::clone(&running.engine),
            store: Arc::clone(&running.store),
            opening: running.opening.clone(),
            wire: Arc::clone(&self.kad.stats),
            table: Arc::clone(&self.table),
            connections: Arc::clone(&self.connections),
            heads: Arc::clone(&self.heads),
            leases: Arc::clone(&self.lease_view),
            traces: running.traces.clone(),
            exporter: running.exporter.clone(),
            phase: running.phase.subscribe(),
            tasks: OnceLock::new(),
        })
    }

    /// Waits until every head listens, and writes where they are.
    async fn heads_listen(&self, config: &Config) -> Result<(), StartError> {
        for head in self.heads.now().iter() {
            reachable(head.slot, head.status.clone()).await?;
        }
        heads_file::write(&config.data_dir, &self.heads.lines())
            .map_err(|cause| StartError::System { what: "cannot write where the heads are", cause })
    }

    /// Spawns the tasks that need heads with addresses.
    fn spawn_tasks(&self, running: &mut Running, met: mpsc::Receiver<Contact>) {
        let config = &running.config;
        let heads_file =
            heads_file::keep(config.data_dir.clone(), Arc::clone(&self.heads), self.heads.lines());
        let parts = self.table_maintenance(running);
        let table_maintenance = async move { table_maintenance::run(&parts, met).await };
        let advertiser = advertiser::run(
            Arc::clone(&self.heads),
            Arc::clone(&self.table),
            Duration::from_secs(config.network.advertise_interval_s.into()),
            probe_timeout(config),
            running.phase.subscribe(),
        );
        let tasks = &mut running.tasks;
        tasks.heads_file = Some(tokio::spawn(heads_file));
        tasks.table_maintenance = Some(tokio::spawn(table_maintenance));
        tasks.advertiser = Some(tokio::spawn(advertiser));
    }

    fn table_maintenance(&self, running: &Running) -> table_maintenance::Parts {
        let config = &running.config;
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
            phase: running.phase.subscribe(),
        }
    }
}

fn probe_timeout(config: &Config) -> Duration {
    Duration::from_millis(config.network.probe_timeout_ms.into())
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
