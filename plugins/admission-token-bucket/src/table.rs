//! Buckets for more keys than there is memory for.
//!
//! The table is a fixed number of buckets, in sets of [`WAYS`]; the hash of a key picks the set. A key that is not in
//! its set takes over the bucket there that is nearest to full, *with what that bucket holds*. So a bucket changes
//! hands but is never filled up by that, and whoever invents keys gains nothing: with any number of keys the table
//! as a whole gives out no more than its buckets hold and gain. A key that was displaced loses nothing either unless
//! its whole set is busy, for then it finds another nearly full bucket there. The hash has a random key, so nobody
//! can choose whom to share a set with.

use crate::gcra::Rate;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Buckets in a set: as many as fit into one cache line with the lock.
const WAYS: usize = 4;

/// Buckets by key, in fixed memory.
pub(crate) struct Table {
    random: RandomState,
    sets: Box<[Set]>,
}

/// Where a key is to be found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    set: usize,
    tag: u32,
}

/// The number of a bucket.
pub(crate) type BucketId = u32;

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
    /// The most buckets that a table of up to 2^24 has.
    pub(crate) const ID_BITS: u32 = 24;

    /// At least `len` buckets, all full.
    pub(crate) fn full(len: u32) -> Self {
        let sets = (len as usize).div_ceil(WAYS).next_power_of_two();
        let sets = (0..sets).map(|_| Set::default()).collect();
        Self { random: RandomState::new(), sets }
    }

    pub(crate) fn place(&self, key: impl Hash) -> Place {
        let hash = self.random.hash_one(key);
        // The set comes from the upper half and the tag from the lower, so that keys of one set differ in their tags.
        Place { set: (hash >> 32) as usize & (self.sets.len() - 1), tag: hash as u32 }
    }

    /// The bucket from which `cost` was taken. `None` when the key's does not hold as much: then nothing was taken, nor has
    /// any bucket changed hands.
    pub(crate) fn take(&self, place: Place, rate: Rate, now: u64, cost: u32) -> Option<BucketId> {
        let mut slots = self.lock(place.set);
        let slot = slots.find(place.tag).unwrap_or_else(|| slots.fullest());
        let full_at = rate.at_worst_empty(slots.full_at[slot], now);
        let Some(after) = rate.take(full_at, now, cost) else {
            slots.full_at[slot] = full_at;
            return None;
        };
        slots.full_at[slot] = after;
        slots.tag[slot] = place.tag;
        Some((place.set * WAYS + slot) as BucketId)
    }

    /// Puts back what was taken from a bucket at this rate. Should it have changed hands meanwhile, its new owner has
    /// taken it over without that, and gets it; its former one has taken it from no other bucket.
    pub(crate) fn give_back(&self, id: BucketId, rate: Rate, cost: u32) {
        let (set, slot) = (id as usize / WAYS, id as usize % WAYS);
        let mut slots = self.lock(set & (self.sets.len() - 1));
        slots.full_at[slot] = rate.give_back(slots.full_at[slot], cost);
    }

    fn lock(&self, set: usize) -> MutexGuard<'_, Slots> {
        self.sets[set].0.lock().unwrap_or_else(PoisonError::into_inner)
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
        f.debug_struct("Table").field("sets_len", &self.sets.len()).finish()
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
        let (table, rate) = (Table::full(64), Rate::new(1, 10));
        let buckets = table.sets.len() * WAYS;
        let taken =
            (0..1_000_000_u32).filter(|key| table.take(table.place(key), rate, 0, 1).is_some()).count();
        assert_eq!(taken, buckets * 10);
    }

    #[test]
    fn a_key_that_is_asked_for_keeps_its_bucket_while_its_set_has_others() {
        let (table, rate) = (Table::full(64), Rate::new(1, 2));
        let busy = table.place("busy");
        assert!(table.take(busy, rate, 0, 2).is_some());
        // Keys that take little and come one after the other displace each other, not the one that is at its limit.
        for (second, key) in (1..1_000_u64).zip(0_u32..) {
            table.take(table.place(key), rate, second * 1_000, 1);
            assert!(
                table.take(busy, rate, second * 1_000, 1).is_none(),
                "bucket was filled up at {second} by {key}"
            );
        }
    }

    /// As many buckets as a table may have are told apart by their numbers.
    #[test]
    fn a_bucket_number_has_few_enough_bits() {
        let sets = (1_usize << Table::ID_BITS).div_ceil(WAYS).next_power_of_two();
        assert_eq!(sets * WAYS, 1 << Table::ID_BITS);
    }

    #[test]
    fn what_is_given_back_goes_to_the_bucket_that_it_was_taken_from() {
        // One set: four keys, a fifth that displaces the first, and the first once more, in the place of another.
        let (table, rate) = (Table::full(WAYS as u32), Rate::new(1, 3));
        let take = |key: &str, cost| table.take(table.place(key), rate, 0, cost);
        let first = take("first", 1).unwrap();
        assert!(["second", "third", "fourth"].iter().all(|key| take(key, 2).is_some()));
        assert_eq!(take("fifth", 2), Some(first));
        let other = take("first", 1).unwrap();
        assert_ne!(first, other);
        table.give_back(first, rate, 1);
        assert_eq!(take("first", 1), None, "it has given nothing back to the bucket that it has now");
        assert_eq!(take("fifth", 1), Some(first));
        assert_eq!(take("fifth", 1), None);
    }

    #[test]
    fn buckets_that_change_hands_give_out_what_they_hold_and_what_is_given_back() {
        const BURST: u64 = 5;
        let (table, rate) = (Table::full(64), Rate::new(1, BURST as u32));
        let mut random = 1_u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % below
        };
        let (mut out, mut owed) = (Vec::new(), vec![0; table.sets.len() * WAYS]);
        for _ in 0..200_000 {
            if next(2) == 0 || out.is_empty() {
                let cost = next(3) + 1;
                let Some(id) = table.take(table.place(next(300)), rate, 0, cost as u32) else { continue };
                owed[id as usize] += cost;
                assert!(owed[id as usize] <= BURST, "bucket {id} gave out more than it holds");
                out.push((id, cost));
            } else {
                let (id, cost) = out.swap_remove(next(out.len() as u64) as usize);
                table.give_back(id, rate, cost as u32);
                owed[id as usize] -= cost;
            }
        }
        out.drain(..).for_each(|(id, cost)| table.give_back(id, rate, cost as u32));
        let full = table.sets.iter().all(|set| set.0.lock().unwrap().full_at == [0; WAYS]);
        assert!(full, "all was given back");
    }
}
