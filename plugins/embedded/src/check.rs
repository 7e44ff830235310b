//! What a store opened with [`Purpose::Check`](hydra_api::Purpose::Check) looks at, and the store it then is.

use crate::damage::Damage;
use crate::directory::{EngineFiles, Known, Present, in_use, known_damage, lock_path, present};
use crate::probe::{ROOM_BYTES, room_bytes};
use hydra_api::{
    ContentKey, Cursor, Deleted, Deletion, Estimate, Found, Inserted, OpenError, Page, ProviderRecord,
    ProviderStore, Purged, Purpose, StoreError, StoreErrorKind, StoreProfile, UnixSeconds, async_trait,
};
use rustix::fs::{Access, access};
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

/// Files that are looked at, at most.
const FILES_MAX: usize = 100_000;

/// Looks whether a store could be opened at `dir`, and returns remarks for the operator: what was not looked at, and what a start
/// would do. No file is created or changed, no engine is opened: a recovery writes. All files are read if there are checksums of the
/// last stop. The lock is taken, shared and for a moment, when its file is there; a store that opens meanwhile waits for it.
///
/// # Errors
/// [`OpenError`] when the directory holds other files, is in use by another process, or cannot be read or written.
pub fn check(dir: &Path, engine: EngineFiles) -> Result<Vec<String>, OpenError> {
    let found = present(dir, engine)?;
    is_free(dir)?;
    let existing = is_writable(dir)?;
    let known = known_damage(dir, &Damage::of(dir, Purpose::Check), found);
    // Files take a while to read, and nobody waits for a check: one that has opened them meanwhile changes them.
    is_free(dir)?;
    let mut remarks = match (known?, found) {
        (_, Present::Nothing) => {
            vec![format!("no records there yet: a start makes a new store in {}", dir.display())]
        }
        (Known::Damage(why), _) => vec![format!(
            "but damaged: a start of the node moves the records in {} aside and begins empty ({why})",
            dir.display()
        )],
        (Known::Same, _) => {
            files_are_accessible(dir)?;
            vec![format!("not opened: the files in {} are as the last stop left them", dir.display())]
        }
        (Known::Nothing, _) => {
            files_are_accessible(dir)?;
            vec![format!("not opened: damage to the files in {} would not show here", dir.display())]
        }
    };
    if existing.and_then(|path| room_bytes(path).ok()).is_some_and(|room| room < ROOM_BYTES) {
        remarks.push(format!("the disk of {} is full", dir.display()));
    }
    Ok(remarks)
}

/// Whether nobody has the store open.
fn is_free(dir: &Path) -> Result<(), OpenError> {
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
    Ok(())
}

/// Every file below `dir` can be read and written by this process, as far as its mode says.
fn files_are_accessible(dir: &Path) -> Result<(), OpenError> {
    let (mut left, mut seen) = (vec![dir.to_owned()], 0);
    while let Some(dir) = left.pop() {
        let entries = fs::read_dir(&dir).map_err(|cause| unreadable(&dir, cause))?;
        for entry in entries.take(FILES_MAX - seen) {
            let path = entry.map_err(|cause| unreadable(&dir, cause))?.path();
            seen += 1;
            if path.is_dir() {
                left.push(path);
            } else {
                access(&path, Access::READ_OK | Access::WRITE_OK).map_err(|cause| {
                    OpenError::unavailable(format!("cannot use the file {}", path.display()), cause)
                })?;
            }
        }
    }
    Ok(())
}

/// As far as can be seen without writing: what exists of the path is a directory that this process may write to.
/// Returns that directory.
fn is_writable(dir: &Path) -> Result<Option<&Path>, OpenError> {
    for path in dir.ancestors().filter(|path| !path.as_os_str().is_empty()) {
        match fs::metadata(path) {
            Ok(found) if !found.is_dir() => {
                return Err(OpenError::config("dir", format!("{} is not a directory", path.display())));
            }
            Ok(_) => {
                let access = access(path, Access::WRITE_OK | Access::EXEC_OK);
                return access.map(|()| Some(path)).map_err(|cause| unreadable(path, cause.into()));
            }
            Err(cause) if cause.kind() == ErrorKind::NotFound => {}
            Err(cause) => return Err(unreadable(path, cause)),
        }
    }
    Ok(None)
}

fn unreadable(path: &Path, cause: std::io::Error) -> OpenError {
    OpenError::unavailable(format!("cannot use the directory {}", path.display()), cause)
}

/// A store that was opened to be checked: it has a profile, and every call fails.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) profile: StoreProfile,
    pub(crate) remarks: Vec<String>,
}

fn only_checked(operation: &'static str) -> StoreError {
    StoreError::because(StoreErrorKind::Unavailable, operation, "the store was opened to be checked only")
}

#[async_trait]
impl ProviderStore for Checked {
    fn profile(&self) -> StoreProfile {
        self.profile
    }

    fn remarks(&self) -> Vec<String> {
        self.remarks.clone()
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
