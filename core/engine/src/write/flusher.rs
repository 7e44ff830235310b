//! Writes what waits in the queue: in windows, sorted, cut into batches, at a pace that no load exceeds.

mod batches;

use super::take::Writer;
use super::write_queue::{Fate, InHand, Tries};
use crate::observe::{StoreCall, trace};
use crate::store::{Failure, Lane};
use crate::sync::add;
use batches::{Batch, Batches};
use hydra_api::{Inserted, ProviderRecord, RecordOutcome, StoreError, StoreErrorKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// The longest pause after windows that failed.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The pause after a failed window once the writer is closing: time is short, and nothing new comes in.
const CLOSING_PAUSE: Duration = Duration::from_millis(100);

/// After how many failed batches, none written between them, the rest of a window waits: the store needs a rest, not more
/// of the same.
const FAILED_BATCHES_MAX: u32 = 2;

/// Writes windows until the writer is closing and the queue is empty.
pub(crate) async fn flush(writer: Arc<Writer>) {
    let writer = &writer;
    // What a flusher had in hand that panicked goes back.
    writer.queue.finish_window(&[]);
    let mut started = Instant::now();
    let mut failed_windows = 0u32;
    loop {
        wait(writer, started, failed_windows).await;
        if writer.is_closing() && writer.queue.level().used == 0 {
            return;
        }
        started = Instant::now();
        let written = write_window(writer, failed_windows).await;
        failed_windows = if written { 0 } else { failed_windows.saturating_add(1) };
    }
}

/// Waits until the next window is due.
async fn wait(writer: &Writer, started: Instant, failed_windows: u32) {
    let limits = &writer.limits;
    if failed_windows > 0 {
        // A paused store takes a probe at a time as often as the breaker lets one pass: records have to wait there for it.
        // Until the breaker has seen enough failures, the pauses are short as well.
        let pause = match writer.backend.breaker.is_open(Lane::Writes) {
            true => limits.probe_interval,
            false => {
                let doublings = failed_windows.saturating_sub(limits.breaker_failures).min(10);
                limits.flush_interval.saturating_mul(1 << doublings).min(PAUSE_MAX)
            }
        };
        tokio::select! {
            () = sleep_until(started + pause) => return,
            () = writer.backend.breaker.resumed() => return,
            () = writer.closing() => {}
        }
        sleep_until((started + CLOSING_PAUSE).min(started + pause)).await;
        return;
    }
    let early = async {
        sleep_until(started + limits.flush_interval_min).await;
        writer.queue.window_waits().await;
    };
    tokio::select! {
        () = sleep_until(started + limits.flush_interval) => {}
        () = early => {}
        () = writer.closing() => {}
    }
}

/// Writes a window; whether the store took any of it.
async fn write_window(writer: &Arc<Writer>, failed_windows: u32) -> bool {
    let window = writer.queue.take_window();
    if window.is_empty() {
        return true;
    }
    let stats = &writer.backend.stats.writes;
    add(&stats.windows, 1);
    // What no batch reports goes back as it was.
    let mut fates: Vec<Fate> = window.iter().map(|held| Fate::Again(held.tries)).collect();
    let capacity = writer.backend.capacity();
    let mut batches = Batches::new(window, capacity.write_batch_len, failed_windows);
    let (mut running, mut suspects, mut dropped) = (JoinSet::new(), Vec::new(), Vec::new());
    let (mut any_written, mut failed_in_a_row, mut split_in_a_row) = (false, 0, 0);
    // A single record that makes its batch fail is found with so many halvings.
    let splits_max = capacity.write_batch_len.ilog2() + 2;
    loop {
        let goes_on = failed_in_a_row < FAILED_BATCHES_MAX && split_in_a_row < splits_max;
        while goes_on && running.len() < capacity.writes as usize {
            let Some(batch) = batches.next() else { break };
            running.spawn(write_batch(writer.clone(), batch));
        }
        let Some(written) = running.join_next().await else { break };
        // A task that panicked has failed, and its batch goes back as it was.
        let Ok((batch, outcome)) = written else {
            failed_in_a_row += 1;
            continue;
        };
        match outcome {
            Outcome::Each(outcomes) => {
                (any_written, failed_in_a_row, split_in_a_row) = (true, 0, 0);
                for (held, outcome) in batch.iter().zip(outcomes) {
                    fates[held.place] = settle(writer, held, outcome);
                    dropped.extend(given_up(held, fates[held.place]));
                }
            }
            Outcome::Split => {
                split_in_a_row += 1;
                suspects.extend(batches.split(batch));
            }
            Outcome::Alone(cause) => {
                failed_in_a_row += 1;
                for held in &batch {
                    fates[held.place] = failed_alone(writer, held, &cause);
                    dropped.extend(given_up(held, fates[held.place]));
                }
            }
            Outcome::Failed => {
                failed_in_a_row += 1;
                suspects.push(batch);
            }
        }
    }
    for batch in &suspects {
        for held in batch {
            fates[held.place] = again(writer, held, batch.len() == 1, any_written);
            dropped.extend(given_up(held, fates[held.place]));
        }
    }
    writer.queue.finish_window(&fates);
    dropped.iter().for_each(|record| writer.readers.retract(record));
    any_written
}

fn given_up(held: &InHand, fate: Fate) -> Option<ProviderRecord> {
    (fate == Fate::Dropped).then(|| held.record.clone())
}

/// How the insert of a batch ended.
enum Outcome {
    Each(Vec<RecordOutcome>),
    /// A record of it may be the cause of a failure: in halves it is found.
    Split,
    /// Its only record may be the cause of this failure.
    Alone(String),
    Failed,
}

async fn write_batch(writer: Arc<Writer>, batch: Batch) -> (Batch, Outcome) {
    let records: Arc<[ProviderRecord]> = batch.iter().map(|held| held.record.clone()).collect();
    let backend = &writer.backend;
    let permit = backend.gate.acquire(Lane::Writes).await;
    // A store may drop what has expired by this date, so it is one that a jump of the clock does not move.
    let now = writer.clock.sure_date();
    add(&backend.stats.writes.statements, 1);
    let span = trace::background(&backend.tracer, StoreCall::Insert, records.len());
    let (store, inserted, len) = (backend.store.clone(), records.clone(), records.len());
    let call = async move { checked(store.insert(inserted, now).await?, len) };
    let call = backend.start(permit, StoreCall::Insert, span, call, |outcome| outcome);
    let outcome = match call.await.unwrap_or(Err(Failure::PANICKED)) {
        Ok(Inserted::All) => {
            records.iter().for_each(|record| writer.recent.note(record, now));
            Outcome::Each(vec![RecordOutcome::Taken; len])
        }
        Ok(Inserted::Each(outcomes)) => {
            let each = records.iter().zip(&outcomes);
            let taken = each.filter(|(_, outcome)| **outcome == RecordOutcome::Taken);
            taken.for_each(|(record, _)| writer.recent.note(record, now));
            Outcome::Each(outcomes)
        }
        Err(failure) if failure.kind() == Some(StoreErrorKind::Refused) && len == 1 => {
            Outcome::Each(vec![RecordOutcome::Refused(failure.to_string().into())])
        }
        // A panic or a broken promise may be a record's doing, too.
        Err(failure) if matches!(failure.kind(), None | Some(StoreErrorKind::Refused)) => {
            if len > 1 {
                Outcome::Split
            } else {
                Outcome::Alone(failure.to_string())
            }
        }
        Err(_) => Outcome::Failed,
    };
    (batch, outcome)
}

/// One outcome for each record. An insert all of whose outcomes are open is a failure.
fn checked(inserted: Inserted, len: usize) -> Result<Inserted, Failure> {
    let Inserted::Each(outcomes) = &inserted else { return Ok(inserted) };
    if outcomes.len() != len {
        return Err(Failure::Broke("the store reported more or fewer records than it was given"));
    }
    let open = |outcome: &RecordOutcome| match outcome {
        RecordOutcome::Unknown(kind) => Some(*kind),
        _ => None,
    };
    let kinds: Option<Vec<_>> = outcomes.iter().map(open).collect();
    match kinds.as_deref() {
        Some([kind, ..]) => {
            Err(Failure::Unknown(StoreError::new(*kind, StoreCall::Insert.as_str()), outcomes.len()))
        }
        Some([]) | None => Ok(inserted),
    }
}

/// Counts what became of a record, and says whether it is tried again.
fn settle(writer: &Writer, held: &InHand, outcome: RecordOutcome) -> Fate {
    let stats = &writer.backend.stats.writes;
    match outcome {
        RecordOutcome::Taken => {
            add(&stats.written, 1);
            Fate::Done
        }
        RecordOutcome::NoRoom => {
            add(&stats.dropped_no_room, 1);
            Fate::Dropped
        }
        RecordOutcome::Refused(cause) => {
            add(&stats.dropped_refused, 1);
            writer.backend.reports.refused(&cause);
            Fate::Dropped
        }
        // A part of the store does not answer: the record waits for it, but not for ever in the way of others.
        _ => {
            let tries = Tries { unknown: held.tries.unknown.saturating_add(1), ..held.tries };
            let in_the_way = writer.queue.level().percent() >= UNKNOWN_PERCENT_MAX;
            if in_the_way && u32::from(tries.unknown) > writer.limits.write_retries {
                add(&stats.dropped_after_retries, 1);
                return Fate::Dropped;
            }
            add(&stats.retried, 1);
            Fate::Again(tries)
        }
    }
}

/// How full the queue may be with records of which the store could say nothing again and again.
const UNKNOWN_PERCENT_MAX: u32 = 50;

/// A record on which the store panicked, or broke its contract, while it was given nothing else. Whether the store would
/// fail on any other cannot be told on an idle node, so that the tries are counted and the record is dropped after the
/// last of them.
fn failed_alone(writer: &Writer, held: &InHand, cause: &str) -> Fate {
    let stats = &writer.backend.stats.writes;
    let failures = held.tries.failures.saturating_add(1);
    if u32::from(failures) > writer.limits.write_retries {
        add(&stats.dropped_after_retries, 1);
        writer.backend.reports.gave_up(cause);
        return Fate::Dropped;
    }
    add(&stats.retried, 1);
    Fate::Again(Tries { failures, ..held.tries })
}

/// A record whose batch failed. Where the store took others, it may be the cause: it is tried in smaller and smaller
/// batches, and dropped when it has failed too often alone. Where it took none, the store is the cause, and the record
/// waits as it is.
fn again(writer: &Writer, held: &InHand, alone: bool, others_written: bool) -> Fate {
    let stats = &writer.backend.stats.writes;
    let failures = held.tries.failures.saturating_add(u16::from(others_written));
    if alone && others_written && u32::from(failures) > writer.limits.write_retries {
        add(&stats.dropped_after_retries, 1);
        return Fate::Dropped;
    }
    add(&stats.retried, 1);
    Fate::Again(Tries { failures, ..held.tries })
}
