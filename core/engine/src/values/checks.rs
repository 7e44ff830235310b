//! How many signatures are checked: for each address prefix, and in all.

use crate::sync::lock;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Buckets of prefixes. Two that share one are checked half as often; which ones do, nobody outside knows.
const BUCKETS: usize = 4_096;

/// A budget that was not used is kept for so many seconds.
const BURST_S: u32 = 2;

/// What a check that fails takes of the budget of its prefix.
const FAILED_COST: i64 = 10;

/// Budgets of signature checks, in fixed memory.
#[derive(Debug)]
pub(super) struct Checks {
    prefixes: Box<[Mutex<Bucket>]>,
    all: Mutex<Bucket>,
    hasher: RandomState,
    per_prefix: u32,
    in_all: u32,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// Checks that may still be made, in thousandths; fewer than none after those that have failed.
    left: i64,
    at: Instant,
}

/// One check, in thousandths.
const ONE: i64 = 1_000;

/// What a bucket of so many checks a second holds.
const fn most(rate: u32) -> i64 {
    rate as i64 * BURST_S as i64 * ONE
}

impl Bucket {
    /// Takes one check, if there is one, at `rate` new ones a second.
    fn take(&mut self, rate: u32, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_millis() as u64;
        if passed > 0 {
            let more = i64::try_from(passed.saturating_mul(rate.into())).unwrap_or(i64::MAX);
            self.left = self.left.saturating_add(more).min(most(rate));
            self.at += Duration::from_millis(passed);
        }
        let has_one = self.left >= ONE;
        if has_one {
            self.left -= ONE;
        }
        has_one
    }

    /// Puts back a check that was taken a moment ago.
    fn give_back(&mut self) {
        self.left = self.left.saturating_add(ONE);
    }
}

impl Checks {
    /// So many checks a second for each prefix, and in all.
    pub(super) fn new(per_prefix: u32, in_all: u32, now: Instant) -> Self {
        let bucket = |rate: u32| Bucket { left: most(rate), at: now };
        Self {
            prefixes: (0..BUCKETS).map(|_| Mutex::new(bucket(per_prefix))).collect(),
            all: Mutex::new(bucket(in_all)),
            hasher: RandomState::new(),
            per_prefix,
            in_all,
        }
    }

    /// Takes a check for a peer of this address, of its prefix and of all, or of neither; peers behind relays share one budget.
    pub(super) fn take(&self, address: Option<IpAddr>, now: Instant) -> bool {
        if !lock(self.bucket(address)).take(self.per_prefix, now) {
            return false;
        }
        let is_taken = lock(&self.all).take(self.in_all, now);
        if !is_taken {
            lock(self.bucket(address)).give_back();
        }
        is_taken
    }

    /// The check of a peer of this address has failed: its prefix has fewer of them for a while, so that those who send what is
    /// invalid use up little of what all have together.
    pub(super) fn failed(&self, address: Option<IpAddr>) {
        // It owes what it does not have: otherwise a flood would cost as much as if every signature were right.
        lock(self.bucket(address)).left -= (FAILED_COST - 1) * ONE;
    }

    fn bucket(&self, address: Option<IpAddr>) -> &Mutex<Bucket> {
        &self.prefixes[self.hasher.hash_one(prefix(address)) as usize % BUCKETS]
    }
}

/// The /24 of an IPv4 address, the /56 of an IPv6 one: what one host or one household has.
fn prefix(address: Option<IpAddr>) -> Option<[u8; 8]> {
    let mut prefix = [0; 8];
    match address?.to_canonical() {
        IpAddr::V4(v4) => prefix[..3].copy_from_slice(&v4.octets()[..3]),
        IpAddr::V6(v6) => {
            prefix[..7].copy_from_slice(&v6.octets()[..7]);
            prefix[7] = 6;
        }
    }
    Some(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_prefix_has_a_budget_of_its_own() {
        let now = Instant::now();
        let checks = Checks::new(10, 1_000, now);
        let taken = |address, now, tries| (0..tries).filter(|_| checks.take(address, now)).count();
        assert_eq!(taken(ip("192.0.2.1"), now, 100), 20, "two seconds of ten");
        assert_eq!(taken(ip("192.0.2.200"), now, 100), 0, "a neighbour");
        assert_eq!(taken(ip("198.51.100.1"), now, 100), 20, "somebody else");
        assert_eq!(taken(ip("192.0.2.1"), now + Duration::from_millis(500), 100), 5, "half a second later");
        assert_eq!(taken(ip("192.0.2.1"), now + Duration::from_secs(3_600), 100), 20, "an hour later");
        assert_eq!(taken(None, now, 100), 20, "behind relays");
    }

    #[test]
    fn a_check_that_fails_costs_its_prefix_as_much_as_ten() {
        let now = Instant::now();
        let checks = Checks::new(10, 1_000, now);
        let failing = (0..100).filter(|_| checks.take(ip("192.0.2.1"), now));
        assert_eq!(failing.inspect(|_| checks.failed(ip("192.0.2.1"))).count(), 2);
        // So does each of a flood that goes on for long.
        let later = |millis| now + Duration::from_millis(millis);
        let failing = (0..10_000).filter(|millis| checks.take(ip("192.0.2.1"), later(*millis)));
        assert_eq!(failing.inspect(|_| checks.failed(ip("192.0.2.1"))).count(), 10, "in ten seconds of ten");
    }

    #[test]
    fn all_together_have_one_too() {
        let now = Instant::now();
        let checks = Checks::new(10, 100, now);
        let all = (0..=255u8).flat_map(|third| (0..20).map(move |_| IpAddr::from([10, 0, third, 1])));
        assert_eq!(all.filter(|address| checks.take(Some(*address), now)).count(), 200);
    }

    /// Whoever uses up what all have together takes nothing of what each prefix has.
    #[test]
    fn a_check_that_all_together_have_none_for_costs_its_prefix_nothing() {
        let now = Instant::now();
        let checks = Checks::new(10, 20, now);
        let others = (0..4u8).map(|third| IpAddr::from([10, 0, third, 1]));
        others.for_each(|address| (0..10).for_each(|_| _ = checks.take(Some(address), now)));
        assert!((0..100).all(|_| !checks.take(ip("192.0.2.1"), now)), "all are used up");
        let later = now + Duration::from_millis(1_000);
        let taken = (0..100).filter(|_| checks.take(ip("192.0.2.1"), later)).count();
        assert_eq!(taken, 20, "as many as it had, and all gained");
    }
}
