//! One head: its swarm, in a task of its own, restarted when it panics.

mod list;
mod status;

pub use list::HeadLine;
pub(crate) use list::HeadList;
pub(crate) use status::{State, Status};

use crate::config::Config;
use crate::connection_limits::{Activity, ConnectionLimits, Marks, NodeConnections};
use crate::lookup::Contact;
use crate::peer_addresses::{ADDRESSES_PER_PEER_MAX, worth_keeping};
use crate::proof::Proof;
use crate::request_handler::{RequestHandler, Shared};
use crate::supervise::{End, Phase, supervise};
use crate::swarm::{self, Names};
use arc_swap::ArcSwapOption;
use futures::{FutureExt, StreamExt};
use hydra_kad::{Client, Mode};
use libp2p::core::transport::ListenerId;
use libp2p::identity::Keypair;
use libp2p::swarm::{NetworkBehaviour, Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, identify, ping};
use std::collections::HashSet;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

/// What the agents of others see.
pub(crate) const AGENT: &str = concat!("hydra/", env!("CARGO_PKG_VERSION"));
/// The protocol version that the peers of the IPFS network tell.
pub(crate) const PROTOCOL_VERSION: &str = "ipfs/0.1.0";
/// Idle connections end before a ping would be due: heads answer pings and send next to none.
const PING_INTERVAL: Duration = Duration::from_secs(600);
/// How long listeners have to tell their addresses; one without interfaces never does.
const LISTEN_WAIT: Duration = Duration::from_secs(2);
/// How long connections have to close in order.
const CLOSE_WAIT: Duration = Duration::from_millis(500);

/// A head as the rest of the node sees it.
#[derive(Debug)]
pub(crate) struct Head {
    /// Its number in the fleet.
    pub(crate) slot: u32,
    /// Its id.
    pub(crate) peer: PeerId,
    /// What is known of it.
    pub(crate) status: watch::Receiver<Status>,
    /// Asks others in the head's name; `None` while the head is down.
    pub(crate) client: Arc<ArcSwapOption<Client>>,
    /// How often it was started again.
    pub(crate) restarts: Arc<AtomicU64>,
}

impl Head {
    /// How it stands with it.
    pub(crate) fn state(&self) -> State {
        // Its task holds the other end as long as it runs.
        if self.status.has_changed().is_err() { State::Ended } else { self.status.borrow().state() }
    }
}

/// All that a head needs, for its first start and for every later one.
#[derive(Debug)]
pub(crate) struct Parts {
    /// Its number in the fleet.
    pub(crate) slot: u32,
    /// Its key.
    pub(crate) key: Keypair,
    /// Until when its lease is known to be held.
    pub(crate) proof: Arc<Proof>,
    /// Where to listen.
    pub(crate) listen: Vec<Multiaddr>,
    /// What to announce besides.
    pub(crate) announce: Vec<Multiaddr>,
    /// The config of the node.
    pub(crate) config: Arc<Config>,
    /// The protocol, its limits and counters.
    pub(crate) kad: hydra_kad::Config,
    /// What all heads share.
    pub(crate) shared: Arc<Shared>,
    /// The connections of all heads.
    pub(crate) connections: Arc<NodeConnections>,
    /// How far it is: the phase of the node, or further.
    pub(crate) phase: watch::Receiver<Phase>,
    /// Servers that were met go here; what finds no room is met again.
    pub(crate) candidates: mpsc::Sender<Contact>,
    /// The heads of the node, where a change of the addresses is reported.
    pub(crate) list: Arc<HeadList>,
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    limits: libp2p::connection_limits::Behaviour,
    connections: ConnectionLimits,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    kad: hydra_kad::Behaviour<RequestHandler>,
}

