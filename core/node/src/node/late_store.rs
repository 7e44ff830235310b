//! A store that could not be opened at the start, and is opened as soon as it can be.

mod attempts;
mod cut;
#[cfg(test)]
mod tests;
mod values;

use crate::node::opening::AttemptError;
use crate::observe::store_opening::StoreOpening;
use attempts::{Shared, open_in_time};
use hydra_api::{
    ContentKey, Cursor, Deleted, Deletion, Durability, Estimate, Found, Inserted, Metric, Page,
    ProviderRecord, ProviderStore, Purged, ReconfigureError, Sharing, StoreError, StoreErrorKind,
    StoreProfile, UnixSeconds, ValueStore, async_trait,
};
use serde_json::Value;
use std::num::{NonZeroU32, NonZeroUsize};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;

/// What a store is taken to serve until it is open: what those over a network do. The first windows are cut by it, and cut
/// again if the store takes less.
const CONCURRENCY_MAX: NonZeroUsize = NonZeroUsize::new(8).unwrap();
const READ_BATCH_LEN_MAX: NonZeroUsize = NonZeroUsize::new(256).unwrap();
const WRITE_BATCH_LEN_MAX: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// One attempt to open the store. It may take as long as it takes.
pub(crate) type Opening =
    Pin<Box<dyn Future<Output = Result<Arc<dyn ProviderStore>, AttemptError>> + Send + 'static>>;

/// Every call fails until the store is open, so the node answers from its peer table and its cache, and keeps
/// announcements in its write queue.
#[derive(Debug)]
pub(crate) struct LateStore {
    shared: Arc<Shared>,
    task: AbortHandle,
}

/// The store is not open yet.
#[derive(Debug, thiserror::Error)]
#[error("the store is not open yet: {0}")]
struct NotOpen(String);

impl LateStore {
    /// Opens the store in the background, as often as it takes: `cause` says why it is not open, `within` is the time after which
    /// an attempt is late, `first` is one that is under way.
    pub(crate) fn new(
        cause: String,
        within: Duration,
        first: Option<Opening>,
        open: impl Fn() -> Opening + Send + Sync + 'static,
    ) -> Self {
        let shared = Shared::awaiting(cause);
        let task = tokio::spawn(open_in_time(Arc::clone(&shared), within, first, open)).abort_handle();
        Self { shared, task }
    }

    /// How far the opening is.
    pub(crate) fn opening(&self) -> StoreOpening {
        StoreOpening::of(Arc::clone(&self.shared.awaited))
    }

    /// A store that cannot be opened, for whatever reason, is away: what it keeps is damaged only if it says so once it is open.
    fn store(&self, operation: &'static str) -> Result<&dyn ProviderStore, StoreError> {
        self.shared.store().ok_or_else(|| {
            let why = NotOpen(self.shared.awaited.cause());
            StoreError::because(StoreErrorKind::Unavailable, operation, why)
        })
    }
}

impl Drop for LateStore {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[async_trait]
impl ProviderStore for LateStore {
    fn profile(&self) -> StoreProfile {
        let unknown = || {
            StoreProfile::builder()
                .concurrency_max(CONCURRENCY_MAX)
                .read_batch_len_max(READ_BATCH_LEN_MAX)
                .write_batch_len_max(WRITE_BATCH_LEN_MAX)
                .durability(Durability::SurvivesRestart { window: Duration::ZERO })
                .sharing(Sharing::BetweenProcesses)
                .build()
        };
        self.shared.store().map_or_else(unknown, |store| store.profile())
    }

    async fn insert(&self, batch: Arc<[ProviderRecord]>, now: UnixSeconds) -> Result<Inserted, StoreError> {
        cut::insert(self.store("insert")?, batch, now).await
    }

    async fn providers(
        &self,
        keys: Arc<[ContentKey]>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Vec<Found>, StoreError> {
        cut::providers(self.store("providers")?, keys, now, limit).await
    }

    fn expire_by(&self, latest: UnixSeconds) {
        if let Some(store) = self.shared.store() {
            store.expire_by(latest);
        }
    }

    fn unknown_because(&self) -> Option<String> {
        self.shared.store()?.unknown_because()
    }

    async fn purge_expired(&self, now: UnixSeconds, limit: NonZeroU32) -> Result<Purged, StoreError> {
        self.store("purge_expired")?.purge_expired(now, limit).await
    }

    async fn estimate(&self) -> Result<Estimate, StoreError> {
        self.store("estimate")?.estimate().await
    }

    async fn delete(&self, deletion: Deletion, limit: NonZeroU32) -> Result<Deleted, StoreError> {
        self.store("delete")?.delete(deletion, limit).await
    }

    async fn scan(
        &self,
        from: Option<Cursor>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Page, StoreError> {
        self.store("scan")?.scan(from, now, limit).await
    }

    /// Whether the store keeps value records is known once it is open: until then calls for them fail as all others do.
    fn values(&self) -> Option<&dyn ValueStore> {
        match self.shared.store() {
            Some(store) => store.values(),
            None => Some(self),
        }
    }

    fn metrics(&self) -> Vec<Metric> {
        self.shared.store().map_or_else(Vec::new, |store| store.metrics())
    }

    /// A store that was never opened has nothing to flush.
    async fn close(&self) -> Result<(), StoreError> {
        self.task.abort();
        match self.shared.store() {
            Some(store) => store.close().await,
            None => Ok(()),
        }
    }

    fn reconfigure(&self, table: Value) -> Result<(), ReconfigureError> {
        match self.shared.store() {
            Some(store) => store.reconfigure(table),
            None => Err(ReconfigureError::needs_restart()),
        }
    }
}
