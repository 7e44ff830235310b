//! How often a destination may be dialed.

use crate::net::address::is_public;
use quick_cache::unsync::Cache;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// One dial in five seconds to each public address, sixteen at once: what go-libp2p accepts from one address.
#[derive(Debug)]
pub(crate) struct DialBudget {
    /// When each destination's budget is whole again.
    whole_at: Cache<IpAddr, Instant>,
}

const INTERVAL: Duration = Duration::from_secs(5);
const BURST: u32 = 16;
/// Destinations that are remembered; one that is forgotten has its whole budget again.
const DESTINATIONS_MAX: usize = 8192;

impl Default for DialBudget {
    fn default() -> Self {
        Self { whole_at: Cache::new(DESTINATIONS_MAX) }
    }
}

impl DialBudget {
    /// Whether `ip` may be dialed now; counts the dial when so. Addresses that are not public have no limit.
    pub(crate) fn take(&mut self, ip: IpAddr, now: Instant) -> bool {
        if !is_public(ip) {
            return true;
        }
        let whole_at = self.whole_at.get(&ip).copied().map_or(now, |at| at.max(now));
        if whole_at + INTERVAL > now + INTERVAL * BURST {
            return false;
        }
        self.whole_at.insert(ip, whole_at + INTERVAL);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_dialed_sixteen_times_and_then_once_in_five_seconds() {
        let (mut budget, start) = (DialBudget::default(), Instant::now());
        let ip = "1.1.1.1".parse().unwrap();
        assert_eq!((0..100).filter(|_| budget.take(ip, start)).count(), 16);
        assert_eq!((0..100).filter(|_| budget.take(ip, start + INTERVAL)).count(), 1);
        assert!(budget.take("1.1.1.2".parse().unwrap(), start));
        assert!((0..100).all(|_| budget.take("127.0.0.1".parse().unwrap(), start)));
    }
}
