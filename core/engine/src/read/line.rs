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
/// the others at both ends. Those of degraded requests depart in the order in which they came: no more of them are let in
/// than depart in time.
#[derive(Debug)]
pub(super) struct Line {
    queues: Mutex<Queues>,
    len_max: usize,
    /// For how long a request waits.
    wait: Duration,
    // Copies of what is in `queues`, to be read without the lock.
    len: AtomicU32,
    /// How many are in line for which requests wait.
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
    waiting: Places,
    /// As these, of degraded requests that have a place.
    placed: Places,
    /// Flights that nobody waits for: degraded requests have left them behind, or have gone.
    left: Places,
    departures: Departures,
}

/// Flights, each with the moment since which it stands there.
type Places = VecDeque<Place>;
type Place = (Instant, Arc<Flight>);

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
    /// It waits in a place that [`Line::has_place`] found.
    HasPlace,
    IsAnswered,
}

/// A request that waits for a flight, until it is dropped.
#[derive(Debug)]
pub(super) struct Wait<'a> {
    line: &'a Line,
    pub(super) flight: Arc<Flight>,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if self.flight.end_wait() {
            self.line.awaited.fetch_sub(1, Ordering::Relaxed);
        }
    }
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
        self.waiting.len() + self.placed.len() + self.left.len()
    }

    /// Takes out the oldest one, of those that nobody waits for if there are any.
    fn evict(&mut self) -> Option<Arc<Flight>> {
        let Self { waiting, placed, left, .. } = self;
        let oldest = [left, waiting, placed].into_iter().find_map(VecDeque::pop_front);
        oldest.map(|(_, flight)| flight)
    }

    /// Takes out those that stayed too long: they are of no use to those who come next. The last one of all stays.
    fn expire(&mut self, now: Instant) -> Vec<Arc<Flight>> {
        let (mut expired, mut len) = (Vec::new(), self.len());
        let is_over = |(since, _): &(Instant, _)| now.saturating_duration_since(*since) >= STAY_MAX;
        for queue in [&mut self.left, &mut self.placed, &mut self.waiting] {
            while len > 1 && queue.front().is_some_and(is_over) {
                expired.extend(queue.pop_front().map(|(_, flight)| flight));
                len -= 1;
            }
        }
        expired
    }

    /// Takes out up to `len_max`, those first that requests wait for.
    fn depart(&mut self, len_max: usize) -> Vec<Place> {
        let Self { waiting, placed, left, .. } = self;
        let (mut taken, mut gone) = (Vec::new(), Vec::new());
        let queues: [&mut dyn FnMut() -> Option<Place>; 2] =
            [&mut || waiting.pop_back(), &mut || placed.pop_front()];
        for next in queues {
            while taken.len() < len_max
                && let Some(standing) = next()
            {
                if standing.1.is_awaited() { taken.push(standing) } else { gone.push(standing) }
            }
        }
        // Each is moved once.
        left.extend(gone.into_iter().rev());
        let first = left.len().saturating_sub(len_max - taken.len());
        taken.extend(left.drain(first..).rev());
        taken
    }

    fn of(&mut self, request: Request) -> &mut Places {
        match request {
            Request::Waits => &mut self.waiting,
            Request::HasPlace => &mut self.placed,
            Request::IsAnswered => &mut self.left,
        }
    }
}

/// Flights taken out of the line.
#[derive(Debug)]
pub(super) struct Taken {
    /// Those that depart, each with how long it waited.
    pub(super) flights: Vec<(Duration, Arc<Flight>)>,
    /// Those that stayed too long.
    pub(super) expired: Vec<Arc<Flight>>,
}

