//! The peer table: verified DHT servers, shared by all heads.

mod bucket;
mod closest;
mod connections;
mod server;

pub use closest::Snapshot;
pub use server::{Origin, Server};

use crate::net::address::{AddressPolicy, IpGroup, best_first, ip_of};
use crate::net::routing::kad_id::KadId;
use arc_swap::ArcSwap;
use connections::Connections;
use hydra_kad::EncodedPeer;
use libp2p::{Multiaddr, PeerId};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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

/// The peer table. Reading takes no lock; writing copies the list of pointers.
#[derive(Debug)]
pub struct Table {
    snapshot: ArcSwap<Snapshot>,
    policy: AddressPolicy,
    limits: Limits,
    started: Instant,
    /// Their lock is held by whoever changes the table.
    connections: Mutex<Connections>,
}

impl Table {
    /// An empty table.
    pub fn new(policy: AddressPolicy, limits: Limits) -> Self {
        Self {
            snapshot: ArcSwap::from_pointee(Snapshot::new(Vec::new(), limits)),
            policy,
            limits,
            started: Instant::now(),
            connections: Mutex::default(),
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

    /// Whether a peer with these addresses would be taken; asked before it is probed.
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
        if !addresses.iter().any(|address| self.policy.permits(address)) {
            return Err(Refusal::NoAddress);
        }
        self.room_for(&snapshot, &id, &self.groups_of(addresses))
    }

    /// Takes in a peer that has just answered a probe, or refreshes it.
    ///
    /// # Errors
    /// The [`Refusal`]; the table is as it was.
    pub fn insert(&self, peer: PeerId, addresses: &[Multiaddr], now: Instant) -> Result<(), Refusal> {
        let mut connections = self.connections();
        let snapshot = self.snapshot.load_full();
        let id = KadId::of_peer(&peer);
        let known = snapshot.find(&id);
        if known.is_some_and(|server| server.is_own()) {
            return Err(Refusal::Own);
        }
        let permitted = self.permitted(addresses);
        if permitted.is_empty() {
            return Err(Refusal::NoAddress);
        }
        if let Some(server) = known {
            if server.addresses == permitted {
                self.touch(server, now);
                return Ok(());
            }
        } else {
            self.room_for(&snapshot, &id, &self.groups_of(&permitted))?;
        }
        let server = self.server(&mut connections, peer, permitted, Origin::Foreign, now);
        self.snapshot.store(Arc::new(snapshot.with(server)));
        Ok(())
    }

    /// Tells the address of a head of this node; it is never probed and never leaves.
    pub fn set_own(&self, peer: PeerId, addresses: &[Multiaddr], now: Instant) {
        let mut connections = self.connections();
        let server = self.server(&mut connections, peer, self.permitted(addresses), Origin::Own, now);
        let snapshot = self.snapshot.load_full();
        self.snapshot.store(Arc::new(snapshot.with(server)));
    }

    /// Takes a peer out; our own heads too, when they end.
    pub fn remove(&self, peer: &PeerId) {
        let mut connections = self.connections();
        let snapshot = self.snapshot.load_full();
        self.snapshot.store(Arc::new(snapshot.without(&KadId::of_peer(peer))));
        connections.forget_unused(peer);
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
        self.connections().connected(peer);
    }

    /// Notes the end of a connection to a peer.
    pub fn disconnected(&self, peer: &PeerId) {
        self.connections().disconnected(peer);
    }

    /// Whether a connection to a peer is open, be it a server or not.
    pub fn is_connected(&self, peer: &PeerId) -> bool {
        self.connections().is_connected(peer)
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn server(
        &self,
        connections: &mut Connections,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        origin: Origin,
        now: Instant,
    ) -> Arc<Server> {
        Arc::new(Server {
            peer,
            id: KadId::of_peer(&peer),
            encoded: EncodedPeer::new(&peer.to_bytes(), &addresses),
            groups: self.groups_of(&addresses),
            addresses,
            origin,
            connections: connections.of(peer),
            seen_ms: AtomicU64::new(self.millis(now)),
        })
    }

    fn permitted(&self, addresses: &[Multiaddr]) -> Vec<Multiaddr> {
        best_first(addresses.iter().filter(|address| self.policy.permits(address)).cloned().collect())
    }

    fn groups_of(&self, addresses: &[Multiaddr]) -> Vec<IpGroup> {
        let mut groups: Vec<_> = addresses.iter().filter_map(ip_of).filter_map(IpGroup::of).collect();
        groups.sort_unstable();
        groups.dedup();
        groups
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
