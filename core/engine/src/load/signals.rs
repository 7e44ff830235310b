//! What drives the node up the ladder, and what keeps it on a rung.

use crate::config::{NearOnly, Peak, Short, Stale};
use hydra_api::Rung;
use hydra_api::admission::Level;
use std::time::Duration;

/// Reads are judged over this long, and at most twice as long.
const WINDOW: Duration = Duration::from_millis(500);

/// Fewer reads than this without a permit in time in a window are no sign of anything.
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
    /// Announcements that wait, but for those of a part of the store that is away.
    pub(crate) write_queue: Level,
    /// The longest line of reads since the last tick.
    pub(crate) waiting: Level,
    /// Whether the breaker has paused reads, writes, and those of value records.
    pub(crate) paused: [bool; 4],
    pub(crate) demand: Demand,
    /// Writes of provider records.
    pub(crate) writes: Calls,
}

/// How many calls of a kind have begun and ended, ever.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Calls {
    pub(crate) begun: u64,
    pub(crate) ended: u64,
}

/// How many reads there were, ever.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Demand {
    /// Keys that wanted a permit, and those of them that got none in time.
    pub(crate) wanted: u64,
    pub(crate) denied: u64,
    /// Those of them that were never read: the line had no room for them.
    pub(crate) lost: u64,
    /// Store reads that have ended, and those of them that took as long as the three rungs' ceilings.
    pub(crate) ended: u64,
    pub(crate) above: [u64; 3],
    /// Store reads that have begun.
    pub(crate) begun: u64,
}

/// For how long no call of a kind has ended while some were under way.
#[derive(Debug, Default)]
struct Stillness {
    /// How many had ended at the last tick.
    ended: u64,
    /// Calls under way when another one ended: that one shows that the store moves, though these may hang.
    overtaken: u64,
    lasts: Duration,
}

impl Stillness {
    fn tick(&mut self, elapsed: Duration, calls: Calls) {
        let under_way = calls.begun.saturating_sub(calls.ended);
        let moved = calls.ended != self.ended;
        self.overtaken = if moved { under_way } else { self.overtaken.min(under_way) };
        let is_still = !moved && under_way > self.overtaken;
        self.ended = calls.ended;
        self.lasts = if is_still { self.lasts + elapsed } else { Duration::ZERO };
    }

    /// How near it comes to the time after which the store counts as stalled.
    fn strain(&self, peak: &Peak) -> Strain {
        let lasts = u32::try_from(self.lasts.as_millis()).unwrap_or(u32::MAX);
        nearest([(lasts, peak.stall_ms, Signal::Stalled)])
    }
}

/// Why a rung was entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Denied,
    Lost,
    Waiting,
    Slow,
    WriteQueue,
    Stalled,
    Unavailable,
    Peak,
    /// None: the node recovers.
    Calm,
}

impl Signal {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "reads get no permit in time",
            Self::Lost => "there are more keys than the store can read",
            Self::Waiting => "the line of reads is long",
            Self::Slow => "the store reads slowly",
            Self::WriteQueue => "the write queue fills up",
            Self::Stalled => "the store has stalled",
            Self::Unavailable => "the store is unavailable",
            Self::Peak => "there are more requests than the peak",
            Self::Calm => "calm",
        }
    }
}

/// How near the load comes to a rung's thresholds, in percent of the nearest, and which that is.
pub(super) type Strain = (u32, Signal);

/// What is carried from tick to tick.
#[derive(Debug, Default)]
pub(super) struct Signals {
    released: u64,
    /// For how long no store call has ended while all permits were in use.
    still_for: Duration,
    reads: Stillness,
    writes: Stillness,
    /// The demand when the last window began, and when this one did.
    marks: [Demand; 2],
    window_for: Duration,
}

/// What the load of the last tick says of the rungs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) reads: Strains,
    pub(super) writes: Strains,
    /// Those of value records: the same but for the pause.
    pub(super) value_reads: Strains,
    pub(super) value_writes: Strains,
    /// The store counts as stalled.
    pub(super) stalled: bool,
    /// The store has not moved for half of the time after which it counts as stalled.
    pub(super) still: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Strains {
    pub(super) short: Strain,
    pub(super) stale: Strain,
    pub(super) near_only: Strain,
    /// The breaker has paused these calls.
    pub(super) paused: bool,
}

impl Strains {
    /// Those of value records. While the calls for provider records are paused, their line and their queue fill up whatever the store
    /// can do.
    const fn of_values(self, paused: bool) -> Self {
        const CALM: Strain = (0, Signal::Calm);
        if self.paused {
            return Self { short: CALM, stale: CALM, near_only: CALM, paused };
        }
        Self { paused, ..self }
    }

    /// The same with that of calls of this lane that do not end.
    fn stalled(self, stalled: Strain) -> Self {
        Self { stale: nearer(self.stale, stalled), ..self }
    }

    pub(super) const fn of(&self, rung: Rung) -> Strain {
        match rung {
            Rung::Short => self.short,
            Rung::Stale => self.stale,
            Rung::NearOnly => self.near_only,
            _ => (0, Signal::Calm),
        }
    }
}