/// Starts a head in its own task, one of `tasks`.
pub(crate) fn spawn(parts: Parts, tasks: &mut JoinSet<()>) -> (Head, AbortHandle) {
    let (status, seen) = watch::channel(Status::default());
    let head = Head {
        slot: parts.slot,
        peer: parts.key.public().to_peer_id(),
        status: seen,
        client: Arc::default(),
        restarts: Arc::default(),
    };
    let (client, restarts) = (Arc::clone(&head.client), Arc::clone(&head.restarts));
    let task = tasks.spawn(async move {
        let work = || async {
            let ended = AssertUnwindSafe(run(&parts, &status, &client)).catch_unwind().await;
            client.store(None);
            ended.unwrap_or(Ok(End::Panicked))
        };
        let failed = |cause| status.send_modify(|status| status.failure = Some(cause));
        supervise(&format!("head {}", parts.slot), parts.phase.clone(), &restarts, work, failed).await;
    });
    (head, task)
}

async fn run(
    parts: &Parts,
    status: &watch::Sender<Status>,
    client: &ArcSwapOption<Client>,
) -> io::Result<End> {
    let panicked = Arc::new(Notify::new());
    let mut phase = parts.phase.clone();
    let now = *phase.borrow_and_update();
    if now == Phase::Stopping {
        // Seen already, so no change to it will be told.
        return Ok(End::Stopped);
    }
    let behaviour = behaviour(parts, now);
    client.store(Some(Arc::new(behaviour.kad.client())));
    let idle = Duration::from_secs(parts.config.connections.idle_timeout_s.into());
    let mut swarm = swarm::build(parts.key.clone(), behaviour, Names::Ignore, idle, Arc::clone(&panicked))?;
    for address in &parts.announce {
        swarm.add_external_address(address.clone());
    }
    let mut silent = listen(&mut swarm, parts)?;
    let patience = tokio::time::sleep(LISTEN_WAIT);
    tokio::pin!(patience);
    loop {
        tokio::select! {
            event = swarm.select_next_some() => {
                record_agent(&swarm, &event);
                on_event(parts, status, &mut silent, event);
            }
            () = &mut patience, if !silent.is_empty() => {
                silent.clear();
                on_addresses_changed(parts, status, &silent, |_| {});
            }
            changed = phase.changed() => {
                let now = if changed.is_ok() { *phase.borrow_and_update() } else { Phase::Stopping };
                match now {
                    Phase::Serving => swarm.behaviour_mut().kad.set_mode(Mode::Server),
                    Phase::Draining => swarm.behaviour_mut().kad.set_mode(Mode::Client),
                    Phase::Stopping => {
                        close(&mut swarm).await;
                        return Ok(End::Stopped);
                    }
                }
            }
            () = panicked.notified() => return Ok(End::Panicked),
        }
    }
}

fn behaviour(parts: &Parts, phase: Phase) -> Behaviour {
    let connections = &parts.config.connections;
    let limits = libp2p::connection_limits::ConnectionLimits::default()
        .with_max_pending_incoming(Some(connections.pending_max))
        .with_max_pending_outgoing(Some(connections.pending_max))
        .with_max_established_per_peer(Some(connections.per_peer_max));
    let identify = identify::Config::new(PROTOCOL_VERSION.to_owned(), parts.key.public())
        .with_agent_version(AGENT.to_owned())
        .with_cache_size(0);
    let activity = Arc::<Activity>::default();
    let service = RequestHandler {
        slot: parts.slot,
        peer: parts.key.public().to_peer_id(),
        proof: Arc::clone(&parts.proof),
        shared: Arc::clone(&parts.shared),
        activity: Arc::clone(&activity),
    };
    let mode = if phase == Phase::Serving { Mode::Server } else { Mode::Client };
    let marks = Marks::of_head(connections);
    Behaviour {
        limits: libp2p::connection_limits::Behaviour::new(limits),
        connections: ConnectionLimits::new(
            marks,
            Arc::clone(&parts.connections),
            activity,
            Arc::clone(&parts.shared.table),
        ),
        identify: identify::Behaviour::new(identify),
        ping: ping::Behaviour::new(ping::Config::new().with_interval(PING_INTERVAL)),
        kad: hydra_kad::Behaviour::new(parts.kad.clone(), Arc::new(service), mode),
    }
}

