//! How many permits the store gets: the knee of its throughput, found while it is asked for more than it serves.
//!
//! Once a tick the controller learns what the calls that ended have done, and says how many may run at a time. It tells three
//! cases apart, the most urgent first:
//!
//! - **Stalled.** No call ends, for at least [`Settings::stall`] and for as long as eight calls took before: one permit, and one
//!   probe beyond the calls under way each [`Settings::probe`]. When calls end again, the permits double each tick up to where they
//!   were.
//! - **Braked.** A tenth of the calls take longer than the ceiling of their lane: fewer permits at once, in proportion. If the
//!   throughput falls with them, the store is slow by itself and the brake is undone.
//! - **Searching.** Calls wait for permits and requests are turned away: two limits take turns until it is clear which of them is
//!   better. The other one is taken if a change of the limit by 1 % changes the throughput by more (upwards) or less (downwards)
//!   than [`Settings::rise`]; that is a point of maximum power (Kleinrock, *Power and deterministic rules of thumb for
//!   probabilistic problems in computer communications*, 1979), with a weight that prefers throughput to latency.
//!
//! TCP Vegas and the gradient limiters of Netflix's concurrency-limits compare latency with its minimum or its long-term mean;
//! under a store that is slow for long either the reference follows and the limit drifts up, or it does not and the limit starves
//! the store. `CoDel` compares it with a target, which does not suit a store of unknown speed. Throughput at two limits that take
//! turns has no reference that could become outdated (ADR 23).

mod sample;
mod search;
mod stall;

pub(crate) use sample::Work;

use crate::config::Permits;
use sample::Sample;
use search::{Brake, Search, Step, Trial, a_little_slower, slower};
use stall::Stall;
use std::time::Duration;

/// A pause of this many times what a futile brake took follows it, at least.
const BRAKE_REST: u32 = 20;
/// Its longest pause, in times of the longest rest of the search.
const BRAKE_PATIENCE: u32 = 10;
/// What there was lately is that of so many turns.
const WINDOW: u32 = 4;
/// For how long the store is well before it gets back a permit that a brake has taken, and from one such permit to the next.
const CALM: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(1)];

/// What the controller goes by: `[engine.permits]`.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// How many permits there are at first, if the bound allows as many.
    pub(crate) start: u32,
    /// What a tenth of the reads, and of the writes, may exceed; zero for any time.
    pub(crate) ceilings: [Duration; 2],
    /// For how long no call ends before the store counts as stalled; zero for ever.
    pub(crate) stall: Duration,
    /// From one probe of a stalled store to the next.
    pub(crate) probe: Duration,
    /// How much the throughput rises with the limit where the limit is right, relative to both.
    pub(crate) rise: f64,
    /// How long a limit has its turn.
    pub(crate) turn: Duration,
    /// The pause after both directions were tried in vain: the first one, and the longest, up to which it doubles.
    pub(crate) rest: [Duration; 2],
}

impl Settings {
    pub(crate) fn of(permits: &Permits) -> Self {
        let ms = |ms: u32| Duration::from_millis(u64::from(ms));
        let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds.max(1)));
        let rest = seconds(permits.rest_s_min);
        Self {
            start: permits.start.max(1),
            ceilings: [ms(permits.read_p90_ms_max), ms(permits.write_p90_ms_max)],
            stall: ms(permits.stall_ms),
            probe: ms(permits.probe_interval_ms.max(1)),
            rise: f64::from(permits.rise_percent) / 100.0,
            turn: ms(permits.turn_ms.max(1)),
            rest: [rest, seconds(permits.rest_s_max).max(rest)],
        }
    }
}

/// What there was since the last tick.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tick {
    pub(crate) elapsed: Duration,
    /// The most permits that there may be.
    pub(crate) bound: u32,
    /// Calls under way now.
    pub(crate) in_flight: u32,
    /// Calls that have ended, in any way.
    pub(crate) ended: u64,
    /// What the calls that succeeded have done: reads, and writes.
    pub(crate) work: [Work; 2],
    /// A call waited because there were no more permits.
    pub(crate) limited: bool,
    /// More was asked for than was let through.
    pub(crate) pressed: bool,
}

