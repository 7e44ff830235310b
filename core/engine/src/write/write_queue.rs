//! Announcements that wait to be written, or are being written.

mod entries;
mod present;

use crate::memory_share::{CurrentShare, MemoryShare};
use crate::sync::lock;
use entries::{Entries, size};
use hydra_api::admission::Level;
use hydra_api::{ContentKey, PeerId, ProviderRecord};
use present::Present;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use tokio::sync::Notify;

/// How many entries are looked after under one lock.
const LOCKED_MAX: usize = 64;

/// The part of the queue that records of a part of the store that is away may keep from others: half, so that neither is kept
/// from the greater part of it, whichever part of the store is away.
const AWAY_PART: usize = 2;

/// The part of a window that such records get while others fill it: a quarter. They are most likely tried in vain.
const AWAY_WINDOW_PART: usize = 4;

/// A bounded queue, oldest first, with at most one entry for each (key, provider) that no store call is writing.
///
/// An entry stays here until the store has it or it is given up: reads find it, and it counts in the bounds. The oldest
/// entries, the *window in hand*, are those being written.
///
/// Records of which the store could say nothing while it answered for others wait for a part of it that is *away*: however many
/// they are, half of the queue and most of each window is for the others (ADR 20).
#[derive(Debug)]
pub(crate) struct WriteQueue {
    queue: Mutex<Queue>,
    present: Present,
    hasher: RandomState,
    // As configured.
    len_configured: usize,
    bytes_configured: usize,
    window_configured: usize,
    /// The share of them that is used.
    share: CurrentShare,
    // Copies of what is in `queue`, to be read without the lock.
    len: AtomicU32,
    away: AtomicU32,
    bytes: AtomicU64,
    away_bytes: AtomicU64,
    ready: AtomicU32,
    /// Records of the window in hand that have a fate already, and how many windows there were: that of a call which outlasts
    /// its window is not known.
    settled: Mutex<Settled>,
    window_waits: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    /// Those that were not tried yet, or failed with all others.
    fresh: Entries,
    /// Those that wait for a part of the store.
    away: Entries,
    /// Nothing new is taken; what was taken may still be tried again.
    closed: bool,
}

#[derive(Debug, Default)]
struct Settled {
    window: u64,
    records: u32,
}

/// How often a record was tried in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tries {
    /// Its batch failed while others did not, or the store panicked on it alone: it may be the cause.
    pub(crate) failures: u16,
}

/// Under which an entry is found: computed once, as long keys take a while.
#[derive(Debug, Clone, Copy)]
struct Hashes {
    key: u64,
    /// Of the key and the provider.
    record: u64,
}

/// A record of the window in hand.
#[derive(Debug, Clone)]
pub(crate) struct InHand {
    pub(crate) record: ProviderRecord,
    pub(crate) tries: Tries,
    /// Its place in the window.
    pub(crate) place: usize,
}

/// What became of a record of the window in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is written, and leaves the queue.
    Done,
    /// It is given up, and leaves the queue.
    Dropped,
    /// It is tried again with a later window.
    Again(Tries),
    /// As this, once its part of the store is back.
    Away(Tries),
}

/// How the queue took an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It waits.
    New,
    /// It waits, behind one of the same key and provider that is being written.
    Following,
    /// It has replaced an earlier one of the same key and provider.
    Merged,
    /// There was no room.
    Full,
    /// The queue takes nothing new any more.
    Closed,
}

impl WriteQueue {
    pub(crate) fn new(len_max: usize, bytes_max: usize, window_len: usize) -> Self {
        Self {
            queue: Mutex::default(),
            present: Present::new(len_max),
            hasher: RandomState::new(),
            len_configured: len_max,
            bytes_configured: bytes_max,
            window_configured: window_len,
            share: CurrentShare::default(),
            len: AtomicU32::new(0),
            away: AtomicU32::new(0),
            bytes: AtomicU64::new(0),
            away_bytes: AtomicU64::new(0),
            ready: AtomicU32::new(0),
            settled: Mutex::default(),
            window_waits: Notify::new(),
        }
    }

