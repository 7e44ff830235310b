//! What was taken is seen and kept while reads are late or fail, a refresh is refused, or the clock jumps.

use crate::doubles::{
    Mood, START, Store, addresses, caller, key, memory, millis, open, open_store, peer, permits,
};
use hydra_api::{
    ContentKey, Found, Inserted, ProviderRecord, ProviderStore, RecordOutcome, StoreError, StoreErrorKind,
    UnixSeconds, async_trait,
};
use hydra_conformance::doubles::{Behaviour, Double, UnknownForSome};
use hydra_engine::{Clock, Ending, Engine, NamedStore};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::sleep;

async fn stored(store: &dyn ProviderStore, key: &[u8]) -> usize {
    let key = ContentKey::new(key).unwrap();
    let found = store.providers([key].into(), START, NonZeroU32::MIN).await.unwrap();
    found[0].providers().len()
}

/// Reads as of the beginning and takes long; refuses records when told so.
#[derive(Debug)]
struct Slow {
    refuses: Arc<AtomicBool>,
}

#[async_trait]
impl Behaviour for Slow {
    async fn insert(
        &self,
        inner: &dyn ProviderStore,
        batch: Arc<[ProviderRecord]>,
        now: UnixSeconds,
    ) -> Result<Inserted, StoreError> {
        if self.refuses.load(Ordering::Relaxed) {
            return Ok(Inserted::of(vec![RecordOutcome::Refused("no".into()); batch.len()]));
        }
        inner.insert(batch, now).await
    }

    async fn providers(
        &self,
        inner: &dyn ProviderStore,
        keys: Arc<[ContentKey]>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Vec<Found>, StoreError> {
        let found = inner.providers(keys, now, limit).await;
        // Only the first one takes long.
        if !self.refuses.load(Ordering::Relaxed) {
            sleep(millis(3_000)).await;
        }
        found
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_written_during_a_flight_stays_when_a_refresh_of_it_is_refused() {
    let refuses = Arc::new(AtomicBool::new(false));
    let inner = memory();
    let store = Arc::new(Double::of(inner.clone(), Slow { refuses: refuses.clone() }));
    let engine = open_store(store, vec![], permits(4), None);
    let reading = tokio::spawn({
        let engine = engine.clone();
        async move { engine.providers(caller(0), &key(1)).await.unwrap() }
    });
    sleep(millis(5)).await;
    engine.announce(caller(1), &key(1), || addresses(1)).unwrap();
    sleep(millis(1_000)).await;
    assert_eq!(stored(&*inner, &key(1)).await, 1, "it is in the store");
    refuses.store(true, Ordering::Relaxed);
    assert_eq!(engine.announce(caller(1), &key(1), || addresses(1)), Ok(Ending::Served));
    sleep(millis(4_000)).await;
    drop(reading.await);
    let reply = engine.providers(caller(0), &key(1)).await.unwrap();
    let found: Vec<_> = reply.providers().iter().map(|provider| provider.peer).collect();
    assert_eq!(found, [peer(1)]);
}

/// Reads what was announced a moment before, ten times.
async fn each_is_seen(engine: &Engine) {
    let mut seen = Vec::new();
    for number in 0..10 {
        // Windows are written each half second: of some announcements while the read is under way.
        sleep(millis(50 * number)).await;
        assert_eq!(engine.announce(caller(1), &key(number), || addresses(1)), Ok(Ending::Served));
        let reply = engine.providers(caller(0), &key(number)).await.unwrap();
        seen.push((number, reply.ending, reply.source, reply.providers().len()));
        sleep(millis(5_000)).await;
    }
    assert!(seen.iter().all(|(_, _, _, len)| *len == 1), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_late_read_shows_what_its_flight_knows_was_taken() {
    let store = Store::new(4, 256);
    let engine = open(&store, vec![], permits(4));
    sleep(millis(10)).await;
    store.set_reads(Mood::Takes(millis(1_000)));
    each_is_seen(&engine).await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_read_shows_what_its_flight_knows_was_taken() {
    #[derive(Debug)]
    struct SlowThenFails;
    #[async_trait]
    impl Behaviour for SlowThenFails {
        async fn providers(
            &self,
            _: &dyn ProviderStore,
            _: Arc<[ContentKey]>,
            _: UnixSeconds,
            _: NonZeroU32,
        ) -> Result<Vec<Found>, StoreError> {
            sleep(millis(200)).await;
            Err(StoreError::new(StoreErrorKind::Overloaded, "providers"))
        }
    }
    let engine = open_store(Arc::new(Double::of(memory(), SlowThenFails)), vec![], permits(4), None);
    each_is_seen(&engine).await;
}

/// A wall clock that is ahead for a moment: a purge does not follow it, and what waits for a part of the store must not either.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_ahead_for_a_moment_drops_nothing_that_waits_for_a_part() {
    let inner = memory();
    let store = Arc::new(UnknownForSome::new(inner.clone(), StoreErrorKind::Unavailable, 333, 3));
    let number = (0..).find(|number| store.is_unknown(&ContentKey::new(&key(*number)).unwrap())).unwrap();
    let ahead = Arc::new(AtomicU64::new(0));
    let (jump, base) = (ahead.clone(), tokio::time::Instant::now());
    let clock = Clock::with_wall(move || {
        Duration::from_secs(u64::from(START.0) + jump.load(Ordering::Relaxed)) + base.elapsed()
    });
    let named = NamedStore { name: "test".to_owned(), store: store.clone() };
    let engine = Engine::open(named, vec![], permits(4), clock, None);
    assert_eq!(engine.announce(caller(1), &key(number), || addresses(1)), Ok(Ending::Served));
    sleep(millis(5_000)).await;
    assert_eq!(engine.load().write_queue.used, 1);
    ahead.store(10 * 24 * 3_600, Ordering::Relaxed);
    sleep(millis(3_000)).await;
    ahead.store(0, Ordering::Relaxed);
    sleep(millis(3_000)).await;
    store.set(StoreErrorKind::Unavailable, 0);
    sleep(millis(30_000)).await;
    assert_eq!(stored(&*inner, &key(number)).await, 1);
}
