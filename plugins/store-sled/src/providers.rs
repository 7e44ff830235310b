//! What is known of providers, kept in memory within a number of bytes.

use crate::fault::Fault;
use crate::layout::{self, Known};
use hydra_api::PeerId;
use quick_cache::Weighter;
use quick_cache::sync::{Cache, GuardResult};
use std::sync::Arc;

/// Bytes of a provider beside its addresses.
const KNOWN_BYTES: u64 = 320;

#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<u32, Arc<Known>> for Bytes {
    fn weight(&self, _: &u32, known: &Arc<Known>) -> u64 {
        KNOWN_BYTES + known.addresses.encoded().len() as u64
    }
}

/// Providers by their number.
#[derive(Debug)]
pub(crate) struct Providers(Cache<u32, Arc<Known>, Bytes>);

impl Providers {
    pub(crate) fn new(bytes_max: u64) -> Self {
        let items = (bytes_max / (KNOWN_BYTES + 150)) as usize;
        Self(Cache::with_weighter(items, bytes_max, Bytes))
    }

    /// What is known of a provider; `None` when it was forgotten, as all its records have expired.
    ///
    /// Reads the row after it has reserved the place in the cache: when a writer puts in something newer meanwhile,
    /// that stays.
    pub(crate) fn find(&self, number: u32, rows: &sled::Tree) -> Result<Option<Arc<Known>>, Fault> {
        let guard = match self.0.get_value_or_guard(&number, None) {
            GuardResult::Value(known) => return Ok(Some(known)),
            GuardResult::Guard(guard) => Some(guard),
            GuardResult::Timeout => None,
        };
        let Some(value) = rows.get(layout::provider_key(number))? else { return Ok(None) };
        let known = Arc::new(Known::decode(number, &value)?);
        if let Some(guard) = guard {
            // Refused when a writer was faster: then what it put there stays.
            drop(guard.insert(Arc::clone(&known)));
        }
        Ok(Some(known))
    }

    /// What is known of a peer; `None` when it is new.
    pub(crate) fn of_peer(&self, peer: &PeerId, rows: &sled::Tree) -> Result<Option<Arc<Known>>, Fault> {
        let Some(number) = rows.get(layout::number_key(peer))? else { return Ok(None) };
        let number = layout::decode_u32(&number, "provider numbers")?;
        self.find(number, rows)?.ok_or(Fault::Row("providers")).map(Some)
    }

    /// Takes note of what was written.
    pub(crate) fn tell(&self, known: Known) {
        self.0.insert(known.number, Arc::new(known));
    }

    pub(crate) fn forget(&self, number: u32) {
        self.0.remove(&number);
    }
}
