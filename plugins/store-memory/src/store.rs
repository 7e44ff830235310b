//! The store: keys in shards, providers by number, all within a number of bytes.

use crate::config::Config;
use crate::providers::Providers;
use crate::room::Room;
use crate::scan::Place;
use crate::shard::{Entry, Put, Shard};
use crate::values::Values;
use hydra_api::{
    ContentKey, Cursor, DeleteProgress, Deleted, Deletion, Estimate, EstimateMethod, Found, Inserted,
    KeyProvider, OpenError, Page, Plugin, Provider, ProviderRecord, ProviderStore, PurgeProgress, Purged,
    RecordOutcome, Scope, Store, StoreError, StoreProfile, UnixSeconds, ValueStore, async_trait,
};
use std::hash::BuildHasher;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Parts of the keys, each with a lock and a table of its own: one that grows holds up few others.
const SHARDS: usize = 256;

const CONCURRENCY_MAX: NonZeroUsize = NonZeroUsize::new(64).unwrap();
const BATCH_LEN_MAX: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// Value records may take this part of the memory.
const VALUES_PART: u64 = 4;

/// Keeps records in memory. See the README for what it does when memory is used up.
#[derive(Debug)]
pub struct Memory {
    shards: Vec<Mutex<Shard>>,
    hasher: std::hash::RandomState,
    providers: Providers,
    room: Arc<Room>,
    values: Values,
    records: AtomicU64,
    providers_per_key_max: usize,
    turn: AtomicUsize,
    purged_shard: AtomicUsize,
    /// The date of the last purge, which is sure: that of an insert may be of a clock that jumped.
    purged_at: AtomicU32,
    /// What purges lower later expiries to.
    latest: AtomicU32,
    closed: AtomicBool,
    /// Marks the cursors of this store: they end with it.
    id: u64,
}

impl Plugin for Memory {
    type Role = Store;
    type Config = Config;
    const KIND: &'static str = "memory";
    const SUMMARY: &'static str = "keeps records in memory, bounded in bytes; gone after a restart";

    async fn open(config: Config, _scope: &Scope) -> Result<Arc<dyn ProviderStore>, OpenError> {
        Ok(Arc::new(Self::new(&config)))
    }
}

impl Memory {
    /// An empty store.
    pub fn new(config: &Config) -> Self {
        let hasher = std::hash::RandomState::new();
        let room = Arc::new(Room::of(config.bytes_max()));
        Self {
            values: Values::new(room.clone(), config.bytes_max() / VALUES_PART),
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::new())).collect(),
            id: hasher.hash_one("id"),
            hasher,
            providers: Providers::new(),
            room,
            records: AtomicU64::new(0),
            providers_per_key_max: config.providers_per_key_max as usize,
            turn: AtomicUsize::new(0),
            purged_shard: AtomicUsize::new(0),
            purged_at: AtomicU32::new(0),
            latest: AtomicU32::new(u32::MAX),
            closed: AtomicBool::new(false),
        }
    }

    /// Bytes that the records take now, by the store's own books.
    pub fn bytes_used(&self) -> u64 {
        self.room.used()
    }

    fn open_for(&self, operation: &'static str) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Acquire) { Err(StoreError::closed(operation)) } else { Ok(()) }
    }

    fn shard_of(&self, key: &ContentKey) -> MutexGuard<'_, Shard> {
        self.shard(self.hasher.hash_one(key) as usize % SHARDS)
    }

    fn shard(&self, number: usize) -> MutexGuard<'_, Shard> {
        self.shards[number].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks a shard first and a part of the providers then, never the other way round. Room is made with what had expired at the
    /// last purge alone (rule S23).
    fn put(&self, record: &ProviderRecord, now: UnixSeconds) -> Put {
        let mut shard = self.shard_of(&record.key);
        let put = self.put_in(&mut shard, record, now);
        let purged_at = UnixSeconds(self.purged_at.load(Ordering::Relaxed));
        if put != Put::NoRoom || !shard.has_expired(purged_at) {
            return put;
        }
        self.prune(&mut shard, purged_at, u64::MAX);
        self.put_in(&mut shard, record, now)
    }

    fn put_in(&self, shard: &mut Shard, record: &ProviderRecord, now: UnixSeconds) -> Put {
        let ProviderRecord { key, provider, addresses, expires } = record;
        // Held before it is looked for, so that nobody forgets the provider in between.
        let number = match self.providers.hold(provider) {
            Some(number) => number,
            // Nobody would ever see it.
            None if *expires <= now => return Put::Refreshed,
            None => match self.providers.add(provider, addresses, now, &self.room) {
                Some(number) => number,
                None => return Put::NoRoom,
            },
        };
        let put = if *expires <= now && !shard.has(key, number) {
            Put::Refreshed
        } else {
            let entry = Entry { provider: number, expires: *expires };
            shard.put(key, entry, self.providers_per_key_max, &self.room)
        };
        // A record that has no room leaves the addresses of its provider as they are (rule S17).
        if put != Put::NoRoom {
            self.providers.tell(number, addresses, now, &self.room);
        }
        if put == Put::New {
            self.records.fetch_add(1, Ordering::Relaxed);
        } else {
            self.providers.let_go(number, &self.room);
        }
        put
    }

    fn prune(&self, shard: &mut Shard, now: UnixSeconds, limit: u64) -> u64 {
        let removed = shard.prune(now, limit, &self.providers, &self.room);
        self.records.fetch_sub(removed, Ordering::Relaxed);
        removed
    }

    fn remove(&self, deletion: Deletion, limit: usize) -> Deleted {
        let key = deletion.key();
        let mut shard = self.shard_of(key);
        let provider = match deletion {
            Deletion::Key(_) => None,
            Deletion::Record(_, peer) => match self.providers.number(&peer) {
                Some(number) => Some(number),
                None => return Deleted::new(0, DeleteProgress::Done),
            },
        };
        let removed = shard.remove(key, provider, limit, &self.room);
        removed.iter().for_each(|entry| self.providers.let_go(entry.provider, &self.room));
        let removed = removed.len() as u64;
        self.records.fetch_sub(removed, Ordering::Relaxed);
        let is_done = provider.is_some() || shard.len_of(key) == 0;
        Deleted::new(removed, if is_done { DeleteProgress::Done } else { DeleteProgress::More })
    }

    /// A page from a place on, and where the next one begins.
    fn page(&self, mut place: Place, now: UnixSeconds, limit: usize) -> Page {
        let mut records = Vec::new();
        loop {
            let shard = self.shard(usize::from(place.shard));
            let part = shard.part(place.after.as_ref(), now, limit - records.len());
            records.extend(part.entries.into_iter().filter_map(|(key, number, expires)| {
                let provider = self.provider(Entry { provider: number, expires })?;
                Some(KeyProvider { key, provider })
            }));
            place.after = part.after;
            if place.after.is_none() {
                match place.shard.checked_add(1) {
                    Some(next) => place.shard = next,
                    None => return Page::new(records, None),
                }
            }
            if place.after.is_some() || records.len() == limit {
                return Page::new(records, place.encode());
            }
        }
    }

    /// The provider of an entry, under the lock of the entry's shard: a provider is not forgotten, nor its number given
    /// away, while an entry holds it.
    fn provider(&self, entry: Entry) -> Option<Provider> {
        let known = self.providers.find(entry.provider)?;
        let (peer, addresses, addresses_at) = (known.peer, known.addresses, known.addresses_at);
        Some(Provider { peer, addresses, addresses_at, expires: entry.expires })
    }

    fn living(&self, key: &ContentKey, now: UnixSeconds, limit: usize) -> Vec<Provider> {
        let turn = self.turn.fetch_add(limit, Ordering::Relaxed);
        let shard = self.shard_of(key);
        let living = shard.living(key, now, limit, turn);
        living.into_iter().filter_map(|entry| self.provider(entry)).collect()
    }
}

