//! Value records as rows, and what calls change of them: alike in all embedded stores.
//!
//! | key | value |
//! |---|---|
//! | `V` ‖ key | received at u32, expires at u32, value |
//! | `M` | version of the layout u8, value records u64, bytes of their keys and values u64 |
//!
//! Numbers are little-endian. The kinds of rows are upper case and so come before those of provider records.

use crate::fault::{DamagedRow, Fault};
use crate::place::ScanPlace;
use crate::rows::{RowKey, joined};
use bytes::Bytes;
use hydra_api::value::{PutOutcome, ValueEstimate, ValueKey, ValuePage, ValuePut, ValueRecord};
use hydra_api::{ContentKey, PurgeProgress, Purged, UnixSeconds};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The first byte of the key of a value record.
pub const VALUES: u8 = b'V';
/// The key of the counts of value records; there is none before the first.
pub const VALUE_COUNTS: &[u8] = b"M";

/// The layout of value records that this code reads and writes.
const VERSION: u8 = 1;

/// Rows that a step of the purge looks at, and their bytes: other writes wait for it.
const ROWS_MAX: usize = 4096;
const BYTES_MAX: usize = 4 << 20;

const DAMAGED: DamagedRow = DamagedRow("value records");

/// The key of the row of a value record.
pub fn value_key(key: &ValueKey) -> RowKey {
    joined(VALUES, &[key.as_bytes()])
}

/// All rows of value records after this one; all of them after an empty one.
pub fn value_rows(after: &[u8]) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let from = if after.is_empty() { vec![VALUES] } else { after.to_vec() };
    (Bound::Excluded(from), Bound::Excluded(vec![VALUES + 1]))
}

/// The row of a value record, whose value is left where it is.
#[derive(Debug, Clone, Copy)]
struct ValueRow<'a> {
    received: UnixSeconds,
    expires: UnixSeconds,
    value: &'a [u8],
}

impl<'a> ValueRow<'a> {
    fn of(row: &'a [u8]) -> Result<Self, DamagedRow> {
        let parts = || {
            let (received, rest) = row.split_first_chunk::<4>()?;
            let (expires, value) = rest.split_first_chunk::<4>()?;
            let seconds = |bytes: &[u8; 4]| UnixSeconds(u32::from_le_bytes(*bytes));
            takes(value).then(|| Self { received: seconds(received), expires: seconds(expires), value })
        };
        parts().ok_or(DAMAGED)
    }
}

/// Reads the row of a value record.
///
/// # Errors
/// [`DamagedRow`].
pub fn decode_value(row: &[u8]) -> Result<ValueRecord, DamagedRow> {
    let ValueRow { received, expires, value } = ValueRow::of(row)?;
    Ok(ValueRecord { value: Bytes::copy_from_slice(value), received, expires })
}

/// One page of the live records of `rows`, which are all those after `from`; `tag` names the kind of store in cursors.
///
/// # Errors
/// Those of `rows`, and a damaged row.
pub fn value_page<K: AsRef<[u8]>, V: AsRef<[u8]>, E: From<DamagedRow>>(
    rows: impl Iterator<Item = Result<(K, V), E>>,
    from: Option<ScanPlace>,
    now: UnixSeconds,
    limit: usize,
    tag: u8,
) -> Result<ValuePage, E> {
    let (mut records, mut bytes, mut last) = (Vec::new(), 0, from);
    for (looked_at, row) in rows.enumerate() {
        if looked_at == ROWS_MAX || bytes >= BYTES_MAX || records.len() == limit {
            return Ok(ValuePage::new(records, last.and_then(|place| place.cursor(tag))));
        }
        let (row_key, row) = row?;
        let key = ValueKey::new(row_key.as_ref().get(1..).unwrap_or_default()).map_err(|_| DAMAGED)?;
        let is_live = ValueRow::of(row.as_ref())?.expires > now;
        bytes += row.as_ref().len();
        last = ContentKey::new(key.as_bytes()).ok().map(|key| ScanPlace { key, number: 0 });
        if is_live {
            records.push((key, decode_value(row.as_ref())?));
        }
    }
    Ok(ValuePage::new(records, None))
}

/// The rows of value records after a place.
pub fn value_rows_from(place: Option<&ScanPlace>) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    value_rows(&place.map(|place| joined(VALUES, &[place.key.as_bytes()]).to_vec()).unwrap_or_default())
}

fn encode_value(record: &ValueRecord) -> Vec<u8> {
    [&record.received.0.to_le_bytes()[..], &record.expires.0.to_le_bytes(), &record.value].concat()
}

fn takes(value: &[u8]) -> bool {
    (1..=ValueRecord::LEN_MAX).contains(&value.len())
}

/// How many value records there are, part of every write of some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ValueCounts {
    /// Records, expired ones included.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

impl ValueCounts {
    /// The value of the row.
    pub fn encode(self) -> Vec<u8> {
        [&[VERSION][..], &self.records.to_le_bytes(), &self.bytes.to_le_bytes()].concat()
    }

