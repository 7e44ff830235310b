//! One window of the queue: its batches are written side by side, and each record gets its fate.

use super::batch::{Outcome, write_batch};
use super::batches::{Batch, Batches};
use crate::observe::StoreCall;
use crate::store::{Lane, WRITE_WAIT_MAX, gravest};
use crate::sync::add;
use crate::write::take::Writer;
use crate::write::write_queue::{Fate, InHand, Tries};
use hydra_api::{ProviderRecord, RecordOutcome, StoreErrorKind};
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// After how many failed batches, none written between them, the rest of a window waits: the store needs a rest, not more
/// of the same.
const FAILED_BATCHES_MAX: u32 = 2;

/// What the store took of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// All of it, or a part.
    Whole,
    /// Nothing, as of most of it the store could say nothing.
    NothingKnown,
    Nothing,
}

/// A window that is being written.
struct Window<'a> {
    writer: &'a Arc<Writer>,
    batches: Batches,
    /// Those of all records, by their places.
    fates: Vec<Fate>,
    dropped: Vec<ProviderRecord>,
    /// Batches that failed, each with its cause.
    failed: Vec<(Batch, String)>,
    any_written: bool,
    unknown: usize,
    failed_in_a_row: u32,
    split_in_a_row: u32,
}

/// Writes a window; what the store took of it.
pub(super) async fn write_window(writer: &Arc<Writer>, failed_windows: u32) -> Written {
    let records = writer.queue.take_window();
    if records.is_empty() {
        return Written::Whole;
    }
    add(&writer.backend.stats.writes.windows, 1);
    let capacity = writer.backend.capacity();
    // A single record that makes its batch fail is found with so many halvings.
    let splits_max = capacity.write_batch_len.ilog2() + 2;
    let mut window = Window::new(writer, records, capacity.write_batch_len, failed_windows);
    let mut running = JoinSet::new();
    loop {
        let goes_on = window.failed_in_a_row < FAILED_BATCHES_MAX && window.split_in_a_row < splits_max;
        while goes_on && running.len() < capacity.writes as usize {
            let Some(batch) = window.batches.next() else { break };
            running.spawn(write_batch(writer.clone(), batch));
        }
        match timeout(WRITE_WAIT_MAX, running.join_next()).await {
            Ok(Some(Ok((batch, outcome)))) => window.on_ended(batch, outcome),
            // A task that panicked has failed, and its batch goes back as it was.
            Ok(Some(Err(_))) => window.failed_in_a_row += 1,
            Ok(None) => break,
            Err(_) => {
                if !writer.backend.breaker.is_open(Lane::Writes) {
                    writer.backend.reports.writes_hang(WRITE_WAIT_MAX);
                }
                break;
            }
        }
    }
    window.finish()
}

impl<'a> Window<'a> {
    fn new(writer: &'a Arc<Writer>, records: Vec<InHand>, batch_len: usize, failed_windows: u32) -> Self {
        Self {
            writer,
            // What no batch reports goes back as it was.
            fates: records.iter().map(|held| Fate::Again(held.tries)).collect(),
            batches: Batches::new(records, batch_len, failed_windows),
            dropped: Vec::new(),
            failed: Vec::new(),
            any_written: false,
            unknown: 0,
            failed_in_a_row: 0,
            split_in_a_row: 0,
        }
    }

    fn on_ended(&mut self, batch: Batch, outcome: Outcome) {
        match outcome {
            Outcome::Each(outcomes) => self.on_answered(&batch, outcomes),
            // That says nothing of the rest of the store, for good or bad.
            Outcome::Unknown(kind) => {
                self.settle_each(&batch, vec![RecordOutcome::Unknown(kind); batch.len()]);
            }
            Outcome::Split => {
                self.split_in_a_row += 1;
                let cause = "the store fails on a record of the batch".to_owned();
                self.failed.extend(self.batches.split(batch).map(|batch| (batch, cause)));
            }
            Outcome::Alone(cause) => {
                self.failed_in_a_row += 1;
                for held in &batch {
                    let fate = failed_alone(self.writer, held, &cause);
                    self.decide(held, fate);
                }
            }
            Outcome::Failed(cause) => {
                self.failed_in_a_row += 1;
                self.failed.push((batch, cause));
            }
        }
    }

