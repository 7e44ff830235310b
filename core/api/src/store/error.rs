//! Why a store call failed, and what the node does about it.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// A store call that failed: what to do about it, which call, why.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    operation: &'static str,
    retry_after: Option<Duration>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What the node does about a failed store call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The store cannot be reached or is closed. The node sends one probe at a time until it answers again; reads are
    /// answered from the cache, writes wait.
    Unavailable,
    /// The store is at its limit. The node makes fewer calls at a time for a while.
    Overloaded,
    /// The store never takes what it was given. The node splits the batch and drops the record that is the cause.
    Refused,
    /// What is stored is damaged. The node logs what the operator has to do. It reports itself as not alive if the store is of
    /// this process alone ([`Sharing::OneProcess`](crate::Sharing)): a restart may mend such a store, and no other.
    Corrupt,
}

impl StoreErrorKind {
    /// Every kind there is today.
    pub const ALL: [Self; 4] = [Self::Unavailable, Self::Overloaded, Self::Refused, Self::Corrupt];

    /// Its name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Overloaded => "overloaded",
            Self::Refused => "refused",
            Self::Corrupt => "corrupt",
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::Unavailable => "the store is unavailable",
            Self::Overloaded => "the store is overloaded",
            Self::Refused => "the store refuses the call",
            Self::Corrupt => "the store is corrupt",
        }
    }
}

impl StoreError {
    /// `operation` failed, for no reason beyond its kind.
    pub const fn new(kind: StoreErrorKind, operation: &'static str) -> Self {
        Self { kind, operation, retry_after: None, source: None }
    }

    /// `operation` failed because of `source`, which must hold no secret and no bytes of a peer.
    pub fn because(
        kind: StoreErrorKind,
        operation: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { source: Some(source.into()), ..Self::new(kind, operation) }
    }

    /// `operation` was called after `close` (rule S12).
    pub fn closed(operation: &'static str) -> Self {
        Self::because(StoreErrorKind::Unavailable, operation, "the store is closed")
    }

    /// The store does not have `operation` at all.
    pub fn not_supported(operation: &'static str) -> Self {
        Self::because(StoreErrorKind::Refused, operation, NotSupported)
    }

    /// `operation` was given a cursor that is not one of the store (rule S22).
    pub fn foreign_cursor(operation: &'static str) -> Self {
        Self::because(StoreErrorKind::Refused, operation, "the cursor is not one of this store")
    }

    /// True if the store does not have the operation.
    pub fn is_not_supported(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.is::<NotSupported>())
    }

    /// The backend asks for a pause of this length. The node bounds it.
    #[must_use]
    pub const fn retry_after(mut self, pause: Duration) -> Self {
        self.retry_after = Some(pause);
        self
    }

    /// What to do about it.
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// The call that failed.
    pub const fn operation(&self) -> &'static str {
        self.operation
    }

    /// The pause that the backend asks for, if it does.
    pub const fn pause(&self) -> Option<Duration> {
        self.retry_after
    }
}

/// A store without the operation.
#[derive(Debug, Clone, Copy)]
struct NotSupported;

impl fmt::Display for NotSupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the store does not support it")
    }
}

impl Error for NotSupported {}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.kind.sentence())
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn Error + 'static))
    }
}
