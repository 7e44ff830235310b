//! Reads all that is counted, and how the engine is.

use super::Engine;
use crate::load::Latency;
use crate::observe::{
    Background, EstimateNow, Gauge, Health, LaneCount, Pause, Reads, RequestCount, RungCount, Snapshot,
    Statements, StoreCall, ValueCounts, Writes,
};
use crate::parts::Parts;
use crate::request::Ending;
use crate::store::Lane;
use crate::sync::{lock, read};
use crate::write::Rank;
use hydra_api::{Operation, Rung, StoreErrorKind, ValueEstimate};

impl Engine {
    /// What has been counted, and how full the node is.
    pub fn stats(&self) -> Snapshot {
        let (parts, stats) = (&self.parts, &self.parts.stats);
        Snapshot {
            requests: requests(parts),
            verdicts: parts.chain.verdicts(),
            statements: Statements {
                started: read(&stats.statements_started),
                ended: read(&stats.statements_ended),
                failed: stats.failed.iter().flatten().map(read).sum(),
                writes: read(&stats.writes.statements),
            },
            reads: reads(parts),
            latencies: StoreCall::ALL.map(|call| (call, stats.latencies[call as usize].read())).into(),
            failures: failures(parts),
            rungs: Rung::ALL
                .map(|rung| {
                    let [reads, writes] = parts.ladder.entered(rung);
                    RungCount { rung, reads, writes }
                })
                .into(),
            writes: writes(parts),
            values: values(parts),
            lanes: Lane::ALL.map(|lane| lane_count(parts, lane)).into(),
            background: Background { purged: read(&stats.purged), panics: read(&stats.background_panics) },
            gauge: gauge(parts),
            estimate: estimate(parts),
            value_estimate: value_estimate(parts),
        }
    }

    /// Whether the engine is well.
    pub fn health(&self) -> Health {
        let parts = &self.parts;
        Health {
            ticked: parts.since_tick(),
            background_runs: parts.writer.is_closing() || self.background.runs(),
            stalled: parts.ladder.stalled(),
            paused: pause(parts, [Lane::Reads, Lane::Writes]),
            values_paused: pause(parts, [Lane::ValueReads, Lane::ValueWrites]),
            corrupt: parts.backend.reports.corrupt(),
        }
    }
}

fn lane_count(parts: &Parts, lane: Lane) -> LaneCount {
    let breaker = &parts.backend.breaker;
    LaneCount { name: lane.as_str(), is_paused: breaker.is_open(lane), pauses: breaker.opened(lane) }
}

/// The pause of the reads and writes of one kind of records.
fn pause(parts: &Parts, lanes: [Lane; 2]) -> Option<Pause> {
    let breaker = &parts.backend.breaker;
    let [reads, writes] = lanes.map(|lane| breaker.is_open(lane));
    let calls = match (reads, writes) {
        (true, false) => "reads",
        (false, true) => "writes",
        _ => "reads and writes",
    };
    let (since, because) = breaker.paused(&lanes)?;
    let since = parts.clock.now().saturating_duration_since(since);
    Some(Pause { calls, reads, since, because })
}

fn requests(parts: &Parts) -> Vec<RequestCount> {
    let mut counts = Vec::new();
    for operation in Operation::ALL {
        for (ending, rung) in Ending::ALL.into_iter().flat_map(|ending| Rung::ALL.map(|rung| (ending, rung)))
        {
            let latency = match ending {
                Ending::Abandoned => Latency::untimed(parts.chain.abandoned(operation, rung)),
                _ => parts.stats.requests(operation, ending, rung),
            };
            if latency.count() > 0 {
                counts.push(RequestCount { operation, ending, rung, latency });
            }
        }
    }
    counts
}

fn reads(parts: &Parts) -> Reads {
    let (hits, wants, reads) = (&parts.stats.hits, &parts.stats.wants, &parts.stats.reads);
    Reads {
        hits: hits.sum(|hits| &hits.present),
        absent_hits: hits.sum(|hits| &hits.absent),
        stale_hits: hits.sum(|hits| &hits.stale),
        misses: hits.sum(|hits| &hits.misses),
        coalesced: wants.sum(|wants| &wants.coalesced),
        statements: read(&reads.statements),
        batched: read(&reads.batched),
        wanted: wants.sum(|wants| &wants.wanted),
        denied: wants.sum(|wants| &wants.denied),
        lost: wants.sum(|wants| &wants.lost),
        far: wants.sum(|wants| &wants.far),
        unknown: read(&reads.unknown),
    }
}

