//! What is under way: records that were taken and wait to be written, keys that are being read.

use super::cache::{Cache, Known};
use crate::config::Limits;
use crate::memory_share::MemoryShare;
use crate::request::Ending;
use crate::sync::lock;
use bytes::Bytes;
use hydra_api::admission::Level;
use hydra_api::value::BATCH_LEN_MAX;
use hydra_api::{UnixSeconds, ValueKey, ValuePut, ValueRecord};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::sync::{Notify, watch};

/// What a record in the queue takes beside its values: its places in the table and in line.
const TAKEN_BYTES: usize = 512;

/// What was taken is seen by every read from then on: in the cache, in the queue, and by the flights that had begun before.
#[derive(Debug)]
pub(super) struct Flights {
    state: Mutex<State>,
    cache: Cache,
    queue_len: usize,
    queue_bytes: usize,
    line_len: usize,
    /// Told when a record waits to be written.
    to_write: Notify,
    /// Told when a key waits to be read.
    to_read: Notify,
}

#[derive(Debug, Default)]
struct State {
    taken: HashMap<ValueKey, Taken>,
    /// Those of them that are not being written, in the order of their writes.
    order: VecDeque<ValueKey>,
    bytes: usize,
    flights: HashMap<ValueKey, Arc<Flight>>,
    /// Those of them that have not departed, the one that was asked for last at the end.
    line: VecDeque<Arc<Flight>>,
    closed: bool,
}

/// A record that waits to be written.
#[derive(Debug)]
struct Taken {
    record: ValueRecord,
    /// What the store has, as far as is known.
    seen: Option<Bytes>,
    in_hand: bool,
    tries: Tries,
}

/// What was tried to write a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tries {
    /// Failures that may be its own doing.
    pub(super) failures: u32,
    /// It is written alone: its batch failed, and one of it is the cause.
    pub(super) alone: bool,
}

/// A read of one key, for all who wait for it.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) key: ValueKey,
    departed: AtomicBool,
    denied: AtomicBool,
    /// What was taken since it began: it is better than what the store had.
    taken: Mutex<Option<ValueRecord>>,
    landing: watch::Sender<Option<FlightResult>>,
}

/// What a flight has brought.
pub(super) type FlightResult = Result<Option<ValueRecord>, Ending>;

/// What comes of a read that the cache does not answer.
#[derive(Debug)]
pub(super) enum Joined {
    /// It has been read meanwhile.
    Known(Option<ValueRecord>),
    /// It waits to be written.
    Taken(ValueRecord),
    Flight(Arc<Flight>),
}

/// What came of a record for which the store had something else than was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looked {
    /// It is written, or is written with what the store has as seen.
    Settled,
    /// The store has a better one, or another that is as good.
    Superseded,
    /// The store has what was seen after all, and the record is still in hand.
    AsSeen,
}

/// What came of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Took {
    Taken,
    /// A better one, or another that is as good, is known by now.
    Outdated,
    Full,
    /// The node is closing.
    Closed,
}

impl Flight {
    fn of(key: ValueKey) -> Arc<Self> {
        Arc::new(Self {
            key,
            departed: AtomicBool::new(false),
            denied: AtomicBool::new(false),
            taken: Mutex::default(),
            landing: watch::Sender::new(None),
        })
    }

    pub(super) fn has_departed(&self) -> bool {
        self.departed.load(Ordering::Acquire)
    }

    /// Whether nobody had given up waiting for its permit before.
    pub(super) fn deny(&self) -> bool {
        !self.denied.swap(true, Ordering::Relaxed)
    }

    /// Waits until it has landed.
    ///
    /// # Cancel safety
    /// The flight goes on.
    pub(super) async fn landed(&self) -> FlightResult {
        let mut landing = self.landing.subscribe();
        // Its sender is the flight itself.
        match landing.wait_for(Option::is_some).await {
            Ok(landing) => landing.clone().unwrap_or(Err(Ending::StoreFailed)),
            Err(_) => Err(Ending::StoreFailed),
        }
    }
}