    /// Uses this share of the configured room from now on. What was accepted stays until it is written: a queue that has more takes
    /// nothing new until then. Unused memory is given back.
    pub(crate) fn set_share(&self, share: MemoryShare) {
        if !self.share.set(share) {
            return;
        }
        let len_max = self.len_max();
        let mut queue = lock(&self.queue);
        queue.fresh.shrink_to(len_max);
        queue.away.shrink_to(len_max / AWAY_PART);
        drop(queue);
        // Windows are smaller now, and a whole one may wait.
        self.window_waits.notify_one();
    }

    fn len_max(&self) -> usize {
        self.share.get().of_len(self.len_configured)
    }

    /// The limit of the size in bytes.
    pub(crate) fn bytes_max(&self) -> usize {
        self.share.get().of_len(self.bytes_configured)
    }

    fn window_len(&self) -> usize {
        self.window_configured.min(self.len_max())
    }

    /// Takes a record. Those that give way to it are added to `evicted`: they wait for a part of the store, and have more than
    /// their part of the queue.
    pub(crate) fn push(&self, record: ProviderRecord, evicted: &mut Vec<ProviderRecord>) -> Pushed {
        let hashes = self.hashes(&record);
        let mut queue = lock(&self.queue);
        if queue.closed {
            return Pushed::Closed;
        }
        let Some(record) = queue.merge(record, hashes, self.bytes_max(), Entries::merge) else {
            self.record(&queue);
            return Pushed::Merged;
        };
        let has_room = self.make_room(&mut queue, size(&record), evicted);
        let follows = self.present.may_have(hashes.key) && queue.newest(hashes, &record).is_some();
        if has_room {
            queue.fresh.append(record, Tries::default(), hashes, &self.present);
        }
        self.record(&queue);
        let ready = queue.fresh.ready();
        drop(queue);
        if has_room && ready == self.window_len() {
            self.window_waits.notify_one();
        }
        match (has_room, follows) {
            (true, false) => Pushed::New,
            (true, true) => Pushed::Following,
            (false, _) => Pushed::Full,
        }
    }

    /// What is accepted of a key and not known to be in the store: the newest first, one of each provider.
    pub(crate) fn pending(&self, key: &ContentKey, len_max: NonZeroU32) -> Vec<ProviderRecord> {
        let hash = self.hasher.hash_one(key);
        if !self.present.may_have(hash) {
            return Vec::new();
        }
        let mut providers: HashSet<PeerId> = HashSet::new();
        let queue = lock(&self.queue);
        let known = queue.fresh.of_key(hash).chain(queue.away.of_key(hash)).map(|waiting| &waiting.record);
        let newest = known.filter(|record| record.key == *key && providers.insert(record.provider));
        newest.take(len_max.get() as usize).cloned().collect()
    }

    /// Whether a record of this key and provider is accepted and not known to be in the store.
    pub(crate) fn has_pending(&self, record: &ProviderRecord) -> bool {
        let hashes = self.hashes(record);
        lock(&self.queue).newest(hashes, record).is_some()
    }

    /// Whether what was accepted last of this key and provider has other addresses, and is not known to be in the store.
    pub(crate) fn has_other_addresses(&self, record: &ProviderRecord) -> bool {
        let hashes = self.hashes(record);
        if record.addresses.is_empty() || !self.present.may_have(hashes.key) {
            return false;
        }
        let queue = lock(&self.queue);
        let known = queue.newest(hashes, record).map(|known| &known.addresses);
        known.is_some_and(|addresses| !addresses.is_empty() && *addresses != record.addresses)
    }

