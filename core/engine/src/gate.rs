//! The store gate: a small number of permits, and a short line for them.

use crate::flights::Flight;
use crate::lock;
use hydra_api::admission::Level;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// Hands out permits. Who finds none may wait: reads newest first and not for long, chores oldest first until their
/// turn comes. When both wait they take turns, so that neither starves. A read whose turn it is may take others along
/// that wait: one statement reads for all of them.
pub(crate) struct Gate {
    line: Mutex<Line>,
    limit: u32,
    waiting_len_max: usize,
    // Copies of what stands in `line`, to be read without the lock.
    in_flight: AtomicU32,
    waiting: AtomicU32,
    /// The longest line since it was last asked for.
    waiting_peak: AtomicU32,
    released: AtomicU64,
    turned_away: AtomicU64,
}

#[derive(Default)]
struct Line {
    free: u32,
    next: u64,
    reads: BTreeMap<u64, Reader>,
    chores: BTreeMap<u64, oneshot::Sender<Permit>>,
    last_was_chore: bool,
}

/// A read in line: how to tell it that its turn has come, and what it is to read.
struct Reader {
    tell: oneshot::Sender<Permit>,
    flight: Arc<Flight>,
}

enum Lane {
    Reads(Arc<Flight>),
    Chores,
}

#[derive(Clone, Copy)]
enum Side {
    Reads,
    Chores,
}

/// The right to run one store call. Dropping it gives it to the next in line.
pub(crate) struct Permit {
    gate: Option<Arc<Gate>>,
}

