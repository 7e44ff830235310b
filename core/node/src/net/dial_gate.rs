//! The one gate of every dial: the address policy, the budget of its destination, and a number of addresses per peer.

use crate::config::Connections;
use crate::net::address::{AddressPolicy, best_first, ip_of, is_relayed, of_peer};
use crate::net::dial_budget::{Destination, DialBudget};
use hydra_kad::NotDialed;
use libp2p::{Multiaddr, PeerId};
use quick_cache::sync::Cache;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Addresses of one peer that are dialed.
pub(crate) const ADDRESSES_MAX: usize = 8;
/// Peers of which it is remembered where they were reached.
const REACHED_MAX: usize = 16_384;

/// Why a dial, or an address before it is dialed, was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The address policy does not permit it.
    #[error("the address policy does not permit this address")]
    Policy,
    /// Its destination was dialed too often, or has too many connections.
    #[error("the dial budget of this address is used up")]
    Budget(#[source] NotDialed),
}

impl Refusal {
    const COUNT: usize = 2;

    const fn index(self) -> usize {
        match self {
            Self::Policy => 0,
            Self::Budget(_) => 1,
        }
    }

    /// The words for refusals in metrics, in the order of [`DialGate::refused`].
    pub(crate) const WORDS: [&str; Self::COUNT] = ["policy", "budget"];
}

/// Who dials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialer {
    /// A head, or a client of the command line. Its connections are counted elsewhere once they are established.
    Head,
    /// The scout. Nobody else counts its connections.
    Scout,
}

/// What every dial of the node passes: those of heads and scout, with names resolved.
#[derive(Debug)]
pub(crate) struct DialGate {
    policy: AddressPolicy,
    budget: Mutex<DialBudget>,
    reached: Cache<PeerId, IpAddr>,
    /// The sockets of each [`Dialer`] that are left.
    sockets: [Arc<Semaphore>; 2],
    without_socket: AtomicU64,
    admitted: AtomicU64,
    refused: [AtomicU64; Refusal::COUNT],
}

impl DialGate {
    /// A gate with whole budgets, for as many sockets as the config has by default.
    pub(crate) fn new(policy: AddressPolicy) -> Self {
        Self::with_sockets(policy, Connections::PENDING_PER_NODE_MAX)
    }

    /// A gate with whole budgets, for so many sockets: half of them for heads, and half for the scout, which dials whomever it
    /// hears of.
    pub(crate) fn with_sockets(policy: AddressPolicy, sockets_max: u32) -> Self {
        let half = usize::try_from(sockets_max.div_ceil(2)).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self {
            policy,
            budget: Mutex::default(),
            reached: Cache::new(REACHED_MAX),
            sockets: [(); 2].map(|()| Arc::new(Semaphore::new(half))),
            without_socket: AtomicU64::new(0),
            admitted: AtomicU64::new(0),
            refused: Default::default(),
        }
    }

    /// Those of a peer's addresses that may be dialed, the best ones first, at most [`ADDRESSES_MAX`]: a peer must not
    /// make the node dial whomever it likes.
    pub(crate) fn choose(&self, peer: &PeerId, told: Vec<Multiaddr>) -> Vec<Multiaddr> {
        let mut own = of_peer(peer, told);
        let before = own.len();
        own.retain(|address| self.policy.permits(address));
        self.count(Refusal::Policy, before - own.len());
        own.retain(|address| !is_relayed(address));
        let mut chosen = best_first(own);
        chosen.truncate(ADDRESSES_MAX);
        chosen
    }

    /// Whether one of these addresses could be dialed now; a name might be.
    pub(crate) fn has_room(&self, addresses: &[Multiaddr], now: Instant) -> bool {
        let budget = self.budget();
        let has_room = |ip| Destination::of(ip).is_none_or(|to| budget.has_room(to, now));
        addresses.iter().any(|address| ip_of(address).is_none_or(has_room))
    }

    /// Admits a dial to this address. It lasts until the connection that came of it is closed.
    pub(crate) fn admit(self: &Arc<Self>, ip: IpAddr, now: Instant) -> Result<Dial, Refusal> {
        let refusal = if !self.policy.permits_ip(ip) {
            Refusal::Policy
        } else {
            let destination = Destination::of(ip);
            if destination.is_none_or(|to| self.budget().take(to, now)) {
                self.admitted.fetch_add(1, Ordering::Relaxed);
                return Ok(Dial { gate: Arc::clone(self), destination, ip });
            }
            Refusal::Budget(NotDialed)
        };
        self.count(refusal, 1);
        Err(refusal)
    }

