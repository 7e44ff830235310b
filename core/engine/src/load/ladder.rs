//! On which rung reads and writes are served: degraded at once, recovered a rung at a time after a time of calm.

use super::effects;
use super::peak::{Fraction, Peak};
use super::signals::{Pulse, Reading, Signal, Signals, Strains};
use crate::config::Config;
use crate::request::{Caller, Distance, Nearness};
use crate::sync::lock;
use hydra_api::{Operation, Rung};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// How often the ladder looks at the load.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// The most that one tick counts for the signals.
const WATCHED_MAX: Duration = Duration::from_millis(200);

/// A rung that is entered again within this many times the calm after it was left was left too soon.
const SOON: u32 = 5;

/// How many times the calm a rung needs at most that is left too soon again and again. Those of a slow or failing store
/// need no more than eight together, so that a node is on the full rung ten seconds after the last cause.
const PATIENCE_MAX: u32 = 4;

/// As this, of the rung near_only. It is entered only from rungs on which the node has stood for a while, whose patience
/// has ended by then.
const PATIENCE_NEAR_ONLY_MAX: u32 = 6;

/// For how long a signal of the rung near_only must last when that rung was left too soon: as long as reads are judged over.
const AGAIN: Duration = Duration::from_secs(1);

/// The rungs of the node, one for reads and one for writes, from the rate of requests and from how the store fares.
#[derive(Debug)]
pub(crate) struct Ladder {
    config: Config,
    reads: LaneLadder,
    writes: LaneLadder,
    /// Those of value records: a pause of the others is none of theirs. The peak is that of all.
    value_reads: LaneLadder,
    value_writes: LaneLadder,
    ticked: Mutex<Ticked>,
    nearness: OnceLock<Arc<dyn Nearness>>,
}

/// The rung of reads or of writes. The writes' peak counts reads too: what is above the peak is shed of writes first.
#[derive(Debug)]
struct LaneLadder {
    /// Its name in the log.
    name: &'static str,
    is_read: bool,
    peak: Peak,
    /// As of the last tick.
    rung: AtomicU8,
    /// Requests have gone over the peak since, those included that were declined for it.
    over: AtomicBool,
    entered: [AtomicU64; Rung::ALL.len()],
    /// Why it is on its rung; empty on the full one.
    because: Mutex<&'static str>,
}

/// A change of a rung.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    /// `reads` or `writes`.
    pub(crate) lane: &'static str,
    pub(crate) before: Rung,
    pub(crate) now: Rung,
    pub(crate) because: &'static str,
    /// What the lane does without from now on.
    pub(crate) effect: &'static str,
}

/// What is carried from tick to tick.
#[derive(Debug, Default)]
struct Ticked {
    signals: Signals,
    reads: Climb,
    writes: Climb,
    value_reads: Climb,
    value_writes: Climb,
}

#[derive(Debug)]
struct Climb {
    tokens: Fraction,
    rung: Rung,
    calm_for: Duration,
    /// For how long the signals of the rung near_only have lasted.
    strained_for: Duration,
    /// How long the ladder has been watched.
    age: Duration,
    steps: [Step; Rung::ALL.len()],
}

/// What is remembered of a rung.
#[derive(Debug, Clone, Copy)]
struct Step {
    left: Option<Duration>,
    patience: u32,
}

impl Default for Climb {
    fn default() -> Self {
        Self {
            tokens: Fraction::default(),
            rung: Rung::Full,
            calm_for: Duration::ZERO,
            strained_for: Duration::ZERO,
            age: Duration::ZERO,
            steps: [Step { left: None, patience: 1 }; Rung::ALL.len()],
        }
    }
}

impl LaneLadder {
    fn of(name: &'static str, is_read: bool, peak: u32) -> Self {
        Self {
            name,
            is_read,
            peak: Peak::new(peak),
            rung: AtomicU8::new(Rung::Full as u8),
            over: AtomicBool::new(false),
            entered: Default::default(),
            because: Mutex::default(),
        }
    }

    /// Counts a request; the rung on which it is served.
    #[inline]
    fn record_request(&self) -> Rung {
        if self.peak.take() {
            return self.rung();
        }
        // Above the peak it is read by all, and written once a tick.
        if !self.over.load(Ordering::Relaxed) {
            self.over.store(true, Ordering::Relaxed);
        }
        Rung::RoutingOnly
    }

