//! Value records: one per key, in parts with a lock each.

use crate::room::Room;
use crate::scan::Place;
use bytes::Bytes;
use hydra_api::value::{FoundValue, PutOutcome, ValueEstimate, ValueKey, ValuePage, ValuePut, ValueRecord};
use hydra_api::{
    ContentKey, Cursor, PurgeProgress, Purged, StoreError, UnixSeconds, ValueStore, async_trait,
};
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const PARTS: usize = 64;

/// Records of a page, whatever its limit.
const PAGE_LEN_MAX: usize = 1024;

/// Bytes of a record beside its value: its place in the table with the slack of the table, and the header of the buffer.
const RECORD_BYTES: u64 = 320;

/// The value records of a store.
#[derive(Debug)]
pub(crate) struct Values {
    parts: Vec<Mutex<HashMap<ValueKey, ValueRecord>>>,
    hasher: std::hash::RandomState,
    room: Arc<Room>,
    /// What of it they may take: names cost who makes them up nothing, and providers must find room beside them.
    share: Room,
    records: AtomicU64,
    /// Of keys and values.
    bytes: AtomicU64,
    purged_part: AtomicUsize,
    /// What cursors of scans of these records name.
    id: u64,
    closed: AtomicBool,
}

impl Values {
    /// Values that take up to `bytes_max` of the room.
    pub(crate) fn new(room: Arc<Room>, bytes_max: u64) -> Self {
        Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            id: std::hash::RandomState::new().hash_one(()),
            hasher: std::hash::RandomState::new(),
            room,
            share: Room::of(bytes_max),
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            purged_part: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        }
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    fn open_for(&self, operation: &'static str) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Acquire) { Err(StoreError::closed(operation)) } else { Ok(()) }
    }

    fn part_of(&self, key: &ValueKey) -> MutexGuard<'_, HashMap<ValueKey, ValueRecord>> {
        self.part(self.hasher.hash_one(key) as usize % PARTS)
    }

    fn part(&self, number: usize) -> MutexGuard<'_, HashMap<ValueKey, ValueRecord>> {
        self.parts[number].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, put: &ValuePut, now: UnixSeconds) -> PutOutcome {
        let ValuePut { key, seen, record } = put;
        let mut part = self.part_of(key);
        let before = part.get(key);
        let live = before.filter(|record| record.expires > now).map(|record| &record.value);
        if live != seen.as_ref() {
            return PutOutcome::Changed;
        }
        let (taken, had) = (record.value.len() as u64, before.map(|record| record.value.len() as u64));
        let more = match had {
            Some(had) => taken.saturating_sub(had),
            None => taken + RECORD_BYTES,
        };
        if !self.take(more) {
            return PutOutcome::NoRoom;
        }
        let had = had.unwrap_or_else(|| {
            self.records.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(key.as_bytes().len() as u64, Ordering::Relaxed);
            0
        });
        self.give_back(had.saturating_sub(taken));
        self.bytes.fetch_add(taken, Ordering::Relaxed);
        self.bytes.fetch_sub(had, Ordering::Relaxed);
        // In a buffer of its own: the one that came in may be part of a whole message.
        let value = Bytes::copy_from_slice(&record.value);
        part.insert(*key, ValueRecord { value, ..*record });
        PutOutcome::Stored
    }

    fn take(&self, bytes: u64) -> bool {
        if !self.share.take(bytes) {
            return false;
        }
        let is_taken = self.room.take(bytes);
        if !is_taken {
            self.share.give_back(bytes);
        }
        is_taken
    }

    fn give_back(&self, bytes: u64) {
        self.share.give_back(bytes);
        self.room.give_back(bytes);
    }

    fn forget(&self, key: &ValueKey, record: &ValueRecord) {
        let value = record.value.len() as u64;
        self.give_back(value + RECORD_BYTES);
        self.records.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(key.as_bytes().len() as u64 + value, Ordering::Relaxed);
    }

    /// Up to `limit` live records of a part after a key, in the order of their keys, and whether these are all.
    fn after(
        &self,
        number: usize,
        after: Option<&[u8]>,
        now: UnixSeconds,
        limit: usize,
    ) -> (Vec<(ValueKey, ValueRecord)>, bool) {
        let part = self.part(number);
        let is_after = |key: &ValueKey| after.is_none_or(|after| key.as_bytes() > after);
        let mut live: Vec<_> =
            part.iter().filter(|(key, record)| is_after(key) && record.expires > now).collect();
        let is_all = live.len() <= limit;
        live.sort_unstable_by_key(|(key, _)| **key);
        (live.into_iter().take(limit).map(|(key, record)| (*key, record.clone())).collect(), is_all)
    }

    /// Removes up to `limit` expired records of a part; how many, and whether none is left.
    fn prune(&self, number: usize, now: UnixSeconds, limit: u64) -> (u64, bool) {
        let mut part = self.part(number);
        let (mut removed, mut is_done) = (0, true);
        part.retain(|key, record| {
            if record.expires > now {
                return true;
            }
            if removed == limit {
                is_done = false;
                return true;
            }
            removed += 1;
            self.forget(key, record);
            false
        });
        (removed, is_done)
    }
}

