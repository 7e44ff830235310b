//! The store: keys in shards, providers by number, all within a number of bytes.

use crate::config::Config;
use crate::providers::Providers;
use crate::room::Room;
use crate::shard::{Entry, Put, Shard};
use hydra_api::{
    ContentKey, Estimate, EstimateMethod, Found, Inserted, OpenError, Plugin, Provider, ProviderRecord,
    ProviderStore, PurgeProgress, Purged, RecordOutcome, Scope, Store, StoreError, StoreProfile, UnixSeconds,
    async_trait,
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

/// Keeps records in memory. See the README for what it does when memory is used up.
#[derive(Debug)]
pub struct Memory {
    shards: Vec<Mutex<Shard>>,
    hasher: std::hash::RandomState,
    providers: Providers,
    room: Room,
    records: AtomicU64,
    providers_per_key_max: usize,
    turn: AtomicUsize,
    purged_shard: AtomicUsize,
    /// The date of the last purge, which is sure: that of an insert may be of a clock that jumped.
    purged_at: AtomicU32,
    closed: AtomicBool,
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
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::new())).collect(),
            hasher: std::hash::RandomState::new(),
            providers: Providers::new(),
            room: Room::of(config.bytes_max()),
            records: AtomicU64::new(0),
            providers_per_key_max: config.providers_per_key_max as usize,
            turn: AtomicUsize::new(0),
            purged_shard: AtomicUsize::new(0),
            purged_at: AtomicU32::new(0),
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
    /// last purge alone (rule S20).
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

    fn living(&self, key: &ContentKey, now: UnixSeconds, limit: usize) -> Vec<Provider> {
        let turn = self.turn.fetch_add(limit, Ordering::Relaxed);
        let shard = self.shard_of(key);
        // Under the shard's lock: a provider is not forgotten, nor its number given away, while an entry holds it.
        let provider = |entry: Entry| {
            let known = self.providers.find(entry.provider)?;
            let (peer, addresses, addresses_at) = (known.peer, known.addresses, known.addresses_at);
            Some(Provider { peer, addresses, addresses_at, expires: entry.expires })
        };
        shard.living(key, now, limit, turn).into_iter().filter_map(provider).collect()
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

    async fn estimate(&self) -> Result<Estimate, StoreError> {
        self.open_for("estimate")?;
        let records = self.records.load(Ordering::Relaxed);
        Ok(Estimate::new(records, Duration::ZERO, EstimateMethod::Counted))
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.closed.store(true, Ordering::Release);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
