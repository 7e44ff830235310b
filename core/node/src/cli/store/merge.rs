//! Value records that go to a store that may have others: the better one of each key stays.

use super::written::Written;
use crate::cli::Failure;
use hydra_api::{
    FoundValue, PutOutcome, StoreError, StoreErrorKind, UnixSeconds, ValueKey, ValuePut, ValueRecord,
    ValueStore,
};
use hydra_records::{Comparison, Entry, RecordKey, Timestamp};

/// How far a merge has come.
#[derive(Debug)]
pub(super) enum Merged {
    /// These are still to be merged: others have written meanwhile.
    Left(Vec<(ValueKey, ValueRecord)>),
    /// So are these, after a pause.
    Failed(Vec<(ValueKey, ValueRecord)>, StoreError),
    /// The store has no room for one of them.
    NoRoom,
}

/// Reads what the store has, and writes what is better; at most a batch of records, each key once.
pub(super) async fn merge(
    store: &dyn ValueStore,
    records: &[(ValueKey, ValueRecord)],
    written: &mut Written,
) -> Result<Merged, Failure> {
    let now = UnixSeconds::now();
    let found = match store.get(records.iter().map(|(key, _)| *key).collect(), now).await {
        Ok(found) if found.len() == records.len() => found,
        Ok(_) => return Err(miscounted()),
        Err(error) => return Ok(Merged::Failed(records.to_vec(), error)),
    };
    let (mut puts, mut left, mut failed) = (Vec::new(), Vec::new(), None);
    for ((key, record), found) in records.iter().zip(found) {
        match found {
            FoundValue::Known(held) if is_to_write(key, record, held.as_ref(), now) => {
                puts.push(ValuePut { key: *key, seen: held.map(|held| held.value), record: record.clone() });
            }
            // What the target has is as good.
            FoundValue::Known(_) => written.taken += 1,
            FoundValue::Unknown(kind) => {
                failed = Some(StoreError::new(kind, "get"));
                left.push((*key, record.clone()));
            }
        }
    }
    let outcomes = match store.put_if(puts.clone().into(), now).await {
        Ok(outcomes) if outcomes.len() == puts.len() => outcomes,
        Ok(_) => return Err(miscounted()),
        Err(error) => {
            left.extend(puts.into_iter().map(|put| (put.key, put.record)));
            return Ok(Merged::Failed(left, error));
        }
    };
    for (put, outcome) in puts.into_iter().zip(outcomes) {
        match outcome {
            PutOutcome::Stored => written.taken += 1,
            PutOutcome::Changed => left.push((put.key, put.record)),
            PutOutcome::NoRoom => return Ok(Merged::NoRoom),
            PutOutcome::Refused(why) => written.refuse(why.into_owned()),
            PutOutcome::Unknown(kind) => {
                failed = Some(StoreError::new(kind, "put_if"));
                left.push((put.key, put.record));
            }
            other => return Err(Failure::Failed(format!("an unknown outcome of a write: {other:?}"))),
        }
    }
    // A node writes all the time: what has changed is looked at again, as soon as an outage.
    let changed = || StoreError::new(StoreErrorKind::Overloaded, "put_if");
    Ok(match failed {
        Some(error) => Merged::Failed(left, error),
        None if left.len() == records.len() => Merged::Failed(left, changed()),
        None => Merged::Left(left),
    })
}

/// Whether a record takes the place of what the store has.
fn is_to_write(key: &ValueKey, record: &ValueRecord, held: Option<&ValueRecord>, now: UnixSeconds) -> bool {
    let Some(held) = held else { return true };
    if held.value == record.value {
        return record.expires > held.expires;
    }
    let entry = |record: &ValueRecord| {
        Entry::parse(&RecordKey::parse(key.as_bytes()).ok()?, record.value.clone()).ok()
    };
    match (entry(record), entry(held)) {
        (Some(entry), Some(held)) => {
            entry.compared_with(&held, Timestamp::from_unix_seconds(now.0.into())) == Comparison::Better
        }
        // What is no record gives way, and what is none does not take its place.
        (Some(_), None) => true,
        (None, _) => false,
    }
}

fn miscounted() -> Failure {
    Failure::Failed("the store answered for more or fewer value records than it was given".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydra_conformance::given::NOW;

    #[test]
    fn the_same_value_is_written_if_it_lives_longer() {
        let key = ValueKey::new(b"/ipns/x").unwrap();
        let record = |expires, value: &'static [u8]| ValueRecord {
            value: value.into(),
            received: NOW,
            expires: UnixSeconds(NOW.0 + expires),
        };
        let writes = |record: &ValueRecord, held: Option<&ValueRecord>| is_to_write(&key, record, held, NOW);
        assert!(writes(&record(10, b"a"), None));
        assert!(writes(&record(11, b"a"), Some(&record(10, b"a"))));
        assert!(!writes(&record(10, b"a"), Some(&record(10, b"a"))));
        assert!(!writes(&record(99, b"b"), Some(&record(10, b"a"))), "neither is a record");
    }
}
