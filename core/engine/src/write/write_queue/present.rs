//! Whether a key may be in the queue, without its lock.

use std::sync::atomic::{AtomicU16, Ordering};

/// A counting filter: it may say that a key is there that is not, never the opposite.
#[derive(Debug)]
pub(super) struct Present(Box<[AtomicU16]>);

/// The most counters, 2 bytes each.
const LEN_MAX: usize = 1 << 22;

impl Present {
    /// A filter for so many keys: of the keys that are not there, a fifth passes when it is full.
    pub(super) fn new(keys: usize) -> Self {
        let len = keys.saturating_mul(4).clamp(1, LEN_MAX).next_power_of_two();
        Self((0..len).map(|_| AtomicU16::new(0)).collect())
    }

    pub(super) fn add(&self, hash: u64) {
        // A counter that is full stays so: it says yes from then on.
        self.change(hash, |count| count.checked_add(1));
    }

    pub(super) fn remove(&self, hash: u64) {
        self.change(hash, |count| if count == u16::MAX { None } else { count.checked_sub(1) });
    }

    pub(super) fn may_have(&self, hash: u64) -> bool {
        self.counter(hash).load(Ordering::Acquire) > 0
    }

    fn change(&self, hash: u64, change: impl FnMut(u16) -> Option<u16>) {
        let _unless_full = self.counter(hash).fetch_update(Ordering::AcqRel, Ordering::Acquire, change);
    }

    fn counter(&self, hash: u64) -> &AtomicU16 {
        &self.0[(hash >> 7) as usize & (self.0.len() - 1)]
    }
}
