//! A store that a record is poison to.

use super::panicking::panic_as_wanted;
use super::partial::insert_rest;
use super::{Behaviour, Double, locked};
use hydra_api::{
    ContentKey, Inserted, PeerId, ProviderRecord, ProviderStore, RecordOutcome, StoreError, StoreErrorKind,
    UnixSeconds, async_trait,
};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// A store that fails each batch that contains one of certain records, and stores nothing of it.
pub type RefusesRecord = Double<Refusing>;

/// The behaviour of a [`RefusesRecord`].
#[derive(Debug)]
pub struct Refusing(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    poison: Poison,
    records: BTreeSet<(ContentKey, PeerId)>,
}

/// What such a record does to its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poison {
    /// The batch fails with this kind: [`StoreErrorKind::Refused`] as the trait has it, another one as a store would
    /// that does not know better.
    Fails(StoreErrorKind),
    /// The batch panics.
    Panics,
    /// The other records are stored, and the outcome of this one says that it is refused.
    Outcome,
}

impl Default for Poison {
    fn default() -> Self {
        Self::Fails(StoreErrorKind::Refused)
    }
}

impl RefusesRecord {
    /// These records, of a key and a provider each, do this to their batches.
    pub fn new(
        inner: Arc<dyn ProviderStore>,
        poison: Poison,
        records: impl IntoIterator<Item = (ContentKey, PeerId)>,
    ) -> Self {
        let records = records.into_iter().collect();
        Self::of(inner, Refusing(Mutex::new(State { poison, records })))
    }

    /// From now on the records do this to their batches.
    pub fn set(&self, poison: Poison) {
        locked(&self.behaviour.0).poison = poison;
    }

    /// From now on this record is one of them.
    pub fn refuse(&self, key: ContentKey, provider: PeerId) {
        locked(&self.behaviour.0).records.insert((key, provider));
    }

    /// From now on all records are taken.
    pub fn take_all(&self) {
        locked(&self.behaviour.0).records.clear();
    }
}

#[async_trait]
impl Behaviour for Refusing {
    async fn insert(
        &self,
        inner: &dyn ProviderStore,
        batch: Arc<[ProviderRecord]>,
        now: UnixSeconds,
    ) -> Result<Inserted, StoreError> {
        let (poison, refused) = {
            let state = locked(&self.0);
            let named = batch.iter().map(|record| (record.key, record.provider));
            (state.poison, named.filter(|named| state.records.contains(named)).collect::<BTreeSet<_>>())
        };
        if refused.is_empty() {
            return inner.insert(batch, now).await;
        }
        match poison {
            Poison::Fails(kind) => {
                Err(StoreError::because(kind, "insert", "the test wants a record to be refused"))
            }
            Poison::Panics => panic_as_wanted(),
            Poison::Outcome => {
                let outcome = |record: &ProviderRecord| {
                    let refused = refused.contains(&(record.key, record.provider));
                    refused.then_some(RecordOutcome::Refused("the test wants it to be refused".into()))
                };
                insert_rest(inner, &batch, now, outcome).await
            }
        }
    }
}
