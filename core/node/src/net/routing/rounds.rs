//! What is counted of the rounds in which the table is refreshed and the heads make themselves known.

use hydra_kad::AskError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The counts of the rounds of one kind.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    ended: AtomicU64,
    last_ms: AtomicU64,
    requests: [AtomicU64; Outcome::ALL.len()],
}

/// The counts of all rounds.
#[derive(Debug, Default)]
pub(crate) struct AllRounds {
    /// Refreshes of the table.
    pub(crate) refresh: Rounds,
    /// Advertising of the heads.
    pub(crate) advertise: Rounds,
}

/// How a request of a round ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With an answer.
    Answered,
    /// The peer did not answer.
    Failed,
    /// It was not sent: the node spares the peer or itself.
    Unsent,
}

impl Outcome {
    pub(crate) const ALL: [Self; 3] = [Self::Answered, Self::Failed, Self::Unsent];

    /// How a request with this result ended.
    pub(crate) fn of<T>(result: &Result<T, AskError>) -> Self {
        match result {
            Ok(_) => Self::Answered,
            Err(error) if error.is_local() => Self::Unsent,
            Err(_) => Self::Failed,
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Unsent => "unsent",
        }
    }
}

impl Rounds {
    /// Counts a request.
    pub(crate) fn count(&self, outcome: Outcome) {
        self.requests[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a round that took so long.
    pub(crate) fn end(&self, took: Duration) {
        self.last_ms.store(took.as_millis() as u64, Ordering::Relaxed);
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// Rounds that have ended.
    pub(crate) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }

    /// How long the last one took.
    pub(crate) fn last(&self) -> Duration {
        Duration::from_millis(self.last_ms.load(Ordering::Relaxed))
    }

    /// Requests that ended so.
    pub(crate) fn requests(&self, outcome: Outcome) -> u64 {
        self.requests[outcome as usize].load(Ordering::Relaxed)
    }
}
