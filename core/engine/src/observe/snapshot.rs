//! What the engine has counted and how full it is, as it is read.

use super::stats::StoreCall;
use crate::admission::Verdicts;
use crate::load::{Latency, PermitState};
use crate::request::Ending;
use hydra_api::admission::Level;
use hydra_api::{Estimate, Operation, Rung, ValueEstimate};
use std::time::Duration;

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
    /// Value records.
    pub values: ValueCounts,
    /// How long the calls of the store took, by call, in the order of [`StoreCall::ALL`].
    pub latencies: Vec<(StoreCall, Latency)>,
    /// How many of the calls failed, by call and by the kind of the error; "panic" also stands for answers that break
    /// the contract of the store. Those that never happened are left out.
    pub failures: Vec<(StoreCall, &'static str, u64)>,
    /// How often each rung was entered, from above or below, in the order of [`Rung::ALL`].
    pub rungs: Vec<RungCount>,
    /// The calls of the store that are paused together.
    pub lanes: Vec<LaneCount>,
    /// Background tasks.
    pub background: Background,
    /// How full what is bounded is.
    pub gauge: Gauge,
    /// About how many records there are, when the store has been asked.
    pub estimate: Option<EstimateNow>,
    /// About how many value records there are and how many bytes they have, when the store has been asked.
    pub value_estimate: Option<ValueEstimate>,
}

impl Snapshot {
    /// How many requests of this kind ended so, on all rungs together.
    pub fn requests(&self, operation: Operation, ending: Ending) -> u64 {
        let same = |count: &&RequestCount| count.operation == operation && count.ending == ending;
        self.requests.iter().filter(same).map(|count| count.latency.count()).sum()
    }

    /// How many calls of this kind failed, for any reason.
    pub fn failures(&self, call: StoreCall) -> u64 {
        self.failures.iter().filter(|(failed, ..)| *failed == call).map(|(.., count)| count).sum()
    }

    /// How often reads and writes entered a rung.
    pub fn entered(&self, rung: Rung) -> RungCount {
        let none = RungCount { rung, reads: 0, writes: 0 };
        self.rungs.iter().find(|count| count.rung == rung).copied().unwrap_or(none)
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
    /// How many there were, and how long they took. What is not a GET_PROVIDERS, or was answered at once, is counted with
    /// no time at all.
    pub latency: Latency,
}

/// How often a rung was entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RungCount {
    /// The rung.
    pub rung: Rung,
    /// By reads.
    pub reads: u64,
    /// By writes.
    pub writes: u64,
}

/// The calls of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statements {
    /// Calls started.
    pub started: u64,
    /// Calls that have ended, in any way.
    pub ended: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Calls started that insert.
    pub writes: u64,
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
    /// Those that joined the read of another request.
    pub coalesced: u64,
    /// Store calls started that read.
    pub statements: u64,
    /// Keys in those of the calls that read more than one key.
    pub batched: u64,
    /// Keys that wanted a permit.
    pub wanted: u64,
    /// Those of them that got none in time.
    pub denied: u64,
    /// Those of them that the store was never asked for, because the line had no room for them.
    pub lost: u64,
    /// Requests whose key was not read on the rung `near_only`, because the head that was asked is far from it.
    pub far: u64,
    /// Keys of which a store call that did not fail could say nothing.
    pub unknown: u64,
}

