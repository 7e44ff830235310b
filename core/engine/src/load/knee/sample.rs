//! What the store did in a time, and how two such times compare.

use super::Tick;
use std::time::Duration;

/// Of fewer calls than this nothing is concluded.
pub(super) const CALLS_MIN: u64 = 20;

/// What is older than so many windows is forgotten though few calls have ended since.
const ROLLS: u32 = 5;
/// A tenth of exponential times is above 2.3 times their mean; those of servers that are shared have a longer tail.
const MARGIN: f64 = 3.3;

/// What calls of a lane did that succeeded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// How many there were.
    pub(crate) calls: u64,
    /// The keys and records of them: calls differ in size.
    pub(crate) items: u64,
    /// How long they took together.
    pub(crate) busy: Duration,
    /// How many took longer than the ceiling.
    pub(crate) slow: u64,
}

impl Work {
    fn add(&mut self, more: &Self) {
        self.calls += more.calls;
        self.items += more.items;
        self.busy += more.busy;
        self.slow += more.slow;
    }

    /// What was added to an earlier sum.
    pub(crate) const fn since(&self, before: &Self) -> Self {
        Self {
            calls: self.calls.saturating_sub(before.calls),
            items: self.items.saturating_sub(before.items),
            busy: self.busy.saturating_sub(before.busy),
            slow: self.slow.saturating_sub(before.slow),
        }
    }
}

/// A time, and what was done in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Sample {
    elapsed: Duration,
    work: [Work; 2],
    /// The part of the time in which calls waited for permits.
    limited: Duration,
}

/// How much more throughput there was, relative to the base, and the standard error of that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Difference {
    pub(super) relative: f64,
    pub(super) error: f64,
}

impl Sample {
    pub(super) fn add(&mut self, tick: &Tick) {
        self.elapsed += tick.elapsed;
        self.limited += if tick.limited { tick.elapsed } else { Duration::ZERO };
        for (sum, work) in self.work.iter_mut().zip(&tick.work) {
            sum.add(work);
        }
    }

    /// Of a tick alone.
    pub(super) fn of(tick: &Tick) -> Self {
        let mut sample = Self::default();
        sample.add(tick);
        sample
    }

    /// Adds a tick; what was before, when that is enough by itself: then it begins anew.
    pub(super) fn roll(&mut self, tick: &Tick, length: Duration) -> Option<Self> {
        let is_old = self.elapsed >= length * ROLLS;
        let before = (self.is_enough(length) || is_old).then(|| std::mem::take(self));
        self.add(tick);
        before
    }

    /// Whether it has as many calls as it takes, and so much time. Calls that began together may end together: a time that is not
    /// longer than these take says nothing of how many end in a second.
    pub(super) fn is_enough(&self, length: Duration) -> bool {
        self.calls() >= CALLS_MIN && self.elapsed >= length.max(self.mean() * 2)
    }

    pub(super) fn calls(&self) -> u64 {
        self.work.iter().map(|work| work.calls).sum()
    }

    pub(super) fn append(&mut self, other: &Self) {
        self.elapsed += other.elapsed;
        self.limited += other.limited;
        for (sum, work) in self.work.iter_mut().zip(&other.work) {
            sum.add(work);
        }
    }

    /// Whether calls took longer or shorter than in another time, by more than this in natural logarithms and by more than the
    /// chance of few calls.
    pub(super) fn differs(&self, other: &Self, by: f64) -> bool {
        let calls = self.calls().min(other.calls());
        let by_chance = 5.0 / (calls.max(1) as f64).sqrt();
        let ratio = self.mean().as_secs_f64().max(1e-9) / other.mean().as_secs_f64().max(1e-9);
        calls >= CALLS_MIN && ratio.ln().abs() > by.max(by_chance)
    }

    /// How long a call took on the average.
    pub(super) fn mean(&self) -> Duration {
        let busy: Duration = self.work.iter().map(|work| work.busy).sum();
        busy / u32::try_from(self.calls().max(1)).unwrap_or(u32::MAX)
    }

    /// Whether calls waited for permits most of the time.
    pub(super) fn is_limited(&self) -> bool {
        self.limited * 2 >= self.elapsed
    }

    pub(super) fn any_slow(&self) -> bool {
        self.work.iter().any(|work| work.slow * 50 > work.calls)
    }

    /// Of a lane of which surely more than a tenth is slow, how the ceiling relates to what its calls take, with a margin: below 1.
    pub(super) fn too_slow(&self, ceilings: &[Duration; 2]) -> Option<f64> {
        let is_slow = |work: &Work| {
            let calls = work.calls as f64;
            work.calls >= CALLS_MIN && work.slow as f64 > 0.1 * calls + 2.0 * (0.09 * calls).sqrt()
        };
        let slow = self.work.iter().zip(ceilings).filter(|(work, _)| is_slow(work));
        let ratios = slow.map(|(work, ceiling)| {
            let mean = work.busy.as_secs_f64() / work.calls as f64;
            ceiling.as_secs_f64() / (MARGIN * mean)
        });
        ratios.min_by(f64::total_cmp)
    }

    /// Compares the throughput of another time with this one. Keys and records are added up at what each took here, so that
    /// a large write weighs more than a small read, and a change of the mixture is no change of the throughput.
    pub(super) fn compare(&self, other: &Self) -> Option<Difference> {
        if !self.is_enough(Duration::ZERO) || !other.is_enough(Duration::ZERO) {
            return None;
        }
        let prices = self.work.map(|work| work.busy.as_secs_f64() / work.items.max(1) as f64);
        let (base, base_variance) = self.rate(prices);
        let (rate, variance) = other.rate(prices);
        let ratio = rate / base;
        let error = ratio * (base_variance + variance).sqrt();
        (base > 0.0 && rate > 0.0).then_some(Difference { relative: ratio - 1.0, error })
    }

    /// What was done in a second at these prices, and the relative variance: the number of calls varies as that of random
    /// events.
    fn rate(&self, prices: [f64; 2]) -> (f64, f64) {
        let values = [0, 1].map(|lane| self.work[lane].items as f64 * prices[lane]);
        let sum = (values[0] + values[1]).max(f64::MIN_POSITIVE);
        let variance = |lane: usize| (values[lane] / sum).powi(2) / self.work[lane].calls.max(1) as f64;
        (sum / self.elapsed.as_secs_f64().max(1e-9), variance(0) + variance(1))
    }
}
