//! A peer of the network, in the test's own process.

use futures::StreamExt;
use hydra_kad::{Answer, AskError, Behaviour as Kad, Client, Config, Mode, NoService, Request};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, identify, noise, tcp, yamux};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

/// How long an answer may take. Generous: many tests share two cores.
const PATIENCE: Duration = Duration::from_secs(30);

/// A peer that asks heads. It ends with the test.
#[derive(Debug)]
pub struct Peer {
    /// Its id.
    pub id: PeerId,
    /// Where it listens, if it does.
    pub addresses: Vec<Multiaddr>,
    client: Client,
    task: AbortHandle,
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    kad: Kad<NoService>,
}

impl Peer {
    /// A client of this network: it listens nowhere.
    ///
    /// # Panics
    /// When its swarm cannot be made.
    #[must_use]
    pub fn client(protocol: &'static str) -> Self {
        let (swarm, client) = swarm(protocol, Mode::Client);
        let (id, task) = (*swarm.local_peer_id(), tokio::spawn(drive(swarm, None)).abort_handle());
        Self { id, addresses: Vec::new(), client, task }
    }

    /// A client that listens on loopback, so that there is an address to announce.
    ///
    /// # Panics
    /// When its swarm cannot be made.
    pub async fn listening(protocol: &'static str) -> Self {
        let (mut swarm, client) = swarm(protocol, Mode::Client);
        swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().expect("an address")).expect("a free port");
        let (listens, address) = oneshot::channel();
        let (id, task) = (*swarm.local_peer_id(), tokio::spawn(drive(swarm, Some(listens))).abort_handle());
        Self { id, addresses: vec![address.await.expect("the swarm listens")], client, task }
    }

    /// Asks the head at `address`, which ends in its id.
    ///
    /// # Errors
    /// As the client tells.
    ///
    /// # Panics
    /// When the address does not end in an id.
    pub async fn ask(&self, address: &Multiaddr, request: Request) -> Result<Answer, AskError> {
        let mut address = address.clone();
        let Some(libp2p::multiaddr::Protocol::P2p(peer)) = address.pop() else {
            panic!("no id in {address}")
        };
        self.client.ask(peer, vec![address], request, PATIENCE).await
    }

    /// FIND_NODE.
    ///
    /// # Errors
    /// As the client tells.
    pub async fn find_node(&self, address: &Multiaddr, key: &[u8]) -> Result<Answer, AskError> {
        self.ask(address, Request::FindNode { key: key.to_vec().into() }).await
    }

    /// GET_PROVIDERS.
    ///
    /// # Errors
    /// As the client tells.
    pub async fn providers(&self, address: &Multiaddr, key: &[u8]) -> Result<Answer, AskError> {
        self.ask(address, Request::GetProviders { key: key.to_vec().into() }).await
    }

    /// ADD_PROVIDER of itself, at these addresses.
    ///
    /// # Errors
    /// As the client tells; none says that the head has read it.
    pub async fn provide(&self, address: &Multiaddr, key: &[u8], at: &[Multiaddr]) -> Result<(), AskError> {
        let providers = vec![hydra_kad::Peer::new(&self.id, at)];
        self.ask(address, Request::AddProvider { key: key.to_vec().into(), providers }).await.map(drop)
    }

    /// Asks until the answer is as `wanted`, for what arrives a write interval later, and returns the last one.
    ///
    /// # Errors
    /// As the client tells.
    pub async fn providers_until(
        &self,
        address: &Multiaddr,
        key: &[u8],
        wanted: impl Fn(&Answer) -> bool,
    ) -> Result<Answer, AskError> {
        for _ in 0..100 {
            let answer = self.providers(address, key).await?;
            if wanted(&answer) {
                return Ok(answer);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.providers(address, key).await
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn swarm(protocol: &'static str, mode: Mode) -> (Swarm<Behaviour>, Client) {
    let config = Config::new([libp2p::StreamProtocol::new(protocol)]);
    let builder = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .expect("the key makes a certificate")
        .with_quic();
    let swarm = builder
        .with_behaviour(|key| Behaviour {
            identify: identify::Behaviour::new(identify::Config::new("ipfs/0.1.0".to_owned(), key.public())),
            kad: Kad::new(config, Arc::new(NoService), mode),
        })
        .expect("the behaviour is made")
        .build();
    let client = swarm.behaviour().kad.client();
    (swarm, client)
}

async fn drive(mut swarm: Swarm<Behaviour>, mut listens: Option<oneshot::Sender<Multiaddr>>) {
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await
            && let Some(listens) = listens.take()
        {
            // Nobody waits for it when the test has ended.
            let _ended = listens.send(address).is_err();
        }
    }
}
