//! Where provider records are kept.

mod deletion;
mod error;
mod profile;
mod scan;

pub use deletion::{DeleteProgress, Deleted, Deletion};
pub use error::{StoreError, StoreErrorKind};
pub use profile::{Durability, Expiry, Lane, Sharing, StoreProfile, StoreProfileBuilder};
pub use scan::{Cursor, CursorError, KeyProvider, Page};

use crate::{ContentKey, Metric, Provider, ProviderRecord, ReconfigureError, UnixSeconds, ValueStore};
use async_trait::async_trait;
use serde_json::Value;
use std::borrow::Cow;
use std::fmt::Debug;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// A store of provider records.
///
/// The node never calls a store without a permit of its gate, so a store sees at most
/// [`StoreProfile::concurrency_max`] calls at a time and needs no queue of its own.
///
/// # Rules
/// - **S1** `insert` is idempotent: one record per (key, provider), however often it is announced.
/// - **S2** The later expiry wins; an insert never shortens a record's life. The expiry of a record may stay behind the latest
///   one that was inserted, by [`StoreProfile::refresh_slack`] at most.
/// - **S3** `providers` returns one entry per key asked for, in that order, repeated keys too; an absent key's is known
///   and empty.
/// - **S4** What has expired (`expires <= now`) is never returned, purged or not.
/// - **S5** Providers are ordered freshest (latest expiry) first, none comes twice, and there are at most `limit`; which
///   of more than `limit` are left out is the store's choice.
/// - **S6** Addresses belong to the provider, not to the record: the newest ones replace the earlier ones for all its
///   keys, and `addresses_at` is the time of their insert, to within [`Addresses::SLACK`](crate::Addresses::SLACK) so
///   that a store need not write each time.
/// - **S7** An insert without addresses keeps those that are known.
/// - **S8** A batch may name the same (key, provider) twice; the outcome is that of inserting one after the other.
/// - **S9** A batch of the lane's `batch_len_max` is accepted whole; an empty one does nothing.
/// - **S10** `purge_expired` removes at most `limit` expired records, never a live one, and says if there are more.
/// - **S11** `estimate` is cheap at any size, and on a store that has come to rest within 20 % of the truth, or says
///   with its age that it is older than that.
/// - **S12** `close` flushes; calls after it fail with [`StoreErrorKind::Unavailable`]; closing twice is no error.
/// - **S13** With [`Durability::SurvivesRestart`], what was inserted before `close` is there after the next open.
/// - **S14** A dropped future leaves each record of its batch either stored or not, and the store in order.
/// - **S15** Keys, ids and addresses come back byte for byte; a key and its prefix are different keys.
/// - **S16** Calls from many tasks at once lose nothing.
/// - **S17** [`Inserted::Each`] has one outcome per record of the batch, in its order; a record that is `Taken` is read
///   by the next call, and one that is `NoRoom` or `Refused` has changed nothing.
/// - **S18** With [`Sharing::BetweenProcesses`] each process that has opened the store reads what another has inserted,
///   and one process at a time purges: the others get [`PurgeProgress::Elsewhere`].
/// - **S19** Opened with [`Purpose::Check`](crate::Purpose::Check) it reads at most: no file, table or record is created or changed.
/// - **S20** `delete` removes the records of its [`Deletion`] and no others, at most `limit` of them, and says if there are
///   more. A record that it removed is not returned by the next call and may be inserted again; one that is absent is no
///   error.
/// - **S21** `scan` returns at most `limit` records a page, none of them expired, with what `providers` says of them. From no
///   cursor to the page without one, it returns each record that is live during the whole scan at least once, whatever is
///   written meanwhile.
/// - **S22** A cursor is good for the same store until its records are gone, after it was closed and opened again too; what is no
///   cursor of the store is [`StoreErrorKind::Refused`].
/// - **S23** An insert removes no other record that had not expired at the last purge, whatever its `now` is: that of a
///   purge is sure, while that of an insert is of a clock that may have jumped.
/// - **S24** `metrics` waits for nothing, and all that it returns is [`well_formed`](crate::metrics::well_formed); while the
///   store is open no counter falls and no series of a counter or a histogram goes away. It may be called at any time.
/// - **S25** After `expire_by` a pass of the purge lowers each expiry that is later than its date to that date, and no other; or
///   the store lowers none.
#[async_trait]
pub trait ProviderStore: Debug + Send + Sync + 'static {
    /// What the node must know of this store to use it well. Asked again while the store is open: its capacity may
    /// change, the other properties are constant. Cheap: no I/O.
    fn profile(&self) -> StoreProfile;

    /// Stores a batch of at most `profile().writes.batch_len_max` records.
    ///
    /// # Errors
    /// [`StoreError`]: each record of the batch may or may not have been stored, unless the kind is
    /// [`StoreErrorKind::Refused`]: then none was, and a record of the batch is the cause. The node splits such a batch
    /// until that record is alone.
    ///
    /// # Cancel safety
    /// Rule S14.
    async fn insert(&self, batch: Arc<[ProviderRecord]>, now: UnixSeconds) -> Result<Inserted, StoreError>;

    /// The live providers of each of at most `profile().reads.batch_len_max` keys, at most `limit` per key.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is known of any of the keys.
    async fn providers(
        &self,
        keys: Arc<[ContentKey]>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Vec<Found>, StoreError>;

    /// Removes up to `limit` expired records: one step of a task that the node repeats while there is time. Not called
    /// with [`Expiry::ByItself`].
    ///
    /// # Errors
    /// [`StoreError`]: some may have been removed.
    async fn purge_expired(&self, now: UnixSeconds, limit: NonZeroU32) -> Result<Purged, StoreError>;

    /// Records that expire after `latest` were announced under a clock that was ahead: from now on the steps of a purge lower such
    /// an expiry to `latest`, once for all, so that the record ends. The node calls this before each step of a purge: with a date when
    /// its clock has gone evenly for long, and else with the last one that there is. A store of several nodes corrects the date by the
    /// clock that they share, if that is ahead: one of them may have a clock that is behind. Cheap: no I/O. A store that wraps others
    /// passes it on.
    ///
    /// The default does nothing: such a record lives on until the clock has reached its expiry.
    fn expire_by(&self, latest: UnixSeconds) {
        let _ = latest;
    }

    /// Why the last call that could say nothing of some keys or records could not, with what it knows of the cause: such a call
    /// gives their kinds alone. Operators see it. Cheap: no I/O. A store that wraps others passes it on.
    ///
    /// The default tells nothing.
    fn unknown_because(&self) -> Option<String> {
        None
    }

    /// About how many records there are. Never a full count.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be asked.
    async fn estimate(&self) -> Result<Estimate, StoreError>;

    /// Removes up to `limit` records: one step of a task that the caller repeats until it is done. For operators; a node
    /// that serves does not call it. What other processes keep in memory of the records is not changed.
    ///
    /// # Errors
    /// [`StoreError`]: some may have been removed. [`StoreError::not_supported`] is the default.
    ///
    /// # Cancel safety
    /// Each record is removed or not.
    async fn delete(&self, deletion: Deletion, limit: NonZeroU32) -> Result<Deleted, StoreError> {
        let _ = (deletion, limit);
        Err(StoreError::not_supported("delete"))
    }

    /// One page of all records, from the beginning without a cursor, in an order of the store's own. It reads a bounded
    /// number of rows, so a page may have fewer records than `limit`, or none, and not be the last.
    ///
    /// # Errors
    /// [`StoreError`]: the same page can be asked for again. [`StoreError::not_supported`] is the default.
    async fn scan(
        &self,
        from: Option<Cursor>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Page, StoreError> {
        let _ = (from, now, limit);
        Err(StoreError::not_supported("scan"))
    }

    /// Where value records are kept beside the provider records: `/pk` and `/ipns`. Cheap: it is asked for each
    /// call. The default is none: a node on such a store keeps no value records, and says so.
    fn values(&self) -> Option<&dyn ValueStore> {
        None
    }

    /// Flushes what is not durable yet and ends the store.
    ///
    /// # Errors
    /// [`StoreError`] when the flush failed: what [`StoreProfile::durability`] promised may not hold.
    async fn close(&self) -> Result<(), StoreError>;

    /// The figures that the store publishes of itself, as they are now. Called at each scrape of the node's metrics, from a
    /// thread of its own: it does no I/O and waits for no call that is under way. A fact that the server must be asked for is
    /// read by a call that is made anyway, [`estimate`](Self::estimate) for example, and published with its age.
    ///
    /// A store that wraps others returns theirs too, told apart by a label.
    fn metrics(&self) -> Vec<Metric> {
        Vec::new()
    }

    /// What an operator should know of how the store was opened, a few words each: with
    /// [`Purpose::Check`](crate::Purpose::Check) what was not looked at and what a start would do, with
    /// [`Purpose::Migrate`](crate::Purpose::Migrate) what was made. `hydra check`, `hydra store check` and `hydra store migrate`
    /// print them after `ok`. Cheap: no I/O.
    ///
    /// A store that wraps others returns theirs too.
    fn remarks(&self) -> Vec<String> {
        Vec::new()
    }

    /// Takes up a changed table of the config, as [`Plugin::Config`](crate::Plugin::Config) reads it, while the store
    /// is open. All of it is taken, or nothing. It may block as long as opening does.
    ///
    /// # Errors
    /// [`ReconfigureError`] when the change cannot be taken up by an open store, which is the default.
    fn reconfigure(&self, table: Value) -> Result<(), ReconfigureError> {
        drop(table);
        Err(ReconfigureError::needs_restart())
    }
}

/// What is known of one key of a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Its live providers, freshest first; empty when it has none.
    Known(Vec<Provider>),
    /// The part of the store that holds the key did not answer, while others did.
    Unknown(StoreErrorKind),
}

