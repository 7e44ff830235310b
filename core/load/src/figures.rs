//! Counts and latencies, as they are reported.

use crate::outcome::{Operation, Outcome};
use serde::Serialize;
use std::collections::BTreeMap;

/// The requests of some clients in some time.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Requests that were due, whatever became of them.
    pub offered: u64,
    /// Requests of which an attempt began.
    pub sent: u64,
    /// Requests that had not ended when the run ended.
    pub unfinished: u64,
    /// Second attempts, after a reset.
    pub retries: u64,
    /// The share of the offered requests that were full, 0 to 1.
    pub success_share: f64,
    /// Full answers per second of the scheduled duration.
    pub goodput_per_second: f64,
    /// The offered requests by outcome.
    pub outcomes: Counts,
    /// The same for each operation that occurred.
    pub operations: BTreeMap<Operation, OperationFigures>,
}

/// The requests of one operation.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct OperationFigures {
    /// The requests by outcome.
    pub outcomes: Counts,
    /// The latencies of all answers: full, empty and late.
    pub answered: Option<Latency>,
    /// The latencies of full answers.
    pub full: Option<Latency>,
    /// The latencies of empty answers.
    pub empty: Option<Latency>,
    /// The latencies of late answers.
    pub late: Option<Latency>,
    /// The time until a reset, a time-out or a refusal.
    pub failed: Option<Latency>,
}

/// Latencies in milliseconds, each from the time at which the request was due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names are the quantiles")]
pub struct Latency {
    /// The number of latencies.
    pub count: u64,
    pub mean_ms: f64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
}

/// Requests by [`Outcome`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the outcomes are described there")]
pub struct Counts {
    pub full: u64,
    pub empty: u64,
    pub late: u64,
    pub reset: u64,
    pub timeout: u64,
    pub refused: u64,
    pub unsent: u64,
}

impl Counts {
    /// The number of requests that ended so.
    pub const fn of(&self, outcome: Outcome) -> u64 {
        match outcome {
            Outcome::Full => self.full,
            Outcome::Empty => self.empty,
            Outcome::Late => self.late,
            Outcome::Reset => self.reset,
            Outcome::Timeout => self.timeout,
            Outcome::Refused => self.refused,
            Outcome::Unsent => self.unsent,
        }
    }

    /// All requests that ended.
    pub fn sum(&self) -> u64 {
        Outcome::ALL.into_iter().map(|outcome| self.of(outcome)).sum()
    }

    pub(crate) const fn count(&mut self, outcome: Outcome) {
        *self.slot(outcome) += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        Outcome::ALL.into_iter().for_each(|outcome| *self.slot(outcome) += other.of(outcome));
    }

    const fn slot(&mut self, outcome: Outcome) -> &mut u64 {
        match outcome {
            Outcome::Full => &mut self.full,
            Outcome::Empty => &mut self.empty,
            Outcome::Late => &mut self.late,
            Outcome::Reset => &mut self.reset,
            Outcome::Timeout => &mut self.timeout,
            Outcome::Refused => &mut self.refused,
            Outcome::Unsent => &mut self.unsent,
        }
    }
}
