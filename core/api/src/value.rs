//! Where value records are kept: `/pk` and `/ipns` records of the DHT.

mod key;

pub use key::{ValueKey, ValueKeyError};

use crate::{Cursor, Purged, StoreError, StoreErrorKind, UnixSeconds};
use async_trait::async_trait;
use bytes::Bytes;
use std::borrow::Cow;
use std::fmt::Debug;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// A store of value records: one record per key, replaced by a better one alone.
///
/// Which of two records is the better one is the node's matter: the store compares what it has with what the node has seen, so
/// that of many nodes and tasks that replace a record at a time one does, and the others look again. A store of providers has
/// one, or none ([`ProviderStore::values`](crate::ProviderStore::values)); it is used under the permits, with the profile and until the
/// close of that store.
///
/// # Rules
/// - **R1** `put_if` stores a record if the key has what was seen: those bytes, or nothing. Else it is `Changed`, and nothing is
///   changed.
/// - **R2** `get` returns one entry per key asked for, in that order, repeated keys too; an absent key's is known and nothing.
/// - **R3** What has expired (`expires <= now`) is never returned, and counts as nothing for a `put_if`.
/// - **R4** Keys and values come back byte for byte, with their times; a key and its prefix are different keys.
/// - **R5** Of many puts of a key at a time that have seen the same, one is `Stored`, whatever task or process they are of.
/// - **R6** A batch may name a key twice; the outcome is that of putting one after the other.
/// - **R7** A batch of [`BATCH_LEN_MAX`] is accepted whole, of the longest keys and values too; an empty one does nothing.
/// - **R8** `purge_values` removes at most `limit` expired records, never a live one, and says if there are more.
/// - **R9** A dropped future leaves each key with the record it had or the one that was put, and the store in order.
/// - **R10** Calls after the close of the store fail with [`StoreErrorKind::Unavailable`]; with
///   [`Durability::SurvivesRestart`](crate::Durability::SurvivesRestart), what was stored before is there after the next open.
/// - **R11** Value records and provider records are apart: no call for the one kind sees or changes the other.
/// - **R12** `estimate_values` is cheap at any size, and on a store that has come to rest within 20 % of the truth, or says with its age
///   that it is older than that.
/// - **R13** `put_if` has one outcome per record of the batch, in its order; a record that is `Stored` is read by the next call, and
///   one that is `Changed`, `NoRoom` or `Refused` has changed nothing.
/// - **R14** `delete_values` removes the records of its keys and no others; one that is absent is no error.
/// - **R15** `scan_values` returns at most `limit` records a page, none of them expired. From no cursor to the page without one, it
///   returns a record of each key that has a live one during the whole scan, whatever is written meanwhile.
/// - **R16** A cursor of `scan_values` is good for the same store until its records are gone, after it was closed and opened again too;
///   what is no cursor of the store is [`StoreErrorKind::Refused`].
#[async_trait]
pub trait ValueStore: Debug + Send + Sync {
    /// The live records of at most [`BATCH_LEN_MAX`] keys.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is known of any of the keys.
    async fn get(&self, keys: Arc<[ValueKey]>, now: UnixSeconds) -> Result<Vec<FoundValue>, StoreError>;

    /// Stores each of at most [`BATCH_LEN_MAX`] records whose key still has what was seen of it.
    ///
    /// # Errors
    /// [`StoreError`]: each record of the batch may or may not have been stored.
    ///
    /// # Cancel safety
    /// Rule R9.
    async fn put_if(&self, batch: Arc<[ValuePut]>, now: UnixSeconds) -> Result<Vec<PutOutcome>, StoreError>;

    /// Removes up to `limit` expired records: one step of a task that the node repeats while there is time. Not called when the
    /// store's [`Expiry`](crate::Expiry) is `ByItself`. On a store that is shared, the process that purges providers does it.
    ///
    /// # Errors
    /// [`StoreError`]: some may have been removed.
    async fn purge_values(&self, now: UnixSeconds, limit: NonZeroU32) -> Result<Purged, StoreError>;

    /// About how many records there are, and how many bytes their keys and values have. Never a full count.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be asked.
    async fn estimate_values(&self) -> Result<ValueEstimate, StoreError>;

    /// Removes the records of at most [`BATCH_LEN_MAX`] keys; how many there were, expired ones included. For operators; a node that
    /// serves does not call it.
    ///
    /// # Errors
    /// [`StoreError`]: some may have been removed.
    async fn delete_values(&self, keys: Arc<[ValueKey]>) -> Result<u64, StoreError>;

    /// One page of all records, from the beginning without a cursor, in an order of the store's own. It reads a bounded number of rows
    /// and bytes, so a page may have fewer records than `limit`, or none, and not be the last. For operators; a node that serves does
    /// not call it.
    ///
    /// # Errors
    /// [`StoreError`]: the same page can be asked for again. [`StoreError::not_supported`] is the default.
    async fn scan_values(
        &self,
        from: Option<Cursor>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<ValuePage, StoreError> {
        let _ = (from, now, limit);
        Err(StoreError::not_supported("scan_values"))
    }
}

/// Keys of one [`get`](ValueStore::get), records of one [`put_if`](ValueStore::put_if): 1.3 MiB at most.
pub const BATCH_LEN_MAX: usize = 128;

/// One value record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueRecord {
    /// What the key stands for, as it was put: 1 to [`ValueRecord::LEN_MAX`] bytes.
    pub value: Bytes,
    /// When it was received.
    pub received: UnixSeconds,
    /// The moment from which it is served no more.
    pub expires: UnixSeconds,
}

impl ValueRecord {
    /// The longest value, in bytes (IPNS record specification, *Record Serialization Format*: 10 KiB).
    pub const LEN_MAX: usize = 10 * 1024;
}

/// A record to be stored if its key still has what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValuePut {
    /// The key.
    pub key: ValueKey,
    /// The value that was seen; none when the key had nothing.
    pub seen: Option<Bytes>,
    /// The record that takes its place.
    pub record: ValueRecord,
}

/// What is known of one key of a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundValue {
    /// Its live record, if it has one.
    Known(Option<ValueRecord>),
    /// The part of the store that holds the key did not answer, while others did.
    Unknown(StoreErrorKind),
}

/// What became of one record of a put.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PutOutcome {
    /// It is stored.
    Stored,
    /// The key has something else than was seen. Look again.
    Changed,
    /// The store has no room for it.
    NoRoom,
    /// The store never takes this record; the text says why and holds no bytes of a peer.
    Refused(Cow<'static, str>),
    /// It may or may not be stored. It is tried again as this kind of error says.
    Unknown(StoreErrorKind),
}

/// One page of a scan of value records.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ValuePage {
    /// The records of the page with their keys. There may be none of them on a page that is not the last.
    pub records: Vec<(ValueKey, ValueRecord)>,
    /// Where the next page begins; `None` on the last page.
    pub next: Option<Cursor>,
}

impl ValuePage {
    /// A page of these records.
    pub const fn new(records: Vec<(ValueKey, ValueRecord)>, next: Option<Cursor>) -> Self {
        Self { records, next }
    }
}

/// About how many value records a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ValueEstimate {
    /// Records, expired ones that are not purged yet included.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// How long ago this was true.
    pub age: Duration,
}

impl ValueEstimate {
    /// An estimate of so many records and bytes.
    pub const fn new(records: u64, bytes: u64, age: Duration) -> Self {
        Self { records, bytes, age }
    }
}
