//! The store as the node calls it.

mod values;

use crate::config::Config;
use crate::fault::Fault;
use crate::keeper::Keeper;
use crate::open;
use crate::read::{Answer, Reader};
use crate::readers::Readers;
use crate::scan;
use crate::watchdog::Pulse;
use crate::writer::{Job, Reply, Writer};
use hydra_api::{
    ContentKey, Cursor, Deleted, Deletion, Durability, Estimate, EstimateMethod, Found, Inserted, OpenError,
    Page, Plugin, ProviderRecord, ProviderStore, Purged, Purpose, Scope, Store, StoreError, StoreErrorKind,
    StoreProfile, UnixSeconds, ValueStore, async_trait,
};
use hydra_embedded::{Damage, Fault as EngineFault, Opened, ScanPlace};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::TrySendError;
use std::time::Duration;
use tokio::sync::oneshot::error::RecvError;
use tokio::sync::{Mutex, Semaphore, oneshot};

const BATCH_LEN_MAX: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
/// Records that one step of a deletion removes, whatever its limit: other writes wait for it.
const DELETED_MAX: u32 = 4096;

/// Keeps records in a directory. See the README for what a crash may cost.
#[derive(Debug)]
pub struct Fjall {
    profile: StoreProfile,
    writer: Writer,
    readers: Arc<Readers>,
    /// Held by each read until it has ended, whether anybody waits for it or not.
    reads: Arc<Semaphore>,
    records: Arc<AtomicU64>,
    damage: Damage,
    /// What purges lower later expiries to.
    latest: AtomicU32,
    closed: AtomicBool,
    /// The directory, if there was nothing in it.
    new_in: Option<PathBuf>,
    closing: Arc<Mutex<Closing>>,
}

/// How far the close is.
#[derive(Debug)]
enum Closing {
    Open,
    /// The writer closes the engine, as soon as it can.
    Asked(oneshot::Receiver<Result<(), StoreError>>),
    Closed,
}

impl Plugin for Fjall {
    type Role = Store;
    type Config = Config;
    const KIND: &'static str = "fjall";
    const SUMMARY: &'static str =
        "keeps records in a directory of this machine; survives restarts, needs no server";

    async fn open(config: Config, scope: &Scope) -> Result<Arc<dyn ProviderStore>, OpenError> {
        let (dir, profile, purpose) = (scope.resolve(&config.dir), profile(&config), scope.purpose());
        let open = move |dir: &Path| Self::open_blocking(purpose, dir, &config);
        hydra_embedded::open_for(purpose, dir, open::ENGINE, profile, open).await
    }
}

impl Fjall {
    fn open_blocking(purpose: Purpose, dir: &Path, config: &Config) -> Result<Self, OpenError> {
        let Opened { files: (engine, reader), damage, lock, is_new } =
            hydra_embedded::open(purpose, dir, open::ENGINE, |rows| open::files(dir, config, rows))?;
        let readers = Arc::new(Readers::new(reader));
        let keeper =
            Keeper::new(dir.to_owned(), config.clone(), damage.clone(), Arc::clone(&readers), engine);
        let records = keeper.records();
        let writer = Writer::start(keeper, config, lock)
            .map_err(|cause| OpenError::unavailable("cannot start the thread that writes records", cause))?;
        Ok(Self {
            profile: profile(config),
            writer,
            readers,
            reads: Arc::new(Semaphore::new(config.concurrency_max().get())),
            records,
            damage,
            latest: AtomicU32::new(u32::MAX),
            closed: AtomicBool::new(false),
            new_in: is_new.then(|| dir.to_owned()),
            closing: Arc::new(Mutex::new(Closing::Open)),
        })
    }

    fn open_for(&self, operation: &'static str) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Acquire) { Err(StoreError::closed(operation)) } else { Ok(()) }
    }

    /// Reads on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        operation: &'static str,
        read: impl FnOnce(&Reader) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.open_for(operation)?;
        let permit = Arc::clone(&self.reads).acquire_owned().await;
        let permit = permit.map_err(|_| StoreError::closed(operation))?;
        let reader = self.readers.reader(operation)?;
        let read = tokio::task::spawn_blocking(move || {
            let read = read(&reader);
            // In this order: when all permits are free, no reader is left.
            drop(reader);
            drop(permit);
            read
        });
        let read = read.await.unwrap_or_else(|cause| Err(Fault(EngineFault::Panic(cause.to_string()))));
        read.map_err(|Fault(fault)| self.damage.noted(fault).into_error(operation))
    }

    /// Reads keys, of which those are unknown that are damaged.
    async fn read_each<T: Send + 'static>(
        &self,
        operation: &'static str,
        read: impl FnOnce(&Reader) -> Result<Answer<T>, Fault> + Send + 'static,
    ) -> Result<Vec<T>, StoreError> {
        let Answer { found, damaged } = self.read(operation, read).await?;
        if let Some(Fault(damaged)) = damaged {
            self.damage.noted_in_part(damaged);
        }
        Ok(found)
    }

    /// Has the writer do something, and waits for it unless the writer is stuck.
    async fn write<T>(
        &self,
        operation: &'static str,
        job: impl FnOnce(Reply<T>) -> Job,
    ) -> Result<T, StoreError> {
        self.open_for(operation)?;
        let (reply, replied) = oneshot::channel();
        send(&self.writer, operation, job(reply))?;
        let replied = wait(&self.writer.pulse, replied).await;
        replied.unwrap_or_else(|| Err(stuck(&self.writer.pulse, operation)))
    }
}

