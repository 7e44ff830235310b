//! Keeping the peer table: who is met is probed before it enters, who is silent is probed again, and the scout looks
//! for those that nobody met.

use crate::net::address::is_relayed;
use crate::net::heads::HeadList;
use crate::net::peer_addresses::PeerAddresses;
use crate::net::routing::kad_id::KadId;
use crate::net::routing::lookup::{Contact, Pace, lookup};
use crate::net::routing::scout::Scout;
use crate::net::routing::table::{Server, Table};
use crate::net::supervise::Phase;
use futures::stream::{self, FuturesUnordered, StreamExt};
use hydra_kad::Request;
use libp2p::PeerId;
use quick_cache::unsync::Cache;
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

use super::saved::{load, save};

/// Candidates that wait to be probed; further ones are forgotten, and met again.
pub(crate) const CANDIDATES_MAX: usize = 1024;
/// Probes under way at a time.
const PROBES_MAX: usize = 16;
/// A peer is probed as a candidate once in so long.
const PROBED_AGAIN: Duration = Duration::from_secs(600);
const PROBED_MAX: usize = 16_384;
/// Peers are probed again when they were silent for this part of the time between two refreshes: 5 of 10 minutes
/// (requirement T4).
const SILENT_PART: u32 = 2;
/// Tries until a silent peer counts as dead.
const TRIES: usize = 2;
/// Lookups under way at a time.
const LOOKUPS_MAX: usize = 2;
/// Buckets that are filled by lookups of their own, from the farthest.
const BUCKETS: u32 = 8;
/// Such lookups per refresh.
const BUCKET_LOOKUPS_MAX: usize = 16;
/// With fewer servers than this a bucket is looked up.
const BUCKET_LEN_MIN: usize = 10;
/// With fewer foreign servers than this the bootstrap peers are asked again.
const FOREIGN_LEN_MIN: usize = 4;
/// The pause between the first servers of an empty table and the lookups that they make possible.
const FIRST_REFRESH: Duration = Duration::from_secs(2);

/// What table maintenance works on.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The table.
    pub(crate) table: Arc<Table>,
    /// The scout.
    pub(crate) scout: Scout,
    /// The heads of this node.
    pub(crate) heads: Arc<HeadList>,
    /// Who is asked first.
    pub(crate) bootstrap: Vec<Contact>,
    /// The addresses of peers that were met.
    pub(crate) peer_addresses: Arc<PeerAddresses>,
    /// How often the table is refreshed.
    pub(crate) interval: Duration,
    /// How long a peer has to answer.
    pub(crate) timeout: Duration,
    /// How lookups go about it.
    pub(crate) pace: Pace,
    /// Where the table is kept over restarts.
    pub(crate) saved: PathBuf,
    /// How far the node is.
    pub(crate) phase: watch::Receiver<Phase>,
}

/// Keeps the table until the node drains, and saves it then. Servers that the heads met come in by `candidates`.
pub(crate) async fn run(parts: &Parts, mut candidates: mpsc::Receiver<Contact>) {
    let mut waiting: VecDeque<Contact> = load(&parts.saved, parts.table.len_max()).await.into();
    waiting.extend(parts.bootstrap.iter().cloned());
    let mut probed = Cache::new(PROBED_MAX);
    let mut phase = parts.phase.clone();
    let mut probes = FuturesUnordered::new();
    let mut under_way = HashMap::new();
    let mut refreshing = None;
    let refresh_at = tokio::time::sleep(parts.interval);
    tokio::pin!(refresh_at);
    loop {
        while probes.len() < PROBES_MAX {
            let Some(contact) = waiting.pop_front() else { break };
            if parts.is_worth_a_probe(&contact, &mut probed) {
                under_way.insert(contact.peer, contact.clone());
                probes.push(parts.probe(contact));
            }
        }
        tokio::select! {
            Some(contact) = candidates.recv(), if waiting.len() < CANDIDATES_MAX => waiting.push_back(contact),
            Some((peer, heard)) = probes.next(), if !probes.is_empty() => {
                under_way.remove(&peer);
                let room = CANDIDATES_MAX.saturating_sub(waiting.len());
                waiting.extend(heard.into_iter().filter(|contact| parts.is_wanted(contact)).take(room));
                if parts.foreign_len() > 0 && parts.foreign_len() <= FOREIGN_LEN_MIN {
                    let soon = tokio::time::Instant::now() + FIRST_REFRESH;
                    let due = refresh_at.deadline().min(soon);
                    refresh_at.as_mut().reset(due);
                }
            }
            () = &mut refresh_at, if refreshing.is_none() => {
                refresh_at.as_mut().reset(tokio::time::Instant::now() + parts.interval);
                if parts.foreign_len() < FOREIGN_LEN_MIN {
                    probed.clear();
                    waiting.extend(parts.bootstrap.iter().cloned());
                }
                refreshing = Some(Box::pin(parts.refresh()));
            }
            () = async { if let Some(refresh) = refreshing.as_mut() { refresh.await } }, if refreshing.is_some() => {
                refreshing = None;
            }
            _ = phase.wait_for(|phase| *phase != Phase::Serving) => break,
        }
    }
    // Who was not probed yet is not forgotten: a node that is stopped early still knows its peers at the next start.
    save(&parts.saved, &parts.table, under_way.into_values().chain(waiting)).await;
}