/// Listens wherever it can; the ids of the listeners are returned.
fn listen(swarm: &mut Swarm<Behaviour>, parts: &Parts) -> io::Result<HashSet<ListenerId>> {
    let mut listeners = HashSet::new();
    let mut failure = None;
    for address in &parts.listen {
        match swarm.listen_on(address.clone()) {
            Ok(listener) => {
                listeners.insert(listener);
            }
            Err(cause) => {
                tracing::warn!(head = parts.slot, %address, error = %cause, "cannot listen");
                failure = Some(cause);
            }
        }
    }
    match failure {
        Some(cause) if listeners.is_empty() => Err(io::Error::other(cause)),
        _ => Ok(listeners),
    }
}

/// Notes which program is at the other end of a connection, for how long its answers may be (requirement V17).
fn record_agent(swarm: &Swarm<Behaviour>, event: &SwarmEvent<BehaviourEvent>) {
    if let SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received {
        connection_id,
        info,
        ..
    })) = event
    {
        swarm.behaviour().connections.identified(*connection_id, &info.agent_version);
    }
}

fn on_event(
    parts: &Parts,
    status: &watch::Sender<Status>,
    silent: &mut HashSet<ListenerId>,
    event: SwarmEvent<BehaviourEvent>,
) {
    match event {
        SwarmEvent::NewListenAddr { listener_id, address } => {
            silent.remove(&listener_id);
            on_addresses_changed(parts, status, silent, |addresses| {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            });
        }
        SwarmEvent::ExpiredListenAddr { address, .. } => {
            on_addresses_changed(parts, status, silent, |addresses| {
                addresses.retain(|known| *known != address)
            });
        }
        SwarmEvent::ListenerClosed { listener_id, addresses: closed, reason } => {
            tracing::warn!(head = parts.slot, ?reason, "a listener closed");
            silent.remove(&listener_id);
            on_addresses_changed(parts, status, silent, |addresses| {
                addresses.retain(|known| !closed.contains(known))
            });
        }
        SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received {
            peer_id, info, ..
        })) => {
            on_identified(parts, peer_id, info);
        }
        _ => {}
    }
}

/// Notes a change of the addresses, and updates the table and the peer addresses.
fn on_addresses_changed(
    parts: &Parts,
    status: &watch::Sender<Status>,
    silent: &HashSet<ListenerId>,
    change: impl FnOnce(&mut Vec<Multiaddr>),
) {
    status.send_modify(|status| {
        change(&mut status.addresses);
        status.ready = silent.is_empty();
        status.failure = None;
    });
    let mut addresses = parts.announce.clone();
    addresses.extend(status.borrow().addresses.iter().cloned());
    let peer = parts.key.public().to_peer_id();
    parts.shared.table.set_own(peer, &addresses, Instant::now());
    parts.shared.peer_addresses.record(peer, addresses);
    parts.list.on_change();
}

/// Notes what a peer said of itself; a server of our protocol may enter the table, and one that serves no more leaves it
/// (requirement T1).
fn on_identified(parts: &Parts, peer: PeerId, info: identify::Info) {
    let serves = info.protocols.iter().any(|told| parts.kad.protocols.contains(told));
    let addresses = worth_keeping(&peer, info.listen_addrs, ADDRESSES_PER_PEER_MAX);
    if serves && parts.shared.table.consider(&peer, &addresses).is_ok() {
        // A full queue loses nothing for good: the peer is met again.
        drop(parts.candidates.try_send(Contact { peer, addresses: addresses.clone() }));
    }
    if !serves {
        parts.shared.table.remove_foreign(&peer);
    }
    parts.shared.peer_addresses.record(peer, addresses);
}

/// Ends all connections in order, as far as time permits.
async fn close(swarm: &mut Swarm<Behaviour>) {
    let peers: Vec<_> = swarm.connected_peers().copied().collect();
    for peer in peers {
        // An error says that it is gone already.
        let _gone = swarm.disconnect_peer_id(peer);
    }
    let closed = async {
        while swarm.connected_peers().next().is_some() {
            swarm.select_next_some().await;
        }
    };
    drop(tokio::time::timeout(CLOSE_WAIT, closed).await);
}
