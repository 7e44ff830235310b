//! The store, honest but for one sabotage. Each is as small as can be, so that the cases of no other rule see it.

use super::lies;
use super::overlay::Overlay;
use super::values::ValueLies;
use crate::shared_memory::{Shared, locked};
use hydra_api::{
    ConfigIssue, ContentKey, Cursor, Deleted, Deletion, Estimate, Found, Inserted, Metric, OpenError, Page,
    Plugin, ProviderRecord, ProviderStore, PurgeProgress, Purged, Purpose, ReconfigureError, RecordOutcome,
    Scope, Store, StoreError, StoreErrorKind, StoreProfile, UnixSeconds, Value, ValueStore, async_trait,
};
use hydra_store_memory::Memory;
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What is wrong with a store, named after the rule that it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) enum Sabotage {
    #[default]
    Honest,
    TakesUnknownKeys,
    ReconfigureTakesUnknownKeys,
    ReconfigureEnds,
    S1StoresTwice,
    S2Shortens,
    S3RepeatedKeyIsEmpty,
    S3SortsKeys,
    S3AbsentKeyIsUnknown,
    S4ReturnsWhatExpiresNow,
    S5FreshestLast,
    S5NoLimit,
    S5ProviderTwice,
    S6AddressesOfTheRecord,
    S6AddressesAge,
    S7NoAddressesAreTaken,
    S8FirstOfTwo,
    S9PartOfTheLargest,
    S9FailsTheEmpty,
    S10PurgesTheLiving,
    S10MoreThanTheLimit,
    S10DoneTooSoon,
    S10NeverDone,
    S11CountsTwice,
    S11AnyNumberOfAnyAge,
    S11AnyNumberFromTheBeginning,
    S11CountsAll,
    S12ServesOn,
    S12AnotherKind,
    S12FailsTheSecondClose,
    S13ForgetsTheLastBatch,
    S14TornWhenDropped,
    S15CutsKeys,
    S15CutsPeers,
    S15CutsAddresses,
    S15ReadsByPrefix,
    S16LosesOneOfTwo,
    S17SaysTaken,
    S17OutcomesOutOfOrder,
    S17TooFewOutcomes,
    S17Unknown,
    S17TakesTheAddresses,
    S17ReadsLate,
    S18ReadsItsOwn,
    S18EndsForAll,
    S18AllPurge,
    S19CreatesAFile,
    S19CreatesTheDirectory,
    S19ChangesAFile,
    S19Migrates,
    UseMakesWhatIsNotThere,
    UseWritesAndFails,
    S20RemovesTheKey,
    S20RemovesNothing,
    S20MoreThanTheLimit,
    S20NeverDone,
    S20DoneTooSoon,
    S20FailsTheAbsent,
    S21LeavesOutTheLast,
    S21MoreThanTheLimit,
    S21ReturnsTheExpired,
    S21ForgetsAddresses,
    S21ByNumber,
    S22ForgetsItsCursors,
    S22TakesAnyCursor,
    S23PurgesByItsClock,
    S23MakesRoomByItsClock,
    S24CounterFalls,
    S24SeriesGoesAway,
    S24SeriesTwice,
    S24NamesAPeer,
    S24PanicsWhenClosed,
    S24Waits,
    S24WaitsEverySecondTime,
    R1StoresWhatWasNotSeen,
    R1SeesTheAbsent,
    R1TakesABeginning,
    R1SaysChangedAndStores,
    R2SortsKeys,
    R2RepeatedKeyIsEmpty,
    R2AbsentKeyIsUnknown,
    R2TooFewEntries,
    R3ReturnsTheExpired,
    R3SeesTheExpired,
    R3ExpiredIsInTheWay,
    R4CutsKeys,
    R4CutsValues,
    R4ReadsByPrefix,
    R4ForgetsWhenItCame,
    R4EndsSooner,
    R5LetsTwoWin,
    R5LetsTwoProcessesWin,
    R5SaysStored,
    R6FirstOfTwo,
    R6AllSeeTheSame,
    R7PartOfTheLargest,
    R7RefusesTheLargest,
    R7FailsTheEmpty,
    R8PurgesTheLiving,
    R8MoreThanTheLimit,
    R8DoneTooSoon,
    R8NeverDone,
    R9TornWhenDropped,
    R9StaysBusy,
    R10ServesOn,
    R10AnotherKind,
    R10Forgets,
    R11ValuesOfProviders,
    R11PutRemovesProviders,
    R11PurgeRemovesProviders,
    R11DeletionRemovesProviders,
    R11InsertRemovesValues,
    R11DeletionRemovesValues,
    R11PurgeRemovesValues,
    R12CountsTwice,
    R12CountsTheReplaced,
    R12CountsValuesAlone,
    R12AnyNumberOfAnyAge,
    R12AnyNumberFromTheBeginning,
    R12CountsAll,
    R13OutcomesOutOfOrder,
    R13TooFewOutcomes,
    R13Unknown,
    R13ReadsLate,
    R13ChangedIsStored,
    R13SaysStored,
    R13NoRoomIsStored,
    R14RemovesAnother,
    R14RemovesNothing,
    R14FailsTheAbsent,
    R14CountsTheAbsent,
    R15LeavesOutTheLast,
    R15MoreThanTheLimit,
    R15ReturnsTheExpired,
    R15ForgetsWhenItCame,
    R15ByNumber,
    R15ByExpiry,
    R16ForgetsItsCursors,
    R16TakesAnyCursor,
    S25LowersAll,
    S25LowersToAnotherDate,
}
use Sabotage::*;

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Config {
    pub(crate) sabotage: Sabotage,
    pub(crate) providers_per_key_max: u32,
    #[serde(flatten, skip_serializing)]
    #[schemars(skip)]
    pub(crate) unknown: BTreeMap<String, IgnoredAny>,
}

