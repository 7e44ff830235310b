//! The peer table: verified DHT servers, shared by all heads.

mod bucket;
mod closest;
mod connections;
mod server;

pub use closest::Snapshot;
pub use server::{Origin, Server};

use crate::net::address::{AddressPolicy, IpGroup, best_first, ip_of, of_peer};
use crate::net::routing::kad_id::KadId;
use arc_swap::ArcSwap;
use connections::Connections;
use hydra_kad::EncodedPeer;
use libp2p::{Multiaddr, PeerId};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How many peers a table may have.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// In all.
    pub len_max: usize,
    /// Of one bucket, as any head sees it (k, requirement T1).
    pub bucket_len_max: usize,
    /// Of one IP group in one bucket (requirement T5).
    pub bucket_group_len_max: usize,
    /// Of one IP group in all, and in one answer (requirement T5).
    pub group_len_max: usize,
    /// Of our own heads of one IP group in one answer (requirement Q11).
    pub group_own_max: usize,
}

/// Why a peer was not taken into the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It has no address that the policy permits (requirement T6).
    NoAddress,
    /// No head has room for it: a live peer is never evicted for a newer one (requirement T3).
    Full,
    /// Too many of its IP group are there.
    Group,
    /// It is one of our own heads.
    Own,
}

impl Refusal {
    pub(crate) const ALL: [Self; 4] = [Self::NoAddress, Self::Full, Self::Group, Self::Own];

    /// The word for it in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::NoAddress => "no_address",
            Self::Full => "full",
            Self::Group => "group",
            Self::Own => "own",
        }
    }
}

/// The peer table. Reading takes no lock; writing copies the list of pointers.
#[derive(Debug)]
pub struct Table {
    snapshot: ArcSwap<Snapshot>,
    policy: AddressPolicy,
    limits: Limits,
    started: Instant,
    connections: Connections,
    /// Held by whoever changes the table.
    changing: Mutex<()>,
    refused: [AtomicU64; Refusal::ALL.len()],
    foreign_len: watch::Sender<usize>,
}

impl Table {
    /// An empty table.
    pub fn new(policy: AddressPolicy, limits: Limits) -> Self {
        Self {
            snapshot: ArcSwap::from_pointee(Snapshot::new(limits)),
            policy,
            limits,
            started: Instant::now(),
            connections: Connections::default(),
            changing: Mutex::default(),
            refused: Default::default(),
            foreign_len: watch::Sender::new(0),
        }
    }

