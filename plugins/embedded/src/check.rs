//! What a store opened with [`Purpose::Check`](hydra_api::Purpose::Check) looks at, and the store it then is.

use crate::damage::Damage;
use crate::directory::{Owns, in_use, lock_path, refuse_foreign};
use hydra_api::{
    ContentKey, Cursor, Deleted, Deletion, Estimate, Found, Inserted, OpenError, Page, ProviderRecord,
    ProviderStore, Purged, StoreError, StoreErrorKind, StoreProfile, UnixSeconds, async_trait,
};
use rustix::fs::{Access, access};
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

/// Looks whether a store could be opened at `dir`. No file is created or changed, no engine is opened: a recovery
/// writes. The lock is taken, shared and for a moment, when its file is there; a store that opens meanwhile waits for
/// it.
///
/// # Errors
/// [`OpenError`] when the directory holds other files, is in use by another process or cannot be written.
pub fn check(dir: &Path, owns: Owns) -> Result<(), OpenError> {
    refuse_foreign(dir, owns)?;
    match File::open(lock_path(dir)) {
        Ok(lock) => match lock.try_lock_shared() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::unavailable(in_use(dir), "its lock is taken"));
            }
            Err(TryLockError::Error(cause)) => return Err(unreadable(dir, cause)),
        },
        Err(cause) if cause.kind() == ErrorKind::NotFound => {}
        Err(cause) => return Err(unreadable(dir, cause)),
    }
    if let Some(error) = Damage::of(dir).marked() {
        tracing::warn!(dir = %dir.display(), error, "the records are damaged: the next start moves them aside and begins empty");
    }
    is_writable(dir)
}

/// As far as can be seen without writing: what exists of the path is a directory that this process may write to.
fn is_writable(dir: &Path) -> Result<(), OpenError> {
    for path in dir.ancestors().filter(|path| !path.as_os_str().is_empty()) {
        match fs::metadata(path) {
            Ok(found) if !found.is_dir() => {
                return Err(OpenError::config("dir", format!("{} is no directory", path.display())));
            }
            Ok(_) => {
                let access = access(path, Access::WRITE_OK | Access::EXEC_OK);
                return access.map_err(|cause| unreadable(path, cause.into()));
            }
            Err(cause) if cause.kind() == ErrorKind::NotFound => {}
            Err(cause) => return Err(unreadable(path, cause)),
        }
    }
    Ok(())
}

fn unreadable(path: &Path, cause: std::io::Error) -> OpenError {
    OpenError::unavailable(format!("cannot use the directory {}", path.display()), cause)
}

/// A store that was opened to be checked: it has a profile, and every call fails.
#[derive(Debug)]
pub(crate) struct Checked(pub(crate) StoreProfile);

fn only_checked(operation: &'static str) -> StoreError {
    StoreError::because(StoreErrorKind::Unavailable, operation, "the store was opened to be checked only")
}

#[async_trait]
impl ProviderStore for Checked {
    fn profile(&self) -> StoreProfile {
        self.0
    }

    async fn insert(&self, _: Arc<[ProviderRecord]>, _: UnixSeconds) -> Result<Inserted, StoreError> {
        Err(only_checked("insert"))
    }

    async fn providers(
        &self,
        _: Arc<[ContentKey]>,
        _: UnixSeconds,
        _: NonZeroU32,
    ) -> Result<Vec<Found>, StoreError> {
        Err(only_checked("providers"))
    }

    async fn purge_expired(&self, _: UnixSeconds, _: NonZeroU32) -> Result<Purged, StoreError> {
        Err(only_checked("purge_expired"))
    }

    async fn estimate(&self) -> Result<Estimate, StoreError> {
        Err(only_checked("estimate"))
    }

    async fn delete(&self, _: Deletion, _: NonZeroU32) -> Result<Deleted, StoreError> {
        Err(only_checked("delete"))
    }

    async fn scan(&self, _: Option<Cursor>, _: UnixSeconds, _: NonZeroU32) -> Result<Page, StoreError> {
        Err(only_checked("scan"))
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
