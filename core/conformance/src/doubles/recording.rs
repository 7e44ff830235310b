//! A store whose calls are written down.

use super::{Behaviour, Double, locked};
use hydra_api::{
    ContentKey, Found, Inserted, ProviderRecord, ProviderStore, Purged, StoreError, UnixSeconds, async_trait,
};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

/// A store that writes down the inserts, reads and purges it is asked for, in their order.
pub type RecordingStore = Double<Recording>;

/// The behaviour of a [`RecordingStore`].
#[derive(Debug)]
pub struct Recording {
    len_max: usize,
    asked: Mutex<Vec<Asked>>,
}

/// A call that was written down when it reached the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// An insert of these records.
    Insert(Arc<[ProviderRecord]>),
    /// A read of these keys.
    Providers {
        /// The keys.
        keys: Arc<[ContentKey]>,
        /// The most providers of one key.
        limit: NonZeroU32,
    },
    /// A step of the purge.
    PurgeExpired {
        /// What expired by then is removed.
        now: UnixSeconds,
        /// The most records of the step.
        limit: NonZeroU32,
    },
}

impl RecordingStore {
    /// Writes down the first `len_max` calls of `inner`.
    pub fn new(inner: Arc<dyn ProviderStore>, len_max: usize) -> Self {
        Self::of(inner, Recording { len_max, asked: Mutex::default() })
    }

    /// What was written down so far.
    pub fn asked(&self) -> Vec<Asked> {
        locked(&self.behaviour.asked).clone()
    }

    /// Takes out what was written down so far, which makes room for as many calls as at first.
    pub fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut locked(&self.behaviour.asked))
    }
}

impl Recording {
    fn record(&self, call: Asked) {
        let mut asked = locked(&self.asked);
        if asked.len() < self.len_max {
            asked.push(call);
        }
    }
}

#[async_trait]
impl Behaviour for Recording {
    async fn insert(
        &self,
        inner: &dyn ProviderStore,
        batch: Arc<[ProviderRecord]>,
        now: UnixSeconds,
    ) -> Result<Inserted, StoreError> {
        self.record(Asked::Insert(Arc::clone(&batch)));
        inner.insert(batch, now).await
    }

    async fn providers(
        &self,
        inner: &dyn ProviderStore,
        keys: Arc<[ContentKey]>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Vec<Found>, StoreError> {
        self.record(Asked::Providers { keys: Arc::clone(&keys), limit });
        inner.providers(keys, now, limit).await
    }
    async fn purge_expired(
        &self,
        inner: &dyn ProviderStore,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Purged, StoreError> {
        self.record(Asked::PurgeExpired { now, limit });
        inner.purge_expired(now, limit).await
    }
}
