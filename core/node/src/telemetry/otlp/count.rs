//! What became of the spans.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What became of the spans: counters that only grow, and one gauge. Reading them is cheap and may be a moment behind.
#[derive(Debug, Default)]
pub struct Stats {
    waiting: AtomicU64,
    exported: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    over: AtomicBool,
}

impl Stats {
    /// Spans that wait to be sent: never more than `telemetry.otlp.queue_len_max`.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Spans that the collector took.
    pub fn exported(&self) -> u64 {
        self.exported.load(Ordering::Relaxed)
    }

    /// Spans that were sent and not taken: the collector was not there, too slow, or refused them.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Spans that were never sent: the queue was full, or the time was up at the end.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Takes a place in a queue of this length, or counts a span that finds none.
    pub(super) fn enter(&self, len_max: u64) -> bool {
        // More than one thread may stand in front of the last place: who finds it taken steps back.
        let entered = self.waiting.fetch_add(1, Ordering::Relaxed) < len_max;
        if !entered {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        entered
    }

    /// Gives places in the queue back.
    pub(super) fn leave(&self, len: u64) {
        self.waiting.fetch_sub(len, Ordering::Relaxed);
    }

    pub(super) fn add_exported(&self, len: u64) {
        self.exported.fetch_add(len, Ordering::Relaxed);
    }

    pub(super) fn add_failed(&self, len: u64) {
        self.failed.fetch_add(len, Ordering::Relaxed);
    }

    /// Whether nothing is to be sent any more.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Counts what still waits as dropped, for good, and returns how many that is.
    pub(super) fn lose_waiting(&self) -> u64 {
        if self.over.swap(true, Ordering::Relaxed) {
            return 0;
        }
        let lost = self.waiting();
        self.dropped.fetch_add(lost, Ordering::Relaxed);
        lost
    }
}
