//! A batch of records: looked up, and written in parts that are each there whole or not at all.

use crate::fault::Fault;
use crate::layout::{self, Known};
use crate::open::Engine;
use hydra_api::{Addresses, Inserted, PeerId, ProviderRecord, UnixSeconds};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

/// Addresses that are told again are written again when they are older than this, and not each time.
const REWRITTEN_AFTER: Duration = Duration::from_secs(Addresses::LIFE.as_secs() / 2);

/// A provider's `until` is set this much later than need be, so that it is not written with every record.
const UNTIL_AHEAD: Duration = REWRITTEN_AFTER;

/// Records of one write. Sled lets nobody read during a write: a reader waits for no more than this.
const PART_LEN: usize = 128;

/// What a part says of its providers.
type Told = HashMap<PeerId, (Known, Fresh)>;

/// Whether what is known of a provider must be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fresh {
    New,
    Changed,
    AsStored,
}

impl Engine {
    /// Stores a batch. Every record is taken but new ones when the store is full. Only one caller at a time.
    pub(crate) fn insert(&self, batch: &[ProviderRecord], now: UnixSeconds) -> Result<Inserted, Fault> {
        let mut inserted = Inserted::default();
        for part in batch.chunks(PART_LEN) {
            let of_part = self.insert_part(part, now)?;
            inserted.accepted += of_part.accepted;
            inserted.dropped += of_part.dropped;
        }
        Ok(inserted)
    }

    fn insert_part(&self, part: &[ProviderRecord], now: UnixSeconds) -> Result<Inserted, Fault> {
        let mut next = self.counts();
        let mut told = Told::with_capacity(part.len());
        // What the part has looked up or changed of the records.
        let mut rows = HashMap::with_capacity(part.len());
        let mut inserted = Inserted::default();
        let mut write = sled::Batch::default();
        for record in part {
            if record.expires > now && !self.put(record, now, &mut next, &mut told, &mut rows, &mut write)? {
                inserted.dropped += 1;
                continue;
            }
            // Of one that has expired nobody would ever see anything but its addresses.
            if record.expires <= now {
                self.tell_expired(record, now, &mut told)?;
            }
            inserted.accepted += 1;
        }
        for (known, fresh) in told.values().filter(|(_, fresh)| *fresh != Fresh::AsStored) {
            write.insert(&layout::provider_key(known.number)[..], known.encode());
            if *fresh == Fresh::New {
                write.insert(&layout::number_key(&known.peer)[..], &known.number.to_le_bytes()[..]);
            }
        }
        self.commit(write, next)?;
        for (known, _) in told.into_values().filter(|(_, fresh)| *fresh != Fresh::AsStored) {
            self.providers.tell(known);
        }
        Ok(inserted)
    }

    /// Puts a record in; whether there was room.
    fn put(
        &self,
        record: &ProviderRecord,
        now: UnixSeconds,
        next: &mut layout::Counts,
        told: &mut Told,
        rows: &mut HashMap<layout::RowKey, Option<u32>>,
        write: &mut sled::Batch,
    ) -> Result<bool, Fault> {
        let is_full = next.records >= self.records_max;
        let known = match told.entry(record.provider) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => match self.providers.of_peer(&record.provider, &self.rows)? {
                Some(known) => place.insert(((*known).clone(), Fresh::AsStored)),
                // Nothing of a peer that is not known can be refreshed.
                None if is_full => return Ok(false),
                None => place.insert((new_provider(record.provider, now, next)?, Fresh::New)),
            },
        };
        let row = layout::record_key(&record.key, known.0.number);
        let stored = match rows.get(&row) {
            Some(stored) => *stored,
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
            write.insert(&row[..], &expires.to_le_bytes()[..]);
        }
        if stored.is_none() {
            next.records += 1;
        }
        rows.insert(row, Some(expires));
        tell(known, record, now);
        Ok(true)
    }

    fn tell_expired(&self, record: &ProviderRecord, now: UnixSeconds, told: &mut Told) -> Result<(), Fault> {
        let known = match told.entry(record.provider) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => match self.providers.of_peer(&record.provider, &self.rows)? {
                Some(known) => place.insert(((*known).clone(), Fresh::AsStored)),
                None => return Ok(()),
            },
        };
        tell(known, record, now);
        Ok(())
    }
}

fn new_provider(peer: PeerId, now: UnixSeconds, next: &mut layout::Counts) -> Result<Known, Fault> {
    let number = next.next_provider;
    next.next_provider = number.checked_add(1).ok_or(Fault::Numbers)?;
    let addresses = Addresses::none();
    Ok(Known { number, peer, addresses, addresses_at: now, until: UnixSeconds(0) })
}

/// Takes note of what a record says of its provider.
fn tell((known, fresh): &mut (Known, Fresh), record: &ProviderRecord, now: UnixSeconds) {
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
    if changed && *fresh == Fresh::AsStored {
        *fresh = Fresh::Changed;
    }
}
