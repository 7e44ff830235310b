//! Calls that were made up before the store was open, and are longer than it takes. The engine takes up the lengths of the
//! open store a moment later.

use hydra_api::{
    ContentKey, Found, Inserted, ProviderRecord, ProviderStore, RecordOutcome, StoreError, UnixSeconds,
};
use std::num::NonZeroU32;
use std::sync::Arc;

/// Inserts a batch in pieces that the store takes. An error is one of the whole batch; inserts are idempotent.
pub(super) async fn insert(
    store: &dyn ProviderStore,
    batch: Arc<[ProviderRecord]>,
    now: UnixSeconds,
) -> Result<Inserted, StoreError> {
    let len_max = store.profile().writes.batch_len_max.get();
    if batch.len() <= len_max {
        return store.insert(batch, now).await;
    }
    let mut outcomes = Vec::with_capacity(batch.len());
    for piece in batch.chunks(len_max) {
        match store.insert(piece.into(), now).await? {
            Inserted::All => outcomes.extend(std::iter::repeat_n(RecordOutcome::Taken, piece.len())),
            Inserted::Each(each) => outcomes.extend(each),
        }
    }
    Ok(Inserted::of(outcomes))
}

/// Reads keys in pieces that the store takes.
pub(super) async fn providers(
    store: &dyn ProviderStore,
    keys: Arc<[ContentKey]>,
    now: UnixSeconds,
    limit: NonZeroU32,
) -> Result<Vec<Found>, StoreError> {
    let len_max = store.profile().reads.batch_len_max.get();
    if keys.len() <= len_max {
        return store.providers(keys, now, limit).await;
    }
    let mut found = Vec::with_capacity(keys.len());
    for piece in keys.chunks(len_max) {
        found.extend(store.providers(piece.into(), now, limit).await?);
    }
    Ok(found)
}
