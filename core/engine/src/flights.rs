//! One reading of a key at a time, shared by all who ask for it; and the answers that are kept of it.

use crate::answer::Answer;
use crate::cache::Cache;
use crate::lock;
use hydra_api::{ContentKey, ProviderRecord, UnixSeconds};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;
use tokio::sync::Notify;
use tracing::Span;

/// The readings under way, by key. The lock orders a landing and a write of one key: what a reading brings that began
/// before the write is not kept after it.
#[derive(Debug)]
pub(crate) struct Flights {
    cache: Cache,
    under_way: Mutex<HashMap<ContentKey, Arc<Flight>>>,
    len_max: usize,
}

/// A reading of a key: first in line for a permit, then departed, then landed.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) key: ContentKey,
    pub(crate) len_max: NonZeroU32,
    departed: AtomicBool,
    /// The span of who leads it, until it departs.
    trace: Mutex<Option<Span>>,
    call: OnceLock<Departure>,
    landing: OnceLock<Landing>,
    landed: Notify,
}

/// The store call that a reading departed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Departure {
    /// When it began.
    pub at: Instant,
    /// How many keys it reads.
    pub keys: u32,
    /// How it stood with it when who waited for it was answered.
    pub standing: Standing,
}

/// How it stands with a store call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It has not ended.
    UnderWay,
    /// The store has answered.
    Answered,
    /// It has failed.
    Failed,
}

/// How a reading has ended.
#[derive(Debug, Clone)]
pub(crate) enum Landing {
    /// The store has answered.
    Answer(Arc<Answer>),
    /// The store failed.
    Failed,
    /// It never departed: who led it got no permit, or went away.
    CalledOff,
}

/// How somebody who asks for a key comes by it.
#[derive(Debug)]
pub(crate) enum Joined<'a> {
    /// Nobody reads it: this one is to.
    Lead(Lead<'a>),
    /// Somebody does.
    Follow(Arc<Flight>),
    /// Somebody just has.
    Known(Arc<Answer>),
    /// There are too many readings.
    Full,
}

/// How many keys of a write are looked after under one lock.
const LOCKED_MAX: usize = 64;

impl Flights {
    pub(crate) fn new(cache: Cache, len_max: usize) -> Arc<Self> {
        Arc::new(Self { cache, under_way: Mutex::default(), len_max })
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Joins the reading of a key, or begins one, unless what is kept of it is `good`.
    pub(crate) fn join(
        &self,
        key: ContentKey,
        len_max: NonZeroU32,
        good: impl FnOnce(&Answer) -> bool,
    ) -> Joined<'_> {
        let mut under_way = lock(&self.under_way);
        let len = under_way.len();
        match under_way.entry(key) {
            Entry::Occupied(flight) => Joined::Follow(flight.get().clone()),
            Entry::Vacant(place) => {
                if let Some(answer) = self.cache.find(&key).filter(|answer| good(answer)) {
                    return Joined::Known(answer);
                }
                if len >= self.len_max {
                    return Joined::Full;
                }
                let flight = place.insert(Arc::new(Flight::new(key, len_max))).clone();
                Joined::Lead(Lead { flights: self, flight })
            }
        }
    }

    /// The reading has ended: those who wait are told, and what it brought is kept unless it is outdated.
    fn land(&self, flight: &Arc<Flight>, landing: Landing) {
        let mut under_way = lock(&self.under_way);
        if under_way.get(&flight.key).is_some_and(|known| Arc::ptr_eq(known, flight)) {
            under_way.remove(&flight.key);
            if let Landing::Answer(answer) = &landing {
                self.cache.put(flight.key, answer.clone());
            }
        }
        drop(under_way);
        flight.land(landing);
    }

    /// These records are in the store now: what is kept of their keys is brought up to date.
    pub(crate) fn written(&self, records: &[ProviderRecord], now: UnixSeconds) {
        self.outdate(records, |answer, record| answer.with(record, now));
    }

