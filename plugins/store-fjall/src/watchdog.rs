//! Looks after the writer: a call of the engine that does not return makes the store unavailable, not its callers
//! wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// What the writer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// A write, a purge or a sync.
    Write,
    /// The engine is closed and opened again after an outage, which reads its whole journal.
    Reopening,
    /// The store is closed.
    Close,
}

impl Call {
    const ALL: [Self; 3] = [Self::Write, Self::Reopening, Self::Close];

    /// The subject of a sentence.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Write => "a write to the store",
            Self::Reopening => "reopening the store after an outage",
            Self::Close => "closing the store",
        }
    }
}

/// The writer's sign of life.
#[derive(Debug)]
pub(crate) struct Pulse {
    origin: Instant,
    /// The place in [`Call::ALL`] of the last call that began.
    call: AtomicU8,
    /// Milliseconds after the origin at which the call at hand began, and one more; 0 when there is none.
    busy_since: AtomicU64,
    ended: AtomicBool,
    /// How often a call took too long.
    stuck_count: AtomicU64,
    stuck: watch::Sender<bool>,
}

impl Pulse {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            origin: Instant::now(),
            call: AtomicU8::new(0),
            busy_since: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            stuck_count: AtomicU64::new(0),
            stuck: watch::Sender::new(false),
        })
    }

    /// Tells when the writer gets stuck.
    pub(crate) fn watch(&self) -> watch::Receiver<bool> {
        self.stuck.subscribe()
    }

    pub(crate) fn is_stuck(&self) -> bool {
        *self.stuck.borrow()
    }

    /// What the writer does, or did last.
    pub(crate) fn call(&self) -> Call {
        let place = usize::from(self.call.load(Ordering::Acquire));
        Call::ALL.get(place).copied().unwrap_or(Call::Write)
    }

    /// Runs a call under the eyes of the watchdog.
    pub(crate) fn during<T>(&self, what: Call, call: impl FnOnce() -> T) -> T {
        self.call.store(what as u8, Ordering::Release);
        self.busy_since.store(self.elapsed_ms() + 1, Ordering::Release);
        let result = call();
        self.busy_since.store(0, Ordering::Release);
        if self.stuck.send_if_modified(|stuck| std::mem::replace(stuck, false)) {
            tracing::warn!("{} has returned, the store answers again", what.as_str());
        }
        result
    }

    /// The writer has ended; the watchdog may as well.
    pub(crate) fn end(&self, watchdog: &Thread) {
        self.ended.store(true, Ordering::Release);
        watchdog.unpark();
    }

    fn elapsed_ms(&self) -> u64 {
        self.origin.elapsed().as_millis() as u64
    }

    /// Says so when the call at hand has taken longer than `write_max`.
    fn look(&self, write_max: Duration) {
        let busy_for = self.busy_for();
        if busy_for > write_max && self.stuck.send_if_modified(|stuck| !std::mem::replace(stuck, true)) {
            let times = self.stuck_count.fetch_add(1, Ordering::Relaxed) + 1;
            tracing::error!(
                ?busy_for,
                times,
                "{} has not returned; the store is unavailable until it does",
                self.call().as_str()
            );
        }
    }

    fn busy_for(&self) -> Duration {
        match self.busy_since.load(Ordering::Acquire) {
            0 => Duration::ZERO,
            since => Duration::from_millis((self.elapsed_ms() + 1).saturating_sub(since)),
        }
    }
}

/// Starts the watchdog of a writer whose calls may take `write_max`.
pub(crate) fn start(pulse: Arc<Pulse>, write_max: Duration) -> std::io::Result<thread::JoinHandle<()>> {
    let pause = (write_max / 8).min(Duration::from_secs(1));
    thread::Builder::new().name("records-watchdog".to_owned()).spawn(move || {
        while !pulse.ended.load(Ordering::Acquire) {
            thread::park_timeout(pause);
            pulse.look(write_max);
        }
    })
}

#[cfg(test)]
mod tests;
