//! The records of one part of all keys.

use crate::providers::Providers;
use crate::room::Room;
use hydra_api::{ContentKey, UnixSeconds};
use smallvec::SmallVec;
use std::collections::{BinaryHeap, HashMap};

/// A provider of a key, in eight bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) provider: u32,
    pub(crate) expires: UnixSeconds,
}

/// A key and its entries.
type Row<'s> = (&'s [u8], &'s [Entry]);

/// Entries that need no memory of their own.
const INLINE: usize = 2;

/// Ordered by provider, so that one of thousands is found at once.
type Entries = SmallVec<[Entry; INLINE]>;

/// Bytes of a place in the table: the key's pointer, the entries, a byte of control.
const PLACE_BYTES: u64 = 16 + 24 + 1;

/// The header and the rounding of one piece of heap memory.
const HEAP_BYTES: u64 = 16;

/// Records whose keys fall into this part.
#[derive(Debug)]
pub(crate) struct Shard {
    keys: HashMap<Box<[u8]>, Entries>,
    /// What the table was booked at when it last grew. Its capacity is no measure: removed keys leave marks that lower it.
    table_bytes: u64,
    /// No record expires before.
    earliest: UnixSeconds,
    /// No record expires after.
    latest: UnixSeconds,
}

/// What became of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    New,
    Refreshed,
    NoRoom,
}

impl Shard {
    pub(crate) fn new() -> Self {
        Self { keys: HashMap::new(), table_bytes: 0, earliest: UnixSeconds(u32::MAX), latest: UnixSeconds(0) }
    }

    /// Stores a record of a provider that is known.
    pub(crate) fn put(&mut self, key: &ContentKey, entry: Entry, entries_max: usize, room: &Room) -> Put {
        let Some(entries) = self.keys.get_mut(key.as_bytes()) else {
            return self.put_key(key, entry, room);
        };
        let put = match entries.binary_search_by_key(&entry.provider, |entry| entry.provider) {
            Ok(found) => {
                entries[found].expires = entries[found].expires.max(entry.expires);
                Put::Refreshed
            }
            Err(_) if entries.len() >= entries_max => return Put::NoRoom,
            Err(place) => {
                let grown = grown_bytes(entries);
                if !room.take(grown) {
                    return Put::NoRoom;
                }
                if grown > 0 {
                    entries.grow(entries.capacity() * 2);
                }
                entries.insert(place, entry);
                Put::New
            }
        };
        self.earliest = self.earliest.min(entry.expires);
        self.latest = self.latest.max(entry.expires);
        put
    }

    fn put_key(&mut self, key: &ContentKey, entry: Entry, room: &Room) -> Put {
        let full = self.keys.len() == self.keys.capacity();
        // The table about doubles when it is full.
        let table = if full {
            table_bytes(2 * self.keys.capacity().max(3)).saturating_sub(self.table_bytes)
        } else {
            0
        };
        let heap = heap_bytes(key.as_bytes().len());
        if !room.take(heap + table) {
            return Put::NoRoom;
        }
        if full {
            self.keys.reserve(1);
            let found = table_bytes(self.keys.capacity());
            room.correct(self.table_bytes + table, found);
            self.table_bytes = found;
        }
        self.keys.insert(key.as_bytes().into(), smallvec::smallvec![entry]);
        self.earliest = self.earliest.min(entry.expires);
        self.latest = self.latest.max(entry.expires);
        Put::New
    }

    /// Lowers every later expiry to this.
    pub(crate) fn expire_by(&mut self, latest: UnixSeconds) {
        if self.latest <= latest {
            return;
        }
        for entry in self.keys.values_mut().flatten() {
            entry.expires = entry.expires.min(latest);
        }
        (self.latest, self.earliest) = (latest, self.earliest.min(latest));
    }

    /// Whether this provider of this key is there, expired or not.
    pub(crate) fn has(&self, key: &ContentKey, provider: u32) -> bool {
        let entries = self.keys.get(key.as_bytes()).map_or(&[][..], |entries| entries);
        entries.binary_search_by_key(&provider, |entry| entry.provider).is_ok()
    }

