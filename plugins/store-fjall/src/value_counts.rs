//! What is known of the value records beside their rows.

use crate::fault::Fault;
use fjall::Keyspace;
use hydra_embedded::values::{VALUE_COUNTS, ValueCounts, ValueTally, value_rows};
use std::sync::Arc;

/// What the writer knows of value records beside their rows.
#[derive(Debug)]
pub(crate) struct Values {
    pub(crate) tally: Arc<ValueTally>,
    /// How far the pass of the purge has come: the last row that is done; empty before the first.
    pub(crate) done: Vec<u8>,
}

impl Values {
    pub(crate) fn of(rows: &Keyspace) -> Result<Self, Fault> {
        let row = rows.get(VALUE_COUNTS)?;
        let is_empty = || rows.range::<Vec<u8>, _>(value_rows(&[])).next().is_none();
        let counts = ValueCounts::decode(row.as_deref(), is_empty)?;
        Ok(Self { tally: Arc::new(ValueTally::new(counts)), done: Vec::new() })
    }
}
