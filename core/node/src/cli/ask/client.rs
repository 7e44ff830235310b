//! A swarm that sends requests and answers none.

use crate::config::PeerAddress;
use futures::StreamExt;
use hydra_kad::{Answer, AskError, Behaviour, Client, Config, Request};
use libp2p::identity::Keypair;
use libp2p::{PeerId, StreamProtocol, SwarmBuilder, noise, tcp, tls, yamux};
use std::io;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How long a connection is kept between two requests.
const IDLE: Duration = Duration::from_secs(30);

/// A client with a new identity, which it keeps until it is dropped.
#[derive(Debug)]
pub(super) struct Asker {
    peer: PeerId,
    client: Client,
    swarm: JoinHandle<()>,
}

impl Asker {
    /// Starts a client of the network with this protocol name.
    pub(super) fn start(protocol: &str) -> io::Result<Self> {
        let protocol = StreamProtocol::try_from_owned(protocol.to_owned()).map_err(io::Error::other)?;
        let key = Keypair::generate_ed25519();
        let peer = key.public().to_peer_id();
        let behaviour = Behaviour::client_only(Config::new([protocol]));
        let client = behaviour.client();
        let mut swarm = SwarmBuilder::with_existing_identity(key)
            .with_tokio()
            .with_tcp(
                tcp::Config::default().nodelay(true),
                (tls::Config::new, noise::Config::new),
                yamux::Config::default,
            )
            .map_err(io::Error::other)?
            .with_quic()
            .with_dns()?
            .with_behaviour(|_| behaviour)
            .map_err(io::Error::other)?
            .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE))
            .build();
        let swarm = tokio::spawn(async move {
            loop {
                swarm.select_next_some().await;
            }
        });
        Ok(Self { peer, client, swarm })
    }

    /// The peer id of this client.
    pub(super) const fn peer(&self) -> PeerId {
        self.peer
    }

    /// Sends a request to one peer.
    pub(super) async fn ask(
        &self,
        to: &PeerAddress,
        request: Request,
        patience: Duration,
    ) -> Result<Answer, AskError> {
        self.client.ask(to.peer(), vec![to.address().clone()], request, patience).await
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.swarm.abort();
    }
}
