//! The store as the node calls it.

use crate::config::Config;
use crate::fault::Fault;
use crate::open::{self, Damage, Engine, Opened};
use crate::purge::Done;
use hydra_api::{
    ContentKey, Durability, Estimate, EstimateMethod, Found, Inserted, OpenError, Plugin, ProviderRecord,
    ProviderStore, Purged, Scope, Store, StoreError, StoreErrorKind, StoreProfile, UnixSeconds, async_trait,
};
use std::fs::File;
use std::num::{NonZeroU32, NonZeroUsize};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

const BATCH_LEN_MAX: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// Keeps records in a directory. See the README for its bill, and for what a crash may cost.
#[derive(Debug)]
pub struct Sled {
    profile: StoreProfile,
    engine: RwLock<Option<Arc<Engine>>>,
    /// Held by each read until it has ended, whether anybody waits for it or not.
    reads: Arc<Semaphore>,
    /// The same for writes: one at a time.
    writes: Arc<Semaphore>,
    write_max: Duration,
    /// How far the purge has come; only who holds the permit for writes takes it.
    done: Arc<Mutex<Done>>,
    damage: Damage,
    /// The lock on the directory, let go when all is closed.
    lock: Arc<tokio::sync::Mutex<Option<File>>>,
}

impl Plugin for Sled {
    type Role = Store;
    type Config = Config;
    const KIND: &'static str = "sled";
    const SUMMARY: &'static str =
        "keeps records in a directory of this machine, over sled 0.34; see what it costs first";

    async fn open(config: Config, scope: &Scope) -> Result<Arc<dyn ProviderStore>, OpenError> {
        let dir = scope.resolve(&config.dir);
        let opened = tokio::task::spawn_blocking(move || Self::open_blocking(&dir, &config)).await;
        let store =
            opened.map_err(|cause| OpenError::unavailable("opening the records was ended", cause))??;
        Ok(Arc::new(store))
    }
}

impl Sled {
    fn open_blocking(dir: &Path, config: &Config) -> Result<Self, OpenError> {
        let Opened { engine, damage, lock } = open::open(dir, config)?;
        let reads_max = config.reads_max();
        Ok(Self {
            profile: StoreProfile::builder()
                .concurrency_max(reads_max)
                // Sled lets nobody read during a write, and writes one at a time.
                .write_concurrency_max(NonZeroUsize::MIN)
                .read_batch_len_max(BATCH_LEN_MAX)
                .write_batch_len_max(BATCH_LEN_MAX)
                // The timer may just have missed a write, and then takes as long again to come round.
                .durability(Durability::SurvivesRestart { window: 2 * config.flush_interval() })
                .build(),
            engine: RwLock::new(Some(Arc::new(engine))),
            reads: Arc::new(Semaphore::new(reads_max.get())),
            writes: Arc::new(Semaphore::new(1)),
            write_max: config.write_max(),
            done: Arc::new(Mutex::new(Done::new())),
            damage,
            lock: Arc::new(tokio::sync::Mutex::new(Some(lock))),
        })
    }

    fn engine(&self, operation: &'static str) -> Result<Arc<Engine>, StoreError> {
        let engine = self.engine.read().unwrap_or_else(PoisonError::into_inner).clone();
        engine.ok_or_else(|| StoreError::closed(operation))
    }

    /// Runs a call on a thread that may block, under a permit that is given back when it has ended. A panic of sled is
    /// an error of this call.
    async fn blocking<T: Send + 'static>(
        &self,
        operation: &'static str,
        permit: OwnedSemaphorePermit,
        call: impl FnOnce(&Engine) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let engine = self.engine(operation)?;
        let ended = tokio::task::spawn_blocking(move || {
            let result = catch_unwind(AssertUnwindSafe(|| call(&engine)));
            // In this order: who has all permits knows that nobody uses the engine.
            drop(engine);
            drop(permit);
            result.unwrap_or_else(|panic| Err(Fault::of_panic(&*panic)))
        });
        let result = ended.await.unwrap_or_else(|cause| Err(Fault::Panic(cause.to_string())));
        result.map_err(|fault| self.damage.noted(fault).into_error(operation))
    }

    /// Runs a write when those before it have ended. Nobody waits for longer than a write may take.
    async fn write<T: Send + 'static>(
        &self,
        operation: &'static str,
        call: impl FnOnce(&Engine) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let written = async {
            let permit = Arc::clone(&self.writes).acquire_owned().await;
            self.blocking(operation, permit.map_err(|_| StoreError::closed(operation))?, call).await
        };
        let ended = tokio::time::timeout(self.write_max, written).await;
        ended.unwrap_or_else(|_| Err(stuck(operation)))
    }
}

