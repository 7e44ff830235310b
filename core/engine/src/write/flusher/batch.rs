//! One insert, and how it ended.

use super::batches::Batch;
use crate::observe::{StoreCall, trace};
use crate::store::{Failure, Lane, gravest};
use crate::sync::add;
use crate::write::take::Writer;
use hydra_api::{Inserted, ProviderRecord, ProviderStore, RecordOutcome, StoreErrorKind};
use std::sync::Arc;

/// How the insert of a batch ended.
pub(super) enum Outcome {
    Each(Vec<RecordOutcome>),
    /// The store could say nothing of any record: the part that has them is away.
    Unknown(StoreErrorKind),
    /// A record of it may be the cause of a failure: in halves it is found.
    Split,
    /// Its only record may be the cause of this failure.
    Alone(String),
    /// So: the store may be the cause.
    Failed(String),
}

pub(super) async fn write_batch(writer: Arc<Writer>, batch: Batch) -> (Batch, Outcome) {
    let records: Arc<[ProviderRecord]> = batch.iter().map(|held| held.record.clone()).collect();
    let backend = &writer.backend;
    let permit = backend.gate.acquire(Lane::Writes).await;
    let now = writer.clock.read().unix;
    add(&backend.stats.writes.statements, 1);
    let span = trace::background(&backend.tracer, StoreCall::Insert, records.len());
    let (store, inserted, len) = (backend.store.clone(), records.clone(), records.len());
    let (queue, window) = (writer.queue.clone(), writer.queue.window());
    let call = async move {
        let inserted = checked(store.insert(inserted, now).await?, len, &*store)?;
        // Here, as nobody may wait for the call when the engine is closed.
        queue.settle(window, settled(&inserted, len));
        Ok(inserted)
    };
    let call = backend.start(permit, StoreCall::Insert, len, span, call, |outcome| outcome);
    let outcome = match call.await.unwrap_or(Err(Failure::PANICKED)) {
        Ok(Inserted::All) => {
            records.iter().for_each(|record| writer.recent.record(record, now));
            Outcome::Each(vec![RecordOutcome::Taken; len])
        }
        Ok(Inserted::Each(outcomes)) => {
            let each = records.iter().zip(&outcomes);
            let taken = each.filter(|(_, outcome)| **outcome == RecordOutcome::Taken);
            taken.for_each(|(record, _)| writer.recent.record(record, now));
            Outcome::Each(outcomes)
        }
        Err(failure) if failure.kind() == Some(StoreErrorKind::Refused) && len == 1 => {
            Outcome::Each(vec![RecordOutcome::Refused(failure.to_string().into())])
        }
        Err(Failure::Unknown(error, _)) => Outcome::Unknown(error.kind()),
        // A panic or a broken promise may be a record's doing, too.
        Err(failure) if matches!(failure.kind(), None | Some(StoreErrorKind::Refused)) => {
            if len > 1 {
                Outcome::Split
            } else {
                Outcome::Alone(failure.to_string())
            }
        }
        Err(failure) => Outcome::Failed(failure.to_string()),
    };
    (batch, outcome)
}

/// How many records of an insert have left for good.
fn settled(inserted: &Inserted, len: usize) -> usize {
    let Inserted::Each(outcomes) = inserted else { return len };
    outcomes.iter().filter(|outcome| !matches!(outcome, RecordOutcome::Unknown(_))).count()
}

/// One outcome for each record. An insert all of whose outcomes are open is a failure, of the gravest kind among them.
fn checked(inserted: Inserted, len: usize, store: &dyn ProviderStore) -> Result<Inserted, Failure> {
    let Inserted::Each(mut outcomes) = inserted else { return Ok(inserted) };
    if outcomes.len() != len {
        return Err(Failure::Broke("the store reported more or fewer records than it was given"));
    }
    // As an error of the whole call would: the store never takes it.
    for outcome in &mut outcomes {
        if *outcome == RecordOutcome::Unknown(StoreErrorKind::Refused) {
            *outcome = RecordOutcome::Refused("the store does not take it".into());
        }
    }
    let open = |outcome: &RecordOutcome| match outcome {
        RecordOutcome::Unknown(kind) => Some(*kind),
        _ => None,
    };
    let kinds: Option<Vec<_>> = outcomes.iter().map(open).collect();
    match kinds.and_then(gravest) {
        Some(kind) => Err(Failure::unknown(kind, StoreCall::Insert, store, outcomes.len())),
        None => Ok(Inserted::Each(outcomes)),
    }
}
