//! The arithmetic of a budget: the generic cell rate algorithm (ITU-T I.371), which keeps a bucket in one number.
//!
//! That number is the moment at which the bucket will be full again, in nanoseconds. Nothing has to be filled up as
//! time goes by, and a bucket that is full needs no memory at all: any moment that has passed stands for it.

use std::sync::atomic::{AtomicU64, Ordering};

/// How fast a bucket fills up, and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    unit_ns: u64,
    burst_ns: u64,
}

/// A rate that changes while threads use it. One that reads it meanwhile may see the old speed with the new size, for
/// one request.
#[derive(Debug)]
pub(crate) struct SharedRate {
    unit_ns: AtomicU64,
    burst_ns: AtomicU64,
}

impl SharedRate {
    pub(crate) const fn new(rate: Rate) -> Self {
        Self { unit_ns: AtomicU64::new(rate.unit_ns), burst_ns: AtomicU64::new(rate.burst_ns) }
    }

    pub(crate) fn get(&self) -> Rate {
        Rate {
            unit_ns: self.unit_ns.load(Ordering::Relaxed),
            burst_ns: self.burst_ns.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn set(&self, rate: Rate) {
        self.unit_ns.store(rate.unit_ns, Ordering::Relaxed);
        self.burst_ns.store(rate.burst_ns, Ordering::Relaxed);
    }
}

impl Rate {
    /// `rate_per_s` is 1 to a thousand million.
    pub(crate) const fn new(rate_per_s: u32, burst: u32) -> Self {
        let unit_ns = 1_000_000_000 / rate_per_s as u64;
        Self { unit_ns, burst_ns: unit_ns * burst as u64 }
    }

    /// The bucket after `cost` was taken from it, or `None` when it does not hold as much.
    pub(crate) fn take(self, full_at: u64, now: u64, cost: u32) -> Option<u64> {
        let after = full_at.max(now).saturating_add(self.of(cost));
        (after - now <= self.burst_ns).then_some(after)
    }

    /// The bucket after `cost` was put back into it. What it cannot hold spills over.
    pub(crate) const fn give_back(self, full_at: u64, cost: u32) -> u64 {
        full_at.saturating_sub(self.of(cost))
    }

    const fn of(self, cost: u32) -> u64 {
        self.unit_ns * cost as u64
    }
}

/// One bucket that many threads share.
#[derive(Debug)]
pub(crate) struct Bucket {
    rate: SharedRate,
    full_at: AtomicU64,
}

impl Bucket {
    pub(crate) const fn full(rate: Rate) -> Self {
        Self { rate: SharedRate::new(rate), full_at: AtomicU64::new(0) }
    }

    pub(crate) const fn rate(&self) -> &SharedRate {
        &self.rate
    }

    /// Whether `cost` could be taken, and was.
    pub(crate) fn take(&self, now: u64, cost: u32) -> bool {
        let rate = self.rate.get();
        let take = |full_at| rate.take(full_at, now, cost);
        self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    pub(crate) fn give_back(&self, cost: u32) {
        let rate = self.rate.get();
        let give_back = |full_at| Some(rate.give_back(full_at, cost));
        // The closure never refuses.
        self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, give_back).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_bucket_gives_its_burst_at_once_and_then_its_rate() {
        let bucket = Bucket::full(Rate::new(10, 3));
        let taken = |now| (0..100).filter(|_| bucket.take(now, 1)).count();
        assert_eq!(taken(0), 3);
        assert_eq!(taken(SECOND / 10 - 1), 0);
        assert_eq!(taken(SECOND / 10), 1);
        assert_eq!(taken(100 * SECOND), 3, "a bucket never holds more than its burst");
    }

    #[test]
    fn what_is_given_back_can_be_taken_again_and_fills_no_bucket_beyond_its_burst() {
        let bucket = Bucket::full(Rate::new(10, 3));
        assert!(bucket.take(SECOND, 3) && !bucket.take(SECOND, 1));
        bucket.give_back(2);
        assert!(bucket.take(SECOND, 2) && !bucket.take(SECOND, 1));
        (0..50).for_each(|_| bucket.give_back(3));
        assert!(bucket.take(SECOND, 3) && !bucket.take(SECOND, 1));
    }
}
