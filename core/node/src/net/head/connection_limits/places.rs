//! The places of inbound connections: how many of the node are being established, and how many of both kinds come from one
//! host or network.

use super::refusal::Refusal;
use crate::config::Connections;
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
    pending: u32,
    from: HashMap<Prefix, Count>,
}

/// The first bits of an address, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Prefix(IpAddr, u32);

#[derive(Debug, Default, Clone, Copy)]
struct Count {
    pending: u32,
    established: u32,
}

/// The place of one inbound connection, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    /// Host and network; none of an address that is exempt.
    from: Option<[Prefix; 2]>,
    is_established: bool,
}

impl Places {
    pub(super) fn new(limits: PlaceLimits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    /// Takes a place for a connection that is to be established.
    pub(super) fn take(self: &Arc<Self>, ip: Option<IpAddr>) -> Result<Place, Refusal> {
        let (from, limits) = (ip.and_then(prefixes), &self.limits);
        let mut state = self.state();
        if state.pending >= limits.pending_node_max {
            return Err(Refusal::PendingNode);
        }
        if let Some([host, network]) = from {
            let (host, network) = (state.of(host), state.of(network));
            limits.established(host, network)?;
            if host.pending >= limits.pending_host_max {
                return Err(Refusal::PendingHost);
            }
            if network.pending >= limits.pending_network_max {
                return Err(Refusal::PendingNetwork);
            }
        }
        state.pending += 1;
        state.change(from, |count| count.pending += 1);
        Ok(Place { places: Arc::clone(self), from, is_established: false })
    }

    /// Connections that are being established.
    pub(super) fn pending(&self) -> u32 {
        self.state().pending
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
            if count.pending == 0 && count.established == 0 {
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
        state.pending -= 1;
        state.change(self.from, |count| {
            count.pending -= 1;
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
            state.pending -= 1;
            state.change(self.from, |count| count.pending -= 1);
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

    fn established(places: &Arc<Places>, from: &str) -> Result<Place, Refusal> {
        let mut place = places.take(ip(from))?;
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
        let mut silent: Vec<_> = (0..2).map(|_| places.take(ip("1.2.3.4")).unwrap()).collect();
        assert_eq!(places.take(ip("1.2.3.4")).unwrap_err(), Refusal::PendingHost);
        silent.push(places.take(ip("1.2.3.5")).unwrap());
        assert_eq!(places.take(ip("1.2.3.6")).unwrap_err(), Refusal::PendingNetwork);
        silent.push(places.take(ip("1.2.4.4")).unwrap());
        silent.extend((0..96).map(|_| places.take(ip("127.0.0.1")).unwrap()));
        assert_eq!(places.take(ip("127.0.0.1")).unwrap_err(), Refusal::PendingNode);
        drop(silent);
        assert_eq!((places.pending(), places.state().from.len()), (0, 0));
    }
}
