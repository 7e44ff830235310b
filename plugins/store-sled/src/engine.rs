//! What all calls share.

use crate::fault::Fault;
use crate::layout::{self, Counts, StoredProvider};
use crate::value_tree::Values;
use hydra_api::PeerId;
use hydra_embedded::{DamagedRow, ProviderCache};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

/// How long a flush may wait until it is looked whether sled forgot to wake it.
const NUDGE_PAUSE: Duration = Duration::from_secs(1);

/// What all calls share. Writes come one at a time.
pub(crate) struct Engine {
    pub(crate) db: sled::Db,
    pub(crate) rows: sled::Tree,
    pub(crate) values: Values,
    pub(crate) providers: ProviderCache,
    pub(crate) records_max: u64,
    /// Where the next read of a key with many providers begins.
    pub(crate) turn: AtomicU32,
    pub(crate) records: AtomicU64,
    pub(crate) next_provider: AtomicU32,
}

/// Without the tree: sled would print every row of it.
impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl Engine {
    /// The counts as of the last write.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            records: self.records.load(Ordering::Relaxed),
            next_provider: self.next_provider.load(Ordering::Relaxed),
        }
    }

    /// Writes rows and the counts that go with them: all, or nothing.
    pub(crate) fn commit(&self, mut write: sled::Batch, counts: Counts) -> Result<(), Fault> {
        if counts != self.counts() {
            write.insert(layout::META, counts.encode(layout::VERSION));
        }
        self.rows.apply_batch(write)?;
        self.records.store(counts.records, Ordering::Relaxed);
        self.next_provider.store(counts.next_provider, Ordering::Relaxed);
        Ok(())
    }

    /// A provider as it is stored; `None` when it was removed, as all its records have expired.
    pub(crate) fn provider(&self, number: u32) -> Result<Option<Arc<StoredProvider>>, Fault> {
        self.providers.find(number, |row| Ok(self.rows.get(row)?))
    }

    /// A provider by its peer id; `None` when it is new.
    pub(crate) fn provider_of(&self, peer: &PeerId) -> Result<Option<Arc<StoredProvider>>, Fault> {
        let Some(number) = self.rows.get(layout::number_key(peer))? else { return Ok(None) };
        let number = layout::decode_u32(&number, "provider numbers")?;
        let known = self.provider(number)?.ok_or(DamagedRow("providers"))?;
        Ok(Some(known))
    }

    /// Hands all that was written to the system. No write may run.
    ///
    /// Sled does not wake every flush that waits for a write which fails; a second flush does.
    pub(crate) fn flush(&self) -> Result<(), Fault> {
        let (ended, watched) = sync_channel::<()>(0);
        thread::scope(|scope| {
            let nudge = move || {
                while watched.recv_timeout(NUDGE_PAUSE) == Err(RecvTimeoutError::Timeout) {
                    // The first one has the result.
                    drop(self.db.flush());
                }
            };
            let nudging = thread::Builder::new().name("records-nudge".to_owned()).spawn_scoped(scope, nudge);
            let flushed = self.db.flush();
            drop((ended, nudging));
            flushed.map(drop).map_err(Fault::from)
        })
    }

    /// The error after which sled fails all calls until it is reopened.
    pub(crate) fn stopped_by(&self) -> Option<Fault> {
        self.db.context.global_error().err().map(Fault::from)
    }
}