    /// Up to `limit` living entries, freshest first. Of more, those from a place on that `turn` moves about, so that
    /// not always the same are left out.
    pub(crate) fn living(&self, key: &ContentKey, now: UnixSeconds, limit: usize, turn: usize) -> Vec<Entry> {
        let Some(entries) = self.keys.get(key.as_bytes()) else { return Vec::new() };
        let start = if entries.len() > limit { turn % entries.len() } else { 0 };
        let (before, from) = entries.split_at(start);
        let mut living: Vec<_> =
            from.iter().chain(before).filter(|entry| entry.expires > now).take(limit).copied().collect();
        living.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.expires));
        living
    }

    /// Whether something may have expired.
    pub(crate) fn has_expired(&self, now: UnixSeconds) -> bool {
        self.earliest <= now
    }

    /// Removes up to `limit` expired records; how many.
    pub(crate) fn prune(&mut self, now: UnixSeconds, limit: u64, providers: &Providers, room: &Room) -> u64 {
        let mut removed = 0;
        let mut earliest = UnixSeconds(u32::MAX);
        self.keys.retain(|key, entries| {
            entries.retain(|entry| {
                if entry.expires > now || removed == limit {
                    earliest = earliest.min(entry.expires);
                    return true;
                }
                removed += 1;
                providers.let_go(entry.provider, room);
                false
            });
            if entries.is_empty() {
                room.give_back(heap_bytes(key.len()) + entries_bytes(entries));
            } else if entries.spilled() && entries.len() <= entries.capacity() / 4 {
                let before = entries_bytes(entries);
                entries.shrink_to_fit();
                room.correct(before, entries_bytes(entries));
            }
            !entries.is_empty()
        });
        self.earliest = earliest;
        removed
    }

    /// Removes up to `limit` entries of a key, or its entry of one provider; those that went.
    pub(crate) fn remove(
        &mut self,
        key: &ContentKey,
        provider: Option<u32>,
        limit: usize,
        room: &Room,
    ) -> Vec<Entry> {
        let Some(entries) = self.keys.get_mut(key.as_bytes()) else { return Vec::new() };
        let removed = match provider {
            None => entries.drain(..limit.min(entries.len())).collect(),
            Some(provider) => match entries.binary_search_by_key(&provider, |entry| entry.provider) {
                Ok(place) => vec![entries.remove(place)],
                Err(_) => Vec::new(),
            },
        };
        if entries.is_empty() {
            room.give_back(heap_bytes(key.as_bytes().len()) + entries_bytes(entries));
            self.keys.remove(key.as_bytes());
        }
        removed
    }

    /// How many entries a key has, expired ones included.
    pub(crate) fn len_of(&self, key: &ContentKey) -> usize {
        self.keys.get(key.as_bytes()).map_or(0, |entries| entries.len())
    }

    /// The first `len_max` keys from `from` on, in order, with their entries; whether there are no more.
    pub(crate) fn keys_from(&self, from: &[u8], len_max: usize) -> (Vec<Row<'_>>, bool) {
        // Only the keys of the page are put in order, not all of the shard.
        let mut first: BinaryHeap<&[u8]> = BinaryHeap::new();
        let mut is_all = true;
        for key in self.keys.keys().map(|key| &**key).filter(|key| *key >= from) {
            first.push(key);
            if first.len() > len_max {
                first.pop();
                is_all = false;
            }
        }
        let keys = first.into_sorted_vec().into_iter();
        let with_entries = keys.filter_map(|key| Some((key, &self.keys.get(key)?[..])));
        (with_entries.collect(), is_all)
    }

    /// What the table is booked at.
    #[cfg(test)]
    pub(crate) fn table_bytes(&self) -> u64 {
        self.table_bytes
    }
}

/// A table is filled to seven eighths.
fn table_bytes(capacity: usize) -> u64 {
    (capacity as u64 * 8 / 7) * PLACE_BYTES
}

fn heap_bytes(len: usize) -> u64 {
    len as u64 + HEAP_BYTES
}

fn entries_bytes(entries: &Entries) -> u64 {
    if entries.spilled() { heap_bytes(entries.capacity() * size_of::<Entry>()) } else { 0 }
}

/// What one entry more takes of memory.
fn grown_bytes(entries: &Entries) -> u64 {
    if entries.len() < entries.capacity() {
        return 0;
    }
    heap_bytes(2 * entries.capacity() * size_of::<Entry>()) - entries_bytes(entries)
}
