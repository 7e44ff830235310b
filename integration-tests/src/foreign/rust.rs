//! Stock libp2p-kad as a client, in this process.
//!
//! Each call is a node of its own that dials nobody but the server, so that an answer can only have come from
//! there. libp2p-kad reports the ids of providers; their addresses it gives only to a dial while the query
//! runs, so that is how they are read.

mod heard;

use std::{collections::BTreeMap, io, time::Duration};

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, allow_block_list,
    core::Endpoint,
    identify,
    multiaddr::Protocol,
    noise,
    swarm::{ConnectionId, NetworkBehaviour, SwarmEvent},
    tcp, tls, yamux,
};
use libp2p_kad::{self as kad, GetProvidersOk as Progress, QueryResult};
use tokio::time::timeout;

use self::heard::Heard;
use super::Peer;

/// How long one call may take.
pub const CALL_DEADLINE: Duration = Duration::from_secs(30);

#[derive(NetworkBehaviour)]
struct Node {
    heard: Heard,
    allowed: allow_block_list::Behaviour<allow_block_list::AllowedPeers>,
    identify: identify::Behaviour,
    kad: kad::Behaviour<kad::store::MemoryStore>,
}

/// What a search for providers brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The providers, with the addresses the server told.
    pub providers: Vec<Peer>,
    /// The peers that the query regards as the closest ones.
    pub closest: Vec<String>,
    /// The closer peers of the answer.
    pub closer: Vec<String>,
}

/// How a client is made. The default is the library as it comes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Setup {
    /// The agent that it tells, unless that is the library's own.
    pub agent: Option<&'static str>,
    /// When it asks.
    pub asks: Asks,
}

/// When a client asks its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Asks {
    /// Once the server has told by identify that it serves the protocol.
    #[default]
    OnceKnown,
    /// As soon as it is connected, as in the middle of a lookup.
    AtOnce,
}

/// Announces `key` (a multihash) through one server and returns the provider as it announced itself. The
/// server may still be busy with the record then: libp2p-kad does not wait for it.
///
/// # Errors
///
/// The server could not be reached or did not answer, or [`CALL_DEADLINE`] is over.
pub async fn provide(server: &Multiaddr, protocol: &str, key: &[u8]) -> io::Result<Peer> {
    within_deadline(async {
        let mut swarm = connect(server, protocol, Setup::default()).await?;
        let provider = peer(*swarm.local_peer_id(), swarm.external_addresses());
        let id = swarm.behaviour_mut().kad.start_providing(key.to_vec().into()).map_err(io::Error::other)?;
        match query_step(&mut swarm, id).await? {
            QueryResult::StartProviding(result) => result.map_err(io::Error::other)?,
            other => return Err(io::Error::other(format!("{other:?}"))),
        };
        // The library reports success before the record is on the wire. It is, once a later request is answered.
        let id = swarm.behaviour_mut().kad.get_closest_peers(key.to_vec());
        query_step(&mut swarm, id).await?;
        Ok(provider)
    })
    .await
}

/// Asks one server for the providers of `key` (a multihash).
///
/// # Errors
///
/// The server could not be reached or did not answer, or [`CALL_DEADLINE`] is over.
pub async fn find(server: &Multiaddr, protocol: &str, key: &[u8]) -> io::Result<Found> {
    find_by(Setup::default(), server, protocol, key).await
}

/// Asks as [`find`] does, by a client that is made otherwise.
///
/// # Errors
///
/// As [`find`].
pub async fn find_by(setup: Setup, server: &Multiaddr, protocol: &str, key: &[u8]) -> io::Result<Found> {
    within_deadline(async {
        let mut swarm = connect(server, protocol, setup).await?;
        let mut providers = BTreeMap::new();
        let id = swarm.behaviour_mut().kad.get_providers(key.to_vec().into());
        loop {
            match query_step(&mut swarm, id).await? {
                QueryResult::GetProviders(Ok(Progress::FoundProviders { providers: ids, .. })) => {
                    for id in ids {
                        let addrs = told_addresses(&mut swarm.behaviour_mut().kad, id)?;
                        providers.insert(id, peer(id, &addrs));
                    }
                }
                QueryResult::GetProviders(Ok(Progress::FinishedWithNoAdditionalRecord { closest_peers })) => {
                    return Ok(Found {
                        closer: swarm.behaviour().heard.0.iter().map(PeerId::to_string).collect(),
                        providers: providers.into_values().collect(),
                        closest: closest_peers.iter().map(PeerId::to_string).collect(),
                    });
                }
                other => return Err(io::Error::other(format!("{other:?}"))),
            }
        }
    })
    .await
}