impl Signals {
    pub(super) fn read(
        &mut self,
        (short, stale, near_only): (&Short, &Stale, &NearOnly),
        peak: &Peak,
        elapsed: Duration,
        pulse: &Pulse,
    ) -> Reading {
        let window = self.window(elapsed, pulse.demand);
        let share = |part: u64| if part < DENIED_MIN { 0 } else { percent(part, window.wanted) };
        let (denied, lost) = (share(window.denied), share(window.lost));
        let slow =
            window.above.map(|slow| if window.ended < READS_MIN { 0 } else { percent(slow, window.ended) });
        let ceiling = |ceiling_ms: u32| if ceiling_ms > 0 { SLOW_PERCENT } else { 0 };
        let reads = |thresholds: [u32; 3], slow: u32| {
            nearest([
                (denied, thresholds[0], Signal::Denied),
                (pulse.waiting.percent(), thresholds[1], Signal::Waiting),
                (slow, ceiling(thresholds[2]), Signal::Slow),
            ])
        };
        let writes = |threshold: u32| nearest([(pulse.write_queue.percent(), threshold, Signal::WriteQueue)]);
        self.stand_still(elapsed, pulse);
        let Demand { begun, ended, .. } = pulse.demand;
        self.reads.tick(elapsed, Calls { begun, ended });
        self.writes.tick(elapsed, pulse.writes);
        let [reads_paused, writes_paused, value_reads_paused, value_writes_paused] = pulse.paused;
        // A store that is slow though it reads every key it is asked for is not made faster by asking it for fewer.
        let slow_under_load = if window.lost < DENIED_MIN { 0 } else { slow[2] };
        let reads = Strains {
            short: reads([short.denied_percent, short.waiting_percent, short.read_p90_ms], slow[0]),
            stale: reads([stale.denied_percent, stale.waiting_percent, stale.read_p90_ms], slow[1]),
            near_only: nearest([
                (lost, near_only.lost_percent, Signal::Lost),
                (slow_under_load, ceiling(near_only.read_p90_ms), Signal::Slow),
            ]),
            paused: reads_paused,
        };
        let writes = Strains {
            short: writes(short.write_queue_percent),
            stale: writes(stale.write_queue_percent),
            near_only: writes(near_only.write_queue_percent),
            paused: writes_paused,
        };
        Reading {
            // With permits left the store is still asked, so that a single call that hangs does not hold the rung.
            reads: reads.stalled(self.reads.strain(peak)),
            // A part of the permits is kept for reads, so that writes alone never use them all.
            writes: writes.stalled(self.writes.strain(peak)),
            value_reads: reads.of_values(value_reads_paused),
            value_writes: writes.of_values(value_writes_paused),
            stalled: self.stalled(peak).is_some(),
            still: peak.stall_ms > 0 && self.still_for >= stall(peak) / 2,
        }
    }

    fn stand_still(&mut self, elapsed: Duration, pulse: &Pulse) {
        let still = pulse.busy && pulse.released == self.released;
        self.released = pulse.released;
        self.still_for = if still { self.still_for + elapsed } else { Duration::ZERO };
    }

    /// For how long the store has stood still, if it counts as stalled.
    pub(super) fn stalled(&self, peak: &Peak) -> Option<Duration> {
        (peak.stall_ms > 0 && self.still_for >= stall(peak)).then_some(self.still_for)
    }

    /// What there was of reads in the last one to two windows.
    fn window(&mut self, elapsed: Duration, now: Demand) -> Demand {
        self.window_for += elapsed;
        let [before, _] = self.marks;
        if self.window_for >= WINDOW {
            self.window_for = Duration::ZERO;
            self.marks = [self.marks[1], now];
        }
        let since = |now: u64, before: u64| now.saturating_sub(before);
        Demand {
            wanted: since(now.wanted, before.wanted),
            denied: since(now.denied, before.denied),
            lost: since(now.lost, before.lost),
            ended: since(now.ended, before.ended),
            begun: since(now.begun, before.begun),
            above: std::array::from_fn(|rung| since(now.above[rung], before.above[rung])),
        }
    }
}

fn stall(peak: &Peak) -> Duration {
    Duration::from_millis(u64::from(peak.stall_ms))
}

/// The threshold to which a value comes nearest. Thresholds of 0 are switched off.
fn nearest<const N: usize>(signals: [(u32, u32, Signal); N]) -> Strain {
    let watched = signals.into_iter().filter(|(_, threshold, _)| *threshold > 0);
    let strains = watched.map(|(value, threshold, signal)| (value.saturating_mul(100) / threshold, signal));
    strains.max_by_key(|(strain, _)| *strain).unwrap_or((0, Signal::Calm))
}

fn nearer(one: Strain, other: Strain) -> Strain {
    if other.0 > one.0 { other } else { one }
}

fn percent(part: u64, whole: u64) -> u32 {
    u32::try_from(part.min(whole).saturating_mul(100) / whole.max(1)).unwrap_or(100)
}
