//! Counts and latencies, while they grow.

use crate::figures::{Counts, Figures, Latency, OperationFigures};
use crate::outcome::{Operation, Outcome};
use hdrhistogram::Histogram;
use std::time::Duration;

/// The longest latency that is told apart, in µs: 3 minutes, more than two attempts of the longest time limit.
const LATENCY_US_MAX: u64 = 180_000_000;
/// Latencies are right within 0.1 %.
const SIGNIFICANT_DIGITS: u8 = 3;

/// Latencies in microseconds. It takes memory, a fixed amount, only once it holds one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latencies(Option<Histogram<u32>>);

impl Latencies {
    pub(crate) fn record(&mut self, latency: Duration) {
        if self.0.is_none() {
            self.0 = Histogram::new_with_bounds(1, LATENCY_US_MAX, SIGNIFICANT_DIGITS).ok();
        }
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        let Some(other) = &other.0 else { return };
        match &mut self.0 {
            // Both have the same bounds, so that nothing can be out of them.
            Some(histogram) => drop(histogram.add(other)),
            empty => *empty = Some(other.clone()),
        }
    }

    pub(crate) fn reset(&mut self) {
        if let Some(histogram) = &mut self.0 {
            histogram.reset();
        }
    }

    /// The latency that this share of the requests, 0 to 1, does not exceed, in ms.
    pub(crate) fn quantile_ms(&self, share: f64) -> Option<f64> {
        let histogram = self.0.as_ref().filter(|histogram| !histogram.is_empty())?;
        Some(histogram.value_at_quantile(share) as f64 / 1e3)
    }

    pub(crate) fn max_ms(&self) -> Option<f64> {
        self.quantile_ms(1.0)
    }

    pub(crate) fn figures(&self) -> Option<Latency> {
        let histogram = self.0.as_ref().filter(|histogram| !histogram.is_empty())?;
        let quantile_ms = |share| histogram.value_at_quantile(share) as f64 / 1e3;
        Some(Latency {
            count: histogram.len(),
            mean_ms: histogram.mean() / 1e3,
            p50_ms: quantile_ms(0.5),
            p90_ms: quantile_ms(0.9),
            p99_ms: quantile_ms(0.99),
            p999_ms: quantile_ms(0.999),
            max_ms: quantile_ms(1.0),
        })
    }
}

/// The requests of some clients in some time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    offered: u64,
    sent: u64,
    retries: u64,
    operations: [OperationTally; 4],
}

#[derive(Debug, Clone, Default)]
struct OperationTally {
    counts: Counts,
    full: Latencies,
    empty: Latencies,
    late: Latencies,
    failed: Latencies,
}

impl Tally {
    pub(crate) fn offered(&mut self) {
        self.offered += 1;
    }

    pub(crate) fn sent(&mut self) {
        self.sent += 1;
    }

    pub(crate) fn ended(&mut self, operation: Operation, outcome: Outcome, latency: Duration, retries: u64) {
        self.retries += retries;
        if let Some(tally) = self.operations.get_mut(operation.index()) {
            tally.counts.count(outcome);
            if let Some(latencies) = tally.latencies(outcome) {
                latencies.record(latency);
            }
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.offered += other.offered;
        self.sent += other.sent;
        self.retries += other.retries;
        for (tally, other) in self.operations.iter_mut().zip(&other.operations) {
            tally.counts.add(&other.counts);
            tally.full.add(&other.full);
            tally.empty.add(&other.empty);
            tally.late.add(&other.late);
            tally.failed.add(&other.failed);
        }
    }

    pub(crate) fn figures(&self, duration: Duration) -> Figures {
        let mut outcomes = Counts::default();
        self.operations.iter().for_each(|tally| outcomes.add(&tally.counts));
        let used =
            Operation::ALL.into_iter().zip(&self.operations).filter(|(_, tally)| tally.counts.sum() > 0);
        Figures {
            offered: self.offered,
            sent: self.sent,
            unfinished: self.offered.saturating_sub(outcomes.sum()),
            retries: self.retries,
            success_share: outcomes.full as f64 / self.offered.max(1) as f64,
            goodput_per_second: outcomes.full as f64 / duration.as_secs_f64().max(f64::MIN_POSITIVE),
            outcomes,
            operations: used.map(|(operation, tally)| (operation, tally.figures())).collect(),
        }
    }
}

impl OperationTally {
    /// Those of the outcome's class; none for requests that were not sent.
    fn latencies(&mut self, outcome: Outcome) -> Option<&mut Latencies> {
        match outcome {
            Outcome::Full => Some(&mut self.full),
            Outcome::Empty => Some(&mut self.empty),
            Outcome::Late => Some(&mut self.late),
            Outcome::Reset | Outcome::Timeout | Outcome::Refused => Some(&mut self.failed),
            Outcome::Unsent => None,
        }
    }

    fn figures(&self) -> OperationFigures {
        let mut answered = self.full.clone();
        answered.add(&self.empty);
        answered.add(&self.late);
        OperationFigures {
            outcomes: self.counts.clone(),
            answered: answered.figures(),
            full: self.full.figures(),
            empty: self.empty.figures(),
            late: self.late.figures(),
            failed: self.failed.figures(),
        }
    }
}
