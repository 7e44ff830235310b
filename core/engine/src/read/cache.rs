//! Answers that are kept, one cache for all heads.

use super::answer::Answer;
use crate::memory_share::MemoryShare;
use hydra_api::ContentKey;
use quick_cache::sync::{Cache as Entries, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A cache that is bounded in bytes. Whether an answer is still good is the reader's to judge.
#[derive(Debug)]
pub(crate) struct Cache {
    /// Nothing when the config gives the cache no room.
    entries: Option<Entries<ContentKey, Arc<Answer>, Weight>>,
    /// As configured.
    bytes_configured: u64,
    /// The share of them that is used.
    bytes_max: AtomicU64,
}

/// The slots of the cache's table, of which a part is free and a part remembers only that a key was there.
const SLOT: usize = 2 * (size_of::<ContentKey>() + size_of::<Arc<Answer>>() + 32);

/// What an answer takes beside its providers: its slot, itself, the counts of its owners, what the allocator adds.
const ENTRY: usize = SLOT + size_of::<Answer>() + 2 * size_of::<usize>() + 32;

#[derive(Debug, Clone, Copy)]
struct Weight;

impl Weighter<ContentKey, Arc<Answer>> for Weight {
    fn weight(&self, _key: &ContentKey, answer: &Arc<Answer>) -> u64 {
        (ENTRY + answer.bytes()) as u64
    }
}

impl Cache {
    pub(crate) fn new(bytes_max: u64) -> Self {
        let options = OptionsBuilder::new()
            .estimated_items_capacity(usize::try_from(bytes_max).unwrap_or(usize::MAX) / ENTRY)
            .weight_capacity(bytes_max)
            .build();
        let entries = options.ok().filter(|_| bytes_max > 0).map(|options| {
            Entries::with_options(options, Weight, DefaultHashBuilder::default(), DefaultLifecycle::default())
        });
        Self { entries, bytes_configured: bytes_max, bytes_max: AtomicU64::new(bytes_max) }
    }

    pub(crate) fn find(&self, key: &ContentKey) -> Option<Arc<Answer>> {
        self.entries.as_ref()?.get(key)
    }

    pub(crate) fn put(&self, key: ContentKey, answer: Arc<Answer>) {
        if let Some(entries) = &self.entries {
            entries.insert(key, answer);
        }
    }

    /// What is kept of a key, without counting as a use of it.
    pub(crate) fn peek(&self, key: &ContentKey) -> Option<Arc<Answer>> {
        self.entries.as_ref()?.peek(key)
    }

    pub(crate) fn len(&self) -> u64 {
        self.entries.as_ref().map_or(0, |entries| entries.len() as u64)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.entries.as_ref().map_or(0, Entries::weight)
    }

    pub(crate) fn bytes_max(&self) -> u64 {
        self.bytes_max.load(Ordering::Relaxed)
    }

    /// Uses this share of the configured memory from now on: answers beyond it are evicted at once. Their slots in the table, up to
    /// two thirds of what a short answer takes, stay allocated for later ones.
    pub(crate) fn set_share(&self, share: MemoryShare) {
        let bytes_max = share.of(self.bytes_configured);
        self.bytes_max.store(bytes_max, Ordering::Relaxed);
        if let Some(entries) = &self.entries {
            entries.set_capacity(bytes_max);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydra_api::{Addresses, PeerId, Provider, UnixSeconds};
    use std::num::NonZeroU32;
    use std::time::Instant;

    fn answer(number: u64) -> Arc<Answer> {
        let provider = |_| Provider {
            peer: PeerId::new(&[7; 38]).unwrap(),
            addresses: Addresses::fitting([[1u8; 60]; 3]),
            addresses_at: UnixSeconds(0),
            expires: UnixSeconds(1),
        };
        let providers = (0..number % 20).map(provider).collect();
        let life = std::time::Duration::from_secs(1);
        Arc::new(Answer::of_store(providers, NonZeroU32::MAX, Instant::now(), UnixSeconds(0), life))
    }

    #[test]
    fn the_cache_never_takes_more_than_its_bytes_its_own_table_included() {
        const BYTES_MAX: u64 = 4 << 20;
        let cache = Cache::new(BYTES_MAX);
        for number in 0..100_000u64 {
            cache.put(ContentKey::new(&number.to_be_bytes()).unwrap(), answer(number));
            let key = ContentKey::new(&(number / 2).to_be_bytes()).unwrap();
            if cache.peek(&key).is_some() {
                cache.put(key, answer(number / 3));
            }
            assert!(cache.bytes() <= BYTES_MAX, "{} bytes at {number}", cache.bytes());
        }
        assert!(cache.bytes() > BYTES_MAX / 2, "it is used");
        // Small answers make the table as large as it can be.
        (0..100_000u64)
            .for_each(|number| cache.put(ContentKey::new(&number.to_le_bytes()).unwrap(), answer(0)));
        let table = cache.entries.as_ref().unwrap().memory_used().total() as u64;
        let answers = cache.len() * (size_of::<Answer>() + 2 * size_of::<usize>()) as u64;
        assert!(table + answers <= BYTES_MAX, "{table} and {answers} bytes");
    }

    #[test]
    fn half_of_the_memory_is_given_up_at_once_and_used_again_later() {
        const BYTES_MAX: u64 = 4 << 20;
        let cache = Cache::new(BYTES_MAX);
        let fill = || {
            let key = |number: u64| ContentKey::new(&number.to_be_bytes()).unwrap();
            (0..50_000).for_each(|number| cache.put(key(number), answer(number)));
            cache.bytes()
        };
        assert!(fill() > BYTES_MAX / 2 + BYTES_MAX / 4);
        cache.set_share(MemoryShare::Half);
        assert!(cache.bytes() <= BYTES_MAX / 2 && cache.bytes() > BYTES_MAX / 4, "{}", cache.bytes());
        assert!(fill() <= cache.bytes_max() && cache.bytes_max() == BYTES_MAX / 2);
        cache.set_share(MemoryShare::Full);
        assert!(fill() > BYTES_MAX / 2 + BYTES_MAX / 4 && cache.bytes_max() == BYTES_MAX);
    }

    #[test]
    fn a_cache_without_room_keeps_nothing() {
        let cache = Cache::new(0);
        let key = ContentKey::new(b"key").unwrap();
        cache.put(key, answer(1));
        assert_eq!((cache.find(&key).is_none(), cache.len(), cache.bytes()), (true, 0, 0));
    }
}
