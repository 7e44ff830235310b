//! The value records of the store as the node calls for them.

use super::Fjall;
use crate::writer::Job;
use hydra_api::value::{FoundValue, PutOutcome, ValueEstimate, ValueKey, ValuePage, ValuePut};
use hydra_api::{Cursor, Purged, StoreError, UnixSeconds, ValueStore, async_trait};
use hydra_embedded::ScanPlace;
use std::num::NonZeroU32;
use std::sync::Arc;

/// Marks a cursor as one of the value records of this kind of store.
const TAG: u8 = b'F';

#[async_trait]
impl ValueStore for Fjall {
    async fn get(&self, keys: Arc<[ValueKey]>, now: UnixSeconds) -> Result<Vec<FoundValue>, StoreError> {
        self.read_each("get", move |reader| reader.values(&keys, now)).await
    }

    async fn put_if(&self, batch: Arc<[ValuePut]>, now: UnixSeconds) -> Result<Vec<PutOutcome>, StoreError> {
        self.write("put_if", |reply| Job::PutValues { batch, now, reply }).await
    }

    async fn purge_values(&self, now: UnixSeconds, limit: NonZeroU32) -> Result<Purged, StoreError> {
        let limit = limit.get().into();
        self.write("purge_values", |reply| Job::PurgeValues { now, limit, reply }).await
    }

    async fn estimate_values(&self) -> Result<ValueEstimate, StoreError> {
        self.open_for("estimate_values")?;
        Ok(self.readers.reader("estimate_values")?.values.estimate())
    }

    async fn delete_values(&self, keys: Arc<[ValueKey]>) -> Result<u64, StoreError> {
        self.write("delete_values", |reply| Job::DeleteValues { keys, reply }).await
    }

    async fn scan_values(
        &self,
        from: Option<Cursor>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<ValuePage, StoreError> {
        self.open_for("scan_values")?;
        let place = |cursor| ScanPlace::of_cursor(&cursor, TAG);
        let from = from.map(place).transpose().map_err(|_| StoreError::foreign_cursor("scan_values"))?;
        let limit = limit.get() as usize;
        self.read("scan_values", move |reader| reader.value_page(from, now, limit, TAG)).await
    }
}