fn profile(config: &Config) -> StoreProfile {
    StoreProfile::builder()
        .concurrency_max(config.concurrency_max())
        // One thread writes.
        .write_concurrency_max(NonZeroUsize::MIN)
        .read_batch_len_max(BATCH_LEN_MAX)
        .write_batch_len_max(BATCH_LEN_MAX)
        // An insert returns when the system has it: a crash of the process loses nothing.
        .durability(Durability::SurvivesRestart { window: Duration::ZERO })
        .build()
}

fn send(writer: &Writer, operation: &'static str, job: Job) -> Result<(), StoreError> {
    if writer.pulse.is_stuck() {
        return Err(stuck(&writer.pulse, operation));
    }
    writer.jobs.try_send(job).map_err(|error| match error {
        TrySendError::Full(_) => {
            StoreError::because(StoreErrorKind::Overloaded, operation, "the queue of the writer is full")
        }
        TrySendError::Disconnected(_) => StoreError::closed(operation),
    })
}

/// Waits for the writer, unless it is stuck.
async fn wait<T>(
    pulse: &Pulse,
    replied: impl Future<Output = Result<Result<T, StoreError>, RecvError>>,
) -> Option<Result<T, StoreError>> {
    let mut watch = pulse.watch();
    tokio::select! {
        biased;
        reply = replied => Some(reply.unwrap_or_else(|_| Err(StoreError::closed("write")))),
        _ = watch.wait_for(|stuck| *stuck) => None,
    }
}

fn stuck(pulse: &Pulse, operation: &'static str) -> StoreError {
    let cause = format!("{} has not returned", pulse.call().as_str());
    StoreError::because(StoreErrorKind::Unavailable, operation, cause)
}

#[async_trait]
impl ProviderStore for Fjall {
    fn profile(&self) -> StoreProfile {
        self.profile
    }

    fn remarks(&self) -> Vec<String> {
        hydra_embedded::remarks(self.new_in.as_deref())
    }

    async fn insert(&self, batch: Arc<[ProviderRecord]>, now: UnixSeconds) -> Result<Inserted, StoreError> {
        self.write("insert", |reply| Job::Insert { batch, now, reply }).await
    }

    async fn providers(
        &self,
        keys: Arc<[ContentKey]>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Vec<Found>, StoreError> {
        let read = move |reader: &Reader| reader.providers(&keys, now, limit.get() as usize);
        self.read_each("providers", read).await
    }

    async fn purge_expired(&self, now: UnixSeconds, limit: NonZeroU32) -> Result<Purged, StoreError> {
        let (latest, limit) = (UnixSeconds(self.latest.load(Ordering::Relaxed)), limit.get().into());
        self.write("purge_expired", |reply| Job::Purge { now, latest, limit, reply }).await
    }

    fn expire_by(&self, latest: UnixSeconds) {
        self.latest.store(latest.0, Ordering::Relaxed);
    }

    async fn delete(&self, deletion: Deletion, limit: NonZeroU32) -> Result<Deleted, StoreError> {
        let (deletion, limit) = (Box::new(deletion), u64::from(limit.get().min(DELETED_MAX)));
        self.write("delete", |reply| Job::Delete { deletion, limit, reply }).await
    }

    async fn scan(
        &self,
        from: Option<Cursor>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Page, StoreError> {
        self.open_for("scan")?;
        let from = from.map(|cursor| ScanPlace::of_cursor(&cursor, scan::TAG)).transpose()?;
        self.read("scan", move |reader| reader.page(from, now, limit.get() as usize)).await
    }

    fn unknown_because(&self) -> Option<String> {
        self.damage.in_part()
    }

    async fn estimate(&self) -> Result<Estimate, StoreError> {
        self.open_for("estimate")?;
        let records = self.records.load(Ordering::Relaxed);
        Ok(Estimate::new(records, Duration::ZERO, EstimateMethod::Counted))
    }

    fn values(&self) -> Option<&dyn ValueStore> {
        Some(self)
    }

    /// A writer that is stuck closes the engine when it has returned. Until then the directory stays locked, and the close fails.
    ///
    /// # Cancel safety
    /// Once polled it runs to its end, whether it is waited for or not.
    async fn close(&self) -> Result<(), StoreError> {
        const OPERATION: &str = "close";
        self.closed.store(true, Ordering::Release);
        self.readers.close();
        let mut closing = Arc::clone(&self.closing).lock_owned().await;
        let (reads, all) = (Arc::clone(&self.reads), self.profile.concurrency_max.get() as u32);
        let (jobs, pulse) = (self.writer.jobs.clone(), Arc::clone(&self.writer.pulse));
        let closed = tokio::spawn(async move {
            if matches!(*closing, Closing::Open) {
                // The last reads have ended when all permits are back; the writer then has the last handle.
                drop(reads.acquire_many_owned(all).await);
                let (reply, replied) = oneshot::channel();
                // A thread of its own: with a writer that is stuck and a full queue it never ends, and a runtime that is
                // shut down waits for its blocking tasks.
                let queued = std::thread::Builder::new()
                    .name("records-close".to_owned())
                    .spawn(move || jobs.send(Job::Close { reply }));
                queued.map_err(|cause| StoreError::because(StoreErrorKind::Unavailable, OPERATION, cause))?;
                *closing = Closing::Asked(replied);
            }
            let Closing::Asked(replied) = &mut *closing else { return Ok(()) };
            let closed = wait(&pulse, replied).await.ok_or_else(|| stuck(&pulse, OPERATION))?;
            *closing = Closing::Closed;
            closed
        });
        closed
            .await
            .unwrap_or_else(|cause| Err(StoreError::because(StoreErrorKind::Unavailable, OPERATION, cause)))
    }
}

#[cfg(test)]
mod tests;
