//! Value records (`/pk`, `/ipns`): validated, compared with the best one that is known, written as long as the store has what was
//! seen of them.

mod cache;
mod checks;
mod flights;
mod flush;
mod get;
mod judge;
mod look;
mod put;
mod room;

pub(crate) use flush::flush;
pub use get::ValueReply;
pub(crate) use judge::is_kept;
pub(crate) use look::look;
pub use put::Put;

use crate::clock::Clock;
use crate::config::Limits;
use crate::memory_share::MemoryShare;
use crate::store::Backend;
use checks::Checks;
use flights::Flights;
use hydra_api::ValueKey;
use hydra_api::admission::Level;
use room::Room;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// Reads value records, takes them, and sees to it that they are written.
#[derive(Debug)]
pub(crate) struct Values {
    backend: Arc<Backend>,
    limits: Arc<Limits>,
    clock: Clock,
    flights: Flights,
    checks: Checks,
    room: Room,
    /// The write that was left behind, as it had not ended for long.
    hangs: Mutex<Option<AbortHandle>>,
    /// The key of the last read that failed: it is read again to see whether the store answers.
    failed: Mutex<Option<ValueKey>>,
    closing: AtomicBool,
    closed: Notify,
}

/// How full the values' side is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ValueLevels {
    pub(crate) queue: Level,
    pub(crate) cache_len: u64,
    pub(crate) cache_bytes: u64,
}

impl Values {
    pub(crate) fn new(backend: Arc<Backend>, limits: Arc<Limits>, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            flights: Flights::new(&limits),
            room: Room::of(limits.values_bytes),
            checks: Checks::new(limits.checks_per_prefix, limits.checks, clock.now()),
            backend,
            limits,
            clock,
            hangs: Mutex::default(),
            failed: Mutex::default(),
            closing: AtomicBool::new(false),
            closed: Notify::new(),
        })
    }

    /// Whether this node keeps value records: it is to, and its store does.
    pub(crate) fn are_kept(&self) -> bool {
        self.limits.keeps_values && self.backend.keeps_values()
    }

    /// Has the cache use this share of its configured memory.
    pub(crate) fn set_share(&self, share: MemoryShare) {
        self.flights.set_share(share);
    }

    pub(crate) fn levels(&self) -> ValueLevels {
        let (cache_len, cache_bytes) = self.flights.cached();
        ValueLevels { queue: self.flights.level(), cache_len, cache_bytes }
    }

    /// What was taken and is not written.
    pub(crate) fn unwritten(&self) -> u32 {
        self.flights.level().used
    }

    /// Notes how many bytes of values the store has.
    pub(crate) fn record_bytes(&self, bytes: u64) {
        self.room.estimated(bytes);
    }

    /// Takes nothing new from now on, and writes what waits without a pause.
    pub(crate) fn close(&self) {
        self.flights.close();
        self.closing.store(true, Ordering::Release);
        self.closed.notify_waiters();
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Ends when [`Self::close`] has been called.
    async fn closing(&self) {
        let notified = self.closed.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        if !self.is_closing() {
            notified.await;
        }
    }
}
