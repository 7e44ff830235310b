//! One head: its swarm, in a task of its own, restarted when it panics.

mod behaviour;
mod close;
pub mod connection_limits;
mod events;
mod listen;
mod long_identify;

use crate::config::Config;
use crate::net::autonat;
use crate::net::heads::{Head, HeadList, Status};
use crate::net::own_addresses::OwnAddresses;
use crate::net::requests::proof::Proof;
use crate::net::requests::request_handler::Shared;
use crate::net::routing::table_maintenance::Candidate;
use crate::net::supervise::{End, Phase, supervise};
use crate::net::swarm::{self, Names};
use arc_swap::ArcSwapOption;
use connection_limits::NodeConnections;
use futures::{FutureExt, StreamExt};
use hydra_kad::{Client, Mode};
use libp2p::Multiaddr;
use libp2p::identity::Keypair;
use listen::Listeners;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

/// How long listeners have to tell their addresses; one without interfaces never does.
const LISTEN_WAIT: Duration = Duration::from_secs(2);

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
    /// Which addresses it advertises.
    pub(crate) own_addresses: OwnAddresses,
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
    pub(crate) candidates: mpsc::Sender<Candidate>,
    /// The heads of the node, where a change of the addresses is reported.
    pub(crate) list: Arc<HeadList>,
}

/// Starts a head in its own task, one of `tasks`.
pub(crate) fn spawn(parts: Parts, tasks: &mut JoinSet<()>) -> (Head, AbortHandle) {
    let (status, seen) = watch::channel(Status::default());
    let head = Head {
        slot: parts.slot,
        peer: parts.key.public().to_peer_id(),
        status: seen,
        client: Arc::default(),
        tester: Arc::default(),
        found: Arc::default(),
        restarts: Arc::default(),
        mode: Arc::new(watch::Sender::new(Mode::Server)),
    };
    let clients = Clients { kad: Arc::clone(&head.client), tester: Arc::clone(&head.tester) };
    let (restarts, mode) = (Arc::clone(&head.restarts), Arc::clone(&head.mode));
    let task = tasks.spawn(async move {
        let work = || async {
            let ended = AssertUnwindSafe(run(&parts, &status, &clients, &mode)).catch_unwind().await;
            clients.kad.store(None);
            clients.tester.store(None);
            let ended = ended.unwrap_or(Ok(End::Panicked));
            if !matches!(ended, Ok(End::Stopped)) {
                events::on_down(&parts, &status);
            }
            ended
        };
        let failed = |cause| status.send_modify(|status| status.failure = Some(cause));
        supervise(&format!("head {}", parts.slot), parts.phase.clone(), &restarts, work, failed).await;
    });
    (head, task)
}

/// By what the head is made to ask others.
struct Clients {
    kad: Arc<ArcSwapOption<Client>>,
    tester: Arc<ArcSwapOption<autonat::Client>>,
}

/// The mode of a head that is to be in this one while the node serves.
fn mode_in(phase: Phase, wanted: Mode, leaves: bool) -> Mode {
    match phase {
        Phase::Serving => wanted,
        Phase::Draining if !leaves => wanted,
        Phase::Draining | Phase::Stopping => Mode::Client,
    }
}

async fn run(
    parts: &Parts,
    status: &watch::Sender<Status>,
    clients: &Clients,
    mode: &watch::Sender<Mode>,
) -> io::Result<End> {
    let panicked = Arc::new(Notify::new());
    let mut phase = parts.phase.clone();
    let now = *phase.borrow_and_update();
    if now == Phase::Stopping {
        // Seen already, so no change to it will be told.
        return Ok(End::Stopped);
    }
    let mut wanted = mode.subscribe();
    let leaves = parts.config.shutdown.leaves_server_mode;
    let (behaviour, tester) = behaviour::of(parts, mode_in(now, *wanted.borrow_and_update(), leaves));
    clients.kad.store(Some(Arc::new(behaviour.kad.client())));
    clients.tester.store(Some(Arc::new(tester)));
    let idle = Duration::from_secs(parts.config.connections.idle_timeout_s.into());
    let connections = (idle, parts.kad.limits.streams_max);
    let (dials, watched) = (Arc::clone(&parts.shared.dials), Arc::clone(&panicked));
    let mut swarm = swarm::build(parts.key.clone(), behaviour, Names::Ignore, dials, connections, watched)?;
    let mut listeners = Listeners::begin(&mut swarm, parts.slot, &parts.listen)?;
    let patience = tokio::time::sleep(LISTEN_WAIT);
    tokio::pin!(patience);
    let mut is_patient = true;
    loop {
        let retry = listeners.next_retry();
        tokio::select! {
            event = swarm.select_next_some() => {
                events::record_agent(&mut swarm, &event);
                listeners.on_event(&event);
                events::on_event(parts, status, (&mut swarm, &listeners), event);
            }
            () = &mut patience, if is_patient => {
                is_patient = false;
                listeners.give_up_waiting();
                events::on_addresses_changed(parts, status, (&mut swarm, &listeners), |_| {});
            }
            () = until(retry), if retry.is_some() => {
                // The failure is in the log.
                let _failure = listeners.retry(&mut swarm);
                is_patient = true;
                patience.as_mut().reset(Instant::now() + LISTEN_WAIT);
                events::on_addresses_changed(parts, status, (&mut swarm, &listeners), |_| {});
            }
            changed = phase.changed() => {
                let now = if changed.is_ok() { *phase.borrow_and_update() } else { Phase::Stopping };
                match now {
                    Phase::Serving | Phase::Draining => {
                        let mode = mode_in(now, *wanted.borrow_and_update(), leaves);
                        swarm.behaviour_mut().kad.set_mode(mode);
                    }
                    Phase::Stopping => {
                        close::close(&mut swarm).await;
                        return Ok(End::Stopped);
                    }
                }
            }
            // The other end is held as long as this runs.
            Ok(()) = wanted.changed() => {
                let mode = mode_in(*phase.borrow(), *wanted.borrow_and_update(), leaves);
                swarm.behaviour_mut().kad.set_mode(mode);
                events::on_addresses_changed(parts, status, (&mut swarm, &listeners), |_| {});
            }
            () = panicked.notified() => return Ok(End::Panicked),
        }
    }
}

/// Waits until then.
async fn until(then: Option<Instant>) {
    if let Some(then) = then {
        tokio::time::sleep_until(then).await;
    }
}
