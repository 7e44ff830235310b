//! What the engine counts.

use hydra_api::admission::Level;
use hydra_api::{Estimate, Operation, Rung};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How a request ended, as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ending {
    /// Answered in full, or its write taken.
    Served,
    /// The soft deadline came before the store's answer.
    Late,
    /// No permit was free within the time a read may wait.
    NoPermit,
    /// The store failed.
    StoreFailed,
    /// A policy declined it.
    Declined,
    /// The node's rung left the store alone.
    Shed,
    /// The key is one that no store is asked for.
    NotKept,
    /// The ring had no room for its write.
    RingFull,
    /// It was malformed.
    Refused,
    /// The client went away first.
    Abandoned,
}

impl Ending {
    /// Every ending, in the order of their discriminants.
    pub const ALL: [Self; 10] = [
        Self::Served,
        Self::Late,
        Self::NoPermit,
        Self::StoreFailed,
        Self::Declined,
        Self::Shed,
        Self::NotKept,
        Self::RingFull,
        Self::Refused,
        Self::Abandoned,
    ];

    /// The word for it in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Late => "late",
            Self::NoPermit => "no_permit",
            Self::StoreFailed => "store_failed",
            Self::Declined => "declined",
            Self::Shed => "shed",
            Self::NotKept => "not_kept",
            Self::RingFull => "ring_full",
            Self::Refused => "refused",
            Self::Abandoned => "abandoned",
        }
    }
}

/// The counters, each counted up where its thing happens.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    requests: [[AtomicU64; Ending::ALL.len()]; Operation::ALL.len()],
    pub(crate) statements_started: AtomicU64,
    pub(crate) statements_ended: AtomicU64,
    pub(crate) statements_failed: AtomicU64,
    pub(crate) write_statements: AtomicU64,
    pub(crate) windows: AtomicU64,
    pub(crate) merged: AtomicU64,
    /// Records taken from the ring whose fate is open: a gauge.
    pub(crate) in_hand: AtomicU64,
    pub(crate) written: AtomicU64,
    pub(crate) dropped_ring_full: AtomicU64,
    pub(crate) dropped_by_store: AtomicU64,
    pub(crate) dropped_after_retries: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) purged: AtomicU64,
    pub(crate) chore_panics: AtomicU64,
    pub(crate) estimate: Mutex<Option<(Estimate, Instant)>>,
}

impl Stats {
    pub(crate) fn count(&self, operation: Operation, ending: Ending) {
        self.requests[operation as usize][ending as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn requests(&self, operation: Operation, ending: Ending) -> u64 {
        self.requests[operation as usize][ending as usize].load(Ordering::Relaxed)
    }
}

/// What the engine has counted since it was opened, and how full it is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Snapshot {
    /// Requests by operation and ending; those that never happened are left out.
    pub requests: Vec<RequestCount>,
    /// Declines by policy and reason.
    pub declines: Vec<Declines>,
    /// The calls of the store.
    pub statements: Statements,
    /// The announcements on their way to the store.
    pub writes: Writes,
    /// Chores.
    pub background: Background,
    /// How full what is bounded is.
    pub gauge: Gauge,
    /// About how many records there are, when the store has been asked.
    pub estimate: Option<EstimateNow>,
}

impl Snapshot {
    /// How many requests of this kind ended so.
    pub fn requests(&self, operation: Operation, ending: Ending) -> u64 {
        let same = |count: &&RequestCount| count.operation == operation && count.ending == ending;
        self.requests.iter().find(same).map_or(0, |count| count.count)
    }
}

/// How many requests of one kind ended in one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestCount {
    /// What was asked for.
    pub operation: Operation,
    /// How it ended.
    pub ending: Ending,
    /// How many there were.
    pub count: u64,
}

/// How often one policy declined for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declines {
    /// The policy's name.
    pub policy: String,
    /// Its reason; "other" for those beyond its first eight.
    pub reason: &'static str,
    /// How often.
    pub count: u64,
}

/// The calls of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statements {
    /// Calls started.
    pub started: u64,
    /// Calls that have ended, in any way.
    pub ended: u64,
    /// Those of them that failed or panicked.
    pub failed: u64,
    /// Calls started that insert.
    pub writes: u64,
}

/// The announcements on their way to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writes {
    /// Announcements that took the place of a waiting one of the same key and provider.
    pub merged: u64,
    /// Windows taken from the ring.
    pub windows: u64,
    /// Records that the store has accepted.
    pub written: u64,
    /// Records put back into the ring after a failure.
    pub retried: u64,
    /// Records dropped because the ring had no room, when they came in or when they were to be put back.
    pub dropped_ring_full: u64,
    /// Records for which the store had no room.
    pub dropped_by_store: u64,
    /// Records that failed too often.
    pub dropped_after_retries: u64,
}

/// Chores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Background {
    /// Expired records removed.
    pub purged: u64,
    /// Chores that panicked and were started again.
    pub panics: u64,
}

/// How full what is bounded is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gauge {
    /// Announcements waiting to be written.
    pub ring: Level,
    /// About how many bytes they take.
    pub ring_bytes: u64,
    /// Reads waiting for a permit.
    pub waiting: Level,
    /// Reads that newer ones pushed out of the line, ever.
    pub turned_away: u64,
    /// Permits in use.
    pub in_flight: Level,
    /// The rung of the whole node.
    pub rung: Rung,
}

/// The last estimate and how old it is by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EstimateNow {
    /// What the store said.
    pub estimate: Estimate,
    /// How long ago it was true: the store's own age of it, and the time since.
    pub age: Duration,
}
