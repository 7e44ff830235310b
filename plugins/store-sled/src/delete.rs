//! Records that an operator removes.

use crate::engine::Engine;
use crate::fault::Fault;
use crate::layout;
use hydra_api::{DeleteProgress, Deleted, Deletion};

/// Rows that a step removes at most, whatever its limit: sled lets nobody read during a write.
const REMOVED_MAX: usize = 512;

impl Engine {
    /// One step: removes up to `limit` records of a key, or its record of one provider. Only one caller at a time.
    pub(crate) fn delete(&self, deletion: Deletion, limit: usize) -> Result<Deleted, Fault> {
        let limit = limit.min(REMOVED_MAX);
        let key = deletion.key();
        let (from, to) = match deletion {
            Deletion::Key(_) => (0, u32::MAX),
            Deletion::Record(_, peer) => match self.provider_of(&peer)? {
                Some(known) => (known.number, known.number),
                None => return Ok(Deleted::new(0, DeleteProgress::Done)),
            },
        };
        let (mut write, mut removed, mut progress) = (sled::Batch::default(), 0, DeleteProgress::Done);
        for row in self.rows.range(layout::record_key(key, from)..=layout::record_key(key, to)) {
            if removed == limit {
                progress = DeleteProgress::More;
                break;
            }
            write.remove(row?.0);
            removed += 1;
        }
        let mut next = self.counts();
        next.records = next.records.saturating_sub(removed as u64);
        if removed > 0 {
            self.commit(write, next)?;
        }
        Ok(Deleted::new(removed as u64, progress))
    }
}
