//! A server whose delays and losses are known.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(dead_code, reason = "each test file uses its part")]

use futures::StreamExt;
use hydra_kad::{
    Behaviour, Config, EncodedPeer, Limits, ListedPeer, Mode, Remote, Reply, Request, Response, Service,
};
use hydra_load::{Head, Plan};
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, SwarmBuilder, noise, tcp, yamux};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// What the double does with its requests. The requests are numbered in the order in which they come.
#[derive(Debug, Clone, Default)]
pub(crate) struct Behaves {
    /// The wait before each answer.
    pub(crate) delay: Duration,
    /// Every so many requests are answered after this instead; 0 is none.
    pub(crate) slow_every: u64,
    pub(crate) slow: Duration,
    /// Every so many requests are reset; 0 is none.
    pub(crate) reset_every: u64,
    /// Every so many GET_PROVIDERS are answered without providers; 0 is none.
    pub(crate) empty_every: u64,
    /// From the first time after the first GET_PROVIDERS, for the second, no GET_PROVIDERS is answered.
    pub(crate) stall: Option<(Duration, Duration)>,
}

/// Lets one test of a file run at a time: each loads the machine, and judges latencies.
pub(crate) async fn alone() -> tokio::sync::MutexGuard<'static, ()> {
    static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    ONE.lock().await
}

/// A running double.
pub(crate) struct Double {
    pub(crate) head: Head,
    pub(crate) seen: Arc<Seen>,
    swarm: JoinHandle<()>,
}

/// What the double has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) requests: AtomicU64,
    gets: AtomicU64,
    pub(crate) peers: Mutex<HashSet<PeerId>>,
    pub(crate) connections: Mutex<HashSet<String>>,
    /// The keys announced by a peer for itself.
    pub(crate) announced: Mutex<HashSet<Vec<u8>>>,
    /// How often each key was asked for.
    pub(crate) asked: Mutex<Vec<Vec<u8>>>,
    began: Mutex<Option<Instant>>,
}

struct DoubleService {
    behaves: Behaves,
    seen: Arc<Seen>,
    provider: ListedPeer,
}

/// A server over TCP or QUIC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    Tcp,
    Quic,
}

impl Double {
    pub(crate) async fn start(behaves: Behaves) -> Self {
        Self::start_over(Over::Tcp, behaves).await
    }

    pub(crate) async fn start_over(over: Over, behaves: Behaves) -> Self {
        let seen = Arc::new(Seen::default());
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        let provider = EncodedPeer::new(&PeerId::random().to_bytes(), [&address]).into();
        let service = DoubleService { behaves, seen: Arc::clone(&seen), provider };
        let limits = Limits { streams_max: 1024, ..Limits::default() };
        let config = Config { limits, ..Config::new([Plan::PROTOCOL]) };
        let kad = Behaviour::new(config, Arc::new(service), Mode::Server);
        let mut swarm = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_quic()
            .with_behaviour(|_| kad)
            .unwrap()
            .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
            .build();
        let listen = match over {
            Over::Tcp => "/ip4/127.0.0.1/tcp/0",
            Over::Quic => "/ip4/127.0.0.1/udp/0/quic-v1",
        };
        swarm.listen_on(listen.parse().unwrap()).unwrap();
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break address;
            }
        };
        let head = format!("{address}/p2p/{}", swarm.local_peer_id()).parse().unwrap();
        let swarm = tokio::spawn(async move {
            loop {
                swarm.select_next_some().await;
            }
        });
        Self { head, seen, swarm }
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.swarm.abort();
    }
}

impl Service for DoubleService {
    async fn handle(&self, from: &Remote, request: Request) -> Reply {
        let nth = self.seen.record(from, &request);
        let is_nth = |every: u64, nth: u64| every > 0 && nth.is_multiple_of(every);
        // The probes of the clients' connections are FIND_NODE: they come before the run.
        if matches!(request, Request::GetProviders { .. })
            && let Some(rest) = self.stalled()
        {
            tokio::time::sleep(rest).await;
        }
        let wait = if is_nth(self.behaves.slow_every, nth) { self.behaves.slow } else { self.behaves.delay };
        tokio::time::sleep(wait).await;
        if is_nth(self.behaves.reset_every, nth) {
            return Reply::Reset;
        }
        let mut response = Response::default();
        match request {
            Request::AddProvider { .. } => return Reply::Silence,
            Request::GetProviders { .. } => {
                let nth = self.seen.gets.fetch_add(1, Ordering::Relaxed) + 1;
                if !is_nth(self.behaves.empty_every, nth) {
                    response.providers = vec![self.provider.clone()].into();
                }
            }
            _ => {}
        }
        Reply::Answer(response)
    }
}

impl DoubleService {
    /// How long the stall still lasts, if there is one.
    fn stalled(&self) -> Option<Duration> {
        let (from, length) = self.behaves.stall?;
        let began = *self.seen.began.lock().unwrap().get_or_insert_with(Instant::now);
        let since = began.elapsed().checked_sub(from)?;
        length.checked_sub(since)
    }
}

impl Seen {
    fn record(&self, from: &Remote, request: &Request) -> u64 {
        self.peers.lock().unwrap().insert(from.peer);
        self.connections.lock().unwrap().insert(format!("{} {}", from.peer, from.address));
        match request {
            Request::AddProvider { key, providers }
                if providers.iter().all(|provider| provider.id == from.peer.to_bytes()) =>
            {
                self.announced.lock().unwrap().insert(key.to_vec());
            }
            Request::GetProviders { key } => self.asked.lock().unwrap().push(key.to_vec()),
            _ => {}
        }
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }
}
