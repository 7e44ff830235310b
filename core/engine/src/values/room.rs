//! Whether the store has room for more value records.

use crate::sync::{add, lock, read};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// For how long a store that had no room for a record is given none that is new or longer.
const PAUSE: Duration = Duration::from_secs(5);

/// The bytes that the store has of values, as far as is known, and those that it may have.
#[derive(Debug)]
pub(super) struct Room {
    bytes: AtomicU64,
    bytes_max: u64,
    /// When the store had no room for a record last.
    refused: Mutex<Option<Instant>>,
}

impl Room {
    pub(super) fn of(bytes_max: u64) -> Self {
        Self { bytes: AtomicU64::new(0), bytes_max, refused: Mutex::default() }
    }

    /// The store says that it has so many bytes.
    pub(super) fn estimated(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// A record was written that takes so many bytes more than the one before it.
    pub(super) fn written(&self, more: u64) {
        add(&self.bytes, more);
    }

    /// The store had no room for a record.
    pub(super) fn refused(&self, now: Instant) {
        *lock(&self.refused) = Some(now);
    }

    pub(super) fn is_used_up(&self, now: Instant) -> bool {
        let lately = |at: Instant| now.saturating_duration_since(at) < PAUSE;
        read(&self.bytes) >= self.bytes_max || lock(&self.refused).is_some_and(lately)
    }
}
