//! Writing a batch.

use crate::change::{Change, MARGIN_S};
use crate::keyspace::Keyspace;
use crate::layout::{self, Form, Layout, Name};
use crate::net::{Class, Fault, Request};
use crate::peers::{Peers, Written};
use crate::{plain, scripts};
use hydra_api::{ContentKey, Inserted, ProviderRecord, RecordOutcome, StoreError, UnixSeconds};
use hydra_remote::ProviderNews;
use std::collections::HashMap;
use std::sync::Arc;

/// Writes a batch: the rows of the peers first, then the records, one request for each bucket.
pub(crate) async fn insert(
    keys: &Arc<Keyspace>,
    peers: &Peers,
    batch: &[ProviderRecord],
    now: UnixSeconds,
) -> Result<Inserted, StoreError> {
    let layout = keys.layout();
    let written = peers.write(keys, &layout, ProviderNews::of_batch(batch), now).await;
    let mut outcomes = vec![RecordOutcome::Taken; batch.len()];
    let mut faults: Vec<Fault> = Vec::new();
    let mut changes: HashMap<ContentKey, Change> = HashMap::new();
    for (at, record) in batch.iter().enumerate().filter(|(_, record)| record.expires > now) {
        match written.get(&record.provider) {
            Some(Written::Done(fingerprint)) => {
                let change = changes.entry(record.key).or_insert_with(|| Change::new(record.key));
                change.places.push(at);
                change.providers.push((*fingerprint, record.expires));
            }
            Some(Written::Failed(fault)) => {
                outcomes[at] = outcome(fault);
                faults.push(fault.clone());
            }
            Some(Written::Foreign) | None => {
                outcomes[at] = RecordOutcome::Refused("another peer has the same fingerprint".into());
            }
        }
    }
    let changes: Arc<[Change]> = changes.into_values().collect();
    let results = match layout.form {
        Form::Buckets { .. } => write(keys, &layout, &changes, now).await,
        Form::Plain => write_to_the_end(Arc::clone(keys), &layout, &changes, now).await,
    };
    for (change, result) in changes.iter().zip(results) {
        if let Err(fault) = result {
            change.places.iter().for_each(|at| outcomes[*at] = outcome(&fault));
            faults.push(fault);
        }
    }
    let is_unknown = |outcome: &RecordOutcome| matches!(outcome, RecordOutcome::Unknown(_));
    if outcomes.iter().all(is_unknown)
        && let Some(fault) = faults.iter().find(|fault| !keys.fleet.is_in_part(fault))
    {
        return Err(fault.clone().into_error("insert"));
    }
    faults.iter().for_each(|fault| keys.fleet.log_in_part(fault));
    Ok(Inserted::of(outcomes))
}

/// Writes and counts without scripts, in a task of its own: of a call that is dropped the records would be there and uncounted for ever.
/// It lasts no longer than its requests may.
async fn write_to_the_end(
    keys: Arc<Keyspace>,
    layout: &Arc<Layout>,
    changes: &Arc<[Change]>,
    now: UnixSeconds,
) -> Vec<Result<(), Fault>> {
    let (layout, written) = (Arc::clone(layout), Arc::clone(changes));
    let task = tokio::spawn(async move { plain::write(&keys, &layout, &written, now).await });
    let ended = |_| changes.iter().map(|_| Err(Fault::nobody("the write has ended early"))).collect();
    task.await.unwrap_or_else(ended)
}

fn outcome(fault: &Fault) -> RecordOutcome {
    match fault.class {
        Class::OutOfMemory => RecordOutcome::NoRoom,
        _ => RecordOutcome::Unknown(fault.kind()),
    }
}

/// Writes the changes, one script for each bucket; a result for each change.
async fn write(
    keys: &Keyspace,
    layout: &Layout,
    changes: &[Change],
    now: UnixSeconds,
) -> Vec<Result<(), Fault>> {
    let mut buckets: HashMap<Name, Vec<usize>> = HashMap::new();
    for (at, change) in changes.iter().enumerate() {
        buckets.entry(layout.bucket(&change.key)).or_default().push(at);
    }
    let buckets: Vec<(Name, Vec<usize>)> = buckets.into_iter().collect();
    let request = |(bucket, places): &(Name, Vec<usize>)| {
        let count = layout.count(bucket.partition);
        let mut command = scripts::WRITE.call(&[&bucket.bytes, &count.bytes]);
        let latest = places.iter().map(|at| changes[*at].latest()).max().unwrap_or_default();
        command.arg(now.0).arg(MARGIN_S).arg(latest.0);
        for change in places.iter().map(|at| &changes[*at]) {
            command.arg(layout::field(&change.key)).arg(change.packed());
        }
        Request { slot: bucket.slot, command, script: Some(&scripts::WRITE) }
    };
    let requests: Vec<_> = buckets.iter().map(request).collect();
    let mut results: Vec<Result<(), Fault>> = changes.iter().map(|_| Ok(())).collect();
    for ((_, places), answer) in buckets.iter().zip(keys.fleet.send(&requests).await) {
        if let Err(fault) = answer {
            places.iter().for_each(|at| results[*at] = Err(fault.clone()));
        }
    }
    results
}
