//! The arithmetic of a budget: the generic cell rate algorithm (ITU-T I.371), which keeps a bucket in one number.
//!
//! That number is the moment at which the bucket will be full again, in nanoseconds. Nothing has to be filled up as
//! time goes by, and a bucket that is full needs no memory at all: any moment that has passed stands for it.

use std::sync::atomic::{AtomicU64, Ordering};

/// By how much the moments that are passed may go back, in nanoseconds: see [`Clock`](crate::clock::Clock).
pub(crate) const TICK_NS: u64 = 1 << 20;

/// How fast a bucket fills up, and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// In what time it gains what a request of cost 1 takes.
    unit_ns: u32,
    burst: u32,
}

impl Rate {
    /// `rate_per_s` is 1 to a thousand million.
    pub(crate) const fn new(rate_per_s: u32, burst: u32) -> Self {
        Self { unit_ns: 1_000_000_000_u32.div_ceil(rate_per_s), burst }
    }

    /// In one word, which is never 0.
    pub(crate) const fn packed(self) -> u64 {
        (self.burst as u64) << 32 | self.unit_ns as u64
    }

    /// `None` for 0.
    pub(crate) const fn unpacked(word: u64) -> Option<Self> {
        if word == 0 { None } else { Some(Self { unit_ns: word as u32, burst: (word >> 32) as u32 }) }
    }

    /// The bucket after `cost` was taken from it, or `None` when it does not hold as much.
    pub(crate) fn take(self, full_at: u64, now: u64, cost: u32) -> Option<u64> {
        let after = full_at.max(now) + self.of(cost);
        (after <= now + self.of(self.burst)).then_some(after)
    }

    /// The bucket after `cost` was put back into it. What it cannot hold spills over.
    pub(crate) const fn give_back(self, full_at: u64, cost: u32) -> u64 {
        full_at.saturating_sub(self.of(cost))
    }

    /// The bucket as this rate knows it: at worst it is empty. It may have been emptied while another rate was in force by
    /// which that takes longer to make good, and would otherwise give nothing for that long.
    pub(crate) fn at_worst_empty(self, full_at: u64, now: u64) -> u64 {
        // As `now` may go back by a tick, a bucket that was emptied before may look emptier than empty by that.
        full_at.min(now + self.of(self.burst) + TICK_NS)
    }

    const fn of(self, cost: u32) -> u64 {
        self.unit_ns as u64 * cost as u64
    }
}

/// One bucket that many threads share.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    full_at: AtomicU64,
}

impl Bucket {
    /// Whether `cost` could be taken, and was.
    pub(crate) fn take(&self, rate: Rate, now: u64, cost: u32) -> bool {
        let mut full_at = self.full_at.load(Ordering::Relaxed);
        loop {
            let known = rate.at_worst_empty(full_at, now);
            let taken = rate.take(known, now, cost);
            let after = taken.unwrap_or(known);
            if after == full_at {
                return taken.is_some();
            }
            match self.full_at.compare_exchange_weak(full_at, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return taken.is_some(),
                Err(other) => full_at = other,
            }
        }
    }

    /// Puts back what was taken at this rate.
    pub(crate) fn give_back(&self, rate: Rate, cost: u32) {
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
        let (bucket, rate) = (Bucket::default(), Rate::new(10, 3));
        let taken = |now| (0..100).filter(|_| bucket.take(rate, now, 1)).count();
        assert_eq!(taken(0), 3);
        assert_eq!(taken(SECOND / 10 - 1), 0);
        assert_eq!(taken(SECOND / 10), 1);
        assert_eq!(taken(100 * SECOND), 3, "a bucket never holds more than its burst");
    }

    #[test]
    fn what_is_given_back_can_be_taken_again_and_fills_no_bucket_beyond_its_burst() {
        let (bucket, rate) = (Bucket::default(), Rate::new(10, 3));
        assert!(bucket.take(rate, SECOND, 3) && !bucket.take(rate, SECOND, 1));
        bucket.give_back(rate, 2);
        assert!(bucket.take(rate, SECOND, 2) && !bucket.take(rate, SECOND, 1));
        (0..50).for_each(|_| bucket.give_back(rate, 3));
        assert!(bucket.take(rate, SECOND, 3) && !bucket.take(rate, SECOND, 1));
    }

    #[test]
    fn a_bucket_emptied_at_a_slow_rate_is_at_worst_empty_at_a_fast_one() {
        let (bucket, slow, fast) = (Bucket::default(), Rate::new(1, 1_000_000), Rate::new(1_000, 10));
        assert!(bucket.take(slow, SECOND, 1_000_000));
        assert!(!bucket.take(fast, SECOND, 1));
        assert!(bucket.take(fast, SECOND + 2 * TICK_NS, 1), "it would take 11 days at the slow rate");
        assert!(bucket.take(fast, 2 * SECOND, 10));
    }

    #[test]
    fn a_rate_is_never_above_what_was_asked_for() {
        for rate_per_s in [1, 3, 7, 999, 600_001, 1_000_000, 1_000_000_000] {
            let rate = Rate::new(rate_per_s, 1);
            assert!(rate.of(rate_per_s) >= SECOND, "{rate_per_s} per second");
            assert_eq!(Rate::unpacked(rate.packed()), Some(rate));
        }
    }
}
