//! One flight for all requests for a key: a single-flight read of the store. And the cache that flights fill.

use super::answer::Answer;
use super::cache::Cache;
use crate::request::{Ending, ReadCall};
use crate::sync::lock;
use foldhash::quality::RandomState;
use hydra_api::{ContentKey, ProviderRecord, UnixSeconds};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::BuildHasher;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;
use tokio::sync::Notify;
use tracing::Span;

/// How many parts the keys are in, so that requests for different keys seldom meet.
const SHARDS: usize = 64;

/// The bit of [`Flight::awaited`] that says that it is in line.
const IN_LINE: u32 = 1 << 31;

/// The flights under way and the cache, which agree: an announcement that was accepted is in whatever either of them gives
/// from then on.
#[derive(Debug)]
pub(crate) struct Flights {
    cache: Cache,
    shards: Box<[Shard]>,
    hasher: RandomState,
    len: AtomicUsize,
}

#[derive(Debug, Default)]
struct Shard {
    /// Held while an answer of a key of this shard changes: by a landing and by an announcement. Never by a miss.
    edits: Mutex<()>,
    under_way: Mutex<HashMap<ContentKey, Arc<Flight>, RandomState>>,
}

/// A read of a key: first in line for a permit, then departed, then landed.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) key: ContentKey,
    len_max: AtomicU32,
    departed: AtomicBool,
    denied: AtomicBool,
    /// How many requests wait for it, and [`IN_LINE`].
    awaited: AtomicU32,
    /// What was accepted of the key and may not be in what the store answers.
    accepted: Mutex<Vec<ProviderRecord>>,
    /// Something was taken back from these that may have been written before.
    lacks: AtomicBool,
    /// The span of the request that began it, and that of its wait, until it departs.
    trace: Mutex<Option<(Span, Span)>>,
    call: OnceLock<(Instant, u32)>,
    end: OnceLock<Result<Arc<Answer>, Ending>>,
    landed: Notify,
}

/// How a request for a key gets its answer.
#[derive(Debug)]
pub(crate) enum Joined {
    /// No other request reads it: this flight is to be put in line.
    Lead(Arc<Flight>),
    /// Another one reads it.
    Follow {
        flight: Arc<Flight>,
        /// It reads more providers than before for this request.
        is_widened: bool,
    },
    /// Another one just has.
    Known(Arc<Answer>),
    /// There are too many flights.
    Full,
}

