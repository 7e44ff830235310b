//! Where provider records are kept.

use crate::{ContentKey, Provider, ProviderRecord, UnixSeconds};
use async_trait::async_trait;
use std::error::Error;
use std::fmt::{self, Debug};
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

/// A store of provider records.
///
/// The node never calls a store without a permit of its gate, so a store sees at most
/// [`StoreProfile::concurrency_max`] calls at a time and needs no queue of its own.
///
/// # Rules
/// - **S1** `insert` is idempotent: one record per (key, provider), however often it is announced.
/// - **S2** The later expiry wins; an insert never shortens a record's life.
/// - **S3** `providers` returns one entry per key asked for, in that order, repeated keys too; an absent key's is empty.
/// - **S4** What has expired (`expires <= now`) is never returned, purged or not.
/// - **S5** Entries are ordered freshest (latest expiry) first and hold at most `limit`; which of more than `limit`
///   are left out is the store's choice.
/// - **S6** Addresses belong to the provider, not to the record: the last ones told replace the earlier ones for all
///   its keys, and `addresses_at` says when (to within half their life, so that a store need not write each time).
/// - **S7** An insert without addresses keeps those that are known.
/// - **S8** A batch may name the same (key, provider) twice; the outcome is that of inserting one after the other.
/// - **S9** A batch of [`StoreProfile::batch_len_max`] is accepted whole; an empty one does nothing.
/// - **S10** `purge_expired` removes at most `limit` expired records, never a live one, and says if there are more.
/// - **S11** `estimate` is cheap at any size, and on a store that has come to rest within 20 % of the truth, or says
///   with its age that it is older than that.
/// - **S12** `close` flushes; calls after it fail with [`StoreErrorKind::Unavailable`]; closing twice is no error.
/// - **S13** With [`Durability::SurvivesRestart`], what was inserted before `close` is there after the next open.
/// - **S14** A dropped future leaves each record of its batch either stored or not, and the store in order.
/// - **S15** Keys, ids and addresses come back byte for byte; a key and its prefix are different keys.
/// - **S16** Calls from many tasks at once lose nothing.
#[async_trait]
pub trait ProviderStore: Debug + Send + Sync + 'static {
    /// What the node must know of this store to use it well. Constant while the store is open.
    fn profile(&self) -> StoreProfile;

    /// Stores a batch of at most [`StoreProfile::batch_len_max`] records.
    ///
    /// # Errors
    /// [`StoreError`]: some of the batch may have been stored.
    async fn insert(&self, batch: &[ProviderRecord], now: UnixSeconds) -> Result<Inserted, StoreError>;

    /// The live providers of each of at most [`StoreProfile::batch_len_max`] keys, at most `limit` a key.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is known of any of the keys.
    async fn providers(
        &self,
        keys: &[ContentKey],
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Vec<Vec<Provider>>, StoreError>;

    /// Removes up to `limit` expired records; a step of a chore that the node repeats while there is time.
    ///
    /// # Errors
    /// [`StoreError`]: some may have been removed.
    async fn purge_expired(&self, now: UnixSeconds, limit: NonZeroU32) -> Result<Purged, StoreError>;

    /// About how many records there are. Never a full count.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be asked.
    async fn estimate(&self) -> Result<Estimate, StoreError>;

    /// Flushes what is not durable yet and ends the store.
    ///
    /// # Errors
    /// [`StoreError`] when the flush failed: what [`StoreProfile::durability`] promised may not hold.
    async fn close(&self) -> Result<(), StoreError>;
}

/// What a store is able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreProfile {
    /// How many calls at a time it serves without making one wait: its connections, or its threads.
    pub concurrency_max: NonZeroUsize,
    /// How many records or keys one call may have.
    pub batch_len_max: NonZeroUsize,
    /// Whether records outlive the process.
    pub durability: Durability,
    /// Whether other processes see the same records.
    pub sharing: Sharing,
}

/// Whether records outlive the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// They end with it.
    InMemory,
    /// They are there again after a restart. What was acknowledged less than `window` before a crash may be lost.
    SurvivesRestart {
        /// How long a record may wait until it is safe from a crash of the process.
        window: Duration,
    },
}

/// Whether other processes see the same records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// This process alone has them.
    OneProcess,
    /// Every process that names the same store has them.
    BetweenProcesses,
}

/// How an insert ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Inserted {
    /// Records that are now in the store, new or refreshed.
    pub accepted: u64,
    /// Records that were not taken, for want of room.
    pub dropped: u64,
}

/// How a step of the purge ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purged {
    /// How many records were removed.
    pub removed: u64,
    /// Whether another step would find more.
    pub progress: PurgeProgress,
}

/// Whether a purge is through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PurgeProgress {
    /// All that had expired is removed, as far as the store knows.
    Done,
    /// There is more: call again.
    More,
}

/// About how many records a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// Records, expired ones that are not purged yet included.
    pub records: u64,
    /// How long ago this was true.
    pub age: Duration,
    /// How it was come by.
    pub method: EstimateMethod,
}

/// How an [`Estimate`] was come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EstimateMethod {
    /// Kept up to date with every write.
    Counted,
    /// From the statistics that the database keeps for its planner.
    Statistics,
    /// From a part of the records.
    Sampled,
}

impl EstimateMethod {
    /// The word for it in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Statistics => "statistics",
            Self::Sampled => "sampled",
        }
    }
}

/// A store call that failed: what to do about it, which call, why.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    operation: &'static str,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What to do about a failed store call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// The store cannot be reached or is closed: try again later.
    Unavailable,
    /// The store is at its limit: ask it less.
    Overloaded,
    /// What is stored is damaged: stop and tell the operator.
    Corrupt,
}

impl StoreErrorKind {
    /// The word for it in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Overloaded => "overloaded",
            Self::Corrupt => "corrupt",
        }
    }
}

impl StoreError {
    /// `operation` failed, for no reason beyond its kind.
    pub const fn new(kind: StoreErrorKind, operation: &'static str) -> Self {
        Self { kind, operation, source: None }
    }

    /// `operation` failed because of `source`, which must hold no secret.
    pub fn because(
        kind: StoreErrorKind,
        operation: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { kind, operation, source: Some(source.into()) }
    }

    /// `operation` was called after `close` (rule S12).
    pub fn closed(operation: &'static str) -> Self {
        Self::because(StoreErrorKind::Unavailable, operation, "the store is closed")
    }

    /// What to do about it.
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// The call that failed.
    pub const fn operation(&self) -> &'static str {
        self.operation
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: the store is {}", self.operation, self.kind.as_str())
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn Error + 'static))
    }
}