    #[inline]
    fn rung(&self) -> Rung {
        if self.over.load(Ordering::Relaxed) {
            return Rung::RoutingOnly;
        }
        Rung::ALL[usize::from(self.rung.load(Ordering::Relaxed))]
    }
}

const fn is_of_values(operation: Operation) -> bool {
    matches!(operation, Operation::GetValue | Operation::PutValue)
}

impl Ladder {
    pub(crate) fn new(config: Config) -> Self {
        let peak = config.peak.requests_per_second;
        Self {
            reads: LaneLadder::of("reads", true, peak),
            writes: LaneLadder::of("writes", false, peak),
            value_reads: LaneLadder::of("value_reads", true, 0),
            value_writes: LaneLadder::of("value_writes", false, 0),
            ticked: Mutex::default(),
            nearness: OnceLock::new(),
            config,
        }
    }

    /// Measures distances by this from now on. The first one stays.
    pub(crate) fn set_nearness(&self, nearness: Arc<dyn Nearness>) {
        let _first = self.nearness.set(nearness);
    }

    /// How far the head that was asked is from the key; near where nothing measures it.
    pub(crate) fn distance(&self, caller: &Caller, key: &[u8]) -> Distance {
        match self.nearness.get() {
            Some(nearness) if !nearness.is_near(caller.head, key) => Distance::Far,
            _ => Distance::Near,
        }
    }

    /// As [`Self::distance`], for a request that is served on this rung: measured only where it decides.
    #[inline]
    pub(crate) fn distance_on(&self, rung: Rung, caller: &Caller, key: &[u8]) -> Distance {
        if rung == Rung::NearOnly { self.distance(caller, key) } else { Distance::Near }
    }

    /// Counts a read that the policies admit; the rung on which it is served.
    #[inline]
    pub(crate) fn record_read(&self) -> Rung {
        // What reads take of the peak is not there for writes.
        self.writes.peak.take();
        self.reads.record_request()
    }

    /// Counts a write that the policies admit; the rung on which it is served.
    #[inline]
    pub(crate) fn record_write(&self) -> Rung {
        self.writes.record_request()
    }

    /// Counts a request that the policies admit; the rung on which it is served.
    #[inline]
    pub(crate) fn record(&self, operation: Operation) -> Rung {
        let (node, values) = match operation.is_write() {
            false => (self.record_read(), &self.value_reads),
            true => (self.record_write(), &self.value_writes),
        };
        if is_of_values(operation) && node != Rung::RoutingOnly { values.rung() } else { node }
    }

    /// The rung on which a request like this would be served.
    pub(crate) fn rung_of(&self, operation: Operation) -> Rung {
        let (node, values) = match operation.is_write() {
            false => (self.read_rung(), &self.value_reads),
            true => (self.write_rung(), &self.value_writes),
        };
        if is_of_values(operation) && node != Rung::RoutingOnly { values.rung() } else { node }
    }

    pub(crate) fn read_rung(&self) -> Rung {
        self.reads.rung()
    }

    pub(crate) fn write_rung(&self) -> Rung {
        self.writes.rung()
    }

    /// The higher one of the two.
    pub(crate) fn rung(&self) -> Rung {
        self.read_rung().max(self.write_rung())
    }

    /// How often reads and writes entered this rung.
    pub(crate) fn entered(&self, rung: Rung) -> [u64; 2] {
        [&self.reads, &self.writes].map(|lane| lane.entered[rung.index()].load(Ordering::Relaxed))
    }

    /// Why reads and writes are on their rungs; empty on the full one.
    pub(crate) fn because(&self) -> [&'static str; 2] {
        [&self.reads, &self.writes].map(|lane| *lock(&lane.because))
    }

    /// What reads and writes do without on their rungs; empty on the full one.
    pub(crate) fn effects(&self) -> [&'static str; 2] {
        [effects::of_reads(self.read_rung()), effects::of_writes(self.write_rung())]
    }

    /// For how long the store has stood still, if it counts as stalled.
    pub(crate) fn stalled(&self) -> Option<Duration> {
        lock(&self.ticked).signals.stalled(&self.config.peak)
    }

