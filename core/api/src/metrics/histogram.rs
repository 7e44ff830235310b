//! Histograms with fixed buckets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A histogram that many threads record into: two relaxed operations each time, no lock.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    counts: Box<[AtomicU64]>,
    /// The bits of a number.
    sum: AtomicU64,
}

/// What a histogram has recorded.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Buckets {
    /// The largest value of each bucket, rising. There is one bucket more, for what is above the last.
    pub bounds: &'static [f64],
    /// How many values each bucket has, not those of the buckets below it.
    pub counts: Vec<u64>,
    /// All values added up.
    pub sum: f64,
}

impl Histogram {
    /// Bounds for durations in seconds, the same as those of the node's own histograms.
    pub const SECONDS: &'static [f64] =
        &[0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
    /// Bounds for the lengths of batches.
    pub const LENGTHS: &'static [f64] = &[1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0];

    /// An empty one with these bounds, which rise.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        }
    }

    /// Records a value. What is no number, or below 0, is recorded as 0.
    pub fn record(&self, value: f64) {
        let value = if value > 0.0 { value.min(f64::MAX) } else { 0.0 };
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let added = |sum: u64| Some((f64::from_bits(sum) + value).to_bits());
        // It never gives up.
        let _before = self.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added);
    }

    /// Records a duration, in seconds.
    pub fn record_time(&self, took: Duration) {
        self.record(took.as_secs_f64());
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// What was recorded so far.
    pub fn read(&self) -> Buckets {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        Buckets { bounds: self.bounds, counts, sum: f64::from_bits(self.sum.load(Ordering::Relaxed)) }
    }
}

impl Buckets {
    /// What a histogram of the store's own has recorded: as many counts as bounds, and one more.
    pub const fn new(bounds: &'static [f64], counts: Vec<u64>, sum: f64) -> Self {
        Self { bounds, counts, sum }
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }
}
