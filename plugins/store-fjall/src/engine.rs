//! What the writer works on.

use crate::fault::Fault;
use crate::filter::Clock;
use crate::layout::{self, Counts};
use crate::pass::Pass;
use crate::providers::ByPeer;
use crate::value_counts::Values;
use fjall::{AbstractTree, Database, Keyspace, OwnedWriteBatch, PersistMode};
use hydra_api::UnixSeconds;
use hydra_embedded::ProviderCache;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// From these numbers on a write waits until fjall's threads have written rows from memory to files. fjall itself
/// waits at 4 sealed memtables and at 30 runs, without end when its threads have stopped; a write adds no more than two
/// of each.
const SEALED_MAX: usize = 2;
const RUNS_MAX: usize = 26;

/// How often a write that waits looks again.
const STALL_PAUSE: Duration = Duration::from_millis(5);

/// What the writer works on. It alone changes the keyspace.
pub(crate) struct Engine {
    pub(crate) db: Database,
    pub(crate) rows: Keyspace,
    pub(crate) counts: Counts,
    pub(crate) by_peer: ByPeer,
    pub(crate) by_number: Arc<ProviderCache>,
    pub(crate) pass: Pass,
    pub(crate) values: Values,
    pub(crate) providers_per_key_max: u64,
    pub(crate) clock: Clock,
    /// What purges lower later expiries to.
    pub(crate) latest: UnixSeconds,
}

impl Engine {
    /// Writes a batch and the counts that go with it to the journal. The system has it then: a crash of the process
    /// loses nothing of it.
    pub(crate) fn commit(&mut self, mut write: OwnedWriteBatch, counts: Counts) -> Result<(), Fault> {
        if write.is_empty() && counts == self.counts {
            return Ok(());
        }
        write.insert(&self.rows, layout::META, counts.encode(layout::VERSION));
        self.wait_for_flushes()?;
        write.commit()?;
        self.counts = counts;
        Ok(())
    }

    /// Waits while fjall's threads are behind, and no longer than they live.
    fn wait_for_flushes(&self) -> Result<(), Fault> {
        while self.rows.tree.sealed_memtable_count() >= SEALED_MAX
            || self.rows.tree.l0_run_count() >= RUNS_MAX
        {
            // Writes nothing, and fails when they have stopped.
            self.db.persist(PersistMode::Buffer)?;
            thread::sleep(STALL_PAUSE);
        }
        Ok(())
    }

    /// Forces what was written onto the disk.
    pub(crate) fn sync(&self, mode: PersistMode) -> Result<(), Fault> {
        Ok(self.db.persist(mode)?)
    }

    /// Whether fjall refuses all writes until it is reopened, as one has failed.
    pub(crate) fn has_stopped(&self) -> bool {
        matches!(self.db.persist(PersistMode::Buffer), Err(fjall::Error::Poisoned))
    }

    /// Writes all rows in memory to files and forces them onto the disk, also when fjall takes no writes: no record
    /// depends on the journal then, the end of which a failed write may have left in disorder.
    pub(crate) fn save(&self) -> Result<(), Fault> {
        Ok(self.rows.tree.flush_active_memtable(0)?)
    }

    /// The room on disk that [`Self::save`] needs at most.
    pub(crate) fn unsaved_bytes(&self) -> u64 {
        self.db.write_buffer_size()
    }
}
