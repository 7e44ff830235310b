//! What a deletion removes, and how it ended.

use crate::{ContentKey, PeerId};

/// The records that a deletion removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// Every record of a key.
    Key(ContentKey),
    /// The record of a key and a provider.
    Record(ContentKey, PeerId),
}

impl Deletion {
    /// The key whose records are removed.
    pub const fn key(&self) -> &ContentKey {
        match self {
            Self::Key(key) | Self::Record(key, _) => key,
        }
    }
}

/// How a step of a deletion ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deleted {
    /// How many records were removed, expired ones that were not purged yet included.
    pub removed: u64,
    /// Whether another step would find more.
    pub progress: DeleteProgress,
}

impl Deleted {
    /// A step that removed this many records.
    pub const fn new(removed: u64, progress: DeleteProgress) -> Self {
        Self { removed, progress }
    }
}

/// Whether a deletion is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteProgress {
    /// None of the records is left.
    Done,
    /// There may be more: call again.
    More,
}
