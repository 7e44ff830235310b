//! How long things take.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets, in microseconds; what takes longer is in one more.
const BOUNDS_US: [u64; 15] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];

/// A histogram with fixed buckets.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    counts: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

/// How long the things of one kind took.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Latency {
    /// How many took at most so long, and longer than the bound before; in rising order. The last bound is
    /// [`Duration::MAX`].
    pub buckets: Vec<(Duration, u64)>,
    /// All of them together.
    pub sum: Duration,
}

impl Histogram {
    #[inline]
    pub(crate) fn record(&self, took: Duration) {
        // A division of 128 bits is what a request that the cache answers would feel.
        let us = took.as_secs().saturating_mul(1_000_000).saturating_add(took.subsec_micros().into());
        let bucket = if us <= BOUNDS_US[0] { 0 } else { BOUNDS_US.partition_point(|bound| *bound < us) };
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        if us > 0 {
            self.sum_us.fetch_add(us, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self) -> Latency {
        Self::sum([self])
    }

    /// All of them together.
    pub(crate) fn sum<'a>(histograms: impl IntoIterator<Item = &'a Self>) -> Latency {
        let bounds = BOUNDS_US.iter().map(|bound| Duration::from_micros(*bound));
        let mut buckets: Vec<_> = bounds.chain([Duration::MAX]).map(|bound| (bound, 0)).collect();
        let mut sum_us = 0;
        for histogram in histograms {
            for ((_, bucket), count) in buckets.iter_mut().zip(&histogram.counts) {
                *bucket += count.load(Ordering::Relaxed);
            }
            sum_us += histogram.sum_us.load(Ordering::Relaxed);
        }
        Latency { buckets, sum: Duration::from_micros(sum_us) }
    }
}

/// Of nothing.
impl Default for Latency {
    fn default() -> Self {
        Histogram::default().read()
    }
}

impl Latency {
    /// So many things that were not measured.
    pub(crate) fn untimed(count: u64) -> Self {
        let mut latency = Self::default();
        if let Some((_, first)) = latency.buckets.first_mut() {
            *first = count;
        }
        latency
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }
}

/// How many reads were slower than the ladder wants them.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    pub(crate) ceilings: [Duration; 3],
    pub(crate) begun: AtomicU64,
    pub(crate) ended: AtomicU64,
    pub(crate) above: [AtomicU64; 3],
}

impl Pace {
    pub(crate) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn record(&self, took: Duration) {
        self.ended.fetch_add(1, Ordering::Relaxed);
        for (ceiling, above) in self.ceilings.iter().zip(&self.above) {
            if took >= *ceiling {
                above.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_the_bucket_below_it() {
        let histogram = Histogram::default();
        for us in [0, 250, 251, 10_000_001] {
            histogram.record(Duration::from_micros(us));
        }
        let latency = histogram.read();
        let counts: Vec<u64> = latency.buckets.iter().map(|(_, count)| *count).collect();
        assert_eq!((counts[0], counts[1], counts[BOUNDS_US.len()]), (2, 1, 1));
        assert_eq!((latency.count(), latency.sum.as_micros()), (4, 10_000_502));
    }
}
