//! The places of inbound connections: how many of the node are being established, and how many of both kinds come from one
//! host or network.

use super::refusal::Refusal;
use crate::config::Connections;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The bits of a host and of a network: a subscriber of IPv6 has at least a /56, so that its addresses are one host.
const V4_BITS: Range = Range { host: 32, network: 24 };
const V6_BITS: Range = Range { host: 56, network: 48 };

struct Range {
    host: u32,
    network: u32,
}

/// The limits of inbound connections, over all heads.
#[derive(Debug, Clone, Copy)]
pub struct PlaceLimits {
    /// Connections from one host.
    pub host_max: u32,
    /// Connections from one network.
    pub network_max: u32,
    /// Connections that are being established, of the node.
    pub pending_node_max: u32,
    /// Connections that are being established, from one host.
    pub pending_host_max: u32,
    /// Connections that are being established, from one network.
    pub pending_network_max: u32,
}

impl PlaceLimits {
    /// The limits of the node.
    pub(crate) fn of_node(connections: &Connections) -> Self {
        Self {
            host_max: connections.per_host_max,
            network_max: connections.per_network_max,
            pending_node_max: connections.pending_per_node_max,
            pending_host_max: connections.pending_per_host_max,
            pending_network_max: connections.pending_per_network_max,
        }
    }
}

/// The inbound connections of the node by where they come from. An entry exists as long as a connection from there does.
#[derive(Debug)]
pub(super) struct Places {
    limits: PlaceLimits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    all: Pending,
    from: HashMap<Prefix, Count>,
}

/// The first bits of an address, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Prefix(IpAddr, u32);

impl Prefix {
    /// The address with the other bits zero.
    pub(super) const fn ip(self) -> IpAddr {
        self.0
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct Count {
    pending: Pending,
    established: u32,
}

/// The place of one inbound connection, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    /// Host and network; none of an address that is exempt.
    from: Option<[Prefix; 2]>,
    source: Source,
    is_established: bool,
}

/// What is known of the address that a connection comes from while it is established.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Somebody answers there: TCP has shaken hands.
    Proven,
    /// The first packet of QUIC may bear any address, of a host that knows nothing of it. libp2p asks for no proof (`Retry`).
    Claimed,
}

/// Connections that are being established.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Pending {
    pub(super) all: u32,
    claimed: u32,
}

impl Source {
    /// What is known of the other end of a connection to these listeners.
    pub(super) fn of(address: &Multiaddr) -> Self {
        let is_quic = address.iter().any(|part| matches!(part, Protocol::QuicV1));
        if is_quic { Self::Claimed } else { Self::Proven }
    }
}

impl Pending {
    /// Whether there is room for one more. Connections from addresses that are only claimed take half of the places at most:
    /// whoever forges addresses leaves the other half to TCP.
    pub(super) fn has_room(self, source: Source, max: u32) -> bool {
        self.all < max && (source == Source::Proven || self.claimed < max.div_ceil(2))
    }

    pub(super) fn add(&mut self, source: Source) {
        self.all += 1;
        self.claimed += u32::from(source == Source::Claimed);
    }

    pub(super) fn remove(&mut self, source: Source) {
        self.all -= 1;
        self.claimed -= u32::from(source == Source::Claimed);
    }
}

impl Places {
    pub(super) fn new(limits: PlaceLimits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    /// Takes a place for a connection that is to be established.
    pub(super) fn take(self: &Arc<Self>, ip: Option<IpAddr>, source: Source) -> Result<Place, Refusal> {
        let (from, limits) = (ip.and_then(prefixes), &self.limits);
        let mut state = self.state();
        if !state.all.has_room(source, limits.pending_node_max) {
            return Err(Refusal::PendingNode);
        }
        if let Some([host, network]) = from {
            let (host, network) = (state.of(host), state.of(network));
            limits.established(host, network)?;
            if !host.pending.has_room(source, limits.pending_host_max) {
                return Err(Refusal::PendingHost);
            }
            if !network.pending.has_room(source, limits.pending_network_max) {
                return Err(Refusal::PendingNetwork);
            }
        }
        state.all.add(source);
        state.change(from, |count| count.pending.add(source));
        Ok(Place { places: Arc::clone(self), from, source, is_established: false })
    }

    /// Connections that are being established.
    pub(super) fn pending(&self) -> u32 {
        self.state().all.all
    }

    /// Nothing that a panic could leave half done is kept behind this lock.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PlaceLimits {
    fn established(&self, host: Count, network: Count) -> Result<(), Refusal> {
        if host.established >= self.host_max {
            return Err(Refusal::Host);
        }
        if network.established >= self.network_max { Err(Refusal::Network) } else { Ok(()) }
    }
}

impl State {
    fn of(&self, prefix: Prefix) -> Count {
        self.from.get(&prefix).copied().unwrap_or_default()
    }