    /// The table as it is now.
    pub fn snapshot(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    /// How many servers there may be.
    pub fn len_max(&self) -> usize {
        self.limits.len_max
    }

    /// The number of foreign servers, which alone tell whether the node has joined a network (requirement T8).
    pub(crate) fn watch_foreign_len(&self) -> watch::Receiver<usize> {
        self.foreign_len.subscribe()
    }

    /// Whether a peer with these addresses would be taken; asked before it is probed. Takes no longer for more servers or
    /// heads.
    ///
    /// # Errors
    /// The [`Refusal`] it would meet.
    pub fn consider(&self, peer: &PeerId, addresses: &[Multiaddr]) -> Result<(), Refusal> {
        let snapshot = self.snapshot();
        let id = KadId::of_peer(peer);
        match snapshot.find(&id) {
            Some(server) if server.is_own() => return Err(Refusal::Own),
            Some(_) => return Ok(()),
            None => {}
        }
        let mut permitted = addresses.iter().filter(|address| self.policy.permits(address)).peekable();
        if permitted.peek().is_none() {
            return Err(Refusal::NoAddress);
        }
        // At a name, or at an address that is in no group, it may be reached whatever group is full.
        let groups: Option<Vec<_>> = permitted.map(|address| ip_of(address).and_then(IpGroup::of)).collect();
        self.room_for(&snapshot, &id, &groups.unwrap_or_default())
    }

    /// Whether a peer that serves at these addresses is to be probed: it would be taken, or is in the table with other
    /// addresses.
    pub(crate) fn wants(&self, peer: &PeerId, addresses: &[Multiaddr]) -> bool {
        let snapshot = self.snapshot();
        match snapshot.find(&KadId::of_peer(peer)) {
            Some(server) => !server.is_own() && server.addresses != self.permitted(peer, addresses),
            None => self.consider(peer, addresses).inspect_err(|refusal| self.count(*refusal)).is_ok(),
        }
    }

    /// Takes in a peer that has just answered a probe, or refreshes it. It counts for the IP group in which it was
    /// `reached`, whatever it says of itself; one that is known and was reached in another group is judged again.
    ///
    /// # Errors
    /// The [`Refusal`]; a peer that was in the table is then out of it.
    pub fn insert(
        &self,
        peer: PeerId,
        addresses: &[Multiaddr],
        reached: Option<IpAddr>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let _changing = self.changing();
        let snapshot = self.snapshot.load_full();
        let id = KadId::of_peer(&peer);
        let known = snapshot.find(&id);
        if known.is_some_and(|server| server.is_own()) {
            return Err(Refusal::Own);
        }
        let permitted = self.permitted(&peer, addresses);
        let group = reached.and_then(IpGroup::of);
        let stays = known.is_some_and(|server| server.group == group);
        if let Some(server) = known
            && stays
            && server.addresses == permitted
        {
            self.touch(server, now);
            return Ok(());
        }
        let judged = if permitted.is_empty() {
            Err(Refusal::NoAddress)
        } else if stays {
            Ok(())
        } else {
            // Judged as a new one, which does not count for its old group any more.
            let others = known.map(|_| snapshot.without(&id));
            self.room_for(others.as_ref().unwrap_or(&snapshot), &id, group.as_slice())
        };
        if let Err(refusal) = judged {
            self.count(refusal);
            if known.is_some() {
                self.replace(snapshot.without(&id));
                self.connections.unlisted(&peer);
            }
            return Err(refusal);
        }
        let server = self.server(peer, permitted, Origin::Foreign, group, now);
        self.replace(snapshot.with(server));
        Ok(())
    }

    /// Tells the address of a head of this node; it is never probed and never leaves.
    pub fn set_own(&self, peer: PeerId, addresses: &[Multiaddr], now: Instant) {
        let _changing = self.changing();
        let server = self.server(peer, self.permitted(&peer, addresses), Origin::Own, None, now);
        self.replace(self.snapshot.load().with(server));
    }

    /// Takes a peer out; our own heads too, when they end.
    pub fn remove(&self, peer: &PeerId) {
        let _changing = self.changing();
        self.replace(self.snapshot.load().without(&KadId::of_peer(peer)));
        self.connections.unlisted(peer);
    }

    /// Takes a peer out if it is in and is no head of this node.
    pub fn remove_foreign(&self, peer: &PeerId) {
        if self.snapshot().find(&KadId::of_peer(peer)).is_some_and(|server| !server.is_own()) {
            self.remove(peer);
        }
    }

    /// Notes that a peer gave a sign of life.
    pub fn seen(&self, peer: &PeerId, now: Instant) {
        if let Some(server) = self.snapshot().find(&KadId::of_peer(peer)) {
            self.touch(server, now);
        }
    }

    /// Foreign peers that gave no sign of life for `silent` (requirement T4).
    pub fn silent_for(&self, silent: Duration, now: Instant) -> Vec<Arc<Server>> {
        let now_ms = self.millis(now);
        let silent = |server: &&Arc<Server>| {
            let seen_ms = server.seen_ms.load(Ordering::Relaxed);
            !server.is_own() && now_ms.saturating_sub(seen_ms) >= silent.as_millis() as u64
        };
        self.snapshot().servers().filter(silent).cloned().collect()
    }

    /// Notes a new connection to a peer.
    pub fn connected(&self, peer: PeerId) {
        self.connections.connected(peer);
    }

    /// Notes the end of a connection to a peer.
    pub fn disconnected(&self, peer: &PeerId) {
        self.connections.disconnected(peer);
    }

    /// Whether a connection to a peer is open, be it a server or not.
    pub fn is_connected(&self, peer: &PeerId) -> bool {
        self.connections.is_connected(peer)
    }

    /// Peers that were not taken for this reason.
    pub(crate) fn refused(&self, refusal: Refusal) -> u64 {
        self.refused[refusal as usize].load(Ordering::Relaxed)
    }

    fn count(&self, refusal: Refusal) {
        self.refused[refusal as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replace(&self, snapshot: Snapshot) {
        let foreign_len = snapshot.foreign_len();
        self.snapshot.store(Arc::new(snapshot));
        self.foreign_len.send_if_modified(|len| std::mem::replace(len, foreign_len) != foreign_len);
    }

    fn server(
        &self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        origin: Origin,
        group: Option<IpGroup>,
        now: Instant,
    ) -> Arc<Server> {
        let mut groups: Vec<_> = addresses.iter().filter_map(ip_of).filter_map(IpGroup::of).collect();
        groups.extend(group);
        groups.sort_unstable();
        groups.dedup();
        Arc::new(Server {
            peer,
            id: KadId::of_peer(&peer),
            encoded: EncodedPeer::new(&peer.to_bytes(), &addresses),
            groups,
            group,
            addresses,
            origin,
            connections: self.connections.listed(peer),
            seen_ms: AtomicU64::new(self.millis(now)),
        })
    }

    fn permitted(&self, peer: &PeerId, addresses: &[Multiaddr]) -> Vec<Multiaddr> {
        let permitted = addresses.iter().filter(|address| self.policy.permits(address)).cloned();
        best_first(of_peer(peer, permitted))
    }

    fn touch(&self, server: &Server, now: Instant) {
        server.seen_ms.fetch_max(self.millis(now), Ordering::Relaxed);
    }

    fn millis(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.started).as_millis() as u64
    }
}

#[cfg(test)]
mod tests;
