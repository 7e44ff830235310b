//! Starting: identities, ports, heads, scout, table.

use super::{Node, write_heads};
use crate::advertiser;
use crate::backends::Backends;
use crate::config::{Config, Diversity, Network};
use crate::connection_limits::{Marks, NodeConnections};
use crate::head::{self, Head, Status};
use crate::http;
use crate::lookup::{Contact, Pace};
use crate::node::PEERS_FILE;
use crate::node_view::NodeView;
use crate::peer_addresses::{PeerAddresses, without_id};
use crate::ports;
use crate::request_handler::Shared;
use crate::scout::{self, Scout};
use crate::supervise::Phase;
use crate::table::{Limits, Table};
use crate::table_maintenance::{self, CANDIDATES_MAX};
use crate::traces::Traces;
use hydra_api::{HeadLease, HeldSlot, IdAllocator, IdError, ProviderStore};
use hydra_engine::{Clock, Engine, NamedPolicy, NamedStore, Watch};
use libp2p::StreamProtocol;
use libp2p::identity::Keypair;
use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

/// Peers whose addresses are remembered, over all heads.
const PEER_ADDRESSES_LEN_MAX: usize = 16_384;
/// Closer peers in answers and peers in a bucket (k).
const BUCKET_LEN_MAX: usize = 20;

