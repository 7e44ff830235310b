//! Stores that misbehave on purpose, or are watched: each is put around another store, and around one another.
//!
//! | double | what it does |
//! |---|---|
//! | [`CountingStore`], [`RecordingStore`] | counts, or writes down, what it is asked |
//! | [`ClaimingStore`] | claims another profile or estimate than its store has |
//! | [`SlowStore`] | takes time: per call, per row, or as many rows a second as it serves |
//! | [`FrozenStore`] | does not return while it is frozen |
//! | [`FailingStore`] | fails all calls or a share, on and off, with any kind of error |
//! | [`PanicsSometimes`] | panics in all calls or a share |
//! | [`CommitsThenFails`] | does what it is asked, and then fails or does not return |
//! | [`StoresHalf`] | stores the first half of each batch, and fails |
//! | [`DropsSome`] | has no room for some records |
//! | [`RefusesRecord`] | fails each batch that contains a certain record |
//! | [`UnknownForSome`] | does not know some keys |
//! | [`Miscounts`] | gives too few or too many entries or outcomes |
//!
//! [`LeasedIds`] is an allocator of identities: several processes share its [`Fleet`], leases end, and links fail.
//!
//! Each is switched while it runs: keep an `Arc` of the double, and give a clone of it to what is tested.
//!
//! ```
//! use hydra_api::{ProviderStore, StoreErrorKind};
//! use hydra_conformance::doubles::{CountingStore, FailingStore};
//! use std::sync::Arc;
//!
//! # fn test(memory: Arc<dyn ProviderStore>) {
//! let counting = Arc::new(CountingStore::new(memory));
//! let failing = Arc::new(FailingStore::new(counting.clone(), StoreErrorKind::Unavailable, 0, 1));
//! // `failing` is what is tested: its statements are counted where they reach the store.
//! failing.set(StoreErrorKind::Overloaded, 500);
//! assert_eq!(counting.counted().statements, 0);
//! # }
//! ```
//!
//! Every double counts what it is asked itself, too ([`Double::counted`]). What a double does follows from its seed and
//! from the bytes of records and keys alone, and it measures time by tokio's clock alone, so that it works on a paused
//! one. `close` is left alone unless [`Calls::Close`] or [`Calls::AllWithClose`] is chosen, except that a frozen store does not close; after it each call
//! fails as rule S12 says, whatever else the double would do. Write further doubles as a [`Behaviour`].

mod claiming;
mod counting;
mod failing;
mod frozen;
mod leased_ids;
mod miscounting;
mod panicking;
mod partial;
mod recording;
mod refusing;
mod slow;
mod unknown;

pub use claiming::{Claiming, ClaimingStore};
pub use counting::{Counted, Counting, CountingStore};
pub use failing::{Failing, FailingStore};
pub use frozen::{Frozen, FrozenStore};
pub use leased_ids::{Delay, Fleet, Holder, Lapsed, LeasedIds, Link};
pub use miscounting::{Miscount, Miscounting, Miscounts};
pub use panicking::{Panicking, PanicsSometimes};
pub use partial::{Afterwards, CommitsThenFails, Committing, Dropping, DropsSome, Halving, StoresHalf};
pub use recording::{Asked, Recording, RecordingStore};
pub use refusing::{Poison, RefusesRecord, Refusing};
pub use slow::{Slow, SlowStore, Waits};
pub use unknown::{Unknowing, UnknownForSome};

use crate::given::Chance;
use counting::Counter;
use hydra_api::{
    ContentKey, Cursor, Deleted, Deletion, Estimate, Found, FoundValue, Inserted, Metric, Page,
    ProviderRecord, ProviderStore, Purged, PutOutcome, StoreError, StoreProfile, UnixSeconds, ValueEstimate,
    ValueKey, ValuePage, ValuePut, ValueStore, async_trait,
};
use std::fmt::Debug;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A call on its way to the store behind a double.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// An insert of so many records.
    Insert(usize),
    /// A read of so many keys.
    Providers(usize),
    /// A step of the purge.
    PurgeExpired,
    /// An estimate.
    Estimate,
    /// A step of a deletion.
    Delete,
    /// A page of a scan.
    Scan,
    /// A read of the value records of so many keys.
    GetValues(usize),
    /// A put of so many value records.
    PutValues(usize),
    /// A step of the purge of value records, an estimate of them, a deletion.
    UpkeepOfValues(&'static str),
    /// The end of the store.
    Close,
}