#[async_trait]
impl ValueStore for Values {
    async fn get(&self, keys: Arc<[ValueKey]>, now: UnixSeconds) -> Result<Vec<FoundValue>, StoreError> {
        self.open_for("get")?;
        let found = |key| {
            let part = self.part_of(key);
            FoundValue::Known(part.get(key).filter(|record| record.expires > now).cloned())
        };
        Ok(keys.iter().map(found).collect())
    }

    async fn put_if(&self, batch: Arc<[ValuePut]>, now: UnixSeconds) -> Result<Vec<PutOutcome>, StoreError> {
        self.open_for("put_if")?;
        Ok(batch.iter().map(|put| self.put(put, now)).collect())
    }

    async fn purge_values(&self, now: UnixSeconds, limit: NonZeroU32) -> Result<Purged, StoreError> {
        self.open_for("purge_values")?;
        let limit = u64::from(limit.get());
        let first = self.purged_part.load(Ordering::Relaxed);
        let mut removed = 0;
        for step in 0..PARTS {
            let number = (first + step) % PARTS;
            let (of_part, is_done) = self.prune(number, now, limit - removed);
            removed += of_part;
            if !is_done {
                self.purged_part.store(number, Ordering::Relaxed);
                return Ok(Purged::new(removed, PurgeProgress::More));
            }
        }
        Ok(Purged::new(removed, PurgeProgress::Done))
    }

    async fn estimate_values(&self) -> Result<ValueEstimate, StoreError> {
        self.open_for("estimate_values")?;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Ok(ValueEstimate::new(load(&self.records), load(&self.bytes), Duration::ZERO))
    }

    async fn delete_values(&self, keys: Arc<[ValueKey]>) -> Result<u64, StoreError> {
        self.open_for("delete_values")?;
        let removed = |key| {
            let mut part = self.part_of(key);
            let record = part.remove(key);
            record.inspect(|record| self.forget(key, record)).is_some()
        };
        Ok(keys.iter().filter(|key| removed(key)).count() as u64)
    }

    /// One part after another, each in the order of its keys.
    async fn scan_values(
        &self,
        from: Option<Cursor>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<ValuePage, StoreError> {
        self.open_for("scan_values")?;
        let place = match &from {
            None => Place { store: self.id, shard: 0, after: None },
            Some(cursor) => {
                let place = Place::decode(cursor, self.id).filter(|place| usize::from(place.shard) < PARTS);
                place.ok_or_else(|| StoreError::foreign_cursor("scan_values"))?
            }
        };
        let limit = (limit.get() as usize).min(PAGE_LEN_MAX);
        let (mut records, mut after) = (Vec::new(), place.after.map(|(key, _)| key));
        for shard in place.shard..PARTS as u8 {
            let left = limit - records.len();
            let (of_part, is_all) =
                self.after(shard.into(), after.take().as_ref().map(ContentKey::as_bytes), now, left);
            let last = of_part.last().and_then(|(key, _)| ContentKey::new(key.as_bytes()).ok());
            records.extend(of_part);
            let is_last_part = usize::from(shard) + 1 == PARTS;
            let place = match is_all {
                false => Place { store: self.id, shard, after: last.map(|key| (key, 0)) },
                true if is_last_part => break,
                true => Place { store: self.id, shard: shard + 1, after: None },
            };
            if records.len() == limit {
                return Ok(ValuePage::new(records, place.encode()));
            }
        }
        Ok(ValuePage::new(records, None))
    }
}