/// How an insert ended that did not fail as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inserted {
    /// Every record is stored, new or refreshed.
    All,
    /// One outcome per record, in the order of the batch (rule S17).
    Each(Vec<RecordOutcome>),
}

impl Inserted {
    /// The result of an insert with these outcomes, one per record of the batch.
    pub fn of(outcomes: Vec<RecordOutcome>) -> Self {
        if outcomes.iter().all(|outcome| *outcome == RecordOutcome::Taken) {
            Self::All
        } else {
            Self::Each(outcomes)
        }
    }

    /// How many records of a batch of `len` are stored.
    pub fn taken(&self, len: usize) -> usize {
        match self {
            Self::All => len,
            Self::Each(outcomes) => {
                outcomes.iter().filter(|outcome| **outcome == RecordOutcome::Taken).count()
            }
        }
    }
}

impl Found {
    /// The providers that are known: none when the key is unknown.
    pub fn providers(&self) -> &[Provider] {
        match self {
            Self::Known(providers) => providers,
            Self::Unknown(_) => &[],
        }
    }

    /// The providers, if they are known.
    pub fn known(self) -> Option<Vec<Provider>> {
        match self {
            Self::Known(providers) => Some(providers),
            Self::Unknown(_) => None,
        }
    }
}

/// What became of one record of an insert.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordOutcome {
    /// It is stored, new or refreshed.
    Taken,
    /// The store has no room for it. It is not tried again.
    NoRoom,
    /// The store never takes this record; the text says why and holds no bytes of a peer. It is not tried again.
    Refused(Cow<'static, str>),
    /// It may or may not be stored. It is tried again as this kind of error says.
    Unknown(StoreErrorKind),
}

