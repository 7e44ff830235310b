//! What the desk and its chores share, and the way of a write. Reads have theirs in [`crate::reader`].

use crate::cache::Cache;
use crate::chain::{Chain, NamedPolicy};
use crate::clock::Clock;
use crate::config::{Config, Limits};
use crate::desk::{Announced, NamedStore};
use crate::flights::Flights;
use crate::gate::Gate;
use crate::ladder::{Ladder, Pulse};
use crate::recent::Recent;
use crate::ring::{Pushed, Ring};
use crate::stats::{Ending, Stats};
use crate::trace::Watch;
use hydra_api::{Load, ProviderRecord, ProviderStore, Rung};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The store, what stands before it, and what is counted.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) store: Arc<dyn ProviderStore>,
    pub(crate) store_name: String,
    pub(crate) watch: Option<Arc<dyn Watch>>,
    pub(crate) chain: Chain,
    pub(crate) gate: Arc<Gate>,
    pub(crate) flights: Arc<Flights>,
    pub(crate) ring: Ring,
    pub(crate) recent: Recent,
    pub(crate) ladder: Ladder,
    pub(crate) stats: Arc<Stats>,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    /// When the load was last looked at.
    pub(crate) ticked: Mutex<Instant>,
    closing: AtomicBool,
    pub(crate) closed: Notify,
}

impl Core {
    pub(crate) fn new(
        NamedStore { name: store_name, store }: NamedStore,
        policies: Vec<NamedPolicy>,
        config: Config,
        clock: Clock,
        watch: Option<Arc<dyn Watch>>,
    ) -> Self {
        let limits = Limits::new(&config, &store.profile());
        Self {
            store,
            store_name,
            watch,
            chain: Chain::new(policies),
            gate: Gate::new(limits.permits, limits.waiting_len),
            flights: Flights::new(Cache::new(limits.cache_bytes), limits.flights),
            recent: Recent::new(limits.recent_writes),
            ring: Ring::new(limits.ring_len, limits.ring_bytes, limits.window_len),
            stats: Arc::new(Stats::new(&config)),
            ladder: Ladder::new(config),
            limits,
            clock,
            ticked: Mutex::new(clock.now()),
            closing: AtomicBool::new(false),
            closed: Notify::new(),
        }
    }

    pub(crate) fn load(&self, rung: Rung) -> Load {
        Load::new(self.ring.level(), self.gate.waiting(), self.gate.in_flight(), rung)
    }

    pub(crate) fn pulse(&self) -> Pulse {
        let in_flight = self.gate.in_flight();
        Pulse {
            busy: in_flight.used >= in_flight.max,
            released: self.gate.released(),
            ring: self.ring.level(),
            waiting: self.gate.take_waiting_peak(),
            demand: self.stats.demand(),
        }
    }

    /// Whether the desk takes nothing new.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Takes nothing new from now on.
    pub(crate) fn begin_closing(&self) {
        self.ring.close();
        self.closing.store(true, Ordering::Release);
        self.closed.notify_waiters();
    }

    /// Ends when [`Self::begin_closing`] has been called.
    pub(crate) async fn closing(&self) {
        let notified = self.closed.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        if !self.is_closing() {
            notified.await;
        }
    }

    /// Puts an announcement into the ring, if this rung takes any.
    pub(crate) fn take(&self, record: ProviderRecord, rung: Rung) -> (Announced, Ending) {
        if rung == Rung::RoutingOnly {
            return (Announced::Declined, Ending::Shed);
        }
        if self.is_old_news(&record, rung) {
            self.stats.refreshes_skipped.fetch_add(1, Ordering::Relaxed);
            return (Announced::Known, Ending::Known);
        }
        match self.ring.push(record) {
            Pushed::New => (Announced::Taken, Ending::Served),
            Pushed::Merged => {
                self.stats.merged.fetch_add(1, Ordering::Relaxed);
                (Announced::Merged, Ending::Served)
            }
            Pushed::Closed => (Announced::Declined, Ending::Shed),
            Pushed::Full => {
                self.stats.dropped_ring_full.fetch_add(1, Ordering::Relaxed);
                (Announced::Dropped, Ending::RingFull)
            }
        }
    }

    /// Whether the record need not be written on this rung, because it was not long ago.
    fn is_old_news(&self, record: &ProviderRecord, rung: Rung) -> bool {
        if rung < Rung::Short {
            return false;
        }
        let Some(expires) = self.recent.expires(record) else { return false };
        let left = expires.since(self.clock.unix());
        if rung == Rung::Short { left >= self.limits.refresh_left } else { left > Duration::ZERO }
    }
}