    /// Looks at the load of the last `elapsed`; the changes of rungs.
    pub(crate) fn tick(&self, elapsed: Duration, pulse: &Pulse) -> Vec<Change> {
        let mut ticked = lock(&self.ticked);
        let Ticked { signals, reads, writes, value_reads, value_writes } = &mut *ticked;
        let rungs = (&self.config.short, &self.config.stale, &self.config.near_only);
        // A tick that comes late says that this process stood still, and nothing of the store.
        let watched = elapsed.min(WATCHED_MAX);
        let reading = signals.read(rungs, &self.config.peak, watched, pulse);
        let changes = [
            self.step(&self.reads, reads, elapsed, &reading.reads, &reading),
            self.step(&self.writes, writes, elapsed, &reading.writes, &reading),
        ];
        // They differ from those by a pause at most, which the breaker tells.
        for (lane, climb, strains) in [
            (&self.value_reads, value_reads, &reading.value_reads),
            (&self.value_writes, value_writes, &reading.value_writes),
        ] {
            self.step(lane, climb, elapsed, strains, &reading);
        }
        changes.into_iter().flatten().collect()
    }

    /// Moves one lane. Only this, a tick at a time, changes its rung; requests say that they went over the peak.
    fn step(
        &self,
        lane: &LaneLadder,
        climb: &mut Climb,
        elapsed: Duration,
        strains: &Strains,
        reading: &Reading,
    ) -> Option<Change> {
        climb.age += elapsed;
        lane.peak.tick(&mut climb.tokens, elapsed);
        let over = lane.over.load(Ordering::Relaxed);
        let before = climb.rung;
        let is_near_only_due = self.is_near_only_due(climb, elapsed, strains);
        let (up, because) = match self.called_for(strains, reading, lane.is_read) {
            _ if over => (Rung::RoutingOnly, Signal::Peak),
            (lower, _) if lower < Rung::NearOnly && is_near_only_due => (Rung::NearOnly, strains.near_only.1),
            called_for => called_for,
        };
        let (now, because) = if up > before {
            self.enter(climb, up);
            (up, because)
        } else if over || self.holds(before, strains, reading) {
            climb.calm_for = Duration::ZERO;
            (before, because)
        } else {
            climb.calm_for += elapsed.min(WATCHED_MAX);
            let calm = climb.calm_for >= self.calm() * climb.steps[before.index()].patience;
            if before > Rung::Full && calm {
                // A store that is away holds the rung below.
                let because = if strains.paused { Signal::Unavailable } else { Signal::Calm };
                (self.leave(climb, before).max(up), because)
            } else {
                (before, because)
            }
        };
        if now == Rung::Full && before == Rung::Full {
            climb.calm_for = Duration::ZERO;
        }
        if before == Rung::RoutingOnly && now < before {
            lane.peak.forgive();
        }
        climb.rung = now;
        lane.rung.store(now as u8, Ordering::Relaxed);
        if over {
            // The rung says it now. A request that goes over the peak from here on counts for the next tick.
            lane.over.store(false, Ordering::Relaxed);
        }
        if before == now {
            if strains.paused && now == Rung::Stale {
                *lock(&lane.because) = Signal::Unavailable.as_str();
            }
            return None;
        }
        lane.entered[now.index()].fetch_add(1, Ordering::Relaxed);
        *lock(&lane.because) = if now == Rung::Full { "" } else { because.as_str() };
        let effect = if lane.is_read { effects::of_reads(now) } else { effects::of_writes(now) };
        Some(Change { lane: lane.name, before, now, because: because.as_str(), effect })
    }

    /// The rung that the load calls for.
    fn called_for(&self, strains: &Strains, reading: &Reading, reads: bool) -> (Rung, Signal) {
        if reading.stalled && (reads || self.is_enabled(Rung::Stale)) {
            // Writes wait in their queue anyway; what is known need not wait there.
            let because = if strains.paused { Signal::Unavailable } else { Signal::Stalled };
            return (if reads { Rung::CacheOnly } else { Rung::Stale }, because);
        }
        if strains.paused && self.is_enabled(Rung::Stale) {
            return (Rung::Stale, Signal::Unavailable);
        }
        let strained = |rung: Rung| self.is_enabled(rung) && strains.of(rung).0 >= 100;
        match [Rung::Stale, Rung::Short].into_iter().find(|rung| strained(*rung)) {
            Some(rung) => (rung, strains.of(rung).1),
            None => (Rung::Full, Signal::Calm),
        }
    }