    fn change(&mut self, from: Option<[Prefix; 2]>, change: impl Fn(&mut Count)) {
        for prefix in from.into_iter().flatten() {
            let count = self.from.entry(prefix).or_default();
            change(count);
            if count.pending.all == 0 && count.established == 0 {
                self.from.remove(&prefix);
            }
        }
    }
}

impl Place {
    /// The connection is established.
    pub(super) fn establish(&mut self) -> Result<(), Refusal> {
        let mut state = self.places.state();
        if let Some([host, network]) = self.from {
            self.places.limits.established(state.of(host), state.of(network))?;
        }
        state.all.remove(self.source);
        state.change(self.from, |count| {
            count.pending.remove(self.source);
            count.established += 1;
        });
        self.is_established = true;
        Ok(())
    }

    /// The host that it comes from, unless that is exempt.
    pub(super) fn host(&self) -> Option<Prefix> {
        self.from.map(|[host, _]| host)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.places.state();
        if self.is_established {
            state.change(self.from, |count| count.established -= 1);
        } else {
            state.all.remove(self.source);
            state.change(self.from, |count| count.pending.remove(self.source));
        }
    }
}

/// The host and the network of an address; none of loopback, which is exempt.
fn prefixes(ip: IpAddr) -> Option<[Prefix; 2]> {
    let ip = ip.to_canonical();
    let bits = if ip.is_ipv4() { V4_BITS } else { V6_BITS };
    (!ip.is_loopback()).then(|| [bits.host, bits.network].map(|bits| Prefix(masked(ip, bits), bits)))
}

fn masked(ip: IpAddr, bits: u32) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(u32::BITS - bits).unwrap_or(0);
            Ipv4Addr::from_bits(ip.to_bits() & mask).into()
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(u128::BITS - bits).unwrap_or(0);
            Ipv6Addr::from_bits(ip.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: PlaceLimits = PlaceLimits {
        host_max: 3,
        network_max: 5,
        pending_node_max: 100,
        pending_host_max: 2,
        pending_network_max: 3,
    };

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn take(places: &Arc<Places>, from: &str) -> Result<Place, Refusal> {
        places.take(ip(from), Source::Proven)
    }

    fn established(places: &Arc<Places>, from: &str) -> Result<Place, Refusal> {
        let mut place = places.take(ip(from), Source::Proven)?;
        place.establish().map(|()| place)
    }

    #[test]
    fn one_host_and_one_network_have_their_part_and_no_more() {
        let places = Arc::new(Places::new(LIMITS));
        for [one, same, near, far] in [
            ["1.2.3.4", "::ffff:1.2.3.4", "1.2.3.5", "1.2.4.4"],
            ["2001:db8:1:100::1", "2001:db8:1:1ff::2", "2001:db8:1:200::1", "2001:db8:2:100::1"],
        ] {
            let _held = [one, same, one].map(|from| established(&places, from).unwrap());
            assert_eq!(established(&places, same).unwrap_err(), Refusal::Host);
            let _more = [near, near].map(|from| established(&places, from).unwrap());
            assert_eq!(established(&places, near).unwrap_err(), Refusal::Network);
            established(&places, far).unwrap();
        }
        assert!(places.state().from.is_empty(), "entries exist while connections do");
    }

    #[test]
    fn silent_connections_of_one_host_leave_places_for_others() {
        let places = Arc::new(Places::new(LIMITS));
        let mut silent: Vec<_> = (0..2).map(|_| take(&places, "1.2.3.4").unwrap()).collect();
        assert_eq!(take(&places, "1.2.3.4").unwrap_err(), Refusal::PendingHost);
        silent.push(take(&places, "1.2.3.5").unwrap());
        assert_eq!(take(&places, "1.2.3.6").unwrap_err(), Refusal::PendingNetwork);
        silent.push(take(&places, "1.2.4.4").unwrap());
        silent.extend((0..96).map(|_| take(&places, "127.0.0.1").unwrap()));
        assert_eq!(take(&places, "127.0.0.1").unwrap_err(), Refusal::PendingNode);
        drop(silent);
        assert_eq!((places.pending(), places.state().from.len()), (0, 0));
    }

    #[test]
    fn forged_addresses_leave_half_of_the_places_to_connections_from_proven_ones() {
        let limits =
            PlaceLimits { pending_node_max: 10, pending_host_max: 4, pending_network_max: 6, ..LIMITS };
        let places = Arc::new(Places::new(limits));
        let forged = |from: &str| places.take(ip(from), Source::Claimed);
        let mut held: Vec<_> = (0..2).map(|_| forged("1.2.3.4").unwrap()).collect();
        assert_eq!(forged("1.2.3.4").unwrap_err(), Refusal::PendingHost);
        held.push(forged("1.2.3.5").unwrap());
        assert_eq!(forged("1.2.3.6").unwrap_err(), Refusal::PendingNetwork);
        held.extend((0..2).map(|_| forged("5.6.7.8").unwrap()));
        assert_eq!(forged("9.9.9.9").unwrap_err(), Refusal::PendingNode);
        // The host whose address is forged gets in, and so does everybody else.
        for from in ["1.2.3.4", "1.2.3.6", "9.9.9.9"] {
            held.push(take(&places, from).unwrap());
        }
        drop(held);
        assert_eq!((places.pending(), places.state().from.len()), (0, 0));
    }
}
