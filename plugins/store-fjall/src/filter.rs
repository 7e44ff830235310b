//! Drops rows of keys whose records have all expired, while fjall rewrites its files anyway.
//!
//! Only rows without a surplus: what the others count stays exact. The counts of the store learn of what was dropped
//! here when a purge has been through once (see `purge`).

use crate::layout::{RECORDS, Row};
use fjall::compaction::filter::{
    CompactionFilter, CompactionFilterResult, Context, Factory, ItemAccessor, Verdict,
};
use hydra_api::UnixSeconds;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The date of the last purge; before the first nothing has expired.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock(Arc<AtomicU32>);

impl Clock {
    pub(crate) fn set(&self, now: UnixSeconds) {
        self.0.store(now.0, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> UnixSeconds {
        UnixSeconds(self.0.load(Ordering::Relaxed))
    }
}

#[derive(Debug)]
struct DropExpired(UnixSeconds);

impl CompactionFilter for DropExpired {
    fn filter_item(&mut self, item: ItemAccessor<'_>, _: &Context) -> CompactionFilterResult {
        if item.key().first() != Some(&RECORDS) {
            return Ok(Verdict::Keep);
        }
        // A row that cannot be read is left for a read to find.
        let over = Row::decode(&item.value()?).is_ok_and(|row| row.is_over(self.0));
        Ok(if over { Verdict::Remove } else { Verdict::Keep })
    }
}

impl Factory for Clock {
    fn name(&self) -> &str {
        "expired records"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        Box::new(DropExpired(self.now()))
    }
}
