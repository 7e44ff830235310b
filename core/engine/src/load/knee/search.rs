//! Two limits compared: by turns while the store is under pressure, or one after the other when it is too slow.

use super::sample::Sample;
use super::{Settings, Tick};
use std::time::Duration;

/// A difference of this many standard errors is one.
const SURE: f64 = 2.5;
/// Without a difference the limit stays, unless it is better by this many standard errors.
const DOUBT: f64 = 0.5;
/// The standard error below which nothing more is to be learnt: relative to the change of the limit, and at most.
const PRECISE: [f64; 2] = [0.2, 0.05];
/// The longest comparison. A store that ends a call a second has ended 30 at each limit.
const SPENT_MAX: Duration = Duration::from_secs(60);
/// A turn is at least as long as so many calls one after the other.
const TURN: u32 = 5;
/// The golden section: multiples of it are spread evenly over the parts of one.
const GOLDEN: f64 = 0.618_034;
/// The part of the permits that a single step takes or gives.
const PART: u32 = 8;
/// The steps at first.
const STEPS: u32 = 2;
/// The most steps at once: the limit doubles or is halved.
const STEPS_MAX: u32 = PART;
/// A pause of this many times what a comparison took follows one in vain.
const REST: u32 = 6;
/// How much calls take longer or shorter when the store is another one.
const CHANGED: f64 = 1.5;
/// The part of the permits that a brake leaves at least, and at most.
const BRAKE: [f64; 2] = [0.25, 0.75];

/// What comes of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    GoOn,
    /// The other limit is better.
    Keep,
    Undo,
    /// The load has gone that it needed.
    GiveUp,
    /// The store is another one than at the beginning.
    Changed,
}

/// Whether `to` is better than `from` by what was measured at both.
fn judge(from: u32, to: u32, arms: [&Sample; 2], rise: f64, is_last: bool) -> Step {
    let Some(difference) = arms[0].compare(arms[1]) else {
        return if is_last { Step::Undo } else { Step::GoOn };
    };
    let change = f64::from(to) / f64::from(from) - 1.0;
    let gain = difference.relative - rise * change;
    let precise = (PRECISE[0] * change.abs()).min(PRECISE[1]);
    if gain.abs() < SURE * difference.error && difference.error > precise && !is_last {
        return Step::GoOn;
    }
    if gain > DOUBT * difference.error { Step::Keep } else { Step::Undo }
}

/// Whether calls take less by at least half of what they would if they did nothing but wait for each other. Else fewer permits are
/// no help.
fn is_faster(from: u32, to: u32, arms: [&Sample; 2]) -> bool {
    let expected = 0.5 + 0.5 * f64::from(to) / f64::from(from);
    let [base, now] = arms.map(|arm| arm.mean().as_secs_f64());
    arms[1].is_enough(Duration::ZERO) && now <= expected * base
}

/// Two limits that take turns.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) from: u32,
    pub(super) to: u32,
    arms: [Sample; 2],
    /// Whose turn it is.
    arm: usize,
    turn: Duration,
    /// For how long what ends was mostly begun in the other's turn.
    settles: Duration,
    left: Duration,
    phase: f64,
    /// What there was in this turn, and in the one before.
    now: Sample,
    before: Sample,
    /// There was pressure in this turn.
    pressed: bool,
    pub(super) spent: Duration,
    /// It began as a brake.
    pub(super) is_brake: bool,
}

impl Trial {
    pub(super) fn new(from: u32, to: u32, turn: Duration) -> Self {
        let (arms, settles) = (Default::default(), Duration::from_millis(1));
        let (left, spent) = (turn, Duration::ZERO);
        let (now, before) = (Sample::default(), Sample::default());
        let (phase, pressed, is_brake) = (0.0, false, false);
        Self { from, to, arms, arm: 1, turn, settles, left, phase, now, before, pressed, spent, is_brake }
    }

    pub(super) const fn limit(&self) -> u32 {
        if self.arm == 0 { self.from } else { self.to }
    }

    pub(super) const fn is_at(&self, limit: u32) -> bool {
        self.limit() == limit
    }

