//! Where time comes from.

use crate::sync::lock;
use hydra_api::UnixSeconds;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How far the wall clock and the monotonic clock may drift apart before the wall clock counts as having jumped.
const JUMP_MIN: Duration = Duration::from_secs(300);

/// For how long a wall clock that jumped must go evenly until it is trusted again.
const TRUSTED_AFTER: Duration = Duration::from_secs(3_600);

/// The clock that an [`Engine`](crate::Engine) reads, once per request; further in, time is an argument.
///
/// Intervals are measured by tokio's clock, which tests can pause. The date is that of the wall clock as of when a
/// background task last looked, which it does ten times a second, moved on by the monotonic clock.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Inner>);

struct Inner {
    wall: Box<dyn Fn() -> Duration + Send + Sync>,
    /// The moment from which the monotonic clock counts here.
    base: Instant,
    /// The date at `base`, in milliseconds since 1970, by the wall clock of the last sync.
    offset_ms: AtomicU64,
    trust: Mutex<Trust>,
}

/// What the date is if the wall clock has not jumped.
#[derive(Debug)]
struct Trust {
    /// The date at `base` by a wall clock that went evenly.
    offset_ms: u64,
    /// The offset after a jump, and since when it has been so.
    doubted: Option<(u64, Instant)>,
    /// Since when the wall clock has gone evenly.
    even_since: Instant,
}

/// A moment, as both clocks have it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) instant: Instant,
    pub(crate) unix: UnixSeconds,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self::with_wall(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    /// A clock that shows `start` now and goes on as tokio's does: paused and moved with it.
    pub fn starting_at(start: UnixSeconds) -> Self {
        let base = monotonic();
        Self::with_wall(move || {
            Duration::from_secs(start.0.into()) + monotonic().saturating_duration_since(base)
        })
    }

    /// A clock whose date is what `wall` says, as time since 1970.
    pub fn with_wall(wall: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        let (offset_ms, base) = (millis(wall()), monotonic());
        Self(Arc::new(Inner {
            wall: Box::new(wall),
            base,
            offset_ms: AtomicU64::new(offset_ms),
            trust: Mutex::new(Trust { offset_ms, doubted: None, even_since: base }),
        }))
    }

    /// The date, for expiries.
    pub fn unix(&self) -> UnixSeconds {
        self.read().unix
    }

    /// The moment, for intervals.
    pub fn now(&self) -> Instant {
        monotonic()
    }

    /// Both, from one reading of the monotonic clock.
    #[inline]
    pub(crate) fn read(&self) -> Now {
        let instant = monotonic();
        let offset = self.0.offset_ms.load(Ordering::Relaxed);
        Now { instant, unix: seconds(offset.saturating_add(self.elapsed_ms(instant))) }
    }

    /// Reads the wall clock anew.
    pub(crate) fn sync(&self) {
        let now = monotonic();
        let offset_ms = millis((self.0.wall)()).saturating_sub(self.elapsed_ms(now));
        self.0.offset_ms.store(offset_ms, Ordering::Relaxed);
        lock(&self.0.trust).observe(offset_ms, now);
    }

    /// The date before which a record has expired without a doubt: that of the wall clock, but never further ahead than
    /// the monotonic clock bears out. After a jump the wall clock is trusted again when it went evenly for an hour.
    pub(crate) fn sure_date(&self) -> UnixSeconds {
        let now = self.read();
        let trusted = lock(&self.0.trust).offset_ms.saturating_add(self.elapsed_ms(now.instant));
        now.unix.min(seconds(trusted.saturating_add(millis(JUMP_MIN))))
    }

    /// The date that nobody takes for a later one: known only when the wall clock has gone evenly for an hour. One that is behind
    /// at the start of a machine is set right before.
    pub(crate) fn latest_date(&self) -> Option<UnixSeconds> {
        let now = self.read();
        let trust = lock(&self.0.trust);
        let is_even = trust.doubted.is_none()
            && now.instant.saturating_duration_since(trust.even_since) >= TRUSTED_AFTER;
        let trusted = seconds(trust.offset_ms.saturating_add(self.elapsed_ms(now.instant)));
        is_even.then(|| now.unix.max(trusted).saturating_add(JUMP_MIN))
    }

    fn elapsed_ms(&self, now: Instant) -> u64 {
        millis(now.saturating_duration_since(self.0.base))
    }
}

impl Trust {
    fn observe(&mut self, offset_ms: u64, now: Instant) {
        let near = |other: u64| offset_ms.abs_diff(other) <= millis(JUMP_MIN);
        if near(self.offset_ms) {
            let even_since = if self.doubted.is_some() { now } else { self.even_since };
            *self = Self { offset_ms, doubted: None, even_since };
            return;
        }
        match self.doubted {
            Some((doubted, since)) if near(doubted) => {
                if now.saturating_duration_since(since) >= TRUSTED_AFTER {
                    *self = Self { offset_ms, doubted: None, even_since: since };
                }
            }
            Some(_) | None => self.doubted = Some((offset_ms, now)),
        }
    }
}

fn millis(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000).saturating_add(time.subsec_millis().into())
}

fn seconds(millis: u64) -> UnixSeconds {
    UnixSeconds(u32::try_from(millis / 1_000).unwrap_or(u32::MAX))
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("trust", &self.trust).finish_non_exhaustive()
    }
}

/// The moment as tokio's clock has it.
pub(crate) fn monotonic() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const DAY: u64 = 24 * 3_600;

    #[tokio::test(start_paused = true)]
    async fn a_test_clock_moves_with_the_paused_clock() {
        let clock = Clock::starting_at(UnixSeconds(1_000));
        advance(Duration::from_secs(48 * 3600)).await;
        assert_eq!(clock.unix(), UnixSeconds(1_000 + 48 * 3600));
    }

    #[tokio::test(start_paused = true)]
    async fn a_purge_does_not_follow_a_wall_clock_that_jumped_ahead_until_it_went_evenly_for_an_hour() {
        let (start, ahead) = (1_000_000, Arc::new(AtomicU64::new(0)));
        let (base, jump) = (monotonic(), ahead.clone());
        let clock = Clock::with_wall(move || {
            let ahead = jump.load(Ordering::Relaxed);
            Duration::from_secs(start + ahead) + monotonic().saturating_duration_since(base)
        });
        let passes = async |seconds: u64| {
            for _ in 0..seconds {
                advance(Duration::from_secs(1)).await;
                clock.sync();
            }
        };
        passes(600).await;
        assert_eq!(clock.sure_date(), UnixSeconds(start as u32 + 600));
        ahead.store(10 * DAY, Ordering::Relaxed);
        passes(600).await;
        assert_eq!(clock.unix(), UnixSeconds((start + 1_200 + 10 * DAY) as u32));
        assert_eq!(clock.sure_date(), UnixSeconds(start as u32 + 1_200 + 300));
        assert_eq!(clock.latest_date(), None, "which of both dates is right is not known");
        passes(3_100).await;
        assert_eq!(clock.sure_date(), clock.unix(), "it is trusted again");
        assert_eq!(clock.latest_date(), Some(clock.unix().saturating_add(JUMP_MIN)));
        // Back: what is purged is what both hold for expired.
        ahead.store(0, Ordering::Relaxed);
        passes(10).await;
        assert_eq!(clock.sure_date(), clock.unix());
    }
}
