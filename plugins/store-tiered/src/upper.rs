//! An upper tier: called within a time limit, and left alone while it fails.

use crate::health::{Change, Health};
use crate::marks::Marks;
use futures::FutureExt;
use hydra_api::{
    Causes, ContentKey, Found, Inserted, ProviderRecord, ProviderStore, Purged, RecordOutcome, StoreError,
    StoreErrorKind, UnixSeconds,
};
use std::future::Future;
use std::num::NonZeroU32;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// A tier above the last one.
#[derive(Debug)]
pub(crate) struct Upper {
    /// As the log calls it.
    name: String,
    store: Arc<OnceLock<OpenTier>>,
    /// Opens it later if it could not be opened at the start.
    opening: Option<AbortHandle>,
    /// The keys for which it answers.
    pub(crate) marks: Marks,
    health: Health,
}

/// A tier that is open.
#[derive(Debug)]
pub(crate) struct OpenTier {
    store: Arc<dyn ProviderStore>,
    /// One permit for each insert that it serves at a time: fills come in addition to the inserts of the node.
    inserts: Semaphore,
}

/// Whether an insert waits for its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It does, within its time limit.
    Wait,
    /// It is left out, also for a while after it found no room.
    Skip,
}

impl OpenTier {
    pub(crate) fn new(store: Arc<dyn ProviderStore>) -> Self {
        let inserts = store.profile().writes.concurrency_max.get().min(Semaphore::MAX_PERMITS);
        Self { store, inserts: Semaphore::new(inserts) }
    }
}

impl Upper {
    pub(crate) fn new(
        name: String,
        store: Arc<OnceLock<OpenTier>>,
        opening: Option<AbortHandle>,
        marks: Marks,
    ) -> Self {
        Self { name, store, opening, marks, health: Health::default() }
    }

    /// The store, if it is open and answers.
    pub(crate) fn in_use(&self) -> Option<&dyn ProviderStore> {
        self.open().filter(|_| self.health.is_well())
    }

    /// The store, if it is open.
    pub(crate) fn open(&self) -> Option<&dyn ProviderStore> {
        self.store.get().map(|open| &*open.store)
    }

    /// The live providers of each key, in order; nothing if the call failed or is not made.
    pub(crate) async fn providers(
        &self,
        keys: &[ContentKey],
        (now, limit): (UnixSeconds, NonZeroU32),
        time_max: Duration,
    ) -> Option<Vec<Found>> {
        let store = self.open().filter(|_| self.health.may_call())?;
        let call = async {
            let mut found = Vec::with_capacity(keys.len());
            for keys in keys.chunks(store.profile().reads.batch_len_max.get()) {
                let answer = store.providers(keys.into(), now, limit).await?;
                if answer.len() != keys.len() {
                    return Err(broken(
                        "providers",
                        "it answered for more or fewer keys than it was asked for",
                    ));
                }
                found.extend(answer);
            }
            Ok(found)
        };
        self.call(call, time_max).await.ok()
    }

    /// Whether each record is stored. None is if the call is not made.
    pub(crate) async fn insert(
        &self,
        records: &Arc<[ProviderRecord]>,
        now: UnixSeconds,
        time_max: Duration,
        turn: Turn,
    ) -> Vec<bool> {
        let mut taken = vec![false; records.len()];
        if records.is_empty() {
            return taken;
        }
        let Some(open) = self.store.get() else { return taken };
        let permit = match turn {
            Turn::Wait => None,
            Turn::Skip if self.health.may_fill() => match open.inserts.try_acquire() {
                Ok(permit) => Some(permit),
                Err(_) => return taken,
            },
            Turn::Skip => return taken,
        };
        if !self.health.may_call() {
            return taken;
        }
        let call = async {
            let _permit = match permit {
                Some(permit) => permit,
                None => open.inserts.acquire().await.map_err(|_| StoreError::closed("insert"))?,
            };
            let len_max = open.store.profile().writes.batch_len_max.get();
            for (place, chunk) in records.chunks(len_max).enumerate() {
                let batch = if chunk.len() == records.len() { Arc::clone(records) } else { chunk.into() };
                let inserted = open.store.insert(batch, now).await?;
                self.record(&inserted, &mut taken[place * len_max..][..chunk.len()])?;
            }
            Ok(())
        };
        let is_answered = self.call(call, time_max).await.is_ok();
        if turn == Turn::Skip && is_answered && !taken.contains(&true) {
            self.health.found_full();
        }
        // What was taken before a failure is taken.
        taken
    }

