//! Buckets for more keys than there is memory for.
//!
//! The table is a fixed number of buckets, in sets of [`WAYS`]; the hash of a key picks the set. A key that is not in
//! its set takes over the bucket there that is nearest to full, *with what that bucket holds*. So a bucket changes
//! hands but is never filled up by that, and whoever invents keys gains nothing: with any number of keys the table
//! as a whole gives out no more than its buckets hold and gain. A key that was displaced loses nothing either unless
//! its whole set is busy, for then it finds another nearly full bucket there. The hash has a random key, so nobody
//! can choose whom to share a set with.

use crate::gcra::{Rate, SharedRate};
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Buckets in a set: as many as fit into one cache line with the lock.
const WAYS: usize = 4;

/// Buckets by key, in fixed memory.
pub(crate) struct Table {
    rate: SharedRate,
    random: RandomState,
    sets: Box<[Set]>,
}

/// Where a key is to be found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    set: usize,
    tag: u32,
}

/// Two threads that ask for the same key at once must not each find an empty place for it; so a set has a lock. It
/// is held for a few nanoseconds, and threads meet there only when they ask for the same few keys.
#[derive(Default)]
#[repr(align(64))]
struct Set(Mutex<Slots>);

#[derive(Default)]
struct Slots {
    full_at: [u64; WAYS],
    tag: [u32; WAYS],
}

impl Table {
    /// At least `len` buckets, all full.
    pub(crate) fn full(rate: Rate, len: u32) -> Self {
        let sets = (len as usize).div_ceil(WAYS).next_power_of_two();
        let sets = (0..sets).map(|_| Set::default()).collect();
        Self { rate: SharedRate::new(rate), random: RandomState::new(), sets }
    }

    pub(crate) const fn rate(&self) -> &SharedRate {
        &self.rate
    }

    pub(crate) fn place(&self, key: impl Hash) -> Place {
        let hash = self.random.hash_one(key);
        // The set comes from the upper half and the tag from the lower, so that keys of one set differ in their tags.
        Place { set: (hash >> 32) as usize & (self.sets.len() - 1), tag: hash as u32 }
    }

    /// Whether `cost` could be taken, and was. When not, nothing has changed, nor has any bucket changed hands.
    pub(crate) fn take(&self, place: Place, now: u64, cost: u32) -> bool {
        let mut slots = self.lock(place);
        let slot = slots.find(place.tag).unwrap_or_else(|| slots.fullest());
        let Some(after) = self.rate.get().take(slots.full_at[slot], now, cost) else { return false };
        slots.full_at[slot] = after;
        slots.tag[slot] = place.tag;
        true
    }

    /// Puts `cost` back. When the bucket has changed hands meanwhile, its new owner took it over as it was: then
    /// nothing is put back, which lets in too little rather than too much.
    pub(crate) fn give_back(&self, place: Place, cost: u32) {
        let mut slots = self.lock(place);
        if let Some(slot) = slots.find(place.tag) {
            slots.full_at[slot] = self.rate.get().give_back(slots.full_at[slot], cost);
        }
    }

    fn lock(&self, place: Place) -> MutexGuard<'_, Slots> {
        self.sets[place.set].0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    fn find(&self, tag: u32) -> Option<usize> {
        self.tag.iter().position(|&it| it == tag)
    }

    fn fullest(&self) -> usize {
        (1..WAYS).fold(0, |best, slot| if self.full_at[slot] < self.full_at[best] { slot } else { best })
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("rate", &self.rate).field("sets_len", &self.sets.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_one_cache_line() {
        assert_eq!(size_of::<Set>(), 64);
    }

    #[test]
    fn a2_inventing_keys_gains_no_more_than_the_buckets_there_are() {
        let table = Table::full(Rate::new(1, 10), 64);
        let buckets = table.sets.len() * WAYS;
        let taken = (0..1_000_000_u32).filter(|key| table.take(table.place(key), 0, 1)).count();
        assert_eq!(taken, buckets * 10);
    }

    #[test]
    fn a_key_that_is_asked_for_keeps_its_bucket_while_its_set_has_others() {
        let table = Table::full(Rate::new(1, 2), 64);
        let busy = table.place("busy");
        assert!(table.take(busy, 0, 2));
        // Keys that take little and come one after the other displace each other, not the one that is at its limit.
        for (second, key) in (1..1_000_u64).zip(0_u32..) {
            table.take(table.place(key), second * 1_000, 1);
            assert!(!table.take(busy, second * 1_000, 1), "bucket was filled up at {second} by {key}");
        }
    }
}
