//! How often slots were given out: a number that only grows, also over crashes.

use crate::files;
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind};
use std::path::Path;

const VERSION: u32 = 1;

/// The file as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Epoch {
    version: u32,
    epoch: u64,
}

/// The next epoch. It is on disk before it is used, so that none is given out twice. Called under the lock on the
/// directory.
pub(crate) fn next(path: &Path) -> io::Result<u64> {
    let last = match files::read::<Epoch>(path)? {
        None => 0,
        Some(Epoch { version: VERSION, epoch }) => epoch,
        Some(Epoch { version, .. }) => {
            let message = format!("{} has version {version}, not {VERSION}", path.display());
            return Err(io::Error::new(ErrorKind::InvalidData, message));
        }
    };
    let epoch = last.checked_add(1).ok_or_else(|| io::Error::other("there are no more epochs"))?;
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
        std::fs::write(&path, "{").unwrap();
        assert_eq!(next(&path).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