impl Gate {
    pub(crate) fn new(limit: usize, waiting_len_max: usize) -> Arc<Self> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        Arc::new(Self {
            line: Mutex::new(Line { free: limit, ..Line::default() }),
            limit,
            waiting_len_max,
            in_flight: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            waiting_peak: AtomicU32::new(0),
            released: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
        })
    }

    /// A permit, if one is free. None is free while anybody waits.
    pub(crate) fn try_acquire(self: &Arc<Self>) -> Option<Permit> {
        if self.in_flight.load(Ordering::Relaxed) >= self.limit {
            return None;
        }
        self.take_free(&mut lock(&self.line))
    }

    /// A permit for a read, or nothing when none comes before `until`, newer reads push this one out of the line, or
    /// another read has taken it along: then the flight has departed.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the line; a permit that was on its way goes to the next.
    pub(crate) async fn acquire(self: &Arc<Self>, until: Instant, flight: &Arc<Flight>) -> Option<Permit> {
        let (_place, permit) = match self.enter(Lane::Reads(flight.clone())) {
            Entered::Permit(permit) => return Some(permit),
            Entered::Waiting(place, permit) => (place, permit),
        };
        timeout_at(until, permit).await.ok()?.ok()
    }

    /// A permit for a chore, however long it takes.
    ///
    /// # Cancel safety
    /// As [`Self::acquire`].
    pub(crate) async fn acquire_for_chore(self: &Arc<Self>) -> Permit {
        loop {
            let (_place, permit) = match self.enter(Lane::Chores) {
                Entered::Permit(permit) => return permit,
                Entered::Waiting(place, permit) => (place, permit),
            };
            // Nobody is turned away from this lane; should it ever happen, the chore lines up again.
            if let Ok(permit) = permit.await {
                return permit;
            }
        }
    }

    /// Takes at most `len` reads out of the line, the newest first, as departed.
    pub(crate) fn take_along(&self, len: usize) -> Vec<Arc<Flight>> {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        let mut line = lock(&self.line);
        let mut taken = Vec::with_capacity(len.min(line.reads.len()));
        while taken.len() < len {
            let Some((_, reader)) = line.reads.pop_last() else { break };
            reader.flight.depart();
            taken.push(reader);
        }
        self.waiting.store(line.reads.len() as u32, Ordering::Relaxed);
        drop(line);
        // They wake up here, without the lock, and see that they have departed.
        taken.into_iter().map(|reader| reader.flight).collect()
    }

    /// The longest line since the last call, as far as it was seen.
    pub(crate) fn take_waiting_peak(&self) -> Level {
        let Level { used, max } = self.waiting();
        Level { used: self.waiting_peak.swap(used, Ordering::Relaxed).max(used), max }
    }

    pub(crate) fn in_flight(&self) -> Level {
        Level { used: self.in_flight.load(Ordering::Relaxed), max: self.limit }
    }

    pub(crate) fn waiting(&self) -> Level {
        let max = u32::try_from(self.waiting_len_max).unwrap_or(u32::MAX);
        Level { used: self.waiting.load(Ordering::Relaxed), max }
    }

    /// How many store calls have ended, ever.
    pub(crate) fn released(&self) -> u64 {
        self.released.load(Ordering::Relaxed)
    }

    /// How many reads newer ones have pushed out of the line, ever.
    pub(crate) fn turned_away(&self) -> u64 {
        self.turned_away.load(Ordering::Relaxed)
    }

    fn take_free(self: &Arc<Self>, line: &mut Line) -> Option<Permit> {
        line.free = line.free.checked_sub(1)?;
        self.in_flight.store(self.limit - line.free, Ordering::Relaxed);
        Some(Permit { gate: Some(self.clone()) })
    }

    fn enter(self: &Arc<Self>, lane: Lane) -> Entered {
        let mut line = lock(&self.line);
        if let Some(permit) = self.take_free(&mut line) {
            return Entered::Permit(permit);
        }
        let (tell, permit) = oneshot::channel();
        let id = line.next;
        line.next += 1;
        let (side, pushed_out) = match lane {
            Lane::Chores => {
                line.chores.insert(id, tell);
                (Side::Chores, None)
            }
            Lane::Reads(flight) => {
                let full = line.reads.len() >= self.waiting_len_max;
                let oldest = if full { line.reads.pop_first() } else { None };
                line.reads.insert(id, Reader { tell, flight });
                let len = line.reads.len() as u32;
                self.waiting.store(len, Ordering::Relaxed);
                self.waiting_peak.fetch_max(len, Ordering::Relaxed);
                (Side::Reads, oldest)
            }
        };
        drop(line);
        if pushed_out.is_some() {
            self.turned_away.fetch_add(1, Ordering::Relaxed);
        }
        Entered::Waiting(Place { gate: self.clone(), side, id }, permit)
    }

    /// Passes a permit on, or keeps it when nobody waits.
    fn release(self: &Arc<Self>) {
        self.released.fetch_add(1, Ordering::Relaxed);
        loop {
            let mut line = lock(&self.line);
            let chore_first = line.reads.is_empty() || !line.last_was_chore;
            let next = if chore_first { line.chores.pop_first() } else { None };
            line.last_was_chore = next.is_some();
            let read = || line.reads.pop_last().map(|(_, reader)| reader.tell);
            let Some(next) = next.map(|(_, tell)| tell).or_else(read) else {
                line.free += 1;
                self.in_flight.store(self.limit - line.free, Ordering::Relaxed);
                return;
            };
            self.waiting.store(line.reads.len() as u32, Ordering::Relaxed);
            drop(line);
            match next.send(Permit { gate: Some(self.clone()) }) {
                Ok(()) => return,
                // Its receiver has just gone: the next one gets it, in this loop and not by the permit's drop.
                Err(mut permit) => permit.gate = None,
            }
        }
    }
}

enum Entered {
    Permit(Permit),
    Waiting(Place, oneshot::Receiver<Permit>),
}

/// A place in the line, left when it is dropped.
struct Place {
    gate: Arc<Gate>,
    side: Side,
    id: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut line = lock(&self.gate.line);
        let left = match self.side {
            Side::Reads => line.reads.remove(&self.id).map(|reader| reader.tell),
            Side::Chores => line.chores.remove(&self.id),
        };
        self.gate.waiting.store(line.reads.len() as u32, Ordering::Relaxed);
        drop(line);
        drop(left);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(gate) = self.gate.take() {
            gate.release();
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("in_flight", &self.in_flight())
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

#[cfg(test)]
mod tests;
