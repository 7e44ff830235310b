//! Damage that a call found, remembered until the next start.

use crate::fault::Fault;
use hydra_api::{Causes, Purpose};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The file that says that a call found damage.
pub(crate) const MARKER: &str = "damaged";
/// How much of the marker is shown.
const MARKER_BYTES_MAX: u64 = 1024;

/// Remembers damage that a call found, so that the next start moves the files aside.
#[derive(Debug, Clone)]
pub struct Damage {
    marker: PathBuf,
    /// Whether this process is a node. Another one leaves the marker to the node, and its command fails.
    is_of_node: bool,
    /// Whether this process has found damage.
    is_found: Arc<AtomicBool>,
    /// What becomes of the records, once a node has found damage.
    advice: Arc<OnceLock<Arc<str>>>,
    /// The damage that the last call met which was answered in part.
    in_part: Arc<Mutex<Option<String>>>,
}

impl Damage {
    pub(crate) fn of(dir: &Path, purpose: Purpose) -> Self {
        Self {
            marker: dir.join(MARKER),
            is_of_node: purpose == Purpose::Serve,
            is_found: Arc::default(),
            advice: Arc::default(),
            in_part: Arc::default(),
        }
    }

    /// The error of the damage that a call found before the last stop, if one did.
    pub(crate) fn marked(&self) -> Option<String> {
        let read = fs::File::open(&self.marker).ok()?;
        let mut error = String::new();
        // What cannot be read is damage all the same.
        let _len = read.take(MARKER_BYTES_MAX).read_to_string(&mut error);
        Some(error)
    }

    /// Whether a call of this process has found damage.
    pub fn is_found(&self) -> bool {
        self.is_found.load(Ordering::Acquire)
    }

    /// Whether a call has found damage since the last time that the files were moved aside.
    #[cfg(test)]
    pub(crate) fn is_marked(&self) -> bool {
        self.marker.exists()
    }

    /// Looks at a fault that leaves a part of a call open: the caller gets its kind alone.
    pub fn noted_in_part(&self, fault: Fault) {
        let because = Causes(&self.noted(fault)).to_string();
        *self.in_part.lock().unwrap_or_else(PoisonError::into_inner) = Some(because);
    }

    /// The last damage that left a part of a call open, with what becomes of the records.
    pub fn in_part(&self) -> Option<String> {
        self.in_part.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at a fault on its way to the caller. The first damage that a node meets is written to a file. The error of any says what
    /// becomes of the records; the caller logs it.
    pub fn noted(&self, fault: Fault) -> Fault {
        if !fault.is_damage() || matches!(fault, Fault::Damaged { .. }) {
            return fault;
        }
        self.is_found.store(true, Ordering::Release);
        if !self.is_of_node {
            return fault;
        }
        let advice = self.advice.get_or_init(|| match fs::write(&self.marker, Causes(&fault).to_string()) {
            Ok(()) => Arc::from("the next start of the node moves the records aside and begins empty"),
            Err(cause) => Arc::from(format!(
                "{} cannot be written ({cause}), so the next start may not see the damage: move the directory of the records away \
                 before it",
                self.marker.display()
            )),
        });
        Fault::Damaged { advice: Arc::clone(advice), source: Box::new(fault) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::DamagedRow;

    /// Whoever calls the store logs the error: a line from here would be a second one.
    #[test]
    fn the_error_says_what_becomes_of_the_records_and_nothing_is_logged() {
        let dir = tempfile::tempdir().unwrap();
        for (dir, advice) in [
            (dir.path().to_owned(), "the next start of the node moves the records aside"),
            (dir.path().join("none"), "move the directory of the records away"),
        ] {
            let damage = Damage::of(&dir, Purpose::Serve);
            let logged = crate::outage::tests::logged(|| {
                for _ in 0..3 {
                    let fault = damage.noted(damage.noted(Fault::Row(DamagedRow("records"))));
                    let shown = Causes(&fault).to_string();
                    assert!(shown.ends_with("a row of records is damaged") && fault.is_damage(), "{shown}");
                    assert_eq!(shown.matches(advice).count(), 1, "{shown}");
                }
            });
            assert_eq!(logged, "");
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
