//! The state of a pass of the purge between its steps.

/// How far the pass has come.
#[derive(Debug, Default)]
pub(crate) struct Pass {
    /// The last row that is done; empty before the first.
    pub(crate) done: Vec<u8>,
    /// Records in the rows that are done, as of now.
    pub(crate) records: u64,
}

impl Pass {
    /// Takes note of records that came or went with a key's row.
    pub(crate) fn grew(&mut self, row: &[u8], by: i64) {
        if *row <= self.done[..] {
            self.records = self.records.saturating_add_signed(by);
        }
    }
}