impl Call {
    /// Its name in errors.
    pub const fn operation(self) -> &'static str {
        match self {
            Self::Insert(_) => "insert",
            Self::Providers(_) => "providers",
            Self::PurgeExpired => "purge_expired",
            Self::Estimate => "estimate",
            Self::Delete => "delete",
            Self::Scan => "scan",
            Self::GetValues(_) => "get",
            Self::PutValues(_) => "put_if",
            Self::UpkeepOfValues(operation) => operation,
            Self::Close => "close",
        }
    }

    /// Whether it is a call of value records.
    pub const fn is_of_values(self) -> bool {
        matches!(self, Self::GetValues(_) | Self::PutValues(_) | Self::UpkeepOfValues(_))
    }

    /// What the call costs a store: its records or keys, and one for any other.
    pub const fn rows(self) -> usize {
        match self {
            Self::Insert(len) | Self::Providers(len) | Self::GetValues(len) | Self::PutValues(len) => len,
            Self::PurgeExpired
            | Self::Estimate
            | Self::Delete
            | Self::Scan
            | Self::UpkeepOfValues(_)
            | Self::Close => 1,
        }
    }
}

/// The calls in which a double misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Calls {
    /// All but `close`.
    #[default]
    All,
    /// `providers`, and `get` of values.
    Reads,
    /// `insert`, and `put_if` of values.
    Writes,
    /// `purge_expired`, `estimate`, `delete` and `scan`, and those of values.
    Upkeep,
    /// All calls of value records.
    OfValues,
    /// All but those of value records and `close`.
    OfProviders,
    /// `close`.
    Close,
    /// All, and `close`.
    AllWithClose,
}

impl Calls {
    /// Whether it is one of them.
    pub const fn contain(self, call: Call) -> bool {
        match self {
            Self::All => !matches!(call, Call::Close),
            Self::AllWithClose => true,
            Self::Reads => matches!(call, Call::Providers(_) | Call::GetValues(_)),
            Self::Writes => matches!(call, Call::Insert(_) | Call::PutValues(_)),
            Self::Upkeep => {
                matches!(
                    call,
                    Call::PurgeExpired | Call::Estimate | Call::Delete | Call::Scan | Call::UpkeepOfValues(_)
                )
            }
            Self::OfValues => call.is_of_values(),
            Self::OfProviders => !call.is_of_values() && !matches!(call, Call::Close),
            Self::Close => matches!(call, Call::Close),
        }
    }
}

