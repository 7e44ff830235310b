//! The fair share: how many requests per second a source may make while there is pressure.
//!
//! It is one number for all sources, as in max-min fairness: who wants less gets all of it, and those who want more
//! get the same each. It starts where nobody is limited. Under pressure it is cut, from what the biggest source asks
//! downwards; without, it grows.
//!
//! Writes wait in a queue that fills and empties slowly: it tells whether the share is too high, and below its
//! threshold nobody is limited. The line of reads forgets within 20 ms, and a store that is a little too slow for all
//! denies reads long before the line is full. So reads go by how many of them got no answer of the store in time, and
//! their share holds on until it has grown to where nobody is limited.

use crate::pressure::{Lane, Pressure, Reading, Strain};
use hydra_sketch::{Count, Tick};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// How often the share is looked at: every 67 ms.
const PERIOD: Tick = 4;

/// When nobody has asked for so many periods, one second, what was known of the load says nothing any more.
const FORGOTTEN: Tick = 15;

/// A rung that the node stays on for a second or more cuts once in so many periods.
const RUNG_PERIODS: Tick = 4;

/// After a cut, reads that came before it are denied for some 20 ms: so the next period says nothing.
const READ_PERIODS: Tick = 2;

/// When so many periods, two seconds, have passed since the last cut, the load has changed, and the share grows faster.
const CALM: Tick = 30;

/// From here on reads are denied because there are too many, in parts of a thousand; and no fewer than so many in a
/// period.
const DENIED_PERMILLE: u32 = 31;
const DENIED_MIN: u32 = 4;

/// The share of one lane.
#[derive(Debug)]
pub(crate) struct Share {
    lane: Lane,
    share: AtomicU32,
    /// The last period in which it was looked at, and that in which it was cut.
    period: AtomicU64,
    cut_at: AtomicU64,
    /// How full the queue was then.
    depth: AtomicU32,
    /// The part of the reads that were denied before that, in parts of a thousand.
    denied_permille: AtomicU32,
    /// The highest count of a source since, divided by its shares.
    biggest: AtomicU32,
    /// Reads since that the store has answered, and those that got no answer in time.
    answered: AtomicU32,
    denied: AtomicU32,
}

/// The bounds of a share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) min: Count,
    pub(crate) max: Count,
}

impl Share {
    pub(crate) const fn new(lane: Lane) -> Self {
        Self {
            lane,
            share: AtomicU32::new(u32::MAX),
            period: AtomicU64::new(0),
            cut_at: AtomicU64::new(0),
            depth: AtomicU32::new(0),
            denied_permille: AtomicU32::new(0),
            biggest: AtomicU32::new(0),
            answered: AtomicU32::new(0),
            denied: AtomicU32::new(0),
        }
    }

    /// The share at this tick, and what becomes of requests above it. One request in each period looks at the load.
    pub(crate) fn at(&self, tick: Tick, reading: &Reading, bounds: Bounds) -> (Count, Pressure) {
        let period = tick / PERIOD;
        let last = self.period.load(Ordering::Relaxed);
        if period > last
            && self.period.compare_exchange(last, period, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.look(period - last, period, reading, bounds);
        }
        let share = Count::from_bits(self.share.load(Ordering::Relaxed)).clamp(bounds.min, bounds.max);
        let held = match self.lane {
            Lane::Writes => Pressure::None,
            // While others are denied, not even a place that seems free is one that nobody else wants.
            Lane::Reads if self.denies() => Pressure::High,
            Lane::Reads if share < bounds.max => Pressure::Some,
            Lane::Reads => Pressure::None,
        };
        (share, reading.pressure.max(held))
    }

    /// A source has come to this count, divided by its shares.
    pub(crate) fn record(&self, count: Count) {
        // Read by all and seldom written.
        if count.to_bits() > self.biggest.load(Ordering::Relaxed) {
            self.biggest.store(count.to_bits(), Ordering::Relaxed);
        }
    }

    /// The store has answered a read that was admitted in full.
    pub(crate) fn answered(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// It has not, for want of a permit or of time.
    pub(crate) fn denied(&self) {
        self.denied.fetch_add(1, Ordering::Relaxed);
    }

    fn denies(&self) -> bool {
        self.denied_permille.load(Ordering::Relaxed) >= DENIED_PERMILLE
    }

    fn look(&self, elapsed: Tick, period: Tick, reading: &Reading, Bounds { min, max }: Bounds) {
        let depth = self.depth.swap(reading.depth, Ordering::Relaxed);
        let biggest = Count::from_bits(self.biggest.swap(0, Ordering::Relaxed));
        let denied = self.look_at_reads();
        let share = Count::from_bits(self.share.load(Ordering::Relaxed)).clamp(min, max);
        let since_cut = period.saturating_sub(self.cut_at.load(Ordering::Relaxed));
        let is_too_high = match (self.lane, reading.strain) {
            (_, Strain::Rung) => period.is_multiple_of(RUNG_PERIODS),
            (Lane::Writes, Strain::Queue) => reading.depth >= depth,
            (Lane::Writes, Strain::Calm | Strain::Holds) => false,
            (Lane::Reads, strain) => (strain == Strain::Queue || self.denies()) && since_cut >= READ_PERIODS,
        };
        let next = if elapsed > FORGOTTEN {
            max
        } else if is_too_high {
            self.cut_at.store(period, Ordering::Relaxed);
            cut(share.min(biggest), denied)
        } else if reading.strain == Strain::Calm && !self.denies() {
            let part = if since_cut >= CALM { 8 } else { 32 };
            (0..elapsed).fold(share, |share, _| share.plus(share.over(part)))
        } else {
            share
        };
        self.share.store(next.clamp(min, max).to_bits(), Ordering::Relaxed);
    }

    /// The part of the reads of the last period that were denied, in parts of a thousand.
    fn look_at_reads(&self) -> u32 {
        let [answered, denied] = [&self.answered, &self.denied].map(|it| it.swap(0, Ordering::Relaxed));
        let all = u64::from(answered) + u64::from(denied);
        let permille = if denied < DENIED_MIN { 0 } else { (u64::from(denied) * 1_000 / all) as u32 };
        self.denied_permille.store(permille, Ordering::Relaxed);
        permille
    }
}

/// The more is denied, the more there is to cut.
const fn cut(share: Count, denied_permille: u32) -> Count {
    match denied_permille {
        750.. => share.over(4),
        250.. => share.over(2),
        _ => share.over(4).times(3),
    }
}
