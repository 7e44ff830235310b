//! The counters, each counted up where its thing happens.

use crate::config::Config;
use crate::load::{Calls, Demand, Histogram, Latency, Pace, Work};
use crate::request::Ending;
use crate::sync::{add, read};
use hydra_api::{Estimate, Operation, Rung, StoreErrorKind, ValueEstimate};
use hydra_striped::Striped;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

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
    /// A read of value records.
    GetValues,
    /// A write of value records.
    PutValues,
    /// A step of the purge of value records.
    PurgeValues,
    /// An estimate of the value records.
    EstimateValues,
    /// The end.
    Close,
}

impl StoreCall {
    /// Every call, in the order of their discriminants.
    pub const ALL: [Self; 9] = [
        Self::Providers,
        Self::Insert,
        Self::PurgeExpired,
        Self::Estimate,
        Self::GetValues,
        Self::PutValues,
        Self::PurgeValues,
        Self::EstimateValues,
        Self::Close,
    ];

    /// Its name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Providers => "providers",
            Self::Insert => "insert",
            Self::PurgeExpired => "purge_expired",
            Self::Estimate => "estimate",
            Self::GetValues => "get_values",
            Self::PutValues => "put_values",
            Self::PurgeValues => "purge_values",
            Self::EstimateValues => "estimate_values",
            Self::Close => "close",
        }
    }
}

/// How a store call can fail, as it is counted: by each kind of error, and by a panic or another broken promise.
pub(super) const FAILURES: usize = StoreErrorKind::ALL.len() + 1;

/// The counters of an engine.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    requests: Striped<Requests>,
    pub(crate) hits: Striped<Hits>,
    pub(crate) wants: Striped<Wants>,
    pub(crate) reads: ReadStats,
    pub(crate) writes: WriteStats,
    pub(crate) values: ValueStats,
    pub(crate) latencies: [Histogram; StoreCall::ALL.len()],
    pub(crate) read_pace: Pace,
    insert_calls: CallCounts,
    /// Reads, and writes.
    pub(crate) work: [WorkStats; 2],
    pub(crate) statements_started: AtomicU64,
    pub(crate) statements_ended: AtomicU64,
    /// Calls that failed, by call and kind.
    pub(crate) failed: [[AtomicU64; FAILURES]; StoreCall::ALL.len()],
    pub(crate) purged: AtomicU64,
    pub(crate) background_panics: AtomicU64,
    pub(crate) estimate: Mutex<Option<(Estimate, Instant)>>,
    pub(crate) value_estimate: Mutex<Option<(ValueEstimate, Instant)>>,
}

#[derive(Debug, Default)]
struct Requests([[[Histogram; Rung::ALL.len()]; Ending::ALL.len()]; Operation::ALL.len()]);

#[derive(Debug, Default)]
struct CallCounts {
    begun: AtomicU64,
    ended: AtomicU64,
}

/// What the cache answers.
#[derive(Debug, Default)]
pub(crate) struct Hits {
    pub(crate) present: AtomicU64,
    pub(crate) absent: AtomicU64,
    pub(crate) stale: AtomicU64,
    pub(crate) misses: AtomicU64,
}

/// What becomes of misses: counted by every connection, also of those that are denied.
#[derive(Debug, Default)]
pub(crate) struct Wants {
    pub(crate) coalesced: AtomicU64,
    /// Keys that wanted a permit, and those of them that got none in time.
    pub(crate) wanted: AtomicU64,
    pub(crate) denied: AtomicU64,
    /// Those of them that left the line, or found no room in it, without having been read.
    pub(crate) lost: AtomicU64,
    /// Requests whose key was not read because the head that was asked is far from it.
    pub(crate) far: AtomicU64,
}

/// What is counted of calls that read.
#[derive(Debug, Default)]
pub(crate) struct ReadStats {
    pub(crate) statements: AtomicU64,
    pub(crate) batched: AtomicU64,
    pub(crate) unknown: AtomicU64,
}

/// What the calls of a lane have done that succeeded, or failed slowly.
#[derive(Debug, Default)]
pub(crate) struct WorkStats {
    /// Longer is slow; zero for never.
    ceiling: Duration,
    calls: AtomicU64,
    items: AtomicU64,
    busy_us: AtomicU64,
    slow: AtomicU64,
}

impl WorkStats {
    /// Counts a call with so many keys or records. One that failed is counted if it took longer than the ceiling: a refusal takes no
    /// time, and would make the store look fast.
    pub(crate) fn record(&self, items: usize, took: Duration, succeeded: bool) {
        let is_slow = !self.ceiling.is_zero() && took > self.ceiling;
        if !succeeded && !is_slow {
            return;
        }
        add(&self.calls, 1);
        add(&self.items, if succeeded { items as u64 } else { 0 });
        add(&self.busy_us, u64::try_from(took.as_micros()).unwrap_or(u64::MAX >> 1));
        add(&self.slow, u64::from(is_slow));
    }

    /// What there was so far.
    pub(crate) fn read(&self) -> Work {
        Work {
            calls: read(&self.calls),
            items: read(&self.items),
            busy: Duration::from_micros(read(&self.busy_us)),
            slow: read(&self.slow),
        }
    }
}

