//! The line of flights that wait for a permit.

use super::flights::Flight;
use crate::sync::lock;
use hydra_api::admission::Level;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// For how long a flight stays in line. Requests wait much shorter, and are answered without it; the store reads its key
/// for those that come next.
const STAY_MAX: Duration = Duration::from_secs(1);

/// A bounded line: the newest flight departs first, the oldest is evicted first. Flights that nobody waits for give way to
/// the others at both ends.
#[derive(Debug)]
pub(super) struct Line {
    queues: Mutex<Queues>,
    len_max: usize,
    /// For how long a request waits.
    wait: Duration,
    // Copies of what is in `queues`, to be read without the lock.
    len: AtomicU32,
    /// How many are in line whose requests wait.
    awaited: AtomicU32,
    /// How many may depart within the time that a request waits, as far as the last departures tell.
    places: AtomicU32,
    /// When the last call departed, in microseconds after `opened`.
    departed_us: AtomicU64,
    opened: Instant,
    /// The longest line since it was last asked for.
    peak: AtomicU32,
    evicted: AtomicU64,
}

#[derive(Debug, Default)]
struct Queues {
    /// Flights whose requests wait, or waited for as long as they may.
    waiting: VecDeque<(Instant, Arc<Flight>)>,
    /// Flights that degraded requests have left behind.
    left: VecDeque<(Instant, Arc<Flight>)>,
    departures: Departures,
}

/// Counts departures by spans of the time that a request waits.
#[derive(Debug, Default)]
struct Departures {
    since: Option<Instant>,
    now: u32,
    before: u32,
}

/// What the request of a flight does meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    Waits,
    IsAnswered,
}

impl Departures {
    /// One more; how many there are in a span.
    fn count(&mut self, span: Duration, now: Instant) -> u32 {
        let gone = self.since.map_or(Duration::MAX, |since| now.saturating_duration_since(since));
        if gone >= span {
            self.before = if gone < span.saturating_mul(2) { self.now } else { 0 };
            (self.since, self.now) = (Some(now), 0);
        }
        self.now = self.now.saturating_add(1);
        self.before.max(self.now)
    }
}

impl Queues {
    fn len(&self) -> usize {
        self.waiting.len() + self.left.len()
    }
}

/// Flights taken out of the line.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// The newest, each with how long it waited.
    pub(super) flights: Vec<(Duration, Arc<Flight>)>,
    /// Those that stayed too long.
    pub(super) expired: Vec<Arc<Flight>>,
}

impl Line {
    pub(super) fn new(len_max: usize, wait: Duration) -> Self {
        Self {
            queues: Mutex::default(),
            len_max,
            wait,
            len: AtomicU32::new(0),
            awaited: AtomicU32::new(0),
            places: AtomicU32::new(0),
            departed_us: AtomicU64::new(0),
            opened: Instant::now(),
            peak: AtomicU32::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    /// Puts a flight in line. Returns the one that it evicts.
    pub(super) fn push(&self, flight: Arc<Flight>, request: Request, now: Instant) -> Option<Arc<Flight>> {
        let mut queues = lock(&self.queues);
        let evicted = if queues.len() >= self.len_max {
            queues.left.pop_front().or_else(|| queues.waiting.pop_front())
        } else {
            None
        };
        match request {
            Request::Waits => {
                flight.set_awaited(true);
                self.awaited.fetch_add(1, Ordering::Relaxed);
                queues.waiting.push_back((now, flight));
            }
            Request::IsAnswered => queues.left.push_back((now, flight)),
        }
        let len = queues.len() as u32;
        self.len.store(len, Ordering::Release);
        drop(queues);
        self.peak.fetch_max(len, Ordering::Relaxed);
        let (_, evicted) = evicted?;
        self.give_up(&evicted);
        self.evicted.fetch_add(1, Ordering::Relaxed);
        Some(evicted)
    }

    /// No request waits for it any more in line.
    pub(super) fn give_up(&self, flight: &Flight) {
        if flight.set_awaited(false) {
            self.awaited.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Takes up to `len_max` flights, for one of `calls_max` calls at a time, the newest first: at least one if there is any, as the call may be the probe of a store
    /// that was away for longer than a flight stays.
    pub(super) fn take(&self, len_max: usize, calls_max: usize, now: Instant) -> Taken {
        let mut taken = Taken::default();
        let mut queues = lock(&self.queues);
        let waited = |since: Instant| now.saturating_duration_since(since);
        let departures = queues.departures.count(self.wait, now) as usize;
        // No more than there are permits' calls, and fewer than would evict each other.
        let places = departures.min(calls_max).saturating_mul(len_max).min(self.len_max);
        let places = u32::try_from(places).unwrap_or(u32::MAX);
        self.places.store(places, Ordering::Relaxed);
        self.departed_us.store(self.micros(now), Ordering::Relaxed);
        let Queues { waiting, left, .. } = &mut *queues;
        // Those that stayed too long are of no use to those who come next. The last one of all stays.
        for (queue, keeps) in [(&mut *left, usize::from(waiting.is_empty())), (&mut *waiting, 1)] {
            while queue.len() > keeps && queue.front().is_some_and(|(since, _)| waited(*since) >= STAY_MAX) {
                taken.expired.extend(queue.pop_front().map(|(_, flight)| flight));
            }
        }
        for queue in [waiting, left] {
            let first = queue.len().saturating_sub(len_max - taken.flights.len());
            let newest = queue.drain(first..).rev();
            taken.flights.extend(newest.map(|(since, flight)| (waited(since), flight)));
        }
        self.len.store(queues.len() as u32, Ordering::Release);
        drop(queues);
        let gone = taken.flights.iter().map(|(_, flight)| flight).chain(&taken.expired);
        gone.for_each(|flight| self.give_up(flight));
        taken
    }

    /// Whether a flight that is put in line now likely departs while its request waits, whoever else comes. Never while calls
    /// depart seldom.
    pub(super) fn has_place(&self, now: Instant) -> bool {
        let since = self.micros(now).saturating_sub(self.departed_us.load(Ordering::Relaxed));
        Duration::from_micros(since) < self.wait
            && self.awaited.load(Ordering::Relaxed) < self.places.load(Ordering::Relaxed)
    }

    fn micros(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.opened).as_micros()).unwrap_or(u64::MAX)
    }

    /// Whether a flight waits.
    pub(super) fn waits(&self) -> bool {
        self.len.load(Ordering::Acquire) > 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.len.load(Ordering::Relaxed) as usize >= self.len_max
    }

    pub(super) fn level(&self) -> Level {
        let max = u32::try_from(self.len_max).unwrap_or(u32::MAX);
        Level { used: self.len.load(Ordering::Relaxed), max }
    }

    /// The longest line since the last call, as far as it was seen.
    pub(super) fn take_peak(&self) -> Level {
        let Level { used, max } = self.level();
        Level { used: self.peak.swap(used, Ordering::Relaxed).max(used), max }
    }

    /// How many flights newer ones have evicted, ever.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }
}
