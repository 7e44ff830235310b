//! A batch of records: looked up, and written in parts that are each there whole or not at all.

use crate::engine::Engine;
use crate::fault::Fault;
use crate::layout::{self, Counts, ProviderUpdate, RowKey};
use hydra_api::{Inserted, PeerId, ProviderRecord, RecordOutcome, UnixSeconds};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// Records of one write. Sled lets nobody read during a write: a reader waits for no more than this.
const PART_LEN: usize = 128;

/// What a part changes, as far as it was looked through.
struct Part {
    next: Counts,
    updates: HashMap<PeerId, ProviderUpdate>,
    /// Expiries of records that were looked up or changed.
    rows: HashMap<RowKey, u32>,
    write: sled::Batch,
}

impl Engine {
    /// Stores a batch. Every record is taken but new ones when the store is full, and those of a new provider when all
    /// provider numbers are in use. Only one caller at a time.
    pub(crate) fn insert(&self, batch: &[ProviderRecord], now: UnixSeconds) -> Result<Inserted, Fault> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for part in batch.chunks(PART_LEN) {
            outcomes.extend(self.insert_part(part, now)?);
        }
        Ok(Inserted::of(outcomes))
    }

    fn insert_part(&self, records: &[ProviderRecord], now: UnixSeconds) -> Result<Vec<RecordOutcome>, Fault> {
        let mut part = Part {
            next: self.counts(),
            updates: HashMap::with_capacity(records.len()),
            rows: HashMap::with_capacity(records.len()),
            write: sled::Batch::default(),
        };
        let mut outcomes = Vec::with_capacity(records.len());
        for record in records {
            let taken = self.put(&mut part, record, now)?;
            outcomes.push(if taken { RecordOutcome::Taken } else { RecordOutcome::NoRoom });
        }
        let Part { next, updates, mut write, .. } = part;
        for (key, value) in updates.values().flat_map(ProviderUpdate::rows) {
            write.insert(&key[..], value);
        }
        self.commit(write, next)?;
        for known in updates.into_values().filter_map(ProviderUpdate::into_written) {
            self.providers.insert(Arc::new(known));
        }
        Ok(outcomes)
    }

    /// Puts a record in; whether there was room.
    fn put(&self, part: &mut Part, record: &ProviderRecord, now: UnixSeconds) -> Result<bool, Fault> {
        let is_full = part.next.records + self.values.tally.counts().records >= self.records_max;
        // Of a record that has expired nobody would ever see more than the addresses.
        let has_expired = record.expires <= now;
        let update = match part.updates.entry(record.provider) {
            Entry::Occupied(update) => update.into_mut(),
            Entry::Vacant(place) => match self.provider_of(&record.provider)? {
                Some(known) => place.insert(ProviderUpdate::of_stored(&known)),
                None if has_expired => return Ok(true),
                // Nothing of a peer that is not known can be refreshed.
                None if is_full => return Ok(false),
                None => match part.next.take_number() {
                    Some(number) => place.insert(ProviderUpdate::new(number, record.provider, now)),
                    // There is no room for a provider more; those that are known are refreshed.
                    None => return Ok(false),
                },
            },
        };
        if !has_expired {
            let row = layout::record_key(&record.key, update.number());
            let stored = match part.rows.get(&row) {
                Some(stored) => Some(*stored),
                None => {
                    let stored = self.rows.get(&row)?;
                    stored.map(|expires| layout::decode_u32(&expires, "records")).transpose()?
                }
            };
            if stored.is_none() && is_full {
                return Ok(false);
            }
            let expires = stored.unwrap_or(0).max(record.expires.0);
            if stored != Some(expires) {
                part.write.insert(&row[..], &expires.to_le_bytes()[..]);
            }
            part.next.records += u64::from(stored.is_none());
            part.rows.insert(row, expires);
        }
        update.apply(record, now);
        Ok(true)
    }
}
