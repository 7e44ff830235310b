//! Damage that a call found, remembered until the next start.

use crate::fault::Fault;
use hydra_api::{Causes, Purpose};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The file that says that a call found damage.
pub(crate) const MARKER: &str = "damaged";
/// How much of the marker is shown.
const MARKER_BYTES_MAX: u64 = 1024;

/// Remembers damage that a call found, so that the next start moves the files aside.
#[derive(Debug, Clone)]
pub struct Damage {
    marker: PathBuf,
    /// Whether this process is a node. Another one leaves the marker and the log to the node, and its command fails.
    is_of_node: bool,
    /// Whether this process has noted it.
    is_noted: Arc<AtomicBool>,
}

impl Damage {
    pub(crate) fn of(dir: &Path, purpose: Purpose) -> Self {
        Self { marker: dir.join(MARKER), is_of_node: purpose == Purpose::Serve, is_noted: Arc::default() }
    }

    /// The error of the damage that a call found before the last stop, if one did.
    pub(crate) fn marked(&self) -> Option<String> {
        let read = fs::File::open(&self.marker).ok()?;
        let mut error = String::new();
        // What cannot be read is damage all the same.
        let _len = read.take(MARKER_BYTES_MAX).read_to_string(&mut error);
        Some(error)
    }

    /// Whether a call has found damage since the last time that the files were moved aside.
    #[cfg(test)]
    pub(crate) fn is_marked(&self) -> bool {
        self.marker.exists()
    }

    /// Looks at a fault on its way to the caller. The first damage that a node meets is written to a file and logged, once in
    /// the life of a process.
    pub fn noted(&self, fault: Fault) -> Fault {
        if self.is_of_node && fault.is_damage() && !self.is_noted.swap(true, Ordering::AcqRel) {
            match fs::write(&self.marker, Causes(&fault).to_string()) {
                Ok(()) => tracing::error!(
                    error = %Causes(&fault),
                    "THE RECORDS ARE DAMAGED: restart the node, which moves them aside and starts empty. Records come \
                     back as they are announced again"
                ),
                Err(marker) => tracing::error!(
                    error = %Causes(&fault),
                    marker = %self.marker.display(),
                    %marker,
                    "THE RECORDS ARE DAMAGED, and the marker that makes the next start move them aside cannot be \
                     written: stop the node, move the directory away and start it again. Records come back as they are \
                     announced again"
                ),
            }
        }
        fault
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::DamagedRow;

    #[test]
    fn the_log_says_once_what_to_do_also_when_the_marker_cannot_be_written() {
        let dir = tempfile::tempdir().unwrap();
        for (dir, advice) in [
            (dir.path().to_owned(), "restart the node"),
            (dir.path().join("none"), "move the directory away"),
        ] {
            let damage = Damage::of(&dir, Purpose::Serve);
            let logged = crate::outage::tests::logged(|| {
                for _ in 0..3 {
                    drop(damage.noted(Fault::Row(DamagedRow("records"))));
                }
            });
            assert_eq!(logged.lines().count(), 1, "{logged}");
            assert!(logged.contains(advice) && logged.contains("a row of records is damaged"), "{logged}");
        }
    }

    #[test]
    fn damage_is_marked_once_and_other_faults_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let damage = Damage::of(dir.path(), Purpose::Serve);
        let full = std::io::Error::from_raw_os_error(28);
        drop(damage.noted(Fault::Io(full)));
        assert!(!damage.is_marked());
        drop(damage.noted(Fault::Row(DamagedRow("records"))));
        assert!(damage.is_marked());
        fs::remove_file(dir.path().join(MARKER)).unwrap();
        drop(damage.noted(Fault::Row(DamagedRow("records"))));
        assert!(!damage.is_marked());
    }

    #[test]
    fn only_a_node_marks_damage() {
        let dir = tempfile::tempdir().unwrap();
        for purpose in [Purpose::Use, Purpose::Migrate] {
            let damage = Damage::of(dir.path(), purpose);
            drop(damage.noted(Fault::Row(DamagedRow("records"))));
            assert!(!damage.is_marked(), "{purpose:?}");
        }
    }
}
