//! A store that could not be opened at the start, and is opened as soon as it can be.

use hydra_api::{
    Causes, ContentKey, Cursor, Deleted, Deletion, Durability, Estimate, Found, Inserted, OpenError,
    OpenErrorKind, Page, ProviderRecord, ProviderStore, Purged, ReconfigureError, StoreError, StoreErrorKind,
    StoreProfile, UnixSeconds, async_trait,
};
use rand::RngExt;
use serde_json::Value;
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::sleep;

/// The pause between two attempts to open the store, give or take a quarter.
const PAUSE: Duration = Duration::from_secs(1);

/// One attempt to open the store.
pub(crate) type Opening =
    Pin<Box<dyn Future<Output = Result<Arc<dyn ProviderStore>, OpenError>> + Send + 'static>>;

/// Every call fails until the store is open, so the node answers from its peer table and its cache, and keeps
/// announcements in its write queue.
#[derive(Debug)]
pub(crate) struct LateStore {
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    store: OnceLock<Arc<dyn ProviderStore>>,
    /// Why the last attempt failed.
    failure: Mutex<Failure>,
}

#[derive(Debug, Clone, thiserror::Error)]
#[error("the store is not open yet: {causes}")]
struct Failure {
    causes: String,
    kind: StoreErrorKind,
}

impl Failure {
    fn of(error: &OpenError) -> Self {
        let kind = match error.kind() {
            OpenErrorKind::Corrupt => StoreErrorKind::Corrupt,
            _ => StoreErrorKind::Unavailable,
        };
        Self { causes: Causes(error).to_string(), kind }
    }
}

impl LateStore {
    /// Opens the store in the background, as often as it takes, after it failed with `error`.
    pub(crate) fn new(error: &OpenError, open: impl Fn() -> Opening + Send + Sync + 'static) -> Self {
        let failure = Failure::of(error);
        tracing::error!(error = failure.causes, "cannot open the store, serving without it and trying again");
        let shared = Arc::new(Shared { store: OnceLock::new(), failure: Mutex::new(failure) });
        let task = tokio::spawn(open_in_time(Arc::clone(&shared), open)).abort_handle();
        Self { shared, task }
    }

    fn store(&self, operation: &'static str) -> Result<&dyn ProviderStore, StoreError> {
        self.shared.store.get().map(|store| &**store).ok_or_else(|| {
            let failure = self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
            StoreError::because(failure.kind, operation, failure)
        })
    }
}

async fn open_in_time(shared: Arc<Shared>, open: impl Fn() -> Opening) {
    loop {
        let pause = PAUSE.mul_f64(rand::rng().random_range(0.75..1.25));
        sleep(pause).await;
        match open().await {
            Ok(store) => {
                tracing::info!("the store is open");
                let _first = shared.store.set(store);
                return;
            }
            Err(error) => {
                let failure = Failure::of(&error);
                let mut last = shared.failure.lock().unwrap_or_else(PoisonError::into_inner);
                if last.causes != failure.causes {
                    tracing::error!(error = failure.causes, "cannot open the store, trying again");
                    *last = failure;
                }
            }
        }
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
            let durability = Durability::SurvivesRestart { window: Duration::ZERO };
            StoreProfile::builder().durability(durability).build()
        };
        self.shared.store.get().map_or_else(unknown, |store| store.profile())
    }

    async fn insert(&self, batch: Arc<[ProviderRecord]>, now: UnixSeconds) -> Result<Inserted, StoreError> {
        self.store("insert")?.insert(batch, now).await
    }

    async fn providers(
        &self,
        keys: Arc<[ContentKey]>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Vec<Found>, StoreError> {
        self.store("providers")?.providers(keys, now, limit).await
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

    /// A store that was never opened has nothing to flush.
    async fn close(&self) -> Result<(), StoreError> {
        self.task.abort();
        match self.shared.store.get() {
            Some(store) => store.close().await,
            None => Ok(()),
        }
    }

    fn reconfigure(&self, table: Value) -> Result<(), ReconfigureError> {
        match self.shared.store.get() {
            Some(store) => store.reconfigure(table),
            None => Err(ReconfigureError::needs_restart()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydra_api::{Plugin, Scope, StoreErrorKind};
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_away_at_the_start_serves_once_it_is_there() {
        let error = || OpenError::unavailable("cannot connect", std::io::Error::other("refused"));
        let attempts = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&attempts);
        let late = LateStore::new(&error(), move || {
            let attempt = counted.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move {
                match attempt {
                    0..30 => Err(error()),
                    _ => {
                        let config = hydra_store_memory::Config::default();
                        hydra_store_memory::Memory::open(config, &Scope::new("unused")).await
                    }
                }
            })
        });
        let failed = late.estimate().await.unwrap_err();
        assert_eq!(failed.kind(), StoreErrorKind::Unavailable);
        assert!(Causes(&failed).to_string().ends_with("cannot connect: refused"), "{}", Causes(&failed));
        assert_eq!(late.profile().concurrency_max.get(), 1);

        sleep(Duration::from_secs(20)).await;
        assert!((15..=27).contains(&attempts.load(Ordering::Relaxed)), "about once in a second");
        sleep(Duration::from_secs(20)).await;
        assert!(late.estimate().await.is_ok());
        assert!(late.profile().concurrency_max.get() > 1, "it is the store's own");
        late.close().await.unwrap();
        assert!(late.estimate().await.is_err(), "the store is closed");
    }
}
