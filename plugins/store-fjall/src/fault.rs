//! What fjall's errors mean.

use hydra_embedded::DamagedRow;

/// A call of fjall that failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct Fault(#[from] pub(crate) hydra_embedded::Fault);

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

impl From<fjall::Error> for Fault {
    fn from(error: fjall::Error) -> Self {
        use fjall::{Error, LsmError};
        Self(match error {
            Error::Io(cause) | Error::Storage(LsmError::Io(cause)) => hydra_embedded::Fault::Io(cause),
            Error::Locked => hydra_embedded::Fault::Locked,
            Error::Poisoned => hydra_embedded::Fault::refusal(Stopped),
            Error::KeyspaceDeleted => hydra_embedded::Fault::refusal(Error::KeyspaceDeleted),
            // All other kinds, today's and later ones, are about what was read from a file.
            damage => hydra_embedded::Fault::damage(damage),
        })
    }
}

impl From<fjall::LsmError> for Fault {
    fn from(error: fjall::LsmError) -> Self {
        fjall::Error::from(error).into()
    }
}

/// fjall takes no writes any more and does not say why.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("one of the engine's own threads met an error and stopped")]
struct Stopped;
