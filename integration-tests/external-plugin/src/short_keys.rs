//! A store that refuses long keys, and keeps everything else in another store.

use hydra_api::{
    ContentKey, Cursor, Deleted, Deletion, Estimate, Found, Inserted, Metric, Nested, OpenError, Page,
    Plugin, ProviderRecord, ProviderStore, Purged, ReconfigureError, RecordOutcome, Scope, Store, StoreError,
    StoreErrorKind, StoreProfile, UnixSeconds, Value, ValueStore, async_trait,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Default of [`ShortKeysConfig::key_bytes_max`]: the longest key that there is.
pub const KEY_BYTES_MAX_DEFAULT: u32 = ContentKey::LEN_MAX as u32;

/// `[store] kind = "short-keys"`: refuses records of long keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ShortKeysConfig {
    /// The limit of a key's length in bytes. Records of longer keys are refused and counted. A SHA-256 multihash has 34
    /// bytes; longer keys are mostly identity multihashes, which hold the content itself.
    #[schemars(range(min = 1, max = 80))]
    pub key_bytes_max: u32,
    /// The store that keeps the other records, a table like `[store]`.
    pub inner: Nested<Store>,
}

impl Default for ShortKeysConfig {
    fn default() -> Self {
        Self { key_bytes_max: KEY_BYTES_MAX_DEFAULT, inner: Nested::of("memory") }
    }
}

/// Refuses records of long keys, and keeps the others in another store.
#[derive(Debug)]
pub struct ShortKeys {
    key_bytes_max: AtomicUsize,
    inner: Arc<dyn ProviderStore>,
    /// How many records were refused.
    refused: AtomicU64,
    /// The table of the inner store as it was taken up last.
    inner_table: Mutex<Nested<Store>>,
}

impl Plugin for ShortKeys {
    type Role = Store;
    type Config = ShortKeysConfig;
    const KIND: &'static str = "short-keys";
    const SUMMARY: &'static str = "refuses records of long keys, and keeps the others in another store";

    async fn open(config: ShortKeysConfig, scope: &Scope) -> Result<Arc<dyn ProviderStore>, OpenError> {
        // The inner store is opened for the same purpose as this one, and names its wrong keys from `inner` down.
        let inner = scope.open("inner", &config.inner).await?;
        Ok(Arc::new(Self {
            key_bytes_max: AtomicUsize::new(config.key_bytes_max as usize),
            inner,
            refused: AtomicU64::new(0),
            inner_table: Mutex::new(config.inner),
        }))
    }
}

#[async_trait]
impl ProviderStore for ShortKeys {
    fn profile(&self) -> StoreProfile {
        self.inner.profile()
    }

    async fn insert(&self, batch: Arc<[ProviderRecord]>, now: UnixSeconds) -> Result<Inserted, StoreError> {
        let key_bytes_max = self.key_bytes_max.load(Ordering::Relaxed);
        let is_short = |record: &ProviderRecord| record.key.as_bytes().len() <= key_bytes_max;
        if batch.iter().all(is_short) {
            return self.inner.insert(batch, now).await;
        }
        let short: Arc<[_]> = batch.iter().filter(|record| is_short(record)).cloned().collect();
        self.refused.fetch_add((batch.len() - short.len()) as u64, Ordering::Relaxed);
        let mut kept = match self.inner.insert(short.clone(), now).await? {
            Inserted::All => vec![RecordOutcome::Taken; short.len()],
            Inserted::Each(outcomes) => outcomes,
        }
        .into_iter();
        let outcome = |record: &ProviderRecord| {
            if is_short(record) {
                // Should the inner store break its word and return too few, the record is tried again.
                kept.next().unwrap_or(RecordOutcome::Unknown(StoreErrorKind::Unavailable))
            } else {
                RecordOutcome::Refused("its key is longer than `key_bytes_max`".into())
            }
        };
        Ok(Inserted::of(batch.iter().map(outcome).collect()))
    }

    async fn providers(
        &self,
        keys: Arc<[ContentKey]>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Vec<Found>, StoreError> {
        self.inner.providers(keys, now, limit).await
    }

    async fn purge_expired(&self, now: UnixSeconds, limit: NonZeroU32) -> Result<Purged, StoreError> {
        self.inner.purge_expired(now, limit).await
    }

    fn expire_by(&self, latest: UnixSeconds) {
        self.inner.expire_by(latest);
    }

    async fn estimate(&self) -> Result<Estimate, StoreError> {
        self.inner.estimate().await
    }

    async fn delete(&self, deletion: Deletion, limit: NonZeroU32) -> Result<Deleted, StoreError> {
        self.inner.delete(deletion, limit).await
    }

    async fn scan(
        &self,
        from: Option<Cursor>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Page, StoreError> {
        self.inner.scan(from, now, limit).await
    }

    /// Value records have no long keys.
    fn values(&self) -> Option<&dyn ValueStore> {
        self.inner.values()
    }

    fn metrics(&self) -> Vec<Metric> {
        let refused = self.refused.load(Ordering::Relaxed);
        let mut metrics = self.inner.metrics();
        metrics.push(Metric::counter(
            "db_long_keys_refused_total",
            "Records refused for a long key.",
            refused,
        ));
        metrics
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.inner.close().await
    }

    fn reconfigure(&self, table: Value) -> Result<(), ReconfigureError> {
        let config: ShortKeysConfig = ReconfigureError::parse(table)?;
        let mut inner_table = self.inner_table.lock().unwrap_or_else(PoisonError::into_inner);
        if config.inner.kind() != inner_table.kind() {
            return Err(ReconfigureError::keys(["inner.kind"]));
        }
        if config.inner != *inner_table {
            self.inner.reconfigure(config.inner.table()).map_err(|error| error.below("inner"))?;
        }
        self.key_bytes_max.store(config.key_bytes_max as usize, Ordering::Relaxed);
        *inner_table = config.inner;
        Ok(())
    }
}