    /// Reads the value of the row; `None` when there is no row, and no value record therefore: `is_empty` is true.
    ///
    /// # Errors
    /// [`Fault::Layout`] when the rows have another version of the layout, [`Fault::Row`] when the row is damaged or missing.
    pub fn decode(row: Option<&[u8]>, is_empty: impl FnOnce() -> bool) -> Result<Self, Fault> {
        const DAMAGED: DamagedRow = DamagedRow("counts of value records");
        let Some(row) = row else {
            return if is_empty() { Ok(Self::default()) } else { Err(DAMAGED.into()) };
        };
        let (&found, rest) = row.split_first().ok_or(DAMAGED)?;
        if found != VERSION {
            return Err(Fault::Layout { found, known: VERSION });
        }
        let (records, bytes) = rest.split_first_chunk::<8>().ok_or(DAMAGED)?;
        let bytes = bytes.try_into().map_err(|_| DAMAGED)?;
        Ok(Self { records: u64::from_le_bytes(*records), bytes: u64::from_le_bytes(bytes) })
    }

    fn add(&mut self, row_key: &[u8], value_len: usize) {
        self.records += 1;
        self.bytes += (row_key.len() - 1 + value_len) as u64;
    }

    fn take_off(&mut self, row_key: &[u8], value_len: usize) {
        self.records = self.records.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub((row_key.len() - 1 + value_len) as u64);
    }
}

/// The counts as of the last write, for all that estimate.
#[derive(Debug, Default)]
pub struct ValueTally {
    records: AtomicU64,
    bytes: AtomicU64,
}

impl ValueTally {
    /// A tally of these counts.
    pub fn new(counts: ValueCounts) -> Self {
        let tally = Self::default();
        tally.set(counts);
        tally
    }

    /// These are the counts now.
    pub fn set(&self, counts: ValueCounts) {
        self.records.store(counts.records, Ordering::Relaxed);
        self.bytes.store(counts.bytes, Ordering::Relaxed);
    }