/// How a step of the purge ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Purged {
    /// How many records were removed.
    pub removed: u64,
    /// Whether another step would find more.
    pub progress: PurgeProgress,
}

impl Purged {
    /// A step that removed this many records.
    pub const fn new(removed: u64, progress: PurgeProgress) -> Self {
        Self { removed, progress }
    }
}

/// Whether a purge is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PurgeProgress {
    /// All that had expired is removed, as far as the store knows.
    Done,
    /// There is more: call again.
    More,
    /// Another process purges the shared store (rule S18).
    Elsewhere,
}

/// About how many records a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Estimate {
    /// Records, expired ones that are not purged yet included.
    pub records: u64,
    /// How long ago this was true.
    pub age: Duration,
    /// How it was obtained.
    pub method: EstimateMethod,
}

impl Estimate {
    /// An estimate of this many records.
    pub const fn new(records: u64, age: Duration, method: EstimateMethod) -> Self {
        Self { records, age, method }
    }
}

/// How an [`Estimate`] was obtained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EstimateMethod {
    /// Kept up to date with every write.
    Counted,
    /// From the statistics that the database keeps for its planner.
    Statistics,
    /// From a part of the records.
    Sampled,
}

impl EstimateMethod {
    /// Its name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Statistics => "statistics",
            Self::Sampled => "sampled",
        }
    }
}