impl Default for Config {
    fn default() -> Self {
        Self { sabotage: Honest, providers_per_key_max: 100_000, unknown: BTreeMap::new() }
    }
}

/// A process that has opened the store.
#[derive(Debug)]
pub(crate) struct Sabotaged {
    pub(super) sabotage: Sabotage,
    pub(super) shared: Arc<Shared>,
    /// Its number; 0 when it only checks.
    pub(super) process: u64,
    /// Whether no other process had it open then.
    pub(super) alone: bool,
    pub(super) overlay: Overlay,
    /// The records that no other process reads.
    own: Option<Memory>,
    closed: AtomicBool,
    has_inserted: AtomicBool,
    inserts: AtomicU64,
    inserting: AtomicU64,
    purge_calls: AtomicU64,
    pub(super) figures_calls: AtomicU64,
    pub(super) opened: Instant,
    /// Whether there is little room.
    pub(super) is_full: bool,
    pub(super) values: ValueLies,
}

impl Plugin for Sabotaged {
    type Role = Store;
    type Config = Config;
    const KIND: &'static str = "sabotaged";
    const SUMMARY: &'static str = "breaks a rule";

    async fn open(config: Config, scope: &Scope) -> Result<Arc<dyn ProviderStore>, OpenError> {
        let sabotage = config.sabotage;
        if let Some(key) = config.unknown.keys().next().filter(|_| sabotage != TakesUnknownKeys) {
            return Err(OpenError::config(key, format!("unknown key `{key}`")));
        }
        let providers_per_key_max = config.providers_per_key_max;
        let memory = hydra_store_memory::Config { providers_per_key_max, ..Default::default() };
        let (shared, process, alone) = if scope.purpose() == Purpose::Check {
            lies::check(sabotage, scope.data_dir()).await;
            let shared = Shared::find(scope.data_dir());
            (shared.unwrap_or_else(|| Arc::new(Shared::new(&memory))), 0, true)
        } else {
            if scope.purpose() == Purpose::Use {
                lies::look(sabotage, scope.data_dir())?;
            }
            std::fs::write(scope.data_dir().join("records"), "opened")
                .map_err(|cause| OpenError::unavailable("cannot write", cause))?;
            let shared = Shared::of(scope.data_dir(), &memory);
            let (process, alone) = shared.enter();
            (shared, process, alone)
        };
        let own = (sabotage == S18ReadsItsOwn && !alone).then(|| Memory::new(&memory));
        Ok(Arc::new(Self {
            sabotage,
            shared,
            process,
            alone,
            overlay: Overlay::default(),
            own,
            closed: AtomicBool::new(false),
            has_inserted: AtomicBool::new(false),
            inserts: AtomicU64::new(0),
            inserting: AtomicU64::new(0),
            purge_calls: AtomicU64::new(0),
            figures_calls: AtomicU64::new(0),
            opened: Instant::now(),
            is_full: providers_per_key_max < 1000,
            values: ValueLies::default(),
        }))
    }
}

