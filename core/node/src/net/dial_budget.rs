//! How often a destination may be dialed, and how many connections to it may be open.

use quick_cache::unsync::Cache;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// One dial in five seconds to each destination, sixteen at once, and eight connections at a time: what go-libp2p accepts
/// from one address.
#[derive(Debug)]
pub(crate) struct DialBudget {
    /// When each destination's budget is whole again.
    whole_at: Cache<Destination, Instant>,
    /// Dials and the connections that came of them; a destination without any is not in it.
    open: HashMap<Destination, u32>,
}

const INTERVAL: Duration = Duration::from_secs(5);
const BURST: u32 = 16;
/// Connections and dials to one destination at a time.
const OPEN_MAX: u32 = 8;
/// Destinations whose rate is remembered; one that is forgotten has its whole budget again.
const DESTINATIONS_MAX: usize = 8192;

/// The addresses that share a budget: an IPv4 address or an IPv6 /56, which is what one site has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Destination {
    V4(u32),
    V6(u64),
}

impl Destination {
    /// The destination of a dial; loopback, where no other machine is, has no limit.
    pub(crate) fn of(ip: IpAddr) -> Option<Self> {
        match ip.to_canonical() {
            ip if ip.is_loopback() => None,
            IpAddr::V4(ip) => Some(Self::V4(ip.into())),
            IpAddr::V6(ip) => Some(Self::V6((u128::from(ip) >> 72) as u64)),
        }
    }
}

impl Default for DialBudget {
    fn default() -> Self {
        Self { whole_at: Cache::new(DESTINATIONS_MAX), open: HashMap::new() }
    }
}

impl DialBudget {
    /// Whether a dial would be admitted now.
    pub(crate) fn has_room(&self, destination: Destination, now: Instant) -> bool {
        let whole_at = self.whole_at.peek(&destination).copied().map_or(now, |at| at.max(now));
        whole_at + INTERVAL <= now + INTERVAL * BURST
            && self.open.get(&destination).is_none_or(|open| *open < OPEN_MAX)
    }

    /// Admits a dial and counts it, if there is room. Each one that is admitted is [given back](Self::give_back).
    pub(crate) fn take(&mut self, destination: Destination, now: Instant) -> bool {
        if !self.has_room(destination, now) {
            return false;
        }
        let whole_at = self.whole_at.get(&destination).copied().map_or(now, |at| at.max(now));
        self.whole_at.insert(destination, whole_at + INTERVAL);
        *self.open.entry(destination).or_default() += 1;
        true
    }

    /// A dial has failed, or the connection that came of it is closed.
    pub(crate) fn give_back(&mut self, destination: Destination) {
        if let Some(open) = self.open.get_mut(&destination) {
            *open -= 1;
            if *open == 0 {
                self.open.remove(&destination);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(ip: &str) -> Destination {
        Destination::of(ip.parse().unwrap()).unwrap()
    }

    /// Dials of which none becomes a connection.
    fn admitted(budget: &mut DialBudget, to: Destination, now: Instant) -> usize {
        let dial = |_: &u32| {
            let taken = budget.take(to, now);
            if taken {
                budget.give_back(to);
            }
            taken
        };
        (0..100).filter(dial).count()
    }

    #[test]
    fn a_destination_is_dialed_sixteen_times_and_then_once_in_five_seconds() {
        let (mut budget, start) = (DialBudget::default(), Instant::now());
        // A private address may be that of one machine as well as a public one.
        for ip in ["1.1.1.1", "10.0.0.1", "2606:4700::1"] {
            assert_eq!(admitted(&mut budget, destination(ip), start), 16, "{ip}");
            assert_eq!(admitted(&mut budget, destination(ip), start + INTERVAL), 1, "{ip}");
        }
        assert!(budget.take(destination("1.1.1.2"), start));
    }

    #[test]
    fn eight_connections_to_a_destination_are_open_at_a_time() {
        let (mut budget, start) = (DialBudget::default(), Instant::now());
        let to = destination("1.1.1.1");
        assert_eq!((0..100).filter(|_| budget.take(to, start)).count(), 8);
        budget.give_back(to);
        assert_eq!((0..100).filter(|_| budget.take(to, start)).count(), 1);
        for _ in 0..8 {
            budget.give_back(to);
        }
        assert!(budget.open.is_empty(), "nothing is left of what is closed");
    }

    #[test]
    fn a_destination_is_an_ipv4_address_or_an_ipv6_56() {
        assert_ne!(destination("1.1.1.1"), destination("1.1.1.2"));
        assert_eq!(destination("1.1.1.1"), destination("::ffff:1.1.1.1"));
        assert_eq!(destination("2606:4700:0:1::1"), destination("2606:4700:0:ff::2"));
        assert_ne!(destination("2606:4700:0:100::1"), destination("2606:4700::1"));
        for ip in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(Destination::of(ip.parse().unwrap()), None, "{ip}");
        }
    }
}