/// Why there are as many permits as there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PermitState {
    /// Nothing calls for more or fewer.
    #[default]
    Held,
    /// More are tried.
    Growing,
    /// Fewer are tried.
    Shrinking,
    /// Fewer, since calls took longer than the ceiling.
    Braked,
    /// One and single probes, since no call ends.
    Stalled,
}

impl PermitState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Held, Self::Growing, Self::Shrinking, Self::Braked, Self::Stalled];

    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Growing => "growing",
            Self::Shrinking => "shrinking",
            Self::Braked => "braked",
            Self::Stalled => "stalled",
        }
    }
}

/// The controller. It knows no clock: time is what the ticks say.
#[derive(Debug)]
pub(crate) struct Knee {
    settings: Settings,
    /// The limit that was found; the bound may be lower.
    wanted: u32,
    stall: Stall,
    phase: Phase,
    search: Search,
    /// What there was lately, at this limit, and before that.
    window: Sample,
    before: Sample,
    /// Until the ceiling may brake again, and how long that takes after the next brake in vain.
    brake_rest: Duration,
    brake_patience: Duration,
    /// Where a brake began, until the store gets the permits back.
    home: Option<u32>,
    calm_for: Duration,
    /// Until what has hung has surely ended.
    after_stall: Duration,
}

#[derive(Debug)]
enum Phase {
    Held,
    Trial(Box<Trial>),
    Brake(Box<Brake>),
}

