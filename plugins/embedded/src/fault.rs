//! A call of an engine that failed, and what the node does about it.

use hydra_api::{StoreError, StoreErrorKind};
use std::any::Any;
use std::error::Error;
use std::io::{self, ErrorKind};
use std::sync::Arc;

/// A call of an engine that failed.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The system refuses to read or write a file.
    #[error("a file cannot be read or written")]
    Io(#[source] io::Error),
    /// The engine refuses it.
    #[error("the storage engine refuses the call")]
    Engine {
        /// What it says.
        #[source]
        source: Box<dyn Error + Send + Sync>,
        /// Whether what it read from a file makes no sense.
        is_damage: bool,
    },
    /// The engine's own lock on its files is taken.
    #[error("the lock of the storage engine is taken")]
    Locked,
    /// A row cannot be read.
    #[error(transparent)]
    Row(#[from] DamagedRow),
    /// A file that must be there is not.
    #[error("the {0} is missing")]
    Missing(&'static str),
    /// Damage that a node has found.
    #[error("{advice}")]
    Damaged {
        /// What becomes of the records.
        advice: Arc<str>,
        /// What was found.
        source: Box<Fault>,
    },
    /// The rows have another layout.
    #[error("the records have layout {found}, and this version of hydra reads layout {known}")]
    Layout {
        /// The layout of the rows.
        found: u8,
        /// The layout that is known.
        known: u8,
    },
    /// A call of the engine panicked.
    #[error("the storage engine panicked: {0}")]
    Panic(String),
}

/// A row that cannot be read; the rows it is one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a row of {0} is damaged")]
pub struct DamagedRow(pub &'static str);

impl Fault {
    /// The engine refuses a call because of what it read from a file.
    pub fn damage(source: impl Error + Send + Sync + 'static) -> Self {
        Self::Engine { source: Box::new(source), is_damage: true }
    }

    /// The engine refuses a call, and files are not the cause.
    pub fn refusal(source: impl Error + Send + Sync + 'static) -> Self {
        Self::Engine { source: Box::new(source), is_damage: false }
    }

    /// The fault of a call that panicked.
    pub fn of_panic(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Self::Panic(text.unwrap_or_else(|| "no message".to_owned()))
    }

    /// Whether files are damaged, rather than out of reach. A file that is too short, missing, makes no sense, or is
    /// there where none should be yet is damage; one that may not be read and a full disk are not. An invalid input is a
    /// place in a file that no file can have, computed from what was read.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Row(_) | Self::Missing(_) | Self::Damaged { .. } => true,
            Self::Layout { .. } | Self::Locked | Self::Panic(_) => false,
            Self::Io(cause) => matches!(
                cause.kind(),
                ErrorKind::UnexpectedEof
                    | ErrorKind::InvalidData
                    | ErrorKind::InvalidInput
                    | ErrorKind::NotFound
                    | ErrorKind::AlreadyExists
            ),
            Self::Engine { is_damage, .. } => *is_damage,
        }
    }

    /// The kind of the error that a caller gets for it.
    pub fn kind(&self) -> StoreErrorKind {
        match self {
            Self::Layout { .. } => StoreErrorKind::Corrupt,
            Self::Io(_)
            | Self::Engine { .. }
            | Self::Locked
            | Self::Row(_)
            | Self::Missing(_)
            | Self::Damaged { .. }
            | Self::Panic(_) => {
                if self.is_damage() {
                    StoreErrorKind::Corrupt
                } else {
                    StoreErrorKind::Unavailable
                }
            }
        }
    }

    /// The error of the call that met it.
    pub fn into_error(self, operation: &'static str) -> StoreError {
        StoreError::because(self.kind(), operation, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_no_damage_and_nonsense_is() {
        let system = |code| Fault::Io(io::Error::from_raw_os_error(code));
        let cases = [
            (system(28), StoreErrorKind::Unavailable),
            (system(30), StoreErrorKind::Unavailable),
            (system(24), StoreErrorKind::Unavailable),
            (system(27), StoreErrorKind::Unavailable),
            (Fault::Io(ErrorKind::UnexpectedEof.into()), StoreErrorKind::Corrupt),
            (system(22), StoreErrorKind::Corrupt),
            (Fault::damage(std::fmt::Error), StoreErrorKind::Corrupt),
            (Fault::refusal(std::fmt::Error), StoreErrorKind::Unavailable),
            (DamagedRow("counts").into(), StoreErrorKind::Corrupt),
            (Fault::Locked, StoreErrorKind::Unavailable),
            (Fault::Panic(String::new()), StoreErrorKind::Unavailable),
        ];
        for (fault, kind) in cases {
            assert_eq!(fault.kind(), kind, "{fault}");
        }
    }
}