impl Flights {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            state: Mutex::default(),
            cache: Cache::new(limits.values_cache_bytes),
            queue_len: limits.values_queue_len,
            queue_bytes: limits.values_queue_bytes,
            line_len: limits.waiting_len,
            to_write: Notify::new(),
            to_read: Notify::new(),
        }
    }

    pub(super) fn level(&self) -> Level {
        Level { used: lock(&self.state).taken.len() as u32, max: self.queue_len as u32 }
    }

    /// Has the cache use this share of its configured memory. The queue is small and keeps all of its own.
    pub(super) fn set_share(&self, share: MemoryShare) {
        self.cache.set_share(share);
    }

    /// Records in the cache, and their bytes.
    pub(super) fn cached(&self) -> (u64, u64) {
        (self.cache.len(), self.cache.bytes())
    }

    /// What the cache has of a key.
    pub(super) fn find(&self, key: &ValueKey) -> Option<Known> {
        self.cache.find(key)
    }

    /// What was taken for a key and is not written.
    pub(super) fn taken(&self, key: &ValueKey) -> Option<ValueRecord> {
        lock(&self.state).taken.get(key).map(|taken| taken.record.clone())
    }

    /// Joins the flight of a key, or puts a new one in line. What is known by now and `suffices` is given instead. The flight that
    /// a new one pushes out of the line is given to `pushed_out`.
    pub(super) fn join(
        &self,
        key: ValueKey,
        suffices: impl Fn(&Known) -> bool,
        pushed_out: impl FnOnce(&Flight),
    ) -> Joined {
        let mut state = lock(&self.state);
        if let Some(taken) = state.taken.get(&key) {
            return Joined::Taken(taken.record.clone());
        }
        if let Some(known) = self.cache.find(&key).filter(suffices) {
            return Joined::Known(known.record);
        }
        if let Some(flight) = state.flights.get(&key).cloned() {
            if !flight.has_departed() {
                state.move_up(&flight);
            }
            return Joined::Flight(flight);
        }
        if state.line.len() >= self.line_len
            && let Some(oldest) = state.line.pop_front()
        {
            // Who waits for it is answered without the store.
            state.flights.remove(&oldest.key);
            pushed_out(&oldest);
            oldest.landing.send_replace(Some(Err(Ending::NoPermit)));
        }
        let flight = Flight::of(key);
        state.flights.insert(key, flight.clone());
        state.line.push_back(flight.clone());
        drop(state);
        self.to_read.notify_one();
        Joined::Flight(flight)
    }

    /// Ends when keys wait to be read.
    pub(super) async fn keys_wait(&self) {
        while lock(&self.state).line.is_empty() {
            self.to_read.notified().await;
        }
    }

    /// The flights of the next call, the newest first.
    pub(super) fn depart(&self) -> Vec<Arc<Flight>> {
        let mut state = lock(&self.state);
        let from = state.line.len().saturating_sub(BATCH_LEN_MAX);
        let flights: Vec<_> = state.line.drain(from..).rev().collect();
        flights.iter().for_each(|flight| flight.departed.store(true, Ordering::Release));
        flights
    }

    /// Ends a flight that departed at `at` with what the store said. What was taken meanwhile is better.
    pub(super) fn land(&self, flight: &Flight, found: FlightResult, at: Instant) {
        let state = &mut *lock(&self.state);
        state.flights.remove(&flight.key);
        let landing = match (lock(&flight.taken).take(), found) {
            (Some(taken), _) => Ok(Some(taken)),
            (None, Ok(record)) => {
                self.cache.put(flight.key, Known { record: record.clone(), at });
                Ok(record)
            }
            (None, Err(ending)) => Err(ending),
        };
        flight.landing.send_replace(Some(landing));
    }

    /// Takes a record, whose rivals `is_better` judges, if none has come in since `known` was read. Every read sees it from now on.
    ///
    /// Whether it is better is judged under the lock, so that nothing comes in between: one parse of a rival, which a bound of its
    /// items keeps to a few microseconds at most.
    pub(super) fn take(
        &self,
        key: ValueKey,
        record: ValueRecord,
        known: Option<Bytes>,
        is_better: impl Fn(&[u8]) -> bool,
        now: Instant,
    ) -> Took {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        if state.closed {
            return Took::Closed;
        }
        let newer = match state.taken.get(&key) {
            Some(taken) => Some(taken.record.value.clone()),
            None => self.cache.find(&key).and_then(|known| known.record).map(|record| record.value),
        };
        let is_rival = |value: &Bytes| Some(value) != known.as_ref() && *value != record.value;
        if newer.as_ref().is_some_and(|value| is_rival(value) && !is_better(value)) {
            return Took::Outdated;
        }
        let bytes = bytes_of(&key, &record);
        let more =
            bytes.saturating_sub(state.taken.get(&key).map_or(0, |taken| bytes_of(&key, &taken.record)));
        let is_full = !state.taken.contains_key(&key) && state.taken.len() >= self.queue_len;
        if is_full || state.bytes + more > self.queue_bytes {
            return Took::Full;
        }
        if let Some(flight) = state.flights.get(&key) {
            *lock(&flight.taken) = Some(record.clone());
        }
        self.cache.put(key, Known { record: Some(record.clone()), at: now });
        match state.taken.get_mut(&key) {
            Some(taken) => {
                state.bytes = (state.bytes + bytes).saturating_sub(bytes_of(&key, &taken.record));
                (taken.record, taken.tries) = (record, Tries::default());
            }
            None => {
                state.bytes += bytes;
                let seen = newer.or(known);
                state.taken.insert(key, Taken { record, seen, in_hand: false, tries: Tries::default() });
                state.order.push_back(key);
            }
        }
        drop(guard);
        self.to_write.notify_one();
        Took::Taken
    }

    /// Takes nothing more.
    pub(super) fn close(&self) {
        lock(&self.state).closed = true;
    }

    /// Whether no record of this key may wait: one that takes the place of another needs no place of its own.
    pub(super) fn is_full(&self, key: &ValueKey) -> bool {
        let state = lock(&self.state);
        let is_full = state.taken.len() >= self.queue_len || state.bytes >= self.queue_bytes;
        is_full && !state.taken.contains_key(key)
    }

    /// Ends when records wait to be written.
    pub(super) async fn records_wait(&self) {
        while lock(&self.state).order.is_empty() {
            self.to_write.notified().await;
        }
    }

    /// Whether a whole batch waits.
    pub(super) fn has_batch(&self) -> bool {
        lock(&self.state).order.len() >= BATCH_LEN_MAX
    }

    /// The next records to be written; one that has expired by now is let go.
    pub(super) fn take_batch(&self, now: UnixSeconds) -> Vec<ValuePut> {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let mut batch = Vec::new();
        while batch.len() < BATCH_LEN_MAX {
            let Some(key) = state.order.pop_front() else { break };
            let Some(taken) = state.taken.get_mut(&key) else { continue };
            if taken.in_hand {
                continue;
            }
            if taken.record.expires <= now {
                state.remove(&key);
                continue;
            }
            if taken.tries.alone && !batch.is_empty() {
                state.order.push_front(key);
                break;
            }
            taken.in_hand = true;
            batch.push(ValuePut { key, seen: taken.seen.clone(), record: taken.record.clone() });
            if taken.tries.alone {
                break;
            }
        }
        batch
    }

    /// The store has this record.
    pub(super) fn written(&self, put: &ValuePut) {
        let state = &mut *lock(&self.state);
        let Some(taken) = state.taken.get_mut(&put.key) else { return };
        if taken.record == put.record {
            return state.remove(&put.key);
        }
        // A better one was taken meanwhile.
        taken.seen = Some(put.record.value.clone());
        state.again(put.key, Tries::default());
    }

    /// The record could not be written and is tried again; what was tried so far.
    pub(super) fn again(&self, put: &ValuePut, change: impl FnOnce(Tries) -> Tries) -> Tries {
        let state = &mut *lock(&self.state);
        let tries = change(state.taken.get(&put.key).map(|taken| taken.tries).unwrap_or_default());
        state.again(put.key, tries);
        tries
    }

    /// The record is not kept: no read sees it any more, unless another was taken since.
    pub(super) fn dropped(&self, put: &ValuePut) {
        let state = &mut *lock(&self.state);
        let is_it = state.taken.get(&put.key).is_some_and(|taken| taken.record.value == put.record.value);
        if !is_it {
            return state.again(put.key, Tries::default());
        }
        state.remove(&put.key);
        self.cache.forget(&put.key);
    }

    /// The store had something else than was seen, and has this. Of both the better one stays, as judged under the lock: two parses.
    pub(super) fn looked(
        &self,
        put: &ValuePut,
        found: Option<ValueRecord>,
        is_better: impl Fn(&ValueRecord, &[u8]) -> bool,
        now: Instant,
    ) -> Looked {
        let state = &mut *lock(&self.state);
        let Some(taken) = state.taken.get_mut(&put.key) else { return Looked::Settled };
        match found {
            // It was written by a call that had failed to say so.
            Some(found) if found.value == taken.record.value => {
                state.remove(&put.key);
                self.cache.put(put.key, Known { record: Some(found), at: now });
                Looked::Settled
            }
            Some(found) if !is_better(&taken.record, &found.value) => {
                state.remove(&put.key);
                self.cache.put(put.key, Known { record: Some(found), at: now });
                Looked::Superseded
            }
            found => {
                let found = found.map(|record| record.value);
                if found == put.seen {
                    return Looked::AsSeen;
                }
                taken.seen = found;
                state.again(put.key, Tries::default());
                Looked::Settled
            }
        }
    }
}

impl State {
    /// Those that are asked for again depart first.
    fn move_up(&mut self, flight: &Arc<Flight>) {
        let place = self.line.iter().rposition(|other| Arc::ptr_eq(other, flight));
        if let Some(flight) = place.and_then(|place| self.line.remove(place)) {
            self.line.push_back(flight);
        }
    }

    fn remove(&mut self, key: &ValueKey) {
        if let Some(taken) = self.taken.remove(key) {
            self.bytes = self.bytes.saturating_sub(bytes_of(key, &taken.record));
        }
    }

    /// Puts a record that was in hand back in line.
    fn again(&mut self, key: ValueKey, tries: Tries) {
        let Some(taken) = self.taken.get_mut(&key) else { return };
        taken.tries = tries;
        if std::mem::take(&mut taken.in_hand) {
            self.order.push_back(key);
        }
    }
}

fn bytes_of(key: &ValueKey, record: &ValueRecord) -> usize {
    TAKEN_BYTES + key.as_bytes().len() + record.value.len()
}

#[cfg(test)]
mod tests;
