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
    whole_at: Cache<Destination, WholeAt>,
    /// Dials and the connections that came of them; a destination without any is not in it.
    open: HashMap<Destination, Open>,
}

/// Which part of a destination's budget a dial may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    /// Half of it: anybody can say that a peer is at the destination, and the peer may be invented.
    Hearsay,
    /// All but what the checks of the table need. Many heads aim at one server, and try again until each was there.
    Advertising,
    /// All of it.
    Whole,
}

/// When what all took, and what was taken on hearsay, is there again.
#[derive(Debug, Clone, Copy)]
struct WholeAt {
    all: Instant,
    hearsay: Instant,
}

#[derive(Debug, Default)]
struct Open {
    all: u32,
    hearsay: u32,
}

const INTERVAL: Duration = Duration::from_secs(5);
const BURST: u32 = 16;
/// Of these, dials that heads leave to the checks of the table: two tries of a server with two addresses.
const RESERVED: u32 = 4;
/// Connections and dials to one destination at a time.
const OPEN_MAX: u32 = 8;
/// Of these, what all others leave to the checks of the table: connections of heads are open for minutes.
const OPEN_RESERVED: u32 = 2;
/// On hearsay a destination gets this part of the dials at once, of the dials in a while, and of the connections.
const HEARSAY_PART: u32 = 2;
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
    pub(crate) fn has_room(&self, to: Destination, share: Share, now: Instant) -> bool {
        let (whole_at, burst) = (self.whole_at(&to, now), INTERVAL * BURST);
        let open = self.open.get(&to);
        let open_less = |max: u32| open.is_none_or(|open| open.all < max);
        let in_time = |left: u32| whole_at.all + INTERVAL * (1 + left) <= now + burst;
        match share {
            Share::Hearsay => {
                in_time(0)
                    && whole_at.hearsay + INTERVAL * HEARSAY_PART <= now + burst
                    && open_less(OPEN_MAX - OPEN_RESERVED)
                    && open.is_none_or(|open| open.hearsay < OPEN_MAX / HEARSAY_PART)
            }
            Share::Advertising => in_time(RESERVED) && open_less(OPEN_MAX - OPEN_RESERVED),
            Share::Whole => in_time(0) && open_less(OPEN_MAX),
        }
    }

    /// Admits a dial and counts it, if there is room. Each one that is admitted is [given back](Self::give_back).
    pub(crate) fn take(&mut self, to: Destination, share: Share, now: Instant) -> bool {
        if !self.has_room(to, share, now) {
            return false;
        }
        let mut whole_at = self.whole_at(&to, now);
        let open = self.open.entry(to).or_default();
        whole_at.all += INTERVAL;
        open.all += 1;
        if share == Share::Hearsay {
            // What comes back more slowly is used up by fewer.
            whole_at.hearsay += INTERVAL * HEARSAY_PART;
            open.hearsay += 1;
        }
        self.whole_at.insert(to, whole_at);
        true
    }

    /// A dial has failed, or the connection that came of it is closed.
    pub(crate) fn give_back(&mut self, to: Destination, share: Share) {
        if let Some(open) = self.open.get_mut(&to) {
            open.all -= 1;
            open.hearsay -= u32::from(share == Share::Hearsay);
            if open.all == 0 {
                self.open.remove(&to);
            }
        }
    }

    fn whole_at(&self, to: &Destination, now: Instant) -> WholeAt {
        let known = self.whole_at.get(to).copied().unwrap_or(WholeAt { all: now, hearsay: now });
        WholeAt { all: known.all.max(now), hearsay: known.hearsay.max(now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(ip: &str) -> Destination {
        Destination::of(ip.parse().unwrap()).unwrap()
    }

    /// Dials of which none becomes a connection.
    fn admitted(budget: &mut DialBudget, to: Destination, share: Share, now: Instant) -> usize {
        let dial = |_: &u32| {
            let taken = budget.take(to, share, now);
            if taken {
                budget.give_back(to, share);
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
            assert_eq!(admitted(&mut budget, destination(ip), Share::Whole, start), 16, "{ip}");
            assert_eq!(admitted(&mut budget, destination(ip), Share::Whole, start + INTERVAL), 1, "{ip}");
        }
        assert!(budget.take(destination("1.1.1.2"), Share::Whole, start));
    }

    #[test]
    fn eight_connections_to_a_destination_are_open_at_a_time() {
        let (mut budget, start) = (DialBudget::default(), Instant::now());
        let to = destination("1.1.1.1");
        assert_eq!((0..100).filter(|_| budget.take(to, Share::Whole, start)).count(), 8);
        budget.give_back(to, Share::Whole);
        assert_eq!((0..100).filter(|_| budget.take(to, Share::Whole, start)).count(), 1);
        for _ in 0..8 {
            budget.give_back(to, Share::Whole);
        }
        assert!(budget.open.is_empty(), "nothing is left of what is closed");
    }

    #[test]
    fn heads_leave_dials_to_the_checks_of_the_table() {
        let (mut budget, start) = (DialBudget::default(), Instant::now());
        let to = destination("1.1.1.1");
        assert_eq!(admitted(&mut budget, to, Share::Advertising, start), 12);
        assert_eq!(admitted(&mut budget, to, Share::Whole, start), 4);
        assert_eq!(admitted(&mut budget, to, Share::Advertising, start + INTERVAL), 0);
        assert_eq!(admitted(&mut budget, to, Share::Whole, start + INTERVAL), 1);
    }

    #[test]
    fn on_hearsay_half_of_a_budget_is_used_at_most() {
        let (mut budget, start) = (DialBudget::default(), Instant::now());
        let to = destination("1.1.1.1");
        let (mut hearsay, mut known) = (0, 0);
        for second in 0..1000 {
            let now = start + Duration::from_secs(second);
            hearsay += admitted(&mut budget, to, Share::Hearsay, now);
            known += admitted(&mut budget, to, Share::Whole, now);
        }
        assert_eq!((hearsay, known), (8 + 99, 8 + 100));
    }

    #[test]
    fn on_hearsay_half_of_the_connections_are_open_at_most() {
        let (mut budget, start) = (DialBudget::default(), Instant::now());
        let to = destination("1.1.1.1");
        assert_eq!((0..100).filter(|_| budget.take(to, Share::Hearsay, start)).count(), 4);
        assert_eq!((0..100).filter(|_| budget.take(to, Share::Whole, start)).count(), 4);
        budget.give_back(to, Share::Whole);
        assert!(!budget.take(to, Share::Hearsay, start));
        budget.give_back(to, Share::Hearsay);
        assert!(!budget.take(to, Share::Hearsay, start), "the last two are for the checks of the table");
        budget.give_back(to, Share::Whole);
        assert!(budget.take(to, Share::Hearsay, start));
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
