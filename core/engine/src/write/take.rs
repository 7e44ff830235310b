//! Takes announcements into the write queue.

use super::key_counts::KeyCounts;
use super::recent::Recent;
use super::worth::{Rank, Shed};
use super::write_queue::{Pushed, WriteQueue};
use crate::clock::{Clock, Now};
use crate::config::Limits;
use crate::request::{Distance, Ending};
use crate::store::Backend;
use crate::sync::add;
use hydra_api::{Addresses, Provider, ProviderRecord, Rung, UnixSeconds};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Who has told of records before the store has taken them.
pub(crate) trait Readers: fmt::Debug + Send + Sync {
    /// The record was dropped: it is told of no more, unless it has been announced again.
    fn retract(&self, record: &ProviderRecord);

    /// What was last told of the providers of this record's key, if that is known.
    fn told(&self, record: &ProviderRecord) -> Option<OfKey>;
}

/// What was told of the providers of a key.
#[derive(Debug, Clone)]
pub(crate) struct OfKey {
    /// How many there were; no more than an answer has.
    pub(crate) len: usize,
    /// The one of which a record is.
    pub(crate) provider: Option<Provider>,
}

/// Takes announcements and sees to it that they are written.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(super) backend: Arc<Backend>,
    pub(super) queue: Arc<WriteQueue>,
    pub(super) readers: Arc<dyn Readers>,
    pub(super) recent: Recent,
    counts: KeyCounts,
    shed: Shed,
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
            counts: KeyCounts::new(limits.record_ttl),
            shed: Shed::new(limits.shedding.clone()),
            backend,
            queue,
            readers,
            limits,
            clock,
            closing: AtomicBool::new(false),
            closed: Notify::new(),
        })
    }

    /// Why an announcement is not taken on this rung, if so: it says nothing new, it is worth less than others that there is room
    /// for, or its key has as many providers as it may have. `distance` is asked only where it decides.
    pub(crate) fn refuses(
        &self,
        record: &ProviderRecord,
        rung: Rung,
        distance: impl FnOnce() -> Distance,
        now: Now,
    ) -> Option<Ending> {
        let stats = &self.backend.stats.writes;
        if rung == Rung::RoutingOnly {
            return Some(Ending::Shed);
        }
        if self.is_old_news(record, rung, now) {
            add(&stats.refreshes_skipped, 1);
            return Some(Ending::Known);
        }
        if let Some(shares) = self.shed.shares(rung, self.queue.open_level()) {
            let rank = Rank::of(self.is_refresh(record, now), distance());
            if self.shed.loses(&record.provider, shares[rank as usize], now.unix) {
                add(&stats.shed[rank as usize], 1);
                return Some(Ending::Shed);
            }
        }
        if self.is_one_too_many(record, rung, now) {
            add(&stats.dropped_key_full, 1);
            return Some(Ending::KeyFull);
        }
        None
    }

    /// Counts an announcement of a key to which the head that was asked is far: it is not looked at any further.
    pub(crate) fn shed_far(&self) -> Ending {
        add(&self.backend.stats.writes.shed_far, 1);
        Ending::Shed
    }

    /// Puts an announcement into the write queue. [`Ending::Served`] says that it is in there. Records that give way to it are
    /// added to `evicted`, and are to be given to [`Self::drop_evicted`].
    pub(crate) fn take(&self, record: ProviderRecord, now: Now, evicted: &mut Vec<ProviderRecord>) -> Ending {
        let stats = &self.backend.stats.writes;
        let (key, written) = (record.key, self.recent.lives_until(&record));
        match self.queue.push(record, evicted) {
            Pushed::New => {
                let taken_last = written.map(|expires| expires.saturating_sub(self.limits.record_ttl));
                self.counts.record(&key, taken_last, now.unix);
                Ending::Served
            }
            Pushed::Following => Ending::Served,
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

    /// A record that was taken is in no store: its provider does not count as one of its key, unless an earlier record does, or one
    /// that waits behind it.
    pub(crate) fn forget(&self, record: &ProviderRecord) {
        if self.recent.lives_until(record).is_none() && !self.queue.has_pending(record) {
            self.counts.take_back(&record.key, self.clock.unix());
        }
    }

    /// Counts and reports records that gave way to others, and takes them back from the readers.
    pub(crate) fn drop_evicted(&self, evicted: &[ProviderRecord]) {
        if evicted.is_empty() {
            return;
        }
        add(&self.backend.stats.writes.dropped_part_away, evicted.len() as u64);
        self.backend.reports.part_away();
        for record in evicted {
            self.readers.retract(record);
            self.forget(record);
        }
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

    /// Whether the store has this record for a while yet, with these addresses, as far as is known.
    fn is_refresh(&self, record: &ProviderRecord, now: Now) -> bool {
        // The addresses that the store got last are not the newest while others wait.
        if self.queue.has_other_addresses(record) {
            return false;
        }
        if self.recent.expires(record, now.unix).is_some_and(|expires| self.left(expires, now).is_some()) {
            return true;
        }
        let told = self.readers.told(record).and_then(|told| told.provider);
        told.is_some_and(|known| {
            let is_fresh = now.unix.since(known.addresses_at) < Addresses::SLACK;
            let has_addresses =
                record.addresses.is_empty() || (is_fresh && known.addresses == record.addresses);
            self.left(known.expires, now).is_some() && has_addresses
        })
    }

    /// For how long a record with this expiry lives on. Nothing of one that was written by a clock that was ahead: the store has long made it
    /// end as others do.
    fn left(&self, expires: UnixSeconds, now: Now) -> Option<Duration> {
        let left = expires.since(now.unix);
        (left > Duration::ZERO && left <= self.limits.record_ttl).then_some(left)
    }

    /// Whether the key has as many providers as it may have on this rung, and this is none of them.
    fn is_one_too_many(&self, record: &ProviderRecord, rung: Rung, now: Now) -> bool {
        let limits = &self.limits;
        let len_max =
            if rung < Rung::NearOnly { limits.providers_per_key } else { limits.providers_per_key_degraded };
        let Some(len_max) = len_max else { return false };
        let told = self.readers.told(record);
        let known = told.as_ref().map_or(0, |told| told.len as u32);
        let is_known = || {
            told.as_ref().is_some_and(|told| told.provider.is_some())
                || self.recent.lives_until(record).is_some_and(|expires| expires > now.unix)
                || self.queue.has_pending(record)
        };
        known.max(self.counts.count(&record.key, now.unix)) >= len_max && !is_known()
    }

    /// Whether the record need not be written on this rung, because it was recently.
    fn is_old_news(&self, record: &ProviderRecord, rung: Rung, now: Now) -> bool {
        if rung < Rung::Short {
            return false;
        }
        let expires = self.recent.expires(record, now.unix);
        let Some(left) = expires.and_then(|expires| self.left(expires, now)) else { return false };
        let lives_on = rung > Rung::Short || left >= self.limits.refresh_left;
        // The addresses that the store got last are not the newest while others wait.
        lives_on && !self.queue.has_other_addresses(record)
    }
}