impl Flights {
    pub(crate) fn new(cache: Cache) -> Self {
        Self {
            cache,
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            hasher: RandomState::default(),
            len: AtomicUsize::new(0),
        }
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Joins the flight of a key, or begins one, unless what is cached of it is `fresh` by now.
    pub(crate) fn join(
        &self,
        key: ContentKey,
        len_max: NonZeroU32,
        flights_max: usize,
        fresh: impl FnOnce(&Answer) -> bool,
    ) -> Joined {
        let mut under_way = lock(&self.shard(&key).under_way);
        match under_way.entry(key) {
            Entry::Occupied(flight) => {
                let is_widened = flight.get().widen(len_max);
                Joined::Follow { flight: flight.get().clone(), is_widened }
            }
            Entry::Vacant(place) => {
                if let Some(answer) = self.cache.find(&key).filter(|answer| fresh(answer)) {
                    return Joined::Known(answer);
                }
                if self.len.load(Ordering::Relaxed) >= flights_max {
                    return Joined::Full;
                }
                self.len.fetch_add(1, Ordering::Relaxed);
                Joined::Lead(place.insert(Arc::new(Flight::new(key, len_max))).clone())
            }
        }
    }

    /// The flight has ended: what it brought is cached together with what was accepted meanwhile, and those who wait are
    /// told.
    pub(crate) fn land(&self, flight: &Flight, end: Result<Answer, Ending>, now: UnixSeconds) {
        let shard = self.shard(&flight.key);
        let edit = lock(&shard.edits);
        let end = end.map(|answer| {
            let accepted = lock(&flight.accepted);
            let answer = if accepted.is_empty() { answer } else { answer.with(&*accepted, now) };
            Arc::new(if flight.lacks.load(Ordering::Relaxed) { answer.lacking() } else { answer })
        });
        if let Ok(answer) = &end {
            self.cache.put(flight.key, answer.clone());
        }
        let gone = lock(&shard.under_way).remove(&flight.key);
        drop(edit);
        self.len.fetch_sub(usize::from(gone.is_some()), Ordering::Relaxed);
        // It lands once.
        if flight.end.set(end).is_ok() {
            flight.landed.notify_waiters();
        }
    }

    /// Has `accept` put a record into the write queue. If it did, every answer from now on has it, until [`Self::retract`] takes it
    /// back: both under one lock, so that what is dropped as soon as it is in the queue is taken back afterwards.
    pub(crate) fn accept(
        &self,
        record: &ProviderRecord,
        now: UnixSeconds,
        accept: impl FnOnce() -> Ending,
    ) -> Ending {
        let shard = self.shard(&record.key);
        let _edit = lock(&shard.edits);
        let ending = accept();
        if ending != Ending::Served {
            return ending;
        }
        let flight = lock(&shard.under_way).get(&record.key).cloned();
        if let Some(flight) = flight {
            flight.accept(record.clone());
        }
        if let Some(known) = self.cache.peek(&record.key) {
            self.cache.put(record.key, Arc::new(known.with([record], now)));
        }
        ending
    }

    /// A record that was accepted was dropped: no answer from now on has it, unless the store does, or it was accepted
    /// again.
    pub(crate) fn retract(&self, record: &ProviderRecord, accepted_again: impl FnOnce() -> bool) {
        let shard = self.shard(&record.key);
        let _edit = lock(&shard.edits);
        // Who accepts a record puts it into the queue during an edit.
        if accepted_again() {
            return;
        }
        let flight = lock(&shard.under_way).get(&record.key).cloned();
        if let Some(flight) = flight {
            flight.retract(record);
        }
        let known = self.cache.peek(&record.key);
        if let Some(rest) = known.and_then(|known| known.without(&record.provider)) {
            self.cache.put(record.key, Arc::new(rest));
        }
    }

    /// Replaces an answer by the part of it that has not expired, unless it has changed meanwhile.
    pub(crate) fn replace(&self, key: ContentKey, known: &Arc<Answer>, by: Arc<Answer>) {
        let _edit = lock(&self.shard(&key).edits);
        if self.cache.peek(&key).is_some_and(|cached| Arc::ptr_eq(&cached, known)) {
            self.cache.put(key, by);
        }
    }

    /// How many flights are under way.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    fn shard(&self, key: &ContentKey) -> &Shard {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }
}

impl Flight {
    pub(super) fn new(key: ContentKey, len_max: NonZeroU32) -> Self {
        Self {
            key,
            len_max: AtomicU32::new(len_max.get()),
            departed: AtomicBool::new(false),
            denied: AtomicBool::new(false),
            awaited: AtomicU32::new(0),
            accepted: Mutex::default(),
            lacks: AtomicBool::new(false),
            trace: Mutex::new(None),
            call: OnceLock::new(),
            end: OnceLock::new(),
            landed: Notify::new(),
        }
    }

    /// How many providers it reads.
    pub(crate) fn len_max(&self) -> NonZeroU32 {
        NonZeroU32::new(self.len_max.load(Ordering::Relaxed)).unwrap_or(NonZeroU32::MIN)
    }

    /// Reads so many providers, if it has not departed yet. True if they are more than before.
    fn widen(&self, len_max: NonZeroU32) -> bool {
        self.len_max.fetch_max(len_max.get(), Ordering::Relaxed) < len_max.get()
    }

    /// What was accepted since it began, and may be written by now.
    pub(crate) fn accepted(&self) -> Vec<ProviderRecord> {
        lock(&self.accepted).clone()
    }

    /// Forgets what was accepted of this provider. An older record of it may be in the store and not in its answer.
    fn retract(&self, record: &ProviderRecord) {
        let mut accepted = lock(&self.accepted);
        let before = accepted.len();
        accepted.retain(|accepted| accepted.provider != record.provider);
        if accepted.len() < before {
            self.lacks.store(true, Ordering::Relaxed);
        }
    }

