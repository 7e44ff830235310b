//! What the engine counts.

use crate::config::Config;
use crate::ladder::Demand;
use crate::latency::{Histogram, Latency, Pace};
use crate::tally::Verdicts;
use hydra_api::admission::Level;
use hydra_api::{Estimate, Operation, Rung};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How a request ended, as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ending {
    /// Answered from the store or the cache, or its write taken.
    Served,
    /// It repeats a record that was written not long ago, and the node is too busy to write it again.
    Known,
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
    pub const ALL: [Self; 11] = [
        Self::Served,
        Self::Known,
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
            Self::Known => "known",
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
    pub(crate) reads: ReadStats,
    pub(crate) latencies: [Histogram; StoreCall::ALL.len()],
    pub(crate) read_pace: Pace,
    pub(crate) refreshes_skipped: AtomicU64,
    requests: [[[Histogram; Rung::ALL.len()]; Ending::ALL.len()]; Operation::ALL.len()],
    pub(crate) statements_started: AtomicU64,
    pub(crate) statements_ended: AtomicU64,
    /// Calls that failed or panicked, by kind.
    pub(crate) failed: [AtomicU64; StoreCall::ALL.len()],
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

/// What is counted of reads that the policies have admitted.
#[derive(Debug, Default)]
pub(crate) struct ReadStats {
    pub(crate) hits: AtomicU64,
    pub(crate) absent_hits: AtomicU64,
    pub(crate) stale_hits: AtomicU64,
    pub(crate) misses: AtomicU64,
    pub(crate) coalesced: AtomicU64,
    pub(crate) statements: AtomicU64,
    pub(crate) batched: AtomicU64,
    /// Readings that wanted a permit, and those of them that got none.
    pub(crate) wanted: AtomicU64,
    pub(crate) denied: AtomicU64,
}

impl Stats {
    pub(crate) fn new(config: &Config) -> Self {
        let ceilings = [config.short.read_p90_ms, config.stale.read_p90_ms];
        let ceilings = ceilings.map(|ms| Duration::from_millis(u64::from(ms)));
        Self { read_pace: Pace { ceilings, ..Pace::default() }, ..Self::default() }
    }

    /// How the reads fared so far.
    pub(crate) fn demand(&self) -> Demand {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Demand {
            wanted: read(&self.reads.wanted),
            denied: read(&self.reads.denied),
            ended: read(&self.read_pace.ended),
            above: [read(&self.read_pace.above[0]), read(&self.read_pace.above[1])],
        }
    }

    /// Counts a request that ended so on this rung. Those that were turned away at once are not measured: they took no
    /// time.
    pub(crate) fn count(&self, operation: Operation, ending: Ending, rung: Rung, took: Duration) {
        self.requests[operation as usize][ending as usize][rung as usize].note(took);
    }

    pub(crate) fn requests(&self, operation: Operation, ending: Ending, rung: Rung) -> Latency {
        self.requests[operation as usize][ending as usize][rung as usize].read()
    }
}

/// What the engine has counted since it was opened, and how full it is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Snapshot {
    /// Requests by operation, ending and rung; those that never happened are left out.
    pub requests: Vec<RequestCount>,
    /// What the policies said, in the order in which they are asked.
    pub verdicts: Vec<Verdicts>,
    /// The calls of the store.
    pub statements: Statements,
    /// Reads: the cache, and the ways to ask the store less.
    pub reads: Reads,
    /// The announcements on their way to the store.
    pub writes: Writes,
    /// How long the calls of the store took, by kind, in the order of [`StoreCall::ALL`].
    pub latencies: Vec<(StoreCall, Latency)>,
    /// How many of the calls failed or panicked, by kind, in the order of [`StoreCall::ALL`].
    pub failures: Vec<(StoreCall, u64)>,
    /// How often the node came onto each rung, from above or below, in the order of [`Rung::ALL`].
    pub rungs: Vec<(Rung, u64)>,
    /// Chores.
    pub background: Background,
    /// How full what is bounded is.
    pub gauge: Gauge,
    /// About how many records there are, when the store has been asked.
    pub estimate: Option<EstimateNow>,
}

impl Snapshot {
    /// How many requests of this kind ended so, on all rungs together.
    pub fn requests(&self, operation: Operation, ending: Ending) -> u64 {
        let same = |count: &&RequestCount| count.operation == operation && count.ending == ending;
        self.requests.iter().filter(same).map(|count| count.latency.count()).sum()
    }
}

/// The requests of one kind that ended in one way on one rung.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestCount {
    /// What was asked for.
    pub operation: Operation,
    /// How it ended.
    pub ending: Ending,
    /// The rung on which it was served.
    pub rung: Rung,
    /// How many there were, and how long they took. What is not a GET_PROVIDERS, or was turned away at once, is counted
    /// with no time at all.
    pub latency: Latency,
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

/// The calls of a store, as they are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreCall {
    /// A read.
    Providers,
    /// A write.
    Insert,
    /// A step of the purge.
    PurgeExpired,
    /// An estimate.
    Estimate,
    /// The end.
    Close,
}

impl StoreCall {
    /// Every call, in the order of their discriminants.
    pub const ALL: [Self; 5] =
        [Self::Providers, Self::Insert, Self::PurgeExpired, Self::Estimate, Self::Close];

    /// The word for it in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Providers => "providers",
            Self::Insert => "insert",
            Self::PurgeExpired => "purge_expired",
            Self::Estimate => "estimate",
            Self::Close => "close",
        }
    }
}

/// Reads that the policies have admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reads {
    /// Answered with providers from the cache.
    pub hits: u64,
    /// Answered from the cache that there are none.
    pub absent_hits: u64,
    /// Answered from the cache, older than it is given while the store answers.
    pub stale_hits: u64,
    /// Not answered by the cache as it should have been; a stale hit may have followed.
    pub misses: u64,
    /// Those that joined the reading of another one.
    pub coalesced: u64,
    /// Store calls started that read.
    pub statements: u64,
    /// Keys in those of the calls that read more than one key.
    pub batched: u64,
    /// Readings that wanted a permit.
    pub wanted: u64,
    /// Those of them that got none in time.
    pub denied: u64,
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
    /// Announcements that were not written because the record was not long ago.
    pub refreshes_skipped: u64,
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
    /// Keys that are being read.
    pub readings: u64,
    /// Answers in the cache.
    pub cache_len: u64,
    /// About how many bytes they take.
    pub cache_bytes: u64,
    /// How many bytes they may take.
    pub cache_bytes_max: u64,
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