/// Waits for the next result of one query. A query that ends without an answer of any server is an error,
/// which the library itself counts as success.
async fn query_step(swarm: &mut Swarm<Node>, id: kad::QueryId) -> io::Result<QueryResult> {
    loop {
        let event = swarm.select_next_some().await;
        if let SwarmEvent::Behaviour(NodeEvent::Kad(kad::Event::OutboundQueryProgressed {
            id: of,
            result,
            stats,
            step,
        })) = event
            && of == id
        {
            if step.last && stats.num_successes() == 0 {
                return Err(io::Error::other(format!("no server answered: {stats:?}")));
            }
            return Ok(result);
        }
    }
}

async fn within_deadline<T>(call: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(CALL_DEADLINE, call)
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "libp2p-kad did not end")))
}

/// The addresses of a peer that a running query has heard of.
fn told_addresses(
    kad: &mut kad::Behaviour<kad::store::MemoryStore>,
    id: PeerId,
) -> io::Result<Vec<Multiaddr>> {
    kad.handle_pending_outbound_connection(ConnectionId::new_unchecked(0), Some(id), &[], Endpoint::Dialer)
        .map_err(io::Error::other)
}

fn peer<'a>(id: PeerId, addrs: impl IntoIterator<Item = &'a Multiaddr>) -> Peer {
    let bare = |addr: &Multiaddr| {
        addr.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect::<Multiaddr>().to_string()
    };
    Peer { id: id.to_string(), addrs: addrs.into_iter().map(bare).collect() }
}

/// Opens a node in client mode and waits until the library has taken the server into its routing table,
/// which it does once the server has confirmed the protocol, or at once when it is told to.
async fn connect(server: &Multiaddr, protocol: &str, setup: Setup) -> io::Result<Swarm<Node>> {
    let Some(Protocol::P2p(id)) = server.iter().last() else {
        return Err(io::Error::other(format!("{server} does not end in /p2p/<peer id>")));
    };
    let mut swarm = node(protocol, kad::Mode::Client, setup.agent)?;
    swarm.behaviour_mut().allowed.allow_peer(id);
    let quic = server.iter().any(|part| part == Protocol::QuicV1);
    let listen = if quic { "/ip4/127.0.0.1/udp/0/quic-v1" } else { "/ip4/127.0.0.1/tcp/0" };
    listen_on(&mut swarm, listen).await?;
    match setup.asks {
        Asks::OnceKnown => swarm.dial(server.clone()).map_err(io::Error::other)?,
        Asks::AtOnce => drop(swarm.behaviour_mut().kad.add_address(&id, server.clone())),
    }
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::Behaviour(NodeEvent::Kad(kad::Event::RoutingUpdated { peer, .. })) if peer == id => {
                return Ok(swarm);
            }
            SwarmEvent::OutgoingConnectionError { error, .. } => return Err(io::Error::other(error)),
            SwarmEvent::ConnectionClosed { cause, .. } => {
                return Err(io::Error::other(format!("the server closed the connection: {cause:?}")));
            }
            _ => {}
        }
    }
}

/// Listens and announces the address.
async fn listen_on(swarm: &mut Swarm<Node>, address: &str) -> io::Result<()> {
    swarm.listen_on(address.parse().map_err(io::Error::other)?).map_err(io::Error::other)?;
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            swarm.add_external_address(address);
            return Ok(());
        }
    }
}

fn node(protocol: &str, mode: kad::Mode, agent: Option<&str>) -> io::Result<Swarm<Node>> {
    let protocol = StreamProtocol::try_from_owned(protocol.to_owned()).map_err(io::Error::other)?;
    let swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), (tls::Config::new, noise::Config::new), yamux::Config::default)
        .map_err(io::Error::other)?
        .with_quic()
        .with_behaviour(|key| {
            let id = key.public().to_peer_id();
            let mut kad =
                kad::Behaviour::with_config(id, kad::store::MemoryStore::new(id), kad::Config::new(protocol));
            kad.set_mode(Some(mode));
            let mut identify = identify::Config::new("/ipfs/0.1.0".to_owned(), key.public());
            if let Some(agent) = agent {
                identify = identify.with_agent_version(agent.to_owned());
            }
            let identify = identify::Behaviour::new(identify);
            Node { heard: Heard::default(), allowed: Default::default(), identify, kad }
        })
        .map_err(io::Error::other)?
        .with_swarm_config(|config| config.with_idle_connection_timeout(CALL_DEADLINE))
        .build();
    Ok(swarm)
}

#[cfg(test)]
mod tests;