    /// Notes a record that was accepted just now, in place of an older one of its provider.
    fn accept(&self, record: ProviderRecord) {
        self.record([record], |known, record| {
            known.expires = known.expires.max(record.expires);
            if !record.addresses.is_empty() {
                known.addresses = record.addresses;
            }
        });
    }

    /// Notes records that wait to be written. What was noted of their providers before is as new, or newer: these were read
    /// a moment ago.
    pub(crate) fn accept_waiting(&self, records: Vec<ProviderRecord>) {
        self.record(records, |known, record| {
            known.expires = known.expires.max(record.expires);
            if known.addresses.is_empty() {
                known.addresses = record.addresses;
            }
        });
    }

    /// Notes records that the store's answer may lack; one of each provider, and the freshest of them, no more than an answer
    /// holds.
    fn record(
        &self,
        records: impl IntoIterator<Item = ProviderRecord>,
        merge: impl Fn(&mut ProviderRecord, ProviderRecord),
    ) {
        let mut accepted = lock(&self.accepted);
        for record in records {
            match accepted.iter_mut().find(|known| known.provider == record.provider) {
                Some(known) => merge(known, record),
                None => {
                    if accepted.len() < self.len_max().get() as usize {
                        accepted.push(record);
                    } else if let Some(stalest) = accepted.iter_mut().min_by_key(|known| known.expires)
                        && stalest.expires <= record.expires
                    {
                        *stalest = record;
                    }
                }
            }
        }
    }

    pub(crate) fn has_departed(&self) -> bool {
        self.departed.load(Ordering::Acquire)
    }

    /// Counts as not having got a permit in time; whether it did not before.
    pub(crate) fn deny(&self) -> bool {
        !self.denied.swap(true, Ordering::Relaxed)
    }

    /// One more request waits for it; true if it is in line and this is the only one.
    pub(crate) fn begin_wait(&self) -> bool {
        self.awaited.fetch_add(1, Ordering::Relaxed) == IN_LINE
    }

    /// One of the requests waits for it no more; true if it is in line and this was the last one.
    pub(crate) fn end_wait(&self) -> bool {
        self.awaited.fetch_sub(1, Ordering::Relaxed) == IN_LINE + 1
    }

    /// It is in line from now on; true if requests wait for it.
    pub(crate) fn enter_line(&self) -> bool {
        self.awaited.fetch_or(IN_LINE, Ordering::Relaxed) > 0
    }

    /// It is in line no more; true if it was, and requests wait for it.
    pub(crate) fn leave_line(&self) -> bool {
        self.awaited.fetch_and(!IN_LINE, Ordering::Relaxed) > IN_LINE
    }

    /// Whether a request waits for it.
    pub(crate) fn is_awaited(&self) -> bool {
        self.awaited.load(Ordering::Relaxed) & !IN_LINE > 0
    }

    /// The request that begins it is traced: its store call is a part of the trace.
    pub(crate) fn traced(&self, request: &Span, waiting: Span) {
        if !request.is_disabled() {
            *lock(&self.trace) = Some((request.clone(), waiting));
        }
    }

    /// It departs with a store call of so many keys. The span of its request, if it is traced, is given once: what holds
    /// it keeps it from ending.
    pub(crate) fn depart(&self, at: Instant, keys: u32) -> Option<Span> {
        // It departs once.
        if self.call.set((at, keys)).is_ok() {
            self.departed.store(true, Ordering::Release);
        }
        lock(&self.trace).take().map(|(request, _)| request)
    }

    /// The store call that it departed with.
    pub(crate) fn call(&self) -> Option<ReadCall> {
        let (at, keys) = *self.call.get()?;
        let ending = self.end.get().map(|end| end.as_ref().err().copied().unwrap_or(Ending::Served));
        Some(ReadCall { at, keys, ending })
    }

    /// Waits for the end.
    ///
    /// # Cancel safety
    /// A dropped future changes nothing.
    pub(crate) async fn landing(&self) -> Result<Arc<Answer>, Ending> {
        let landed = self.landed.notified();
        tokio::pin!(landed);
        landed.as_mut().enable();
        loop {
            if let Some(end) = self.end.get() {
                return end.clone();
            }
            landed.as_mut().await;
        }
    }
}

#[cfg(test)]
mod tests;
