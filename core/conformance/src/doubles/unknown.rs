//! A store a part of which does not answer.

use super::partial::insert_rest;
use super::{Behaviour, Call, Calls, Double, Share, locked};
use hydra_api::{
    ContentKey, Found, Inserted, ProviderRecord, ProviderStore, RecordOutcome, StoreError, StoreErrorKind,
    UnixSeconds, async_trait,
};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

/// A store that does not know some keys, always the same ones, as if the part of it that holds them did not answer:
/// reads give [`Found::Unknown`] for them, and inserts [`RecordOutcome::Unknown`] without storing them.
pub type UnknownForSome = Double<Unknowing>;

/// The behaviour of an [`UnknownForSome`].
#[derive(Debug)]
pub struct Unknowing(Mutex<State>);

#[derive(Debug, Clone)]
struct State {
    kind: StoreErrorKind,
    share: Share,
    calls: Calls,
}

impl UnknownForSome {
    /// Does not know `per_mille` of a thousand keys, with `kind`; which ones follows from `seed` and their bytes.
    pub fn new(inner: Arc<dyn ProviderStore>, kind: StoreErrorKind, per_mille: u32, seed: u64) -> Self {
        let state = State { kind, share: Share::of(per_mille, seed), calls: Calls::All };
        Self::of(inner, Unknowing(Mutex::new(state)))
    }

    /// From now on does not know `per_mille` of a thousand keys, with `kind`.
    pub fn set(&self, kind: StoreErrorKind, per_mille: u32) {
        let mut state = locked(&self.behaviour.0);
        (state.kind, state.share.per_mille) = (kind, per_mille);
    }

    /// From now on does not know them in these calls alone.
    pub fn set_calls(&self, calls: Calls) {
        locked(&self.behaviour.0).calls = calls;
    }

    /// Whether it does not know this key.
    pub fn is_unknown(&self, key: &ContentKey) -> bool {
        locked(&self.behaviour.0).share.contains(key.as_bytes())
    }
}

#[async_trait]
impl Behaviour for Unknowing {
    async fn insert(
        &self,
        inner: &dyn ProviderStore,
        batch: Arc<[ProviderRecord]>,
        now: UnixSeconds,
    ) -> Result<Inserted, StoreError> {
        let State { kind, share, calls } = locked(&self.0).clone();
        if !calls.contain(Call::Insert(batch.len())) {
            return inner.insert(batch, now).await;
        }
        let outcome = |record: &ProviderRecord| {
            share.contains(record.key.as_bytes()).then_some(RecordOutcome::Unknown(kind))
        };
        insert_rest(inner, &batch, now, outcome).await
    }

    async fn providers(
        &self,
        inner: &dyn ProviderStore,
        keys: Arc<[ContentKey]>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Vec<Found>, StoreError> {
        let State { kind, share, calls } = locked(&self.0).clone();
        let mut found = inner.providers(Arc::clone(&keys), now, limit).await?;
        if calls.contain(Call::Providers(keys.len())) {
            let unknown = keys.iter().zip(&mut found).filter(|(key, _)| share.contains(key.as_bytes()));
            unknown.for_each(|(_, entry)| *entry = Found::Unknown(kind));
        }
        Ok(found)
    }
}
