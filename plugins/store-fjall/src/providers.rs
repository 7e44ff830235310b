//! The writer's cache of providers, bounded in bytes.

use crate::fault::Fault;
use crate::layout::{self, StoredProvider};
use fjall::Keyspace;
use hydra_api::PeerId;
use hydra_embedded::{DamagedRow, ProviderBytes, ProviderCache, items};
use quick_cache::unsync::Cache;
use std::sync::Arc;

/// Providers by peer id, for the writer, which alone changes them.
#[derive(Debug)]
pub(crate) struct ByPeer(Cache<PeerId, Arc<StoredProvider>, ProviderBytes>);

impl ByPeer {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self(Cache::with_weighter(items(bytes_max), bytes_max, ProviderBytes))
    }

    /// A provider as it is stored; `None` when it is new.
    pub(crate) fn find(
        &mut self,
        peer: &PeerId,
        rows: &Keyspace,
    ) -> Result<Option<Arc<StoredProvider>>, Fault> {
        if let Some(known) = self.0.get(peer) {
            return Ok(Some(Arc::clone(known)));
        }
        let Some(number) = rows.get(layout::number_key(peer))? else { return Ok(None) };
        let number = layout::decode_u32(&number, "provider numbers")?;
        let value = rows.get(layout::provider_key(number))?.ok_or(DamagedRow("providers"))?;
        let known = Arc::new(StoredProvider::decode(number, &value)?);
        self.0.insert(*peer, Arc::clone(&known));
        Ok(Some(known))
    }

    /// Puts in what was written, for readers too.
    pub(crate) fn insert(&mut self, known: Arc<StoredProvider>, readers: &ProviderCache) {
        readers.insert(Arc::clone(&known));
        self.0.insert(known.peer, known);
    }

    pub(crate) fn remove(&mut self, number: u32, peer: &PeerId, readers: &ProviderCache) {
        readers.remove(number);
        self.0.remove(peer);
    }
}
