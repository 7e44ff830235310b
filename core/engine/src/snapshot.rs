//! Takes the [`Snapshot`] of all that is counted.

use crate::core::Core;
use crate::latency::Latency;
use crate::lock;
use crate::stats::{
    Background, Ending, EstimateNow, Gauge, Reads, RequestCount, Snapshot, Statements, StoreCall, Writes,
};
use hydra_api::{Operation, Rung};
use std::sync::atomic::{AtomicU64, Ordering};

impl Core {
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            requests: self.requests(),
            verdicts: self.chain.verdicts(),
            statements: Statements {
                started: read(&self.stats.statements_started),
                ended: read(&self.stats.statements_ended),
                failed: self.stats.failed.iter().map(read).sum(),
                writes: read(&self.stats.write_statements),
            },
            reads: self.reads(),
            latencies: StoreCall::ALL.map(|call| (call, self.stats.latencies[call as usize].read())).into(),
            failures: StoreCall::ALL.map(|call| (call, read(&self.stats.failed[call as usize]))).into(),
            rungs: Rung::ALL.map(|rung| (rung, self.ladder.entered(rung))).into(),
            writes: Writes {
                refreshes_skipped: read(&self.stats.refreshes_skipped),
                merged: read(&self.stats.merged),
                windows: read(&self.stats.windows),
                written: read(&self.stats.written),
                retried: read(&self.stats.retried),
                dropped_ring_full: read(&self.stats.dropped_ring_full),
                dropped_by_store: read(&self.stats.dropped_by_store),
                dropped_after_retries: read(&self.stats.dropped_after_retries),
            },
            background: Background {
                purged: read(&self.stats.purged),
                panics: read(&self.stats.chore_panics),
            },
            gauge: Gauge {
                ring: self.ring.level(),
                ring_bytes: self.ring.bytes() as u64,
                waiting: self.gate.waiting(),
                turned_away: self.gate.turned_away(),
                in_flight: self.gate.in_flight(),
                readings: self.flights.len() as u64,
                cache_len: self.flights.cache().len(),
                cache_bytes: self.flights.cache().bytes(),
                cache_bytes_max: self.flights.cache().bytes_max(),
                rung: self.ladder.rung(),
            },
            estimate: self.estimate_now(),
        }
    }

    fn reads(&self) -> Reads {
        let reads = &self.stats.reads;
        Reads {
            hits: read(&reads.hits),
            absent_hits: read(&reads.absent_hits),
            stale_hits: read(&reads.stale_hits),
            misses: read(&reads.misses),
            coalesced: read(&reads.coalesced),
            statements: read(&reads.statements),
            batched: read(&reads.batched),
            wanted: read(&reads.wanted),
            denied: read(&reads.denied),
        }
    }

    fn requests(&self) -> Vec<RequestCount> {
        let mut counts = Vec::new();
        for operation in Operation::ALL {
            for (ending, rung) in
                Ending::ALL.into_iter().flat_map(|ending| Rung::ALL.map(|rung| (ending, rung)))
            {
                let latency = match ending {
                    Ending::Abandoned => Latency::untimed(self.chain.abandoned(operation, rung)),
                    _ => self.stats.requests(operation, ending, rung),
                };
                if latency.count() > 0 {
                    counts.push(RequestCount { operation, ending, rung, latency });
                }
            }
        }
        counts
    }

    fn estimate_now(&self) -> Option<EstimateNow> {
        let (estimate, at) = (*lock(&self.stats.estimate))?;
        let age = estimate.age + self.clock.now().saturating_duration_since(at);
        Some(EstimateNow { estimate, age })
    }

    /// Announcements that were taken and are not in the store yet.
    pub(crate) fn unwritten(&self) -> u64 {
        u64::from(self.ring.level().used) + read(&self.stats.in_hand)
    }
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
