//! The store as the node calls it.

mod values;

use crate::config::Config;
use crate::engine::Engine;
use crate::fault::Fault;
use crate::keeper::{Call, Keeper};
use crate::open;
use crate::purge::Done;
use crate::scan;
use hydra_api::{
    ContentKey, Cursor, Deleted, Deletion, Durability, Estimate, EstimateMethod, Found, Inserted, OpenError,
    Page, Plugin, ProviderRecord, ProviderStore, Purged, Purpose, Scope, Store, StoreError, StoreErrorKind,
    StoreProfile, UnixSeconds, ValueStore, async_trait,
};
use hydra_embedded::{Fault as EngineFault, Lock, Opened, ScanPlace, guarded};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

const BATCH_LEN_MAX: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// The part of the time of a close that is not for the list of checksums: a quarter. A list that is late would make a clean close fail.
const CLOSE_SHARE: u32 = 4;

/// Keeps records in a directory. See the README for its bill, and for what a crash may cost.
#[derive(Debug)]
pub struct Sled {
    profile: StoreProfile,
    keeper: Arc<Keeper>,
    /// Held by each read until it has ended, whether anybody waits for it or not.
    reads: Arc<Semaphore>,
    write_max: Duration,
    /// How far the purge has come; taken under the permit for writes alone.
    done: Arc<Mutex<Done>>,
    /// What purges lower later expiries to.
    latest: AtomicU32,
    /// The directory, if there was nothing in it.
    new_in: Option<PathBuf>,
    /// The lock on the directory, let go when all is closed.
    lock: Arc<tokio::sync::Mutex<Option<Lock>>>,
}

impl Plugin for Sled {
    type Role = Store;
    type Config = Config;
    const KIND: &'static str = "sled";
    const SUMMARY: &'static str =
        "keeps records in a directory, in sled 0.34; takes more memory than fjall and loses more in a crash";

    async fn open(config: Config, scope: &Scope) -> Result<Arc<dyn ProviderStore>, OpenError> {
        let (dir, profile, purpose) = (scope.resolve(&config.dir), profile(&config), scope.purpose());
        let open = move |dir: &Path| Self::open_blocking(purpose, dir, &config);
        hydra_embedded::open_for(purpose, dir, open::ENGINE, profile, open).await
    }
}

impl Sled {
    fn open_blocking(purpose: Purpose, dir: &Path, config: &Config) -> Result<Self, OpenError> {
        let Opened { files: engine, damage, lock, is_new } =
            hydra_embedded::open(purpose, dir, open::ENGINE, |rows| open::files(dir, config, rows))?;
        Ok(Self {
            profile: profile(config),
            keeper: Arc::new(Keeper::new(dir.to_owned(), config.clone(), damage, engine)),
            reads: Arc::new(Semaphore::new(config.reads_max().get())),
            write_max: config.write_max(),
            done: Arc::new(Mutex::new(Done::new())),
            latest: AtomicU32::new(u32::MAX),
            new_in: is_new.then(|| dir.to_owned()),
            lock: Arc::new(tokio::sync::Mutex::new(Some(lock))),
        })
    }

    /// Runs a call on a thread that may block, under a permit that is given back when it has ended. A panic of sled is
    /// an error of this call.
    async fn blocking<T: Send + 'static>(
        &self,
        operation: &'static str,
        kind: Call,
        permit: OwnedSemaphorePermit,
        call: impl FnOnce(&Engine) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let engine = self.keeper.engine(operation, kind)?;
        let keeper = Arc::clone(&self.keeper);
        let ended = tokio::task::spawn_blocking(move || {
            let result = guarded(|| call(&engine).map_err(|Fault(fault)| fault));
            let result = result.map_err(|fault| keeper.failed(&engine, fault, operation));
            // In this order: when all permits are free, nobody uses the engine.
            drop(engine);
            drop(permit);
            result
        });
        ended.await.unwrap_or_else(|cause| Err(EngineFault::Panic(cause.to_string()).into_error(operation)))
    }

    /// Runs a read when one of the permits for reads is free.
    async fn read<T: Send + 'static>(
        &self,
        operation: &'static str,
        call: impl FnOnce(&Engine) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.keeper.engine(operation, Call::Read)?;
        let permit = Arc::clone(&self.reads).acquire_owned().await;
        let permit = permit.map_err(|_| StoreError::closed(operation))?;
        self.blocking(operation, Call::Read, permit, call).await
    }

    /// Runs a write when those before it have ended. No caller waits for longer than a write may take.
    async fn write<T: Send + 'static>(
        &self,
        operation: &'static str,
        call: impl FnOnce(&Engine) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.keeper.engine(operation, Call::Write)?;
        let written = async {
            let permit = Arc::clone(&self.keeper.writes).acquire_owned().await;
            let permit = permit.map_err(|_| StoreError::closed(operation))?;
            self.blocking(operation, Call::Write, permit, call).await
        };
        let ended = tokio::time::timeout(self.write_max, written).await;
        ended.unwrap_or_else(|_| Err(stuck(operation)))
    }
}

