//! What is known of providers, kept in memory within a number of bytes.

use crate::fault::Fault;
use crate::layout::{self, Known};
use fjall::Keyspace;
use hydra_api::PeerId;
use quick_cache::sync::GuardResult;
use quick_cache::{Weighter, sync, unsync};
use std::sync::Arc;

/// Bytes of a provider beside its addresses, in a cache and in the buffer that the caches share.
const KNOWN_BYTES: u64 = 320;

#[derive(Debug, Clone)]
struct Bytes;

impl<K> Weighter<K, Arc<Known>> for Bytes {
    fn weight(&self, _: &K, known: &Arc<Known>) -> u64 {
        KNOWN_BYTES + known.addresses.encoded().len() as u64
    }
}

/// By number, for readers.
#[derive(Debug)]
pub(crate) struct ByNumber(sync::Cache<u32, Arc<Known>, Bytes>);

/// By peer id, for the writer, who alone changes what is known.
#[derive(Debug)]
pub(crate) struct ByPeer(unsync::Cache<PeerId, Arc<Known>, Bytes>);

impl ByNumber {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self(sync::Cache::with_weighter(items(bytes_max), bytes_max, Bytes))
    }

    /// What is known of a provider; `None` when it was forgotten, as all its records have expired.
    ///
    /// Reads the row after it has reserved the place in the cache: when the writer puts in something newer meanwhile,
    /// that stays.
    pub(crate) fn find(&self, number: u32, rows: &Keyspace) -> Result<Option<Arc<Known>>, Fault> {
        let guard = match self.0.get_value_or_guard(&number, None) {
            GuardResult::Value(known) => return Ok(Some(known)),
            GuardResult::Guard(guard) => Some(guard),
            GuardResult::Timeout => None,
        };
        let Some(value) = rows.get(layout::provider_key(number))? else { return Ok(None) };
        let known = Arc::new(Known::decode(number, &value)?);
        if let Some(guard) = guard {
            // Refused when the writer was faster: then what it put there stays.
            drop(guard.insert(Arc::clone(&known)));
        }
        Ok(Some(known))
    }
}

impl ByPeer {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self(unsync::Cache::with_weighter(items(bytes_max), bytes_max, Bytes))
    }

    /// What is known of a provider; `None` when it is new.
    pub(crate) fn find(&mut self, peer: &PeerId, rows: &Keyspace) -> Result<Option<Arc<Known>>, Fault> {
        if let Some(known) = self.0.get(peer) {
            return Ok(Some(Arc::clone(known)));
        }
        let Some(number) = rows.get(layout::number_key(peer))? else { return Ok(None) };
        let number = layout::decode_number(&number)?;
        let value = rows.get(layout::provider_key(number))?.ok_or(Fault::Row("providers"))?;
        let known = Arc::new(Known::decode(number, &value)?);
        self.0.insert(*peer, Arc::clone(&known));
        Ok(Some(known))
    }

    /// Takes note of what was written, for readers too.
    pub(crate) fn tell(&mut self, known: Arc<Known>, readers: &ByNumber) {
        readers.0.insert(known.number, Arc::clone(&known));
        self.0.insert(known.peer, known);
    }

    pub(crate) fn forget(&mut self, number: u32, peer: &PeerId, readers: &ByNumber) {
        readers.0.remove(&number);
        self.0.remove(peer);
    }
}

fn items(bytes_max: u64) -> usize {
    (bytes_max / (KNOWN_BYTES + 150)) as usize
}
