//! Counts of spans by outcome.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counts of spans by outcome, and the number of waiting spans. Reads are cheap and may lag slightly.
#[derive(Debug, Default)]
pub struct Stats {
    waiting: AtomicU64,
    exported: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    over: AtomicBool,
}

impl Stats {
    /// Spans that wait for export, at most `telemetry.otlp.queue_len_max`.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Spans that the collector accepted.
    pub fn exported(&self) -> u64 {
        self.exported.load(Ordering::Relaxed)
    }

    /// Spans of failed export requests: the collector was unreachable, too slow, or refused them.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Spans that were not sent: the queue was full, or the shutdown reached its time limit.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Takes a place in a queue of this length; if there is none, counts the span as dropped.
    pub(super) fn enter(&self, len_max: u64) -> bool {
        // Several threads may compete for the last place; the losers undo their increment.
        let entered = self.waiting.fetch_add(1, Ordering::Relaxed) < len_max;
        if !entered {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        entered
    }

    /// Returns places in the queue.
    pub(super) fn leave(&self, len: u64) {
        self.waiting.fetch_sub(len, Ordering::Relaxed);
    }

    pub(super) fn add_exported(&self, len: u64) {
        self.exported.fetch_add(len, Ordering::Relaxed);
    }

    pub(super) fn add_failed(&self, len: u64) {
        self.failed.fetch_add(len, Ordering::Relaxed);
    }

    /// True once the export has stopped.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Stops the export, counts the waiting spans as dropped and returns their number.
    pub(super) fn lose_waiting(&self) -> u64 {
        if self.over.swap(true, Ordering::Relaxed) {
            return 0;
        }
        let lost = self.waiting();
        self.dropped.fetch_add(lost, Ordering::Relaxed);
        lost
    }
}
