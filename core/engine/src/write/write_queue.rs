//! Announcements that wait to be written, or are being written.

mod present;

use crate::sync::lock;
use hydra_api::admission::Level;
use hydra_api::{ContentKey, PeerId, ProviderRecord};
use nohash_hasher::IntMap;
use present::Present;
use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use tokio::sync::Notify;

/// How many entries are looked after under one lock.
const LOCKED_MAX: usize = 64;

/// A bounded queue, oldest first, with at most one entry for each (key, provider) that no store call is writing.
///
/// An entry stays here until the store has it or it is given up: reads find it, and it counts in the bounds. The oldest
/// entries, the *window in hand*, are those being written.
#[derive(Debug)]
pub(crate) struct WriteQueue {
    queue: Mutex<Queue>,
    present: Present,
    hasher: RandomState,
    len_max: usize,
    bytes_max: usize,
    window_len: usize,
    // Copies of what is in `queue`, to be read without the lock.
    len: AtomicU32,
    bytes: AtomicU64,
    ready: AtomicU32,
    /// Records of the window in hand that have a fate already.
    settled: AtomicU32,
    window_waits: Notify,
}

/// An entry's number is its place plus the number of the first. Where two hashes meet, the older entry stays in the queue
/// unindexed: it is written like any other.
#[derive(Debug, Default)]
struct Queue {
    entries: VecDeque<Waiting>,
    first: u64,
    /// How many of the first entries are in hand.
    in_hand: usize,
    /// The number of the newest entry by a hash of (key, provider).
    records: IntMap<u64, u64>,
    /// The number of the newest entry by a hash of the key.
    keys: IntMap<u64, u64>,
    bytes: usize,
    /// Nothing new is taken; what was taken may still be tried again.
    closed: bool,
}

/// How often a record was tried in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tries {
    /// Its batch failed while others did not, or the store panicked on it alone: it may be the cause.
    pub(crate) failures: u16,
}

/// An entry of the queue.
#[derive(Debug, Clone)]
struct Waiting {
    record: ProviderRecord,
    tries: Tries,
    hashes: Hashes,
    /// The number of the entry before it with the same hash of its key.
    before: Option<u64>,
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
}

/// How the queue took an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It waits.
    New,
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
            len_max,
            bytes_max,
            window_len: window_len.min(len_max),
            len: AtomicU32::new(0),
            bytes: AtomicU64::new(0),
            ready: AtomicU32::new(0),
            settled: AtomicU32::new(0),
            window_waits: Notify::new(),
        }
    }

    pub(crate) fn push(&self, record: ProviderRecord) -> Pushed {
        let hashes = self.hashes(&record);
        let mut queue = lock(&self.queue);
        if queue.closed {
            return Pushed::Closed;
        }
        if let Some(place) = queue.find_waiting(hashes.record, &record) {
            queue.merge(place, record, self.bytes_max);
            self.note(&queue);
            return Pushed::Merged;
        }
        let bytes = size(&record);
        if queue.entries.len() >= self.len_max || queue.bytes + bytes > self.bytes_max {
            return Pushed::Full;
        }
        self.present.add(hashes.key);
        queue.append(record, Tries::default(), hashes);
        self.note(&queue);
        let ready = queue.entries.len() - queue.in_hand;
        drop(queue);
        if ready == self.window_len {
            self.window_waits.notify_one();
        }
        Pushed::New
    }

    /// What is accepted of a key and not known to be in the store: the newest first, one of each provider.
    pub(crate) fn pending(&self, key: &ContentKey, len_max: NonZeroU32) -> Vec<ProviderRecord> {
        let hash = self.hasher.hash_one(key);
        if !self.present.may_have(hash) {
            return Vec::new();
        }
        let (mut found, mut providers): (Vec<ProviderRecord>, HashSet<PeerId>) = Default::default();
        let queue = lock(&self.queue);
        let mut next = queue.keys.get(&hash).copied();
        while let Some(waiting) = next.and_then(|number| queue.get(number)) {
            if found.len() >= len_max.get() as usize {
                break;
            }
            let record = &waiting.record;
            if record.key == *key && providers.insert(record.provider) {
                found.push(record.clone());
            }
            next = waiting.before;
        }
        found
    }

    /// Whether a record of this key and provider is accepted and not known to be in the store.
    pub(crate) fn has_pending(&self, key: &ContentKey, provider: &PeerId) -> bool {
        let queue = lock(&self.queue);
        let newest = queue.records.get(&self.hasher.hash_one((key, provider)));
        let waiting = newest.and_then(|number| queue.get(*number));
        waiting.is_some_and(|waiting| waiting.record.key == *key && waiting.record.provider == *provider)
    }

    /// Whether what was accepted last of this key and provider has other addresses, and is not known to be in the store.
    pub(crate) fn has_other_addresses(&self, record: &ProviderRecord) -> bool {
        let hashes = self.hashes(record);
        if record.addresses.is_empty() || !self.present.may_have(hashes.key) {
            return false;
        }
        let queue = lock(&self.queue);
        let newest = queue.records.get(&hashes.record).and_then(|number| queue.get(*number));
        newest.is_some_and(|Waiting { record: known, .. }| {
            let same = known.key == record.key && known.provider == record.provider;
            same && !known.addresses.is_empty() && known.addresses != record.addresses
        })
    }

    /// Takes the oldest entries in hand, at most a window of them. Not to be called with a window in hand.
    pub(crate) fn take_window(&self) -> Vec<InHand> {
        let mut window = Vec::with_capacity(self.window_len.min(self.level().used as usize));
        loop {
            let mut queue = lock(&self.queue);
            let end = queue.entries.len().min(self.window_len).min(window.len() + LOCKED_MAX);
            window.extend(queue.entries.range(window.len()..end).enumerate().map(|(nth, waiting)| InHand {
                record: waiting.record.clone(),
                tries: waiting.tries,
                place: queue.in_hand + nth,
            }));
            let was_in_hand = std::mem::replace(&mut queue.in_hand, end);
            self.note(&queue);
            if end == was_in_hand || end == self.window_len {
                return window;
            }
        }
    }

    /// So many more records of the window in hand have left for good, though they stay in the queue until its end.
    pub(crate) fn settle(&self, records: u32) {
        self.settled.fetch_add(records, Ordering::Relaxed);
    }

    /// How many records have been accepted and neither written nor given up.
    pub(crate) fn unwritten(&self) -> u32 {
        self.level().used.saturating_sub(self.settled.load(Ordering::Relaxed))
    }

    /// Ends the window in hand: each record leaves the queue or goes to its end. Those without a fate stay where they are.
    pub(crate) fn finish_window(&self, fates: &[Fate]) {
        for fates in fates.chunks(LOCKED_MAX) {
            let mut queue = lock(&self.queue);
            for fate in fates {
                let Some(waiting) = queue.pop_first() else { break };
                let hashes = waiting.hashes;
                match *fate {
                    Fate::Done | Fate::Dropped => self.present.remove(hashes.key),
                    Fate::Again(tries) => match queue.find_waiting(hashes.record, &waiting.record) {
                        // Something newer about it waits already.
                        Some(place) => {
                            queue.merge_older(place, waiting.record, self.bytes_max);
                            self.present.remove(hashes.key);
                        }
                        None => queue.append(waiting.record, tries, hashes),
                    },
                }
            }
            self.note(&queue);
        }
        let mut queue = lock(&self.queue);
        queue.in_hand = 0;
        self.note(&queue);
        self.settled.store(0, Ordering::Relaxed);
    }

    /// Takes nothing new from now on: once it is empty, it stays so.
    pub(crate) fn close(&self) {
        lock(&self.queue).closed = true;
    }

    pub(crate) fn level(&self) -> Level {
        let max = u32::try_from(self.len_max).unwrap_or(u32::MAX);
        Level { used: self.len.load(Ordering::Relaxed), max }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Ends when a whole window waits.
    ///
    /// # Cancel safety
    /// A dropped future loses nothing: the length is looked at first.
    pub(crate) async fn window_waits(&self) {
        while (self.ready.load(Ordering::Relaxed) as usize) < self.window_len {
            self.window_waits.notified().await;
        }
    }

    fn note(&self, queue: &Queue) {
        self.len.store(queue.entries.len() as u32, Ordering::Relaxed);
        self.ready.store((queue.entries.len() - queue.in_hand) as u32, Ordering::Relaxed);
        self.bytes.store(queue.bytes as u64, Ordering::Relaxed);
    }

    fn hashes(&self, record: &ProviderRecord) -> Hashes {
        Hashes {
            key: self.hasher.hash_one(record.key),
            record: self.hasher.hash_one((record.key, record.provider)),
        }
    }
}

