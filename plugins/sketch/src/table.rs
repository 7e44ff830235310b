//! Counters of more keys than there is memory for.
//!
//! The table is a fixed number of counters, in sets of [`WAYS`]; the hash of a key picks the set. A key that is not
//! in its set takes over the lowest counter there, *with what it holds* (Metwally's Space-Saving, in sets). So a key
//! is never counted too low, keys that are asked for often keep their counters, and inventing keys gains nothing. The
//! hash has a random seed, so nobody can choose whom to share a set with.

use crate::clock::Tick;
use crate::count::Count;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Counters in a set: as many as fit into one cache line with the lock.
const WAYS: usize = 4;

/// By how many ticks the one of another thread may be behind that of a counter: 17 seconds.
const BEHIND_MAX: u32 = 1 << 10;

/// Decaying counters by key, in fixed memory.
pub struct Table<S = RandomState> {
    hasher: S,
    sets: Box<[Set]>,
}

/// Where a key is to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    set: u32,
    tag: u32,
}

/// The number of a counter, below [`Table::len`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SlotId(pub u32);

/// What was added, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Added {
    /// The counter.
    pub slot: SlotId,
    /// What it holds now.
    pub count: Count,
}

/// Two threads that ask for the same key at once must not each find a counter for it; so a set has a lock. It is held
/// for some nanoseconds, and threads meet there only when they ask for the same few keys.
#[derive(Default)]
#[repr(align(64))]
struct Set(Mutex<Slots>);

#[derive(Default)]
struct Slots {
    count: [Count; WAYS],
    /// As of which tick, without its upper half.
    tick: [u32; WAYS],
    tag: [u32; WAYS],
}

impl Table {
    /// At least `len` counters, all at zero, under a random seed.
    pub fn new(len: u32) -> Self {
        Self::with_hasher(len, RandomState::new())
    }
}

impl<S: BuildHasher> Table<S> {
    /// At least `len` counters, all at zero, under the seed of this hasher.
    pub fn with_hasher(len: u32, hasher: S) -> Self {
        let sets = (len as usize).div_ceil(WAYS).next_power_of_two();
        Self { hasher, sets: (0..sets).map(|_| Set::default()).collect() }
    }

    /// Where this key is to be found.
    pub fn place(&self, key: impl Hash) -> Place {
        let hash = self.hasher.hash_one(key);
        // The set comes from the upper half and the tag from the lower, so that keys of one set differ in their tags.
        Place { set: (hash >> 32) as u32 & (self.sets.len() as u32 - 1), tag: hash as u32 }
    }

    /// Fetches the counter of this place into the cache. A lock waits for memory, so whoever adds to several tables fetches
    /// from all of them first, and waits once.
    pub fn fetch(&self, place: Place) {
        std::hint::black_box(self.sets[place.set as usize].0.is_poisoned());
    }

    /// Counts one request more of a key, unless that makes it more than `max`; then the table is as before.
    ///
    /// # Errors
    /// What the key's counter holds, if one more does not fit.
    pub fn add(&self, place: Place, tick: Tick, max: Count) -> Result<Added, Count> {
        let mut slots = self.lock(place.set as usize);
        let slot = slots.find(place.tag).unwrap_or_else(|| slots.lowest(tick));
        let before = slots.read(slot, tick);
        let count = before.plus(Count::ONE);
        if count > max {
            return Err(before);
        }
        slots.set(slot, count, tick);
        slots.tag[slot] = place.tag;
        Ok(Added { slot: SlotId((place.set as usize * WAYS + slot) as u32), count })
    }

    /// Takes one request back from a counter. Should it have changed hands meanwhile, its new owner has taken it over
    /// with that request, and is relieved of it.
    pub fn take_back(&self, SlotId(id): SlotId, tick: Tick) {
        let (set, slot) = (id as usize / WAYS, id as usize % WAYS);
        let mut slots = self.lock(set & (self.sets.len() - 1));
        let count = slots.read(slot, tick).minus(Count::ONE);
        slots.set(slot, count, tick);
    }

    /// The count of a key: zero if it has no counter.
    pub fn count(&self, place: Place, tick: Tick) -> Count {
        let slots = self.lock(place.set as usize);
        slots.find(place.tag).map_or(Count::ZERO, |slot| slots.read(slot, tick))
    }

    /// How many counters there are.
    pub fn len(&self) -> usize {
        self.sets.len() * WAYS
    }

    /// Never.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    fn lock(&self, set: usize) -> MutexGuard<'_, Slots> {
        self.sets[set].0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    fn find(&self, tag: u32) -> Option<usize> {
        self.tag.iter().position(|&it| it == tag)
    }

    fn lowest(&self, tick: Tick) -> usize {
        (1..WAYS)
            .fold(0, |best, slot| if self.read(slot, tick) < self.read(best, tick) { slot } else { best })
    }

    fn read(&self, slot: usize, tick: Tick) -> Count {
        self.count[slot].after(self.age(slot, tick).into())
    }

    fn set(&mut self, slot: usize, count: Count, tick: Tick) {
        let was_used = self.count[slot] != Count::ZERO;
        self.count[slot] = count;
        self.tick[slot] =
            if was_used { self.tick[slot].wrapping_add(self.age(slot, tick)) } else { tick as u32 };
    }

    /// How many ticks ago the counter was set; a tick before that counts as that one. Two years and three months later, when the
    /// lower half of the ticks comes round, a counter of a key that nobody asked for since counts as new for that long.
    fn age(&self, slot: usize, tick: Tick) -> u32 {
        let age = (tick as u32).wrapping_sub(self.tick[slot]);
        if age > u32::MAX - BEHIND_MAX { 0 } else { age }
    }
}

impl<S> fmt::Debug for Table<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("sets_len", &self.sets.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