    /// Takes the oldest entries in hand, at most a window of them. Not to be called with a window in hand.
    pub(crate) fn take_window(&self) -> Vec<InHand> {
        let window_len = self.window_len();
        let mut window = Vec::with_capacity(window_len.min(self.level().used as usize));
        let away_len = Self::away_len(&lock(&self.queue), window_len);
        type Part = fn(&mut Queue) -> &mut Entries;
        let parts: [(Part, usize); 2] =
            [(|queue| &mut queue.fresh, window_len - away_len), (|queue| &mut queue.away, away_len)];
        for (entries, len_max) in parts {
            let first = window.len();
            loop {
                let mut queue = lock(&self.queue);
                let (taken, place) = (window.len() - first, window.len());
                let more = entries(&mut queue).take_in_hand(len_max.min(taken + LOCKED_MAX));
                window.extend(more.enumerate().map(|(nth, waiting)| InHand {
                    record: waiting.record.clone(),
                    tries: waiting.tries,
                    place: place + nth,
                }));
                self.record(&queue);
                if window.len() == place || window.len() - first == len_max {
                    break;
                }
            }
        }
        window
    }

    /// How many records of a part that is away the next window has: its part of them, or as many as there is room for.
    fn away_len(queue: &Queue, window_len: usize) -> usize {
        let least = (window_len / AWAY_WINDOW_PART).max(1).min(window_len - 1);
        let room = window_len.saturating_sub(queue.fresh.len());
        queue.away.len().min(least.max(room))
    }

    /// The number of the window in hand.
    pub(crate) fn window(&self) -> u64 {
        lock(&self.settled).window
    }

    /// So many more records of this window have left for good, though they stay in the queue until its end.
    pub(crate) fn settle(&self, window: u64, records: usize) {
        let mut settled = lock(&self.settled);
        if settled.window == window {
            settled.records += level_of(records);
        }
    }

    /// How many records have been accepted and neither written nor given up.
    pub(crate) fn unwritten(&self) -> u32 {
        self.level().used.saturating_sub(lock(&self.settled).records)
    }

    /// Ends the window in hand: each record leaves the queue or goes to its end. Those without a fate stay where they are.
    pub(crate) fn finish_window(&self, fates: &[Fate]) {
        for fates in fates.chunks(LOCKED_MAX) {
            let mut queue = lock(&self.queue);
            for fate in fates {
                let was_fresh = queue.fresh.in_hand > 0;
                let popped = if was_fresh { queue.fresh.pop_first() } else { queue.away.pop_first() };
                let Some((waiting, was_last)) = popped else { break };
                let hashes = waiting.hashes;
                let again = match *fate {
                    Fate::Done | Fate::Dropped => None,
                    Fate::Again(tries) => Some((tries, was_fresh)),
                    Fate::Away(tries) => Some((tries, false)),
                };
                if let Some((tries, is_fresh)) = again
                    // Something newer about it may wait already.
                    && let Some(record) =
                        queue.merge(waiting.record, hashes, self.bytes_max(), Entries::merge_older)
                {
                    let Queue { fresh, away, .. } = &mut *queue;
                    let entries = if is_fresh { fresh } else { away };
                    entries.append(record, tries, hashes, &self.present);
                }
                // Not before: it is found all the time.
                if was_last {
                    self.present.remove(hashes.key);
                }
            }
            self.record(&queue);
        }
        let mut queue = lock(&self.queue);
        (queue.fresh.in_hand, queue.away.in_hand) = (0, 0);
        self.record(&queue);
        let mut settled = lock(&self.settled);
        *settled = Settled { window: settled.window + 1, records: 0 };
    }

    /// Takes nothing new from now on: once it is empty, it stays so.
    pub(crate) fn close(&self) {
        lock(&self.queue).closed = true;
    }

    pub(crate) fn level(&self) -> Level {
        Level { used: self.len.load(Ordering::Relaxed), max: level_of(self.len_max()) }
    }

    /// How many records wait for a part of the store that is away.
    pub(crate) fn away(&self) -> u32 {
        self.away.load(Ordering::Relaxed)
    }

