//! How a call of the store went.

use crate::observe::StoreCall;
use hydra_api::{Causes, ProviderStore, StoreError, StoreErrorKind};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// For how long a write is waited for while none ends. Then its records are tried without it: a call that hangs keeps its
/// permit, and nothing else. Stores bound their calls to less.
pub(crate) const WRITE_WAIT_MAX: Duration = Duration::from_secs(45);

/// A store call that did not bring what it should.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It failed.
    Store(StoreError),
    /// It answered that it can say nothing of so many keys or records, which were all that it was given.
    Unknown(StoreError, usize),
    /// It panicked, or answered against the contract of the store.
    Broke(&'static str),
}

impl Failure {
    pub(crate) const PANICKED: Self = Self::Broke("the store panicked");

    /// It answered, and could say nothing of any of so many keys or records.
    pub(crate) fn unknown(
        kind: StoreErrorKind,
        call: StoreCall,
        store: &dyn ProviderStore,
        len: usize,
    ) -> Self {
        let error = match cause_of(store) {
            Some(because) => StoreError::because(kind, call.as_str(), because),
            None => StoreError::new(kind, call.as_str()),
        };
        Self::Unknown(error, len)
    }

    /// The kind of the error, if it was one.
    pub(crate) const fn kind(&self) -> Option<StoreErrorKind> {
        match self {
            Self::Store(error) | Self::Unknown(error, _) => Some(error.kind()),
            Self::Broke(_) => None,
        }
    }

    /// The pause that the store asks for.
    pub(crate) fn pause(&self) -> Option<Duration> {
        match self {
            Self::Store(error) | Self::Unknown(error, _) => error.pause(),
            Self::Broke(_) => None,
        }
    }

    /// Its name in metrics and traces.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Store(error) | Self::Unknown(error, _) => error.kind().as_str(),
            Self::Broke(_) => "panic",
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) | Self::Unknown(error, _) => Causes(error).fmt(f),
            Self::Broke(how) => f.write_str(how),
        }
    }
}

/// Why the store could say nothing of some keys or records, if it tells; nothing when it panics instead.
pub(crate) fn cause_of(store: &dyn ProviderStore) -> Option<String> {
    catch_unwind(AssertUnwindSafe(|| store.unknown_because())).ok().flatten()
}

/// The kind that counts where a call failed in several ways: damage first, then that the store is at its limit.
pub(crate) fn gravest(kinds: impl IntoIterator<Item = StoreErrorKind>) -> Option<StoreErrorKind> {
    kinds.into_iter().max_by_key(|kind| match kind {
        StoreErrorKind::Corrupt => 3,
        StoreErrorKind::Overloaded => 2,
        StoreErrorKind::Unavailable => 1,
        _ => 0,
    })
}
