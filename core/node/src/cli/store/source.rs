//! Where a transfer reads from: a store, or another program's records.

use hydra_api::{
    Addresses, Cursor, ImportedRecord, Importer, KeyProvider, Provider, ProviderStore, StoreError,
    UnixSeconds, ValueStore,
};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// Where a transfer reads from.
pub(super) struct Source {
    from: From,
    /// The kind, for messages.
    pub(super) kind: String,
}

enum From {
    Store(Arc<dyn ProviderStore>),
    Import {
        importer: Arc<dyn Importer>,
        /// How long a record lives after it was received.
        life: Duration,
    },
}

/// One page of records that have not expired.
pub(super) struct SourcePage {
    pub(super) records: Vec<KeyProvider>,
    /// Rows that could not be read.
    pub(super) malformed: u64,
    /// Records that have expired.
    pub(super) expired: u64,
    pub(super) next: Option<Cursor>,
}

impl Source {
    pub(super) fn of_store(store: Arc<dyn ProviderStore>, kind: &str) -> Self {
        Self { from: From::Store(store), kind: kind.to_owned() }
    }

    pub(super) fn of_import(importer: Arc<dyn Importer>, kind: &str, life: Duration) -> Self {
        Self { from: From::Import { importer, life }, kind: kind.to_owned() }
    }

    /// About how many records there are, value records included.
    pub(super) async fn estimate(&self) -> Option<u64> {
        match &self.from {
            From::Store(store) => {
                let providers = store.estimate().await.ok()?.records;
                let values = match store.values() {
                    Some(values) => values.estimate_values().await.ok()?.records,
                    None => 0,
                };
                Some(providers + values)
            }
            From::Import { importer, .. } => importer.estimate().await.ok().flatten(),
        }
    }

    /// Its value records, if it has any.
    pub(super) fn values(&self) -> Option<&dyn ValueStore> {
        match &self.from {
            From::Store(store) => store.values(),
            From::Import { .. } => None,
        }
    }

    pub(super) async fn page(
        &self,
        from: Option<Cursor>,
        limit: NonZeroU32,
    ) -> Result<SourcePage, StoreError> {
        let now = UnixSeconds::now();
        match &self.from {
            From::Store(store) => {
                let page = store.scan(from, now, limit).await?;
                Ok(SourcePage { records: page.records, malformed: 0, expired: 0, next: page.next })
            }
            From::Import { importer, life } => {
                let page = importer.page(from, limit).await?;
                let read = page.records.len();
                let records: Vec<_> =
                    page.records.into_iter().filter_map(|record| live(&record, *life, now)).collect();
                let expired = (read - records.len()) as u64;
                Ok(SourcePage { records, malformed: page.malformed, expired, next: page.next })
            }
        }
    }
}

/// The record, unless it has expired. One that was received later than now was received now.
fn live(record: &ImportedRecord, life: Duration, now: UnixSeconds) -> Option<KeyProvider> {
    let received = record.received.min(now);
    let expires = received.saturating_add(life);
    let provider =
        Provider { peer: record.provider, addresses: Addresses::none(), addresses_at: received, expires };
    (expires > now).then_some(KeyProvider { key: record.key, provider })
}
