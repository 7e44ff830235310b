//! A file in the data directory that is locked while a node runs there, and tells other processes what the node uses.

use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// The name of the file.
const FILE: &str = "node.lock";
/// The longest content of the file, in bytes.
const BYTES_MAX: u64 = 4_096;
/// A reader holds the lock for a moment.
const TRIES: u32 = 10;
const TRY_WAIT: Duration = Duration::from_millis(20);

/// What a running node uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Uses {
    /// The id of its process.
    pub(crate) pid: u32,
    /// The kind of a store that no other process can open meanwhile.
    pub(crate) own_store: Option<String>,
    /// The address of the operator pages.
    pub(crate) http: Option<SocketAddr>,
}

/// The locked file of a node that runs. The system unlocks it when the process ends in any way.
#[derive(Debug)]
pub(crate) struct Presence {
    _locked: File,
}

impl Presence {
    /// Locks the file and writes what the node uses.
    ///
    /// # Errors
    /// When the file cannot be written, or another node holds it.
    pub(crate) fn hold(data_dir: &Path, uses: &Uses) -> io::Result<Self> {
        let path = data_dir.join(FILE);
        let mut file = File::options().create(true).truncate(false).read(true).write(true).open(path)?;
        let mut tries = 0;
        while let Err(refused) = file.try_lock() {
            tries += 1;
            match refused {
                TryLockError::WouldBlock if tries < TRIES => thread::sleep(TRY_WAIT),
                TryLockError::WouldBlock => return Err(io::ErrorKind::WouldBlock.into()),
                TryLockError::Error(cause) => return Err(cause),
            }
        }
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(&serde_json::to_vec(uses)?)?;
        Ok(Self { _locked: file })
    }
}

/// What the node that runs on this data directory uses; `None` if none runs there. Nothing is created or changed.
pub(crate) fn running(data_dir: &Path) -> Option<Uses> {
    let file = File::open(data_dir.join(FILE)).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            file.take(BYTES_MAX).read_to_string(&mut text).ok()?;
            serde_json::from_str(&text).ok()
        }
        Ok(()) | Err(TryLockError::Error(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_seen_while_it_holds_the_file_and_no_longer() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(running(dir.path()), None);
        let uses = Uses { pid: 7, own_store: Some("fjall".to_owned()), http: None };
        let held = Presence::hold(dir.path(), &uses).unwrap();
        assert_eq!(running(dir.path()), Some(uses.clone()));
        Presence::hold(dir.path(), &uses).unwrap_err();
        drop(held);
        assert_eq!(running(dir.path()), None);
    }
}
