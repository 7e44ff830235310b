//! The epoch of leases: a number that only grows, also over crashes.

use crate::files;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

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

/// The next epoch. It is on disk before it is returned, so that none is given out twice, also after a power failure. The
/// caller holds the lock on the directory.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] when the file is damaged, else the error of the file system; no epoch is used up then.
pub(crate) fn next(path: &Path) -> io::Result<u64> {
    let last = match files::read::<Epoch>(path, REPAIR)? {
        None => 0,
        Some(Epoch { version: VERSION, epoch }) => epoch,
        Some(Epoch { version, .. }) => {
            return Err(files::damaged(path, REPAIR, &format!("its version is {version}, not {VERSION}")));
        }
    };
    let epoch = last
        .checked_add(1)
        .ok_or_else(|| files::damaged(path, REPAIR, &format!("there is no epoch after {last}")))?;
    files::write(path, &Epoch { version: VERSION, epoch })?;
    Ok(epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i10_epochs_grow_and_a_damaged_file_starts_none_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("epoch.json");
        assert_eq!([next(&path).unwrap(), next(&path).unwrap()], [1, 2]);
        let last = r#"{ "version": 1, "epoch": 18446744073709551615 }"#;
        for text in ["{", r#"{ "version": 2, "epoch": 3 }"#, last] {
            std::fs::write(&path, text).unwrap();
            let error = next(&path).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
            assert!(error.to_string().contains("epoch.json is damaged, stop the node"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "it is left as it was");
        }
    }
}
