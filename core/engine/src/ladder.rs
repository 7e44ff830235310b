//! On which rung the whole node stands: up at once, down after a time of calm.

use crate::config::Peak;
use crate::lock;
use hydra_api::Rung;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How often the ladder looks at the load.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// For how long the load may stand above the peak by as much again before it counts. Short bursts pass.
const BURST: Duration = Duration::from_millis(250);

/// The rung of the node, from the rate of requests and from the store's pulse.
#[derive(Debug)]
pub(crate) struct Ladder {
    peak: Peak,
    /// Requests since the last tick, and how many of them the peak leaves room for.
    requests: AtomicU64,
    allowance: AtomicU64,
    above_peak: AtomicBool,
    stalled: AtomicBool,
    ticked: Mutex<Ticked>,
}

/// What is carried from tick to tick.
#[derive(Debug, Default)]
struct Ticked {
    /// How far the requests have run ahead of the peak's pace, at most [`BURST`] of it.
    ahead: u64,
    below_peak_for: Duration,
    released: u64,
    still_for: Duration,
    moving_for: Duration,
    rung: Rung,
}

/// The store's pulse.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pulse {
    /// Whether every permit is in use.
    pub(crate) busy: bool,
    /// How many store calls have ended, ever.
    pub(crate) released: u64,
}

impl Ladder {
    pub(crate) fn new(peak: Peak) -> Self {
        let allowance = if peak.requests_per_second == 0 { u64::MAX } else { burst(&peak) };
        Self {
            peak,
            requests: AtomicU64::new(0),
            allowance: AtomicU64::new(allowance),
            above_peak: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            ticked: Mutex::default(),
        }
    }

    /// Counts a request that would reach the store; the rung on which the node stands for it.
    pub(crate) fn note_request(&self) -> Rung {
        if self.requests.fetch_add(1, Ordering::Relaxed) >= self.allowance.load(Ordering::Relaxed) {
            self.above_peak.store(true, Ordering::Relaxed);
        }
        self.rung()
    }

    pub(crate) fn rung(&self) -> Rung {
        if self.above_peak.load(Ordering::Relaxed) {
            return Rung::RoutingOnly;
        }
        if self.stalled.load(Ordering::Relaxed) { Rung::CacheOnly } else { Rung::Full }
    }

    /// Looks at the load of the last `elapsed`; the change of rung, if there was one.
    pub(crate) fn tick(&self, elapsed: Duration, pulse: Pulse) -> Option<(Rung, Rung)> {
        let mut ticked = lock(&self.ticked);
        let calm = Duration::from_millis(u64::from(self.peak.calm_ms));
        if self.peak.requests_per_second > 0 {
            self.tick_peak(&mut ticked, elapsed, calm);
        }
        if self.peak.stall_ms > 0 {
            self.tick_stall(&mut ticked, elapsed, calm, pulse);
        }
        let (before, now) = (ticked.rung, self.rung());
        ticked.rung = now;
        (before != now).then_some((before, now))
    }

    fn tick_peak(&self, ticked: &mut Ticked, elapsed: Duration, calm: Duration) {
        let requests = self.requests.swap(0, Ordering::Relaxed);
        let room = per(&self.peak, elapsed);
        ticked.ahead = (ticked.ahead + requests).saturating_sub(room).min(burst(&self.peak));
        let below = requests * 100 <= room * u64::from(self.peak.calm_percent);
        ticked.below_peak_for = if below { ticked.below_peak_for + elapsed } else { Duration::ZERO };
        if ticked.below_peak_for >= calm {
            ticked.ahead = 0;
            self.above_peak.store(false, Ordering::Relaxed);
        }
        self.allowance.store(burst(&self.peak) - ticked.ahead, Ordering::Relaxed);
    }

    fn tick_stall(&self, ticked: &mut Ticked, elapsed: Duration, calm: Duration, pulse: Pulse) {
        let still = pulse.busy && pulse.released == ticked.released;
        ticked.released = pulse.released;
        if still {
            ticked.still_for += elapsed;
            ticked.moving_for = Duration::ZERO;
        } else {
            ticked.still_for = Duration::ZERO;
            ticked.moving_for += elapsed;
        }
        if ticked.still_for >= Duration::from_millis(u64::from(self.peak.stall_ms)) {
            self.stalled.store(true, Ordering::Relaxed);
        } else if ticked.moving_for >= calm {
            self.stalled.store(false, Ordering::Relaxed);
        }
    }
}

/// How many requests the peak has room for in `time`.
fn per(peak: &Peak, time: Duration) -> u64 {
    u64::from(peak.requests_per_second) * time.as_millis() as u64 / 1_000
}

fn burst(peak: &Peak) -> u64 {
    per(peak, BURST).max(1)
}
