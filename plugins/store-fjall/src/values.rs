//! Value records: rows of their own kind in the one keyspace, changed by the writer alone.

use crate::engine::Engine;
use crate::fault::Fault;
use crate::read::{Answer, Reader};
use fjall::Readable;
use hydra_api::value::{FoundValue, ValueKey, ValuePage, ValuePut};
use hydra_api::{Purged, UnixSeconds};
use hydra_embedded::ScanPlace;
use hydra_embedded::values::{
    Puts, VALUE_COUNTS, ValueChange, decode_value, value_key, value_page, value_rows, value_rows_from,
};

impl Engine {
    /// Puts a batch, all of it that is stored or nothing. On disk there is room for every record: a full one fails the write.
    pub(crate) fn put_values(&mut self, batch: &[ValuePut], now: UnixSeconds) -> Result<Puts<Fault>, Fault> {
        let mut change = self.value_change();
        let puts = change.put_all(batch, now, u64::MAX, |row| Ok::<_, Fault>(self.rows.get(row)?))?;
        self.commit_values(&change)?;
        Ok(puts)
    }

    /// One step: removes up to `limit` value records.
    pub(crate) fn purge_values(&mut self, now: UnixSeconds, limit: u64) -> Result<Purged, Fault> {
        let (mut change, mut done) = (self.value_change(), self.values.done.clone());
        let rows = self.rows.range::<Vec<u8>, _>(value_rows(&done));
        let rows = rows.map(|row| row.into_inner().map_err(Fault::from));
        let purged = change.purge(&mut done, rows, now, limit);
        self.commit_values(&change)?;
        self.values.done = done;
        purged
    }

    /// Removes the records of these keys; how many there were.
    pub(crate) fn delete_values(&mut self, keys: &[ValueKey]) -> Result<u64, Fault> {
        let (mut change, mut removed) = (self.value_change(), 0);
        for key in keys {
            removed += u64::from(change.remove(key, |row| Ok::<_, Fault>(self.rows.get(row)?))?);
        }
        self.commit_values(&change)?;
        Ok(removed)
    }

    fn value_change(&self) -> ValueChange {
        ValueChange::new(self.values.tally.counts())
    }

    fn commit_values(&mut self, change: &ValueChange) -> Result<(), Fault> {
        let Some(counts) = change.counts() else { return Ok(()) };
        let mut write = self.db.batch();
        for (row_key, row) in change.rows() {
            match row {
                Some(row) => write.insert(&self.rows, row_key, row),
                None => write.remove(&self.rows, row_key),
            }
        }
        write.insert(&self.rows, VALUE_COUNTS, counts.encode());
        self.commit(write, self.counts)?;
        self.values.tally.set(counts);
        Ok(())
    }
}

impl Reader {
    /// The live value record of each key, all as of the same moment.
    pub(crate) fn values(&self, keys: &[ValueKey], now: UnixSeconds) -> Result<Answer<FoundValue>, Fault> {
        let snapshot = self.db.snapshot();
        let of_key = |key: &ValueKey| {
            let row = snapshot.get(&self.rows, value_key(key))?;
            let record = row.map(|row| decode_value(&row)).transpose()?;
            Ok(FoundValue::Known(record.filter(|record| record.expires > now)))
        };
        Answer::of(keys, of_key, FoundValue::Unknown)
    }

    /// A page of the value records after a place, as of one moment.
    pub(crate) fn value_page(
        &self,
        from: Option<ScanPlace>,
        now: UnixSeconds,
        limit: usize,
        tag: u8,
    ) -> Result<ValuePage, Fault> {
        let snapshot = self.db.snapshot();
        let rows = snapshot.range::<Vec<u8>, _>(&self.rows, value_rows_from(from.as_ref()));
        value_page(rows.map(|row| row.into_inner().map_err(Fault::from)), from, now, limit, tag)
    }
}