/// What is counted of writes.
#[derive(Debug, Default)]
pub(crate) struct WriteStats {
    pub(crate) refreshes_skipped: AtomicU64,
    pub(crate) merged: AtomicU64,
    pub(crate) windows: AtomicU64,
    pub(crate) statements: AtomicU64,
    pub(crate) written: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) dropped_queue_full: AtomicU64,
    pub(crate) dropped_part_away: AtomicU64,
    pub(crate) dropped_key_full: AtomicU64,
    /// Announcements that were shed, by their worth, and those of far keys that were not looked at any further.
    pub(crate) shed: [AtomicU64; 4],
    pub(crate) shed_far: AtomicU64,
    pub(crate) dropped_no_room: AtomicU64,
    pub(crate) dropped_refused: AtomicU64,
    pub(crate) dropped_after_retries: AtomicU64,
}

/// What is counted of value records.
#[derive(Debug, Default)]
pub(crate) struct ValueStats {
    pub(crate) hits: AtomicU64,
    pub(crate) misses: AtomicU64,
    pub(crate) denied: AtomicU64,
    pub(crate) statements: AtomicU64,
    pub(crate) taken: AtomicU64,
    pub(crate) equal: AtomicU64,
    pub(crate) outdated: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) checks: AtomicU64,
    pub(crate) checks_failed: AtomicU64,
    pub(crate) checks_declined: AtomicU64,
    pub(crate) written: AtomicU64,
    pub(crate) changed: AtomicU64,
    pub(crate) superseded: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) dropped_queue_full: AtomicU64,
    pub(crate) dropped_no_room: AtomicU64,
    pub(crate) dropped_refused: AtomicU64,
    pub(crate) dropped_after_retries: AtomicU64,
}

impl Stats {
    pub(crate) fn new(config: &Config) -> Self {
        let ceilings = [config.short.read_p90_ms, config.stale.read_p90_ms, config.near_only.read_p90_ms];
        let ceilings = ceilings.map(|ms| Duration::from_millis(u64::from(ms)));
        let permits = [config.permits.read_p90_ms_max, config.permits.write_p90_ms_max];
        let work = permits.map(|ms| Duration::from_millis(u64::from(ms)));
        Self {
            read_pace: Pace { ceilings, ..Pace::default() },
            work: work.map(|ceiling| WorkStats { ceiling, ..WorkStats::default() }),
            ..Self::default()
        }
    }

    /// How the reads fared so far.
    pub(crate) fn demand(&self) -> Demand {
        Demand {
            wanted: self.wants.sum(|wants| &wants.wanted),
            denied: self.wants.sum(|wants| &wants.denied),
            lost: self.wants.sum(|wants| &wants.lost),
            ended: read(&self.read_pace.ended),
            above: self.read_pace.above.each_ref().map(read),
            begun: read(&self.read_pace.begun),
        }
    }

    /// How many writes of provider records have begun and ended.
    pub(crate) fn inserts(&self) -> Calls {
        Calls { begun: read(&self.insert_calls.begun), ended: read(&self.insert_calls.ended) }
    }

    /// Notes that a store call begins.
    pub(crate) fn begins(&self, call: StoreCall) {
        add(&self.statements_started, 1);
        match call {
            StoreCall::Providers => self.read_pace.begin(),
            StoreCall::Insert => add(&self.insert_calls.begun, 1),
            _ => {}
        }
    }

    /// Notes that a store call has ended after so long.
    pub(crate) fn ends(&self, call: StoreCall, took: Duration) {
        self.latencies[call as usize].record(took);
        match call {
            StoreCall::Providers => self.read_pace.record(took),
            StoreCall::Insert => add(&self.insert_calls.ended, 1),
            _ => {}
        }
    }

    /// Counts a request that ended so on this rung. Those that were answered at once are not measured: they took no
    /// time.
    #[inline]
    pub(crate) fn count(&self, operation: Operation, ending: Ending, rung: Rung, took: Duration) {
        self.requests.mine().0[operation as usize][ending as usize][rung.index()].record(took);
    }

    pub(crate) fn requests(&self, operation: Operation, ending: Ending, rung: Rung) -> Latency {
        Histogram::sum(
            self.requests
                .iter()
                .map(|requests| &requests.0[operation as usize][ending as usize][rung.index()]),
        )
    }

    /// The counter of calls that failed so; `None` is a panic or another broken promise.
    pub(crate) fn failures(&self, call: StoreCall, kind: Option<StoreErrorKind>) -> &AtomicU64 {
        let index = kind.and_then(|kind| StoreErrorKind::ALL.iter().position(|known| *known == kind));
        &self.failed[call as usize][index.unwrap_or(FAILURES - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A refusal takes no time, and does nothing.
    #[test]
    fn what_failed_at_once_makes_no_store_look_fast() {
        let ms = Duration::from_millis;
        let work = WorkStats { ceiling: ms(25), ..WorkStats::default() };
        work.record(32, ms(2), true);
        work.record(32, ms(1), false);
        work.record(32, ms(30), false);
        assert_eq!(work.read(), Work { calls: 2, items: 32, busy: ms(32), slow: 1 });
    }
}
