//! Writes what was taken, as long as the store has what was seen.

use super::Values;
use super::flights::{Looked, Tries};
use super::look::values_of;
use crate::observe::{StoreCall, trace};
use crate::store::{Failure, Lane, WRITE_WAIT_MAX, gravest};
use crate::sync::{add, lock};
use hydra_api::{FoundValue, PutOutcome, StoreError, StoreErrorKind, ValuePut};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// The longest pause after batches that failed.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Why a record is given up whose key a store says to have changed, and then has what was seen: such as one with a value that no store
/// may return, which counts as nothing.
const CONTRADICTION: &str =
    "the store reports another value than it returns, or has a value that is not valid";

/// The pause after a batch that failed once the node is closing.
const CLOSING_PAUSE: Duration = Duration::from_millis(100);

/// Writes batches until the node is closing and nothing waits.
pub(crate) async fn flush(values: Arc<Values>) {
    let (mut started, mut failures) = (Instant::now(), 0u32);
    loop {
        tokio::select! {
            () = values.flights.records_wait() => {}
            () = values.closing() => {}
        }
        if values.is_closing() && values.unwritten() == 0 {
            return;
        }
        pause(&values, started, failures).await;
        started = Instant::now();
        failures = if write_batch(&values).await { 0 } else { failures.saturating_add(1) };
    }
}

/// Waits until the next batch is due.
async fn pause(values: &Values, started: Instant, failures: u32) {
    let limits = &values.limits;
    if failures == 0 {
        let interval =
            if values.flights.has_batch() { limits.flush_interval_min } else { limits.flush_interval };
        tokio::select! {
            () = sleep_until(started + interval) => {}
            () = values.closing() => {}
        }
        return;
    }
    let is_paused = values.backend.breaker.is_open(Lane::ValueWrites);
    let growing = limits.flush_interval.saturating_mul(1 << failures.min(10)).min(PAUSE_MAX);
    let pause = if is_paused { limits.probe_interval } else { growing };
    tokio::select! {
        () = sleep_until(started + pause) => {}
        () = values.backend.breaker.resumed() => {}
        () = values.closing() => sleep_until((started + CLOSING_PAUSE).min(started + pause)).await,
    }
}

/// Writes one batch; false if none of it was answered.
async fn write_batch(values: &Arc<Values>) -> bool {
    let permit = values.backend.gate.acquire(Lane::ValueWrites).await;
    // What has expired by a clock that may have jumped is not let go yet, neither here nor in the store.
    let now = values.clock.sure_date();
    let batch: Arc<[ValuePut]> = values.flights.take_batch(now).into();
    if batch.is_empty() {
        drop(permit);
        sleep(CLOSING_PAUSE).await;
        return true;
    }
    let _in_hand = InHand { values, batch: &batch };
    add(&values.backend.stats.values.statements, 1);
    let (store, putting, len) = (values.backend.store.clone(), batch.clone(), batch.len());
    let span = trace::background(&values.backend.tracer, StoreCall::PutValues, len);
    let call = async move { checked(values_of(&*store)?.put_if(putting, now).await?, len) };
    let call = values.backend.start(permit, StoreCall::PutValues, len, span, call, |outcomes| outcomes);
    let Some(outcomes) = ended(values, call).await else { return false };
    let changed = match outcomes {
        Ok(outcomes) => settle(values, &batch, outcomes),
        Err(failure) => {
            failed(values, &batch, &failure);
            return false;
        }
    };
    changed.is_empty() || look_again(values, changed).await
}

/// How a call ended; nothing when it does not end. Then its records are tried without it: it keeps its permit, and nothing else.
/// Only one call is left behind so at a time, as the permits are those of the providers as well.
async fn ended<T>(values: &Values, mut call: JoinHandle<Result<T, Failure>>) -> Option<Result<T, Failure>> {
    loop {
        if let Ok(ended) = timeout(WRITE_WAIT_MAX, &mut call).await {
            return Some(ended.unwrap_or(Err(Failure::PANICKED)));
        }
        if !values.backend.breaker.is_open(Lane::ValueWrites) {
            values.backend.reports.writes_hang(WRITE_WAIT_MAX);
        }
        let mut hangs = lock(&values.hangs);
        if hangs.as_ref().is_none_or(AbortHandle::is_finished) {
            *hangs = Some(call.abort_handle());
            return None;
        }
    }
}

/// One outcome for each record. A put all of whose outcomes are open is a failure, of the gravest kind among them.
fn checked(outcomes: Vec<PutOutcome>, len: usize) -> Result<Vec<PutOutcome>, Failure> {
    if outcomes.len() != len {
        return Err(Failure::Broke("the store reported more or fewer records than it was given"));
    }
    let open = |outcome: &PutOutcome| match outcome {
        PutOutcome::Unknown(kind) => Some(*kind),
        _ => None,
    };
    let kinds: Option<Vec<_>> = outcomes.iter().map(open).collect();
    match kinds.and_then(gravest) {
        Some(kind) => Err(Failure::Unknown(StoreError::new(kind, StoreCall::PutValues.as_str()), len)),
        None => Ok(outcomes),
    }
}