impl Knee {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            wanted: settings.start.max(1),
            stall: Stall::default(),
            phase: Phase::Held,
            search: Search::new(settings.rest[0]),
            window: Sample::default(),
            before: Sample::default(),
            brake_rest: Duration::ZERO,
            brake_patience: settings.rest[0],
            home: None,
            calm_for: Duration::ZERO,
            after_stall: Duration::ZERO,
            settings,
        }
    }

    /// The limit until the next tick: from 1 to the bound, but for probes of a stalled store never more than was proven.
    pub(crate) fn tick(&mut self, tick: &Tick) -> u32 {
        let bound = tick.bound.max(1);
        let limit = self.wanted.min(bound);
        if let Some(limit) = self.stall.tick(&self.settings, tick, limit) {
            self.phase = Phase::Held;
            self.forget();
            self.after_stall = self.settings.turn;
            return limit.clamp(1, bound);
        }
        if !self.after_stall.is_zero() {
            // What has hung ends late.
            self.after_stall = self.after_stall.saturating_sub(tick.elapsed);
            return limit;
        }
        self.brake_rest = self.brake_rest.saturating_sub(tick.elapsed);
        if self.window.is_enough(self.settings.turn) && !self.window.any_slow() {
            (self.brake_rest, self.brake_patience) = (Duration::ZERO, self.settings.rest[0]);
        }
        if let Some(before) = self.window.roll(tick, self.settings.turn * WINDOW) {
            self.before = before;
        }
        match std::mem::replace(&mut self.phase, Phase::Held) {
            Phase::Brake(brake) => self.braking(brake, tick, limit),
            Phase::Trial(trial)
                if trial.is_brake || !trial.is_at(limit) || self.too_slow(tick, limit).is_none() =>
            {
                self.trying(trial, tick, limit);
            }
            Phase::Held | Phase::Trial(_) => self.holding(tick, limit),
        }
        let limit = match &self.phase {
            Phase::Held => self.wanted,
            Phase::Trial(trial) => trial.limit(),
            Phase::Brake(brake) => brake.to,
        };
        limit.clamp(1, bound)
    }

    /// Why the limit is what it is.
    pub(crate) fn state(&self) -> PermitState {
        match &self.phase {
            _ if self.stall.is_on() => PermitState::Stalled,
            Phase::Brake(_) => PermitState::Braked,
            Phase::Trial(trial) if trial.is_brake => PermitState::Braked,
            Phase::Trial(trial) if trial.is_up() => PermitState::Growing,
            Phase::Trial(_) => PermitState::Shrinking,
            Phase::Held if self.home.is_some() => PermitState::Braked,
            Phase::Held => PermitState::Held,
        }
    }

    /// What shows that the calls are too slow, if fewer permits could help and it is not known that they do not. It is the last
    /// tick alone if enough calls have ended in it, so that a burst is seen at once.
    fn too_slow(&self, tick: &Tick, limit: u32) -> Option<Sample> {
        if limit <= 1 || !tick.limited || !self.brake_rest.is_zero() {
            return None;
        }
        let last = Sample::of(tick);
        let sample = if last.is_enough(Duration::ZERO) { last } else { self.window.clone() };
        let is_enough = sample.is_enough(Duration::ZERO);
        sample.too_slow(&self.settings.ceilings).filter(|_| is_enough).map(|_| sample)
    }

    fn holding(&mut self, tick: &Tick, limit: u32) {
        if let Some(slow) = self.too_slow(tick, limit) {
            let was_vain = self.brake_patience > self.settings.rest[0];
            let to =
                if was_vain { a_little_slower(limit) } else { slower(limit, &slow, &self.settings.ceilings) };
            let mut base = std::mem::take(&mut self.before);
            base.append(&self.window);
            self.phase = Phase::Brake(Box::new(Brake::new(limit, to, base)));
            self.forget();
            return;
        }
        if !tick.pressed || !self.window.is_limited() {
            return self.calm_down(tick, limit);
        }
        self.calm_for = Duration::ZERO;
        if let Some(to) = self.search.next(tick, limit, &self.window) {
            self.forget();
            self.phase = Phase::Trial(Box::new(Trial::new(limit, to, self.settings.turn)));
        }
    }

    /// Gives back what a brake took, while everything is served and no call is slow.
    fn calm_down(&mut self, tick: &Tick, limit: u32) {
        self.search.rests(tick.elapsed);
        let Some(home) = self.home else { return };
        if self.window.any_slow() {
            self.calm_for = Duration::ZERO;
            return;
        }
        self.calm_for += tick.elapsed;
        if self.calm_for >= CALM[0] {
            self.calm_for = CALM[0] - CALM[1];
            self.wanted = limit + 1;
            self.home = Some(home).filter(|home| *home > self.wanted);
        }
    }

    fn trying(&mut self, mut trial: Box<Trial>, tick: &Tick, limit: u32) {
        if trial.from != limit || trial.to > tick.bound {
            self.search.given_up();
            return;
        }
        match trial.tick(tick, &self.settings) {
            Step::GoOn => {
                self.phase = Phase::Trial(trial);
                return;
            }
            Step::Keep if trial.is_brake => self.brake_helped(limit, trial.to),
            Step::Undo if trial.is_brake => self.brake_was_vain(trial.spent),
            Step::GiveUp => self.search.given_up(),
            Step::Keep => {
                self.wanted = trial.to;
                self.home = None;
                self.search.kept();
            }
            Step::Undo => self.search.undone(&trial, &self.settings.rest),
            Step::Changed => self.search.moved(),
        }
        self.forget();
    }

    fn braking(&mut self, mut brake: Box<Brake>, tick: &Tick, limit: u32) {
        if brake.from != limit {
            // The bound has changed, and what is compared with it.
            return;
        }
        match brake.tick(tick, &self.settings) {
            Step::GoOn => {
                self.phase = brake.by_turns(self.settings.turn).map_or_else(Phase::Brake, Phase::Trial);
                return;
            }
            Step::Keep => self.brake_helped(limit, brake.to),
            Step::Undo | Step::Changed | Step::GiveUp => self.brake_was_vain(brake.spent),
        }
        self.forget();
    }

    /// What was measured was at another limit.
    fn forget(&mut self) {
        (self.window, self.before) = (Sample::default(), Sample::default());
    }

    fn brake_helped(&mut self, limit: u32, to: u32) {
        self.home = Some(self.home.unwrap_or(limit).max(limit));
        (self.wanted, self.calm_for) = (to, Duration::ZERO);
        self.brake_patience = self.settings.rest[0];
        self.search.moved();
    }

    fn brake_was_vain(&mut self, spent: Duration) {
        self.brake_rest = self.brake_patience.max(spent * BRAKE_REST);
        self.brake_patience = (self.brake_patience * 2).min(self.settings.rest[1] * BRAKE_PATIENCE);
    }
}

#[cfg(test)]
mod tests;