fn writes(parts: &Parts) -> Writes {
    let writes = &parts.stats.writes;
    let shed = Rank::ALL.map(|rank| (rank.as_str(), read(&writes.shed[rank as usize])));
    let [far_refresh, near_refresh, far_new, near_new] = shed;
    Writes {
        shed: [far_refresh, near_refresh, far_new, near_new, ("far", read(&writes.shed_far))],
        dropped_key_full: read(&writes.dropped_key_full),
        merged: read(&writes.merged),
        windows: read(&writes.windows),
        written: read(&writes.written),
        refreshes_skipped: read(&writes.refreshes_skipped),
        retried: read(&writes.retried),
        dropped_queue_full: read(&writes.dropped_queue_full),
        dropped_part_away: read(&writes.dropped_part_away),
        dropped_no_room: read(&writes.dropped_no_room),
        dropped_refused: read(&writes.dropped_refused),
        dropped_after_retries: read(&writes.dropped_after_retries),
    }
}

fn values(parts: &Parts) -> ValueCounts {
    let values = &parts.stats.values;
    ValueCounts {
        hits: read(&values.hits),
        misses: read(&values.misses),
        denied: read(&values.denied),
        statements: read(&values.statements),
        taken: read(&values.taken),
        equal: read(&values.equal),
        outdated: read(&values.outdated),
        refused: read(&values.refused),
        checks: read(&values.checks),
        checks_failed: read(&values.checks_failed),
        checks_declined: read(&values.checks_declined),
        written: read(&values.written),
        changed: read(&values.changed),
        superseded: read(&values.superseded),
        retried: read(&values.retried),
        dropped_queue_full: read(&values.dropped_queue_full),
        dropped_no_room: read(&values.dropped_no_room),
        dropped_refused: read(&values.dropped_refused),
        dropped_after_retries: read(&values.dropped_after_retries),
    }
}

fn failures(parts: &Parts) -> Vec<(StoreCall, &'static str, u64)> {
    let kinds = StoreErrorKind::ALL.map(|kind| (Some(kind), kind.as_str()));
    let kinds = kinds.into_iter().chain([(None, "panic")]);
    let all = StoreCall::ALL.into_iter().flat_map(|call| kinds.clone().map(move |kind| (call, kind)));
    let counts = all.map(|(call, (kind, name))| (call, name, read(parts.stats.failures(call, kind))));
    counts.filter(|(.., count)| *count > 0).collect()
}

fn gauge(parts: &Parts) -> Gauge {
    let (levels, values) = (parts.reader.levels(), parts.values.levels());
    let (permits_bound, permit_state) = parts.backend.permits();
    let (read_rung, write_rung) = (parts.ladder.read_rung(), parts.ladder.write_rung());
    Gauge {
        write_queue: parts.queue.level(),
        write_queue_away: parts.queue.away(),
        write_queue_bytes: parts.queue.bytes(),
        write_queue_bytes_max: parts.queue.bytes_max() as u64,
        waiting: levels.waiting,
        evicted: levels.evicted,
        in_flight: parts.backend.gate.in_flight(),
        permits_bound,
        permit_state,
        flights: levels.flights,
        cache_len: levels.cache_len,
        cache_bytes: levels.cache_bytes,
        cache_bytes_max: levels.cache_bytes_max,
        value_queue: values.queue,
        value_cache_len: values.cache_len,
        value_cache_bytes: values.cache_bytes,
        rung: read_rung.max(write_rung),
        read_rung,
        write_rung,
    }
}

fn estimate(parts: &Parts) -> Option<EstimateNow> {
    let (estimate, at) = (*lock(&parts.stats.estimate))?;
    let age = estimate.age.saturating_add(parts.clock.now().saturating_duration_since(at));
    Some(EstimateNow { estimate, age })
}

fn value_estimate(parts: &Parts) -> Option<ValueEstimate> {
    let (estimate, at) = (*lock(&parts.stats.value_estimate))?;
    let age = estimate.age.saturating_add(parts.clock.now().saturating_duration_since(at));
    Some(ValueEstimate::new(estimate.records, estimate.bytes, age))
}
