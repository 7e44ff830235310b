//! Whether the store has room for more value records.

use crate::sync::{add, lock, read};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often a store that had no room for a record is given one that is new or longer: what it does not take then was
/// acknowledged in vain.
const PAUSE: Duration = Duration::from_secs(5);

/// The bytes that the store has of values, as far as is known, and those that it may have.
#[derive(Debug)]
pub(super) struct Room {
    bytes: AtomicU64,
    bytes_max: u64,
    /// When the store had no room for a record last, or was given one since to see whether it has.
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

    /// A record was written that takes so many bytes more than the one before it, if there was one: for a new one there is room
    /// again.
    pub(super) fn written(&self, more: u64, is_new: bool) {
        if more > 0 {
            add(&self.bytes, more);
        }
        if is_new {
            *lock(&self.refused) = None;
        }
    }

    /// The store had no room for a record.
    pub(super) fn refused(&self, now: Instant) {
        *lock(&self.refused) = Some(now);
    }

    /// Whether there is none for a record that is new or longer.
    pub(super) fn is_used_up(&self, now: Instant) -> bool {
        let lately = |at: Instant| now.saturating_duration_since(at) < PAUSE;
        read(&self.bytes) >= self.bytes_max || lock(&self.refused).is_some_and(lately)
    }

    /// Whether such a record can be given to the store: after a refusal one of them in each pause.
    pub(super) fn admits(&self, now: Instant) -> bool {
        if self.is_used_up(now) {
            return false;
        }
        let mut refused = lock(&self.refused);
        match *refused {
            Some(at) if now.saturating_duration_since(at) < PAUSE => false,
            Some(_) => {
                *refused = Some(now);
                true
            }
            None => true,
        }
    }
}