fn profile(config: &Config) -> StoreProfile {
    StoreProfile::builder()
        .concurrency_max(config.reads_max())
        // Sled lets nobody read during a write, and writes one at a time.
        .write_concurrency_max(NonZeroUsize::MIN)
        .read_batch_len_max(BATCH_LEN_MAX)
        .write_batch_len_max(BATCH_LEN_MAX)
        // The timer may just have missed a write, and then takes as long again to come round.
        .durability(Durability::SurvivesRestart { window: 2 * config.flush_interval() })
        .build()
}

fn stuck(operation: &'static str) -> StoreError {
    StoreError::because(StoreErrorKind::Unavailable, operation, "a write has not returned")
}

#[async_trait]
impl ProviderStore for Sled {
    fn profile(&self) -> StoreProfile {
        self.profile
    }

    fn remarks(&self) -> Vec<String> {
        hydra_embedded::remarks(self.new_in.as_deref())
    }

    async fn insert(&self, batch: Arc<[ProviderRecord]>, now: UnixSeconds) -> Result<Inserted, StoreError> {
        let keeper = Arc::clone(&self.keeper);
        self.write("insert", move |engine| keeper.insert(engine, &batch, now)).await
    }

    async fn providers(
        &self,
        keys: Arc<[ContentKey]>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Vec<Found>, StoreError> {
        let (keeper, limit) = (Arc::clone(&self.keeper), limit.get() as usize);
        self.read("providers", move |engine| keeper.providers(engine, &keys, now, limit)).await
    }

    async fn purge_expired(&self, now: UnixSeconds, limit: NonZeroU32) -> Result<Purged, StoreError> {
        let (done, latest) = (Arc::clone(&self.done), UnixSeconds(self.latest.load(Ordering::Relaxed)));
        self.write("purge_expired", move |engine| {
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            engine.purge(&mut done, now, latest, limit.get().into())
        })
        .await
    }

    fn unknown_because(&self) -> Option<String> {
        self.keeper.unreadable_because()
    }

    fn expire_by(&self, latest: UnixSeconds) {
        self.latest.store(latest.0, Ordering::Relaxed);
    }

    async fn delete(&self, deletion: Deletion, limit: NonZeroU32) -> Result<Deleted, StoreError> {
        let (keeper, limit) = (Arc::clone(&self.keeper), limit.get() as usize);
        self.write("delete", move |engine| keeper.delete(engine, deletion, limit)).await
    }

    async fn scan(
        &self,
        from: Option<Cursor>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Page, StoreError> {
        self.keeper.engine("scan", Call::Read)?;
        let from = from.map(|cursor| ScanPlace::of_cursor(&cursor, scan::TAG)).transpose()?;
        self.read("scan", move |engine| engine.page(from, now, limit.get() as usize)).await
    }

    async fn estimate(&self) -> Result<Estimate, StoreError> {
        let records = self.keeper.engine("estimate", Call::Read)?.counts().records;
        Ok(Estimate::new(records, Duration::ZERO, EstimateMethod::Counted))
    }

    fn values(&self) -> Option<&dyn ValueStore> {
        Some(self)
    }

    /// # Cancel safety
    /// Once polled it runs to its end, whether it is waited for or not.
    async fn close(&self) -> Result<(), StoreError> {
        const OPERATION: &str = "close";
        self.keeper.refuse_calls();
        let mut lock = Arc::clone(&self.lock).lock_owned().await;
        if lock.is_none() {
            return Ok(());
        }
        let (reads, all) = (Arc::clone(&self.reads), self.profile.concurrency_max.get() as u32);
        let (keeper, write_max) = (Arc::clone(&self.keeper), self.write_max);
        let list_until = Instant::now() + write_max - write_max / CLOSE_SHARE;
        let closing = tokio::spawn(async move {
            let closed = tokio::time::timeout(write_max, async {
                // The last calls have ended when all permits are back. Nothing may open sled again while it closes.
                let writes = Arc::clone(&keeper.writes).acquire_owned().await;
                let permits = (reads.acquire_many_owned(all).await, writes);
                let (reply, replied) = oneshot::channel();
                // A thread of its own: sled waits without end for a thread of its own that has died, and a runtime
                // that is shut down waits for its blocking tasks.
                let thread = std::thread::Builder::new().name("records-close".to_owned());
                let thread = thread.spawn(move || {
                    let closed = keeper.close(list_until);
                    drop(permits);
                    drop(reply.send(closed));
                });
                thread.map_err(|cause| StoreError::because(StoreErrorKind::Unavailable, OPERATION, cause))?;
                replied.await.unwrap_or_else(|_| Err(StoreError::closed(OPERATION)))
            });
            // Until all has ended the directory stays locked.
            let closed = closed.await.map_err(|_| stuck(OPERATION))?;
            drop(lock.take());
            closed
        });
        closing
            .await
            .unwrap_or_else(|cause| Err(StoreError::because(StoreErrorKind::Unavailable, OPERATION, cause)))
    }
}

#[cfg(test)]
mod tests;
