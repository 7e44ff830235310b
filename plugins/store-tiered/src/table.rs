//! A table of fixed size: what this process knows of keys or of providers.

use hydra_api::UnixSeconds;
use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Entries of one set. A new entry takes the place of the one of its set that was used longest ago.
const WAYS: usize = 4;

/// A table of fixed size. An entry stands for a fact that a read has found; a *doubt* ends the entry, and keeps out what
/// reads have found that began before the doubt.
#[derive(Debug)]
pub(crate) struct Table<T> {
    sets: Box<[Mutex<Set<T>>]>,
    hasher: RandomState,
}

/// Entries with a lock of their own.
#[derive(Debug)]
struct Set<T> {
    /// The latest doubt about any key of this set, by its number.
    doubted: u64,
    /// Until then nothing is put in: a write may still come to its end.
    held_until: UnixSeconds,
    entries: [Option<Entry<T>>; WAYS],
}

#[derive(Debug)]
struct Entry<T> {
    /// The hash of its key. Never zero, so that an empty place needs no mark of its own.
    tag: NonZeroU64,
    used: UnixSeconds,
    value: T,
}

impl<T> Table<T> {
    /// A table of about `len_max` entries.
    pub(crate) fn new(len_max: usize) -> Self {
        let set = || Set { doubted: 0, held_until: UnixSeconds(0), entries: [const { None }; WAYS] };
        let sets = (0..len_max.div_ceil(WAYS).max(1)).map(|_| Mutex::new(set())).collect();
        Self { sets, hasher: RandomState::new() }
    }

    /// What `look` makes of the entry of a key. It counts as used.
    pub(crate) fn look<R>(
        &self,
        key: &impl Hash,
        now: UnixSeconds,
        look: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        let (tag, mut set) = self.set(key);
        let entry = set.entry(tag)?;
        entry.used = now;
        Some(look(&mut entry.value))
    }

    /// Puts in what a read has found that began after the doubt of number `since`. False if there was a doubt since, or a
    /// write may still come to its end.
    pub(crate) fn put(&self, key: &impl Hash, value: T, since: u64, now: UnixSeconds) -> bool {
        let (tag, mut set) = self.set(key);
        if set.doubted > since || now < set.held_until {
            return false;
        }
        set.put(Entry { tag, used: now, value });
        true
    }

    /// Puts in what a write has brought about that began after the doubt of number `since` and ends with that of number
    /// `doubt`. If there was one since, the two may have come in either order: `agrees` says whether the other brought
    /// about the same, else the entry ends.
    pub(crate) fn replace(
        &self,
        key: &impl Hash,
        value: T,
        (since, doubt): (u64, u64),
        now: UnixSeconds,
        agrees: impl FnOnce(&T, &T) -> bool,
    ) {
        let (tag, mut set) = self.set(key);
        let alone = set.doubted <= since && now >= set.held_until;
        set.doubted = set.doubted.max(doubt);
        if alone || set.entry(tag).is_some_and(|entry| agrees(&entry.value, &value)) {
            set.put(Entry { tag, used: now, value });
        } else {
            set.remove(tag);
        }
    }

    /// What `look` makes of the entry of a key that a write has changed, which ends with the doubt of this number: the entry
    /// stays, and what reads have found that began before is kept out.
    pub(crate) fn amend(&self, key: &impl Hash, doubt: u64, look: impl FnOnce(&mut T)) {
        let (tag, mut set) = self.set(key);
        set.doubted = set.doubted.max(doubt);
        if let Some(entry) = set.entry(tag) {
            look(&mut entry.value);
        }
    }

    /// Ends the entry of a key, with the doubt of this number.
    pub(crate) fn doubt(&self, key: &impl Hash, doubt: u64) {
        let (tag, mut set) = self.set(key);
        set.doubted = set.doubted.max(doubt);
        set.remove(tag);
    }

    /// The same, and lets nothing be put in until this moment.
    pub(crate) fn hold(&self, key: &impl Hash, doubt: u64, until: UnixSeconds) {
        let (tag, mut set) = self.set(key);
        set.doubted = set.doubted.max(doubt);
        set.held_until = set.held_until.max(until);
        set.remove(tag);
    }

