//! The memory that the store may use.

use std::sync::atomic::{AtomicU64, Ordering};

/// The bytes that are left.
#[derive(Debug)]
pub(crate) struct Room {
    used: AtomicU64,
    max: u64,
}

impl Room {
    /// So many bytes, none of them used.
    pub(crate) const fn of(max: u64) -> Self {
        Self { used: AtomicU64::new(0), max }
    }

    /// The bytes that are used.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes `bytes` if so many are left. Taking none always succeeds.
    pub(crate) fn take(&self, bytes: u64) -> bool {
        if bytes == 0 {
            return true;
        }
        let more = |used: u64| used.checked_add(bytes).filter(|used| *used <= self.max);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    pub(crate) fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Puts right what was expected to be `expected` bytes in all and is `found`.
    pub(crate) fn correct(&self, expected: u64, found: u64) {
        if found >= expected {
            self.used.fetch_add(found - expected, Ordering::Relaxed);
        } else {
            self.give_back(expected - found);
        }
    }
}
