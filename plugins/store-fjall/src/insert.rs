//! A batch of records: read, changed and written as one.

use crate::engine::Engine;
use crate::fault::Fault;
use crate::layout::{self, Counts, Entry, INLINE_MAX, ProviderUpdate, RECORDS, Row};
use fjall::{Keyspace, OwnedWriteBatch};
use hydra_api::{ContentKey, Inserted, PeerId, ProviderRecord, RecordOutcome, UnixSeconds};
use std::collections::BTreeMap;
use std::collections::hash_map::{Entry as Place, HashMap};
use std::sync::Arc;

impl Engine {
    /// Stores a batch, all of it or nothing. Every record is taken but new ones of a key that has its most providers, and
    /// those of a new provider when all provider numbers are in use.
    pub(crate) fn insert(&mut self, batch: &[ProviderRecord], now: UnixSeconds) -> Result<Inserted, Fault> {
        let mut next = self.counts;
        let mut updates = HashMap::new();
        let mut write = self.db.batch();
        let mut outcomes = vec![RecordOutcome::NoRoom; batch.len()];
        let mut grown = Vec::new();
        // Groups of one key; in a group the order of the batch stays.
        let mut by_key: Vec<_> = batch.iter().enumerate().collect();
        by_key.sort_by_key(|(_, record)| record.key);
        for group in by_key.chunk_by(|(_, one), (_, other)| one.key == other.key) {
            let Some((_, first)) = group.first() else { continue };
            let mut key = KeyRow::read(&self.rows, first.key, self.clock.now())?;
            for (place, record) in group {
                let is_over = record.expires <= now;
                let may_be_new = !is_over && key.row.records() < self.providers_per_key_max;
                let number = may_be_new.then_some(&mut next);
                let number = self.number_of(&record.provider, &mut updates, number, now)?;
                let entry = number.map(|number| Entry { number, expires: record.expires });
                let is_taken = match entry {
                    Some(entry) => key.put(&self.rows, entry, now, self.providers_per_key_max)?,
                    None => is_over,
                };
                if is_taken {
                    outcomes[*place] = RecordOutcome::Taken;
                }
            }
            grown.push((first.key, key.row.records() as i64 - key.records_before as i64));
            key.write(&self.rows, &mut write);
        }
        // In the order of the batch: the last addresses stay.
        for (record, outcome) in batch.iter().zip(&outcomes) {
            if let (RecordOutcome::Taken, Some(update)) = (outcome, updates.get_mut(&record.provider)) {
                update.apply(record, now);
            }
        }
        for (key, value) in updates.values().flat_map(ProviderUpdate::rows) {
            write.insert(&self.rows, &key[..], value);
        }
        next.records = next.records.saturating_add_signed(grown.iter().map(|(_, grown)| grown).sum());
        self.commit(write, next)?;
        for known in updates.into_values().filter_map(ProviderUpdate::into_written) {
            self.by_peer.insert(Arc::new(known), &self.by_number);
        }
        for (key, grown) in grown {
            self.pass.grew(&layout::record_key(key.as_bytes()), grown);
        }
        Ok(Inserted::of(outcomes))
    }

    /// The number of a provider; a new one is taken from `next`. `None` when the provider is new and may not be, or no
    /// number is left.
    fn number_of(
        &mut self,
        provider: &PeerId,
        updates: &mut HashMap<PeerId, ProviderUpdate>,
        next: Option<&mut Counts>,
        now: UnixSeconds,
    ) -> Result<Option<u32>, Fault> {
        let place = match updates.entry(*provider) {
            Place::Occupied(update) => return Ok(Some(update.get().number())),
            Place::Vacant(place) => place,
        };
        let update = match self.by_peer.find(provider, &self.rows)? {
            Some(known) => ProviderUpdate::of_stored(&known),
            None => {
                let Some(number) = next.and_then(Counts::take_number) else { return Ok(None) };
                ProviderUpdate::new(number, *provider, now)
            }
        };
        Ok(Some(place.insert(update).number()))
    }
}

