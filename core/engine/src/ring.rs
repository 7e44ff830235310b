//! Announcements that wait to be written.

use crate::lock;
use hydra_api::ProviderRecord;
use hydra_api::admission::Level;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::Notify;

/// A bounded queue, oldest first, with at most one entry for each (key, provider).
#[derive(Debug)]
pub(crate) struct Ring {
    queue: Mutex<Queue>,
    len_max: usize,
    bytes_max: usize,
    window_len: usize,
    /// A copy of the queue's length, to be read without the lock.
    len: AtomicU32,
    window_waits: Notify,
}

/// The index maps a hash of (key, provider) to the number of its entry; an entry's place is its number less that of
/// the first. Where two hashes meet, the older entry stays in the queue unindexed: it is written like any other.
#[derive(Debug, Default)]
struct Queue {
    entries: VecDeque<Waiting>,
    first: u64,
    index: HashMap<u64, u64>,
    hasher: RandomState,
    bytes: usize,
    /// Nothing new is taken; what was taken may still be given back.
    closed: bool,
}

/// An entry of the ring.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) record: ProviderRecord,
    /// How often writing it has failed.
    pub(crate) failures: u32,
}

/// How the ring took an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It waits.
    New,
    /// It has taken the place of an earlier one of the same key and provider.
    Merged,
    /// There was no room.
    Full,
    /// The ring takes nothing new any more.
    Closed,
}

impl Ring {
    pub(crate) fn new(len_max: usize, bytes_max: usize, window_len: usize) -> Self {
        Self {
            queue: Mutex::default(),
            len_max,
            bytes_max,
            window_len: window_len.min(len_max),
            len: AtomicU32::new(0),
            window_waits: Notify::new(),
        }
    }

    pub(crate) fn push(&self, record: ProviderRecord) -> Pushed {
        self.put(Waiting { record, failures: 0 }, Arrival::Newest)
    }

    /// Takes back what could not be written, unless something newer about the same key and provider waits already.
    pub(crate) fn give_back(&self, waiting: Waiting) -> Pushed {
        self.put(waiting, Arrival::Late)
    }

    fn put(&self, waiting: Waiting, arrival: Arrival) -> Pushed {
        let mut queue = lock(&self.queue);
        if queue.closed && arrival == Arrival::Newest {
            return Pushed::Closed;
        }
        let hash = queue.hash(&waiting.record);
        if let Some(known) = queue.find(hash, &waiting.record) {
            if arrival == Arrival::Newest {
                queue.replace(known, waiting.record, self.bytes_max);
            }
            return Pushed::Merged;
        }
        let bytes = size(&waiting.record);
        if queue.entries.len() >= self.len_max || queue.bytes + bytes > self.bytes_max {
            return Pushed::Full;
        }
        let number = queue.first + queue.entries.len() as u64;
        queue.index.insert(hash, number);
        queue.entries.push_back(waiting);
        queue.bytes += bytes;
        let len = queue.entries.len();
        self.len.store(len as u32, Ordering::Relaxed);
        drop(queue);
        if len == self.window_len {
            self.window_waits.notify_one();
        }
        Pushed::New
    }

    /// Takes nothing new from now on: once it is empty, it stays so but for what is given back.
    pub(crate) fn close(&self) {
        lock(&self.queue).closed = true;
    }

    /// The oldest entries, at most a window of them.
    pub(crate) fn take_window(&self) -> Vec<Waiting> {
        let mut queue = lock(&self.queue);
        let len = queue.entries.len().min(self.window_len);
        let mut window = Vec::with_capacity(len);
        for _ in 0..len {
            let Some(waiting) = queue.entries.pop_front() else { break };
            let hash = queue.hash(&waiting.record);
            if queue.index.get(&hash) == Some(&queue.first) {
                queue.index.remove(&hash);
            }
            queue.first += 1;
            queue.bytes -= size(&waiting.record);
            window.push(waiting);
        }
        self.len.store(queue.entries.len() as u32, Ordering::Relaxed);
        window
    }

    pub(crate) fn level(&self) -> Level {
        let max = u32::try_from(self.len_max).unwrap_or(u32::MAX);
        Level { used: self.len.load(Ordering::Relaxed), max }
    }

    pub(crate) fn bytes(&self) -> usize {
        lock(&self.queue).bytes
    }

    pub(crate) fn holds_window(&self) -> bool {
        self.level().used as usize >= self.window_len
    }

    /// Ends when a whole window waits.
    ///
    /// # Cancel safety
    /// A dropped future loses nothing: look at [`Self::holds_window`] first.
    pub(crate) async fn window_waits(&self) {
        while !self.holds_window() {
            self.window_waits.notified().await;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrival {
    Newest,
    Late,
}

impl Queue {
    fn hash(&self, record: &ProviderRecord) -> u64 {
        self.hasher.hash_one((record.key, record.provider))
    }

    fn find(&self, hash: u64, record: &ProviderRecord) -> Option<usize> {
        let place = usize::try_from(self.index.get(&hash)?.checked_sub(self.first)?).ok()?;
        let known = &self.entries.get(place)?.record;
        (known.key == record.key && known.provider == record.provider).then_some(place)
    }

    /// As if one had been written after the other: the later expiry wins, addresses replace those known if there are
    /// any. Addresses for which there is no room are left as they were.
    fn replace(&mut self, place: usize, newer: ProviderRecord, bytes_max: usize) {
        let Some(Waiting { record, failures }) = self.entries.get_mut(place) else { return };
        *failures = 0;
        record.expires = record.expires.max(newer.expires);
        let others = self.bytes - size(record);
        if !newer.addresses.is_empty() && others + size(&newer) <= bytes_max {
            record.addresses = newer.addresses;
            self.bytes = others + size(record);
        }
    }
}

/// About how many bytes an entry takes, its place in the index included.
fn size(record: &ProviderRecord) -> usize {
    size_of::<Waiting>() + 2 * size_of::<(u64, u64)>() + record.addresses.encoded().len()
}
