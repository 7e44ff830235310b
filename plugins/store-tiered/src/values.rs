//! Value records: in the last tier alone.
//!
//! What a put compares with must be what the next put compares with, at every process: so one tier decides, and the durability, the sharing
//! and the purge that the profile promises are those of the last one. An upper tier could hold copies for reads, which it would have to lose
//! at every put of any process; reads of value records are few, and the node's own cache stands before them.

use crate::store::Tiered;
use hydra_api::{
    Cursor, Expiry, FoundValue, PurgeProgress, Purged, PutOutcome, StoreError, UnixSeconds, ValueEstimate,
    ValueKey, ValuePage, ValuePut, ValueStore, async_trait,
};
use std::num::NonZeroU32;
use std::sync::Arc;

impl Tiered {
    fn last_values(&self, operation: &'static str) -> Result<&dyn ValueStore, StoreError> {
        self.open_for(operation)?;
        self.tiers.last.values().ok_or_else(|| StoreError::not_supported(operation))
    }
}

#[async_trait]
impl ValueStore for Tiered {
    async fn get(&self, keys: Arc<[ValueKey]>, now: UnixSeconds) -> Result<Vec<FoundValue>, StoreError> {
        self.last_values("get")?.get(keys, now).await
    }

    async fn put_if(&self, batch: Arc<[ValuePut]>, now: UnixSeconds) -> Result<Vec<PutOutcome>, StoreError> {
        self.last_values("put_if")?.put_if(batch, now).await
    }

    /// A purge is asked for if any tier needs one.
    async fn purge_values(&self, now: UnixSeconds, limit: NonZeroU32) -> Result<Purged, StoreError> {
        let last = self.last_values("purge_values")?;
        match self.tiers.last.profile().expiry {
            Expiry::ByPurge => last.purge_values(now, limit).await,
            Expiry::ByItself => Ok(Purged::new(0, PurgeProgress::Done)),
        }
    }

    async fn estimate_values(&self) -> Result<ValueEstimate, StoreError> {
        self.last_values("estimate_values")?.estimate_values().await
    }

    async fn delete_values(&self, keys: Arc<[ValueKey]>) -> Result<u64, StoreError> {
        self.last_values("delete_values")?.delete_values(keys).await
    }

    async fn scan_values(
        &self,
        from: Option<Cursor>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<ValuePage, StoreError> {
        self.last_values("scan_values")?.scan_values(from, now, limit).await
    }
}
