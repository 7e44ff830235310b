//! The one thread that writes, behind a bounded queue.

use crate::config::Config;
use crate::keeper::Keeper;
use crate::watchdog::{self, Call, Pulse};
use fjall::PersistMode;
use hydra_api::value::{PutOutcome, ValueKey, ValuePut};
use hydra_api::{Causes, Deleted, Deletion, Inserted, ProviderRecord, Purged, StoreError, UnixSeconds};
use hydra_embedded::Lock;
use std::sync::Arc;
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
        latest: UnixSeconds,
        limit: u64,
        reply: Reply<Purged>,
    },
    Delete {
        deletion: Box<Deletion>,
        limit: u64,
        reply: Reply<Deleted>,
    },
    PutValues {
        batch: Arc<[ValuePut]>,
        now: UnixSeconds,
        reply: Reply<Vec<PutOutcome>>,
    },
    PurgeValues {
        now: UnixSeconds,
        limit: u64,
        reply: Reply<Purged>,
    },
    DeleteValues {
        keys: Arc<[ValueKey]>,
        reply: Reply<u64>,
    },
    Close {
        reply: Reply<()>,
    },
    #[cfg(test)]
    Call {
        call: Box<dyn FnOnce(&mut crate::engine::Engine) + Send>,
        reply: Reply<()>,
    },
}

/// The way to the writer.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) jobs: SyncSender<Job>,
    pub(crate) pulse: Arc<Pulse>,
}

impl Writer {
    /// Starts the thread and its watchdog. The directory stays locked until the thread has closed the engine, also if nobody waits
    /// for that any more.
    pub(crate) fn start(keeper: Keeper, config: &Config, lock: Lock) -> std::io::Result<Self> {
        // Twice the calls that the node makes at a time: those that nobody waits for any more are among them.
        let (jobs, queue) = sync_channel(2 * config.concurrency_max().get());
        let pulse = Pulse::new();
        let watchdog = watchdog::start(Arc::clone(&pulse), config.write_max())?;
        let (seen, interval, watched) =
            (Arc::clone(&pulse), config.sync_interval(), watchdog.thread().clone());
        let writer = thread::Builder::new().name("records-writer".to_owned()).spawn(move || {
            let closed = run(keeper, &queue, &seen, interval);
            seen.end(watchdog.thread());
            drop(lock);
            if let Some((reply, closed)) = closed {
                drop(reply.send(closed));
            }
        });
        writer.inspect_err(|_| pulse.end(&watched))?;
        Ok(Self { jobs, pulse })
    }
}

/// Works until the store is closed, or dropped; who waits for the close, and how it went.
fn run(
    mut keeper: Keeper,
    queue: &Receiver<Job>,
    pulse: &Pulse,
    sync_interval: Duration,
) -> Option<(Reply<()>, Result<(), StoreError>)> {
    let mut unsynced_since: Option<Instant> = None;
    loop {
        let sync_due_in = unsynced_since.map(|since| sync_interval.saturating_sub(since.elapsed()));
        let due_in = sync_due_in.into_iter().chain(keeper.reopening_due_in()).min();
        let job = match due_in {
            None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due_in) => queue.recv_timeout(due_in),
        };
        match job {
            Ok(Job::Close { reply }) => {
                return Some((reply, pulse.during(Call::Close, || keeper.close())));
            }
            Ok(job) => {
                if pulse.during(Call::Write, || work(&mut keeper, job)) == Wrote::Yes {
                    unsynced_since.get_or_insert_with(Instant::now);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            // The store was dropped without being closed.
            Err(RecvTimeoutError::Disconnected) => {
                if let Err(error) = pulse.during(Call::Close, || keeper.close()) {
                    tracing::error!(error = %Causes(&error), "the store was not closed cleanly");
                }
                return None;
            }
        }
        if unsynced_since.is_some_and(|since| since.elapsed() >= sync_interval) {
            unsynced_since = None;
            // A fault begins an outage, which is logged.
            let sync = || keeper.write("sync", |engine| engine.sync(PersistMode::SyncData));
            drop(pulse.during(Call::Write, sync));
        }
        pulse.during(Call::Reopening, || keeper.tend());
    }
}

/// Whether the journal has something to force onto the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrote {
    Yes,
    No,
}

fn work(keeper: &mut Keeper, job: Job) -> Wrote {
    // Nobody may wait for the reply any more; what was asked for is done all the same.
    match job {
        Job::Insert { batch, now, reply } => {
            answer(reply, || keeper.write("insert", |engine| engine.insert(&batch, now)))
        }
        Job::Purge { now, latest, limit, reply } => answer(reply, || {
            keeper.write("purge_expired", |engine| {
                engine.clock.set(now);
                engine.latest = latest;
                engine.purge(now, limit)
            })
        }),
        Job::Delete { deletion, limit, reply } => {
            answer(reply, || keeper.write("delete", |engine| engine.delete(*deletion, limit)))
        }
        Job::PutValues { batch, now, reply } => answer(reply, || keeper.put_values(&batch, now)),
        Job::PurgeValues { now, limit, reply } => {
            answer(reply, || keeper.write("purge_values", |engine| engine.purge_values(now, limit)))
        }
        Job::DeleteValues { keys, reply } => {
            answer(reply, || keeper.write("delete_values", |engine| engine.delete_values(&keys)))
        }
        #[cfg(test)]
        Job::Call { call, reply } => answer(reply, || {
            keeper.write("call", |engine| {
                call(engine);
                Ok(())
            })
        }),
        Job::Close { .. } => Wrote::No,
    }
}

fn answer<T>(reply: Reply<T>, write: impl FnOnce() -> Result<T, StoreError>) -> Wrote {
    let written = write();
    let wrote = if written.is_ok() { Wrote::Yes } else { Wrote::No };
    drop(reply.send(written));
    wrote
}
