//! What is counted of the work that fills the table and makes the heads known: probes, refreshes, rounds of the advertiser.

use hydra_kad::AskError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The counts of all rounds and probes.
#[derive(Debug, Default)]
pub(crate) struct AllRounds {
    /// Probes of servers that were met or heard of.
    pub(crate) probe: Requests,
    /// Refreshes of the table.
    pub(crate) refresh: Rounds,
    /// The lookups of these.
    pub(crate) lookups: Lookups,
    /// Advertising of the heads.
    pub(crate) advertise: Rounds,
}

/// The counts of the rounds of one kind.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    /// Their requests.
    pub(crate) requests: Requests,
    ended: AtomicU64,
    last_ms: AtomicU64,
    targets: AtomicU64,
    reached: AtomicU64,
}

/// A round that has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    /// How long it took.
    pub(crate) took: Duration,
    /// What it was after: lookups, or servers that were to know a head.
    pub(crate) targets: usize,
    /// For how many of these it got an answer.
    pub(crate) reached: usize,
}

/// Requests by outcome.
#[derive(Debug, Default)]
pub(crate) struct Requests([AtomicU64; Outcome::ALL.len()]);

/// Lookups that have ended.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    ended: AtomicU64,
    hops: AtomicU64,
    took_ms: AtomicU64,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With an answer.
    Answered,
    /// The peer could not be reached.
    Unreachable,
    /// It does not serve the protocol.
    Unsupported,
    /// There was no answer in time.
    Timeout,
    /// The peer broke off.
    Reset,
    /// The answer made no sense.
    Malformed,
    /// It was not sent: the node spares the peer or itself.
    Unsent,
}

impl Outcome {
    pub(crate) const ALL: [Self; 7] = [
        Self::Answered,
        Self::Unreachable,
        Self::Unsupported,
        Self::Timeout,
        Self::Reset,
        Self::Malformed,
        Self::Unsent,
    ];

    /// How a request with this result ended.
    pub(crate) const fn of<T>(result: &Result<T, AskError>) -> Self {
        match result {
            Ok(_) => Self::Answered,
            Err(AskError::Dial(_)) => Self::Unreachable,
            Err(AskError::Unsupported) => Self::Unsupported,
            Err(AskError::Deadline) => Self::Timeout,
            Err(AskError::Reset) => Self::Reset,
            Err(AskError::Malformed) => Self::Malformed,
            Err(AskError::Busy | AskError::Closed) => Self::Unsent,
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Unreachable => "unreachable",
            Self::Unsupported => "unsupported",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Malformed => "malformed",
            Self::Unsent => "unsent",
        }
    }
}

impl Requests {
    /// Counts a request.
    pub(crate) fn count(&self, outcome: Outcome) {
        self.0[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Requests that ended so.
    pub(crate) fn of(&self, outcome: Outcome) -> u64 {
        self.0[outcome as usize].load(Ordering::Relaxed)
    }
}

impl Rounds {
    /// Counts a round.
    pub(crate) fn end(&self, round: Round) {
        self.last_ms.store(round.took.as_millis() as u64, Ordering::Relaxed);
        self.targets.store(round.targets as u64, Ordering::Relaxed);
        self.reached.store(round.reached as u64, Ordering::Relaxed);
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

    /// The targets of the last one.
    pub(crate) fn targets(&self) -> u64 {
        self.targets.load(Ordering::Relaxed)
    }

    /// Those of them for which there was an answer.
    pub(crate) fn reached(&self) -> u64 {
        self.reached.load(Ordering::Relaxed)
    }
}

impl Lookups {
    /// Counts a lookup, with the hops to the closest server that it found.
    pub(crate) fn end(&self, took: Duration, hops: u32) {
        self.took_ms.fetch_add(took.as_millis() as u64, Ordering::Relaxed);
        self.hops.fetch_add(hops.into(), Ordering::Relaxed);
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// Lookups that have ended.
    pub(crate) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }

    /// The hops of all together.
    pub(crate) fn hops(&self) -> u64 {
        self.hops.load(Ordering::Relaxed)
    }

    /// What all together took.
    pub(crate) fn took(&self) -> Duration {
        Duration::from_millis(self.took_ms.load(Ordering::Relaxed))
    }
}
