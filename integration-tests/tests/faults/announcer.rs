//! A provider that announces a new key every few milliseconds, and knows which of its announcements the node has read.

use futures::StreamExt;
use hydra_integration_tests::peer::Peer;
use hydra_integration_tests::raw::{RawPeer, RawStream};
use hydra_kad::Request;
use libp2p::{Multiaddr, PeerId};
use sha2::{Digest, Sha256};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::AbortHandle;

const PROTOCOL: &str = "/ipfs/kad/1.0.0";
const PAUSE: Duration = Duration::from_millis(40);
/// How many keys are looked up at a time.
const LOOKED_UP: usize = 8;
/// How long a record may stay out of sight because answers are degraded.
const PATIENCE: Duration = Duration::from_secs(8);

#[derive(Debug, Default)]
struct Announced {
    /// When the node had read the announcement of the key with this number.
    read: Vec<Instant>,
    failed: Vec<String>,
}

/// A provider that announces until it is dropped.
#[derive(Debug)]
pub(crate) struct Announcer {
    id: PeerId,
    announced: Arc<Mutex<Announced>>,
    task: AbortHandle,
}

impl Announcer {
    /// Announces to the head at this address.
    pub(crate) fn start(head: Multiaddr) -> Self {
        let peer = RawPeer::new(PROTOCOL);
        let (id, announced) = (peer.id, Arc::<Mutex<Announced>>::default());
        let to = Arc::clone(&announced);
        let task = tokio::spawn(async move {
            loop {
                if let Err(cause) = announce(&peer, &head, &to).await {
                    lock(&to).failed.push(cause.to_string());
                    tokio::time::sleep(PAUSE).await;
                }
            }
        });
        Self { id, announced, task: task.abort_handle() }
    }

    /// Announces no more; when the node had read each announcement.
    pub(crate) fn stop(&self) -> Vec<Instant> {
        self.task.abort();
        lock(&self.announced).read.clone()
    }

    /// Why announcements failed.
    pub(crate) fn failures(&self) -> Vec<String> {
        lock(&self.announced).failed.clone()
    }

    /// Which of the first `len` keys the head at this address does not find, also when it is asked again for a while.
    pub(crate) async fn missing(&self, head: &Multiaddr, len: usize) -> Vec<usize> {
        let peer = Peer::client(PROTOCOL);
        let look = async |number: usize| {
            let answer = peer.providers(head, &key(number)).await;
            let is_found =
                answer.is_ok_and(|answer| answer.providers.iter().any(|found| found.peer == self.id));
            (!is_found).then_some(number)
        };
        let (mut missing, mut since) = ((0..len).collect::<Vec<_>>(), None::<Instant>);
        while !missing.is_empty() && since.is_none_or(|since| since.elapsed() < PATIENCE) {
            let looked = futures::stream::iter(missing).map(&look).buffer_unordered(LOOKED_UP);
            missing = looked.filter_map(std::future::ready).collect().await;
            since.get_or_insert_with(Instant::now);
            tokio::time::sleep(PAUSE).await;
        }
        missing
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Announces one key after the other over one stream.
async fn announce(peer: &RawPeer, head: &Multiaddr, announced: &Mutex<Announced>) -> io::Result<()> {
    let at: Multiaddr = "/ip4/127.0.0.1/tcp/4001".parse().map_err(io::Error::other)?;
    let providers = vec![hydra_kad::Peer::new(&peer.id, [&at])];
    let mut stream: RawStream = peer.stream(head).await?;
    let mut ticks = tokio::time::interval(PAUSE);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let number = lock(announced).read.len();
        let key = key(number);
        stream.send(&Request::AddProvider { key: key.clone().into(), providers: providers.clone() }).await?;
        // An answer on the same stream says that the announcement before it was read.
        stream.ask(&Request::FindNode { key: key.into() }).await?;
        lock(announced).read.push(Instant::now());
    }
}

fn key(number: usize) -> Vec<u8> {
    let digest = Sha256::digest(number.to_be_bytes());
    [&[0x12, 0x20][..], &digest].concat()
}

fn lock(announced: &Mutex<Announced>) -> MutexGuard<'_, Announced> {
    announced.lock().unwrap_or_else(PoisonError::into_inner)
}