impl Sabotaged {
    pub(super) fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == sabotage
    }

    fn records(&self) -> &Memory {
        self.own.as_ref().unwrap_or(&self.shared.memory)
    }

    /// Whether this process has inserted something.
    pub(super) fn has_inserted(&self) -> bool {
        self.has_inserted.load(Ordering::SeqCst)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    fn open_for(&self, operation: &'static str) -> Result<(), StoreError> {
        let ended = self.is(S18EndsForAll) && self.shared.one_has_ended();
        if !ended && (!self.closed.load(Ordering::SeqCst) || self.is(S12ServesOn)) {
            return Ok(());
        }
        let kind =
            if self.is(S12AnotherKind) { StoreErrorKind::Refused } else { StoreErrorKind::Unavailable };
        Err(StoreError::because(kind, operation, "closed"))
    }
}

/// One call more at a time, until it has ended or is dropped.
pub(super) struct Counted<'a>(pub(super) &'a AtomicU64);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl ProviderStore for Sabotaged {
    fn profile(&self) -> StoreProfile {
        self.shared.profile()
    }

    fn expire_by(&self, latest: UnixSeconds) {
        self.records().expire_by(match self.sabotage {
            S25LowersAll => latest.saturating_sub(Duration::from_secs(30 * 3600)),
            S25LowersToAnotherDate => latest.saturating_add(Duration::from_secs(3600)),
            _ => latest,
        });
    }

    async fn insert(&self, batch: Arc<[ProviderRecord]>, now: UnixSeconds) -> Result<Inserted, StoreError> {
        self.open_for("insert")?;
        self.inserts.fetch_add(1, Ordering::SeqCst);
        let others = self.inserting.fetch_add(1, Ordering::SeqCst);
        let _inserting = Counted(&self.inserting);
        self.overlay.record(&batch, now);
        self.has_inserted.store(true, Ordering::SeqCst);
        match self.sabotage {
            S9FailsTheEmpty if batch.is_empty() => {
                return Err(StoreError::new(StoreErrorKind::Refused, "insert"));
            }
            S14TornWhenDropped => drop(self.records().insert(lies::torn(&batch), now).await?),
            S16LosesOneOfTwo if others > 0 => return Ok(Inserted::All),
            R11InsertRemovesValues => {
                let keys: Vec<_> = batch.iter().map(|record| record.key).collect();
                self.meddle_with_values(&keys).await?;
            }
            S23PurgesByItsClock => drop(self.records().purge_expired(now, NonZeroU32::MAX).await?),
            _ => {}
        }
        // Others have their turn, or it is dropped here.
        tokio::task::yield_now().await;
        let mut changed = self.altered(&batch);
        if self.is(S17ReadsLate) && batch.len() == 190 {
            let last = changed.pop();
            changed.extend(std::mem::replace(&mut *locked(&self.shared.late), last));
        }
        let changed: Arc<[_]> = changed.into();
        let mut inserted = self.records().insert(Arc::clone(&changed), now).await?;
        if self.is(S23MakesRoomByItsClock) && inserted != Inserted::All {
            self.records().purge_expired(now, NonZeroU32::MAX).await?;
            inserted = self.records().insert(changed, now).await?;
        }
        if let (S17TakesTheAddresses, Inserted::Each(outcomes)) = (self.sabotage, &inserted) {
            let none = batch.iter().zip(outcomes).filter(|(_, outcome)| **outcome == RecordOutcome::NoRoom);
            // A record that expires at once is not stored, and its addresses are taken.
            let none = none.map(|(record, _)| ProviderRecord { expires: now, ..record.clone() });
            self.records().insert(none.collect(), now).await?;
        }
        Ok(self.said(inserted))
    }

