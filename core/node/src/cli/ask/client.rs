//! A swarm that sends requests and answers none.

use crate::config::{AddressPolicy, PeerAddress};
use crate::net::dial_gate::DialGate;
use crate::net::swarm::{self, Names};
use futures::StreamExt;
use hydra_kad::{Answer, AskError, Behaviour, Client, Config, Request};
use libp2p::identity::Keypair;
use libp2p::{PeerId, StreamProtocol};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How long a connection is kept between two requests.
const IDLE: Duration = Duration::from_secs(30);

/// Streams that the other end may open: a client serves nothing.
const STREAMS_MAX: usize = 32;

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
        let gate = Arc::new(DialGate::new(AddressPolicy::Any));
        let limits = (IDLE, STREAMS_MAX);
        let mut swarm = swarm::build(key, behaviour, Names::ResolveOrFail, gate, limits, Arc::default())?;
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