    pub(super) const fn is_up(&self) -> bool {
        self.to > self.from
    }

    pub(super) fn tick(&mut self, tick: &Tick, settings: &Settings) -> Step {
        self.spent += tick.elapsed;
        self.pressed |= tick.limited && tick.pressed;
        if self.settles.is_zero() {
            self.now.add(tick);
            self.left = self.left.saturating_sub(tick.elapsed);
        }
        self.settles = self.settles.saturating_sub(tick.elapsed);
        if !self.left.is_zero() {
            return Step::GoOn;
        }
        // Where the limit is lower, all that was asked for is served: there is nothing to be compared. Where it is higher,
        // that is what it was raised for.
        if !self.pressed && self.limit() == self.from.min(self.to) {
            let helps = is_faster(self.from, self.to, [&self.arms[0], &self.arms[1]]);
            return match (self.is_brake, helps) {
                (false, _) => Step::GiveUp,
                (true, true) => Step::Keep,
                (true, false) => Step::Undo,
            };
        }
        if self.is_another_store() {
            return Step::Changed;
        }
        self.before = std::mem::take(&mut self.now);
        self.arms[self.arm].append(&self.before);
        let mean = self.arms[self.arm].mean();
        let ended = self.arm;
        (self.arm, self.pressed) = (1 - ended, false);
        // Calls that begin together end together: each turn is counted from another point between two such ends.
        self.phase = (self.phase + GOLDEN).fract();
        self.settles = mean.mul_f64(1.0 + self.phase).max(Duration::from_millis(1));
        self.left = self.turn.max(mean * TURN);
        if ended == 1 {
            return Step::GoOn;
        }
        let is_last = self.spent >= SPENT_MAX;
        judge(self.from, self.to, [&self.arms[0], &self.arms[1]], settings.rise, is_last)
    }
}

impl Trial {
    /// Whether calls take longer or shorter than in the turn before, by more than the limits do.
    fn is_another_store(&self) -> bool {
        let change = (f64::from(self.to) / f64::from(self.from)).ln().abs();
        self.now.differs(&self.before, CHANGED.ln() + change)
    }
}

/// Fewer permits at once, compared with what was before.
#[derive(Debug)]
pub(super) struct Brake {
    pub(super) from: u32,
    pub(super) to: u32,
    base: Sample,
    now: Sample,
    settles: Duration,
    unlimited_for: Duration,
    pub(super) spent: Duration,
}

impl Brake {
    pub(super) fn new(from: u32, to: u32, base: Sample) -> Self {
        let settles = base.mean();
        let none = Duration::ZERO;
        Self { from, to, base, now: Sample::default(), settles, unlimited_for: none, spent: none }
    }

    pub(super) fn tick(&mut self, tick: &Tick, settings: &Settings) -> Step {
        self.spent += tick.elapsed;
        self.unlimited_for = if tick.limited { Duration::ZERO } else { self.unlimited_for + tick.elapsed };
        if self.unlimited_for >= settings.turn * 2 {
            // All that is asked for is served, and the brake is what it takes, or no help.
            return if self.is_faster() { Step::Keep } else { Step::Undo };
        }
        if !self.settles.is_zero() {
            self.settles = self.settles.saturating_sub(tick.elapsed);
            return Step::GoOn;
        }
        self.now.add(tick);
        let arms = [&self.base, &self.now];
        let step = judge(self.from, self.to, arms, settings.rise, false);
        // Not sure yet, but as far as it goes: calls take less, and what is done is not.
        let helps = self.is_faster() && judge(self.from, self.to, arms, settings.rise, true) == Step::Keep;
        if step != Step::GoOn || !helps {
            return step;
        }
        let is_slow = self.now.too_slow(&settings.ceilings).is_some();
        if is_slow && self.to > 1 {
            self.to = slower(self.to, &self.now, &settings.ceilings);
            self.settles = self.now.mean();
            self.now = Sample::default();
        } else if !is_slow && self.spent >= (settings.turn + self.base.mean()) * 2 {
            return Step::Keep;
        }
        step
    }
}

