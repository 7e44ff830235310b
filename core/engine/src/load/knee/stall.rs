//! The stall brake: a store none of whose calls ends gets single probes.

use super::sample::Sample;
use super::{Settings, Tick};
use std::time::Duration;

/// Calls that would have ended meanwhile, as they ended before.
const MISSED: f64 = 8.0;
/// How many times as long as before a call takes that hangs.
const OVERDUE: u32 = 3;
/// The longest time that either may take, in times of [`Settings::stall`]: a store was so slow that nothing can be said.
const STALL_MAX: u32 = 20;
/// The most that one tick counts: one that comes late says that this process stood still, and nothing of the store.
const WATCHED_MAX: Duration = Duration::from_millis(200);
/// The weight of a tick in the pace of the calls.
const PACE_WEIGHT: f64 = 0.1;

#[derive(Debug, Default)]
pub(super) struct Stall {
    /// How many calls end in a second.
    pace: f64,
    /// How long calls take.
    mean: Duration,
    /// For how long none has ended though some are under way that should have.
    still_for: Duration,
    /// Calls under way when another one ended: that one showed that the store moves, though these may hang.
    overtaken: u32,
    on: Option<On>,
}

#[derive(Debug)]
struct On {
    /// How many permits there are beyond the calls that hang; it doubles.
    free: u32,
    limit: u32,
    since_probe: Duration,
    /// How many calls were under way when the last probe was let through, until it has started.
    probe: Option<u32>,
}

impl Stall {
    pub(super) const fn is_on(&self) -> bool {
        self.on.is_some()
    }

    /// The limit while the store has stalled, or comes back to `full`.
    pub(super) fn tick(&mut self, settings: &Settings, tick: &Tick, full: u32) -> Option<u32> {
        let moved = tick.ended > 0;
        self.overtaken = if moved { tick.in_flight } else { self.overtaken.min(tick.in_flight) };
        let still = !moved && tick.in_flight > 0 && (tick.in_flight > self.overtaken || tick.limited);
        if self.on.is_none() {
            self.watch(settings, tick, still);
        }
        let on = self.on.as_mut()?;
        if moved {
            on.recover(tick.in_flight, full);
        } else if still || on.free == 1 {
            on.wait(settings, tick);
        }
        self.on.take_if(|on| moved && on.limit >= full);
        self.on.as_ref().map(|on| on.limit)
    }

    fn watch(&mut self, settings: &Settings, tick: &Tick, still: bool) {
        let seconds = tick.elapsed.as_secs_f64().max(1e-9);
        if !still {
            self.still_for = Duration::ZERO;
            if tick.in_flight > 0 || tick.ended > 0 {
                self.pace += PACE_WEIGHT * (tick.ended as f64 / seconds - self.pace);
            }
            let last = Sample::of(tick);
            if last.calls() > 0 {
                // Calls that have hung are not how long calls take.
                let took = last.mean().min(self.mean * 2 + settings.stall);
                self.mean = self.mean.mul_f64(1.0 - PACE_WEIGHT) + took.mul_f64(PACE_WEIGHT);
            }
            return;
        }
        self.still_for += tick.elapsed.min(WATCHED_MAX);
        let missed = self.still_for.as_secs_f64() * self.pace >= MISSED;
        let is_overdue = self.still_for >= settings.stall.max(self.mean * OVERDUE);
        let is_long = self.still_for >= settings.stall * STALL_MAX;
        if !settings.stall.is_zero() && ((missed && is_overdue) || is_long) {
            self.still_for = Duration::ZERO;
            self.on = Some(On { free: 1, limit: 1, since_probe: Duration::ZERO, probe: None });
        }
    }
}

impl On {
    fn recover(&mut self, in_flight: u32, full: u32) {
        // Of more calls than the limit, those beyond it have hung for longer than the stall.
        let hung = if in_flight > self.limit { in_flight } else { 0 };
        self.free = self.free.saturating_mul(2);
        self.limit = hung.saturating_add(self.free).min(full);
        (self.since_probe, self.probe) = (Duration::ZERO, None);
    }

    /// What is under way may hang for as long as it likes: another call shows whether the store is back.
    fn wait(&mut self, settings: &Settings, tick: &Tick) {
        self.since_probe += tick.elapsed;
        if self.probe.is_some_and(|under_way| tick.in_flight > under_way) {
            (self.probe, self.limit) = (None, 1);
        }
        if self.probe.is_none() && self.since_probe >= settings.probe {
            (self.probe, self.since_probe, self.free) = (Some(tick.in_flight), Duration::ZERO, 1);
            self.limit = tick.in_flight.saturating_add(1);
        }
    }
}
