//! A peer of the network, in the test's own process.

use futures::StreamExt;
use hydra_kad::{
    Answer, AskError, Behaviour as Kad, Client, Config, Mode, Remote, Reply, Request, Response, Service,
};
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, identify, noise, ping, tcp, tls, yamux};
use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// How long an answer may take. Generous: many tests share two cores.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long something that takes a while may take, the entry into a table for example.
const LONG: Duration = Duration::from_secs(90);
/// Connections stay until the remote closes them, unless a test says otherwise.
const IDLE: Duration = Duration::from_secs(600);

/// A peer that asks heads. It ends with the test.
#[derive(Debug)]
pub struct Peer {
    /// Its id.
    pub id: PeerId,
    /// Where it listens, if it does.
    pub addresses: Vec<Multiaddr>,
    client: Client,
    seen: watch::Receiver<Seen>,
    task: AbortHandle,
}

/// What a peer has seen of others.
#[derive(Debug, Clone, Default)]
struct Seen {
    /// The protocols that each told last.
    protocols: HashMap<PeerId, Vec<String>>,
    /// The addresses that each told last.
    addresses: HashMap<PeerId, Vec<Multiaddr>>,
    /// Who answered a ping.
    pinged: HashSet<PeerId>,
}

/// How a TCP connection is secured; QUIC always is by TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// By Noise.
    Noise,
    /// By TLS.
    Tls,
}

/// What a peer does with the requests of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serves {
    /// It is no server.
    Nobody,
    /// It answers FIND_NODE with nobody.
    All,
    /// It says that it is a server, and resets every request.
    WordsAlone,
}

/// How a peer is made. [`Peer`] has the usual ones.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The protocol of its network.
    pub protocol: &'static str,
    /// Its key.
    pub key: Keypair,
    /// Whom it serves.
    pub serves: Serves,
    /// Whether it listens.
    pub listens: bool,
    /// Where it listens: on loopback, unless the test's network has other addresses.
    pub host: Ipv4Addr,
    /// What identify tells besides.
    pub announces: Vec<Multiaddr>,
    /// How its TCP connections are secured.
    pub security: Security,
    /// How long it keeps a connection that is not used.
    pub idle: Duration,
    /// The agent that identify tells, unless that is rust-libp2p's own.
    pub agent: Option<&'static str>,
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    kad: Kad<Serves>,
}

impl Service for Serves {
    async fn handle(&self, _from: &Remote, request: Request) -> Reply {
        match (self, request) {
            (Self::All, Request::FindNode { .. }) => Reply::Answer(Response::default()),
            _ => Reply::Reset,
        }
    }
}

impl Setup {
    /// A client that listens nowhere.
    #[must_use]
    pub fn new(protocol: &'static str) -> Self {
        Self {
            protocol,
            key: Keypair::generate_ed25519(),
            serves: Serves::Nobody,
            listens: false,
            host: Ipv4Addr::LOCALHOST,
            announces: Vec::new(),
            security: Security::Noise,
            idle: IDLE,
            agent: None,
        }
    }

    /// Starts the peer.
    ///
    /// # Panics
    /// When its swarm cannot be made.
    pub async fn start(self) -> Peer {
        let mut swarm = self.swarm();
        let (listens, address) = oneshot::channel();
        let waiting = self.listens.then_some(listens);
        if self.listens {
            let address = Multiaddr::from(self.host).with(Protocol::Tcp(0));
            swarm.listen_on(address).expect("a free port");
        }
        for address in self.announces {
            swarm.add_external_address(address);
        }
        let mut peer = Peer::run(swarm, waiting);
        if self.listens {
            peer.addresses.push(address.await.expect("the swarm listens"));
        }
        peer
    }

    fn swarm(&self) -> Swarm<Behaviour> {
        let builder = SwarmBuilder::with_existing_identity(self.key.clone()).with_tokio();
        let (tcp, muxer) = (tcp::Config::default().nodelay(true), yamux::Config::default);
        let idle = self.idle;
        match self.security {
            Security::Noise => builder
                .with_tcp(tcp, noise::Config::new, muxer)
                .expect("the key makes a certificate")
                .with_quic()
                .with_behaviour(|key| self.behaviour(key))
                .expect("the behaviour is made")
                .with_swarm_config(|config| config.with_idle_connection_timeout(idle))
                .build(),
            Security::Tls => builder
                .with_tcp(tcp, tls::Config::new, muxer)
                .expect("the key makes a certificate")
                .with_quic()
                .with_behaviour(|key| self.behaviour(key))
                .expect("the behaviour is made")
                .with_swarm_config(|config| config.with_idle_connection_timeout(idle))
                .build(),
        }
    }

    fn behaviour(&self, key: &Keypair) -> Behaviour {
        let config = Config::new([libp2p::StreamProtocol::new(self.protocol)]);
        let mode = if self.serves == Serves::Nobody { Mode::Client } else { Mode::Server };
        let mut identify = identify::Config::new("ipfs/0.1.0".to_owned(), key.public());
        if let Some(agent) = self.agent {
            identify = identify.with_agent_version(agent.to_owned());
        }
        Behaviour {
            identify: identify::Behaviour::new(identify),
            ping: ping::Behaviour::default(),
            kad: Kad::new(config, Arc::new(self.serves), mode),
        }
    }
}