    /// Whether the rungs below near_only have not sufficed for long enough. On it and above the time begins anew: what is
    /// measured there says nothing of them.
    fn is_near_only_due(&self, climb: &mut Climb, elapsed: Duration, strains: &Strains) -> bool {
        if strains.paused || climb.rung >= Rung::NearOnly || !self.is_enabled(Rung::NearOnly) {
            climb.strained_for = Duration::ZERO;
            return false;
        }
        // Where calls take long, keys are read and lost in bursts: what a window says goes up and down.
        let watched = elapsed.min(WATCHED_MAX);
        match strains.near_only.0 {
            100.. => climb.strained_for += watched,
            strain if strain >= self.config.peak.calm_percent => {}
            _ => climb.strained_for = climb.strained_for.saturating_sub(watched),
        }
        let after = Duration::from_millis(u64::from(self.config.near_only.after_ms));
        let again = self.is_soon(&climb.steps[Rung::NearOnly.index()], climb.age);
        climb.strained_for >= if again { AGAIN.min(after) } else { after }
    }

    /// Whether a rung's own signals are not calm. That of full decline is a request above the peak: a share of the peak
    /// would hold a node there under a load that it can serve.
    fn holds(&self, rung: Rung, strains: &Strains, reading: &Reading) -> bool {
        let calm_percent = self.config.peak.calm_percent.max(1);
        match rung {
            Rung::RoutingOnly => false,
            Rung::CacheOnly => reading.still,
            Rung::Stale => strains.paused || reading.stalled || strains.stale.0 >= calm_percent,
            // A store that is paused is another rung's business.
            Rung::NearOnly => !strains.paused && strains.near_only.0 >= calm_percent,
            _ => strains.of(rung).0 >= calm_percent,
        }
    }

    fn calm(&self) -> Duration {
        Duration::from_millis(u64::from(self.config.peak.calm_ms))
    }

    /// A rung that was left too soon is given more patience: without it a node would go up and down for as long as
    /// what a lower rung asks of the store is too much for it.
    fn enter(&self, climb: &mut Climb, rung: Rung) {
        climb.calm_for = Duration::ZERO;
        let step = &mut climb.steps[rung.index()];
        let patience_max = if rung == Rung::NearOnly { PATIENCE_NEAR_ONLY_MAX } else { PATIENCE_MAX };
        step.patience = if self.is_soon(step, climb.age) { (step.patience * 2).min(patience_max) } else { 1 };
    }

    /// The next lower rung that the node stands on by itself. The rung near_only has no part in the way back from others:
    /// nothing shows that the ones below it do not suffice.
    fn leave(&self, climb: &mut Climb, from: Rung) -> Rung {
        climb.steps[from.index()].left = Some(climb.age);
        climb.calm_for = Duration::ZERO;
        let is_on_the_way = |rung: &Rung| *rung != Rung::NearOnly && self.is_enabled(*rung);
        let lower = Rung::ALL.into_iter().rev().find(|rung| *rung < from && is_on_the_way(rung));
        let lower = lower.unwrap_or_default();
        let step = &mut climb.steps[lower.index()];
        if !self.is_soon(step, climb.age) {
            step.patience = 1;
        }
        lower
    }

    /// Whether a rung was left so lately that to stand on it again shows that it was left too soon.
    fn is_soon(&self, step: &Step, age: Duration) -> bool {
        step.left.is_some_and(|left| age - left <= self.calm() * SOON)
    }

    /// Whether the node enters this rung by itself.
    fn is_enabled(&self, rung: Rung) -> bool {
        match rung {
            Rung::Full => true,
            Rung::Short => self.config.short.enabled,
            Rung::Stale => self.config.stale.enabled,
            // Where nothing measures distances all keys are near, and the rung would shed nothing.
            Rung::NearOnly => self.config.near_only.enabled && self.nearness.get().is_some(),
            Rung::CacheOnly => self.config.peak.stall_ms > 0,
            Rung::RoutingOnly => self.reads.peak.is_enabled(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
