//! The records that were written last.

use hydra_api::{ProviderRecord, UnixSeconds};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// Remembers of records that are in the store until when they live, in a fixed number of slots; newer ones take the
/// place of older ones. A record whose addresses have changed is another one here: it has news to write.
///
/// Two records are taken for one when 32 bits of their hashes and the slot agree: with a secret hash and a million
/// slots, one of 10^15 pairs.
pub(crate) struct Recent {
    /// The upper half of the hash, then the expiry.
    slots: Box<[AtomicU64]>,
    hasher: RandomState,
}

impl Recent {
    /// Room for at least `len_max` records; none at all for 0.
    pub(crate) fn new(len_max: usize) -> Self {
        let len = if len_max == 0 { 0 } else { len_max.next_power_of_two() };
        Self { slots: (0..len).map(|_| AtomicU64::new(0)).collect(), hasher: RandomState::new() }
    }

    pub(crate) fn note(&self, record: &ProviderRecord) {
        let (tag, slot) = self.place(record);
        if let Some(slot) = slot {
            slot.store(tag | u64::from(record.expires.0), Ordering::Relaxed);
        }
    }

    /// Until when this record lives as it was written last, if that is remembered.
    pub(crate) fn expires(&self, record: &ProviderRecord) -> Option<UnixSeconds> {
        let (tag, slot) = self.place(record);
        let known = slot?.load(Ordering::Relaxed);
        (known & TAG == tag && known != 0).then_some(UnixSeconds(known as u32))
    }

    fn place(&self, record: &ProviderRecord) -> (u64, Option<&AtomicU64>) {
        let hash = self.hasher.hash_one((record.key, record.provider, record.addresses.encoded()));
        let place = (hash as usize) & self.slots.len().wrapping_sub(1);
        (hash & TAG, self.slots.get(place))
    }
}

const TAG: u64 = 0xffff_ffff_0000_0000;

impl fmt::Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recent({} slots)", self.slots.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydra_api::{Addresses, ContentKey, PeerId};

    fn record(number: u64) -> ProviderRecord {
        ProviderRecord {
            key: ContentKey::new(&number.to_be_bytes()).unwrap(),
            provider: PeerId::new(&[7; 38]).unwrap(),
            addresses: Addresses::fitting([b"one"]),
            expires: UnixSeconds(1_000),
        }
    }

    #[test]
    fn what_was_noted_is_known_until_newer_records_take_its_place() {
        let recent = Recent::new(1_000);
        recent.note(&record(1));
        assert_eq!(recent.expires(&record(1)), Some(UnixSeconds(1_000)));
        assert_eq!(recent.expires(&record(2)), None);
        (10..100_000).for_each(|number| recent.note(&record(number)));
        assert_eq!(recent.expires(&record(1)), None);
    }

    #[test]
    fn a_record_with_other_addresses_has_news() {
        let recent = Recent::new(1_000);
        recent.note(&record(1));
        let moved = ProviderRecord { addresses: Addresses::fitting([b"two"]), ..record(1) };
        assert_eq!(recent.expires(&moved), None);
    }

    #[test]
    fn without_slots_nothing_is_known() {
        let recent = Recent::new(0);
        recent.note(&record(1));
        assert_eq!(recent.expires(&record(1)), None);
    }
}
