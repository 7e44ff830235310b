//! What went wrong in the engine, and what to do about it.

use hydra_api::{StoreError, StoreErrorKind};
use std::any::Any;
use std::io::ErrorKind;

/// A call of the engine that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// sled says so.
    #[error(transparent)]
    Engine(#[from] sled::Error),
    /// A row cannot be read.
    #[error("a row of {0} is damaged")]
    Row(&'static str),
    /// Every number for a provider was given out.
    #[error("there is no number left for a provider")]
    Numbers,
    /// A call into sled panicked.
    #[error("the storage engine panicked: {0}")]
    Panic(String),
}

impl Fault {
    /// What a panic had to say.
    pub(crate) fn of_panic(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Self::Panic(text.unwrap_or_else(|| "no message".to_owned()))
    }

    /// Whether files are damaged, rather than out of reach.
    pub(crate) fn is_damage(&self) -> bool {
        use sled::Error;
        match self {
            Self::Row(_) => true,
            Self::Numbers | Self::Panic(_) => false,
            Self::Engine(Error::Io(io)) => matches!(
                io.kind(),
                ErrorKind::UnexpectedEof
                    | ErrorKind::InvalidData
                    | ErrorKind::InvalidInput
                    | ErrorKind::NotFound
                    | ErrorKind::AlreadyExists
            ),
            // Unsupported: the file of sled's own settings, which no checksum guards, says what this sled never wrote.
            Self::Engine(
                Error::CollectionNotFound(_)
                | Error::Unsupported(_)
                | Error::ReportableBug(_)
                | Error::Corruption { .. },
            ) => true,
        }
    }

    /// Whether sled's own lock on its file is taken.
    pub(crate) fn is_locked(&self) -> bool {
        matches!(self, Self::Engine(sled::Error::Io(io)) if io.to_string().contains("could not acquire lock"))
    }

    pub(crate) fn into_error(self, operation: &'static str) -> StoreError {
        let kind = if self.is_damage() { StoreErrorKind::Corrupt } else { StoreErrorKind::Unavailable };
        let kind = if matches!(self, Self::Numbers) { StoreErrorKind::Overloaded } else { kind };
        StoreError::because(kind, operation, self)
    }
}
