//! What became of the records that a transfer has written.

/// Counts of a page.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) taken: u64,
    pub(super) refused: u64,
    /// Why the first of them was refused.
    pub(super) reason: Option<String>,
}

impl Written {
    /// The store never takes a record.
    pub(super) fn refuse(&mut self, why: String) {
        self.refused += 1;
        self.reason.get_or_insert(why);
    }
}
