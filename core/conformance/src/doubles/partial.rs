//! Stores that do what they are asked in part, or do it and say otherwise.

use super::{Behaviour, Double, Share, locked};
use hydra_api::{
    Inserted, ProviderRecord, ProviderStore, RecordOutcome, StoreError, StoreErrorKind, UnixSeconds,
    async_trait,
};
use std::sync::{Arc, Mutex};

/// A store whose inserts reach the store behind it, and then fail or do not return.
pub type CommitsThenFails = Double<Committing>;

/// A store that stores the first half of a batch, rounded down, and then fails.
pub type StoresHalf = Double<Halving>;

/// A store that has no room for some records, always the same ones.
pub type DropsSome = Double<Dropping>;

/// The behaviour of a [`CommitsThenFails`].
#[derive(Debug)]
pub struct Committing(Mutex<Afterwards>);

/// What follows on an insert that was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Afterwards {
    /// Its outcome is returned, as any store does.
    Answers,
    /// It fails with this kind.
    Fails(StoreErrorKind),
    /// It never returns. It can be dropped.
    Hangs,
}

/// The behaviour of a [`StoresHalf`].
#[derive(Debug)]
pub struct Halving(Mutex<Option<StoreErrorKind>>);

/// The behaviour of a [`DropsSome`].
#[derive(Debug)]
pub struct Dropping(Mutex<Share>);

impl CommitsThenFails {
    /// Inserts, and then does this.
    pub fn new(inner: Arc<dyn ProviderStore>, afterwards: Afterwards) -> Self {
        Self::of(inner, Committing(Mutex::new(afterwards)))
    }

    /// From now on does this after inserts.
    pub fn set(&self, afterwards: Afterwards) {
        *locked(&self.behaviour.0) = afterwards;
    }
}

impl StoresHalf {
    /// Stores half of each batch and fails with `kind`.
    pub fn new(inner: Arc<dyn ProviderStore>, kind: StoreErrorKind) -> Self {
        Self::of(inner, Halving(Mutex::new(Some(kind))))
    }

    /// From now on fails with this kind, or stores the whole of each batch when there is none.
    pub fn set(&self, kind: Option<StoreErrorKind>) {
        *locked(&self.behaviour.0) = kind;
    }
}

impl DropsSome {
    /// Has no room for `per_mille` of a thousand records; which ones follows from `seed`, their keys and providers.
    pub fn new(inner: Arc<dyn ProviderStore>, per_mille: u32, seed: u64) -> Self {
        Self::of(inner, Dropping(Mutex::new(Share::of(per_mille, seed))))
    }

    /// From now on has no room for `per_mille` of a thousand.
    pub fn set(&self, per_mille: u32) {
        locked(&self.behaviour.0).per_mille = per_mille;
    }

    /// Whether it has no room for this record.
    pub fn drops(&self, record: &ProviderRecord) -> bool {
        locked(&self.behaviour.0).contains(&bytes(record))
    }
}

#[async_trait]
impl Behaviour for Committing {
    async fn insert(
        &self,
        inner: &dyn ProviderStore,
        batch: Arc<[ProviderRecord]>,
        now: UnixSeconds,
    ) -> Result<Inserted, StoreError> {
        let afterwards = *locked(&self.0);
        let inserted = inner.insert(batch, now).await?;
        match afterwards {
            Afterwards::Answers => Ok(inserted),
            Afterwards::Fails(kind) => Err(StoreError::because(kind, "insert", "the test wants it to fail")),
            Afterwards::Hangs => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Behaviour for Halving {
    async fn insert(
        &self,
        inner: &dyn ProviderStore,
        batch: Arc<[ProviderRecord]>,
        now: UnixSeconds,
    ) -> Result<Inserted, StoreError> {
        let Some(kind) = *locked(&self.0) else { return inner.insert(batch, now).await };
        inner.insert(batch[..batch.len() / 2].into(), now).await?;
        Err(StoreError::because(kind, "insert", "the test wants half of it to fail"))
    }
}

#[async_trait]
impl Behaviour for Dropping {
    async fn insert(
        &self,
        inner: &dyn ProviderStore,
        batch: Arc<[ProviderRecord]>,
        now: UnixSeconds,
    ) -> Result<Inserted, StoreError> {
        let share = locked(&self.0).clone();
        let none = |record: &ProviderRecord| share.contains(&bytes(record)).then_some(RecordOutcome::NoRoom);
        insert_rest(inner, &batch, now, none).await
    }
}

/// Inserts the records that have no outcome yet, and puts all outcomes in order.
pub(super) async fn insert_rest(
    inner: &dyn ProviderStore,
    batch: &Arc<[ProviderRecord]>,
    now: UnixSeconds,
    outcome: impl Fn(&ProviderRecord) -> Option<RecordOutcome>,
) -> Result<Inserted, StoreError> {
    let mut outcomes: Vec<_> = batch.iter().map(outcome).collect();
    if outcomes.iter().all(Option::is_none) {
        return inner.insert(Arc::clone(batch), now).await;
    }
    let rest = batch.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_none());
    let rest: Arc<[_]> = rest.map(|(record, _)| record.clone()).collect();
    let mut of_rest = match inner.insert(Arc::clone(&rest), now).await? {
        Inserted::All => vec![RecordOutcome::Taken; rest.len()],
        Inserted::Each(outcomes) => outcomes,
    }
    .into_iter();
    outcomes.iter_mut().filter(|outcome| outcome.is_none()).for_each(|outcome| *outcome = of_rest.next());
    Ok(Inserted::of(outcomes.into_iter().flatten().collect()))
}

/// What tells a record from others.
pub(super) fn bytes(record: &ProviderRecord) -> Vec<u8> {
    [record.key.as_bytes(), record.provider.as_bytes()].concat()
}
