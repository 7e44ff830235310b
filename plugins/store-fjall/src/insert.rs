//! A batch of records: read, changed and written as one.

use crate::fault::Fault;
use crate::layout::{self, Entry, INLINE_MAX, Known, RECORDS, Row};
use crate::writer::Engine;
use fjall::{Keyspace, OwnedWriteBatch};
use hydra_api::{Addresses, ContentKey, Inserted, PeerId, ProviderRecord, RecordOutcome, UnixSeconds};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Addresses that are told again are written again when they are older than this, and not each time.
const REWRITTEN_AFTER: Duration = Addresses::SLACK;

/// A provider's `until` is set this much later than need be, so that it is not written with every record.
const UNTIL_AHEAD: Duration = Duration::from_secs(12 * 3_600);

/// What a batch says of its providers.
#[derive(Default)]
struct Told {
    of: HashMap<PeerId, (Known, Fresh)>,
}

/// Whether what is known of a provider must be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fresh {
    New,
    Changed,
    AsStored,
}

impl Engine {
    /// Stores a batch, all of it or nothing. Every record is taken but new ones of a key that has its most providers.
    pub(crate) fn insert(&mut self, batch: &[ProviderRecord], now: UnixSeconds) -> Result<Inserted, Fault> {
        let mut next = self.counts;
        let told = self.told_in(batch, now, &mut next.next_provider)?;
        let mut write = self.db.batch();
        let mut outcomes = vec![RecordOutcome::NoRoom; batch.len()];
        let mut grown = Vec::new();
        // Groups of one key; in a group the order of the batch stays.
        let mut by_key: Vec<_> = batch.iter().enumerate().collect();
        by_key.sort_by_key(|(_, record)| record.key);
        for group in by_key.chunk_by(|(_, one), (_, other)| one.key == other.key) {
            let Some((_, first)) = group.first() else { continue };
            let mut key = KeyRow::read(&self.rows, first.key, now)?;
            for (place, record) in group {
                let number = told.of.get(&record.provider).map(|(known, _)| known.number);
                let entry = number.map(|number| Entry { number, expires: record.expires });
                match entry {
                    Some(entry) if key.put(&self.rows, entry, now, self.providers_per_key_max)? => {
                        outcomes[*place] = RecordOutcome::Taken;
                    }
                    _ => {}
                }
            }
            grown.push((first.key, key.row.records() as i64 - key.records_before as i64));
            key.write(&self.rows, &mut write);
        }
        for (known, fresh) in told.of.values().filter(|(_, fresh)| *fresh != Fresh::AsStored) {
            write.insert(&self.rows, &layout::provider_key(known.number)[..], known.encode());
            if *fresh == Fresh::New {
                write.insert(
                    &self.rows,
                    &layout::number_key(&known.peer)[..],
                    &known.number.to_le_bytes()[..],
                );
            }
        }
        next.records = next.records.saturating_add_signed(grown.iter().map(|(_, grown)| grown).sum());
        self.commit(write, next)?;
        for (known, _) in told.of.into_values().filter(|(_, fresh)| *fresh != Fresh::AsStored) {
            self.by_peer.tell(Arc::new(known), &self.by_number);
        }
        for (key, grown) in grown {
            self.pass.grew(&layout::record_key(key.as_bytes()), grown);
        }
        Ok(Inserted::of(outcomes))
    }

    /// What is known of the batch's providers after it, in its order: the last addresses told stay.
    fn told_in(&mut self, batch: &[ProviderRecord], now: UnixSeconds, next: &mut u32) -> Result<Told, Fault> {
        let mut told = Told::default();
        for record in batch {
            let (known, fresh) = match told.of.entry(record.provider) {
                std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::hash_map::Entry::Vacant(place) => {
                    let known = match self.by_peer.find(&record.provider, &self.rows)? {
                        Some(known) => ((*known).clone(), Fresh::AsStored),
                        None => (new_provider(record.provider, now, next)?, Fresh::New),
                    };
                    place.insert(known)
                }
            };
            if tell(known, record, now) && *fresh == Fresh::AsStored {
                *fresh = Fresh::Changed;
            }
        }
        Ok(told)
    }
}

fn new_provider(peer: PeerId, now: UnixSeconds, next: &mut u32) -> Result<Known, Fault> {
    let number = *next;
    *next = next.checked_add(1).ok_or(Fault::Numbers)?;
    let addresses = Addresses::none();
    Ok(Known { number, peer, addresses, addresses_at: now, until: UnixSeconds(0) })
}

/// Whether what is known has changed enough to be written.
fn tell(known: &mut Known, record: &ProviderRecord, now: UnixSeconds) -> bool {
    let mut changed = false;
    if !record.addresses.is_empty() {
        let differ = known.addresses != record.addresses;
        if differ {
            // A copy in a buffer of its own: the one that came in may be part of a whole message.
            let copy = bytes::Bytes::copy_from_slice(record.addresses.encoded());
            known.addresses = Addresses::from_encoded(copy).unwrap_or_default();
        }
        if differ || now.since(known.addresses_at) >= REWRITTEN_AFTER {
            known.addresses_at = now;
            changed = true;
        }
    }
    if record.expires > known.until {
        known.until = record.expires.saturating_add(UNTIL_AHEAD);
        changed = true;
    }
    changed
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
    /// Reads the row and leaves out what has expired.
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
        stored.map(|value| layout::decode_expiry(&value)).transpose()
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