    /// Some of these records may be in the store now: what is kept of their keys is forgotten.
    pub(crate) fn doubtful(&self, records: &[ProviderRecord]) {
        self.outdate(records, |_, _| None);
    }

    fn outdate(
        &self,
        records: &[ProviderRecord],
        change: impl Fn(&Answer, &ProviderRecord) -> Option<Answer>,
    ) {
        for records in records.chunks(LOCKED_MAX) {
            let mut under_way = lock(&self.under_way);
            for record in records {
                // Those who wait for it began before the write and get what it brings; nobody joins it any more.
                under_way.remove(&record.key);
                self.cache.change(&record.key, |answer| change(answer, record));
            }
        }
    }

    /// How many readings are under way.
    pub(crate) fn len(&self) -> usize {
        lock(&self.under_way).len()
    }
}

impl Flight {
    pub(crate) fn new(key: ContentKey, len_max: NonZeroU32) -> Self {
        Self {
            key,
            len_max,
            departed: AtomicBool::new(false),
            trace: Mutex::new(None),
            call: OnceLock::new(),
            landing: OnceLock::new(),
            landed: Notify::new(),
        }
    }

    /// From now on it lands with its statement, whoever leads it.
    pub(crate) fn depart(&self) {
        self.departed.store(true, Ordering::Release);
    }

    pub(crate) fn has_departed(&self) -> bool {
        self.departed.load(Ordering::Acquire)
    }

    /// The request that leads it is traced: its statement is a part of the trace.
    pub(crate) fn traced(&self, request: &Span) {
        if !request.is_disabled() {
            *lock(&self.trace) = Some(request.clone());
        }
    }

    /// Notes the statement. The request's span, if there is one, is had once: what holds it keeps it from ending.
    pub(crate) fn call(&self, departure: Departure) -> Option<Span> {
        // It departs once.
        let _first = self.call.set(departure);
        lock(&self.trace).take()
    }

    pub(crate) fn departure(&self) -> Option<Departure> {
        self.call.get().copied()
    }

    fn land(&self, landing: Landing) {
        if self.landing.set(landing).is_ok() {
            self.landed.notify_waiters();
        }
    }

    /// Waits for the end.
    ///
    /// # Cancel safety
    /// A dropped future changes nothing.
    pub(crate) async fn landing(&self) -> Landing {
        let landed = self.landed.notified();
        tokio::pin!(landed);
        landed.as_mut().enable();
        loop {
            if let Some(landing) = self.landing.get() {
                return landing.clone();
            }
            landed.as_mut().await;
        }
    }
}

/// The duty to see that a reading departs. Dropped before it has, the reading is called off.
#[derive(Debug)]
pub(crate) struct Lead<'a> {
    flights: &'a Flights,
    pub(crate) flight: Arc<Flight>,
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        if !self.flight.has_departed() {
            self.flights.land(&self.flight, Landing::CalledOff);
        }
    }
}

/// The readings of one statement. Those that have not landed when it is dropped, as by a panic of the store, have
/// failed.
#[derive(Debug)]
pub(crate) struct Aboard {
    pub(crate) flights: Arc<Flights>,
    pub(crate) aboard: Vec<Arc<Flight>>,
}

impl Aboard {
    /// The store has answered for each, in the order in which they are aboard. One without an answer has failed.
    pub(crate) fn land(mut self, answers: impl IntoIterator<Item = Answer>) {
        let mut answers = answers.into_iter();
        for flight in std::mem::take(&mut self.aboard) {
            let answer = answers.next().map(|answer| Landing::Answer(Arc::new(answer)));
            self.flights.land(&flight, answer.unwrap_or(Landing::Failed));
        }
    }
}

impl Drop for Aboard {
    fn drop(&mut self) {
        for flight in &self.aboard {
            self.flights.land(flight, Landing::Failed);
        }
    }
}
