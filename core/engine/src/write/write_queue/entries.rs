//! Entries in the order in which they are written, and the indexes by which they are found.

use super::{Hashes, Tries, present::Present};
use hydra_api::ProviderRecord;
use nohash_hasher::IntMap;
use std::collections::VecDeque;

/// An entry of the queue.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) record: ProviderRecord,
    pub(super) tries: Tries,
    pub(super) hashes: Hashes,
    /// The number of the entry before it with the same hash of its key.
    before: Option<u64>,
}

/// An entry's number is its place plus the number of the first. Where two hashes meet, the older entry stays in the queue
/// unindexed: it is written like any other.
#[derive(Debug, Default)]
pub(super) struct Entries {
    entries: VecDeque<Waiting>,
    first: u64,
    /// How many of the first entries are in hand.
    pub(super) in_hand: usize,
    /// The number of the newest entry by a hash of (key, provider).
    records: IntMap<u64, u64>,
    /// The number of the newest entry by a hash of the key.
    keys: IntMap<u64, u64>,
    pub(super) bytes: usize,
}

impl Entries {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many are not in hand.
    pub(super) fn ready(&self) -> usize {
        self.entries.len() - self.in_hand
    }

    /// Gives back memory that more entries than these, and more than there are, would take.
    pub(super) fn shrink_to(&mut self, len: usize) {
        self.entries.shrink_to(len);
        self.records.shrink_to(len);
        self.keys.shrink_to(len);
    }

    /// Takes further ones in hand until they are so many; those.
    pub(super) fn take_in_hand(&mut self, len: usize) -> impl Iterator<Item = &Waiting> {
        let end = self.entries.len().min(len).max(self.in_hand);
        let before = std::mem::replace(&mut self.in_hand, end);
        self.entries.range(before..end)
    }

    /// Those of a key, the newest first.
    pub(super) fn of_key(&self, hash: u64) -> impl Iterator<Item = &Waiting> {
        let newest = self.keys.get(&hash).and_then(|number| self.get(*number));
        std::iter::successors(newest, |waiting| self.get(waiting.before?))
    }

    /// The newest one of this key and provider, in hand or not.
    pub(super) fn newest(&self, hash: u64, of: &ProviderRecord) -> Option<&ProviderRecord> {
        let known = &self.get(*self.records.get(&hash)?)?.record;
        is_same(known, of).then_some(known)
    }

    /// The place of the entry of this key and provider that is not in hand.
    pub(super) fn find_waiting(&self, hash: u64, record: &ProviderRecord) -> Option<usize> {
        let place = usize::try_from(self.records.get(&hash)?.checked_sub(self.first)?).ok()?;
        (is_same(&self.entries.get(place)?.record, record) && place >= self.in_hand).then_some(place)
    }

    /// Puts a record at the end. A key that has no entry yet is added to those that are present.
    pub(super) fn append(&mut self, record: ProviderRecord, tries: Tries, hashes: Hashes, present: &Present) {
        let number = self.first + self.entries.len() as u64;
        self.records.insert(hashes.record, number);
        let before = self.keys.insert(hashes.key, number);
        if before.is_none() {
            present.add(hashes.key);
        }
        self.bytes += size(&record);
        self.entries.push_back(Waiting { record, tries, hashes, before });
    }

    /// Takes out the first entry, and whether it was the last one of its key: then the key is to be removed from those that are
    /// present, once the record is nowhere else to be found.
    pub(super) fn pop_first(&mut self) -> Option<(Waiting, bool)> {
        let waiting = self.entries.pop_front()?;
        let Hashes { key, record } = waiting.hashes;
        if self.records.get(&record) == Some(&self.first) {
            self.records.remove(&record);
        }
        let was_last = self.keys.get(&key) == Some(&self.first);
        if was_last {
            self.keys.remove(&key);
        }
        self.first += 1;
        self.in_hand = self.in_hand.saturating_sub(1);
        self.bytes -= size(&waiting.record);
        Some((waiting, was_last))
    }

    /// Takes out the last entry, unless it is in hand.
    pub(super) fn evict_last(&mut self, present: &Present) -> Option<ProviderRecord> {
        if self.ready() == 0 {
            return None;
        }
        let waiting = self.entries.pop_back()?;
        let number = self.first + self.entries.len() as u64;
        let Hashes { key, record } = waiting.hashes;
        if self.records.get(&record) == Some(&number) {
            self.records.remove(&record);
        }
        if self.keys.get(&key) == Some(&number) {
            match waiting.before.filter(|before| *before >= self.first) {
                Some(before) => _ = self.keys.insert(key, before),
                None => {
                    self.keys.remove(&key);
                    present.remove(key);
                }
            }
        }
        self.bytes -= size(&waiting.record);
        Some(waiting.record)
    }

    /// As if one had been written after the other: the later expiry wins, addresses replace those known if there are
    /// any. Addresses for which there is no room are left as they were.
    pub(super) fn merge(&mut self, place: usize, newer: ProviderRecord, bytes_max: usize) {
        let Some(Waiting { record, tries, .. }) = self.entries.get_mut(place) else { return };
        *tries = Tries::default();
        record.expires = record.expires.max(newer.expires);
        if newer.addresses.is_empty() {
            return;
        }
        let others = self.bytes - size(record);
        if others + size(&newer) <= bytes_max {
            record.addresses = newer.addresses;
            self.bytes = others + size(record);
        }
    }

    /// As [`Self::merge`], with what waits being the newer one.
    pub(super) fn merge_older(&mut self, place: usize, older: ProviderRecord, bytes_max: usize) {
        let Some(Waiting { record, .. }) = self.entries.get(place) else { return };
        let addresses = if record.addresses.is_empty() { older.addresses } else { record.addresses.clone() };
        let merged = ProviderRecord { addresses, ..older };
        self.merge(place, merged, bytes_max);
    }

    fn get(&self, number: u64) -> Option<&Waiting> {
        self.entries.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }
}

fn is_same(one: &ProviderRecord, other: &ProviderRecord) -> bool {
    one.key == other.key && one.provider == other.provider
}

/// About how many bytes an entry takes, its places in the indexes included.
pub(super) fn size(record: &ProviderRecord) -> usize {
    size_of::<Waiting>() + 4 * size_of::<(u64, u64)>() + record.addresses.encoded().len()
}
