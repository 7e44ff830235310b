//! Records that another program has stored.

use crate::{ContentKey, Cursor, OpenError, PeerId, StoreError, UnixSeconds};
use async_trait::async_trait;
use std::fmt::{self, Debug};
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;

/// A kind of place that records can be imported from; `hydra store import` names it. Made known with
/// [`Registry::add_importer`](crate::Registry::add_importer).
pub trait ImportSource: Send + Sync + 'static {
    /// The word on the command line, in kebab-case.
    const KIND: &'static str;

    /// One line on what it reads.
    const SUMMARY: &'static str;

    /// Connects to the place that `url` names, which may contain a password.
    ///
    /// # Errors
    /// [`OpenError`]; one of the kind `Config` is a mistake in the URL.
    fn open(url: &str) -> impl Future<Output = Result<Arc<dyn Importer>, OpenError>> + Send;
}

/// Reads the records of another program page by page. It changes nothing there.
///
/// A row that is there from the first page to the last is read at least once. Rows that cannot be read as records are
/// counted and left out.
#[async_trait]
pub trait Importer: Debug + Send + Sync + 'static {
    /// One page of at most `limit` rows, from the beginning without a cursor. A cursor is good for later processes too.
    ///
    /// # Errors
    /// [`StoreError`]: the same page can be asked for again.
    async fn page(&self, from: Option<Cursor>, limit: NonZeroU32) -> Result<ImportPage, StoreError>;

    /// About how many rows there are; none if that is not known. Never a full count.
    ///
    /// # Errors
    /// [`StoreError`] when the place cannot be asked.
    async fn estimate(&self) -> Result<Option<u64>, StoreError>;

    /// Disconnects.
    async fn close(&self);
}

/// One page of an import.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ImportPage {
    /// The records of the page.
    pub records: Vec<ImportedRecord>,
    /// Rows that are no provider records, and are none by mistake.
    pub malformed: u64,
    /// Where the next page begins; `None` on the last page.
    pub next: Option<Cursor>,
}

impl ImportPage {
    /// A page of these records, beside which so many rows were malformed.
    pub const fn new(records: Vec<ImportedRecord>, malformed: u64, next: Option<Cursor>) -> Self {
        Self { records, malformed, next }
    }
}

/// A provider record of another program. Its addresses are not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedRecord {
    /// What is provided.
    pub key: ContentKey,
    /// Who provides it.
    pub provider: PeerId,
    /// When it was announced.
    pub received: UnixSeconds,
}

/// One kind of import that is known.
#[derive(Clone, Copy)]
pub struct ImportEntry {
    kind: &'static str,
    summary: &'static str,
    open: Open,
}

type Open = fn(String) -> Pin<Box<dyn Future<Output = Result<Arc<dyn Importer>, OpenError>> + Send>>;

impl ImportEntry {
    pub(crate) fn of<S: ImportSource>() -> Self {
        Self { kind: S::KIND, summary: S::SUMMARY, open: |url| Box::pin(async move { S::open(&url).await }) }
    }

    /// The word on the command line.
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    /// One line on what it reads.
    pub const fn summary(&self) -> &'static str {
        self.summary
    }

    /// Connects to the place that `url` names.
    ///
    /// # Errors
    /// [`OpenError`] as the source gives it.
    pub async fn open(&self, url: &str) -> Result<Arc<dyn Importer>, OpenError> {
        (self.open)(url.to_owned()).await
    }
}

impl fmt::Debug for ImportEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "import {}", self.kind)
    }
}