#[async_trait]
impl ProviderStore for Memory {
    fn profile(&self) -> StoreProfile {
        StoreProfile::builder()
            .concurrency_max(CONCURRENCY_MAX)
            .read_batch_len_max(BATCH_LEN_MAX)
            .write_batch_len_max(BATCH_LEN_MAX)
            .build()
    }

    async fn insert(&self, batch: Arc<[ProviderRecord]>, now: UnixSeconds) -> Result<Inserted, StoreError> {
        self.open_for("insert")?;
        let outcome = |record| match self.put(record, now) {
            Put::New | Put::Refreshed => RecordOutcome::Taken,
            Put::NoRoom => RecordOutcome::NoRoom,
        };
        Ok(Inserted::of(batch.iter().map(outcome).collect()))
    }

    async fn providers(
        &self,
        keys: Arc<[ContentKey]>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Vec<Found>, StoreError> {
        self.open_for("providers")?;
        Ok(keys.iter().map(|key| Found::Known(self.living(key, now, limit.get() as usize))).collect())
    }

    async fn purge_expired(&self, now: UnixSeconds, limit: NonZeroU32) -> Result<Purged, StoreError> {
        self.open_for("purge_expired")?;
        self.purged_at.store(now.0, Ordering::Relaxed);
        let limit = u64::from(limit.get());
        let mut removed = 0;
        let first = self.purged_shard.load(Ordering::Relaxed);
        for step in 0..SHARDS {
            let number = (first + step) % SHARDS;
            let mut shard = self.shard(number);
            shard.expire_by(UnixSeconds(self.latest.load(Ordering::Relaxed)));
            if shard.has_expired(now) {
                removed += self.prune(&mut shard, now, limit - removed);
            }
            // One that still has expired records is where the next step goes on.
            if shard.has_expired(now) || removed == limit {
                self.purged_shard.store(number, Ordering::Relaxed);
                return Ok(Purged::new(removed, PurgeProgress::More));
            }
        }
        Ok(Purged::new(removed, PurgeProgress::Done))
    }

    fn expire_by(&self, latest: UnixSeconds) {
        self.latest.store(latest.0, Ordering::Relaxed);
    }

    async fn estimate(&self) -> Result<Estimate, StoreError> {
        self.open_for("estimate")?;
        let records = self.records.load(Ordering::Relaxed);
        Ok(Estimate::new(records, Duration::ZERO, EstimateMethod::Counted))
    }

    async fn delete(&self, deletion: Deletion, limit: NonZeroU32) -> Result<Deleted, StoreError> {
        self.open_for("delete")?;
        Ok(self.remove(deletion, limit.get() as usize))
    }

    async fn scan(
        &self,
        from: Option<Cursor>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Page, StoreError> {
        self.open_for("scan")?;
        let place = match from {
            None => Place { store: self.id, shard: 0, after: None },
            Some(cursor) => {
                Place::decode(&cursor, self.id).ok_or_else(|| StoreError::foreign_cursor("scan"))?
            }
        };
        Ok(self.page(place, now, limit.get() as usize))
    }

    fn values(&self) -> Option<&dyn ValueStore> {
        Some(&self.values)
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.values.close();
        self.closed.store(true, Ordering::Release);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
