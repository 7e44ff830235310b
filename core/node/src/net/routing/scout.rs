//! The scout: a client that sends requests for the node and answers none.

use crate::net::autonat::Servers;
use crate::net::dial_gate::DialGate;
use crate::net::peer_addresses::{ADDRESSES_PER_PEER_MAX, PeerAddresses, worth_keeping};
use crate::net::supervise::{End, Phase, supervise};
use crate::net::swarm::{self, Names};
use crate::net::swarm::{AGENT, PROTOCOL_VERSION};
use arc_swap::ArcSwapOption;
use futures::StreamExt;
use hydra_kad::{Answer, AskError, Budget, Client, NoService, Request};
use libp2p::identify;
use libp2p::identity::Keypair;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId};
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// A connection without requests is closed after this time: each holds one of the sockets of the scout.
const IDLE: Duration = Duration::from_secs(3);
/// Streams that others may open at a time: a scout serves nothing.
const STREAMS_MAX: usize = 32;

/// Requests under way at a time.
const REQUESTS_MAX: usize = 1024;
/// The memory for incomplete answers, in bytes.
const FRAMES_BYTES_MAX: usize = 32 << 20;

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    kad: hydra_kad::Behaviour<NoService>,
}

/// Sends requests under an identity that is not a head's.
#[derive(Debug, Clone)]
pub(crate) struct Scout {
    client: Arc<ArcSwapOption<Client>>,
    dials: Arc<DialGate>,
    /// How often it was started again.
    pub(crate) restarts: Arc<AtomicU64>,
}

impl Scout {
    /// Sends a request to one peer, as [`Client::ask`] does, at those of its addresses that may be dialed.
    ///
    /// # Errors
    /// As there; [`AskError::Closed`] while the scout is down, and when it went down meanwhile.
    pub(crate) async fn ask(
        &self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        request: Request,
        patience: Duration,
    ) -> Result<Answer, AskError> {
        let client = self.client.load_full().ok_or(AskError::Closed)?;
        let addresses = self.dials.choose(&peer, addresses);
        let answer = client.ask(peer, addresses, request, patience).await;
        // A scout that ended took its connections along, which is no fault of those at their other ends.
        let lives = self.client.load().as_ref().is_some_and(|now| Arc::ptr_eq(now, &client));
        if answer.is_err() && !lives { Err(AskError::Closed) } else { answer }
    }
}

/// Starts the scout under a new identity, which it keeps until it restarts. It does not listen, so other peers do not add
/// it to their routing tables.
pub(crate) fn spawn(
    mut kad: hydra_kad::Config,
    (peer_addresses, testers): (Arc<PeerAddresses>, Arc<Servers>),
    dials: Arc<DialGate>,
    phase: watch::Receiver<Phase>,
) -> (Scout, JoinHandle<()>) {
    // The scout's requests are not part of the heads' load, and those who load the heads do not load the scout.
    kad.stats = Arc::default();
    kad.frames = Budget::new(FRAMES_BYTES_MAX.max(kad.limits.frame_bytes_max));
    kad.answers = Budget::new(0);
    kad.limits.requests_max = REQUESTS_MAX;
    let scout = Scout { client: Arc::default(), dials, restarts: Arc::default() };
    let own = scout.clone();
    let task = tokio::spawn(async move {
        let work = || run(&kad, (&peer_addresses, &testers), &own, phase.clone());
        supervise("scout", phase.clone(), &own.restarts, work, |_| {}).await;
    });
    (scout, task)
}

/// Takes the client away when the scout ends.
struct Up<'a>(&'a ArcSwapOption<Client>);

impl Drop for Up<'_> {
    fn drop(&mut self) {
        self.0.store(None);
    }
}

async fn run(
    kad: &hydra_kad::Config,
    (peer_addresses, testers): (&PeerAddresses, &Servers),
    scout: &Scout,
    mut phase: watch::Receiver<Phase>,
) -> io::Result<End> {
    let key = Keypair::generate_ed25519();
    let identify = identify::Config::new(PROTOCOL_VERSION.to_owned(), key.public())
        .with_agent_version(AGENT.to_owned())
        .with_cache_size(0);
    let behaviour = Behaviour {
        identify: identify::Behaviour::new(identify),
        kad: hydra_kad::Behaviour::client_only(kad.clone()),
    };
    let client = Arc::new(behaviour.kad.client());
    let panicked = Arc::new(Notify::new());
    let dials = scout.dials.for_checks();
    let mut swarm =
        swarm::build(key, behaviour, Names::Resolve, dials, (IDLE, STREAMS_MAX), Arc::clone(&panicked))?;
    scout.client.store(Some(client));
    // Dropped before the swarm: a request that ends with it finds no client any more.
    let _up = Up(&scout.client);
    loop {
        tokio::select! {
            event = swarm.select_next_some() => {
                if let SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. })) =
                    event
                {
                    testers.on_identified(&peer_id, &info.protocols);
                    peer_addresses.record(peer_id, worth_keeping(&peer_id, info.listen_addrs, ADDRESSES_PER_PEER_MAX));
                }
            }
            () = panicked.notified() => return Ok(End::Panicked),
            _ = phase.wait_for(|phase| *phase == Phase::Stopping) => return Ok(End::Stopped),
        }
    }
}

#[cfg(test)]
mod tests;