impl Parts {
    /// Foreign servers alone tell whether the node has joined a network (requirement T8).
    fn foreign_len(&self) -> usize {
        self.table.snapshot().servers().filter(|server| !server.is_own()).count()
    }

    /// Whether it would enter the table, and is not in it.
    fn is_wanted(&self, contact: &Contact) -> bool {
        self.table.snapshot().find(&KadId::of_peer(&contact.peer)).is_none()
            && self.table.consider(&contact.peer, &contact.addresses).is_ok()
    }

    fn is_worth_a_probe(&self, contact: &Contact, probed: &mut Cache<PeerId, Instant>) -> bool {
        let now = Instant::now();
        let lately = probed.get(&contact.peer).is_some_and(|at| now.duration_since(*at) < PROBED_AGAIN);
        let is_bootstrap = self.bootstrap.contains(contact);
        if lately || !(is_bootstrap || self.is_wanted(contact)) {
            return false;
        }
        probed.insert(contact.peer, now);
        true
    }

    /// Asks a candidate for the peers near one of our heads; it enters the table when it answers (requirement T2).
    async fn probe(&self, contact: Contact) -> (PeerId, Vec<Contact>) {
        let peer = contact.peer;
        let target = self.heads.now().first().map_or_else(Vec::new, |head| head.peer.to_bytes());
        (peer, self.ask(contact, target).await.unwrap_or_default())
    }

    /// One question to one server: who answers enters the table, as far as there is room for it.
    async fn ask(&self, contact: Contact, target: Vec<u8>) -> Option<Vec<Contact>> {
        let request = Request::FindNode { key: target.into() };
        let answer =
            self.scout.ask(contact.peer, contact.addresses.clone(), request, self.timeout).await.ok()?;
        // What it told of itself by now is better than what others, or a name in the config, told of it.
        let addresses =
            self.peer_addresses.find(&contact.peer).map_or(contact.addresses, |met| met.addresses.clone());
        let direct: Vec<_> = addresses.into_iter().filter(|address| !is_relayed(address)).collect();
        // A refusal is no fault of the one who answered.
        let _refused = self.table.insert(contact.peer, &direct, Instant::now()).is_err();
        let heard = answer.closer.into_iter();
        Some(heard.map(|peer| Contact { peer: peer.peer, addresses: peer.addresses }).collect())
    }

    /// Drops the dead, then looks for new ones near every head and in thin buckets, and saves the table.
    async fn refresh(&self) {
        let silent = self.table.silent_for(self.interval / SILENT_PART, Instant::now());
        stream::iter(silent).for_each_concurrent(PROBES_MAX, |server| self.reprobe(server)).await;
        let heads = self.heads.peers();
        let targets = heads.iter().map(|head| head.to_bytes()).chain(self.thin_buckets(&heads));
        stream::iter(targets).for_each_concurrent(LOOKUPS_MAX, |target| self.look_up(target, &heads)).await;
        save(&self.saved, &self.table, []).await;
    }

    async fn reprobe(&self, server: Arc<Server>) {
        let contact = Contact { peer: server.peer, addresses: server.addresses.clone() };
        for _ in 0..TRIES {
            if self.ask(contact.clone(), server.peer.to_bytes()).await.is_some() {
                self.table.seen(&server.peer, Instant::now());
                return;
            }
        }
        self.table.remove(&server.peer);
    }

    async fn look_up(&self, target: Vec<u8>, heads: &[PeerId]) {
        let id = KadId::of_key(&target);
        let start = self.table.snapshot().closest(&id, self.pace.wanted, Server::is_own);
        let start = start
            .into_iter()
            .map(|server| Contact { peer: server.peer, addresses: server.addresses.clone() })
            .collect();
        lookup(&id, start, heads, self.pace, |contact| self.ask(contact, target.clone())).await;
    }

    /// Keys that fall into buckets which hold few servers. The network has no peer of a chosen id, so keys are tried.
    fn thin_buckets(&self, heads: &[PeerId]) -> Vec<Vec<u8>> {
        let snapshot = self.table.snapshot();
        let mut keys = Vec::new();
        for head in heads.iter().take(BUCKET_LOOKUPS_MAX) {
            let head = KadId::of_peer(head);
            for prefix in 0..BUCKETS {
                let held = snapshot.bucket(&head, prefix).filter(|server| !server.is_own()).count();
                if held < BUCKET_LEN_MIN && keys.len() < BUCKET_LOOKUPS_MAX {
                    keys.extend(key_in_bucket(&head, prefix));
                }
            }
        }
        keys
    }
}

/// A random key whose id shares exactly `prefix` leading bits with `head`; none when luck fails.
fn key_in_bucket(head: &KadId, prefix: u32) -> Option<Vec<u8>> {
    (0..16u32 << prefix)
        .map(|_| rand::random::<[u8; 32]>())
        .find(|key| head.common_prefix(&KadId::of_key(key)) == prefix)
        .map(|key| key.to_vec())
}
