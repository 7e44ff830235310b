//! The scout: a client among the servers, that asks and is never asked.

use crate::book::{ADDRESSES_PER_PEER_MAX, Book, worth_keeping};
use crate::head::{AGENT, PROTOCOL_VERSION, Phase};
use crate::swarm::{self, Names};
use futures::StreamExt;
use hydra_kad::{Client, Mode, NoService};
use libp2p::identify;
use libp2p::identity::Keypair;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// A connection that is not asked over is of no more use.
const IDLE: Duration = Duration::from_secs(10);

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    kad: hydra_kad::Behaviour<NoService>,
}

/// Starts the scout under an identity of its own that lasts as long as the process. It listens nowhere, so it takes
/// no place in the routing tables of others.
///
/// # Errors
/// When its swarm cannot be made.
pub(crate) fn spawn(
    mut kad: hydra_kad::Config,
    book: Arc<Book>,
    mut phase: watch::Receiver<Phase>,
) -> io::Result<(Client, tokio::task::JoinHandle<()>)> {
    let key = Keypair::generate_ed25519();
    // What others send it is no part of what the heads have to bear.
    kad.stats = Arc::default();
    let identify = identify::Config::new(PROTOCOL_VERSION.to_owned(), key.public())
        .with_agent_version(AGENT.to_owned())
        .with_cache_size(0);
    let behaviour = Behaviour {
        identify: identify::Behaviour::new(identify),
        kad: hydra_kad::Behaviour::new(kad, Arc::new(NoService), Mode::Client),
    };
    let client = behaviour.kad.client();
    let mut swarm = swarm::build(key, behaviour, Names::Resolve, IDLE, Arc::new(Notify::new()))?;
    let task = tokio::spawn(async move {
        loop {
            tokio::select! {
                event = swarm.select_next_some() => {
                    if let SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received {
                        peer_id,
                        info,
                        ..
                    })) = event
                    {
                        book.note(peer_id, worth_keeping(&peer_id, info.listen_addrs, ADDRESSES_PER_PEER_MAX));
                    }
                }
                stopped = phase.wait_for(|phase| *phase == Phase::Stopping) => {
                    drop(stopped);
                    return;
                }
            }
        }
    });
    Ok((client, task))
}
