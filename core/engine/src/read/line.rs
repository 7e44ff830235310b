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

/// A bounded line: the newest flight departs first, the oldest is evicted first.
#[derive(Debug)]
pub(super) struct Line {
    flights: Mutex<VecDeque<(Instant, Arc<Flight>)>>,
    len_max: usize,
    // Copies of what is in `flights`, to be read without the lock.
    len: AtomicU32,
    /// The longest line since it was last asked for.
    peak: AtomicU32,
    evicted: AtomicU64,
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
    pub(super) fn new(len_max: usize) -> Self {
        Self {
            flights: Mutex::default(),
            len_max,
            len: AtomicU32::new(0),
            peak: AtomicU32::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    /// Puts a flight in line. Returns the one that it evicts.
    pub(super) fn push(&self, flight: Arc<Flight>, now: Instant) -> Option<Arc<Flight>> {
        let mut flights = lock(&self.flights);
        let evicted = if flights.len() >= self.len_max { flights.pop_front() } else { None };
        flights.push_back((now, flight));
        let len = flights.len() as u32;
        self.len.store(len, Ordering::Release);
        drop(flights);
        self.peak.fetch_max(len, Ordering::Relaxed);
        let (_, evicted) = evicted?;
        self.evicted.fetch_add(1, Ordering::Relaxed);
        Some(evicted)
    }

    /// Takes up to `len_max` flights, the newest first: at least one if there is any, as the call may be the probe of a store
    /// that was away for longer than a flight stays.
    pub(super) fn take(&self, len_max: usize, now: Instant) -> Taken {
        let mut taken = Taken::default();
        let mut flights = lock(&self.flights);
        let waited = |since: Instant| now.saturating_duration_since(since);
        while flights.len() > 1 && flights.front().is_some_and(|(since, _)| waited(*since) >= STAY_MAX) {
            taken.expired.extend(flights.pop_front().map(|(_, flight)| flight));
        }
        let first = flights.len().saturating_sub(len_max);
        taken.flights = flights.drain(first..).rev().map(|(since, flight)| (waited(since), flight)).collect();
        self.len.store(flights.len() as u32, Ordering::Release);
        taken
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
