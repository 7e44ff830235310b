//! What the desk and its chores share, and the two ways to the store.

use crate::chain::{Chain, NamedPolicy};
use crate::clock::Clock;
use crate::config::{Config, Limits};
use crate::desk::{Announced, Ended, Found};
use crate::gate::{Gate, Permit};
use crate::key::{self, Form};
use crate::ladder::{Ladder, Pulse};
use crate::ring::{Pushed, Ring};
use crate::statement;
use crate::stats::{Ending, Stats};
use hydra_api::{ContentKey, Load, ProviderRecord, ProviderStore, Rung};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::sync::Notify;
use tokio::time::timeout_at;

/// The store, what stands before it, and what is counted.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) store: Arc<dyn ProviderStore>,
    pub(crate) chain: Chain,
    pub(crate) gate: Arc<Gate>,
    pub(crate) ring: Ring,
    pub(crate) ladder: Ladder,
    pub(crate) stats: Arc<Stats>,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    closing: AtomicBool,
    pub(crate) closed: Notify,
}

impl Core {
    pub(crate) fn new(
        store: Arc<dyn ProviderStore>,
        policies: Vec<NamedPolicy>,
        config: Config,
        clock: Clock,
    ) -> Self {
        let limits = Limits::new(&config, &store.profile());
        Self {
            store,
            chain: Chain::new(policies),
            gate: Gate::new(limits.permits, limits.waiting_len),
            ring: Ring::new(limits.ring_len, limits.ring_bytes, limits.window_len),
            ladder: Ladder::new(config.peak),
            stats: Arc::default(),
            limits,
            clock,
            closing: AtomicBool::new(false),
            closed: Notify::new(),
        }
    }

    pub(crate) fn load(&self, rung: Rung) -> Load {
        Load::new(self.ring.level(), self.gate.waiting(), self.gate.in_flight(), rung)
    }

    pub(crate) fn pulse(&self) -> Pulse {
        let in_flight = self.gate.in_flight();
        Pulse { busy: in_flight.used >= in_flight.max, released: self.gate.released() }
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

    /// Reads the providers of a key, as well as this rung allows.
    pub(crate) async fn read(&self, key: ContentKey, rung: Rung, started: Instant) -> Found {
        if key::form(key.as_bytes()) == Form::Identity {
            return Found::nothing(Ended::NotKept, rung);
        }
        let Some(plan) = Plan::on(rung, &self.limits) else {
            return Found::nothing(Ended::Declined, rung);
        };
        let Some(permit) = self.permit(plan.waiting, started).await else {
            return Found::nothing(Ended::NoPermit, rung);
        };
        let (store, now, len_max) = (self.store.clone(), self.clock.unix(), plan.answer_len);
        let statement =
            statement::start(permit, &self.stats, async move { store.providers(&[key], now, len_max).await });
        let deadline = tokio::time::Instant::from_std(started + self.limits.soft_deadline);
        let Ok(answer) = timeout_at(deadline, statement).await else {
            return Found::nothing(Ended::Late, rung);
        };
        // Failed, panicked, or without an entry for the key (rule S3): all the same to the client.
        let Some(mut providers) = answer.ok().and_then(Result::ok).and_then(|mut answer| answer.pop()) else {
            return Found::nothing(Ended::StoreFailed, rung);
        };
        providers.truncate(len_max.get() as usize);
        Found { providers, rung, ended: Ended::Full }
    }

    async fn permit(&self, waiting: Waiting, started: Instant) -> Option<Permit> {
        match waiting {
            Waiting::Never => self.gate.try_acquire(),
            Waiting::Short => self.gate.acquire((started + self.limits.waiting).into()).await,
        }
    }

    /// Puts an announcement into the ring, if this rung takes any.
    pub(crate) fn take(&self, record: ProviderRecord, rung: Rung) -> (Announced, Ending) {
        if rung == Rung::RoutingOnly {
            return (Announced::Declined, Ending::Shed);
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
}

/// How a read is made on a rung.
struct Plan {
    answer_len: std::num::NonZeroU32,
    waiting: Waiting,
}

enum Waiting {
    Short,
    Never,
}

impl Plan {
    /// Nothing on the rungs that leave the store alone.
    fn on(rung: Rung, limits: &Limits) -> Option<Self> {
        match rung {
            Rung::Full => Some(Self { answer_len: limits.answer_len, waiting: Waiting::Short }),
            Rung::Short => Some(Self { answer_len: limits.short_answer_len, waiting: Waiting::Short }),
            Rung::Stale | Rung::NearOnly => {
                Some(Self { answer_len: limits.short_answer_len, waiting: Waiting::Never })
            }
            Rung::CacheOnly | Rung::RoutingOnly => None,
        }
    }
}