/// Acts on each outcome; the records whose keys have something else than was seen.
fn settle(values: &Values, batch: &[ValuePut], outcomes: Vec<PutOutcome>) -> Vec<ValuePut> {
    let stats = &values.backend.stats.values;
    let (mut changed, mut unknown, mut has_no_room) = (Vec::new(), None, false);
    for (put, outcome) in batch.iter().zip(outcomes) {
        match outcome {
            PutOutcome::Stored => {
                add(&stats.written, 1);
                let before = put.seen.as_ref().map_or(0, |seen| put.key.as_bytes().len() + seen.len());
                let after = put.key.as_bytes().len() + put.record.value.len();
                values.room.written(after.saturating_sub(before) as u64, put.seen.is_none());
                values.flights.written(put);
            }
            PutOutcome::Changed => {
                add(&stats.changed, 1);
                changed.push(put.clone());
            }
            PutOutcome::NoRoom => {
                add(&stats.dropped_no_room, 1);
                values.flights.dropped(put);
                has_no_room = true;
                values.backend.reports.no_room();
            }
            PutOutcome::Refused(why) => refused(values, put, &why),
            PutOutcome::Unknown(kind) => {
                unknown = gravest(unknown.into_iter().chain([kind]));
                try_again(values, put, Some(kind), &in_part(kind));
            }
            _ => {
                try_again(values, put, None, "the store reported an outcome that this version does not know")
            }
        }
    }
    // After what it took: that was shorter, or came before.
    if has_no_room {
        values.room.refused(values.clock.now());
    }
    if let Some(kind) = unknown {
        values.backend.failed_in_part(StoreCall::PutValues, kind);
    }
    changed
}

fn failed(values: &Values, batch: &[ValuePut], failure: &Failure) {
    let (kind, cause) = (failure.kind(), failure.to_string());
    match batch {
        [put] if kind == Some(StoreErrorKind::Refused) => refused(values, put, &cause),
        batch => batch.iter().for_each(|put| try_again(values, put, kind, &cause)),
    }
}

/// The store never takes this record.
fn refused(values: &Values, put: &ValuePut, why: &str) {
    add(&values.backend.stats.values.dropped_refused, 1);
    values.flights.dropped(put);
    values.backend.reports.refused(why);
}

/// What is known of a failure that the store told of single records.
fn in_part(kind: StoreErrorKind) -> String {
    format!("a part of the store is {}", kind.as_str())
}

/// A record is tried again as long as it may be; alone, if it may be what makes its batch fail.
fn try_again(values: &Values, put: &ValuePut, kind: Option<StoreErrorKind>, cause: &str) {
    let waits = matches!(kind, Some(StoreErrorKind::Unavailable | StoreErrorKind::Overloaded));
    let tries = values.flights.again(put, |tries| Tries {
        failures: if waits { tries.failures } else { tries.failures + 1 },
        alone: !waits,
    });
    if tries.failures > values.limits.write_retries {
        add(&values.backend.stats.values.dropped_after_retries, 1);
        values.flights.dropped(put);
        values.backend.reports.gave_up(cause);
    } else {
        add(&values.backend.stats.values.retried, 1);
    }
}

/// Reads what the store has in place of what was seen: the better record stays. False if it could not be read. It is a part of the
/// write: reads that are paused do not hold it up.
async fn look_again(values: &Arc<Values>, changed: Vec<ValuePut>) -> bool {
    let permit = values.backend.gate.acquire(Lane::ValueWrites).await;
    let (keys, now) = (changed.iter().map(|put| put.key).collect(), values.clock.read());
    add(&values.backend.stats.values.statements, 1);
    let Some(found) = ended(values, values.read(permit, keys, now, |found| found)).await else {
        return false;
    };
    let found = match found {
        Ok(found) => found,
        Err(failure) => {
            failed(values, &changed, &failure);
            return false;
        }
    };
    for (put, found) in changed.iter().zip(found) {
        match found {
            FoundValue::Known(found) => {
                let prefers = |record: &_, rival: &[u8]| Values::prefers(&put.key, record, rival, now.unix);
                match values.flights.looked(put, found, prefers, now.instant) {
                    Looked::Settled => {}
                    Looked::Superseded => add(&values.backend.stats.values.superseded, 1),
                    Looked::AsSeen => try_again(values, put, None, CONTRADICTION),
                }
            }
            FoundValue::Unknown(kind) => try_again(values, put, Some(kind), &in_part(kind)),
        }
    }
    true
}

/// A batch that is being written. What nothing has become of when this is dropped is tried again.
struct InHand<'a> {
    values: &'a Values,
    batch: &'a [ValuePut],
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        for put in self.batch {
            self.values.flights.again(put, |tries| tries);
        }
    }
}
