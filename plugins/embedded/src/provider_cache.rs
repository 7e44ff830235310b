//! Providers in memory, bounded in bytes.

use crate::DamagedRow;
use crate::rows::{self, StoredProvider};
use quick_cache::Weighter;
use quick_cache::sync::{Cache, GuardResult};
use std::sync::Arc;

/// Bytes of a provider beside its addresses, in a cache and in the buffer that caches share.
const PROVIDER_BYTES: u64 = 320;

/// Bytes of addresses that a provider has on average.
const ADDRESSES_BYTES: u64 = 150;

/// Weighs a provider in bytes.
#[derive(Debug, Clone, Copy)]
pub struct ProviderBytes;

impl<K> Weighter<K, Arc<StoredProvider>> for ProviderBytes {
    fn weight(&self, _: &K, known: &Arc<StoredProvider>) -> u64 {
        PROVIDER_BYTES + known.addresses.encoded().len() as u64
    }
}

/// About how many providers fit into so many bytes.
pub const fn items(bytes_max: u64) -> usize {
    (bytes_max / (PROVIDER_BYTES + ADDRESSES_BYTES)) as usize
}

/// Providers by their number, for many readers.
#[derive(Debug)]
pub struct ProviderCache(Cache<u32, Arc<StoredProvider>, ProviderBytes>);

impl ProviderCache {
    /// A cache of at most `bytes_max` bytes.
    pub fn new(bytes_max: u64) -> Self {
        Self(Cache::with_weighter(items(bytes_max), bytes_max, ProviderBytes))
    }

    /// A provider, from the cache or the row that `read` reads. `None` when it was removed, as all its records have
    /// expired.
    ///
    /// The row is read after its place in the cache is reserved: what a writer puts there meanwhile stays.
    ///
    /// # Errors
    /// Those of `read`, and a damaged row.
    pub fn find<V, E>(
        &self,
        number: u32,
        read: impl FnOnce(&[u8]) -> Result<Option<V>, E>,
    ) -> Result<Option<Arc<StoredProvider>>, E>
    where
        V: AsRef<[u8]>,
        E: From<DamagedRow>,
    {
        let guard = match self.0.get_value_or_guard(&number, None) {
            GuardResult::Value(known) => return Ok(Some(known)),
            GuardResult::Guard(guard) => Some(guard),
            GuardResult::Timeout => None,
        };
        let Some(value) = read(&rows::provider_key(number))? else { return Ok(None) };
        let known = Arc::new(StoredProvider::decode(number, value.as_ref())?);
        if let Some(guard) = guard {
            // Refused when a writer was faster: then what it put there stays.
            drop(guard.insert(Arc::clone(&known)));
        }
        Ok(Some(known))
    }

    /// Puts in what was written.
    pub fn insert(&self, known: Arc<StoredProvider>) {
        self.0.insert(known.number, known);
    }

    /// Takes out a provider that was removed.
    pub fn remove(&self, number: u32) {
        self.0.remove(&number);
    }
}