    async fn providers(
        &self,
        keys: Arc<[ContentKey]>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Vec<Found>, StoreError> {
        self.open_for("providers")?;
        let now = if self.is(S4ReturnsWhatExpiresNow) { UnixSeconds(now.0 - 1) } else { now };
        let limit = if self.is(S5NoLimit) { limit.saturating_add(1) } else { limit };
        let asked: Arc<[_]> = match self.sabotage {
            S15CutsKeys | S15ReadsByPrefix => keys.iter().map(lies::cut).collect(),
            _ => Arc::clone(&keys),
        };
        let found = self.records().providers(asked, now, limit).await?;
        Ok(self.told(&keys, found))
    }

    async fn purge_expired(&self, now: UnixSeconds, limit: NonZeroU32) -> Result<Purged, StoreError> {
        self.open_for("purge_expired")?;
        let calls = self.purge_calls.fetch_add(1, Ordering::SeqCst);
        if self.is(R11PurgeRemovesValues) {
            self.meddle_with_all_values().await?;
        }
        let now = if self.is(S10PurgesTheLiving) { UnixSeconds(now.0 + 100_000) } else { now };
        let limit = if self.is(S10MoreThanTheLimit) { limit.saturating_add(1) } else { limit };
        let process = if self.is(S18AllPurge) { 0 } else { self.process };
        let mut purged = self.shared.purge(process, now, limit).await?;
        match (self.sabotage, purged.progress) {
            (S10DoneTooSoon, PurgeProgress::More) if calls > 20 => purged.progress = PurgeProgress::Done,
            (S10NeverDone, PurgeProgress::Done) if self.process == 1 => purged.progress = PurgeProgress::More,
            _ => {}
        }
        Ok(purged)
    }

    async fn estimate(&self) -> Result<Estimate, StoreError> {
        self.open_for("estimate")?;
        let estimate = self.records().estimate().await?;
        Ok(self.estimated(estimate))
    }

    async fn delete(&self, deletion: Deletion, limit: NonZeroU32) -> Result<Deleted, StoreError> {
        self.open_for("delete")?;
        if self.is(R11DeletionRemovesValues) {
            self.meddle_with_values(&[*deletion.key()]).await?;
        }
        self.deleted(self.records(), deletion, limit).await
    }

    async fn scan(
        &self,
        from: Option<Cursor>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Page, StoreError> {
        self.open_for("scan")?;
        self.scanned(self.records(), from, now, limit).await
    }

    fn values(&self) -> Option<&dyn ValueStore> {
        Some(self)
    }

    fn metrics(&self) -> Vec<Metric> {
        self.published(self.inserts.load(Ordering::SeqCst), self.closed.load(Ordering::SeqCst))
    }

    async fn close(&self) -> Result<(), StoreError> {
        let again = self.closed.swap(true, Ordering::SeqCst);
        if again && self.is(S12FailsTheSecondClose) {
            return Err(StoreError::closed("close"));
        }
        self.shared.leave(self.process);
        Ok(())
    }

    fn reconfigure(&self, table: Value) -> Result<(), ReconfigureError> {
        let config: Config = ReconfigureError::parse(table)?;
        let unknown = config.unknown.keys().next().filter(|_| !self.is(ReconfigureTakesUnknownKeys));
        let Some(key) = unknown else { return Ok(()) };
        if self.is(ReconfigureEnds) {
            self.closed.store(true, Ordering::SeqCst);
        }
        let (key, message) = (key.clone(), "there is no such key".to_owned());
        Err(ReconfigureError::Config(ConfigIssue { key, message }))
    }
}
