//! The value records of the store as the node calls for them.

use super::Sled;
use crate::keeper::Call;
use hydra_api::value::{FoundValue, PutOutcome, ValueEstimate, ValueKey, ValuePage, ValuePut};
use hydra_api::{Cursor, Purged, StoreError, UnixSeconds, ValueStore, async_trait};
use hydra_embedded::ScanPlace;
use std::num::NonZeroU32;
use std::sync::Arc;

/// Marks a cursor as one of the value records of this kind of store.
const TAG: u8 = b'S';

#[async_trait]
impl ValueStore for Sled {
    async fn get(&self, keys: Arc<[ValueKey]>, now: UnixSeconds) -> Result<Vec<FoundValue>, StoreError> {
        let keeper = Arc::clone(&self.keeper);
        self.read("get", move |engine| keeper.values(engine, &keys, now)).await
    }

    async fn put_if(&self, batch: Arc<[ValuePut]>, now: UnixSeconds) -> Result<Vec<PutOutcome>, StoreError> {
        let keeper = Arc::clone(&self.keeper);
        self.write("put_if", move |engine| keeper.put_values(engine, &batch, now)).await
    }

    async fn purge_values(&self, now: UnixSeconds, limit: NonZeroU32) -> Result<Purged, StoreError> {
        self.write("purge_values", move |engine| engine.purge_values(now, limit.get().into())).await
    }

    async fn estimate_values(&self) -> Result<ValueEstimate, StoreError> {
        Ok(self.keeper.engine("estimate_values", Call::Read)?.values.tally.estimate())
    }

    async fn delete_values(&self, keys: Arc<[ValueKey]>) -> Result<u64, StoreError> {
        let keeper = Arc::clone(&self.keeper);
        self.write("delete_values", move |engine| keeper.delete_values(engine, &keys)).await
    }

    async fn scan_values(
        &self,
        from: Option<Cursor>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<ValuePage, StoreError> {
        self.keeper.engine("scan_values", Call::Read)?;
        let place = |cursor| ScanPlace::of_cursor(&cursor, TAG);
        let from = from.map(place).transpose().map_err(|_| StoreError::foreign_cursor("scan_values"))?;
        let limit = limit.get() as usize;
        self.read("scan_values", move |engine| engine.value_page(from, now, limit, TAG)).await
    }
}