impl Line {
    pub(super) fn new(len_max: usize, wait: Duration, now: Instant) -> Self {
        Self {
            queues: Mutex::default(),
            len_max,
            wait,
            len: AtomicU32::new(0),
            awaited: AtomicU32::new(0),
            places: AtomicU32::new(0),
            departed_us: AtomicU64::new(0),
            opened: now,
            peak: AtomicU32::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    /// Puts a flight in line. Returns the one that it evicts. A flight that others wait for already, as they joined it before it
    /// was here, stands among those that are waited for.
    pub(super) fn push(&self, flight: Arc<Flight>, request: Request, now: Instant) -> Option<Arc<Flight>> {
        let mut queues = lock(&self.queues);
        let evicted = if queues.len() >= self.len_max { queues.evict() } else { None };
        let is_awaited = flight.enter_line();
        if is_awaited {
            self.awaited.fetch_add(1, Ordering::Relaxed);
        }
        let request = if is_awaited && request == Request::IsAnswered { Request::Waits } else { request };
        queues.of(request).push_back((now, flight));
        self.len.store(queues.len() as u32, Ordering::Release);
        drop(queues);
        let evicted = evicted?;
        self.on_out(&evicted);
        self.evicted.fetch_add(1, Ordering::Relaxed);
        Some(evicted)
    }

    /// Notes how long the line is once what has a permit has left it.
    pub(super) fn record_peak(&self) {
        self.peak.fetch_max(self.len.load(Ordering::Acquire), Ordering::Relaxed);
    }

    /// A request waits for this flight, in line already or soon, until what is returned is dropped.
    pub(super) fn wait_for(&self, flight: Arc<Flight>) -> Wait<'_> {
        if flight.begin_wait() {
            self.awaited.fetch_add(1, Ordering::Relaxed);
        }
        Wait { line: self, flight }
    }

    /// Lets a flight stand among those of such requests, if it stands among those that nobody waited for.
    pub(super) fn move_up(&self, flight: &Arc<Flight>, request: Request, now: Instant) {
        let mut queues = lock(&self.queues);
        let at = queues.left.iter().rposition(|(_, left)| Arc::ptr_eq(left, flight));
        if let Some((_, flight)) = at.and_then(|at| queues.left.remove(at)) {
            queues.of(request).push_back((now, flight));
        }
    }

    fn on_out(&self, flight: &Flight) {
        if flight.leave_line() {
            self.awaited.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Takes up to `len_max` flights, for one of `calls_max` calls at a time: at least one if there is any, as the call may be
    /// the probe of a store that was away for longer than a flight stays.
    pub(super) fn take(&self, len_max: usize, calls_max: usize, now: Instant) -> Taken {
        let mut queues = lock(&self.queues);
        let departures = queues.departures.count(self.wait, now) as usize;
        // No more than there are permits' calls, and fewer than would evict each other.
        let places = departures.min(calls_max).saturating_mul(len_max).min(self.len_max);
        let places = u32::try_from(places).unwrap_or(u32::MAX);
        self.places.store(places, Ordering::Relaxed);
        self.departed_us.store(self.micros(now), Ordering::Relaxed);
        let expired = queues.expire(now);
        let departed = queues.depart(len_max);
        self.len.store(queues.len() as u32, Ordering::Release);
        drop(queues);
        let waited = |since: Instant| now.saturating_duration_since(since);
        let flights: Vec<_> = departed.into_iter().map(|(since, flight)| (waited(since), flight)).collect();
        flights.iter().map(|(_, flight)| flight).chain(&expired).for_each(|flight| self.on_out(flight));
        Taken { flights, expired }
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

#[cfg(test)]
mod tests {
    use super::*;
    use hydra_api::ContentKey;
    use std::num::NonZeroU32;

    fn flight(number: u8) -> Arc<Flight> {
        Arc::new(Flight::new(ContentKey::new(&[number; 34]).unwrap(), NonZeroU32::MIN))
    }

    /// A degraded request begins a flight; before it has put it in line, another one waits for it.
    #[test]
    fn a_flight_that_was_joined_before_it_stood_in_line_is_one_that_is_waited_for() {
        let now = Instant::now();
        let line = Line::new(2, Duration::from_millis(20), now);
        let (joined, left) = (flight(1), flight(2));
        let wait = line.wait_for(joined.clone());
        line.move_up(&joined, Request::Waits, now);
        assert!(line.push(joined.clone(), Request::IsAnswered, now).is_none());
        assert!(line.push(left.clone(), Request::IsAnswered, now).is_none());
        let evicted = line.push(flight(3), Request::IsAnswered, now).unwrap();
        assert!(Arc::ptr_eq(&evicted, &left), "nobody waits for this one");
        let taken = line.take(1, 1, now).flights;
        assert!(Arc::ptr_eq(&taken[0].1, &joined));
        drop(wait);
        assert_eq!(line.awaited.load(Ordering::Relaxed), 0);
    }
}
