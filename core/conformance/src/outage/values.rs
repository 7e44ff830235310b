//! Value records, as many for each batch of provider records.

use super::{Cause, is_named};
use crate::given::NOW;
use crate::values::shop;
use hydra_api::{
    Causes, FoundValue, ProviderStore, PutOutcome, StoreError, StoreErrorKind, ValueKey, ValuePut,
};

/// Value records of a batch.
const VALUES: u64 = 20;

fn puts(number: u64) -> Vec<ValuePut> {
    (0..VALUES).map(|of| shop::put(number * VALUES + of, number * VALUES + of)).collect()
}

/// Puts the value records of a batch, if the store keeps any. A put that failed before may have stored them.
pub(super) async fn put(store: &dyn ProviderStore, number: u64) -> Result<(), StoreError> {
    let Some(values) = store.values() else { return Ok(()) };
    let puts = puts(number);
    let outcomes = values.put_if(puts.as_slice().into(), NOW).await?;
    let changed = outcomes.iter().filter(|outcome| **outcome == PutOutcome::Changed).count();
    let stored = outcomes.iter().filter(|outcome| **outcome == PutOutcome::Stored).count();
    if changed + stored == puts.len() && (changed == 0 || read(store, number).await? == Some(VALUES)) {
        return Ok(());
    }
    let how = format!("value records were not stored: {outcomes:?}");
    Err(StoreError::because(StoreErrorKind::Refused, "put_if", how))
}

/// How many value records of a batch are there, as they were put; `None` of a store that keeps none.
async fn read(store: &dyn ProviderStore, number: u64) -> Result<Option<u64>, StoreError> {
    let Some(values) = store.values() else { return Ok(None) };
    let puts = puts(number);
    let found = values.get(puts.iter().map(|put| put.key).collect(), NOW).await?;
    let is_there = |(put, found): &(&ValuePut, FoundValue)| matches!(found, FoundValue::Known(Some(record)) if *record == put.record);
    Ok(Some(puts.iter().zip(found).filter(is_there).count() as u64))
}

/// Demands that no value record is taken while the cause lasts, and that the error names it.
pub(super) async fn are_refused(store: &dyn ProviderStore, number: u64, cause: Cause) -> Result<(), String> {
    match put(store, number).await {
        Ok(()) if store.values().is_none() => Ok(()),
        Ok(()) => Err("a value record is taken while the cause is still there".to_owned()),
        Err(error) => is_named(&error, cause),
    }
}

/// Demands that the value records of the first batch are read, or cannot be for this cause.
pub(super) async fn are_read(store: &dyn ProviderStore, cause: Cause) -> Result<(), String> {
    match read(store, 0).await {
        Ok(None | Some(VALUES)) => Ok(()),
        Ok(Some(found)) => Err(format!("{found} of {VALUES} value records are read")),
        Err(error) if cause.leaves_reads() => {
            Err(format!("a read of value records fails: {}", Causes(&error)))
        }
        Err(error) => is_named(&error, cause),
    }
}

/// Reads that may fail: one of several keys fails for those alone that cannot be read. What is known is right.
pub(super) async fn fails_by_key(
    store: &dyn ProviderStore,
    acknowledged: u64,
    cause: Cause,
) -> Result<(), String> {
    let Some(values) = store.values() else { return Ok(()) };
    let keys: Vec<ValueKey> = (0..acknowledged.min(100)).map(|number| puts(number)[0].key).collect();
    match values.get(keys.as_slice().into(), NOW).await {
        Ok(found) => {
            for entry in found {
                match entry {
                    FoundValue::Known(None) => {
                        return Err("a value record that was acknowledged is not there".to_owned());
                    }
                    FoundValue::Unknown(kind) if kind != StoreErrorKind::Unavailable => {
                        return Err(format!("a key is unknown as {kind:?}"));
                    }
                    FoundValue::Known(Some(_)) | FoundValue::Unknown(_) => {}
                }
            }
        }
        Err(error) => {
            is_named(&error, cause)?;
            for key in keys {
                if matches!(values.get([key].into(), NOW).await.as_deref(), Ok([FoundValue::Known(_)])) {
                    return Err("a read of many keys fails, and one of them can be read".to_owned());
                }
            }
        }
    }
    Ok(())
}

/// Demands that the value records of these batches are there, and are counted.
pub(super) async fn are_there(
    store: &dyn ProviderStore,
    acknowledged: u64,
    when: &str,
) -> Result<(), String> {
    let Some(values) = store.values() else { return Ok(()) };
    for number in 0..acknowledged {
        let found = read(store, number).await.map_err(|error| Causes(&error).to_string())?;
        if found != Some(VALUES) {
            return Err(format!(
                "{when} batch {number} has {found:?} of {VALUES} value records, and was acknowledged"
            ));
        }
    }
    let estimate = values.estimate_values().await.map_err(|error| Causes(&error).to_string())?.records;
    // What failed may have been stored.
    let (low, high) = (acknowledged * VALUES, (acknowledged + 1) * VALUES);
    if (low..=high).contains(&estimate) {
        return Ok(());
    }
    Err(format!("{when} {estimate} value records are counted, not {low} to {high}"))
}

/// Demands that a read of a damaged store says so.
pub(super) async fn are_corrupt(store: &dyn ProviderStore) -> Result<(), String> {
    match read(store, 0).await {
        Ok(None) => Ok(()),
        Err(error) if error.kind() == StoreErrorKind::Corrupt => Ok(()),
        other => Err(format!("a read of value records of a damaged store: {other:?}")),
    }
}
