//! What sled's errors mean.

use hydra_embedded::{DamagedRow, Fault as EngineFault};
use std::io;

/// A call of sled that failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct Fault(#[from] pub(crate) EngineFault);

impl AsRef<hydra_embedded::Fault> for Fault {
    fn as_ref(&self) -> &hydra_embedded::Fault {
        &self.0
    }
}

impl From<DamagedRow> for Fault {
    fn from(row: DamagedRow) -> Self {
        Self(row.into())
    }
}

impl From<sled::Error> for Fault {
    fn from(error: sled::Error) -> Self {
        use sled::Error;
        Self(match error {
            Error::Io(cause) if is_lock(&cause) => EngineFault::Locked,
            Error::Io(cause) => EngineFault::Io(cause),
            // Unsupported: the file of sled's own settings, which no checksum guards, says what this sled never wrote.
            damage @ (Error::CollectionNotFound(_)
            | Error::Unsupported(_)
            | Error::ReportableBug(_)
            | Error::Corruption { .. }) => EngineFault::damage(damage),
        })
    }
}

/// Whether sled's own lock on its file is taken, which it says in words alone.
fn is_lock(cause: &io::Error) -> bool {
    cause.to_string().contains("could not acquire lock")
}
