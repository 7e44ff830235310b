//! The one gate of every dial: the address policy, the budget of its destination, and a number of addresses per peer.

use crate::config::Connections;
use crate::net::address::{AddressPolicy, best_first, has_name, ip_of, is_dnsaddr, is_relayed, of_peer};
use crate::net::dial_budget::{Destination, DialBudget, Share};
use hydra_kad::NotDialed;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use quick_cache::sync::Cache;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Addresses of one peer that are dialed.
pub(crate) const ADDRESSES_MAX: usize = 8;
/// Peers of which it is remembered where they were reached.
const REACHED_MAX: usize = 65_536;

/// Names that are resolved, in all: so many at once, and one more in each interval.
const NAMES_BURST: u32 = 64;
const NAMES_INTERVAL: Duration = Duration::from_millis(200);

/// Why a dial, or an address before it is dialed, was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The address policy does not permit it.
    #[error("the address policy does not permit this address")]
    Policy,
    /// Its destination was dialed too often, or has too many connections.
    #[error("the dial budget of this address is used up")]
    Budget(#[source] NotDialed),
    /// Too many names are resolved already, or the peer has one already.
    #[error("the budget of names to resolve is used up")]
    Names(#[source] NotDialed),
}

impl Refusal {
    const COUNT: usize = 3;

    const fn index(self) -> usize {
        match self {
            Self::Policy => 0,
            Self::Budget(_) => 1,
            Self::Names(_) => 2,
        }
    }

    /// The words for refusals in metrics, in the order of [`DialGate::refused`].
    pub(crate) const WORDS: [&str; Self::COUNT] = ["policy", "budget", "names"];
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
    /// When the budget of names is whole again.
    names_whole_at: Mutex<Option<Instant>>,
    /// The peers of the config, and where they are.
    configured: HashMap<PeerId, Vec<Multiaddr>>,
    reached: Cache<PeerId, Multiaddr>,
    /// The sockets of each [`Dialer`] that are left.
    sockets: [Arc<Semaphore>; 2],
    without_socket: AtomicU64,
    admitted: AtomicU64,
    refused: [AtomicU64; Refusal::COUNT],
}

/// Whether a transport of the node can dial what a name in this address leads to.
fn is_plain(address: &Multiaddr) -> bool {
    use Protocol::{Dns, Dns4, Dns6, P2p, QuicV1, Tcp, Udp};
    address.iter().all(|part| matches!(part, Dns(_) | Dns4(_) | Dns6(_) | Tcp(_) | Udp(_) | QuicV1 | P2p(_)))
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
            names_whole_at: Mutex::default(),
            configured: HashMap::new(),
            reached: Cache::new(REACHED_MAX),
            sockets: [(); 2].map(|()| Arc::new(Semaphore::new(half))),
            without_socket: AtomicU64::new(0),
            admitted: AtomicU64::new(0),
            refused: Default::default(),
        }
    }

    /// The same, which knows the peers of the config.
    pub(crate) fn with_configured(
        mut self,
        peers: impl IntoIterator<Item = (PeerId, Vec<Multiaddr>)>,
    ) -> Self {
        self.configured.extend(peers);
        self
    }

    /// Those of a peer's addresses that may be dialed, the best ones first, at most [`ADDRESSES_MAX`]: a peer must not
    /// make the node dial whomever it likes. One of them may have a name, and that of a single host: a name costs those
    /// who resolve it, and `/dnsaddr` stands for any number of names.
    pub(crate) fn choose(&self, peer: &PeerId, told: Vec<Multiaddr>) -> Vec<Multiaddr> {
        // Until it was reached, a peer of the config is where the config says, and there first; where that has names, nowhere else.
        let configured = self.configured.get(peer).map_or(&[][..], Vec::as_slice);
        let is_met = self.reached(peer).is_some();
        let first = if is_met { &[][..] } else { configured };
        let told = if first.iter().any(has_name) { Vec::new() } else { told };
        let mut own = of_peer(peer, first.iter().cloned().chain(told));
        let before = own.len();
        own.retain(|address| self.policy.permits(address));
        self.count(Refusal::Policy, before - own.len());
        own.retain(|address| !is_relayed(address));
        let mut chosen = best_first(own);
        self.drop_names(&mut chosen, configured);
        chosen.sort_by_key(|address| !first.contains(address));
        chosen.truncate(ADDRESSES_MAX);
        chosen
    }

    /// Leaves the names of the config, and that of one host that can be dialed.
    fn drop_names(&self, addresses: &mut Vec<Multiaddr>, configured: &[Multiaddr]) {
        let (before, mut is_first) = (addresses.len(), true);
        addresses.retain(|address| {
            !has_name(address)
                || configured.contains(address)
                || (!is_dnsaddr(address) && is_plain(address) && std::mem::take(&mut is_first))
        });
        self.count(Refusal::Names(NotDialed), before - addresses.len());
    }

    /// Admits the resolution of the names in this address. Those of the config cost nothing.
    pub(crate) fn resolve(&self, address: &Multiaddr, now: Instant) -> Result<(), Refusal> {
        if self.is_configured(address) {
            return Ok(());
        }
        let mut whole_at = self.names_whole_at.lock().unwrap_or_else(PoisonError::into_inner);
        let next = whole_at.map_or(now, |at| at.max(now)) + NAMES_INTERVAL;
        if next <= now + NAMES_INTERVAL * NAMES_BURST {
            *whole_at = Some(next);
            return Ok(());
        }
        let refusal = Refusal::Names(NotDialed);
        self.count(refusal, 1);
        Err(refusal)
    }

    /// Whether this is the address of a peer in the config.
    fn is_configured(&self, address: &Multiaddr) -> bool {
        let mut address = address.clone();
        let Some(Protocol::P2p(peer)) = address.pop() else { return false };
        self.configured.get(&peer).is_some_and(|addresses| addresses.contains(&address))
    }

    /// Whether a head could dial one of these addresses of a peer now; a name might be.
    pub(crate) fn has_room(&self, peer: &PeerId, addresses: &[Multiaddr], now: Instant) -> bool {
        let has_room = |ip| {
            let share = self.share(Some(peer), ip, Dialer::Head);
            Destination::of(ip).is_none_or(|to| self.budget().has_room(to, share, now))
        };
        addresses.iter().any(|address| ip_of(address).is_none_or(has_room))
    }

    /// The gate for the dials that check the peer table.
    pub(crate) fn for_checks(self: &Arc<Self>) -> Dials {
        Dials { gate: Arc::clone(self), dialer: Dialer::Scout }
    }

    /// Admits a dial to this address. It lasts until the connection that came of it is closed.
    pub(crate) fn admit(self: &Arc<Self>, ip: IpAddr, share: Share, now: Instant) -> Result<Dial, Refusal> {
        let refusal = if !self.policy.permits_ip(ip) {
            Refusal::Policy
        } else {
            let destination = Destination::of(ip);
            if destination.is_none_or(|to| self.budget().take(to, share, now)) {
                self.admitted.fetch_add(1, Ordering::Relaxed);
                return Ok(Dial { gate: Arc::clone(self), destination, share });
            }
            Refusal::Budget(NotDialed)
        };
        self.count(refusal, 1);
        Err(refusal)
    }

    /// The share of a dial: a peer that was not reached at this destination before may be invented.
    fn share(&self, peer: Option<&PeerId>, ip: IpAddr, dialer: Dialer) -> Share {
        let is_known = peer.is_some_and(|peer| match self.reached(peer) {
            Some(reached) => {
                ip_of(&reached).is_some_and(|reached| Destination::of(reached) == Destination::of(ip))
            }
            // Until it was reached, it is where the config says; names lead anywhere, and then it is dialed nowhere else.
            None => self.configured.get(peer).is_some_and(|configured| {
                let to = Destination::of(ip);
                configured
                    .iter()
                    .any(|at| has_name(at) || ip_of(at).is_some_and(|ip| Destination::of(ip) == to))
            }),
        });
        match dialer {
            _ if !is_known => Share::Hearsay,
            Dialer::Head => Share::Advertising,
            Dialer::Scout => Share::Whole,
        }
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
    pub(crate) fn reached(&self, peer: &PeerId) -> Option<Multiaddr> {
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

/// The gate as one swarm passes it.
#[derive(Debug, Clone)]
pub(crate) struct Dials {
    gate: Arc<DialGate>,
    dialer: Dialer,
}

/// The gate for the dials by which heads make themselves known.
impl From<Arc<DialGate>> for Dials {
    fn from(gate: Arc<DialGate>) -> Self {
        Self { gate, dialer: Dialer::Head }
    }
}

impl Dials {
    /// Admits a dial to a peer at this address, as [`DialGate::admit`] does.
    pub(crate) fn admit(&self, peer: Option<&PeerId>, ip: IpAddr, now: Instant) -> Result<Dial, Refusal> {
        self.gate.admit(ip, self.gate.share(peer, ip, self.dialer), now)
    }

    /// Whose dials they are.
    pub(crate) const fn dialer(&self) -> Dialer {
        self.dialer
    }

    /// The gate itself.
    pub(crate) const fn gate(&self) -> &Arc<DialGate> {
        &self.gate
    }
}

/// An admitted dial, or the connection that came of it.
#[derive(Debug)]
pub(crate) struct Dial {
    gate: Arc<DialGate>,
    destination: Option<Destination>,
    share: Share,
}

impl Dial {
    /// Notes that this peer was reached at this address.
    pub(crate) fn succeeded(&self, peer: PeerId, address: Multiaddr) {
        let reached = of_peer(&peer, [address]).pop();
        reached.into_iter().for_each(|address| self.gate.reached.insert(peer, address));
    }
}

impl Drop for Dial {
    fn drop(&mut self) {
        if let Some(destination) = self.destination {
            self.gate.budget().give_back(destination, self.share);
        }
    }
}

#[cfg(test)]
mod tests;
