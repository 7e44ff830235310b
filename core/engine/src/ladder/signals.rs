//! What drives the node up the ladder, and what keeps it there.

use crate::config::{Config, Peak};
use hydra_api::Rung;
use hydra_api::admission::Level;
use std::time::Duration;

/// For how long the load may stand above the peak by as much again before it counts. Short bursts pass.
const BURST: Duration = Duration::from_millis(250);

/// Reads are judged over this long, and at most twice as long.
const WINDOW: Duration = Duration::from_millis(500);

/// Fewer reads than this without a turn in a window are no sign of anything.
const DENIED_MIN: u64 = 16;

/// Fewer store reads than this in a window have no tenth.
const READS_MIN: u64 = 10;

/// The part of the store reads that may be slow, in percent.
const SLOW_PERCENT: u32 = 10;

/// How the store and what stands before it fare.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pulse {
    /// Whether every permit is in use.
    pub(crate) busy: bool,
    /// How many store calls have ended, ever.
    pub(crate) released: u64,
    /// Announcements that wait.
    pub(crate) ring: Level,
    /// The longest line of reads since the last tick.
    pub(crate) waiting: Level,
    pub(crate) demand: Demand,
}

/// How many reads there were, ever.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Demand {
    /// Readings that wanted a permit, and those of them that got none.
    pub(crate) wanted: u64,
    pub(crate) denied: u64,
    /// Store reads that have ended, and those of them that took as long as the two rungs' ceilings.
    pub(crate) ended: u64,
    pub(crate) above: [u64; 2],
}

/// What is carried from tick to tick.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// How far the requests have run ahead of the peak's pace, at most [`BURST`] of it.
    ahead: u64,
    released: u64,
    still_for: Duration,
    /// The demand when the last window began, and when this one did.
    marks: [Demand; 2],
    window_for: Duration,
}

/// The thresholds of a rung, each in percent; 0 for a signal that is switched off.
struct Thresholds {
    denied: u32,
    waiting: u32,
    ring: u32,
    slow: u32,
}

impl Signals {
    /// The rung that the load calls for, and the one that it does not let go of: where it is still near a threshold.
    pub(super) fn read(
        &mut self,
        config: &Config,
        elapsed: Duration,
        requests: u64,
        pulse: Pulse,
    ) -> (Rung, Rung) {
        let (mut up, mut held) = (Rung::Full, Rung::Full);
        let window = self.window(elapsed, pulse.demand);
        let (short, stale) = (&config.short, &config.stale);
        let slow = |ceiling_ms: u32| if ceiling_ms > 0 { SLOW_PERCENT } else { 0 };
        let steps = [
            (
                Rung::Short,
                short.enabled,
                Thresholds {
                    denied: short.denied_percent,
                    waiting: short.waiting_percent,
                    ring: short.ring_percent,
                    slow: slow(short.read_p90_ms),
                },
            ),
            (
                Rung::Stale,
                stale.enabled,
                Thresholds {
                    denied: stale.denied_percent,
                    waiting: stale.waiting_percent,
                    ring: stale.ring_percent,
                    slow: slow(stale.read_p90_ms),
                },
            ),
        ];
        for (number, (rung, enabled, thresholds)) in steps.into_iter().enumerate() {
            let strain = if enabled { thresholds.strain(&window, window.above[number], &pulse) } else { 0 };
            if strain >= 100 {
                up = rung;
            }
            if strain >= config.peak.calm_percent.max(1) {
                held = rung;
            }
        }
        let (stalled, still) = self.stall(&config.peak, elapsed, &pulse);
        if stalled {
            up = Rung::CacheOnly;
        }
        if still {
            held = Rung::CacheOnly;
        }
        if self.peak(&config.peak, elapsed, requests) {
            held = Rung::RoutingOnly;
        }
        (up, held)
    }

    /// How many requests the peak leaves room for until the next tick.
    pub(super) fn allowance(&self, peak: &Peak) -> u64 {
        allowance(peak).saturating_sub(self.ahead)
    }

    /// Forgets how far the requests have run ahead.
    pub(super) fn forgive(&mut self) {
        self.ahead = 0;
    }

    /// Whether the load is still near the peak.
    fn peak(&mut self, peak: &Peak, elapsed: Duration, requests: u64) -> bool {
        if peak.requests_per_second == 0 {
            return false;
        }
        let room = per(peak, elapsed);
        self.ahead = (self.ahead + requests).saturating_sub(room).min(per(peak, BURST).max(1));
        requests * 100 > room * u64::from(peak.calm_percent)
    }

    /// Whether the store counts as stalled, and whether it did not move since the last tick.
    fn stall(&mut self, peak: &Peak, elapsed: Duration, pulse: &Pulse) -> (bool, bool) {
        let still = pulse.busy && pulse.released == self.released;
        self.released = pulse.released;
        self.still_for = if still { self.still_for + elapsed } else { Duration::ZERO };
        (self.stalled(peak).is_some(), peak.stall_ms > 0 && still)
    }

    /// For how long the store has stood still, if it counts as stalled.
    pub(super) fn stalled(&self, peak: &Peak) -> Option<Duration> {
        let after = Duration::from_millis(u64::from(peak.stall_ms));
        (peak.stall_ms > 0 && self.still_for >= after).then_some(self.still_for)
    }

    /// What there was of reads in the last one to two windows.
    fn window(&mut self, elapsed: Duration, now: Demand) -> Demand {
        self.window_for += elapsed;
        let [before, _] = self.marks;
        if self.window_for >= WINDOW {
            self.window_for = Duration::ZERO;
            self.marks = [self.marks[1], now];
        }
        Demand {
            wanted: now.wanted - before.wanted,
            denied: now.denied - before.denied,
            ended: now.ended - before.ended,
            above: [now.above[0] - before.above[0], now.above[1] - before.above[1]],
        }
    }
}

impl Thresholds {
    /// How near the load comes to the nearest threshold, in percent of it.
    fn strain(&self, window: &Demand, slow: u64, pulse: &Pulse) -> u32 {
        let denied = if window.denied < DENIED_MIN { 0 } else { percent(window.denied, window.wanted) };
        let slow = if window.ended < READS_MIN { 0 } else { percent(slow, window.ended) };
        let signals = [
            (denied, self.denied),
            (pulse.waiting.percent(), self.waiting),
            (pulse.ring.percent(), self.ring),
            (slow, self.slow),
        ];
        let watched = signals.into_iter().filter(|(_, threshold)| *threshold > 0);
        watched.map(|(value, threshold)| value * 100 / threshold).max().unwrap_or(0)
    }
}

fn percent(part: u64, whole: u64) -> u32 {
    u32::try_from(part.min(whole) * 100 / whole.max(1)).unwrap_or(100)
}

/// How many requests the peak has room for at once.
pub(super) fn allowance(peak: &Peak) -> u64 {
    if peak.requests_per_second == 0 { u64::MAX } else { per(peak, BURST).max(1) }
}

/// How many requests the peak has room for in `time`.
fn per(peak: &Peak, time: Duration) -> u64 {
    u64::from(peak.requests_per_second) * time.as_millis() as u64 / 1_000
}
