//! The one thread that writes, behind a bounded queue.

use crate::config::Config;
use crate::fault::Fault;
use crate::filter::Clock;
use crate::layout::{self, Counts};
use crate::providers::{ByNumber, ByPeer};
use crate::purge::Pass;
use crate::watchdog::{self, Pulse};
use fjall::{Database, Keyspace, OwnedWriteBatch, PersistMode};
use hydra_api::{Inserted, ProviderRecord, Purged, StoreError, UnixSeconds};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

pub(crate) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the writer is asked to do.
pub(crate) enum Job {
    Insert {
        batch: Arc<[ProviderRecord]>,
        now: UnixSeconds,
        reply: Reply<Inserted>,
    },
    Purge {
        now: UnixSeconds,
        limit: u64,
        reply: Reply<Purged>,
    },
    Close {
        reply: Reply<()>,
    },
    #[cfg(test)]
    Call {
        call: Box<dyn FnOnce() + Send>,
        reply: Reply<()>,
    },
}

/// What the writer works on. It alone changes the keyspace.
pub(crate) struct Engine {
    pub(crate) db: Database,
    pub(crate) rows: Keyspace,
    pub(crate) counts: Counts,
    pub(crate) by_peer: ByPeer,
    pub(crate) by_number: Arc<ByNumber>,
    pub(crate) pass: Pass,
    pub(crate) providers_per_key_max: u64,
    pub(crate) clock: Clock,
    /// The count for those who ask.
    pub(crate) records: Arc<AtomicU64>,
    /// Told of damage, so that the next start begins anew.
    pub(crate) damage: crate::open::Damage,
}

impl Engine {
    /// Writes a batch and the counts that go with it to the journal. The system has it then: a crash of the process
    /// loses nothing of it.
    pub(crate) fn commit(&mut self, mut write: OwnedWriteBatch, counts: Counts) -> Result<(), Fault> {
        if write.is_empty() && counts == self.counts {
            return Ok(());
        }
        write.insert(&self.rows, layout::META, counts.encode());
        write.commit()?;
        self.counts = counts;
        self.records.store(counts.records, Ordering::Relaxed);
        Ok(())
    }

    /// Runs a call, turns a panic into a fault and takes note of damage.
    fn guarded<T>(
        &mut self,
        operation: &'static str,
        call: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let result = catch_unwind(AssertUnwindSafe(|| call(self)));
        let result = result.unwrap_or_else(|panic| Err(Fault::of_panic(&*panic)));
        result.map_err(|fault| self.damage.noted(fault).into_error(operation))
    }
}

/// The way to the writer.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) jobs: SyncSender<Job>,
    pub(crate) pulse: Arc<Pulse>,
}

impl Writer {
    /// Starts the thread and its watchdog.
    pub(crate) fn start(engine: Engine, config: &Config) -> std::io::Result<Self> {
        // Twice the calls that the node makes at a time: those that nobody waits for any more are among them.
        let (jobs, queue) = sync_channel(2 * config.concurrency_max().get());
        let pulse = Pulse::new();
        let watchdog = watchdog::start(Arc::clone(&pulse), config.write_max())?;
        let (seen, interval) = (Arc::clone(&pulse), config.sync_interval());
        thread::Builder::new().name("records-writer".to_owned()).spawn(move || {
            run(engine, &queue, &seen, interval);
            seen.end(watchdog.thread());
        })?;
        Ok(Self { jobs, pulse })
    }
}

fn run(mut engine: Engine, queue: &Receiver<Job>, pulse: &Pulse, sync_interval: Duration) {
    let mut unsynced_since = None;
    loop {
        let job = match unsynced_since {
            None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(since) => queue.recv_timeout(sync_interval.saturating_sub(Instant::elapsed(&since))),
        };
        match job {
            Ok(Job::Close { reply }) => {
                return drop(reply.send(pulse.during(|| close(engine))));
            }
            Ok(job) => {
                pulse.during(|| work(&mut engine, job));
                unsynced_since.get_or_insert_with(Instant::now);
            }
            Err(RecvTimeoutError::Timeout) => {}
            // The store was dropped without being closed.
            Err(RecvTimeoutError::Disconnected) => {
                if let Err(error) = pulse.during(|| close(engine)) {
                    tracing::error!(%error, "the record store was not closed well");
                }
                return;
            }
        }
        if unsynced_since.is_some_and(|since| since.elapsed() >= sync_interval) {
            unsynced_since = None;
            if let Err(error) =
                pulse.during(|| engine.guarded("sync", |engine| sync(engine, PersistMode::SyncData)))
            {
                tracing::error!(%error, "what was written may not be on the disk");
            }
        }
    }
}

fn work(engine: &mut Engine, job: Job) {
    // Nobody may wait for the reply any more; what was asked for is done all the same.
    match job {
        Job::Insert { batch, now, reply } => {
            engine.clock.tell(now);
            drop(reply.send(engine.guarded("insert", |engine| engine.insert(&batch, now))));
        }
        Job::Purge { now, limit, reply } => {
            engine.clock.tell(now);
            drop(reply.send(engine.guarded("purge_expired", |engine| engine.purge(now, limit))));
        }
        #[cfg(test)]
        Job::Call { call, reply } => {
            drop(reply.send(engine.guarded("call", |_| {
                call();
                Ok(())
            })));
        }
        Job::Close { .. } => {}
    }
}

fn sync(engine: &Engine, mode: PersistMode) -> Result<(), Fault> {
    Ok(engine.db.persist(mode)?)
}

/// Forces all onto the disk, and ends fjall's threads with the last handle to it.
fn close(mut engine: Engine) -> Result<(), StoreError> {
    let synced = engine.guarded("close", |engine| sync(engine, PersistMode::SyncAll));
    let ended = catch_unwind(AssertUnwindSafe(|| drop(engine)));
    synced.and(ended.map_err(|panic| Fault::of_panic(&*panic).into_error("close")))
}
