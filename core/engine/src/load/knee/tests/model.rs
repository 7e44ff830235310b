//! A model of a store and of what is asked of it: open-loop load in front of servers that share their speed.

use crate::load::knee::{Tick, Work};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

pub(super) const TICK: Duration = Duration::from_millis(100);
/// The keys that may wait.
const LINE: u64 = 1_024;
/// Arrivals are counted in steps of this, in seconds.
const STEP: f64 = 0.001;

/// SplitMix64 (Steele, Lea and Flood 2014).
#[derive(Debug)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// From 0 to 1.
    pub(super) fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn exponential(&mut self) -> f64 {
        -(1.0 - self.part()).ln()
    }

    /// Nearly normal: the sum of twelve.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.part()).sum::<f64>() - 6.0
    }

    /// So many at chance times, about this many.
    fn about(&mut self, mean: f64) -> u64 {
        (mean + mean.sqrt() * self.normal()).round().max(0.0) as u64
    }
}

/// How the throughput depends on the calls at a time.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// So many servers; each call more slows all down by this part.
    Servers(f64, f64),
    /// Gunther's universal scalability law: contention, and coherency.
    Universal(f64, f64),
}

/// How long calls take, relative to the mean.
#[derive(Debug, Clone, Copy)]
enum Times {
    Constant,
    Exponential,
    Lognormal(f64),
}

/// The store, and the keys that are asked for.
pub(super) struct Model {
    dice: Dice,
    kind: Kind,
    times: Times,
    /// The mean time of a call alone, in seconds.
    alone: f64,
    batch: u64,
    pub(super) slower: f64,
    pub(super) frozen: bool,
    /// What is asked for, relative to the best that the store does when it is not slower.
    pub(super) load: f64,
    pub(super) limit: u32,
    /// Calls under way: at which progress each ends, and when it began.
    calls: BinaryHeap<Reverse<(u64, u64, u64)>>,
    progress: f64,
    now: f64,
    line: u64,
    denied: u64,
    limited: bool,
    ended: Work,
    pub(super) started: u64,
    /// Keys read, ever.
    pub(super) done: u64,
    ceiling: f64,
    /// How long each call took that ended in the last tick.
    pub(super) took: Vec<f64>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?} {:.1} ms, {} keys", self.kind, self.times, self.alone * 1e3, self.batch)
    }
}

impl Model {
    pub(super) fn new(kind: Kind, alone_ms: f64, seed: u64) -> Self {
        Self {
            dice: Dice(seed),
            kind,
            times: Times::Exponential,
            alone: alone_ms / 1e3,
            batch: 8,
            slower: 1.0,
            frozen: false,
            load: 0.0,
            limit: 64,
            calls: BinaryHeap::new(),
            progress: 0.0,
            now: 0.0,
            line: 0,
            denied: 0,
            limited: false,
            ended: Work::default(),
            started: 0,
            done: 0,
            ceiling: 0.025,
            took: Vec::new(),
        }
    }

    pub(super) fn random(dice: &mut Dice, seed: u64) -> Self {
        let kind = match dice.below(3) {
            0 => Kind::Universal(0.05 * dice.part(), 0.000_3 + 0.01 * dice.part()),
            _ => Kind::Servers(1.0 + dice.below(32) as f64, 0.03 * dice.part()),
        };
        let mut model = Self::new(kind, 1.0 + 19.0 * dice.part(), seed);
        model.times = match dice.below(3) {
            0 => Times::Constant,
            1 => Times::Exponential,
            _ => Times::Lognormal(0.3 + 0.7 * dice.part()),
        };
        model
    }

    /// How fast one of so many calls goes on.
    fn speed(&self, calls: f64) -> f64 {
        let speed = match self.kind {
            Kind::Servers(servers, slower) => {
                (servers / calls).min(1.0) / (1.0 + slower * (calls - servers).max(0.0))
            }
            Kind::Universal(contention, coherency) => {
                1.0 / (1.0 + contention * (calls - 1.0) + coherency * calls * (calls - 1.0))
            }
        };
        if self.frozen { 0.0 } else { speed / self.slower }
    }

    /// The oracle: the fixed limit with the most keys in a second, and how many these are.
    pub(super) fn best(&self, bound: u32) -> (u32, f64) {
        let rate = |limit: u32| f64::from(limit) * self.speed(limit.into()) / self.alone * self.batch as f64;
        let limits = (1..=bound).map(|limit| (limit, rate(limit)));
        limits.max_by(|(_, one), (_, other)| one.total_cmp(other)).unwrap()
    }

    /// Lets the time of a tick go by.
    pub(super) fn tick(&mut self, bound: u32) -> Tick {
        let frozen = std::mem::replace(&mut self.frozen, false);
        let offered = self.best(bound).1 * self.slower * self.load;
        self.frozen = frozen;
        self.took.clear();
        (self.denied, self.limited) = (0, false);
        for _ in 0..(TICK.as_secs_f64() / STEP).round() as u32 {
            self.line += self.dice.about(offered * STEP);
            self.denied += self.line.saturating_sub(LINE);
            self.line = self.line.min(LINE);
            self.start();
            self.pass(STEP);
        }
        let work = std::mem::take(&mut self.ended);
        Tick {
            elapsed: TICK,
            bound,
            in_flight: self.calls.len() as u32,
            ended: work.calls,
            work: [work, Work::default()],
            limited: self.limited,
            pressed: self.denied > 0,
        }
    }

    fn start(&mut self) {
        while self.line > 0 && (self.calls.len() as u32) < self.limit {
            let keys = self.line.min(self.batch);
            self.line -= keys;
            let part = match self.times {
                Times::Constant => 1.0,
                Times::Exponential => self.dice.exponential(),
                Times::Lognormal(sigma) => (sigma * self.dice.normal() - sigma * sigma / 2.0).exp(),
            };
            let size = 0.5 + 0.5 * keys as f64 / self.batch as f64;
            let until = self.progress + self.alone * size * part;
            // Progress and time in nanoseconds; the keys with the time.
            let begun = (self.now * 1e9) as u64;
            self.calls.push(Reverse(((until * 1e9) as u64, begun, keys)));
            self.started += 1;
        }
        self.limited |= self.line > 0;
    }

    fn pass(&mut self, mut left: f64) {
        while let Some(Reverse((until, begun, keys))) = self.calls.peek().copied() {
            let speed = self.speed(self.calls.len() as f64);
            let needs = ((until as f64 / 1e9 - self.progress) / speed).max(0.0);
            if speed <= 0.0 || needs > left {
                self.progress += left * speed;
                break;
            }
            self.calls.pop();
            (self.progress, self.now, left) = (until as f64 / 1e9, self.now + needs, left - needs);
            let took = self.now - begun as f64 / 1e9;
            self.took.push(took);
            self.ended.calls += 1;
            self.ended.items += keys;
            self.ended.busy += Duration::from_secs_f64(took.max(0.0));
            self.ended.slow += u64::from(took > self.ceiling);
            self.done += keys;
            self.start();
        }
        self.now += left;
    }
}
