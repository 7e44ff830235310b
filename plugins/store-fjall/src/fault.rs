//! What went wrong in the engine, and what to do about it.

use hydra_api::{StoreError, StoreErrorKind};
use std::io::ErrorKind;

/// A call of the engine that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// fjall says so.
    #[error(transparent)]
    Engine(#[from] fjall::Error),
    /// A row cannot be read.
    #[error("a row of {0} is damaged")]
    Row(&'static str),
    /// The journal is gone, and with it the order of writes.
    #[error("the journal is missing")]
    Journal,
    /// Every number for a provider was given out.
    #[error("there is no number left for a provider")]
    Numbers,
    /// A call into fjall panicked.
    #[error("the storage engine panicked: {0}")]
    Panic(String),
}

impl Fault {
    /// What a panic had to say.
    pub(crate) fn of_panic(panic: &(dyn std::any::Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Self::Panic(text.unwrap_or_else(|| "no message".to_owned()))
    }

    /// Whether files are damaged, rather than out of reach.
    pub(crate) fn is_damage(&self) -> bool {
        use fjall::{Error, LsmError};
        match self {
            Self::Row(_) | Self::Journal => true,
            Self::Numbers | Self::Panic(_) => false,
            Self::Engine(Error::Io(io) | Error::Storage(LsmError::Io(io))) => io_is_damage(io),
            Self::Engine(Error::Locked | Error::Poisoned | Error::KeyspaceDeleted) => false,
            // All other kinds, today's and later ones, speak of what was read from a file.
            Self::Engine(_) => true,
        }
    }

    pub(crate) fn into_error(self, operation: &'static str) -> StoreError {
        let kind = if self.is_damage() { StoreErrorKind::Corrupt } else { StoreErrorKind::Unavailable };
        let kind = if matches!(self, Self::Numbers) { StoreErrorKind::Overloaded } else { kind };
        StoreError::because(kind, operation, self)
    }
}

/// A file that is too short, missing, nonsense or where none should be yet is damage; one that may not be read, or a
/// full disk, is not. In an empty file fjall seeks to a place before its start, which is an invalid input.
fn io_is_damage(io: &std::io::Error) -> bool {
    matches!(
        io.kind(),
        ErrorKind::UnexpectedEof
            | ErrorKind::InvalidData
            | ErrorKind::InvalidInput
            | ErrorKind::NotFound
            | ErrorKind::AlreadyExists
    )
}