    /// How full the queue is for what comes: without the records of a part that is away, and what they may keep of it. Where
    /// its memory is fuller than its places, as many of these count as used.
    pub(crate) fn open_level(&self) -> Level {
        let (Level { used, max }, away) = (self.level(), self.away());
        // Both are read once: the share may change meanwhile.
        let max = max - away.min(max / AWAY_PART as u32);
        let bytes_max = self.bytes_max();
        let (bytes, away_bytes) = (self.bytes(), self.away_bytes.load(Ordering::Relaxed));
        let bytes_max = bytes_max as u64 - away_bytes.min((bytes_max / AWAY_PART) as u64);
        let by_bytes = u64::from(max).saturating_mul(bytes.saturating_sub(away_bytes)) / bytes_max.max(1);
        Level { used: used.saturating_sub(away).max(by_bytes.min(max.into()) as u32), max }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Ends when a whole window waits.
    ///
    /// # Cancel safety
    /// A dropped future loses nothing: the length is looked at first.
    pub(crate) async fn window_waits(&self) {
        while (self.ready.load(Ordering::Relaxed) as usize) < self.window_len() {
            self.window_waits.notified().await;
        }
    }

    /// Whether there is room for a record of so many bytes, as far as records of a part that is away give way: those that came
    /// or were tried last, until all of them have their part of the queue.
    fn make_room(&self, queue: &mut Queue, bytes: usize, evicted: &mut Vec<ProviderRecord>) -> bool {
        let (len_max, bytes_max) = (self.len_max(), self.bytes_max());
        let is_full = |queue: &Queue| queue.len() >= len_max || queue.bytes() + bytes > bytes_max;
        let kept = (queue.away.len().min(len_max / AWAY_PART), queue.away.bytes.min(bytes_max / AWAY_PART));
        if queue.fresh.len() + kept.0 >= len_max || queue.fresh.bytes + kept.1 + bytes > bytes_max {
            return false;
        }
        // No more of them than it takes the place of: while a smaller share of the room is used the queue shrinks as it is written.
        let mut given_up = 0;
        while is_full(queue) && (evicted.is_empty() || given_up < bytes) && evicted.len() < LOCKED_MAX {
            let Some(record) = queue.away.evict_last(&self.present) else { return false };
            given_up += size(&record);
            evicted.push(record);
        }
        true
    }

    fn record(&self, queue: &Queue) {
        self.len.store(queue.len() as u32, Ordering::Relaxed);
        self.away.store(queue.away.len() as u32, Ordering::Relaxed);
        self.ready.store(queue.fresh.ready() as u32, Ordering::Relaxed);
        self.bytes.store(queue.bytes() as u64, Ordering::Relaxed);
        self.away_bytes.store(queue.away.bytes as u64, Ordering::Relaxed);
    }

    fn hashes(&self, record: &ProviderRecord) -> Hashes {
        Hashes {
            key: self.hasher.hash_one(record.key),
            record: self.hasher.hash_one((record.key, record.provider)),
        }
    }
}

fn level_of(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

impl Queue {
    fn len(&self) -> usize {
        self.fresh.len() + self.away.len()
    }

    fn bytes(&self) -> usize {
        self.fresh.bytes + self.away.bytes
    }

    /// What was accepted last of this key and provider.
    fn newest(&self, hashes: Hashes, record: &ProviderRecord) -> Option<&ProviderRecord> {
        let Self { fresh, away, .. } = self;
        fresh.newest(hashes.record, record).or_else(|| away.newest(hashes.record, record))
    }

    /// Merges a record with the one of its key and provider that waits. Gives it back if none does.
    fn merge(
        &mut self,
        record: ProviderRecord,
        hashes: Hashes,
        bytes_max: usize,
        merge: impl Fn(&mut Entries, usize, ProviderRecord, usize),
    ) -> Option<ProviderRecord> {
        let Self { fresh, away, .. } = self;
        let others = [away.bytes, fresh.bytes];
        for (entries, others) in [fresh, away].into_iter().zip(others) {
            if let Some(place) = entries.find_waiting(hashes.record, &record) {
                merge(entries, place, record, bytes_max.saturating_sub(others));
                return None;
            }
        }
        Some(record)
    }
}

#[cfg(test)]
mod tests;
