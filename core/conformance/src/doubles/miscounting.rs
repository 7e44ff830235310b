//! A store whose answers have a wrong length.

use super::{Behaviour, Double, locked};
use hydra_api::{
    ContentKey, Found, Inserted, ProviderRecord, ProviderStore, RecordOutcome, StoreError, UnixSeconds,
    async_trait,
};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

/// A store that gives too few or too many entries, outcomes or providers.
pub type Miscounts = Double<Miscounting>;

/// The behaviour of a [`Miscounts`].
#[derive(Debug)]
pub struct Miscounting(Mutex<Miscount>);

/// In which way it miscounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Miscount {
    /// In none.
    #[default]
    Nothing,
    /// Reads lack the entry of the last key.
    TooFewEntries,
    /// Reads have an entry more than keys.
    TooManyEntries,
    /// Reads have no entry at all.
    NoEntries,
    /// Inserts list their outcomes and lack that of the last record.
    TooFewOutcomes,
    /// Inserts list their outcomes and have one more than records.
    TooManyOutcomes,
    /// Reads disregard the limit.
    TooManyProviders,
    /// Each provider of a key comes twice, within the limit: half as many providers are found.
    ProvidersTwice,
}

impl Miscounts {
    /// Miscounts in this way.
    pub fn new(inner: Arc<dyn ProviderStore>, miscount: Miscount) -> Self {
        Self::of(inner, Miscounting(Mutex::new(miscount)))
    }

    /// From now on miscounts in this way.
    pub fn set(&self, miscount: Miscount) {
        *locked(&self.behaviour.0) = miscount;
    }
}

#[async_trait]
impl Behaviour for Miscounting {
    async fn insert(
        &self,
        inner: &dyn ProviderStore,
        batch: Arc<[ProviderRecord]>,
        now: UnixSeconds,
    ) -> Result<Inserted, StoreError> {
        let miscount = *locked(&self.0);
        let len = batch.len();
        let inserted = inner.insert(batch, now).await?;
        let len = match miscount {
            Miscount::TooFewOutcomes => len.saturating_sub(1),
            Miscount::TooManyOutcomes => len + 1,
            Miscount::Nothing
            | Miscount::TooFewEntries
            | Miscount::TooManyEntries
            | Miscount::NoEntries
            | Miscount::TooManyProviders
            | Miscount::ProvidersTwice => return Ok(inserted),
        };
        let mut outcomes = match inserted {
            Inserted::All => Vec::new(),
            Inserted::Each(outcomes) => outcomes,
        };
        outcomes.resize(len, RecordOutcome::Taken);
        Ok(Inserted::Each(outcomes))
    }

    async fn providers(
        &self,
        inner: &dyn ProviderStore,
        keys: Arc<[ContentKey]>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Vec<Found>, StoreError> {
        let miscount = *locked(&self.0);
        let asked = match miscount {
            Miscount::TooManyProviders => NonZeroU32::MAX,
            Miscount::ProvidersTwice => NonZeroU32::new(limit.get().div_ceil(2)).unwrap_or(limit),
            Miscount::Nothing
            | Miscount::TooFewEntries
            | Miscount::TooManyEntries
            | Miscount::NoEntries
            | Miscount::TooFewOutcomes
            | Miscount::TooManyOutcomes => limit,
        };
        let mut found = inner.providers(keys, now, asked).await?;
        match miscount {
            Miscount::TooFewEntries => drop(found.pop()),
            Miscount::TooManyEntries => found.push(Found::Known(Vec::new())),
            Miscount::NoEntries => found.clear(),
            Miscount::ProvidersTwice => found.iter_mut().for_each(|entry| {
                if let Found::Known(providers) = entry {
                    let twice = providers.iter().flat_map(|one| [one.clone(), one.clone()]);
                    *providers = twice.take(limit.get() as usize).collect();
                }
            }),
            Miscount::Nothing
            | Miscount::TooManyProviders
            | Miscount::TooFewOutcomes
            | Miscount::TooManyOutcomes => {}
        }
        Ok(found)
    }
}