impl Brake {
    fn is_faster(&self) -> bool {
        is_faster(self.from, self.to, [&self.base, &self.now])
    }

    /// Goes on by turns, if it is not clear by now what the brake has done.
    pub(super) fn by_turns(self: Box<Self>, turn: Duration) -> Result<Box<Trial>, Box<Self>> {
        if self.spent < (turn + self.base.mean()) * 3 {
            return Err(self);
        }
        let trial = Trial::new(self.from, self.to, turn);
        let settles = self.now.mean().max(trial.settles);
        let (arms, spent) = ([self.base, self.now], self.spent);
        Ok(Box::new(Trial { arms, arm: 0, settles, spent, is_brake: true, ..trial }))
    }
}

/// Fewer permits than these, by how slow the calls are.
pub(super) fn slower(limit: u32, sample: &Sample, ceilings: &[Duration; 2]) -> u32 {
    part_of(limit, sample.too_slow(ceilings).unwrap_or(1.0).clamp(BRAKE[0], BRAKE[1]))
}

/// Fewer permits than these, by as little as a brake may.
pub(super) fn a_little_slower(limit: u32) -> u32 {
    part_of(limit, BRAKE[1])
}

fn part_of(limit: u32, part: f64) -> u32 {
    ((f64::from(limit) * part) as u32).max(1)
}

/// Which limit is tried next, and when.
#[derive(Debug)]
pub(super) struct Search {
    is_up: bool,
    steps: u32,
    /// Directions that were tried in vain one after the other.
    vain: u32,
    rest: Duration,
    patience: Duration,
    rest_min: Duration,
    /// What there was when the search came to rest.
    known: Sample,
}

impl Search {
    pub(super) fn new(rest_min: Duration) -> Self {
        let (rest, known) = (Duration::ZERO, Sample::default());
        Self { is_up: false, steps: STEPS, vain: 0, rest, patience: rest_min, rest_min, known }
    }

    pub(super) fn rests(&mut self, elapsed: Duration) {
        self.rest = self.rest.saturating_sub(elapsed);
    }

    /// The next limit to be tried.
    pub(super) fn next(&mut self, tick: &Tick, limit: u32, window: &Sample) -> Option<u32> {
        self.rests(tick.elapsed);
        if window.differs(&self.known, CHANGED.ln()) {
            self.moved();
        }
        if !self.rest.is_zero() {
            return None;
        }
        if limit <= 1 || limit >= tick.bound {
            self.is_up = limit <= 1;
        }
        let by = (limit * self.steps).div_ceil(PART).max(1);
        let to = if self.is_up {
            (limit + by).min(tick.bound)
        } else {
            limit - by.min(limit.div_ceil(2)).min(limit - 1)
        };
        (to != limit).then_some(to)
    }

    /// It goes on in the same direction, faster.
    pub(super) fn kept(&mut self) {
        (self.steps, self.vain, self.patience) = ((self.steps * 2).min(STEPS_MAX), 0, self.rest_min);
    }

    /// It goes on with smaller steps, then in the other direction; after both it rests.
    pub(super) fn undone(&mut self, trial: &Trial, rest: &[Duration; 2]) {
        let spent = trial.spent;
        self.known = trial.arms[0].clone();
        if self.steps > 1 {
            self.steps /= 2;
            return;
        }
        self.is_up = !self.is_up;
        self.vain += 1;
        self.rest = spent * (REST / 2);
        if self.vain >= 2 {
            self.rest = self.patience.max(spent * REST);
            self.steps = STEPS;
            self.patience = (self.patience * 2).min(rest[1]);
        }
    }

    /// The load has gone in the middle of a comparison.
    pub(super) fn given_up(&mut self) {
        self.rest = self.rest_min;
    }

    /// The limit or the store is another one.
    pub(super) fn moved(&mut self) {
        (self.steps, self.vain, self.rest, self.patience) = (STEPS, 0, Duration::ZERO, self.rest_min);
        self.known = Sample::default();
    }
}
