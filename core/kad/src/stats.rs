//! Counters of what goes through the wire.

use hydra_striped::Striped;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a stream was reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reset {
    /// A frame was declared longer than allowed, or its length was no number (F2).
    #[error("the frame is too long")]
    FrameTooLong,
    /// The message could not be decoded, or its type is unknown (F5).
    #[error("the message is malformed")]
    Malformed,
    /// No complete frame came in time, or the service took too long (F4).
    #[error("no complete frame in time")]
    Idle,
    /// The budget for large frames is used up.
    #[error("no memory left for large frames")]
    NoBudget,
    /// The remote did not read its answer in time.
    #[error("the remote does not read")]
    SlowReader,
    /// The service said so.
    #[error("the request was refused")]
    Refused,
    /// The stream or its connection ended in the middle of a frame or of an answer.
    #[error("the stream ended early")]
    Broken,
}

impl Reset {
    /// Every cause, in the order of the counters.
    pub const ALL: [Self; 7] = [
        Self::FrameTooLong,
        Self::Malformed,
        Self::Idle,
        Self::NoBudget,
        Self::SlowReader,
        Self::Refused,
        Self::Broken,
    ];

    /// A short name for a metric's label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FrameTooLong => "frame_too_long",
            Self::Malformed => "malformed",
            Self::Idle => "idle",
            Self::NoBudget => "no_budget",
            Self::SlowReader => "slow_reader",
            Self::Refused => "refused",
            Self::Broken => "broken",
        }
    }
}

/// Counters that only grow, and gauges. Reading them is cheap and may be a moment behind; all connections of all heads may share one.
#[derive(Debug, Default)]
pub struct Stats(Striped<Counters>);

/// One of the copies, each of which some threads change. A gauge may be below zero in one of them.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) streams_open: AtomicU64,
    pub(crate) requests_open: AtomicU64,
    pub(crate) streams_accepted: AtomicU64,
    pub(crate) streams_refused: AtomicU64,
    pub(crate) frames_in: AtomicU64,
    pub(crate) frames_out: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) answers_cut: AtomicU64,
    pub(crate) answers_trimmed: AtomicU64,
    pub(crate) outbound_requests: AtomicU64,
    pub(crate) outbound_requests_failed: AtomicU64,
    resets: [AtomicU64; Reset::ALL.len()],
}

impl Stats {
    /// Inbound streams that are served now.
    pub fn streams_open(&self) -> u64 {
        self.0.sum(|counters| &counters.streams_open)
    }

    /// Requests that are served now: read, and not answered yet.
    pub fn requests_open(&self) -> u64 {
        self.0.sum(|counters| &counters.requests_open)
    }

    /// Inbound streams accepted so far.
    pub fn streams_accepted(&self) -> u64 {
        self.0.sum(|counters| &counters.streams_accepted)
    }
    /// Inbound streams reset because their connection had its number of them already (F9).
    pub fn streams_refused(&self) -> u64 {
        self.0.sum(|counters| &counters.streams_refused)
    }
    /// Complete requests read.
    pub fn frames_in(&self) -> u64 {
        self.0.sum(|counters| &counters.frames_in)
    }
    /// Answers written.
    pub fn frames_out(&self) -> u64 {
        self.0.sum(|counters| &counters.frames_out)
    }
    /// Bytes of complete requests, without length prefixes.
    pub fn bytes_in(&self) -> u64 {
        self.0.sum(|counters| &counters.bytes_in)
    }
    /// Bytes of answers, with length prefixes.
    pub fn bytes_out(&self) -> u64 {
        self.0.sum(|counters| &counters.bytes_out)
    }
    /// Answers shortened because the budget for answers was used up.
    pub fn answers_cut(&self) -> u64 {
        self.0.sum(|counters| &counters.answers_cut)
    }
    /// Answers trimmed because their remote reads short frames alone, or may (V17).
    pub fn answers_trimmed(&self) -> u64 {
        self.0.sum(|counters| &counters.answers_trimmed)
    }
    /// Requests made by clients.
    pub fn outbound_requests(&self) -> u64 {
        self.0.sum(|counters| &counters.outbound_requests)
    }
    /// Requests made by clients that failed, or were given up.
    pub fn outbound_requests_failed(&self) -> u64 {
        self.0.sum(|counters| &counters.outbound_requests_failed)
    }
    /// Inbound streams reset for this cause.
    pub fn resets(&self, cause: Reset) -> u64 {
        self.0.sum(|counters| &counters.resets[cause as usize])
    }

    /// The copy of this thread.
    pub(crate) fn mine(&self) -> &Counters {
        self.0.mine()
    }

    pub(crate) fn count_reset(&self, cause: Reset) {
        add(&self.mine().resets[cause as usize], 1);
    }
}

pub(crate) fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

pub(crate) fn sub(counter: &AtomicU64, by: u64) {
    counter.fetch_sub(by, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_its_own_counter() {
        let stats = Stats::default();
        for (nth, cause) in Reset::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, nth);
            stats.count_reset(cause);
            assert_eq!(stats.resets(cause), 1, "{}", cause.name());
        }
    }
}
