//! The tree of the value records.

use crate::fault::Fault;
use hydra_embedded::values::{VALUE_COUNTS, ValueChange, ValueCounts, ValueTally};
use std::sync::Mutex;

/// The name of the tree. A database of a version without value records gets it when it is opened.
const TREE: &str = "values";

/// The value records of an engine.
pub(crate) struct Values {
    pub(crate) tree: sled::Tree,
    pub(crate) tally: ValueTally,
    /// How far the pass of the purge has come: the last row that is done; empty before the first.
    pub(crate) done: Mutex<Vec<u8>>,
}

impl Values {
    pub(crate) fn of(db: &sled::Db) -> Result<Self, Fault> {
        let tree = db.open_tree(TREE)?;
        let (row, first) = (tree.get(VALUE_COUNTS)?, tree.first()?);
        let counts = ValueCounts::decode(row.as_deref(), || first.is_none())?;
        Ok(Self { tree, tally: ValueTally::new(counts), done: Mutex::default() })
    }

    pub(crate) fn row(&self, row_key: &[u8]) -> Result<Option<sled::IVec>, Fault> {
        Ok(self.tree.get(row_key)?)
    }

    pub(crate) fn change(&self) -> ValueChange {
        ValueChange::new(self.tally.counts())
    }

    /// Writes rows and the counts that go with them: all, or nothing.
    pub(crate) fn commit(&self, change: &ValueChange) -> Result<(), Fault> {
        let Some(counts) = change.counts() else { return Ok(()) };
        let mut write = sled::Batch::default();
        for (row_key, row) in change.rows() {
            match row {
                Some(row) => write.insert(row_key, row),
                None => write.remove(row_key),
            }
        }
        write.insert(VALUE_COUNTS, counts.encode());
        self.tree.apply_batch(write)?;
        self.tally.set(counts);
        Ok(())
    }
}
