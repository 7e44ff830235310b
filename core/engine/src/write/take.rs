//! Takes announcements into the write queue.

use super::recent::Recent;
use super::write_queue::{Pushed, WriteQueue};
use crate::clock::{Clock, Now};
use crate::config::Limits;
use crate::request::Ending;
use crate::store::Backend;
use crate::sync::add;
use hydra_api::{ProviderRecord, Rung};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Who has told of records before the store has taken them.
pub(crate) trait Readers: fmt::Debug + Send + Sync {
    /// The record was dropped: it is told of no more, unless it has been announced again.
    fn retract(&self, record: &ProviderRecord);
}

/// Takes announcements and sees to it that they are written.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(super) backend: Arc<Backend>,
    pub(super) queue: Arc<WriteQueue>,
    pub(super) readers: Arc<dyn Readers>,
    pub(super) recent: Recent,
    pub(super) limits: Arc<Limits>,
    pub(super) clock: Clock,
    closing: AtomicBool,
    closed: Notify,
}

impl Writer {
    pub(crate) fn new(
        backend: Arc<Backend>,
        queue: Arc<WriteQueue>,
        readers: Arc<dyn Readers>,
        limits: Arc<Limits>,
        clock: Clock,
    ) -> Arc<Self> {
        Arc::new(Self {
            recent: Recent::new(limits.recent_writes),
            backend,
            queue,
            readers,
            limits,
            clock,
            closing: AtomicBool::new(false),
            closed: Notify::new(),
        })
    }

    /// Puts an announcement into the write queue, if this rung takes any. [`Ending::Served`] says that it is in there. Records
    /// that give way to it are added to `evicted`, and are to be given to [`Self::drop_evicted`].
    pub(crate) fn take(
        &self,
        record: ProviderRecord,
        rung: Rung,
        now: Now,
        evicted: &mut Vec<ProviderRecord>,
    ) -> Ending {
        let stats = &self.backend.stats.writes;
        if rung == Rung::RoutingOnly {
            return Ending::Shed;
        }
        if self.is_old_news(&record, rung, now) {
            add(&stats.refreshes_skipped, 1);
            return Ending::Known;
        }
        self.recent.note_waiting(&record);
        match self.queue.push(record, evicted) {
            Pushed::New => Ending::Served,
            Pushed::Merged => {
                add(&stats.merged, 1);
                Ending::Served
            }
            Pushed::Closed => Ending::Shed,
            Pushed::Full => {
                add(&stats.dropped_queue_full, 1);
                Ending::QueueFull
            }
        }
    }

    /// Counts and reports records that gave way to others, and takes them back from the readers.
    pub(crate) fn drop_evicted(&self, evicted: &[ProviderRecord]) {
        if evicted.is_empty() {
            return;
        }
        add(&self.backend.stats.writes.dropped_part_away, evicted.len() as u64);
        self.backend.reports.part_away();
        evicted.iter().for_each(|record| self.readers.retract(record));
    }

    /// Takes nothing new from now on, and writes what waits without a pause.
    pub(crate) fn close(&self) {
        self.queue.close();
        self.closing.store(true, Ordering::Release);
        self.closed.notify_waiters();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Ends when [`Self::close`] has been called.
    pub(super) async fn closing(&self) {
        let notified = self.closed.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        if !self.is_closing() {
            notified.await;
        }
    }

    /// Whether the record need not be written on this rung, because it was recently.
    fn is_old_news(&self, record: &ProviderRecord, rung: Rung, now: Now) -> bool {
        if rung < Rung::Short {
            return false;
        }
        let Some(expires) = self.recent.expires(record, now.unix) else { return false };
        let left = expires.since(now.unix);
        // It was written by a clock that was ahead: the store has long made it end as others do.
        if left > self.limits.record_ttl {
            return false;
        }
        let lives_on =
            if rung == Rung::Short { left >= self.limits.refresh_left } else { left > Duration::ZERO };
        // The addresses that the store got last are not the newest while others wait.
        lives_on && !self.queue.has_other_addresses(record)
    }
}
