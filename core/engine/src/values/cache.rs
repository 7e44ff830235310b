//! What was known of value records lately, within a number of bytes.

use crate::memory_share::MemoryShare;
use hydra_api::{ValueKey, ValueRecord};
use quick_cache::sync::{Cache as Entries, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use std::time::Instant;

/// What a key has, as far as this node knows.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) record: Option<ValueRecord>,
    /// When that was known to be true.
    pub(super) at: Instant,
}

#[derive(Debug)]
pub(super) struct Cache {
    /// Nothing when the config gives the cache no room.
    entries: Option<Entries<ValueKey, Known, Weight>>,
    /// As configured.
    bytes_configured: u64,
}

/// What an entry takes beside its value: its slot, free ones and those that only remember a key; the buffer's header.
const ENTRY: usize = 2 * (size_of::<ValueKey>() + size_of::<Known>() + 32) + 64;

#[derive(Debug, Clone, Copy)]
struct Weight;

impl Weighter<ValueKey, Known> for Weight {
    fn weight(&self, _key: &ValueKey, known: &Known) -> u64 {
        (ENTRY + known.record.as_ref().map_or(0, |record| record.value.len())) as u64
    }
}

impl Cache {
    pub(super) fn new(bytes_max: u64) -> Self {
        let options = OptionsBuilder::new()
            .estimated_items_capacity(usize::try_from(bytes_max).unwrap_or(usize::MAX) / (2 * ENTRY))
            .weight_capacity(bytes_max)
            .build();
        let entries = options.ok().filter(|_| bytes_max > 0).map(|options| {
            Entries::with_options(options, Weight, DefaultHashBuilder::default(), DefaultLifecycle::default())
        });
        Self { entries, bytes_configured: bytes_max }
    }

    /// Uses this share of the configured memory from now on: records beyond it are evicted at once.
    pub(super) fn set_share(&self, share: MemoryShare) {
        if let Some(entries) = &self.entries {
            entries.set_capacity(share.of(self.bytes_configured));
        }
    }

    pub(super) fn find(&self, key: &ValueKey) -> Option<Known> {
        self.entries.as_ref()?.get(key)
    }

    pub(super) fn put(&self, key: ValueKey, known: Known) {
        if let Some(entries) = &self.entries {
            entries.insert(key, known);
        }
    }

    pub(super) fn forget(&self, key: &ValueKey) {
        if let Some(entries) = &self.entries {
            entries.remove(key);
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.entries.as_ref().map_or(0, |entries| entries.len() as u64)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.entries.as_ref().map_or(0, Entries::weight)
    }
}