/// The row of a key while a batch changes it, with what it changes of the surplus.
struct KeyRow {
    key: ContentKey,
    row: Row,
    stored: Option<Row>,
    records_before: u64,
    /// Rows of the surplus that are written or, with `None`, removed.
    surplus: BTreeMap<u32, Option<UnixSeconds>>,
}

impl KeyRow {
    /// Reads the row and leaves out what had expired at the last purge: its date is sure, while that of an insert may be of a
    /// clock that jumped.
    fn read(rows: &Keyspace, key: ContentKey, now: UnixSeconds) -> Result<Self, Fault> {
        let stored = rows.get(layout::record_key(key.as_bytes()))?;
        let stored = stored.map(|value| Row::decode(&value)).transpose()?;
        let mut row = stored.clone().unwrap_or_default();
        let records_before = row.records();
        row.entries.truncate(row.living(now));
        Ok(Self { key, row, stored, records_before, surplus: BTreeMap::new() })
    }

    /// Puts a record in; whether there was room.
    fn put(&mut self, rows: &Keyspace, entry: Entry, now: UnixSeconds, max: u64) -> Result<bool, Fault> {
        let Entry { number, expires } = entry;
        if expires <= now {
            // Nobody would ever see it.
            return Ok(true);
        }
        if let Some(place) = self.row.entries.iter().position(|other| other.number == number) {
            let stored = self.row.entries.remove(place);
            self.row.place(Entry { number, expires: expires.max(stored.expires) });
            return Ok(true);
        }
        let stored = if self.row.surplus > 0 { self.in_surplus(rows, number)? } else { None };
        if stored.is_none() && self.row.records() >= max {
            return Ok(false);
        }
        let expires = stored.map_or(expires, |stored| stored.max(expires));
        let last = self.row.entries.last().filter(|_| self.row.entries.len() >= INLINE_MAX).copied();
        match last {
            // It stays in the surplus, or goes there.
            Some(last) if expires <= last.expires => {
                if stored.is_none() {
                    self.row.surplus += 1;
                }
                if stored != Some(expires) {
                    self.surplus.insert(number, Some(expires));
                }
                return Ok(true);
            }
            // It takes the place of the last in the row.
            Some(last) => {
                self.row.entries.pop();
                self.surplus.insert(last.number, Some(last.expires));
                self.row.surplus += 1;
            }
            None => {}
        }
        if stored.is_some() {
            self.surplus.insert(number, None);
            self.row.surplus -= 1;
        }
        self.row.place(Entry { number, expires });
        Ok(true)
    }

    fn in_surplus(&self, rows: &Keyspace, number: u32) -> Result<Option<UnixSeconds>, Fault> {
        if let Some(changed) = self.surplus.get(&number) {
            return Ok(*changed);
        }
        let stored = rows.get(layout::surplus_key(self.key.as_bytes(), number))?;
        Ok(stored.map(|value| layout::decode_u32(&value, "the surplus")).transpose()?.map(UnixSeconds))
    }

    fn write(self, rows: &Keyspace, write: &mut OwnedWriteBatch) {
        for (number, expires) in &self.surplus {
            let key = layout::surplus_key(self.key.as_bytes(), *number);
            match expires {
                Some(expires) => write.insert(rows, &key[..], &expires.0.to_le_bytes()[..]),
                None => write.remove(rows, &key[..]),
            }
        }
        let key = layout::record_key(self.key.as_bytes());
        debug_assert_eq!(key.first(), Some(&RECORDS));
        if self.row.records() == 0 {
            if self.stored.is_some() {
                write.remove(rows, &key[..]);
            }
        } else if self.stored.as_ref() != Some(&self.row) {
            write.insert(rows, &key[..], self.row.encode());
        }
    }
}