/// A node that could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The identities are not to be had.
    #[error("no identities: {0}")]
    Ids(#[from] IdError),
    /// An identity is not what it should be.
    #[error("the identity of slot {slot} is not that of its peer id")]
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
    #[error("`{0}` is no protocol name")]
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

pub(super) async fn start(config: Config, backends: Backends) -> Result<Node, StartError> {
    let config = Arc::new(config);
    raise_descriptors();
    let kad = kad_config(&config)?;
    let listen = config.telemetry.http.listen;
    let http =
        http::bind(&config.telemetry.http).await.map_err(|cause| StartError::Http { listen, cause })?;
    let leases = acquire(&config, &*backends.ids).await?;
    let table = Arc::new(Table::new(config.network.addresses, table_limits(&config.network)));
    let peer_addresses = Arc::new(PeerAddresses::new(PEER_ADDRESSES_LEN_MAX));
    let connections = Arc::new(NodeConnections::new(Marks::of_node(&config.connections)));
    let (phase, phase_seen) = watch::channel(Phase::Serving);
    let (asks, scout) = scout::spawn(kad.clone(), Arc::clone(&peer_addresses), phase_seen.clone());
    let traces = backends.exporter.tracer();
    let traces = traces.map(|tracer| Traces::start(&config.telemetry.traces, tracer.clone()));
    let engine = open_engine(&config, backends.store, backends.admission, traces.clone());
    let shared = Arc::new(Shared {
        engine: Arc::clone(&engine),
        table: Arc::clone(&table),
        peer_addresses: Arc::clone(&peer_addresses),
        policy: config.network.addresses,
        small_answers: config.kad.small_answers,
    });

    let (candidates, met) = mpsc::channel(CANDIDATES_MAX);
    let (heads, head_tasks) =
        spawn_heads(&leases, &config, &kad, &shared, &connections, &phase_seen, &candidates)?;
    let node_view = Arc::new(NodeView {
        config: Arc::clone(&config),
        engine: Arc::clone(&engine),
        wire: Arc::clone(&kad.stats),
        table: Arc::clone(&table),
        connections: Arc::clone(&connections),
        heads: Arc::clone(&heads),
        traces,
        exporter: backends.exporter.clone(),
        phase: phase_seen.clone(),
        tasks: OnceLock::new(),
    });
    // From here on probes are told how far the start is.
    let http = http.map(|bound| bound.serve(Arc::clone(&node_view)));
    for head in heads.iter() {
        reachable(head.slot, head.status.clone()).await?;
    }
    let table_maintenance =
        spawn_table_maintenance(&config, &table, peer_addresses, asks, met, &heads, &phase_seen);
    let advertiser = spawn_advertiser(&config, &table, &heads, &phase_seen);
    let tasks = [("scout", &scout), ("table_maintenance", &table_maintenance), ("advertiser", &advertiser)];
    node_view.started(tasks.map(|(name, task)| (name, task.abort_handle())).into());
    let ids = backends.ids;
    let node = Node {
        config,
        engine,
        ids,
        leases,
        heads,
        head_tasks,
        scout,
        table_maintenance,
        advertiser,
        phase,
        table,
        connections,
        kad,
        http,
        exporter: backends.exporter,
    };
    write_heads(&node.config.data_dir, &node.heads())
        .map_err(|cause| StartError::System { what: "cannot write where the heads are", cause })?;
    Ok(node)
}

fn spawn_heads(
    leases: &[HeadLease],
    config: &Arc<Config>,
    kad: &hydra_kad::Config,
    shared: &Arc<Shared>,
    connections: &Arc<NodeConnections>,
    phase: &watch::Receiver<Phase>,
    candidates: &mpsc::Sender<Contact>,
) -> Result<(Arc<[Head]>, JoinSet<()>), StartError> {
    let mut tasks = JoinSet::new();
    let mut heads = Vec::with_capacity(leases.len());
    for lease in leases {
        let parts = head::Parts {
            slot: lease.slot,
            key: key_of(lease)?,
            listen: ports::addresses(&config.heads, lease.port),
            announce: ports::announced(&config.heads, lease.port),
            config: Arc::clone(config),
            kad: kad.clone(),
            shared: Arc::clone(shared),
            connections: Arc::clone(connections),
            phase: phase.clone(),
            candidates: candidates.clone(),
        };
        heads.push(head::spawn(parts, &mut tasks));
    }
    Ok((heads.into(), tasks))
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

fn table_maintenance(
    config: &Config,
    table: &Arc<Table>,
    peer_addresses: Arc<PeerAddresses>,
    scout: Scout,
    heads: &[Head],
    phase: &watch::Receiver<Phase>,
) -> table_maintenance::Parts {
    table_maintenance::Parts {
        table: Arc::clone(table),
        peer_addresses,
        scout,
        heads: heads.iter().map(|head| head.peer).collect(),
        bootstrap: bootstrap(&config.network),
        interval: Duration::from_secs(config.network.refresh_interval_s.into()),
        timeout: probe_timeout(config),
        pace: pace(&config.network),
        saved: config.data_dir.join(PEERS_FILE),
        phase: phase.clone(),
    }
}

fn spawn_table_maintenance(
    config: &Config,
    table: &Arc<Table>,
    peer_addresses: Arc<PeerAddresses>,
    scout: Scout,
    met: mpsc::Receiver<Contact>,
    heads: &[Head],
    phase: &watch::Receiver<Phase>,
) -> JoinHandle<()> {
    let table_maintenance = table_maintenance(config, table, peer_addresses, scout, heads, phase);
    tokio::spawn(async move { table_maintenance::run(&table_maintenance, met).await })
}

fn spawn_advertiser(
    config: &Config,
    table: &Arc<Table>,
    heads: &Arc<[Head]>,
    phase: &watch::Receiver<Phase>,
) -> JoinHandle<()> {
    let interval = Duration::from_secs(config.network.advertise_interval_s.into());
    let (heads, table, timeout) = (Arc::clone(heads), Arc::clone(table), probe_timeout(config));
    tokio::spawn(advertiser::run(heads, table, interval, timeout, phase.clone()))
}

fn probe_timeout(config: &Config) -> Duration {
    Duration::from_millis(config.network.probe_timeout_ms.into())
}

/// Takes the leases, and finds a free port for each whose own is taken.
async fn acquire(config: &Config, ids: &dyn IdAllocator) -> Result<Vec<HeadLease>, StartError> {
    let wanted = NonZeroU32::new(config.heads.count).unwrap_or(NonZeroU32::MIN);
    let mut leases = ids.acquire(wanted).await?;
    let (mut moved, mut given) = (false, HashSet::new());
    for lease in &mut leases {
        let port = ports::port(&config.heads, lease.port, &given)
            .map_err(|cause| StartError::Listen { slot: lease.slot, cause: cause.to_string() })?;
        if port != lease.port {
            if lease.port != 0 {
                let (head, taken) = (lease.slot, lease.port);
                tracing::warn!(head, taken, port, "the port is taken, listening on a free one");
            }
            lease.port = port;
            moved = true;
        }
        given.insert(port);
    }
    if moved {
        let held: Vec<HeldSlot> = leases.iter().map(|lease| lease.held_on(lease.port)).collect();
        ids.renew(&held).await?;
    }
    Ok(leases)
}

fn key_of(lease: &HeadLease) -> Result<Keypair, StartError> {
    let wrong = StartError::Identity { slot: lease.slot };
    let Ok(key) = Keypair::ed25519_from_bytes(*lease.identity.ed25519_seed()) else { return Err(wrong) };
    if key.public().to_peer_id().to_bytes() == lease.peer.as_bytes() { Ok(key) } else { Err(wrong) }
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

/// A head takes a few descriptors and a TCP connection one: as many as the system gives are asked for.
fn raise_descriptors() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => tracing::debug!(limit, "file descriptors"),
        Err(cause) => tracing::warn!(%cause, "the limit of file descriptors could not be raised"),
    }
}