impl Peer {
    /// A client of this network: it listens nowhere.
    ///
    /// # Panics
    /// When its swarm cannot be made.
    #[must_use]
    pub fn client(protocol: &'static str) -> Self {
        Self::run(Setup::new(protocol).swarm(), None)
    }

    /// A client that listens on loopback, so that there is an address to announce.
    ///
    /// # Panics
    /// When its swarm cannot be made.
    pub async fn listening(protocol: &'static str) -> Self {
        Setup { listens: true, ..Setup::new(protocol) }.start().await
    }

    /// A server of this network on loopback: one that a node may take into its table.
    ///
    /// # Panics
    /// When its swarm cannot be made.
    pub async fn server(protocol: &'static str) -> Self {
        Setup { listens: true, serves: Serves::All, ..Setup::new(protocol) }.start().await
    }

    fn run(swarm: Swarm<Behaviour>, listens: Option<oneshot::Sender<Multiaddr>>) -> Self {
        let (id, client) = (*swarm.local_peer_id(), swarm.behaviour().kad.client());
        let (sees, seen) = watch::channel(Seen::default());
        let task = tokio::spawn(drive(swarm, listens, sees)).abort_handle();
        Self { id, addresses: Vec::new(), client, seen, task }
    }

    /// Asks the head at `address`, which ends in its id.
    ///
    /// # Errors
    /// As the client tells.
    ///
    /// # Panics
    /// When the address does not end in an id.
    pub async fn ask(&self, address: &Multiaddr, request: Request) -> Result<Answer, AskError> {
        let (peer, address) = parted(address);
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
        self.ask_until(address, &Request::GetProviders { key: key.to_vec().into() }, wanted).await
    }

    /// Asks until the answer is as `wanted`, and returns the last one when that takes too long.
    ///
    /// # Errors
    /// As the client tells.
    pub async fn ask_until(
        &self,
        address: &Multiaddr,
        request: &Request,
        wanted: impl Fn(&Answer) -> bool,
    ) -> Result<Answer, AskError> {
        let wait = async {
            loop {
                let answer = self.ask(address, request.clone()).await?;
                if wanted(&answer) {
                    return Ok(answer);
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        match timeout(LONG, wait).await {
            Ok(answer) => answer,
            Err(_) => self.ask(address, request.clone()).await,
        }
    }

    /// Waits until `remote` has told its protocols as `wanted`, and returns the last ones, sorted.
    ///
    /// # Panics
    /// When the swarm has ended.
    pub async fn protocols_until(&self, remote: &PeerId, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
        let mut seen = self.seen.clone();
        let told = |seen: &Seen| seen.protocols.get(remote).is_some_and(|told| wanted(told));
        // What was told last says more than that the time is up.
        drop(timeout(LONG, seen.wait_for(told)).await.map(|seen| seen.map(drop)));
        self.seen.borrow().protocols.get(remote).cloned().unwrap_or_default()
    }

    /// Waits until `remote` has identified itself, and returns the addresses that it told last, sorted.
    ///
    /// # Panics
    /// When it does not identify itself, or when the swarm has ended.
    pub async fn identified_at(&self, remote: &PeerId) -> Vec<Multiaddr> {
        let mut seen = self.seen.clone();
        let identified = timeout(LONG, seen.wait_for(|seen| seen.addresses.contains_key(remote))).await;
        let mut told =
            identified.expect("it identifies itself").expect("the swarm runs").addresses[remote].clone();
        told.sort();
        told
    }

    /// Whether `remote` answers a ping; one is sent on every new connection.
    ///
    /// # Panics
    /// When the swarm has ended.
    pub async fn is_pinged(&self, remote: &PeerId) -> bool {
        let mut seen = self.seen.clone();
        timeout(LONG, seen.wait_for(|seen| seen.pinged.contains(remote))).await.is_ok()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The id at the end of an address, and what stands before it.
///
/// # Panics
/// When the address does not end in an id.
#[must_use]
pub fn parted(address: &Multiaddr) -> (PeerId, Multiaddr) {
    let mut address = address.clone();
    let Some(Protocol::P2p(peer)) = address.pop() else { panic!("no id in {address}") };
    (peer, address)
}

async fn drive(
    mut swarm: Swarm<Behaviour>,
    mut listens: Option<oneshot::Sender<Multiaddr>>,
    sees: watch::Sender<Seen>,
) {
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::NewListenAddr { address, .. } => {
                if let Some(listens) = listens.take() {
                    // Nobody waits for it when the test has ended.
                    let _ended = listens.send(address).is_err();
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received {
                peer_id,
                info,
                ..
            })) => {
                let mut told: Vec<_> = info.protocols.iter().map(ToString::to_string).collect();
                told.sort();
                sees.send_modify(|seen| {
                    seen.protocols.insert(peer_id, told);
                    seen.addresses.insert(peer_id, info.listen_addrs);
                });
            }
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event { peer, result: Ok(_), .. })) => {
                sees.send_modify(|seen| {
                    seen.pinged.insert(peer);
                });
            }
            _ => {}
        }
    }
}
