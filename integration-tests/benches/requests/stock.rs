//! Stock libp2p-kad as a server, in a process of its own: this program, started once more.

use super::common::PROTOCOL;
use futures::StreamExt;
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, SwarmBuilder, identify, noise, tcp, yamux};
use libp2p_kad as kad;
use libp2p_kad::store::{MemoryStore, MemoryStoreConfig};
use std::io;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Tells this program that it is the server.
pub(crate) const ARGUMENT: &str = "serve-stock";
/// Peers that its routing table is offered, and addresses of each.
const PEERS: u32 = 3_000;
const ADDRESSES: u16 = 3;

/// A running server. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Stock {
    /// Its process.
    pub(crate) pid: u32,
    /// Its address over TCP, with its id.
    pub(crate) tcp: Multiaddr,
    /// Its address over QUIC, with its id.
    pub(crate) quic: Multiaddr,
    _child: Child,
}

impl Stock {
    /// Starts it and waits until it listens.
    pub(crate) async fn start() -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let missing = || io::Error::other("the server did not start");
        let mut lines = BufReader::new(child.stdout.take().ok_or_else(missing)?).lines();
        let mut next =
            async || lines.next_line().await?.ok_or_else(missing)?.parse().map_err(io::Error::other);
        let (tcp, quic) = (next().await?, next().await?);
        Ok(Self { pid: child.id().ok_or_else(missing)?, tcp, quic, _child: child })
    }
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    limits: connection_limits::Behaviour,
    identify: identify::Behaviour,
    kad: kad::Behaviour<MemoryStore>,
}

/// Serves until standard input ends.
pub(crate) async fn serve() -> io::Result<()> {
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .map_err(io::Error::other)?
        .with_quic()
        .with_behaviour(|key| behaviour(key.public()))
        .map_err(io::Error::other)?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(3600)))
        .build();
    for address in ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"] {
        swarm.listen_on(address.parse().map_err(io::Error::other)?).map_err(io::Error::other)?;
        print_address(&mut swarm).await;
    }
    let ended = tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink()));
    tokio::pin!(ended);
    loop {
        tokio::select! {
            _ = swarm.select_next_some() => {}
            _ = &mut ended => return Ok(()),
        }
    }
}

#[allow(clippy::print_stdout, reason = "the benchmark reads it")]
async fn print_address(swarm: &mut libp2p::Swarm<Behaviour>) {
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            println!("{}", address.with(Protocol::P2p(*swarm.local_peer_id())));
            return;
        }
    }
}

fn behaviour(key: libp2p::identity::PublicKey) -> Behaviour {
    let id = key.to_peer_id();
    let store = MemoryStoreConfig { max_provided_keys: 1 << 20, max_records: 1 << 20, ..Default::default() };
    let mut config = kad::Config::new(PROTOCOL);
    config.set_periodic_bootstrap_interval(None);
    let mut kad = kad::Behaviour::with_config(id, MemoryStore::with_config(id, store), config);
    kad.set_mode(Some(kad::Mode::Server));
    for nth in 0..PEERS {
        let peer = PeerId::random();
        for port in 0..ADDRESSES {
            let at = Multiaddr::from(Ipv4Addr::from(0x0a00_0000 + nth)).with(Protocol::Tcp(4001 + port));
            kad.add_address(&peer, at);
        }
    }
    // Those peers are nowhere: dialing them would be measured too.
    let limits = ConnectionLimits::default().with_max_pending_outgoing(Some(0));
    Behaviour {
        limits: connection_limits::Behaviour::new(limits),
        identify: identify::Behaviour::new(identify::Config::new("ipfs/0.1.0".to_owned(), key)),
        kad,
    }
}
