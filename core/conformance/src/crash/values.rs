//! Value records of a process that is killed: those of a batch with keys of their own, and one that each batch replaces.

use crate::check::{Broken, ensure};
use crate::given::NOW;
use crate::values::shop::{key, put, value};
use hydra_api::{FoundValue, ProviderStore, PutOutcome, ValueKey, ValuePut, ValueRecord, ValueStore};

/// Value records of a batch with keys of their own.
pub(super) const FRESH: u64 = 10;

/// The number of the key that each batch replaces the value of.
const REPLACED: u64 = 1;

fn fresh(batch: u64) -> Vec<ValuePut> {
    (0..FRESH).map(|of| put(1_000 + batch * FRESH + of, batch * FRESH + of)).collect()
}

/// Puts the value records of a batch, if the store keeps any.
pub(super) async fn put_batch(store: &dyn ProviderStore, batch: u64) -> Result<(), Broken> {
    let Some(values) = store.values() else { return Ok(()) };
    let seen = get(values, &[key(REPLACED)]).await?.pop().flatten().map(|record| record.value);
    let mut puts = fresh(batch);
    puts.push(ValuePut { seen, ..put(REPLACED, batch) });
    let outcomes = values.put_if(puts.as_slice().into(), NOW).await?;
    let all = outcomes.len() == puts.len() && outcomes.iter().all(|one| *one == PutOutcome::Stored);
    ensure!(all, "the only process that puts value records is told {outcomes:?}");
    Ok(())
}

/// How many value records of a batch are there with keys of their own. Each is as it was put.
pub(super) async fn there(values: &dyn ValueStore, batch: u64) -> Result<u64, Broken> {
    let puts = fresh(batch);
    let keys: Vec<_> = puts.iter().map(|put| put.key).collect();
    let mut there = 0;
    for (put, found) in puts.iter().zip(get(values, &keys).await?) {
        let whole = found.as_ref().is_none_or(|found| *found == put.record);
        ensure!(whole, "a value record of batch {batch} is neither stored nor not: {found:?}");
        there += u64::from(found.is_some());
    }
    Ok(there)
}

/// Which of these batches has put the value that all of them replace.
pub(super) async fn replaced_by(
    values: &dyn ValueStore,
    mut batches: impl DoubleEndedIterator<Item = u64>,
) -> Result<Option<u64>, Broken> {
    let Some(found) = get(values, &[key(REPLACED)]).await?.pop().flatten() else { return Ok(None) };
    let by = batches.rfind(|batch| value(*batch) == found.value);
    ensure!(by.is_some(), "the value that each batch replaces is of none: {found:?}");
    Ok(by)
}

async fn get(values: &dyn ValueStore, keys: &[ValueKey]) -> Result<Vec<Option<ValueRecord>>, Broken> {
    let found = values.get(keys.into(), NOW).await?;
    ensure!(found.len() == keys.len(), "{} entries for {} keys", found.len(), keys.len());
    let known = found.into_iter().map(|entry| match entry {
        FoundValue::Known(record) => Ok(record),
        FoundValue::Unknown(kind) => {
            Err(Broken::new(format!("a healthy store does not know a key: {kind:?}")))
        }
    });
    known.collect()
}
