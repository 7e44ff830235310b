//! Which providers of keys with many of them have been taken.

use hydra_api::PeerId;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};

/// Fingerprints in a set: one cache line of them.
const WAYS: usize = 16;

/// Remembers announcements, a key and a provider each, by 32 bits of their hash in one of many sets. Newer ones take
/// the place of older ones.
///
/// An announcement is taken for a known one by chance once in 2^32 / 16 times.
pub(crate) struct Known {
    hasher: RandomState,
    sets: Box<[Set]>,
}

#[derive(Default)]
#[repr(align(64))]
struct Set([AtomicU32; WAYS]);

impl Known {
    /// Room for at least `len_max` announcements; none at all for 0.
    pub(crate) fn new(len_max: u32) -> Self {
        let sets = if len_max == 0 { 0 } else { (len_max as usize).div_ceil(WAYS).next_power_of_two() };
        Self { hasher: RandomState::new(), sets: (0..sets).map(|_| Set::default()).collect() }
    }

    pub(crate) fn has(&self, key: &[u8], provider: &PeerId) -> bool {
        let (tag, set) = self.place(key, provider);
        set.is_some_and(|Set(tags)| tags.iter().any(|it| it.load(Ordering::Relaxed) == tag))
    }

    /// Takes the place of any one of its set, if it is not there and the set is full.
    pub(crate) fn remember(&self, key: &[u8], provider: &PeerId) {
        let (tag, set) = self.place(key, provider);
        let Some(Set(tags)) = set else { return };
        let held = |wanted: u32| tags.iter().find(|it| it.load(Ordering::Relaxed) == wanted);
        if held(tag).is_none() {
            let place = held(0).unwrap_or(&tags[(tag >> 8) as usize % WAYS]);
            place.store(tag, Ordering::Relaxed);
        }
    }

    /// Its fingerprint, which is never 0, and its set.
    fn place(&self, key: &[u8], provider: &PeerId) -> (u32, Option<&Set>) {
        let hash = self.hasher.hash_one((key, provider.as_bytes()));
        let set = (hash >> 32) as usize & self.sets.len().wrapping_sub(1);
        ((hash as u32).max(1), self.sets.get(set))
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Known({} announcements)", self.sets.len() * WAYS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(number: u32) -> PeerId {
        let mut bytes = [7; 38];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        PeerId::new(&bytes).unwrap()
    }

    #[test]
    fn what_was_remembered_is_known_and_nothing_else() {
        let known = Known::new(1_024);
        known.remember(b"key", &provider(1));
        known.remember(b"key", &provider(1));
        assert!(known.has(b"key", &provider(1)));
        assert!(!known.has(b"key", &provider(2)) && !known.has(b"other", &provider(1)));
    }

    #[test]
    fn at_half_its_room_nearly_all_are_known() {
        const LEN: u32 = 1 << 16;
        let known = Known::new(LEN);
        (0..LEN / 2).for_each(|number| known.remember(b"key", &provider(number)));
        let held = (0..LEN / 2).filter(|number| known.has(b"key", &provider(*number))).count();
        assert!(held as u32 > LEN / 2 * 99 / 100, "{held} of {}", LEN / 2);
    }

    #[test]
    fn a_set_is_one_cache_line_and_nothing_grows() {
        assert_eq!(size_of::<Set>(), 64);
        let known = Known::new(16);
        (0..10_000).for_each(|number| known.remember(b"key", &provider(number)));
        let held = (0..10_000).filter(|number| known.has(b"key", &provider(*number))).count();
        assert_eq!(held, 16);
    }

    #[test]
    fn without_room_nothing_is_known() {
        let known = Known::new(0);
        known.remember(b"key", &provider(1));
        assert!(!known.has(b"key", &provider(1)));
    }
}