    /// A socket for a dial over TCP, as long as it is held; those over QUIC share one.
    pub(crate) fn socket(&self, dialer: Dialer) -> Result<OwnedSemaphorePermit, NotDialed> {
        Arc::clone(&self.sockets[dialer as usize]).try_acquire_owned().map_err(|_| {
            self.without_socket.fetch_add(1, Ordering::Relaxed);
            NotDialed
        })
    }

    /// Addresses not dialed so far because no socket was left.
    pub(crate) fn without_socket(&self) -> u64 {
        self.without_socket.load(Ordering::Relaxed)
    }

    /// Where a peer was reached by the last dial that succeeded.
    pub(crate) fn reached(&self, peer: &PeerId) -> Option<IpAddr> {
        self.reached.get(peer)
    }

    /// Dials admitted so far.
    pub(crate) fn admitted(&self) -> u64 {
        self.admitted.load(Ordering::Relaxed)
    }

    /// Refusals so far, in the order of [`Refusal::WORDS`].
    pub(crate) fn refused(&self) -> [u64; Refusal::COUNT] {
        self.refused.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    fn count(&self, refusal: Refusal, refused: usize) {
        self.refused[refusal.index()].fetch_add(refused as u64, Ordering::Relaxed);
    }

    fn budget(&self) -> MutexGuard<'_, DialBudget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An admitted dial, or the connection that came of it.
#[derive(Debug)]
pub(crate) struct Dial {
    gate: Arc<DialGate>,
    destination: Option<Destination>,
    ip: IpAddr,
}

impl Dial {
    /// Notes that this peer was reached.
    pub(crate) fn succeeded(&self, peer: PeerId) {
        self.gate.reached.insert(peer, self.ip);
    }
}

impl Drop for Dial {
    fn drop(&mut self) {
        if let Some(destination) = self.destination {
            self.gate.budget().give_back(destination);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(texts: &[String]) -> Vec<Multiaddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn of_one_peer_eight_permitted_addresses_are_dialed() {
        let (gate, peer) = (DialGate::new(AddressPolicy::Public), PeerId::random());
        let mut told: Vec<_> = (1..=20).map(|last| format!("/ip4/1.1.1.{last}/tcp/1")).collect();
        let forbidden = ["/ip4/127.0.0.1/tcp/1", "/ip4/169.254.169.254/tcp/80", "/dns4/localhost/tcp/1"];
        told.splice(0..0, forbidden.map(str::to_owned));
        told.push(format!("/ip4/1.1.2.1/tcp/1/p2p/{}/p2p-circuit", PeerId::random()));
        let chosen = gate.choose(&peer, parsed(&told));
        assert_eq!(chosen, parsed(&told[3..11]));
        assert_eq!(gate.refused(), [3, 0]);
    }

    #[test]
    fn a_name_that_leads_to_a_forbidden_host_is_not_dialed() {
        let gate = Arc::new(DialGate::new(AddressPolicy::Public));
        let now = Instant::now();
        for forbidden in ["10.0.0.1", "169.254.169.254", "::1"] {
            assert_eq!(gate.admit(forbidden.parse().unwrap(), now).unwrap_err(), Refusal::Policy);
        }
        assert_eq!((gate.admitted(), gate.refused()), (0, [3, 0]));
    }

    #[test]
    fn dials_of_all_parts_share_the_budget_of_their_destination() {
        let gate = Arc::new(DialGate::new(AddressPolicy::Public));
        let (ip, now) = ("1.1.1.1".parse().unwrap(), Instant::now());
        let address = ["/ip4/1.1.1.1/tcp/1".parse().unwrap()];
        let open: Vec<_> = (0..100).filter_map(|_| gate.admit(ip, now).ok()).collect();
        assert_eq!((open.len(), gate.has_room(&address, now)), (8, false));
        drop(open);
        assert!(gate.has_room(&address, now), "eight of sixteen are left");
        assert_eq!((0..100).filter(|_| gate.admit(ip, now).is_ok()).count(), 8);
        assert_eq!((gate.admitted(), gate.has_room(&address, now)), (16, false));
    }
}
