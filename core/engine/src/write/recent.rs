//! The records that were written last, and the addresses that were written with them.

use crate::sync::lock;
use hydra_api::{Addresses, PeerId, ProviderRecord, UnixSeconds};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many providers' addresses are remembered. One that is not costs a write now and then.
const PROVIDERS: usize = 1 << 16;

/// Remembers of records that are in the store until when they live, and of providers which addresses the store got last
/// and when, both in a fixed number of slots; newer ones take the place of older ones.
///
/// Two records are taken for one when 32 bits of their hashes and the slot agree: with a secret hash and a million
/// slots, one of 10^15 pairs.
pub(crate) struct Recent {
    /// By (key, provider): the upper half of the hash, then the expiry.
    records: Box<[AtomicU64]>,
    providers: Box<[Mutex<LastAddresses>]>,
    hasher: RandomState,
}

/// The addresses that the store got last of a provider.
#[derive(Debug, Clone, Copy, Default)]
struct LastAddresses {
    provider: u64,
    addresses: u64,
    at: UnixSeconds,
}

impl Recent {
    /// Room for at least `len_max` records; none at all for 0.
    pub(crate) fn new(len_max: usize) -> Self {
        let len = if len_max == 0 { 0 } else { len_max.next_power_of_two() };
        let providers = len.min(PROVIDERS);
        Self {
            records: (0..len).map(|_| AtomicU64::new(0)).collect(),
            providers: (0..providers).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    /// The store has this record since `now`.
    pub(crate) fn record(&self, record: &ProviderRecord, now: UnixSeconds) {
        let (tag, slot) = self.place(record);
        let Some(slot) = slot else { return };
        slot.store(tag | u64::from(record.expires.0), Ordering::Relaxed);
        if record.addresses.is_empty() {
            return;
        }
        let (provider, slot) = self.provider(&record.provider);
        if let Some(slot) = slot {
            let addresses = self.hasher.hash_one(record.addresses.encoded());
            *lock(slot) = LastAddresses { provider, addresses, at: now };
        }
    }

    /// Until when this record lives as it is in the store, if that is remembered and there is no news in it: the store
    /// got these addresses of the provider last, and less than [`Addresses::SLACK`] ago, so that they outlive the next
    /// announcement.
    pub(crate) fn expires(&self, record: &ProviderRecord, now: UnixSeconds) -> Option<UnixSeconds> {
        let expires = self.lives_until(record)?;
        if record.addresses.is_empty() {
            return Some(expires);
        }
        let (provider, slot) = self.provider(&record.provider);
        let told = *lock(slot?);
        let addresses = self.hasher.hash_one(record.addresses.encoded());
        let same = told.provider == provider && told.addresses == addresses;
        (same && now.since(told.at) < Addresses::SLACK && told.at <= now).then_some(expires)
    }

    /// Until when this record lives as it is in the store, if that is remembered, whatever its addresses are.
    pub(crate) fn lives_until(&self, record: &ProviderRecord) -> Option<UnixSeconds> {
        let (tag, slot) = self.place(record);
        let known = slot?.load(Ordering::Relaxed);
        (known & TAG == tag && known != 0).then_some(UnixSeconds(known as u32))
    }

    fn place(&self, record: &ProviderRecord) -> (u64, Option<&AtomicU64>) {
        let hash = self.hasher.hash_one((record.key, record.provider));
        (hash & TAG, self.records.get(hash as usize & self.records.len().wrapping_sub(1)))
    }

    fn provider(&self, provider: &PeerId) -> (u64, Option<&Mutex<LastAddresses>>) {
        let hash = self.hasher.hash_one(provider);
        (hash, self.providers.get(hash as usize & self.providers.len().wrapping_sub(1)))
    }
}

const TAG: u64 = 0xffff_ffff_0000_0000;

impl fmt::Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recent({} slots)", self.records.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydra_api::ContentKey;

    const NOW: UnixSeconds = UnixSeconds(100);

    fn record(number: u64) -> ProviderRecord {
        ProviderRecord {
            key: ContentKey::new(&number.to_be_bytes()).unwrap(),
            provider: PeerId::new(&[7; 38]).unwrap(),
            addresses: Addresses::fitting([b"one"]),
            expires: UnixSeconds(1_000_000),
        }
    }

    #[test]
    fn what_was_noted_is_known_until_newer_records_take_its_place() {
        let recent = Recent::new(1_000);
        recent.record(&record(1), NOW);
        assert_eq!(recent.expires(&record(1), NOW), Some(UnixSeconds(1_000_000)));
        assert_eq!(recent.expires(&record(2), NOW), None);
        (10..100_000).for_each(|number| recent.record(&record(number), NOW));
        assert_eq!(recent.expires(&record(1), NOW), None);
    }

    #[test]
    fn addresses_that_change_and_change_back_are_news_each_time() {
        let recent = Recent::new(1 << 20);
        let moved = ProviderRecord { addresses: Addresses::fitting([b"two"]), ..record(1) };
        recent.record(&record(1), NOW);
        assert_eq!(recent.expires(&moved, NOW), None);
        recent.record(&moved, NOW);
        assert_eq!(recent.expires(&record(1), NOW), None, "the store has the second ones");
        // The addresses are the provider's, whatever key told them.
        recent.record(&record(2), NOW);
        assert!(recent.expires(&record(1), NOW).is_some());
        let silent = ProviderRecord { addresses: Addresses::none(), ..record(1) };
        assert!(recent.expires(&silent, NOW).is_some());
    }

    #[test]
    fn addresses_that_were_told_a_while_ago_are_news() {
        let recent = Recent::new(1 << 20);
        recent.record(&record(1), NOW);
        let later = NOW.saturating_add(Addresses::SLACK);
        assert_eq!(recent.expires(&record(1), later), None);
        // One announcement tells them for all keys of the provider.
        recent.record(&record(2), later);
        assert!(recent.expires(&record(1), later).is_some());
    }

    #[test]
    fn without_slots_nothing_is_known() {
        let recent = Recent::new(0);
        recent.record(&record(1), NOW);
        assert_eq!(recent.expires(&record(1), NOW), None);
    }
}