impl Queue {
    fn get(&self, number: u64) -> Option<&Waiting> {
        self.entries.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// The place of the entry of this key and provider that is not in hand.
    fn find_waiting(&self, hash: u64, record: &ProviderRecord) -> Option<usize> {
        let place = usize::try_from(self.records.get(&hash)?.checked_sub(self.first)?).ok()?;
        let known = &self.entries.get(place)?.record;
        let same = known.key == record.key && known.provider == record.provider;
        (same && place >= self.in_hand).then_some(place)
    }

    fn append(&mut self, record: ProviderRecord, tries: Tries, hashes: Hashes) {
        let number = self.first + self.entries.len() as u64;
        self.records.insert(hashes.record, number);
        let before = self.keys.insert(hashes.key, number);
        self.bytes += size(&record);
        self.entries.push_back(Waiting { record, tries, hashes, before });
    }

    fn pop_first(&mut self) -> Option<Waiting> {
        let waiting = self.entries.pop_front()?;
        let Hashes { key, record } = waiting.hashes;
        for (index, hash) in [(&mut self.records, record), (&mut self.keys, key)] {
            if index.get(&hash) == Some(&self.first) {
                index.remove(&hash);
            }
        }
        self.first += 1;
        self.in_hand = self.in_hand.saturating_sub(1);
        self.bytes -= size(&waiting.record);
        Some(waiting)
    }

    /// As if one had been written after the other: the later expiry wins, addresses replace those known if there are
    /// any. Addresses for which there is no room are left as they were.
    fn merge(&mut self, place: usize, newer: ProviderRecord, bytes_max: usize) {
        let Some(Waiting { record, tries, .. }) = self.entries.get_mut(place) else { return };
        *tries = Tries::default();
        record.expires = record.expires.max(newer.expires);
        if newer.addresses.is_empty() {
            return;
        }
        let others = self.bytes - size(record);
        if others + size(&newer) <= bytes_max {
            record.addresses = newer.addresses;
            self.bytes = others + size(record);
        }
    }

    /// As [`Self::merge`], with what waits being the newer one.
    fn merge_older(&mut self, place: usize, older: ProviderRecord, bytes_max: usize) {
        let Some(Waiting { record, .. }) = self.entries.get(place) else { return };
        let addresses = if record.addresses.is_empty() { older.addresses } else { record.addresses.clone() };
        let merged = ProviderRecord { addresses, ..older };
        self.merge(place, merged, bytes_max);
    }
}

/// About how many bytes an entry takes, its places in the indexes included.
fn size(record: &ProviderRecord) -> usize {
    size_of::<Waiting>() + 4 * size_of::<(u64, u64)>() + record.addresses.encoded().len()
}

#[cfg(test)]
mod tests;