/// What a [`Double`] does beside or in place of what its store does. Each method has a default that does nothing more.
#[async_trait]
pub trait Behaviour: Debug + Send + Sync + 'static {
    /// Called before each call: it may wait, fail or panic. A call that is dropped meanwhile has not reached the store.
    ///
    /// # Errors
    /// That of the call, which then does not reach the store.
    async fn enter(&self, call: Call) -> Result<(), StoreError> {
        let _ = call;
        Ok(())
    }

    /// The profile of the double.
    fn profile(&self, inner: StoreProfile) -> StoreProfile {
        inner
    }

    /// Why the double could say nothing of some keys or records.
    fn unknown_because(&self, inner: Option<String>) -> Option<String> {
        inner
    }

    /// The figures that the double publishes.
    fn metrics(&self, inner: Vec<Metric>) -> Vec<Metric> {
        inner
    }

    /// The insert of the double.
    ///
    /// # Errors
    /// Those of [`ProviderStore::insert`].
    async fn insert(
        &self,
        inner: &dyn ProviderStore,
        batch: Arc<[ProviderRecord]>,
        now: UnixSeconds,
    ) -> Result<Inserted, StoreError> {
        inner.insert(batch, now).await
    }

    /// The read of the double.
    ///
    /// # Errors
    /// Those of [`ProviderStore::providers`].
    async fn providers(
        &self,
        inner: &dyn ProviderStore,
        keys: Arc<[ContentKey]>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Vec<Found>, StoreError> {
        inner.providers(keys, now, limit).await
    }

    /// The purge of the double.
    ///
    /// # Errors
    /// Those of [`ProviderStore::purge_expired`].
    async fn purge_expired(
        &self,
        inner: &dyn ProviderStore,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Purged, StoreError> {
        inner.purge_expired(now, limit).await
    }

    /// The estimate of the double.
    ///
    /// # Errors
    /// Those of [`ProviderStore::estimate`].
    async fn estimate(&self, inner: &dyn ProviderStore) -> Result<Estimate, StoreError> {
        inner.estimate().await
    }
}

/// A store that behaves otherwise than the one that it is put around.
#[derive(Debug)]
pub struct Double<B> {
    inner: Arc<dyn ProviderStore>,
    behaviour: B,
    closed: AtomicBool,
    counter: Counter,
}

impl<B: Behaviour> Double<B> {
    /// Puts this behaviour around `inner`.
    pub fn of(inner: Arc<dyn ProviderStore>, behaviour: B) -> Self {
        Self { inner, behaviour, closed: AtomicBool::new(false), counter: Counter::default() }
    }

    /// What it was asked so far.
    pub fn counted(&self) -> Counted {
        self.counter.counted()
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    async fn enter(&self, call: Call) -> Result<counting::InFlight, StoreError> {
        if self.is_closed() {
            self.counter.after_close();
            return Err(StoreError::closed(call.operation()));
        }
        let in_flight = self.counter.enter(call);
        self.behaviour.enter(call).await?;
        // One that waited until the store was closed.
        if self.is_closed() && call != Call::Close {
            return Err(StoreError::closed(call.operation()));
        }
        Ok(in_flight)
    }
}

#[async_trait]
impl<B: Behaviour> ProviderStore for Double<B> {
    fn profile(&self) -> StoreProfile {
        self.behaviour.profile(self.inner.profile())
    }

    async fn insert(&self, batch: Arc<[ProviderRecord]>, now: UnixSeconds) -> Result<Inserted, StoreError> {
        let in_flight = self.enter(Call::Insert(batch.len())).await?;
        in_flight.ended(self.behaviour.insert(&*self.inner, batch, now).await)
    }

    async fn providers(
        &self,
        keys: Arc<[ContentKey]>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Vec<Found>, StoreError> {
        let in_flight = self.enter(Call::Providers(keys.len())).await?;
        in_flight.ended(self.behaviour.providers(&*self.inner, keys, now, limit).await)
    }

    async fn purge_expired(&self, now: UnixSeconds, limit: NonZeroU32) -> Result<Purged, StoreError> {
        let in_flight = self.enter(Call::PurgeExpired).await?;
        in_flight.ended(self.behaviour.purge_expired(&*self.inner, now, limit).await)
    }

    async fn estimate(&self) -> Result<Estimate, StoreError> {
        let in_flight = self.enter(Call::Estimate).await?;
        in_flight.ended(self.behaviour.estimate(&*self.inner).await)
    }

    async fn delete(&self, deletion: Deletion, limit: NonZeroU32) -> Result<Deleted, StoreError> {
        let in_flight = self.enter(Call::Delete).await?;
        in_flight.ended(self.inner.delete(deletion, limit).await)
    }

    async fn scan(
        &self,
        from: Option<Cursor>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Page, StoreError> {
        let in_flight = self.enter(Call::Scan).await?;
        in_flight.ended(self.inner.scan(from, now, limit).await)
    }

    async fn close(&self) -> Result<(), StoreError> {
        if self.is_closed() {
            return self.inner.close().await;
        }
        let in_flight = self.enter(Call::Close).await;
        // A close that fails has ended the store all the same.
        self.closed.store(true, Ordering::Release);
        let closed = self.inner.close().await;
        in_flight?.ended(closed)
    }

    fn expire_by(&self, latest: UnixSeconds) {
        self.inner.expire_by(latest);
    }

    fn values(&self) -> Option<&dyn ValueStore> {
        self.inner.values().map(|_| self as &dyn ValueStore)
    }

    fn unknown_because(&self) -> Option<String> {
        self.behaviour.unknown_because(self.inner.unknown_because())
    }

    fn metrics(&self) -> Vec<Metric> {
        self.behaviour.metrics(self.inner.metrics())
    }

    fn reconfigure(&self, table: hydra_api::Value) -> Result<(), hydra_api::ReconfigureError> {
        self.inner.reconfigure(table)
    }
}

impl<B: Behaviour> Double<B> {
    fn inner_values(&self, operation: &'static str) -> Result<&dyn ValueStore, StoreError> {
        self.inner.values().ok_or_else(|| StoreError::not_supported(operation))
    }
}

#[async_trait]
impl<B: Behaviour> ValueStore for Double<B> {
    async fn get(&self, keys: Arc<[ValueKey]>, now: UnixSeconds) -> Result<Vec<FoundValue>, StoreError> {
        let in_flight = self.enter(Call::GetValues(keys.len())).await?;
        in_flight.ended(self.inner_values("get")?.get(keys, now).await)
    }

    async fn put_if(&self, batch: Arc<[ValuePut]>, now: UnixSeconds) -> Result<Vec<PutOutcome>, StoreError> {
        let in_flight = self.enter(Call::PutValues(batch.len())).await?;
        in_flight.ended(self.inner_values("put_if")?.put_if(batch, now).await)
    }

    async fn purge_values(&self, now: UnixSeconds, limit: NonZeroU32) -> Result<Purged, StoreError> {
        let in_flight = self.enter(Call::UpkeepOfValues("purge_values")).await?;
        in_flight.ended(self.inner_values("purge_values")?.purge_values(now, limit).await)
    }

    async fn estimate_values(&self) -> Result<ValueEstimate, StoreError> {
        let in_flight = self.enter(Call::UpkeepOfValues("estimate_values")).await?;
        in_flight.ended(self.inner_values("estimate_values")?.estimate_values().await)
    }

    async fn delete_values(&self, keys: Arc<[ValueKey]>) -> Result<u64, StoreError> {
        let in_flight = self.enter(Call::UpkeepOfValues("delete_values")).await?;
        in_flight.ended(self.inner_values("delete_values")?.delete_values(keys).await)
    }

    async fn scan_values(
        &self,
        from: Option<Cursor>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<ValuePage, StoreError> {
        let in_flight = self.enter(Call::UpkeepOfValues("scan_values")).await?;
        in_flight.ended(self.inner_values("scan_values")?.scan_values(from, now, limit).await)
    }
}

/// A thousandth, of calls one after another or of records and keys by their bytes.
#[derive(Debug, Clone)]
struct Share {
    per_mille: u32,
    seed: u64,
    chance: Chance,
}

impl Share {
    const fn of(per_mille: u32, seed: u64) -> Self {
        Self { per_mille, seed, chance: Chance::of(seed) }
    }

    /// Whether the next call is part of it.
    fn next(&mut self) -> bool {
        self.chance.below(1000) < u64::from(self.per_mille)
    }

    /// Whether what has these bytes is part of it: always, or never.
    fn contains(&self, bytes: &[u8]) -> bool {
        let mixed = bytes.iter().fold(self.seed, |mixed, byte| Chance::of(mixed ^ u64::from(*byte)).next());
        Chance::of(mixed).below(1000) < u64::from(self.per_mille)
    }
}

fn locked<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
