//! Value records: a tree of their own, changed by one caller at a time.

use crate::engine::Engine;
use crate::fault::Fault;
use hydra_api::value::{PutOutcome, ValueKey, ValuePut, ValueRecord};
use hydra_api::{Purged, UnixSeconds};
use hydra_embedded::values::{
    VALUE_COUNTS, ValueChange, ValueCounts, ValueTally, decode_value, value_key, value_rows,
};
use std::sync::{Mutex, PoisonError};

/// The name of the tree. A database of a version without value records gets it when it is opened.
const TREE: &str = "values";

/// Records that a step of the purge removes at most, whatever its limit: sled lets nobody read during a write.
const REMOVED_MAX: u64 = 512;

/// The value records of an engine.
pub(crate) struct Values {
    tree: sled::Tree,
    pub(crate) tally: ValueTally,
    /// How far the pass of the purge has come: the last row that is done; empty before the first.
    done: Mutex<Vec<u8>>,
}

impl Values {
    pub(crate) fn of(db: &sled::Db) -> Result<Self, Fault> {
        let tree = db.open_tree(TREE)?;
        let (row, first) = (tree.get(VALUE_COUNTS)?, tree.first()?);
        let counts = ValueCounts::decode(row.as_deref(), || first.is_none())?;
        Ok(Self { tree, tally: ValueTally::new(counts), done: Mutex::default() })
    }

    fn row(&self, row_key: &[u8]) -> Result<Option<sled::IVec>, Fault> {
        Ok(self.tree.get(row_key)?)
    }

    fn change(&self) -> ValueChange {
        ValueChange::new(self.tally.counts())
    }

    /// Writes rows and the counts that go with them: all, or nothing.
    fn commit(&self, change: &ValueChange) -> Result<(), Fault> {
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

impl Engine {
    /// The live value record of a key.
    pub(crate) fn value(&self, key: &ValueKey, now: UnixSeconds) -> Result<Option<ValueRecord>, Fault> {
        let row = self.values.row(&value_key(key))?;
        let record = row.map(|row| decode_value(&row)).transpose()?;
        Ok(record.filter(|record| record.expires > now))
    }

    /// Puts a batch, all of it that is stored or nothing. A new key needs room among all records. Only one caller at a time.
    pub(crate) fn put_values(&self, batch: &[ValuePut], now: UnixSeconds) -> Result<Vec<PutOutcome>, Fault> {
        let mut change = self.values.change();
        let records_max = self.records_max.saturating_sub(self.counts().records);
        let put = |put| change.put(put, now, records_max, |row_key| self.values.row(row_key));
        let outcomes = batch.iter().map(put).collect::<Result<_, _>>()?;
        self.values.commit(&change)?;
        Ok(outcomes)
    }

    /// Stores records again that were stored before. Only one caller at a time.
    pub(crate) fn restore_values(&self, records: &[(ValueKey, ValueRecord)]) -> Result<(), Fault> {
        let mut change = self.values.change();
        for (key, record) in records {
            change.restore(key, record, |row_key| self.values.row(row_key))?;
        }
        self.values.commit(&change)
    }

    /// One step: removes up to `limit` value records. Only one caller at a time.
    pub(crate) fn purge_values(&self, now: UnixSeconds, limit: u64) -> Result<Purged, Fault> {
        let mut done = self.values.done.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut change, mut next) = (self.values.change(), done.clone());
        let rows = self.values.tree.range::<Vec<u8>, _>(value_rows(&next));
        let rows = rows.map(|row| row.map_err(Fault::from));
        let purged = change.purge(&mut next, rows, now, limit.min(REMOVED_MAX))?;
        self.values.commit(&change)?;
        *done = next;
        Ok(purged)
    }

    /// Removes the records of these keys; how many there were. Only one caller at a time.
    pub(crate) fn delete_values(&self, keys: &[ValueKey]) -> Result<u64, Fault> {
        let (mut change, mut removed) = (self.values.change(), 0);
        for key in keys {
            removed += u64::from(change.remove(key, |row_key| self.values.row(row_key))?);
        }
        self.values.commit(&change)?;
        Ok(removed)
    }
}
