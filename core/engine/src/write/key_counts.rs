//! How many providers were taken of each of the keys that are announced most.

use hydra_api::{ContentKey, UnixSeconds};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How many keys are counted at a time; 8 bytes each.
const KEYS: usize = 1 << 16;

/// Counts providers by key in a fixed number of slots, which the keys with the most of them hold: another key that comes to the
/// slot lowers the count by one, and gets the slot when nothing is left.
///
/// The time is cut into spans of half of the life of a record. A provider is counted once in each span in which its record is
/// taken; of a key counts the larger one of this span's and the last one's.
pub(super) struct KeyCounts {
    slots: Box<[AtomicU64]>,
    hasher: RandomState,
    span_s: u32,
}

/// What a slot holds: 24 bits of the key's hash, 8 of the span, and 16 of each count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Slot {
    tag: u32,
    span: u8,
    before: u16,
    now: u16,
}

impl KeyCounts {
    pub(super) fn new(life: Duration) -> Self {
        Self {
            slots: (0..KEYS).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
            span_s: u32::try_from(life.as_secs() / 2).unwrap_or(u32::MAX).max(1),
        }
    }

    /// How many providers of this key were taken, as far as is known.
    pub(super) fn count(&self, key: &ContentKey, now: UnixSeconds) -> u32 {
        let (tag, slot) = self.place(key);
        let slot = Slot::read(slot.load(Ordering::Relaxed)).in_span(self.span(now));
        if slot.tag == tag { slot.before.max(slot.now).into() } else { 0 }
    }

    /// Counts a provider of this key, unless its record was last taken in this span.
    pub(super) fn record(&self, key: &ContentKey, taken_last: Option<UnixSeconds>, now: UnixSeconds) {
        let span = self.span(now);
        if taken_last.is_some_and(|at| at.0 / self.span_s == now.0 / self.span_s) {
            return;
        }
        let (tag, slot) = self.place(key);
        let counted = |packed| Some(Slot::read(packed).in_span(span).counting(tag).packed());
        let _always_counted = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted);
    }

    /// A provider that was counted is none of this key.
    pub(super) fn take_back(&self, key: &ContentKey, now: UnixSeconds) {
        let (span, (tag, slot)) = (self.span(now), self.place(key));
        let taken_back = |packed| {
            let slot = Slot::read(packed).in_span(span);
            (slot.tag == tag).then(|| Slot { now: slot.now.saturating_sub(1), ..slot }.packed())
        };
        let _is_its_slot = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken_back).is_ok();
    }

    fn span(&self, now: UnixSeconds) -> u8 {
        (now.0 / self.span_s) as u8
    }

    fn place(&self, key: &ContentKey) -> (u32, &AtomicU64) {
        let hash = self.hasher.hash_one(key);
        ((hash >> 40) as u32, &self.slots[hash as usize % KEYS])
    }
}

impl Slot {
    fn read(packed: u64) -> Self {
        Self {
            tag: (packed >> 40) as u32,
            span: (packed >> 32) as u8,
            before: (packed >> 16) as u16,
            now: packed as u16,
        }
    }

    fn packed(self) -> u64 {
        u64::from(self.tag) << 40
            | u64::from(self.span) << 32
            | u64::from(self.before) << 16
            | u64::from(self.now)
    }

    /// As it counts in this span.
    fn in_span(self, span: u8) -> Self {
        match span.wrapping_sub(self.span) {
            0 => self,
            1 => Self { span, before: self.now, now: 0, ..self },
            _ => Self { span, before: 0, now: 0, ..self },
        }
    }

    fn counting(self, tag: u32) -> Self {
        if self.tag == tag {
            Self { now: self.now.saturating_add(1), ..self }
        } else if self.now == 0 && self.before == 0 {
            Self { tag, now: 1, ..self }
        } else {
            Self { now: self.now.saturating_sub(1), before: self.before.saturating_sub(1), ..self }
        }
    }
}

impl fmt::Debug for KeyCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyCounts({KEYS} slots)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(48 * 3_600);
    const DAY: u32 = 24 * 3_600;

    fn key(number: u64) -> ContentKey {
        ContentKey::new(&number.to_be_bytes()).unwrap()
    }

    #[test]
    fn what_is_taken_again_within_a_span_is_counted_once() {
        let counts = KeyCounts::new(LIFE);
        let now = UnixSeconds(1_000 * DAY);
        (0..5).for_each(|_| counts.record(&key(1), None, now));
        counts.record(&key(1), Some(now), now.saturating_add(Duration::from_secs(3_600)));
        assert_eq!((counts.count(&key(1), now), counts.count(&key(2), now)), (5, 0));
        // A day later the refreshes count anew, and those of the day before until then.
        let later = UnixSeconds(1_001 * DAY);
        assert_eq!(counts.count(&key(1), later), 5);
        (0..3).for_each(|_| counts.record(&key(1), Some(now), later));
        assert_eq!(counts.count(&key(1), later), 5);
        assert_eq!(counts.count(&key(1), UnixSeconds(1_002 * DAY)), 3);
        assert_eq!(counts.count(&key(1), UnixSeconds(1_003 * DAY)), 0);
    }

    #[test]
    fn keys_of_few_providers_do_not_push_out_one_of_many() {
        let counts = KeyCounts::new(LIFE);
        let now = UnixSeconds(1_000 * DAY);
        (0..40_000).for_each(|_| counts.record(&key(0), None, now));
        (1..2_000_000).for_each(|number| counts.record(&key(number), None, now));
        let left = counts.count(&key(0), now);
        assert!((39_000..=40_000).contains(&left), "{left}");
    }

    #[test]
    fn a_slot_is_read_as_it_was_written() {
        let slot = Slot { tag: 0x00ab_cdef, span: 200, before: 65_535, now: 258 };
        assert_eq!(Slot::read(slot.packed()), slot);
        assert_eq!(slot.counting(0x00ab_cdef).now, 259);
    }
}
