//! File descriptors that are set aside for the operator pages, so that they are in reach while the process has no other left.

use std::fs::File;

/// How many are set aside: one for the connection, one for what its page opens, and for a few more at a time.
const SPARE_MAX: usize = 8;
/// Released at a time.
const PER_CONNECTION: usize = 2;

/// Descriptors that are set aside.
#[derive(Debug, Default)]
pub(super) struct Spare(Vec<File>);

impl Spare {
    /// Sets aside what is missing, as far as the process has any.
    pub(super) fn set_aside(&mut self) {
        while self.0.len() < SPARE_MAX {
            let Ok(file) = File::open("/dev/null") else { break };
            self.0.push(file);
        }
    }

    /// Frees what one connection needs; false if nothing is left.
    pub(super) fn release(&mut self) -> bool {
        let left = self.0.len();
        self.0.truncate(left.saturating_sub(PER_CONNECTION));
        left > 0
    }
}
