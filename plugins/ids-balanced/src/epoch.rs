//! The epoch of leases: a number that only grows, also over crashes and damage.

use crate::files;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

const VERSION: u32 = 1;

/// The file as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Epoch {
    version: u32,
    epoch: u64,
}

/// Epochs of leases begin anew then, which harms nobody: the lock on the directory keeps two holders apart.
const REPAIR: &str = "stop the node, then put back a copy of it or delete it";

/// The next epoch. It is on disk before it is returned, so that none is given out twice, also after a power failure. A file
/// that cannot be read is moved aside, and epochs go on from the date. The caller holds the lock on the directory.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] when the file is of another version or has the last epoch, else the error of the file
/// system; no epoch is used up then.
pub(crate) fn next(path: &Path) -> io::Result<u64> {
    let last = match files::read::<Epoch>(path, "and no lease depends on it") {
        Ok(None) => 0,
        Ok(Some(Epoch { version: VERSION, epoch })) => epoch,
        Ok(Some(Epoch { version, .. })) => {
            return Err(files::damaged(path, REPAIR, &format!("its version is {version}, not {VERSION}")));
        }
        Err(cause) if cause.kind() == io::ErrorKind::InvalidData => set_aside(path, &cause)?,
        Err(cause) => return Err(cause),
    };
    let epoch = last
        .checked_add(1)
        .ok_or_else(|| files::damaged(path, REPAIR, &format!("there is no epoch after {last}")))?;
    files::write(path, &Epoch { version: VERSION, epoch })?;
    Ok(epoch)
}

/// Moves the damaged file aside; the epoch to go on from. It is beyond those before, as no start takes less than a microsecond.
fn set_aside(path: &Path, damage: &io::Error) -> io::Result<u64> {
    let aside = path.with_extension("json.damaged");
    std::fs::rename(path, &aside)
        .map_err(|cause| files::named("cannot move aside the damaged file", path, &cause))?;
    tracing::warn!(
        error = %damage, moved_to = %aside.display(),
        "the epoch of the leases cannot be read: the file is moved aside, and epochs go on from the date"
    );
    Ok(UNIX_EPOCH.elapsed().unwrap_or_default().as_micros() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i10_epochs_grow_over_a_damaged_file_which_is_moved_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("epoch.json");
        assert_eq!([next(&path).unwrap(), next(&path).unwrap()], [1, 2]);
        let mut last = 2;
        for text in ["{", "", r#"{ "epoch": 3 }"#] {
            std::fs::write(&path, text).unwrap();
            let epochs = [next(&path).unwrap(), next(&path).unwrap()];
            assert!(last < epochs[0] && epochs[0] < epochs[1], "{epochs:?} after {last}");
            last = epochs[1];
            assert_eq!(std::fs::read_to_string(dir.path().join("epoch.json.damaged")).unwrap(), text);
        }
    }

    #[test]
    fn i10_a_file_of_another_version_or_with_the_last_epoch_is_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("epoch.json");
        let last = r#"{ "version": 1, "epoch": 18446744073709551615 }"#;
        for text in [r#"{ "version": 2, "epoch": 3 }"#, last] {
            std::fs::write(&path, text).unwrap();
            let error = next(&path).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
            assert!(error.to_string().contains("epoch.json is damaged, stop the node"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
