//! A batch of records: looked up, and written in parts that are each there whole or not at all.

use crate::fault::Fault;
use crate::layout::{self, Counts, Known, RowKey};
use crate::open::Engine;
use hydra_api::{Addresses, Inserted, PeerId, ProviderRecord, RecordOutcome, UnixSeconds};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

/// Addresses that are told again are written again when they are older than this, and not each time.
const REWRITTEN_AFTER: Duration = Addresses::SLACK;

/// A provider's `until` is set this much later than need be, so that it is not written with every record.
const UNTIL_AHEAD: Duration = Duration::from_secs(12 * 3_600);

/// Records of one write. Sled lets nobody read during a write: a reader waits for no more than this.
const PART_LEN: usize = 128;

/// What a part changes, as far as it was looked through.
struct Part {
    next: Counts,
    told: HashMap<PeerId, (Known, Fresh)>,
    /// Expiries of records that were looked up or changed.
    rows: HashMap<RowKey, u32>,
    write: sled::Batch,
}

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
        let mut outcomes = Vec::with_capacity(batch.len());
        for part in batch.chunks(PART_LEN) {
            outcomes.extend(self.insert_part(part, now)?);
        }
        Ok(Inserted::of(outcomes))
    }

    fn insert_part(&self, records: &[ProviderRecord], now: UnixSeconds) -> Result<Vec<RecordOutcome>, Fault> {
        let mut part = Part {
            next: self.counts(),
            told: HashMap::with_capacity(records.len()),
            rows: HashMap::with_capacity(records.len()),
            write: sled::Batch::default(),
        };
        let mut outcomes = Vec::with_capacity(records.len());
        for record in records {
            let taken = self.put(&mut part, record, now)?;
            outcomes.push(if taken { RecordOutcome::Taken } else { RecordOutcome::NoRoom });
        }
        let Part { next, told, mut write, .. } = part;
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
        Ok(outcomes)
    }

    /// Puts a record in; whether there was room.
    fn put(&self, part: &mut Part, record: &ProviderRecord, now: UnixSeconds) -> Result<bool, Fault> {
        let is_full = part.next.records >= self.records_max;
        // Of a record that has expired nobody would ever see more than the addresses.
        let has_expired = record.expires <= now;
        let known = match part.told.entry(record.provider) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => match self.providers.of_peer(&record.provider, &self.rows)? {
                Some(known) => place.insert(((*known).clone(), Fresh::AsStored)),
                None if has_expired => return Ok(true),
                // Nothing of a peer that is not known can be refreshed.
                None if is_full => return Ok(false),
                None => place.insert((new_provider(record.provider, now, &mut part.next)?, Fresh::New)),
            },
        };
        if !has_expired {
            let row = layout::record_key(&record.key, known.0.number);
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
        tell(known, record, now);
        Ok(true)
    }
}

fn new_provider(peer: PeerId, now: UnixSeconds, next: &mut Counts) -> Result<Known, Fault> {
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
