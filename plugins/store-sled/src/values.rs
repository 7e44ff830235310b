//! Value records: a tree of their own, changed by one caller at a time.

use crate::engine::Engine;
use crate::fault::Fault;
use hydra_api::value::{ValueKey, ValuePage, ValuePut, ValueRecord};
use hydra_api::{Purged, UnixSeconds};
use hydra_embedded::ScanPlace;
use hydra_embedded::values::{Puts, decode_value, value_key, value_page, value_rows, value_rows_from};
use std::sync::PoisonError;

/// Records that a step of the purge removes at most, whatever its limit: sled lets nobody read during a write.
const REMOVED_MAX: u64 = 512;

impl Engine {
    /// The live value record of a key.
    pub(crate) fn value(&self, key: &ValueKey, now: UnixSeconds) -> Result<Option<ValueRecord>, Fault> {
        let row = self.values.row(&value_key(key))?;
        let record = row.map(|row| decode_value(&row)).transpose()?;
        Ok(record.filter(|record| record.expires > now))
    }

    /// Puts a batch, all of it that is stored or nothing. A new key needs room among all records. Only one caller at a time.
    pub(crate) fn put_values(&self, batch: &[ValuePut], now: UnixSeconds) -> Result<Puts<Fault>, Fault> {
        let mut change = self.values.change();
        let records_max = self.records_max.saturating_sub(self.counts().records);
        let puts = change.put_all(batch, now, records_max, |row_key| self.values.row(row_key))?;
        self.values.commit(&change)?;
        Ok(puts)
    }

    /// Stores records again that were stored before. Only one caller at a time.
    pub(crate) fn restore_values(&self, records: &[(ValueKey, ValueRecord)]) -> Result<(), Fault> {
        let mut change = self.values.change();
        for (key, record) in records {
            change.restore(key, record, |row_key| self.values.row(row_key))?;
        }
        self.values.commit(&change)
    }

    /// A page of the value records after a place.
    pub(crate) fn value_page(
        &self,
        from: Option<ScanPlace>,
        now: UnixSeconds,
        limit: usize,
        tag: u8,
    ) -> Result<ValuePage, Fault> {
        let rows = self.values.tree.range::<Vec<u8>, _>(value_rows_from(from.as_ref()));
        value_page(rows.map(|row| row.map_err(Fault::from)), from, now, limit, tag)
    }

    /// One step: removes up to `limit` value records. Only one caller at a time.
    pub(crate) fn purge_values(&self, now: UnixSeconds, limit: u64) -> Result<Purged, Fault> {
        let mut done = self.values.done.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut change, mut next) = (self.values.change(), done.clone());
        let rows = self.values.tree.range::<Vec<u8>, _>(value_rows(&next));
        let rows = rows.map(|row| row.map_err(Fault::from));
        let purged = change.purge(&mut next, rows, now, limit.min(REMOVED_MAX));
        self.values.commit(&change)?;
        *done = next;
        purged
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
