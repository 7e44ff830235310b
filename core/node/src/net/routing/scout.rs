//! The scout: a client that sends requests for the node and answers none.

use crate::net::peer_addresses::{ADDRESSES_PER_PEER_MAX, PeerAddresses, worth_keeping};
use crate::net::supervise::{End, Phase, supervise};
use crate::net::swarm::{self, Names};
use crate::net::swarm::{AGENT, PROTOCOL_VERSION};
use arc_swap::ArcSwapOption;
use futures::StreamExt;
use hydra_kad::{Answer, AskError, Client, NoService, Request};
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

/// A connection without requests is closed after this time.
const IDLE: Duration = Duration::from_secs(10);
/// Streams that others may open at a time: a scout serves nothing.
const STREAMS_MAX: usize = 32;

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    kad: hydra_kad::Behaviour<NoService>,
}

/// Sends requests under an identity that is not a head's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scout(Arc<ArcSwapOption<Client>>);

impl Scout {
    /// Sends a request to one peer, as [`Client::ask`] does.
    ///
    /// # Errors
    /// As there; [`AskError::Closed`] while the scout is down.
    pub(crate) async fn ask(
        &self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        request: Request,
        patience: Duration,
    ) -> Result<Answer, AskError> {
        let client = self.0.load_full().ok_or(AskError::Closed)?;
        client.ask(peer, addresses, request, patience).await
    }
}

/// Starts the scout under a new identity, which it keeps until it restarts. It does not listen, so other peers do not add
/// it to their routing tables.
pub(crate) fn spawn(
    mut kad: hydra_kad::Config,
    peer_addresses: Arc<PeerAddresses>,
    phase: watch::Receiver<Phase>,
) -> (Scout, JoinHandle<()>) {
    // The scout's requests are not part of the heads' load.
    kad.stats = Arc::default();
    let scout = Scout::default();
    let client = Arc::clone(&scout.0);
    let task = tokio::spawn(async move {
        let restarts = AtomicU64::new(0);
        let work = || run(&kad, &peer_addresses, &client, phase.clone());
        supervise("scout", phase.clone(), &restarts, work, |_| client.store(None)).await;
    });
    (scout, task)
}

async fn run(
    kad: &hydra_kad::Config,
    peer_addresses: &PeerAddresses,
    client: &ArcSwapOption<Client>,
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
    client.store(Some(Arc::new(behaviour.kad.client())));
    let panicked = Arc::new(Notify::new());
    let mut swarm = swarm::build(key, behaviour, Names::Resolve, (IDLE, STREAMS_MAX), Arc::clone(&panicked))?;
    loop {
        tokio::select! {
            event = swarm.select_next_some() => {
                if let SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. })) =
                    event
                {
                    peer_addresses.record(peer_id, worth_keeping(&peer_id, info.listen_addrs, ADDRESSES_PER_PEER_MAX));
                }
            }
            () = panicked.notified() => return Ok(End::Panicked),
            _ = phase.wait_for(|phase| *phase == Phase::Stopping) => return Ok(End::Stopped),
        }
    }
}