fn stuck(operation: &'static str) -> StoreError {
    StoreError::because(StoreErrorKind::Unavailable, operation, "a write has not returned")
}

#[async_trait]
impl ProviderStore for Sled {
    fn profile(&self) -> StoreProfile {
        self.profile
    }

    async fn insert(&self, batch: Arc<[ProviderRecord]>, now: UnixSeconds) -> Result<Inserted, StoreError> {
        const OPERATION: &str = "insert";
        self.engine(OPERATION)?;
        self.write(OPERATION, move |engine| engine.insert(&batch, now)).await
    }

    async fn providers(
        &self,
        keys: Arc<[ContentKey]>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Vec<Found>, StoreError> {
        const OPERATION: &str = "providers";
        self.engine(OPERATION)?;
        let permit = Arc::clone(&self.reads).acquire_owned().await;
        let permit = permit.map_err(|_| StoreError::closed(OPERATION))?;
        let limit = limit.get() as usize;
        self.blocking(OPERATION, permit, move |engine| engine.providers(&keys, now, limit)).await
    }

    async fn purge_expired(&self, now: UnixSeconds, limit: NonZeroU32) -> Result<Purged, StoreError> {
        const OPERATION: &str = "purge_expired";
        self.engine(OPERATION)?;
        let done = Arc::clone(&self.done);
        self.write(OPERATION, move |engine| {
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            engine.purge(&mut done, now, limit.get().into())
        })
        .await
    }

    async fn estimate(&self) -> Result<Estimate, StoreError> {
        let records = self.engine("estimate")?.counts().records;
        Ok(Estimate::new(records, Duration::ZERO, EstimateMethod::Counted))
    }

    /// # Cancel safety
    /// Once polled it runs to its end, whether it is waited for or not.
    async fn close(&self) -> Result<(), StoreError> {
        const OPERATION: &str = "close";
        let engine = self.engine.write().unwrap_or_else(PoisonError::into_inner).take();
        let mut lock = Arc::clone(&self.lock).lock_owned().await;
        if lock.is_none() {
            return Ok(());
        }
        let (reads, all) = (Arc::clone(&self.reads), self.profile.concurrency_max.get() as u32);
        let (writes, write_max) = (Arc::clone(&self.writes), self.write_max);
        let closing = tokio::spawn(async move {
            let closed = tokio::time::timeout(write_max, async {
                // The last calls have ended when all permits are back.
                drop((reads.acquire_many_owned(all).await, writes.acquire_owned().await));
                let (reply, replied) = oneshot::channel();
                // A thread of its own: sled waits without end for a thread of its own that has died, and a runtime
                // that is shut down waits for its blocking tasks.
                let thread = std::thread::Builder::new().name("records-close".to_owned());
                let thread = thread.spawn(move || drop(reply.send(end(engine))));
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

/// Writes what sled holds in memory, and ends its threads with the last handle; they force the file onto the disk.
fn end(engine: Option<Arc<Engine>>) -> Result<(), StoreError> {
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let flushed = engine.as_ref().map_or(Ok(0), |engine| engine.db.flush());
        drop(engine);
        flushed.map_err(Fault::from)
    }));
    let flushed = ended.unwrap_or_else(|panic| Err(Fault::of_panic(&*panic)));
    flushed.map(drop).map_err(|fault| fault.into_error("close"))
}

#[cfg(test)]
mod tests;
