//! The value records of the store as the node calls for them.

use super::Fjall;
use crate::writer::Job;
use hydra_api::value::{FoundValue, PutOutcome, ValueEstimate, ValueKey, ValuePut};
use hydra_api::{Purged, StoreError, UnixSeconds, ValueStore, async_trait};
use std::num::NonZeroU32;
use std::sync::Arc;

#[async_trait]
impl ValueStore for Fjall {
    async fn get(&self, keys: Arc<[ValueKey]>, now: UnixSeconds) -> Result<Vec<FoundValue>, StoreError> {
        self.read("get", move |reader| reader.values(&keys, now)).await
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
}