    fn record(&self, inserted: &Inserted, taken: &mut [bool]) -> Result<(), StoreError> {
        let outcomes = match inserted {
            Inserted::All => {
                taken.fill(true);
                return Ok(());
            }
            Inserted::Each(outcomes) => outcomes,
        };
        if outcomes.len() != taken.len() {
            return Err(broken("insert", "it reported more or fewer records than it was given"));
        }
        for (outcome, taken) in outcomes.iter().zip(taken) {
            *taken = *outcome == RecordOutcome::Taken;
        }
        // The first stands for all of the batch.
        match outcomes.iter().find(|outcome| **outcome != RecordOutcome::Taken) {
            None | Some(RecordOutcome::Taken) => {}
            Some(RecordOutcome::NoRoom) => self.health.untaken(&self.name, "it has no room"),
            Some(RecordOutcome::Refused(because)) => self.health.untaken(&self.name, because),
            Some(RecordOutcome::Unknown(kind)) => self.health.untaken(&self.name, kind.as_str()),
            Some(_) => self.health.untaken(&self.name, "for an unknown reason"),
        }
        Ok(())
    }

    /// A step of the purge; nothing if it failed or is not made.
    pub(crate) async fn purge_expired(
        &self,
        now: UnixSeconds,
        limit: NonZeroU32,
        time_max: Duration,
    ) -> Option<Purged> {
        let store = self.open().filter(|_| self.health.may_call())?;
        self.call(store.purge_expired(now, limit), time_max).await.ok()
    }

    /// Has a tier in use estimate its records. What comes of it says nothing of reads and writes.
    pub(crate) async fn estimate(&self, time_max: Duration) {
        if let Some(store) = self.in_use() {
            drop(timeout(time_max, AssertUnwindSafe(store.estimate()).catch_unwind()).await);
        }
    }

    /// Ends the store. An error is logged: nothing that counts is lost with an upper tier.
    pub(crate) async fn close(&self, time_max: Duration) {
        self.stop_opening();
        let Some(store) = self.open() else { return };
        let closed = timeout(time_max, AssertUnwindSafe(store.close()).catch_unwind()).await;
        let because = match closed {
            Ok(Ok(Ok(()))) => return,
            Ok(Ok(Err(error))) => Causes(&error).to_string(),
            Ok(Err(_)) => PANICKED.to_owned(),
            Err(_) => format!("no answer within {time_max:?}"),
        };
        tracing::warn!(tier = self.name, error = because, "cannot close an upper tier");
    }

    fn stop_opening(&self) {
        if let Some(opening) = &self.opening {
            opening.abort();
        }
    }

    /// Makes a call, and acts on how it ends.
    async fn call<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
        time_max: Duration,
    ) -> Result<T, Failed> {
        let because = match timeout(time_max, AssertUnwindSafe(call).catch_unwind()).await {
            Ok(Ok(Ok(answer))) => {
                self.health.answered(&self.name);
                return Ok(answer);
            }
            Ok(Ok(Err(error))) => {
                match error.kind() {
                    // It has answered, and does not take what it was given.
                    StoreErrorKind::Refused => {
                        self.health.answered(&self.name);
                        self.health.untaken(&self.name, &Causes(&error).to_string());
                        return Err(Failed);
                    }
                    // It may have lost what it had not written to its disk.
                    StoreErrorKind::Unavailable | StoreErrorKind::Corrupt => self.marks.distrust_all(),
                    _ => {}
                }
                Causes(&error).to_string()
            }
            Ok(Err(_)) => PANICKED.to_owned(),
            Err(_) => format!("no answer within {time_max:?}"),
        };
        if self.health.failed(&self.name, because) == Change::LeftAlone {
            self.marks.distrust_all();
        }
        Err(Failed)
    }
}

const PANICKED: &str = "it panicked";

/// A call that failed, which is logged.
#[derive(Debug)]
struct Failed;

fn broken(operation: &'static str, how: &'static str) -> StoreError {
    StoreError::because(StoreErrorKind::Unavailable, operation, how)
}

impl Drop for Upper {
    fn drop(&mut self) {
        self.stop_opening();
    }
}
