//! Value records of a store that is opened later.

use super::LateStore;
use hydra_api::{
    FoundValue, Purged, PutOutcome, StoreError, UnixSeconds, ValueEstimate, ValueKey, ValuePut, ValueStore,
    async_trait,
};
use std::num::NonZeroU32;
use std::sync::Arc;

impl LateStore {
    fn value_store(&self, operation: &'static str) -> Result<&dyn ValueStore, StoreError> {
        self.store(operation)?.values().ok_or_else(|| StoreError::not_supported(operation))
    }
}

#[async_trait]
impl ValueStore for LateStore {
    async fn get(&self, keys: Arc<[ValueKey]>, now: UnixSeconds) -> Result<Vec<FoundValue>, StoreError> {
        self.value_store("get")?.get(keys, now).await
    }

    async fn put_if(&self, batch: Arc<[ValuePut]>, now: UnixSeconds) -> Result<Vec<PutOutcome>, StoreError> {
        self.value_store("put_if")?.put_if(batch, now).await
    }

    async fn purge_values(&self, now: UnixSeconds, limit: NonZeroU32) -> Result<Purged, StoreError> {
        self.value_store("purge_values")?.purge_values(now, limit).await
    }

    async fn estimate_values(&self) -> Result<ValueEstimate, StoreError> {
        self.value_store("estimate_values")?.estimate_values().await
    }

    async fn delete_values(&self, keys: Arc<[ValueKey]>) -> Result<u64, StoreError> {
        self.value_store("delete_values")?.delete_values(keys).await
    }
}