    /// Ends the entry of a key without a doubt about what reads find.
    pub(crate) fn remove(&self, key: &impl Hash) {
        let (tag, mut set) = self.set(key);
        set.remove(tag);
    }

    /// The memory of one entry, in bytes.
    #[cfg(test)]
    pub(crate) const fn bytes_per_entry() -> usize {
        size_of::<Mutex<Set<T>>>().div_ceil(WAYS)
    }

    fn set(&self, key: &impl Hash) -> (NonZeroU64, MutexGuard<'_, Set<T>>) {
        let hash = self.hasher.hash_one(key);
        // Below the number of sets, so that it fits whatever the width of `usize`.
        let place = (hash % self.sets.len() as u64) as usize;
        (NonZeroU64::MIN | hash, self.sets[place].lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T> Set<T> {
    fn entry(&mut self, tag: NonZeroU64) -> Option<&mut Entry<T>> {
        self.entries.iter_mut().flatten().find(|entry| entry.tag == tag)
    }

    fn put(&mut self, entry: Entry<T>) {
        let own = |slot: &&mut Option<Entry<T>>| slot.as_ref().is_some_and(|known| known.tag == entry.tag);
        if let Some(slot) = self.entries.iter_mut().find(own) {
            *slot = Some(entry);
            return;
        }
        // An empty one comes before all others.
        let oldest = self.entries.iter_mut().min_by_key(|slot| slot.as_ref().map(|known| known.used));
        if let Some(slot) = oldest {
            *slot = Some(entry);
        }
    }

    fn remove(&mut self, tag: NonZeroU64) {
        for slot in &mut self.entries {
            if slot.as_ref().is_some_and(|entry| entry.tag == tag) {
                *slot = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1000);

    fn found(table: &Table<u32>, key: u32) -> Option<u32> {
        table.look(&key, NOW, |value| *value)
    }

    #[test]
    fn a_read_that_began_before_a_doubt_puts_nothing_in() {
        let table = Table::new(64);
        table.doubt(&1, 5);
        assert!(!table.put(&1, 10, 4, NOW));
        assert_eq!(found(&table, 1), None);
        assert!(table.put(&1, 10, 5, NOW));
        table.doubt(&1, 6);
        assert_eq!(found(&table, 1), None);
    }

    #[test]
    fn while_a_write_may_come_to_its_end_nothing_is_put_in() {
        let table = Table::new(64);
        table.hold(&1, 1, UnixSeconds(1010));
        assert!(!table.put(&1, 10, 1, UnixSeconds(1009)));
        assert!(table.put(&1, 10, 1, UnixSeconds(1010)));
    }

    #[test]
    fn of_two_writes_at_once_that_differ_neither_is_believed() {
        let table = Table::new(64);
        let agrees = |one: &u32, other: &u32| one == other;
        table.replace(&1, 10, (0, 1), NOW, agrees);
        assert_eq!(found(&table, 1), Some(10));
        // Begun before the first had ended.
        table.replace(&1, 10, (0, 2), NOW, agrees);
        assert_eq!(found(&table, 1), Some(10));
        table.replace(&1, 11, (1, 3), NOW, agrees);
        assert_eq!(found(&table, 1), None);
        table.replace(&1, 12, (3, 4), NOW, agrees);
        assert_eq!(found(&table, 1), Some(12));
    }

    #[test]
    fn the_table_keeps_its_size_and_what_is_used() {
        let table = Table::new(WAYS);
        for key in 0..WAYS as u32 {
            assert!(table.put(&key, key, 0, UnixSeconds(key)));
        }
        assert_eq!(found(&table, 0), Some(0));
        assert!(table.put(&99, 99, 0, NOW));
        let kept: Vec<_> = (0..WAYS as u32).filter(|key| found(&table, *key).is_some()).collect();
        assert_eq!(kept, [0, 2, 3]);
    }
}