    /// The counts.
    pub fn counts(&self) -> ValueCounts {
        ValueCounts {
            records: self.records.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    /// The counts for a caller of the store.
    pub fn estimate(&self) -> ValueEstimate {
        let ValueCounts { records, bytes } = self.counts();
        ValueEstimate::new(records, bytes, Duration::ZERO)
    }
}

/// What became of a batch of puts.
#[derive(Debug)]
pub struct Puts<E> {
    /// One outcome a put.
    pub outcomes: Vec<PutOutcome>,
    /// The first damage that leaves one of them open.
    pub damaged: Option<E>,
}

/// What one call changes of value records, until it is written. One call at a time changes them.
#[derive(Debug)]
pub struct ValueChange {
    counts: ValueCounts,
    /// Records that are written or, with `None`, removed.
    rows: BTreeMap<RowKey, Option<ValueRecord>>,
}

impl ValueChange {
    /// Nothing yet; these are the counts before it.
    pub fn new(counts: ValueCounts) -> Self {
        Self { counts, rows: BTreeMap::new() }
    }

    /// The outcome of a put after those before it. `read` reads a row; a new key needs room for one of `records_max` records.
    ///
    /// # Errors
    /// Those of `read`, and a damaged row.
    pub fn put<V: AsRef<[u8]>, E: From<DamagedRow>>(
        &mut self,
        put: &ValuePut,
        now: UnixSeconds,
        records_max: u64,
        read: impl FnOnce(&[u8]) -> Result<Option<V>, E>,
    ) -> Result<PutOutcome, E> {
        if !takes(&put.record.value) {
            return Ok(PutOutcome::Refused("a value has from 1 to 10,240 bytes".into()));
        }
        let row_key = value_key(&put.key);
        let before = self.before(&row_key, read)?;
        let live = before.as_ref().filter(|record| record.expires > now).map(|record| &record.value);
        if live != put.seen.as_ref() {
            return Ok(PutOutcome::Changed);
        }
        if before.is_none() && self.counts.records >= records_max {
            return Ok(PutOutcome::NoRoom);
        }
        self.replace(row_key, len_of(before), Some(put.record.clone()));
        Ok(PutOutcome::Stored)
    }

    /// The outcomes of a batch, one put after the other. A damaged row leaves its own put open, and no other.
    ///
    /// # Errors
    /// Those of `read` that are no damage; that of the damage, if it is all that there is.
    pub fn put_all<V: AsRef<[u8]>, E: From<DamagedRow> + AsRef<Fault>>(
        &mut self,
        batch: &[ValuePut],
        now: UnixSeconds,
        records_max: u64,
        read: impl Fn(&[u8]) -> Result<Option<V>, E>,
    ) -> Result<Puts<E>, E> {
        let mut puts = Puts { outcomes: Vec::with_capacity(batch.len()), damaged: None };
        for put in batch {
            puts.outcomes.push(match self.put(put, now, records_max, &read) {
                Ok(outcome) => outcome,
                Err(fault) if fault.as_ref().is_damage() => {
                    let kind = fault.as_ref().kind();
                    puts.damaged.get_or_insert(fault);
                    PutOutcome::Unknown(kind)
                }
                Err(fault) => return Err(fault),
            });
        }
        let is_open = |outcome: &PutOutcome| matches!(outcome, PutOutcome::Unknown(_));
        match puts.damaged.take() {
            Some(damaged) if puts.outcomes.iter().all(is_open) => Err(damaged),
            damaged => Ok(Puts { damaged, ..puts }),
        }
    }

    /// Stores a record again that was stored before, whatever its key has now.
    ///
    /// # Errors
    /// Those of `read`, and a damaged row.
    pub fn restore<V: AsRef<[u8]>, E: From<DamagedRow>>(
        &mut self,
        key: &ValueKey,
        record: &ValueRecord,
        read: impl FnOnce(&[u8]) -> Result<Option<V>, E>,
    ) -> Result<(), E> {
        let row_key = value_key(key);
        let before = self.before(&row_key, read)?;
        self.replace(row_key, len_of(before), Some(record.clone()));
        Ok(())
    }

    /// Removes the record of a key; whether there was one.
    ///
    /// # Errors
    /// Those of `read`, and a damaged row.
    pub fn remove<V: AsRef<[u8]>, E: From<DamagedRow>>(
        &mut self,
        key: &ValueKey,
        read: impl FnOnce(&[u8]) -> Result<Option<V>, E>,
    ) -> Result<bool, E> {
        let row_key = value_key(key);
        let before = self.before(&row_key, read)?;
        let was_there = before.is_some();
        if was_there {
            self.replace(row_key, len_of(before), None);
        }
        Ok(was_there)
    }

    /// One step of the purge: goes through `rows`, which are all those after `done`, and removes up to `limit` expired records. `done` is
    /// then the last row that the pass has done, a damaged one too; it is empty when the pass is through. No value is copied.
    ///
    /// # Errors
    /// Those of `rows`, and a damaged row.
    pub fn purge<K: AsRef<[u8]>, V: AsRef<[u8]>, E: From<DamagedRow>>(
        &mut self,
        done: &mut Vec<u8>,
        rows: impl Iterator<Item = Result<(K, V), E>>,
        now: UnixSeconds,
        limit: u64,
    ) -> Result<Purged, E> {
        let (mut removed, mut bytes, mut last) = (0, 0, std::mem::take(done));
        for (looked_at, row) in rows.enumerate() {
            let (row_key, row) = row?;
            let row_key = row_key.as_ref();
            let ValueRow { expires, value, .. } = match ValueRow::of(row.as_ref()) {
                Ok(row) => row,
                Err(damaged) => {
                    // The next step goes on behind it.
                    *done = row_key.to_vec();
                    return Err(damaged.into());
                }
            };
            let is_over = expires <= now;
            if looked_at == ROWS_MAX || bytes >= BYTES_MAX || (is_over && removed == limit) {
                *done = last;
                return Ok(Purged::new(removed, PurgeProgress::More));
            }
            bytes += row.as_ref().len();
            if is_over {
                self.replace(RowKey::from_slice(row_key), Some(value.len()), None);
                removed += 1;
            }
            last.clear();
            last.extend_from_slice(row_key);
        }
        Ok(Purged::new(removed, PurgeProgress::Done))
    }

    /// The rows to write, or to remove.
    pub fn rows(&self) -> impl Iterator<Item = (&[u8], Option<Vec<u8>>)> {
        self.rows.iter().map(|(row_key, record)| (&row_key[..], record.as_ref().map(encode_value)))
    }

    /// The counts after it; `None` when it changes nothing.
    pub fn counts(&self) -> Option<ValueCounts> {
        (!self.rows.is_empty()).then_some(self.counts)
    }

    /// The record of a key after what was changed so far.
    fn before<V: AsRef<[u8]>, E: From<DamagedRow>>(
        &self,
        row_key: &RowKey,
        read: impl FnOnce(&[u8]) -> Result<Option<V>, E>,
    ) -> Result<Option<ValueRecord>, E> {
        if let Some(changed) = self.rows.get(row_key) {
            return Ok(changed.clone());
        }
        let stored = read(row_key)?;
        Ok(stored.map(|row| decode_value(row.as_ref())).transpose()?)
    }

    /// `before_len` is the length of the value that was there.
    fn replace(&mut self, row_key: RowKey, before_len: Option<usize>, by: Option<ValueRecord>) {
        if let Some(before_len) = before_len {
            self.counts.take_off(&row_key, before_len);
        }
        if let Some(by) = &by {
            self.counts.add(&row_key, by.value.len());
        }
        self.rows.insert(row_key, by);
    }
}

fn len_of(record: Option<ValueRecord>) -> Option<usize> {
    record.map(|record| record.value.len())
}

#[cfg(test)]
mod tests;
