//! Whether a key may be in the queue, without its lock.

use std::sync::atomic::{AtomicU16, Ordering};

/// A counting filter: it may say that a key is there that is not, never the opposite.
///
/// A key has two counters in one line of the processor's cache.
#[derive(Debug)]
pub(super) struct Present(Box<[Line]>);

#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([AtomicU16; COUNTERS]);

/// Counters of a line.
const COUNTERS: usize = 32;

/// Counters for each key.
const PER_KEY: usize = 16;

/// The most lines, 64 bytes each: enough for two million keys, beyond which more keys pass that are not there.
const LINES_MAX: usize = 1 << 20;

impl Present {
    /// A filter for so many keys: of the keys that are not there, one in forty passes when it is full.
    pub(super) fn new(keys: usize) -> Self {
        let lines = keys.saturating_mul(PER_KEY).div_ceil(COUNTERS).clamp(1, LINES_MAX).next_power_of_two();
        Self((0..lines).map(|_| Line::default()).collect())
    }

    pub(super) fn add(&self, hash: u64) {
        // A counter that is full stays so: it says yes from then on.
        self.change(hash, |count| count.checked_add(1));
    }

    pub(super) fn remove(&self, hash: u64) {
        self.change(hash, |count| if count == u16::MAX { None } else { count.checked_sub(1) });
    }

    pub(super) fn may_have(&self, hash: u64) -> bool {
        self.counters(hash).iter().all(|counter| counter.load(Ordering::Acquire) > 0)
    }

    fn change(&self, hash: u64, change: impl Fn(u16) -> Option<u16>) {
        for counter in self.counters(hash) {
            let _unless_full = counter.fetch_update(Ordering::AcqRel, Ordering::Acquire, &change);
        }
    }

    /// The two counters of a key: they differ, as the second is taken from the other half of the line.
    fn counters(&self, hash: u64) -> [&AtomicU16; 2] {
        let Line(counters) = &self.0[(hash >> 16) as usize & (self.0.len() - 1)];
        let half = COUNTERS / 2;
        [hash as usize % half, half + (hash >> 8) as usize % half].map(|place| &counters[place])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{BuildHasher, RandomState};

    #[test]
    fn few_keys_pass_that_are_not_in_a_full_queue_and_none_that_was_is_left() {
        let (hasher, keys) = (RandomState::new(), 1 << 16);
        let present = Present::new(keys);
        (0..keys).for_each(|key| present.add(hasher.hash_one(key)));
        assert!((0..keys).all(|key| present.may_have(hasher.hash_one(key))));
        let passed = (keys..2 * keys).filter(|key| present.may_have(hasher.hash_one(key))).count();
        assert!(passed * 40 <= keys, "{passed} of {keys}");
        (0..keys).for_each(|key| present.remove(hasher.hash_one(key)));
        assert!(!(0..2 * keys).any(|key| present.may_have(hasher.hash_one(key))));
    }
}