/// The announcements on their way to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writes {
    /// Announcements that were shed by their worth, by name; "far" are those of far keys on the rung `near_only`.
    pub shed: [(&'static str, u64); 5],
    /// Announcements of a further provider of a key that has as many as it may have.
    pub dropped_key_full: u64,
    /// Announcements that replaced a waiting one of the same key and provider.
    pub merged: u64,
    /// Windows taken from the write queue.
    pub windows: u64,
    /// Records that the store has taken.
    pub written: u64,
    /// Announcements that were not written because the record was written recently.
    pub refreshes_skipped: u64,
    /// Records that wait for another attempt after a failure.
    pub retried: u64,
    /// Announcements dropped because the write queue had no room.
    pub dropped_queue_full: u64,
    /// Records that waited for a part of the store and gave way to others when the write queue was full.
    pub dropped_part_away: u64,
    /// Records for which the store had no room.
    pub dropped_no_room: u64,
    /// Records that the store refuses.
    pub dropped_refused: u64,
    /// Records that failed too often.
    pub dropped_after_retries: u64,
}

/// Value records: reads that the policies have admitted, and what became of those that were put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ValueCounts {
    /// Reads that the cache answered.
    pub hits: u64,
    /// Reads that it did not answer as it should have.
    pub misses: u64,
    /// Keys that got no permit in time.
    pub denied: u64,
    /// Store calls started.
    pub statements: u64,
    /// Records that were taken.
    pub taken: u64,
    /// Records that were put although they are held.
    pub equal: u64,
    /// Records that are worse than the one that is held.
    pub outdated: u64,
    /// Records that are not valid.
    pub refused: u64,
    /// Signatures that were checked.
    pub checks: u64,
    /// Those of them that were wrong.
    pub checks_failed: u64,
    /// Records that were not taken because enough signatures had been checked.
    pub checks_declined: u64,
    /// Records that the store has taken.
    pub written: u64,
    /// Records whose key had something else in the store than was seen.
    pub changed: u64,
    /// Those of them that gave way to what the store has.
    pub superseded: u64,
    /// Records that wait for another attempt after a failure.
    pub retried: u64,
    /// Records that were not taken because too many wait to be written.
    pub dropped_queue_full: u64,
    /// Records for which the store has no room.
    pub dropped_no_room: u64,
    /// Records that the store refuses.
    pub dropped_refused: u64,
    /// Records that failed too often.
    pub dropped_after_retries: u64,
}

/// Background tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Background {
    /// Expired records removed.
    pub purged: u64,
    /// Background tasks that panicked and were started again.
    pub panics: u64,
}

/// Calls of the store that the breaker pauses together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaneCount {
    /// Which: `reads`, `writes`, `value_reads` or `value_writes`.
    pub name: &'static str,
    /// Whether they are paused because the store is unavailable.
    pub is_paused: bool,
    /// How often they were.
    pub pauses: u64,
}

/// How full what is bounded is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gauge {
    /// Announcements in the write queue, those that are being written included.
    pub write_queue: Level,
    /// Those of them that wait for a part of the store which does not answer.
    pub write_queue_away: u32,
    /// About how many bytes the announcements in the write queue take.
    pub write_queue_bytes: u64,
    /// Limit of its size in bytes.
    pub write_queue_bytes_max: u64,
    /// Keys waiting for a permit.
    pub waiting: Level,
    /// Keys that newer ones evicted from the line, ever.
    pub evicted: u64,
    /// Permits in use, and how many there are at the moment.
    pub in_flight: Level,
    /// The most permits that there may be: `permits_max`, what the store serves, or less after it said that it is overloaded.
    pub permits_bound: u32,
    /// Why there are as many permits as there are.
    pub permit_state: PermitState,
    /// Keys that are being read or wait to be.
    pub flights: u64,
    /// Answers in the cache.
    pub cache_len: u64,
    /// About how many bytes they take.
    pub cache_bytes: u64,
    /// How many bytes they may take.
    pub cache_bytes_max: u64,
    /// Value records that wait to be written.
    pub value_queue: Level,
    /// Value records in the cache.
    pub value_cache_len: u64,
    /// About how many bytes they take.
    pub value_cache_bytes: u64,
    /// The rung of the node: the higher one of the next two.
    pub rung: Rung,
    /// The rung of reads.
    pub read_rung: Rung,
    /// The rung of writes.
    pub write_rung: Rung,
}

/// The last estimate and how old it is by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EstimateNow {
    /// What the store said.
    pub estimate: Estimate,
    /// How long ago it was true: the store's own age of it, and the time since.
    pub age: Duration,
}

/// Whether the engine itself is well. It says nothing of how busy it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// How long ago the load was last looked at, which happens ten times a second. A long time means that the runtime
    /// does not get to run its tasks.
    pub ticked: Duration,
    /// Whether every background task runs, or is about to be started again.
    pub background_runs: bool,
    /// For how long no store call has ended, all permits in use, when that is so long that the store counts as stalled
    /// (`peak.stall_ms`).
    pub stalled: Option<Duration>,
    /// Since when the store's calls for provider records are paused because it is unavailable, and why.
    pub paused: Option<Pause>,
    /// The same of its calls for value records.
    pub values_paused: Option<Pause>,
    /// What the store said is damaged. It stays so until the node is started again.
    pub corrupt: Option<String>,
}

/// A store that is unavailable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Which calls: `reads` or `writes`, or both.
    pub calls: &'static str,
    /// Whether reads are among them.
    pub reads: bool,
    /// For how long.
    pub since: Duration,
    /// The error, with its causes.
    pub because: String,
}