    fn on_answered(&mut self, batch: &Batch, outcomes: Vec<RecordOutcome>) {
        (self.any_written, self.failed_in_a_row, self.split_in_a_row) = (true, 0, 0);
        self.batches.on_written();
        if let Some(kind) = self.settle_each(batch, outcomes) {
            self.writer.backend.failed_in_part(StoreCall::Insert, kind);
        }
    }

    /// Gives records their fates; the gravest of the causes why the store could say nothing of some.
    fn settle_each(&mut self, batch: &Batch, outcomes: Vec<RecordOutcome>) -> Option<StoreErrorKind> {
        let mut unknown = None;
        for (held, outcome) in batch.iter().zip(outcomes) {
            if let RecordOutcome::Unknown(kind) = outcome {
                unknown = gravest(unknown.into_iter().chain([kind]));
                self.unknown += 1;
            }
            let fate = settle(self.writer, held, outcome);
            self.decide(held, fate);
        }
        unknown
    }

    fn decide(&mut self, held: &InHand, fate: Fate) {
        self.fates[held.place] = fate;
        if fate == Fate::Dropped {
            self.dropped.push(held.record.clone());
        }
    }

    /// Gives the records of failed batches their fates, and all of them back to the queue.
    fn finish(mut self) -> Written {
        for (batch, cause) in std::mem::take(&mut self.failed) {
            for held in &batch {
                let fate = again(self.writer, held, batch.len() == 1, self.any_written, &cause);
                self.decide(held, fate);
            }
        }
        if !self.any_written {
            self.fates.iter_mut().for_each(waits_for_all);
        }
        self.writer.queue.finish_window(&self.fates);
        for record in &self.dropped {
            self.writer.readers.retract(record);
            self.writer.forget(record);
        }
        match self.any_written {
            true => Written::Whole,
            false if 2 * self.unknown > self.fates.len() => Written::NothingKnown,
            false => Written::Nothing,
        }
    }
}

/// Counts what became of a record, and says whether it is tried again.
fn settle(writer: &Writer, held: &InHand, outcome: RecordOutcome) -> Fate {
    let (stats, reports) = (&writer.backend.stats.writes, &writer.backend.reports);
    match outcome {
        RecordOutcome::Taken => {
            add(&stats.written, 1);
            Fate::Done
        }
        RecordOutcome::NoRoom => {
            add(&stats.dropped_no_room, 1);
            reports.no_room();
            Fate::Dropped
        }
        RecordOutcome::Refused(cause) => {
            add(&stats.dropped_refused, 1);
            reports.refused(&cause);
            Fate::Dropped
        }
        // A part of the store does not answer: the record waits for it, however long, as long as anybody could read it and the
        // queue has room.
        _ if held.record.expires <= writer.clock.sure_date() => {
            add(&stats.dropped_after_retries, 1);
            reports.gave_up("it has expired, and the store could not say whether it has it");
            Fate::Dropped
        }
        _ => {
            add(&stats.retried, 1);
            Fate::Away(held.tries)
        }
    }
}

/// Where the store took nothing else, no part of it is known to be there: the record waits with all others.
fn waits_for_all(fate: &mut Fate) {
    if let Fate::Away(tries) = *fate {
        *fate = Fate::Again(tries);
    }
}

/// A record on which the store panicked, or broke its contract, while it was given nothing else. Whether the store would
/// fail on any other cannot be told on an idle node, so that the tries are counted and the record is dropped after the
/// last of them.
fn failed_alone(writer: &Writer, held: &InHand, cause: &str) -> Fate {
    let failures = held.tries.failures.saturating_add(1);
    if u32::from(failures) > writer.limits.write_retries {
        return give_up(writer, cause);
    }
    add(&writer.backend.stats.writes.retried, 1);
    Fate::Again(Tries { failures })
}

/// A record whose batch failed. Where the store took others, it may be the cause: it is tried in smaller and smaller
/// batches, and dropped when it has failed too often alone. Where it took none, the store is the cause, and the record
/// waits as it is.
fn again(writer: &Writer, held: &InHand, alone: bool, others_written: bool, cause: &str) -> Fate {
    let failures = held.tries.failures.saturating_add(u16::from(others_written));
    if alone && others_written && u32::from(failures) > writer.limits.write_retries {
        return give_up(writer, cause);
    }
    add(&writer.backend.stats.writes.retried, 1);
    Fate::Again(Tries { failures })
}

fn give_up(writer: &Writer, cause: &str) -> Fate {
    add(&writer.backend.stats.writes.dropped_after_retries, 1);
    writer.backend.reports.gave_up(cause);
    Fate::Dropped
}
