//! One identity and its connection to one head.

use crate::plan::{Head, Plan, Transport};
use crate::source::Source;
use futures::StreamExt;
use hydra_kad::{AskError, Behaviour, Client, ClientStream, Config, Peer};
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::swarm::NetworkBehaviour;
use libp2p::{Swarm, SwarmBuilder, Transport as _, identify, noise, tcp, yamux};
use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// How long a connection is kept without streams: the server decides when it closes, or the end of the session.
const IDLE: Duration = Duration::from_secs(24 * 3600);
/// What identify says of a client.
const IDENTIFY_PROTOCOL: &str = "ipfs/0.1.0";
const AGENT: &str = concat!("hydra-load/", env!("CARGO_PKG_VERSION"));

/// An identity with a swarm of its own. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Session {
    head: Head,
    provider: Peer,
    client: Client,
    swarm: JoinHandle<()>,
    /// Open streams that carry no request, the one used last on top. There are no more than requests in flight.
    idle: Mutex<Vec<ClientStream>>,
}

#[derive(NetworkBehaviour)]
struct SessionBehaviour {
    kad: Behaviour,
    // Servers judge a client by it: hydra, for one, cuts the answers to those that say nothing of themselves.
    identify: identify::Behaviour,
}

impl Session {
    /// A session that connects with its first request, from this local address if there is one.
    ///
    /// # Errors
    /// If the swarm cannot be built, as on a system without a resolver config.
    pub(crate) fn new(plan: &Plan, head: Head, key: Keypair, source: Option<IpAddr>) -> io::Result<Self> {
        let mut config = Config::new([plan.protocol.clone()]);
        // Each request in flight holds one; a timed-out dial may hold it a little longer.
        config.limits.requests_max = 2 * plan.streams_per_client_max as usize;
        let identify = identify::Config::new(IDENTIFY_PROTOCOL.to_owned(), key.public());
        let identify = identify::Behaviour::new(identify.with_agent_version(AGENT.to_owned()));
        let provider = Peer::new(&key.public().to_peer_id(), &plan.provider_addresses);
        let kad = Behaviour::client_only(config);
        let client = kad.client();
        let behaviour = SessionBehaviour { kad, identify };
        let mut swarm = match source {
            Some(source) => from_source(key, source, behaviour)?,
            None => swarm(key, &head, behaviour)?,
        };
        let swarm = tokio::spawn(async move {
            loop {
                swarm.select_next_some().await;
            }
        });
        Ok(Self { head, provider, client, swarm, idle: Mutex::default() })
    }

    /// The provider in the announcements of this identity: itself.
    pub(crate) const fn provider(&self) -> &Peer {
        &self.provider
    }

    pub(crate) const fn head(&self) -> &Head {
        &self.head
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// A stream that carries no request, if there is one.
    pub(crate) fn idle_stream(&self) -> Option<ClientStream> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Opens a stream, and the connection if there is none.
    pub(crate) async fn open_stream(&self, deadline: Instant) -> Result<ClientStream, AskError> {
        let patience = deadline.saturating_duration_since(Instant::now());
        self.client.stream(self.head.peer(), vec![self.head.address().clone()], patience).await
    }

    /// Keeps a stream for a later request.
    pub(crate) fn keep_stream(&self, stream: ClientStream) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.swarm.abort();
    }
}

/// A swarm over TCP that connects from a local address.
fn from_source(
    key: Keypair,
    source: IpAddr,
    behaviour: SessionBehaviour,
) -> io::Result<Swarm<SessionBehaviour>> {
    let transport = |key: &Keypair| {
        let noise = noise::Config::new(key)?;
        let upgraded = Source(source).upgrade(Version::V1Lazy).authenticate(noise);
        Ok::<_, Box<dyn Error + Send + Sync>>(upgraded.multiplex(yamux::Config::default()))
    };
    let builder = SwarmBuilder::with_existing_identity(key).with_tokio();
    Ok(builder
        .with_other_transport(transport)
        .map_err(io::Error::other)?
        .with_behaviour(|_| behaviour)
        .unwrap_or_else(|never| match never {})
        .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE))
        .build())
}

/// A swarm over the head's transport.
fn swarm(key: Keypair, head: &Head, behaviour: SessionBehaviour) -> io::Result<Swarm<SessionBehaviour>> {
    let builder = SwarmBuilder::with_existing_identity(key).with_tokio();
    let tcp = || tcp::Config::default().nodelay(true);
    let idle = |config: libp2p::swarm::Config| config.with_idle_connection_timeout(IDLE);

    Ok(match (head.transport(), head.has_name()) {
        (Transport::Tcp, false) => builder
            .with_tcp(tcp(), noise::Config::new, yamux::Config::default)
            .map_err(io::Error::other)?
            .with_behaviour(|_| behaviour)
            .unwrap_or_else(|never| match never {})
            .with_swarm_config(idle)
            .build(),
        (Transport::Tcp, true) => builder
            .with_tcp(tcp(), noise::Config::new, yamux::Config::default)
            .map_err(io::Error::other)?
            .with_dns()?
            .with_behaviour(|_| behaviour)
            .unwrap_or_else(|never| match never {})
            .with_swarm_config(idle)
            .build(),
        (Transport::Quic, false) => builder
            .with_quic()
            .with_behaviour(|_| behaviour)
            .unwrap_or_else(|never| match never {})
            .with_swarm_config(idle)
            .build(),
        (Transport::Quic, true) => builder
            .with_quic()
            .with_dns()?
            .with_behaviour(|_| behaviour)
            .unwrap_or_else(|never| match never {})
            .with_swarm_config(idle)
            .build(),
    })
}
