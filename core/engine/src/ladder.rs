//! On which rung the whole node stands: up at once, down a rung after a time of calm.

mod signals;

pub(crate) use signals::{Demand, Pulse};

use crate::config::Config;
use crate::lock;
use hydra_api::Rung;
use signals::Signals;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

/// How often the ladder looks at the load.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// A rung that the node comes back to within this many times the calm after leaving it was left too soon.
const SOON: u32 = 5;

/// How many times the calm a rung needs at most that is left too soon again and again.
const PATIENCE_MAX: u32 = 16;

/// The rung of the node, from the rate of requests and from how the store fares.
#[derive(Debug)]
pub(crate) struct Ladder {
    config: Config,
    /// Requests since the last tick, and how many of them the peak leaves room for.
    requests: AtomicU64,
    allowance: AtomicU64,
    rung: AtomicU8,
    entered: [AtomicU64; Rung::ALL.len()],
    ticked: Mutex<Ticked>,
}

/// What is carried from tick to tick.
#[derive(Debug)]
struct Ticked {
    signals: Signals,
    /// The rung as of the last tick.
    rung: Rung,
    calm_for: Duration,
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

impl Ladder {
    pub(crate) fn new(config: Config) -> Self {
        let ticked = Ticked {
            signals: Signals::default(),
            rung: Rung::Full,
            calm_for: Duration::ZERO,
            age: Duration::ZERO,
            steps: [Step { left: None, patience: 1 }; Rung::ALL.len()],
        };
        Self {
            requests: AtomicU64::new(0),
            allowance: AtomicU64::new(signals::allowance(&config.peak)),
            rung: AtomicU8::new(Rung::Full as u8),
            entered: Default::default(),
            ticked: Mutex::new(ticked),
            config,
        }
    }

    /// Counts a request that would reach the store; the rung on which the node stands for it.
    pub(crate) fn note_request(&self) -> Rung {
        if self.requests.fetch_add(1, Ordering::Relaxed) >= self.allowance.load(Ordering::Relaxed) {
            self.rung.fetch_max(Rung::RoutingOnly as u8, Ordering::Relaxed);
        }
        self.rung()
    }

    pub(crate) fn rung(&self) -> Rung {
        Rung::ALL[usize::from(self.rung.load(Ordering::Relaxed))]
    }

    /// How often the node came onto this rung.
    pub(crate) fn entered(&self, rung: Rung) -> u64 {
        self.entered[rung as usize].load(Ordering::Relaxed)
    }

    /// For how long the store has stood still, if it counts as stalled.
    pub(crate) fn stalled(&self) -> Option<Duration> {
        lock(&self.ticked).signals.stalled(&self.config.peak)
    }

    /// Looks at the load of the last `elapsed`; the change of rung, if there was one.
    pub(crate) fn tick(&self, elapsed: Duration, pulse: Pulse) -> Option<(Rung, Rung)> {
        let mut ticked = lock(&self.ticked);
        let ticked = &mut *ticked;
        ticked.age += elapsed;
        let requests = self.requests.swap(0, Ordering::Relaxed);
        let (up, held) = ticked.signals.read(&self.config, elapsed, requests, pulse);
        self.rung.fetch_max(up as u8, Ordering::Relaxed);
        let rung = self.rung();
        if rung > ticked.rung {
            self.climbed(ticked, rung);
        } else if held >= rung {
            ticked.calm_for = Duration::ZERO;
        } else {
            ticked.calm_for += elapsed;
            if ticked.calm_for >= self.calm() * ticked.steps[rung as usize].patience {
                self.step_down(ticked, rung, up);
            }
        }
        self.allowance.store(ticked.signals.allowance(&self.config.peak), Ordering::Relaxed);
        let (before, now) = (ticked.rung, self.rung());
        ticked.rung = now;
        if before == now {
            return None;
        }
        self.entered[now as usize].fetch_add(1, Ordering::Relaxed);
        Some((before, now))
    }

    fn calm(&self) -> Duration {
        Duration::from_millis(u64::from(self.config.peak.calm_ms))
    }

    /// A rung that was left too soon is given more patience: without it a node would go up and down for as long as
    /// what a better rung asks of the store is too much for it.
    fn climbed(&self, ticked: &mut Ticked, rung: Rung) {
        ticked.calm_for = Duration::ZERO;
        let step = &mut ticked.steps[rung as usize];
        let soon = step.left.is_some_and(|left| ticked.age - left <= self.calm() * SOON);
        step.patience = if soon { (step.patience * 2).min(PATIENCE_MAX) } else { 1 };
    }

    fn step_down(&self, ticked: &mut Ticked, from: Rung, at_least: Rung) {
        let lower = Rung::ALL.into_iter().rev().find(|rung| *rung < from && self.is_enabled(*rung));
        let to = lower.unwrap_or_default().max(at_least);
        // A request may have found the peak exceeded just now.
        let expected = from as u8;
        let swapped =
            self.rung.compare_exchange(expected, to as u8, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if swapped {
            ticked.steps[from as usize].left = Some(ticked.age);
            ticked.calm_for = Duration::ZERO;
            if from == Rung::RoutingOnly {
                ticked.signals.forgive();
            }
        }
    }

    /// Whether the node goes onto this rung by itself.
    fn is_enabled(&self, rung: Rung) -> bool {
        match rung {
            Rung::Full => true,
            Rung::Short => self.config.short.enabled,
            Rung::Stale => self.config.stale.enabled,
            Rung::NearOnly => false,
            Rung::CacheOnly => self.config.peak.stall_ms > 0,
            Rung::RoutingOnly => self.config.peak.requests_per_second > 0,
        }
    }
}
